//! The kernel, systemd and the clock.

use super::super::facts::{Facts, NetworkOnline};
use super::super::{Check, Status};
use crate::output::human_seconds;

/// So many seconds a file may be younger than the clock: another machine's clock on a shared disk.
const CLOCK_SLACK: u64 = 120;
/// A start that waits this long, in seconds, is no trap.
const PATIENT: u64 = 10;

pub(super) fn folders(facts: &Facts) -> Check {
    const ID: &str = "folders";
    if facts.read_only.is_empty() {
        return Check::new(ID, Status::Pass, "manifests, units and state can be written");
    }
    let list: Vec<&str> = facts.read_only.iter().map(|p| p.as_str()).collect();
    let list = list.join(" ");
    Check::new(ID, Status::Fail, format!("cannot be written: {list}")).fix(format!(
        "chmod u+rwx {list}; if they are not yours: sudo chown -R {} {list}",
        facts.user
    ))
}

pub(super) fn namespaces(facts: &Facts) -> Check {
    const ID: &str = "user-namespaces";
    let n = facts.namespaces;
    if n.most == Some(0) {
        return Check::new(ID, Status::Fail, "the kernel lets nobody make one").fix(
            "echo user.max_user_namespaces=28633 | sudo tee /etc/sysctl.d/99-userns.conf; sudo \
             sysctl --system",
        );
    }
    if n.allowed == Some(false) {
        return Check::new(ID, Status::Fail, "the kernel lets only root make one").fix(
            "echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/99-userns.conf; \
             sudo sysctl --system",
        );
    }
    if n.restricted && !n.has_profile {
        return Check::new(
            ID,
            Status::Fail,
            "AppArmor takes a program's rights in its namespace, and Podman has no profile",
        )
        .fix(
            "sudo apt install --reinstall apparmor; or lift it for all programs: echo \
             kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee \
             /etc/sysctl.d/99-userns.conf; sudo sysctl --system",
        );
    }
    Check::new(ID, Status::Pass, "users may make them")
}

pub(super) fn cgroups(facts: &Facts) -> Check {
    const ID: &str = "cgroups";
    const NEEDED: [&str; 2] = ["memory", "pids"];
    const LINE: &str = "on the kernel's command line (sudo grubby --update-kernel=ALL --args=…, or \
                        GRUB_CMDLINE_LINUX in /etc/default/grub and sudo update-grub), then reboot";
    let Some(controllers) = &facts.controllers else {
        return Check::new(ID, Status::Fail, "control groups are not of version 2")
            .fix(format!("put systemd.unified_cgroup_hierarchy=1 {LINE}"));
    };
    let without = |have: &[String]| -> Vec<&str> {
        NEEDED.into_iter().filter(|c| !have.iter().any(|h| h == c)).collect()
    };
    let lacking = without(controllers);
    if lacking.is_empty() {
        return Check::new(ID, Status::Pass, format!("version 2 with {}", controllers.join(", ")));
    }
    let check = Check::new(
        ID,
        Status::Warn,
        format!("limits have no effect: no control of {} for users", lacking.join(", ")),
    );
    let absent = without(&facts.host_controllers);
    if absent.is_empty() {
        return check.fix(
            "sudo mkdir -p /etc/systemd/system/user@.service.d; printf \
             '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee \
             /etc/systemd/system/user@.service.d/delegate.conf; sudo systemctl daemon-reload; then \
             reboot, or log out of all sessions",
        );
    }
    // Delegation gives on only what the host has.
    check.fix(format!(
        "this host has no control of {} in version 2 at all: put \
         systemd.unified_cgroup_hierarchy=1 cgroup_enable=memory {LINE}",
        absent.join(", ")
    ))
}

