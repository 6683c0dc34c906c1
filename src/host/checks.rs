//! The judgements: each a pure function of the facts.

use camino::Utf8PathBuf;

use super::facts::Facts;
use super::{Check, Status};
use crate::error::Error;
use crate::podman::require;

mod records;
mod storage;
mod system;

/// Podman maps at least this many ids into a container.
const ENOUGH_IDS: u64 = 65_536;

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
        system::folders(facts),
        subids(facts),
        id_maps(facts),
        podman_ids(facts),
        system::namespaces(facts),
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
        system::cgroups(facts),
        storage::driver(facts),
        storage::locks(facts),
        system::keys(facts),
        storage::space("state-space", "the state directory", facts.free_state, 16 << 20),
        storage::space("storage-space", "Podman's storage", facts.free_storage, 512 << 20),
        storage::inodes(facts),
        storage::images(facts),
        system::journal(facts),
        system::network_online(facts),
        system::labels(facts),
        system::clock(facts),
        records::ports(facts),
        records::unfinished(facts),
        records::leftovers(facts),
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
    const ID: &str = "quadlet";
    const WHOLE: &str =
        "sudo apt install --reinstall podman, sudo dnf reinstall podman; podman --version";
    let path = match (&facts.generator, &facts.podman) {
        (Ok(path), _) => path,
        (Err(_), Err(_)) => return Check::new(ID, Status::Skip, "comes with Podman"),
        (Err(e), Ok(_)) => return failed(ID, Status::Fail, e),
    };
    if !facts.generator_linked {
        return Check::new(
            ID,
            Status::Fail,
            "systemd does not run it: it is not among the user's generators",
        )
        .fix(WHOLE);
    }
    match &facts.generated {
        Ok(against) if against.is_empty() => Check::new(ID, Status::Pass, path.as_str()),
        Ok(against) => Check::new(ID, Status::Fail, format!("{path}: {}", against.join("; ")))
            .fix(format!("see all that it says: {path} -user -dryrun; if it is damaged: {WHOLE}")),
        Err(e) => {
            Check::new(ID, Status::Fail, format!("{path} does not run: {}", said(e))).fix(WHOLE)
        }
    }
}

/// An error's line and its causes in one line.
fn said(e: &Error) -> String {
    let causes = e.causes.iter().flat_map(|cause| cause.lines());
    std::iter::once(e.message.as_str()).chain(causes).collect::<Vec<_>>().join("; ")
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
        Err(_) if facts.bus_only_missing => Check::new(
            "user-systemd",
            Status::Fail,
            "the user's systemd runs, and its bus does not",
        )
        .fix(
            "systemctl --user start dbus.socket; where there is no such unit: sudo apt install \
             dbus-user-session, then log in again",
        ),
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
    const ID: &str = "newuidmap";
    let there = |name| facts.programs.get(name).is_some_and(Option::is_some);
    if !(there("newuidmap") && there("newgidmap")) {
        return Check::new(ID, Status::Fail, "newuidmap or newgidmap is not installed")
            .fix("sudo apt install uidmap, sudo dnf install shadow-utils");
    }
    if !facts.may_map {
        return Check::new(ID, Status::Fail, "newuidmap or newgidmap lacks its rights: neither setuid nor a capability")
            .fix("sudo apt install --reinstall uidmap, sudo dnf reinstall shadow-utils; or: sudo chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap");
    }
    Check::new(ID, Status::Pass, "newuidmap and newgidmap are there")
}

/// Podman keeps the ids that the user had when its namespace was made.
fn podman_ids(facts: &Facts) -> Check {
    const ID: &str = "podman-ids";
    let (Ok(info), Some(given)) = (&facts.info, facts.subids.uids) else {
        return Check::new(ID, Status::Skip, "Podman does not say");
    };
    // The first one is the user's own.
    let has = info.host.id_mappings.uidmap.iter().map(|r| r.size).sum::<u64>().saturating_sub(1);
    if has == given || given == 0 {
        return Check::new(ID, Status::Pass, format!("Podman's namespace has {has} user ids"));
    }
    let status = if has < ENOUGH_IDS { Status::Fail } else { Status::Warn };
    let check = Check::new(
        ID,
        status,
        format!("Podman's namespace has {has} user ids, and by now the user has {given}"),
    );
    if info.store.container_store.running == 0 {
        check.fix("podman system migrate")
    } else {
        check.fix(
            "this stops all of your containers: podman system migrate; then start the instances \
             again: ragpod up NAME",
        )
    }
}

fn helper(facts: &Facts, name: &'static str, without: &str, package: &str) -> Check {
    match facts.programs.get(name) {
        Some(Some(path)) => Check::new(name, Status::Pass, path.as_str()),
        _ => Check::new(name, Status::Fail, format!("not installed: {without}"))
            .fix(install(package)),
    }
}

/// Whether Podman says nothing of itself because it has nothing to run containers with: the one that
/// its configuration names is not there, whatever else is installed.
fn no_runtime(e: &Error) -> bool {
    e.causes.iter().any(|cause| cause.contains("OCI runtime"))
}

fn runtime(facts: &Facts) -> Check {
    const ID: &str = "oci-runtime";
    let there = |name| facts.programs.get(name).is_some_and(Option::is_some);
    match &facts.info {
        Ok(info) if !info.host.oci_runtime.name.is_empty() => {
            Check::new(ID, Status::Pass, info.host.oci_runtime.name.as_str())
        }
        Err(e) if no_runtime(e) => Check::new(ID, Status::Fail, said(e)).fix(format!(
            "{}; or correct `runtime` in ~/.config/containers/containers.conf",
            install("crun")
        )),
        _ if there("crun") => Check::new(ID, Status::Pass, "crun"),
        _ if there("runc") => Check::new(ID, Status::Pass, "runc"),
        _ => {
            Check::new(ID, Status::Fail, "neither crun nor runc is installed").fix(install("crun"))
        }
    }
}

#[cfg(test)]
mod tests;
