//! The one door to Podman: its command line, and its quadlet generator.
//!
//! Each call of `podman` costs some 50 ms before it does anything, so there is one call for all
//! instances wherever that can be. Secrets travel through standard input only.

mod aside;
mod containers;
mod images;
mod inspect;
pub mod quadlet;
mod secrets;
mod see;
mod sessions;
mod version;

pub use aside::{Aside, Seen};
pub use containers::{Container, ExecOptions};
pub use images::{Build, Listed};
pub use inspect::{
    Attachment, Binding, HostConfig, Inspected, Mount, NetworkInfo, NetworkSettings, Ports, Running,
};
pub use secrets::SecretValue;
pub use see::{Logs, VolumeSize};
pub use version::{parse_version, require};

use crate::error::Result;
use crate::exec::Cmd;

/// The label that everything of an instance has: `io.ragpod.instance=NAME`.
pub const INSTANCE_LABEL: &str = "io.ragpod.instance";

/// The `podman` program.
#[derive(Clone, Debug)]
pub struct Podman {
    program: String,
}

impl Default for Podman {
    fn default() -> Self {
        Self { program: "podman".to_owned() }
    }
}

impl Podman {
    /// `podman` as found in `PATH`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another program that understands the same command line.
    #[must_use]
    pub fn at(program: impl Into<String>) -> Self {
        Self { program: program.into() }
    }

    fn cmd<const N: usize>(&self, args: [&str; N]) -> Cmd {
        Cmd::new(&self.program).args(args)
    }
}

/// What is listed, and then looked at in another call: again while the list is another one after a
/// look that failed, for what is listed may go before it is looked at.
fn settled<L, I: PartialEq, T>(
    list: impl Fn() -> Result<L>,
    identity: impl Fn(&L) -> I,
    look: impl Fn(&L) -> Result<T>,
) -> Result<(L, T)> {
    /// Each takes some 100 ms; things that come and go all the time would keep it up for ever.
    const LOOKS: u32 = 10;
    let mut listed = list()?;
    let mut looks = 1;
    loop {
        match look(&listed) {
            Ok(seen) => return Ok((listed, seen)),
            Err(e) => {
                let now = list()?;
                if looks == LOOKS || identity(&now) == identity(&listed) {
                    return Err(e);
                }
                listed = now;
            }
        }
        looks += 1;
    }
}

/// A stand-in for `podman` in tests: a shell script that answers by its arguments.
#[cfg(test)]
pub(crate) mod fake {
    use super::Podman;
    use std::os::unix::fs::PermissionsExt;

    /// `body` runs with Podman's arguments; `$0.log` holds all calls.
    pub(crate) fn podman(body: &str) -> (tempfile::TempDir, Podman) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("podman");
        let script = format!("#!/bin/sh\necho \"$*\" >> \"$0.log\"\n{body}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let podman = Podman::at(path.to_str().unwrap());
        (dir, podman)
    }

    /// What it was called with, one call a line.
    pub(crate) fn calls(dir: &tempfile::TempDir) -> String {
        std::fs::read_to_string(dir.path().join("podman.log")).unwrap_or_default()
    }
}
