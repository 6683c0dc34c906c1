//! The judgements: each a pure function of the facts.

use camino::Utf8PathBuf;

use super::facts::Facts;
use super::{Check, Status};
use crate::error::Error;
use crate::podman::require;

/// Below this there is a warning: an image alone takes half of it.
const LITTLE_SPACE: u64 = 2 << 30;
/// Podman maps at least this many ids into a container.
const ENOUGH_IDS: u64 = 65_536;
/// An instance takes eight locks: containers, infra, pod and volumes.
const FEW_LOCKS: u64 = 64;

/// All checks, in the order in which one would cure what they find.
#[must_use]
pub fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        podman(facts),
        quadlet(facts),
        user(facts),
        bus(facts),
        linger(facts),
        config_home(facts),
        subids(facts),
        id_maps(facts),
    ];
    checks.extend([
        helper(facts, "catatonit", "pods cannot be made", "catatonit"),
        helper(facts, "netavark", "networks cannot be made", "netavark"),
        helper(facts, "aardvark-dns", "containers cannot find each other by name", "aardvark-dns"),
        helper(facts, "pasta", "rootless containers get no network", "passt"),
        helper(facts, "nft", "netavark cannot isolate the networks", "nftables"),
    ]);
    checks.extend([
        runtime(facts),
        cgroups(facts),
        storage(facts),
        locks(facts),
        space("state-space", "the state directory", facts.free_state),
        space("storage-space", "Podman's storage", facts.free_storage),
        images(facts),
        journal(facts),
    ]);
    checks
}

/// A failed check from a lower layer's error.
fn failed(id: &'static str, status: Status, e: &Error) -> Check {
    Check::new(id, status, e.to_string()).fix(e.hints().join("\n"))
}

fn install(package: &str) -> String {
    format!("sudo apt install {package}, sudo dnf install {package}")
}

fn podman(facts: &Facts) -> Check {
    match facts.podman.clone().and_then(require) {
        Ok(version) => Check::new("podman", Status::Pass, format!("Podman {version}")),
        Err(e) => failed("podman", Status::Fail, &e),
    }
}

fn quadlet(facts: &Facts) -> Check {
    match (&facts.generator, &facts.podman) {
        (Ok(path), _) => Check::new("quadlet", Status::Pass, path.as_str()),
        (Err(_), Err(_)) => Check::new("quadlet", Status::Skip, "comes with Podman"),
        (Err(e), Ok(_)) => failed("quadlet", Status::Fail, e),
    }
}

fn user(facts: &Facts) -> Check {
    if facts.uid == 0 {
        Check::new("user", Status::Fail, "this is root, and ragpod makes rootless instances")
            .fix("run it as an ordinary user: machinectl shell USER@")
    } else {
        Check::new("user", Status::Pass, format!("{} ({})", facts.user, facts.uid))
    }
}

fn bus(facts: &Facts) -> Check {
    match &facts.manager {
        Ok(manager) => {
            Check::new("user-systemd", Status::Pass, format!("systemd {}", manager.version))
        }
        Err(e) => failed("user-systemd", Status::Fail, e),
    }
}

fn linger(facts: &Facts) -> Check {
    if facts.linger {
        Check::new("linger", Status::Pass, "instances run without a login")
    } else {
        Check::new(
            "linger",
            Status::Warn,
            "instances stop at logout and do not start with the host",
        )
        .fix(format!("sudo loginctl enable-linger {}", facts.user))
    }
}

fn config_home(facts: &Facts) -> Check {
    const ID: &str = "config-home";
    match &facts.manager {
        Ok(manager) => match &manager.config_home {
            Some(dir) if same(dir, &facts.config_home) => {
                Check::new(ID, Status::Pass, dir.as_str())
            }
            Some(dir) => Check::new(
                ID,
                Status::Fail,
                format!(
                    "systemd looks for units below {dir}, this shell writes below {}",
                    facts.config_home
                ),
            )
            .fix(format!(
                "export XDG_CONFIG_HOME={dir}, or make systemd's the same: systemctl --user \
                 set-environment XDG_CONFIG_HOME={}",
                facts.config_home
            )),
            None => Check::new(ID, Status::Skip, "systemd does not say where it looks"),
        },
        Err(_) => Check::new(ID, Status::Skip, "systemd cannot be asked"),
    }
}

/// Equal but for slashes at the end.
fn same(a: &Utf8PathBuf, b: &Utf8PathBuf) -> bool {
    a.components().eq(b.components())
}

fn subids(facts: &Facts) -> Check {
    const ID: &str = "subordinate-ids";
    let user = &facts.user;
    let fix = format!(
        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}; podman \
         system migrate"
    );
    match (facts.subids.uids, facts.subids.gids) {
        (None, _) | (_, None) => {
            Check::new(ID, Status::Skip, "/etc/subuid and /etc/subgid cannot be read")
        }
        (Some(0), _) => {
            Check::new(ID, Status::Fail, format!("{user} has no subordinate user ids")).fix(fix)
        }
        (_, Some(0)) => {
            Check::new(ID, Status::Fail, format!("{user} has no subordinate group ids")).fix(fix)
        }
        (Some(uids), Some(gids)) if uids < ENOUGH_IDS || gids < ENOUGH_IDS => {
            Check::new(ID, Status::Warn, format!("only {uids} user and {gids} group ids")).fix(fix)
        }
        (Some(uids), Some(gids)) => {
            Check::new(ID, Status::Pass, format!("{uids} user and {gids} group ids"))
        }
    }
}

