//! The folder of a Docker Compose deployment, read for what an instance needs to know of it.
//!
//! Whatever the compose file and its env files have ends in one [`Finding`]: where it went, why it
//! is not needed, or that it was not understood. No finding has a variable's value in it, because
//! any of them may be a secret. The texts come through a [`Folder`], so that this is pure.

mod interpolate;
mod reader;
mod service;
#[cfg(test)]
mod tests;
mod top;
mod variables;
mod volumes;
mod yaml;

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;
use serde::Serialize;

use super::problem::Problem;
use crate::model::{EnvName, ProviderKind, SecretKey, Text};

/// What compose files are called, the one that compose would take first.
pub const FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Files that compose would lay over the first.
pub const OVERRIDES: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What to do about files that compose would merge.
pub const MERGE: &str = "let compose merge them: docker compose config > resolved.yaml, then \
                         --from-compose resolved.yaml";

/// What there is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// A folder.
    Folder,
    /// Something else.
    File,
}

/// The surroundings of a compose file. All paths are absolute.
pub trait Folder {
    /// The folder that relative paths start from.
    fn root(&self) -> &Utf8Path;
    /// What a path that begins with `~` starts from.
    fn home(&self) -> &Utf8Path;
    /// What there is at a path.
    fn look(&self, path: &Utf8Path) -> There;
    /// A file's bytes; `None` when there is no such file.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, String>;
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is in the manifest.
    Taken,
    /// It is a secret.
    Secret,
    /// The engine gets it, through `[env]`.
    PassedOn,
    /// The instance needs none of it.
    NotNeeded,
    /// It means something else from now on.
    Warning,
    /// Nothing was done with it.
    NotUnderstood,
}

/// What became of one thing in the compose file or an env file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as seen from the folder.
    pub file: String,
    /// The line, from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// The key, such as `services.app.ports`, or a variable's name.
    pub key: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Where it went, or why it did not.
    pub detail: String,
}

impl fmt::Display for Finding {
    /// `FILE:LINE: KEY: DETAIL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// Where the old database's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In a folder.
    Folder(Utf8PathBuf),
    /// In a volume, under one of these names.
    Volume(Vec<String>),
}

/// The database of the old deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Its service.
    pub service: String,
    /// `container_name`, where it has one.
    pub container: Option<String>,
    /// Its image, where it names one.
    pub image: Option<String>,
    /// Where its files lie, where that is said.
    pub data: Option<Data>,
    /// The database's name, where it is said.
    pub database: Option<String>,
}

/// What a compose folder says of an instance.
#[derive(Debug, Default)]
pub struct Deployment {
    /// The project's name, as compose has it.
    pub project: String,
    /// What became of each thing, in the order of the files.
    pub findings: Vec<Finding>,
    /// Manifest keys and their values, for [`super::New::set_text`].
    pub settings: Vec<(&'static str, String)>,
    /// Whether it starts with the machine, where that is said.
    pub autostart: Option<bool>,
    /// Secrets to be stored.
    pub secrets: Vec<(SecretKey, SecretString)>,
    /// Variables of the engine, for `[env]`.
    pub env: Vec<(EnvName, Text)>,
    /// Folders to ingest, the one that was at `/data/projects` first.
    pub sources: Vec<Utf8PathBuf>,
    /// The old database.
    pub database: Option<Database>,
}

/// Reads a compose file. `file` is what it is called in the folder; `chosen` is the provider that
/// somebody asked for, whatever the variables speak of.
///
/// # Errors
/// What is wrong with the files, all problems of one at once.
pub fn read(
    folder: &dyn Folder,
    file: &str,
    text: &str,
    chosen: Option<ProviderKind>,
) -> Result<Deployment, Vec<Problem>> {
    reader::read(folder, file, text, chosen)
}
