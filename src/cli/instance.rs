//! Arguments of the verbs that an instance as a whole is made, changed and looked at with.

use clap::Args;

use super::values::{duration, word};
use crate::model::{Name, PodmanVersion, ProviderKind};

/// `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The new instance's name: lower-case letters, digits and '-'
    pub name: Name,
    /// Where embeddings and answers come from
    #[arg(long, value_name = "KIND", value_parser = word::<ProviderKind>(ProviderKind::ALL.map(ProviderKind::as_str)))]
    pub provider: Option<ProviderKind>,
    /// A folder to ingest, with a glob if only some of its files are wanted; repeatable
    #[arg(long = "source", value_name = "DIR[:PATTERN]")]
    pub sources: Vec<String>,
    /// A .env file: its secrets become Podman secrets, its settings go into the manifest
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<camino::Utf8PathBuf>,
    /// The folder of a Docker Compose deployment of HybridRAG, or its compose file: its settings go
    /// into the manifest, its secrets become Podman secrets
    #[arg(long, value_name = "DIR", conflicts_with = "env_file")]
    pub from_compose: Option<camino::Utf8PathBuf>,
    /// Start the instance, and bring the deployment's database over: from its running container,
    /// else from its data directory; or from SOURCE, as `ragpod import` takes it
    #[arg(
        long,
        value_name = "SOURCE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub import_data: Option<String>,
    /// Set any key of the manifest; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Replace the manifest of an instance of that name
    #[arg(long)]
    pub force: bool,
}

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The instance's name
    pub name: Name,
    /// A compose folder, a running container, a dump (SQL or an archive of `pg_dump`, gzip or zstd
    /// too), a data directory or a volume of one
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The database of the old server, when several have an index
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<String>,
    /// An image with the PostgreSQL of a data directory that is not of version 17
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Replace the documents that the instance has, without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// One instance.
#[derive(Debug, Args)]
pub struct One {
    /// The instance's name
    pub name: Name,
}

/// `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// The instance's name
    pub name: Name,
    /// Write each unit as a file into this directory
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<camino::Utf8PathBuf>,
    /// Render for this version of Podman instead of 5.4
    #[arg(long, value_name = "VERSION")]
    pub podman: Option<PodmanVersion>,
}

/// `up`.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: WaitOptions,
    /// Install, and start nothing that does not run
    #[arg(long)]
    pub no_start: bool,
    /// Leave a change in place that does not become healthy
    #[arg(long)]
    pub no_rollback: bool,
}

/// `generations`.
#[derive(Debug, Args)]
pub struct Generations {
    /// The instance's name
    pub name: Name,
    /// Print the units and the manifest of this one
    #[arg(long, value_name = "N")]
    pub show: Option<u32>,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The instance's name
    pub name: Name,
    /// The generation's number, as `generations` shows it
    #[arg(long, value_name = "N")]
    pub to: Option<u32>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: WaitOptions,
}

/// How long to wait.
#[derive(Debug, Args)]
pub struct WaitOptions {
    /// How long to wait until everything is healthy
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    pub timeout: std::time::Duration,
    /// Return as soon as the jobs are queued
    #[arg(long)]
    pub no_wait: bool,
}

/// Which instances.
#[derive(Debug, Args)]
pub struct Which {
    /// The instances' names
    #[arg(required_unless_present = "all", value_name = "NAME")]
    pub names: Vec<Name>,
    /// All instances, several at the same time
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

/// `start`, `stop`, `restart`.
#[derive(Debug, Args)]
pub struct Wait {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: WaitOptions,
}

/// `down`.
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: Which,
    /// Delete the data too: the database and what the engine keeps
    #[arg(long)]
    pub volumes: bool,
    /// Do not ask before deleting data
    #[arg(short, long)]
    pub yes: bool,
}

/// `rm`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The instances' names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Name>,
    /// Delete the data and the secrets too
    #[arg(long)]
    pub data: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The instances' names; all when none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
}

/// `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// The instances' names; all that run when none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
}