pub(super) fn journal(facts: &Facts) -> Check {
    match &facts.journal {
        Ok(()) => Check::new("journal", Status::Pass, "the user's journal can be read"),
        Err(e) => {
            let user = &facts.user;
            Check::new("journal", Status::Warn, e.to_string()).fix(format!(
                "make the journal persistent (sudo mkdir /var/log/journal; sudo systemctl restart \
                 systemd-journald) or let {user} read it: sudo usermod -aG systemd-journal {user}; \
                 or have Podman keep what a container says: LogDriver=k8s-file below [Container] in a \
                 drop-in of its unit"
            ))
        }
    }
}

pub(super) fn network_online(facts: &Facts) -> Check {
    const ID: &str = "network-online";
    let Some(NetworkOnline { reached, waiting, patience }) = &facts.network_online else {
        return Check::new(ID, Status::Skip, "systemd cannot be asked");
    };
    if waiting.is_empty() {
        return Check::new(ID, Status::Pass, "no unit of yours waits for the network");
    }
    let who = waiting.join(", ");
    if *reached {
        return Check::new(ID, Status::Pass, format!("reached; it is waited for by {who}"));
    }
    let long = match patience {
        Some(seconds) if *seconds <= PATIENT => {
            let seen = format!("not reached; {who} waits at most {}", human_seconds(*seconds));
            return Check::new(ID, Status::Pass, seen);
        }
        Some(seconds) => human_seconds(*seconds),
        None => "for ever".to_owned(),
    };
    Check::new(
        ID,
        Status::Warn,
        format!("this host never says that its network is up: {who} waits {long} at each boot"),
    )
    .fix(
        "ragpod doctor --fix has them wait 5 s at most; or let the host say it: sudo systemctl \
         enable NetworkManager-wait-online.service (or systemd-networkd-wait-online.service)",
    )
}

pub(super) fn labels(facts: &Facts) -> Check {
    const ID: &str = "selinux";
    if !facts.selinux {
        return Check::new(ID, Status::Pass, "not enforcing");
    }
    if facts.unlabelled.is_empty() {
        return Check::new(ID, Status::Pass, "enforcing, and containers may read all sources");
    }
    let list: Vec<&str> = facts.unlabelled.iter().map(|p| p.as_str()).collect();
    let list = list.join(" ");
    Check::new(ID, Status::Warn, format!("enforcing, and no container may read {list}")).fix(
        format!("label them for containers, and no folder that others need: chcon -R -t container_file_t {list}"),
    )
}

pub(super) fn clock(facts: &Facts) -> Check {
    const ID: &str = "clock";
    let seconds = i64::try_from(facts.now).unwrap_or_default();
    let now = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let Some((file, at)) = facts.newest.as_ref().filter(|(_, at)| *at > facts.now + CLOCK_SLACK)
    else {
        return Check::new(ID, Status::Pass, format!("{now}"));
    };
    Check::new(
        ID,
        Status::Warn,
        format!("{now} is {} before {file} was written", human_seconds(at - facts.now)),
    )
    .fix(format!(
        "sudo timedatectl set-ntp true, or sudo timedatectl set-time …; if the clock is right: \
         touch {file}"
    ))
}

/// An instance with a gateway has four containers: the pod's own, the database, the engine, it.
const KEYS: u64 = 4;

/// Whether one more instance can run: each container takes a key of the user's in the kernel.
pub(super) fn keys(facts: &Facts) -> Check {
    const ID: &str = "kernel-keys";
    let Some((has, most)) = facts.keys else {
        return Check::new(ID, Status::Skip, "the kernel does not count them");
    };
    let free = most.saturating_sub(has);
    let seen = format!("{free} of {most} left: each container that runs takes one");
    let status = match free {
        _ if free < KEYS => Status::Fail,
        _ if free < 4 * KEYS => Status::Warn,
        _ => return Check::new(ID, Status::Pass, seen),
    };
    Check::new(ID, status, seen).fix(
        "echo kernel.keys.maxkeys=2000 | sudo tee /etc/sysctl.d/99-keys.conf; sudo sysctl --system; or \
         let instances rest that nobody uses: idle_stop below [schedule]",
    )
}
