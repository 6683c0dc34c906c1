//! Arguments of what systemd runs.

use clap::{Args, ValueEnum};

use crate::model::{self, Name};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Chore {
    /// An ingest
    Ingest,
    /// A backup
    Backup,
    /// The look whether anybody uses it
    Idle,
}

impl Chore {
    /// The model's word for it.
    #[must_use]
    pub fn chore(self) -> model::Chore {
        match self {
            Chore::Ingest => model::Chore::Ingest,
            Chore::Backup => model::Chore::Backup,
            Chore::Idle => model::Chore::Idle,
        }
    }
}

/// `scheduled`.
#[derive(Debug, Args)]
pub struct Scheduled {
    /// What to do
    pub what: Chore,
    /// The instance's name
    pub name: Name,
    /// Only this folder or file of a source; repeatable
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<camino::Utf8PathBuf>,
}
