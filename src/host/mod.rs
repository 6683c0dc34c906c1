//! What a host needs: facts are gathered once, and judged by small pure functions.
//!
//! Every check says what it saw and, where that is no good, what cures it. [`Status::Fail`] means
//! that an instance cannot run here; [`Status::Warn`] that it can, with something less.

mod checks;
mod facts;
mod look;

use serde::Serialize;

pub use checks::checks;
pub use facts::{Facts, IdMap, Info, Manager};

/// Whether the user's systemd can limit memory: control groups of version 2 with that controller
/// delegated. Reads one file.
#[must_use]
pub fn limits_memory(uid: u32) -> bool {
    look::controllers(uid).is_some_and(|all| all.iter().any(|c| c == "memory"))
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
