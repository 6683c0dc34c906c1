//! `doctor`: each check truly fails on a real host, and nothing else does with it. Faults of the
//! whole host are made in a mount namespace of their own, and all of it is a user's of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::host::{Ran, User, root, shared, wait};

const USER: &str = "see";

/// Runs doctor as the user, after `setup` ran as root in a mount namespace of its own; `env` are
/// further variables.
fn doctor(setup: &str, env: &str) -> Ran {
    let script = format!(
        r#"
        export user={USER} home=/home/{USER} uid=$(id -u {USER})
        export tmp=$(mktemp -d) program=$(command -v ragpod)
        hide() {{ for f in "$@"; do mount --bind /dev/null "$f"; done; }}
        instead() {{ cat > "$tmp/${{1##*/}}"; chmod 755 "$tmp/${{1##*/}}"; mount --bind "$tmp/${{1##*/}}" "$1"; }}
        export -f hide instead
        chmod 755 "$tmp"
        unshare -m bash -euc '
            {setup}
            cd "$home"
            exec runuser -u $user -- env -i HOME=$home PATH=$home/bin:/usr/local/bin:/usr/bin:/bin \
                XDG_RUNTIME_DIR=/run/user/$uid {env} "$program" doctor --json'
        "#
    );
    root(&script).expect("a test host")
}

/// How each check came out.
fn verdicts(ran: &Ran) -> BTreeMap<String, String> {
    let of = |v: &Value, key: &str| v[key].as_str().expect("text").to_owned();
    let document = ran.json();
    let checks = document["checks"].as_array().expect("a list");
    for check in checks {
        // Whatever is wrong has a cure.
        let bad = ["warn", "fail"].contains(&of(check, "status").as_str());
        assert_eq!(check["fix"].is_string(), bad, "{check}");
    }
    checks.iter().map(|c| (of(c, "id"), of(c, "status"))).collect()
}

/// What differs from a host that is as it should be.
#[track_caller]
fn differs(before: &BTreeMap<String, String>, ran: &Ran, expected: &[(&str, &str)]) {
    let now = verdicts(ran);
    let found: BTreeMap<&str, &str> = now
        .iter()
        .filter(|(id, status)| before.get(*id) != Some(status))
        .map(|(id, status)| (id.as_str(), status.as_str()))
        .collect();
    let expected: BTreeMap<&str, &str> = expected.iter().copied().collect();
    assert_eq!(found, expected, "\n{ran}");
    let fails = now.values().any(|status| status == "fail");
    assert_eq!(ran.code, if fails { 3 } else { 0 }, "\n{ran}");
}

