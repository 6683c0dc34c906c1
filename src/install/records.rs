//! What long changes of an instance's data leave behind when they are cut off: which they were, and
//! how far they had come.

use serde::{Deserialize, Serialize};

use super::json::record;

/// A restore into an instance. What is in the database says whether the change over has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restoring {
    /// The command, without values.
    pub doing: String,
    /// Its process id.
    pub pid: u32,
    /// Whether an engine was healthy with the new data: from then on they are the instance's.
    #[serde(default)]
    pub proved: bool,
}

/// A rename, noted with the new name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // Each is a question of its own.
pub struct Renaming {
    /// The old name.
    pub from: String,
    /// Whether the instance ran, and so is to run under its new name.
    pub was_running: bool,
    /// Whether it was installed.
    pub installed: bool,
    /// Whether nobody used it, so that it was stopped and the next use is to start it.
    pub at_rest: bool,
    /// Whether all of it is there under the new name.
    pub copied: bool,
    /// What the old database's files were like when they were copied: another thing when somebody
    /// has started it since.
    #[serde(default)]
    pub stamp: Option<String>,
}

record!(Restoring, "restoring.json", 1);
record!(Renaming, "renaming.json", 1);
