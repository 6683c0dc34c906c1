//! What a host needs: facts are gathered once, and judged by small pure functions.
//!
//! Every check says what it saw and, where that is no good, what cures it. [`Status::Fail`] means
//! that an instance cannot run here; [`Status::Warn`] that it can, with something less.

pub mod cgroup;
mod checks;
mod facts;
mod info;
mod kernel;
mod look;
mod records;
mod remedy;

use serde::Serialize;

pub use checks::checks;
pub use facts::{Facts, IdMap, Manager, NetworkOnline};
pub use info::{Info, InfoHost, InfoStore};
pub use kernel::{Listeners, Namespaces};
pub use records::{Published, Records, Unfinished, published_port};
pub use remedy::{NETWORK_DROP_IN, Remedy, remedies};

/// Whether the user's systemd can limit memory: control groups of version 2 with that controller
/// delegated. Reads one file.
#[must_use]
pub fn limits_memory(uid: u32) -> bool {
    look::controllers(uid).is_some_and(|all| all.iter().any(|c| c == "memory"))
}

/// How much memory a service of the user's takes, in bytes, as the kernel counts it; `None` of what
/// does not run, and where nobody counts. Reads one file.
#[must_use]
pub fn memory_of(uid: u32, service: &str) -> Option<u64> {
    look::memory(uid, service)
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Pass,
    /// It could not be looked at.
    Skip,
    /// It works, with something less.
    Warn,
    /// An instance cannot run.
    Fail,
}

/// One check, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, stable.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What to type, where it is not as it should be.
    pub fix: Option<String>,
}

impl Check {
    pub(crate) fn new(id: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self { id, status, detail: detail.into(), fix: None }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}
