//! What came of the last run of each thing that an instance does by itself: `run-ingest.json` and
//! the like in its state directory.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::json;
use super::state::State;
use crate::error::Result;
use crate::model::{Chore, Name};

const VERSION: u64 = 1;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// When it ended (RFC 3339).
    pub at: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it failed; `None` when it did not.
    pub failed: Option<String>,
}

impl Run {
    fn file(state: &Utf8Path, name: &Name, chore: Chore) -> Utf8PathBuf {
        State::dir(state, name).join(format!("run-{}.json", chore.label()))
    }

    /// The last run of a chore; `None` when there was none.
    ///
    /// # Errors
    /// The file is corrupt or was written by a newer ragpod.
    pub fn load(state: &Utf8Path, name: &Name, chore: Chore) -> Result<Option<Self>> {
        json::read(&Self::file(state, name, chore), VERSION)
    }

    /// Remembers it as the last one.
    pub fn save(&self, state: &Utf8Path, name: &Name, chore: Chore) -> Result<()> {
        json::write(&Self::file(state, name, chore), VERSION, self)
    }

    /// Forgets the runs of a chore that is switched off.
    pub fn forget(state: &Utf8Path, name: &Name, chore: Chore) -> Result<()> {
        json::remove(&Self::file(state, name, chore))
    }
}
