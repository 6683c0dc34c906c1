//! Hostile surroundings: whatever goes wrong around it, a command says what and what to do, leaves
//! what ran running, and the next one completes the change.

use serde_json::Value;

use crate::faults::{SETTING, program, with_fault};
use crate::host::{Instance, User, ragpod, root, run, sh, shared, wait};

const TEXT: &str = "The ferry leaves from the eastern pier.\n";

/// What runs is what ran, and the next `up` completes the change.
#[track_caller]
fn runs_on(one: &Instance, before: &[String], when: &str) {
    assert_eq!(one.started(), before, "{when}");
    assert_eq!(one.status()["state"], "running", "{when}");
}

#[test]
fn the_disk_is_full_at_each_write() {
    let _host = shared();
    let one = Instance::create("e2e-full", &[("a.md", TEXT)]);
    one.up();
    let plain = one.units();
    let up = ["up", "e2e-full"];
    let mut seen = 0;
    let mut other = None;
    for nth in 1.. {
        one.rewrite(SETTING);
        let ran = with_fault(&format!("full:{nth}"), &up);
        if ran.code == 0 {
            break;
        }
        seen = nth;
        let when = format!("the disk is full at write {nth}");
        let there = one.units();
        assert!(there == plain || Some(&there) == other.as_ref() || other.is_none(), "{when}");
        let ran = ran.code(1).tells("hint: free some space");
        assert!(ran.err.contains("error: "), "{ran}");
        assert_eq!(one.status()["state"], "running", "{when}: {ran}");
        one.up();
        one.nothing_is_left_over(&when);
        assert_ne!(one.units(), plain, "{when}");
        other = Some(one.units());
        one.rewrite("");
        one.up();
        assert_eq!(one.units(), plain, "{when}");
    }
    assert!(seen >= 4, "record, generation, unit and state are written");
}

#[test]
fn state_files_that_cannot_be_read() {
    let _host = shared();
    let one = Instance::create("e2e-corrupt", &[("a.md", TEXT)]);
    one.up();
    let before = one.started();
    one.rewrite(SETTING);
    for file in ["state.json", "generations/1.json", "intent.json"] {
        let path = format!("~/.local/state/ragpod/e2e-corrupt/{file}");
        for (text, word) in [
            ("{\"version\":1,\"sec", "is corrupt"),
            ("", "is corrupt"),
            ("{\"version\":99,\"of\":\"tomorrow\"}", "was written by a newer ragpod"),
        ] {
            sh(&format!(
                "cp {path} {path}.kept 2>/dev/null || true; printf '%s' '{text}' > {path}"
            ))
            .ok();
            for verb in ["up", "down"] {
                // `down` needs neither generations nor what an earlier command was about.
                if verb == "up" || file == "state.json" {
                    one.ragpod(verb, &[]).code(1).tells(word).tells(file);
                }
            }
            assert_eq!(sh(&format!("cat {path}")).ok().out, text, "{file} is left as it is");
            runs_on(&one, &before, &format!("{file}: {text}"));
            sh(&format!("mv {path}.kept {path} 2>/dev/null || rm {path}")).ok();
        }
    }
    // The hint's own command helps.
    let state = "~/.local/state/ragpod/e2e-corrupt/state.json";
    sh(&format!("echo garbage > {state}; mv {state} {state}.bad")).ok();
    one.up();
    assert_eq!(one.status()["state"], "running");
}

#[test]
fn somebody_elses_units_have_our_names() {
    let _host = shared();
    let one = Instance::create("e2e-theirs", &[("a.md", TEXT)]);
    let service = "hybridrag-e2e-theirs-app.service";
    let unit = "printf '[Service]\\nExecStart=/bin/true\\n'";
    for (make, place, why) in [
        (unit, format!("~/.config/systemd/user/{service}"), "hides what ragpod installs"),
        (
            "printf '[Container]\\nImage=localhost/ragpod/engine:latest\\nExec=true\\n'",
            "~/.config/containers/systemd/hybridrag-e2e-theirs-app.container".to_owned(),
            "is not ragpod's unit",
        ),
    ] {
        sh(&format!(
            "mkdir -p $(dirname {place}); {make} > {place}; systemctl --user daemon-reload"
        ))
        .ok();
        let ran = one.ragpod("up", &[]).code(1);
        let home = sh("printf %s ~").ok().out;
        ran.tells(why).tells("move it away").tells(&place.replace('~', &home));
        assert_eq!(one.status()["state"], "not-installed");
        one.nothing_is_left_over(&place);
        sh(&format!("rm {place}; systemctl --user daemon-reload")).ok();
    }
    // Masked.
    sh(&format!("systemctl --user mask --quiet {service}")).ok();
    one.ragpod("up", &[]).code(1).tells(service);
    sh(&format!("systemctl --user unmask --quiet {service}")).ok();
    one.up();
}

