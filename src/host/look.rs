//! The looks at a host that need no Podman and no bus.

use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::model::Part;
use crate::podman::quadlet::Generator;

/// Podman's own directories (containers.conf(5), `helper_binaries_dir` and `init_path`).
const HELPERS: [&str; 6] = [
    "/usr/local/libexec/podman",
    "/usr/local/lib/podman",
    "/usr/libexec/podman",
    "/usr/lib/podman",
    "/usr/libexec/catatonit",
    "/usr/lib/catatonit",
];

/// Where a program that Podman calls is.
pub(super) fn program(name: &str) -> Option<Utf8PathBuf> {
    let helper = HELPERS.iter().map(|dir| Utf8Path::new(dir).join(name)).find(|p| p.is_file());
    let in_path = || which::which(name).ok().and_then(|p| Utf8PathBuf::from_path_buf(p).ok());
    // A user's PATH may lack where administrators' programs are; Podman looks there by itself.
    let sbin = || {
        ["/usr/sbin", "/sbin"]
            .map(|d| Utf8Path::new(d).join(name))
            .into_iter()
            .find(|p| p.is_file())
    };
    helper.or_else(in_path).or_else(sbin)
}

/// Whether the user's systemd runs without a login (loginctl(1), `enable-linger`): logind keeps
/// an empty file.
pub(super) fn linger(user: &str) -> bool {
    Path::new("/var/lib/systemd/linger").join(user).exists()
}

/// How many subordinate ids a user has in a file such as `/etc/subuid`.
pub(super) fn subids(file: &str, user: &str, uid: u32) -> Option<u64> {
    std::fs::read_to_string(file).ok().map(|text| count_subids(&text, user, uid))
}

/// subuid(5): `USER-OR-UID:FIRST:COUNT` lines.
fn count_subids(text: &str, user: &str, uid: u32) -> u64 {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            let count = fields.nth(1)?.trim().parse::<u64>().ok()?;
            (owner == user || owner == uid).then_some(count)
        })
        .sum()
}