/// A fault: what makes it as root, more environment, and what doctor says then.
type Fault = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const FAULTS: &[Fault] = &[
    ("hide /usr/bin/newuidmap", "", &[("newuidmap", "fail")]),
    ("instead /usr/bin/newgidmap < /usr/bin/newgidmap", "", &[("newuidmap", "fail")]),
    ("hide /usr/libexec/podman/catatonit /usr/bin/catatonit", "", &[("catatonit", "fail")]),
    ("hide /usr/lib/podman/netavark", "", &[("netavark", "fail")]),
    ("hide /usr/lib/podman/aardvark-dns", "", &[("aardvark-dns", "fail")]),
    ("hide /usr/bin/pasta", "", &[("pasta", "fail")]),
    ("hide /usr/sbin/nft", "", &[("nft", "fail")]),
    ("hide /usr/libexec/podman/quadlet", "", &[("quadlet", "fail")]),
    (
        "mount -t tmpfs none /usr/lib/systemd/user-generators",
        "",
        &[("quadlet", "fail")],
    ),
    (
        "printf \"#!/bin/sh\\nexit 1\\n\" | instead /usr/libexec/podman/quadlet",
        "",
        &[("quadlet", "fail")],
    ),
    (
        "sed \"/^$user:/d\" /etc/subuid | instead /etc/subuid",
        "",
        &[("subordinate-ids", "fail")],
    ),
    (
        "sed \"/^$user:/d\" /etc/subgid | instead /etc/subgid",
        "",
        &[("subordinate-ids", "fail")],
    ),
    // Podman's namespace has those that the user had when it was made.
    (
        "sed \"s/^\\($user:[0-9]*\\):.*/\\1:131072/\" /etc/subuid | instead /etc/subuid",
        "",
        &[("podman-ids", "warn")],
    ),
    (
        "echo 0 | instead /proc/sys/user/max_user_namespaces",
        "",
        &[("user-namespaces", "fail")],
    ),
    // Ubuntu's: AppArmor takes a program's rights in its namespace unless it has a profile.
    (
        "mkdir $tmp/kernel; cp -r /proc/sys/kernel/. $tmp/kernel 2> /dev/null || true
         echo 1 > $tmp/kernel/apparmor_restrict_unprivileged_userns
         mount --bind $tmp/kernel /proc/sys/kernel
         [ ! -e /etc/apparmor.d ] || mount -t tmpfs none /etc/apparmor.d",
        "",
        &[("user-namespaces", "fail")],
    ),
    (
        "printf \"[engine]\\nruntime=\\\"nothing\\\"\\n\" > $tmp/containers.conf",
        "CONTAINERS_CONF_OVERRIDE=$tmp/containers.conf",
        &[
            ("oci-runtime", "fail"),
            ("storage-driver", "skip"),
            ("podman-ids", "skip"),
            ("podman-locks", "skip"),
            ("images", "skip"),
        ],
    ),
    ("mount -t tmpfs none /var/lib/systemd/linger", "", &[("linger", "warn")]),
    (
        "mkdir $tmp/fs $tmp/fs/cgroup $tmp/fs/selinux; echo 1 > $tmp/fs/selinux/enforce
         mount --rbind /sys/fs/cgroup $tmp/fs/cgroup; mount --rbind $tmp/fs /sys/fs",
        "",
        &[("selinux", "warn")],
    ),
    (
        "mount -t tmpfs none /var/log; mount -t tmpfs none /run/log",
        "",
        &[("journal", "warn")],
    ),
    (
        "mount -t tmpfs -o size=1M,uid=$uid none $home/.local/state",
        "",
        &[("state-space", "fail")],
    ),
    (
        "mount -t tmpfs -o size=64M,uid=$uid none $home/.local/state",
        "",
        &[("state-space", "warn")],
    ),
    // Another storage, small and slow, with nothing in it.
    (
        "install -d -o $user $tmp/store
         mount -t tmpfs -o size=64M,nr_inodes=200,uid=$uid none $tmp/store
         printf \"[storage]\\ndriver=\\\"vfs\\\"\\nrunroot=\\\"$tmp/store/r\\\"\\n\" \
            > $tmp/storage.conf",
        "XDG_DATA_HOME=$tmp/store CONTAINERS_STORAGE_CONF=$tmp/storage.conf",
        &[
            ("storage-driver", "warn"),
            ("storage-space", "fail"),
            ("storage-inodes", "warn"),
            ("images", "warn"),
        ],
    ),
    ("", "XDG_RUNTIME_DIR=", &[("user-systemd", "fail"), ("config-home", "skip"), ("network-online", "skip")]),
    // And there the instance has no manifest: its directory of locks is nobody's.
    (
        "",
        "XDG_CONFIG_HOME=$home/elsewhere",
        &[("config-home", "fail"), ("leftovers", "warn")],
    ),
    // A Podman that is too old for pods as units.
    (
        "mkdir -p $home/bin; mount -t tmpfs -o mode=755 none $home/bin
         printf \"#!/bin/sh\\n[ \\$1 = --version ] && exec echo podman version 4.9.3\\nexec /usr/bin/podman \\\"\\$@\\\"\\n\" > $home/bin/podman
         chmod 755 $home/bin/podman",
        "",
        &[("podman", "fail")],
    ),
];

#[test]
fn each_fault_of_the_host_is_seen_and_no_other() {
    let _shared = shared();
    let Some(user) = User::create(USER) else {
        eprintln!("not tried: this would disturb the machine");
        return;
    };
    // A source for the labels.
    user.sh("mkdir -p ~/text && ragpod create e2e-see-doctor --source ~/text --force").ok();
    let before = verdicts(&doctor("", ""));
    assert!(before.values().all(|status| status != "fail"), "{before:?}");
    for (setup, env, expected) in FAULTS {
        eprintln!("{expected:?}: {setup} {env}");
        differs(&before, &doctor(setup, env), expected);
    }
    user.sh("ragpod rm e2e-see-doctor --data --yes").ok();
}