#[test]
fn the_manifest_is_edited_meanwhile() {
    let _host = shared();
    let one = Instance::create("e2e-editing", &[("a.md", TEXT)]);
    one.up();
    one.rewrite(&SETTING.replace("17", "18"));
    let file = "/tmp/e2e-editing-pause";
    let pause = format!(
        "rm -f {file}; RAGPOD_FAULT=pause:loaded:{file} {} up e2e-editing & up=$!
         soon $up test -e {file}
         sed -i 's/\"18\"/\"19\"/' ~/.config/ragpod/instances/e2e-editing.toml
         rm {file}; wait $up",
        program()
    );
    sh(&pause).ok();
    let top_k = || one.ragpod("exec", &["--", "printenv", "TOP_K"]).ok().out.trim().to_owned();
    assert_eq!(top_k(), "18", "what was read at the beginning counts");
    let json = one.ragpod("generations", &["--show", "2", "--json"]).ok().json();
    assert!(json["generation"]["set"]["manifest"].as_str().unwrap().contains("\"18\""), "{json}");
    one.ragpod("diff", &[]).code(1);
    one.up();
    assert_eq!(top_k(), "19");
}

#[test]
fn the_clock_goes_back() {
    let _host = shared();
    let one = Instance::create("e2e-clock", &[("a.md", TEXT)]);
    // The clock was two hours ahead when it was set up.
    with_fault("clock:7200", &["up", "e2e-clock"]).ok();
    one.rewrite(SETTING);
    one.up();
    let json = one.ragpod("generations", &["--json"]).ok().json();
    let made = |i: usize| json["generations"][i]["created"].as_str().unwrap().to_owned();
    assert!(made(0) > made(1), "{json}");
    assert_eq!(json["generations"][1]["current"], true, "{json}");
    one.ragpod("rollback", &[]).ok().tells("it runs generation 1");
    one.ragpod("status", &[]).ok();
    // It is ahead of the journal while a start fails: the last words are found all the same.
    let wrong = "\\n[env]\\nTOP_K = \"18\"\\n";
    one.rewrite(wrong);
    sh("sed -i 's#^\\[engine\\]#[engine]\\nimage = \"localhost/ragpod/postgres:17\"#' \
        ~/.config/ragpod/instances/e2e-clock.toml")
    .ok();
    with_fault("clock:7200", &["up", "e2e-clock"])
        .code(1)
        .tells("is not writable by user 1000")
        .tells("generation 1, as it was before, runs again");
}

#[test]
fn the_manager_has_another_config_home() {
    let _host = shared();
    let one = Instance::create("e2e-xdg", &[("a.md", TEXT)]);
    one.up();
    let before = one.started();
    let elsewhere = "XDG_CONFIG_HOME=/tmp/e2e-xdg";
    let create = format!("ragpod create e2e-xdg --source {}", one.folder());
    sh(&format!("export {elsewhere}; {create}; exec ragpod up e2e-xdg"))
        .code(3)
        .tells("this shell writes below /tmp/e2e-xdg")
        .tells("export XDG_CONFIG_HOME=");
    let left = sh("find /tmp/e2e-xdg -path '*systemd*'; rm -r /tmp/e2e-xdg").ok().out;
    assert_eq!(left, "");
    runs_on(&one, &before, "another XDG_CONFIG_HOME");
    one.ragpod("diff", &[]).ok();
}

#[test]
fn a_start_job_that_does_not_end() {
    let _host = shared();
    let one = Instance::create("e2e-stuck", &[("a.md", TEXT)]);
    let dir = "~/.config/containers/systemd/ragpod/hybridrag-e2e-stuck-app.container.d";
    sh(&format!(
        "mkdir -p {dir}; printf '[Container]\\nHealthCmd=false\\nHealthStartupCmd=false\\n' \
         > {dir}/stuck.conf"
    ))
    .ok();
    let ran = one.ragpod("up", &["--timeout", "6s"]).code(1);
    ran.tells("not finished in time").tells("--timeout").tells("stuck.conf");
    let jobs = run(&["systemctl", "--user", "list-jobs", "--no-legend"]).ok().out;
    assert!(!jobs.contains("e2e-stuck"), "its job is cancelled: {jobs}");
    sh(&format!("rm -r {dir}; systemctl --user daemon-reload")).ok();
    one.up();
    one.nothing_is_left_over("a start that did not end");
}