/// The controllers that the user's manager may use; `None` when control groups are not of
/// version 2 (cgroups(7)).
pub(super) fn controllers(uid: u32) -> Option<Vec<String>> {
    let all = host_controllers()?;
    let slice = format!("user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    // Without a manager the whole host's: there is nothing closer to look at.
    let Ok(text) = std::fs::read_to_string(Path::new(CGROUPS).join(slice)) else {
        return Some(all);
    };
    Some(text.split_whitespace().map(str::to_owned).collect())
}

const CGROUPS: &str = "/sys/fs/cgroup";

/// The controllers of the whole host; `None` when control groups are not of version 2.
pub(super) fn host_controllers() -> Option<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(CGROUPS).join("cgroup.controllers")).ok()?;
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// What a service of the user's takes, where systemd has put it.
pub(super) fn memory(uid: u32, service: &str) -> Option<u64> {
    let slice = format!("user.slice/user-{uid}.slice/user@{uid}.service/app.slice");
    let file = Path::new("/sys/fs/cgroup").join(slice).join(service).join("memory.current");
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Free bytes for this user on the file system of the nearest directory that exists.
pub(super) fn free(path: &Utf8Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(there.as_std_path()).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// Free inodes on the file system of the nearest directory that exists; `None` where it has no
/// fixed number of them.
pub(super) fn free_inodes(path: &Utf8Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(there.as_std_path()).ok()?;
    (stat.files() > 0).then(|| stat.files_available())
}

/// Whether a program has root's rights, or some of them, when a user starts it: setuid, or a
/// capability of the file (capabilities(7)). One that is not there has none.
pub(super) fn is_privileged(name: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let Some(path) = program(name) else { return false };
    let setuid = std::fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o4000 != 0);
    let mut value = [0_u8; 64];
    setuid
        || rustix::fs::getxattr(path.as_std_path(), "security.capability", &mut value[..]).is_ok()
}

/// Whether systemd runs Podman's generator for users (systemd.generator(7)).
pub(super) fn generator_linked() -> bool {
    ["/usr/lib", "/usr/local/lib", "/lib", "/etc", "/run"]
        .iter()
        .any(|root| Path::new(root).join("systemd/user-generators/podman-user-generator").is_file())
}

/// What the generator says against the units that are installed in `units`, or, where there are
/// none, against a small pod that every generator of Podman 5 understands.
pub(super) fn generated(generator: &Generator, units: &Utf8Path) -> Result<Vec<String>> {
    let installed: Vec<String> = units
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(|entry| Part::of_file(entry.ok()?.file_name()))
        .map(|(name, part)| part.service(&name))
        .collect();
    if !installed.is_empty() {
        return against(generator, units, &installed);
    }
    let failed = |e: &std::io::Error| Error::io("write", "a unit to try the generator with", e);
    let dir = tempfile::tempdir().map_err(|e| failed(&e))?;
    std::fs::write(dir.path().join("doctor.pod"), "[Pod]\n").map_err(|e| failed(&e))?;
    let dir = Utf8Path::from_path(dir.path())
        .ok_or_else(|| Error::host("the folder for temporary files is not UTF-8"))?;
    against(generator, dir, &["doctor-pod.service".to_owned()])
}

fn against(generator: &Generator, dir: &Utf8Path, wanted: &[String]) -> Result<Vec<String>> {
    let run = generator.dry_run(dir)?;
    let missing = wanted.iter().filter(|service| !run.services.contains_key(*service));
    let mut said: Vec<String> = missing.map(|service| format!("it makes no {service}")).collect();
    if !said.is_empty() {
        said.extend(run.messages);
    }
    Ok(said)
}

/// Whether the user's systemd has its own socket, but the bus has none.
pub(super) fn bus_only_missing(env: &Env) -> bool {
    env.runtime_dir.as_ref().is_some_and(|dir| {
        dir.join("systemd/private").exists()
            && std::os::unix::net::UnixStream::connect(dir.join("bus")).is_err()
    })
}

/// Those of the folders that are there and that this user cannot change.
pub(super) fn read_only(dirs: impl IntoIterator<Item = Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    use nix::unistd::{AccessFlags, access};
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    let mut found: Vec<Utf8PathBuf> = dirs
        .into_iter()
        // One that is not there yet will be made in the nearest that is.
        .filter_map(|dir| dir.ancestors().find(|p| p.exists()).map(Utf8Path::to_owned))
        .filter(|dir| access(dir.as_std_path(), all).is_err())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The time, in seconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

/// The newest of these files, of this program's own and of the clock that systemd-timesyncd keeps
/// on disk, and its time in seconds since 1970. No file is younger than the clock unless the clock
/// went back.
pub(super) fn newest(files: &[Utf8PathBuf]) -> Option<(Utf8PathBuf, u64)> {
    use std::os::unix::fs::MetadataExt;
    let usual = [Utf8PathBuf::from("/var/lib/systemd/timesync/clock")];
    let program = std::env::current_exe().ok().and_then(|p| Utf8PathBuf::from_path_buf(p).ok());
    files
        .iter()
        .cloned()
        .chain(usual)
        .chain(program)
        .filter_map(|path| {
            let at = std::fs::metadata(&path).ok()?.mtime();
            Some((path, u64::try_from(at).ok()?))
        })
        .max_by_key(|(_, at)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_added_up() {
        let text = "ann:100000:65536\nbob:165536:65536\n1000:300000:10\nann:400000:x\n# c\n\n";
        assert_eq!(count_subids(text, "ann", 1000), 65546);
        assert_eq!(count_subids(text, "eve", 1001), 0);
        assert_eq!(subids("/nonexistent", "ann", 1), None);
    }

    #[test]
    fn looks() {
        assert!(program("sh").is_some());
        assert!(program("no-such-program-here").is_none());
        assert!(free(Utf8Path::new("/tmp/not/there/yet")).is_some_and(|b| b > 0));
        assert!(!linger("no-such-user-here"));
    }
}