fn id_maps(facts: &Facts) -> Check {
    let there = |name| facts.programs.get(name).is_some_and(Option::is_some);
    if there("newuidmap") && there("newgidmap") {
        Check::new("newuidmap", Status::Pass, "newuidmap and newgidmap are there")
    } else {
        Check::new("newuidmap", Status::Fail, "newuidmap or newgidmap is not installed")
            .fix("sudo apt install uidmap, sudo dnf install shadow-utils")
    }
}

fn helper(facts: &Facts, name: &'static str, without: &str, package: &str) -> Check {
    match facts.programs.get(name) {
        Some(Some(path)) => Check::new(name, Status::Pass, path.as_str()),
        _ => Check::new(name, Status::Fail, format!("not installed: {without}"))
            .fix(install(package)),
    }
}

fn runtime(facts: &Facts) -> Check {
    const ID: &str = "oci-runtime";
    let there = |name| facts.programs.get(name).is_some_and(Option::is_some);
    match &facts.info {
        Ok(info) if !info.host.oci_runtime.name.is_empty() => {
            Check::new(ID, Status::Pass, info.host.oci_runtime.name.as_str())
        }
        _ if there("crun") => Check::new(ID, Status::Pass, "crun"),
        _ if there("runc") => Check::new(ID, Status::Pass, "runc"),
        _ => {
            Check::new(ID, Status::Fail, "neither crun nor runc is installed").fix(install("crun"))
        }
    }
}

fn cgroups(facts: &Facts) -> Check {
    const ID: &str = "cgroups";
    let Some(controllers) = &facts.controllers else {
        return Check::new(ID, Status::Fail, "control groups are not of version 2")
            .fix("boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line");
    };
    let lacking: Vec<&str> =
        ["memory", "pids"].into_iter().filter(|c| !controllers.iter().any(|h| h == c)).collect();
    if lacking.is_empty() {
        Check::new(ID, Status::Pass, format!("version 2 with {}", controllers.join(", ")))
    } else {
        Check::new(
            ID,
            Status::Warn,
            format!("limits have no effect: no control of {} for users", lacking.join(", ")),
        )
        .fix(
            "delegate them: a drop-in for user@.service with [Service] Delegate=memory pids \
             (systemctl edit user@.service)",
        )
    }
}

fn storage(facts: &Facts) -> Check {
    const ID: &str = "storage-driver";
    match &facts.info {
        Ok(info) if info.store.graph_driver_name == "vfs" => {
            Check::new(ID, Status::Warn, "vfs, which copies a whole image for every container")
                .fix("use overlay: driver = \"overlay\" in storage.conf (containers-storage.conf(5)), then: podman system reset")
        }
        Ok(info) => Check::new(ID, Status::Pass, info.store.graph_driver_name.as_str()),
        Err(e) if facts.podman.is_ok() => failed(ID, Status::Fail, e),
        Err(_) => Check::new(ID, Status::Skip, "Podman cannot be asked"),
    }
}

fn locks(facts: &Facts) -> Check {
    const ID: &str = "podman-locks";
    match facts.info.as_ref().ok().and_then(|i| i.host.free_locks) {
        Some(free) if free < FEW_LOCKS => Check::new(
            ID,
            Status::Warn,
            format!("{free} left: each container and volume takes one"),
        )
        .fix("raise num_locks in containers.conf(5), then: podman system renumber"),
        Some(free) => Check::new(ID, Status::Pass, format!("{free} free")),
        None => Check::new(ID, Status::Skip, "Podman does not say"),
    }
}

fn space(id: &'static str, what: &str, free: Option<u64>) -> Check {
    match free {
        None => Check::new(id, Status::Skip, format!("cannot look at {what}")),
        Some(bytes) if bytes < LITTLE_SPACE => {
            Check::new(id, Status::Warn, format!("{} MiB free for {what}", bytes >> 20))
                .fix("free some space: podman image prune; df -h")
        }
        Some(bytes) => Check::new(id, Status::Pass, format!("{} GiB free for {what}", bytes >> 30)),
    }
}

fn images(facts: &Facts) -> Check {
    match &facts.missing_images {
        Ok(missing) if missing.is_empty() => Check::new("images", Status::Pass, "all are here"),
        Ok(missing) => {
            let names: Vec<&str> = missing.iter().map(crate::model::ImageRef::as_str).collect();
            Check::new("images", Status::Warn, format!("not here yet: {}", names.join(", ")))
                .fix("ragpod image build")
        }
        Err(_) => Check::new("images", Status::Skip, "Podman cannot be asked"),
    }
}

fn journal(facts: &Facts) -> Check {
    match &facts.journal {
        Ok(()) => Check::new("journal", Status::Pass, "the user's journal can be read"),
        Err(e) => {
            let user = &facts.user;
            Check::new("journal", Status::Warn, e.to_string()).fix(format!(
                "make the journal persistent (sudo mkdir /var/log/journal; sudo systemctl restart \
                 systemd-journald) or let {user} read it: sudo usermod -aG systemd-journal {user}"
            ))
        }
    }
}

#[cfg(test)]
mod tests;
