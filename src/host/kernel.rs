//! What the kernel lets this user do: namespaces, ports, labels. Files of /proc and /sys.

use std::collections::BTreeSet;
use std::path::Path;

use camino::Utf8PathBuf;

/// What stands between a user and a namespace of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// How many user namespaces there may be (`user.max_user_namespaces`).
    pub most: Option<u64>,
    /// Whether users without root may make them (`kernel.unprivileged_userns_clone`, Debian's own).
    pub allowed: Option<bool>,
    /// Whether `AppArmor` takes their rights in them from programs without a profile
    /// (`kernel.apparmor_restrict_unprivileged_userns`, Ubuntu's own).
    pub restricted: bool,
    /// Whether Podman has a profile that lifts that.
    pub has_profile: bool,
}

/// The TCP ports of this host that something listens on.
pub type Listeners = BTreeSet<u16>;

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

pub(super) fn namespaces() -> Namespaces {
    Namespaces {
        most: number("/proc/sys/user/max_user_namespaces"),
        allowed: number("/proc/sys/kernel/unprivileged_userns_clone").map(|n| n != 0),
        restricted: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1),
        has_profile: Path::new("/etc/apparmor.d/podman").exists(),
    }
}

/// How many keys a user has in the kernel and may have (keyrings(7)): a container's runtime makes one
/// for each container. `None` where the kernel does not count them.
pub(super) fn keys(uid: u32) -> Option<(u64, u64)> {
    let users = std::fs::read_to_string("/proc/key-users").ok()?;
    match users.lines().find_map(|line| keys_of(line, uid)) {
        None => Some((0, number("/proc/sys/kernel/keys/maxkeys")?)),
        keys => keys,
    }
}

/// `UID: USAGE KEYS/INSTANTIATED KEYS/MOST BYTES/MOST`.
fn keys_of(line: &str, uid: u32) -> Option<(u64, u64)> {
    let (user, rest) = line.trim().split_once(':')?;
    let (has, most) = rest.split_whitespace().nth(2)?.split_once('/')?;
    (user == uid.to_string()).then_some((has.parse().ok()?, most.parse().ok()?))
}

/// The first port that a user may listen on.
pub(super) fn first_port() -> u16 {
    number("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .and_then(|n| u16::try_from(n).ok())
        .unwrap_or(1024)
}

pub(super) fn listeners() -> Listeners {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|text| listening(&text))
        .collect()
}

/// The ports in state LISTEN (0A) in the text of /proc/net/tcp.
fn listening(text: &str) -> Listeners {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next()?;
            (fields.nth(1)? == "0A").then_some(())?;
            u16::from_str_radix(local.rsplit(':').next()?, 16).ok()
        })
        .collect()
}

/// Whether `SELinux` is enforcing.
pub(super) fn selinux() -> bool {
    number("/sys/fs/selinux/enforce") == Some(1)
}

/// Those of the folders that are there and whose label no container may read (`container_t` reads
/// these two kinds).
pub(super) fn unlabelled(folders: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
    let readable = |folder: &&Utf8PathBuf| {
        let mut label = [0_u8; 256];
        let length = rustix::fs::getxattr(folder.as_std_path(), "security.selinux", &mut label[..]);
        let label = String::from_utf8_lossy(&label[..length.unwrap_or(0)]).into_owned();
        label.split([':', '\0']).any(|f| ["container_file_t", "container_ro_file_t"].contains(&f))
    };
    folders.iter().filter(|f| f.exists() && !readable(f)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue\n   \
            0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000\n   \
            1: 0100007F:A2C4 0100007F:1538 01 00000000:00000000 00:00000000\n   \
            2: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(listening(text).into_iter().collect::<Vec<_>>(), [22, 5432]);
        assert!(listening("").is_empty());
    }

    #[test]
    fn folders_are_judged_by_their_label() {
        // Without a label no container may read it.
        let here = Utf8PathBuf::from("/");
        if !selinux() {
            assert_eq!(unlabelled(std::slice::from_ref(&here)), [here]);
        }
        assert!(unlabelled(&["/not/there".into()]).is_empty());
    }
}