/// Takes all keys that the user may have (`add_key(2)`), or gives them up (`keyctl(2)`).
const KEYS: &str = "
import ctypes, platform, sys
add_key, keyctl = {\"x86_64\": (248, 250), \"aarch64\": (217, 219)}[platform.machine()]
call, of_the_user = ctypes.CDLL(None, use_errno=True).syscall, -4
if sys.argv[1] == \"clear\":
    sys.exit(call(keyctl, 7, of_the_user) != 0)
taken = 0
while call(add_key, b\"user\", b\"ragpod-%d\" % taken, b\"x\", 1, of_the_user) > 0:
    taken += 1
sys.exit(taken < 20 or ctypes.get_errno() != 122)
";

#[test]
fn the_users_own_faults_are_mended() {
    let _shared = shared();
    let Some(user) = User::create("see-fix") else {
        eprintln!("not tried: this would disturb the machine");
        return;
    };
    user.sh("ragpod rm e2e-see-fix --data --yes; rm -rf ~/.local/state/ragpod ~/.config/ragpod ~/.config/systemd ~/.config/containers");
    let doctor = |args: &str| user.sh(&format!("ragpod doctor --json {args}"));
    let before = verdicts(&doctor(""));
    let fixed = |ran: &Ran| -> Vec<String> {
        let list = ran.json()["fixed"].as_array().expect("a list").clone();
        list.iter().map(|m| m["id"].as_str().expect("text").to_owned()).collect()
    };

    // What killed commands left.
    user.sh("mkdir -p ~/.local/state/ragpod/gone ~/.local/state/ragpod/units
         echo '999999 ragpod up gone' > ~/.local/state/ragpod/gone/lock
         echo '999999 ragpod up gone' > ~/.local/state/ragpod/units.lock
         mkdir -p ~/.config/ragpod/instances ~/.config/ragpod/.stage-x
         touch ~/.config/ragpod/instances/.gone.toml.ragpod-x")
        .ok();
    differs(&before, &doctor(""), &[("leftovers", "warn")]);
    let ran = doctor("--fix");
    differs(&before, &ran, &[]);
    assert_eq!(fixed(&ran), ["leftovers"]);
    user.sh("test ! -e ~/.local/state/ragpod/gone; ls -A ~/.config/ragpod").ok().says("instances");

    // Each container takes a key of the user's in the kernel.
    let keys = |what: &str| user.sh(&format!("python3 -c '{KEYS}' {what}")).ok();
    keys("take");
    differs(&before, &doctor(""), &[("kernel-keys", "fail")]);
    keys("clear");
    differs(&before, &doctor(""), &[]);

    // A folder that cannot be written.
    user.sh("chmod a-w ~/.config/ragpod/instances").ok();
    differs(&before, &doctor(""), &[("folders", "fail")]);
    let ran = doctor("--fix");
    differs(&before, &ran, &[]);
    assert_eq!(fixed(&ran), ["folders"]);

    // The bus is not there, and the manager is.
    user.sh("systemctl --user stop dbus.socket dbus.service").ok();
    let gone = [("user-systemd", "fail"), ("config-home", "skip"), ("network-online", "skip")];
    differs(&before, &doctor(""), &gone);
    let ran = doctor("--fix");
    differs(&before, &ran, &[]);
    assert_eq!(fixed(&ran), ["user-systemd"]);
    // With one that cannot be started it says so, and does the rest.
    user.sh("systemctl --user stop dbus.socket dbus.service; systemctl --user mask --runtime dbus.socket").ok();
    let ran = doctor("--fix");
    differs(&before, &ran, &gone);
    assert_eq!(ran.json()["not_fixed"][0]["id"], "user-systemd", "{ran}");
    user.sh("systemctl --user unmask --runtime dbus.socket; systemctl --user start dbus.socket")
        .ok();

    // A unit of the user's that waits for a network which never comes.
    user.sh(
        "mkdir -p ~/.config/systemd/user
         printf '[Unit]\\nWants=podman-user-wait-network-online.service\\n[Service]\\nExecStart=true\\n[Install]\\nWantedBy=default.target\\n' \
             > ~/.config/systemd/user/patient.service
         systemctl --user daemon-reload; systemctl --user enable -q patient.service",
    )
    .ok();
    differs(&before, &doctor(""), &[("network-online", "warn")]);
    let ran = doctor("--fix");
    differs(&before, &ran, &[]);
    assert_eq!(fixed(&ran), ["network-online"]);
    user.sh("systemctl --user show -P TimeoutStartUSec podman-user-wait-network-online.service")
        .ok()
        .says("5s");
    user.sh("systemctl --user disable -q patient.service; rm -r ~/.config/systemd; systemctl --user daemon-reload").ok();

    // More ids than Podman's namespace has.
    root("usermod --add-subuids 800000-865535 see-fix").expect("a test host").ok();
    differs(&before, &doctor(""), &[("podman-ids", "warn")]);
    let ran = doctor("--fix");
    differs(&before, &ran, &[]);
    assert_eq!(fixed(&ran), ["podman-ids"]);
    root("sed -i '/^see-fix:800000:/d' /etc/subuid").expect("a test host").ok();
    user.sh("podman system migrate").ok();

    // Few locks.
    user.sh(
        "mkdir -p ~/.config/containers; printf '[engine]\\nnum_locks=32\\n' > ~/.config/containers/containers.conf
         rm /dev/shm/libpod_rootless_lock_$UID; podman system renumber",
    )
    .ok();
    differs(&before, &doctor(""), &[("podman-locks", "warn")]);
    user.sh("rm ~/.config/containers/containers.conf /dev/shm/libpod_rootless_lock_$UID; podman system renumber").ok();

    // A clock that went back: what was written is younger than now.
    user.sh("ragpod create e2e-see-fix --source ~ && touch -d '+3 hours' ~/.config/ragpod/instances/e2e-see-fix.toml").ok();
    differs(&before, &doctor(""), &[("clock", "warn")]);
    user.sh("touch ~/.config/ragpod/instances/e2e-see-fix.toml").ok();

    // Ports in a drop-in.
    let publish = |port: &str| {
        user.sh(&format!(
            "mkdir -p ~/.config/containers/systemd/ragpod/hybridrag-e2e-see-fix.pod.d
             printf '[Pod]\\nPublishPort={port}\\n' \
                 > ~/.config/containers/systemd/ragpod/hybridrag-e2e-see-fix.pod.d/port.conf"
        ))
        .ok();
    };
    publish("80:5432");
    differs(&before, &doctor(""), &[("ports", "fail")]);
    publish("127.0.0.1:18765:5432");
    differs(&before, &doctor(""), &[]);
    user.sh(
        "systemd-run --user -q --unit=e2e-see-port systemd-socket-activate -l 127.0.0.1:18765 true",
    )
    .ok();
    wait("a listener", 30, || verdicts(&doctor(""))["ports"] == "fail");
    differs(&before, &doctor(""), &[("ports", "fail")]);
    user.sh("systemctl --user stop e2e-see-port; rm -r ~/.config/containers/systemd/ragpod/*.d")
        .ok();

    // A command that was killed before it had done anything.
    user.sh(r#"echo '{"version":1,"doing":"ragpod up e2e-see-fix","redo":"ragpod up e2e-see-fix",
             "pid":999999,"from":null,"was_healthy":false,"was_running":false,"start":true,"to":1}' \
             > ~/.local/state/ragpod/e2e-see-fix/intent.json"#)
        .ok();
    differs(&before, &doctor(""), &[("unfinished", "warn")]);
    let ran = doctor("--fix");
    differs(&before, &ran, &[]);
    assert_eq!(fixed(&ran), ["unfinished"]);
    user.sh("ragpod status e2e-see-fix").ok().says("running, healthy");
    // One that its owner stopped is completed, and stays stopped.
    user.sh(r#"cat > /tmp/e2e-see-fix.intent <<< '{"version":1,"doing":"ragpod up e2e-see-fix",
             "redo":"ragpod up e2e-see-fix","pid":999999,"from":1,"was_healthy":true,
             "was_running":true,"start":true,"to":2}'
             cp /tmp/e2e-see-fix.intent ~/.local/state/ragpod/e2e-see-fix/intent.json
             ragpod stop e2e-see-fix"#)
        .ok();
    assert_eq!(fixed(&doctor("--fix")), ["unfinished"]);
    user.sh("ragpod status e2e-see-fix").ok().says("stopped");
    user.sh("ragpod start e2e-see-fix").ok();
    // What was mended stays so.
    assert!(fixed(&doctor("--fix")).is_empty());
    user.sh("ragpod rm e2e-see-fix --data --yes").ok();

    // Root has nothing to look for here.
    let ran = root("HOME=/root ragpod doctor --json --fix").expect("a test host");
    assert_eq!(verdicts(&ran)["user"], "fail");
    assert!(fixed(&ran).is_empty());
    assert_eq!(ran.code, 3);
}
