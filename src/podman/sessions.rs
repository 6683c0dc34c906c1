//! What is being run in containers through `podman exec`, seen without asking Podman: its command
//! lines are there from the moment that a session begins.

use std::path::Path;

use super::Podman;

impl Podman {
    /// The processes of this user that are a `podman exec` of `argv` in a container; what follows
    /// `argv` does not matter.
    #[must_use]
    pub fn sessions<S: AsRef<str>>(container: &str, argv: &[S]) -> Vec<u32> {
        let argv: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
        sessions_in(Path::new("/proc"), container, &argv)
    }
}

fn sessions_in(proc: &Path, container: &str, argv: &[&str]) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // Another user's may not be readable, and is none of ours.
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            is_session(&line, container, argv).then_some(pid)
        })
        .collect()
}

/// `line`: arguments, each ended by a NUL.
fn is_session(line: &[u8], container: &str, argv: &[&str]) -> bool {
    let args: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let program = args.first().and_then(|p| p.rsplit(|b| *b == b'/').next());
    if program != Some(b"podman") || args.get(1) != Some(&&b"exec"[..]) {
        return false;
    }
    let wanted = || std::iter::once(container).chain(argv.iter().copied()).map(str::as_bytes);
    args.windows(argv.len() + 1).any(|window| window.iter().copied().eq(wanted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, line) in [
            (
                "1",
                "/usr/bin/podman\0exec\0hybridrag-a-app\0python\0hybridrag.py\0query\0--text=x\0",
            ),
            ("2", "podman\0exec\0-it\0hybridrag-a-app\0python\0hybridrag.py\0query\0"),
            ("3", "podman\0exec\0hybridrag-b-app\0python\0hybridrag.py\0query\0"),
            ("4", "podman\0exec\0hybridrag-a-app\0python\0hybridrag.py\0status\0"),
            ("5", "podman\0ps\0hybridrag-a-app\0python\0hybridrag.py\0query\0"),
            ("6", "grep\0exec\0hybridrag-a-app\0python\0hybridrag.py\0query\0"),
            ("7", ""),
            ("self", "podman\0exec\0hybridrag-a-app\0python\0hybridrag.py\0query\0"),
        ] {
            std::fs::create_dir(dir.path().join(pid)).unwrap();
            std::fs::write(dir.path().join(pid).join("cmdline"), line).unwrap();
        }
        let query = ["python", "hybridrag.py", "query"];
        let mut found = sessions_in(dir.path(), "hybridrag-a-app", &query);
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
        assert!(sessions_in(Path::new("/nonexistent"), "a", &query).is_empty());
    }
}
