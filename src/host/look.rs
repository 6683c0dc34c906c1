//! The looks at a host that need no Podman and no bus.

use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};

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
    let root = Path::new("/sys/fs/cgroup");
    let all = std::fs::read_to_string(root.join("cgroup.controllers")).ok()?;
    let slice = format!("user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    // Without a manager the whole host's: there is nothing closer to look at.
    let text = std::fs::read_to_string(root.join(slice)).unwrap_or(all);
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// Free bytes for this user on the file system of the nearest directory that exists.
pub(super) fn free(path: &Utf8Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(there.as_std_path()).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
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
