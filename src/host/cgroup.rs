//! What the processes of a control group take: small files of the kernel, no call of anybody.

use std::path::{Path, PathBuf};

/// Where control groups of version 2 are.
const ROOT: &str = "/sys/fs/cgroup";

fn dir(group: &str) -> PathBuf {
    Path::new(ROOT).join(group.trim_start_matches('/'))
}

/// The processor time that a control group took so far, in microseconds; no controller is needed
/// for it.
#[must_use]
pub fn cpu_microseconds(group: &str) -> Option<u64> {
    let text = std::fs::read_to_string(dir(group).join("cpu.stat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok())
}

/// The memory that a control group takes, in bytes. Where the host's kernel does not count it
/// (`memory.current`), it is the sum of what each process takes, shared pages in parts
/// (`Pss`, see `proc_pid_smaps(5)`); `None` when one of them cannot be looked at.
#[must_use]
pub fn memory_bytes(group: &str) -> Option<u64> {
    let dir = dir(group);
    if let Ok(text) = std::fs::read_to_string(dir.join("memory.current")) {
        return text.trim().parse().ok();
    }
    let mut sum = 0;
    for pid in processes(&dir) {
        match std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            Ok(text) => sum += pss(&text)?,
            // It has ended meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) if e.raw_os_error() == Some(nix::libc::ESRCH) => {}
            Err(_) => return None,
        }
    }
    Some(sum)
}

/// `Pss:` in `/proc/PID/smaps_rollup`, in bytes.
fn pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The processes of a control group and of all below it.
fn processes(dir: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(processes(&entry.path()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_pages_count_in_parts() {
        let text =
            "0-1 ---p 00000000 00:00 0 [rollup]\nRss:  740 kB\nPss:   96 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(pss(text), Some(98_304));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn a_group_that_is_not_there_takes_nothing_known() {
        assert_eq!(cpu_microseconds("/no/such/group"), None);
        assert_eq!(memory_bytes("/no/such/group"), Some(0));
    }
}