/// A user of its own, whose manager and files are disturbed.
fn disturbed(name: &'static str) -> Option<User> {
    let user = User::create(name)?;
    user.sh("mkdir -p ~/text; echo 'The ferry leaves from the eastern pier.' > ~/text/a.md
        ragpod rm one --data --yes 2>/dev/null || true
        ragpod create one --source ~/text; ragpod up one")
        .ok();
    Some(user)
}

const CHANGE: &str = "printf '\\n[env]\\nTOP_K = \"17\"\\n' >> ~/.config/ragpod/instances/one.toml";
const STARTED: &str =
    "podman ps --filter label=io.ragpod.instance=one --format '{{.Names}} {{.StartedAt}}' | sort";

#[test]
fn directories_that_cannot_be_used() {
    let _host = shared();
    let Some(user) = disturbed("e2ehostile") else { return };
    let before = user.sh(STARTED).ok().out;
    user.sh(CHANGE).ok();
    let refused = |how: &str, undo: &str, words: &[&str]| {
        user.sh(how).ok();
        let mut ran = user.sh("exec ragpod up one").code(1);
        for word in words {
            ran = ran.tells(word);
        }
        user.sh(undo).ok();
        assert_eq!(user.sh(STARTED).ok().out, before, "{how}");
        let json = user.sh("ragpod status one --json").ok().json();
        assert_eq!(json["instances"][0]["state"], "running", "{how}: {json}");
        assert_eq!(json["instances"][0]["unfinished"], Value::Null, "{how}: {json}");
    };
    for dir in [".config/ragpod", ".config/containers/systemd", ".local/state/ragpod/one"] {
        let words = ["Permission denied", "make it writable"];
        refused(&format!("chmod 555 ~/{dir}"), &format!("chmod 755 ~/{dir}"), &words);
    }
    let units = "~/.config/containers/systemd/ragpod";
    refused(
        &format!("mv {units} ~/elsewhere; ln -s ~/elsewhere {units}"),
        &format!("rm {units}; mv ~/elsewhere {units}"),
        &["is a symbolic link", "mv "],
    );
    refused(
        &format!("mv {units} ~/elsewhere; echo x > {units}"),
        &format!("rm {units}; mv ~/elsewhere {units}"),
        &["is not a directory"],
    );
    // A file system of its own that has no room left, whichever write it is that fails.
    let mount = "/home/e2ehostile/.config";
    for free in [0, 4, 8, 16] {
        root(&format!(
            "mount -t tmpfs -o size=256k,mode=0700,uid=$(id -u e2ehostile) none /mnt
             cp -a {mount}/. /mnt/; mount --bind /mnt {mount}
             dd if=/dev/zero of={mount}/fill bs=4k count=100 2>/dev/null || true
             truncate -s -{free}k {mount}/fill"
        ))
        .unwrap()
        .ok();
        let ran = user.sh("exec ragpod up one");
        root(&format!("umount {mount} /mnt")).unwrap().ok();
        if ran.code != 0 {
            ran.code(1).tells("No space left").tells("free some space");
            assert_eq!(user.sh(STARTED).ok().out, before, "{free} KiB are free");
        }
        user.sh("systemctl --user daemon-reload").ok();
    }
    user.sh("ragpod up one; ragpod diff one; ragpod exec one -- printenv TOP_K").ok().says("17");
    user.sh("ragpod rm one --data --yes").ok();
}

#[test]
fn a_manager_that_does_not_answer_and_a_bus_that_goes_away() {
    let _host = shared();
    let Some(user) = disturbed("e2ehostbus") else { return };
    let before = user.sh(STARTED).ok().out;
    user.sh(CHANGE).ok();
    let pid = user.sh("pgrep -u $(id -u) -x systemd | head -n 1").ok().out.trim().to_owned();
    let ran = user.sh(&format!(
        "kill -STOP {pid}; code=0; ragpod up one || code=$?; kill -CONT {pid}; exit $code"
    ));
    ran.code(3).tells("systemd does not answer").tells("list-jobs");
    assert_eq!(user.sh(STARTED).ok().out, before);
    // With the new units in place, before systemd has read them.
    let (program, pause) = ("/tmp/e2ehostbus-ragpod", "/tmp/e2ehostbus-pause");
    root(&format!("install -m 755 {} {program}", crate::faults::program())).unwrap().ok();
    let ran = user.sh(&format!(
        "rm -f {pause}; RAGPOD_FAULT=pause:cleaned:{pause} {program} up one & up=$!
         soon $up test -e {pause}
         kill -STOP {pid}; rm {pause}; code=0; wait $up || code=$?; kill -CONT {pid}; exit $code"
    ));
    ran.code(3).tells("reload").tells("list-jobs");
    root(&format!("rm {program}")).unwrap().ok();
    assert_eq!(user.sh(STARTED).ok().out, before);

    // The bus goes while a job runs: the pod takes a second to stop and some to start.
    user.sh("printf '\\n[egress]\\nmode = \"allow\"\\nallow = [\"example.com:443\"]\\n' >> ~/.config/ragpod/instances/one.toml").ok();
    let ran = user.sh("rm -f ~/up.log; ragpod up one 2> ~/up.log & up=$!
        soon $up grep -qs 'app .*starting, not healthy' ~/up.log
        pkill -KILL -u $(id -u) -x dbus-daemon
        code=0; wait $up || code=$?; cat ~/up.log >&2; exit $code");
    ran.code(3).tells("was lost").tells("run the same command again");
    wait("the bus again", 20, || user.sh("exec systemctl --user is-system-running").err.is_empty());
    let json = user.sh("ragpod status one --json").ok().json();
    assert!(json["instances"][0]["unfinished"].is_string(), "{json}");
    user.sh("ragpod up one; ragpod diff one")
        .ok()
        .tells("did not finish; this command takes over from there");
    user.sh("ragpod exec one -- printenv TOP_K").ok().says("17");
    user.sh("ragpod rm one --data --yes").ok();
    ragpod(&["list"]).ok();
}
