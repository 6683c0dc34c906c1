//! Arguments of the verbs that an instance's engine is asked with.

use clap::{Args, Subcommand, ValueEnum};

use super::One;
use super::values::word;
use crate::mcp::config::Client;
use crate::model::Name;

/// `ingest`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is an option of its own.
pub struct Ingest {
    /// The instance's name
    pub name: Name,
    /// Only this folder or file of a source; repeatable
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<camino::Utf8PathBuf>,
    /// Which files, as a glob, instead of the manifest's pattern
    #[arg(long, value_name = "GLOB")]
    pub pattern: Option<String>,
    /// Do not go into sub-folders
    #[arg(long)]
    pub no_recursive: bool,
    /// Remove documents whose files are gone
    #[arg(long)]
    pub prune: bool,
    /// With --prune: also where no file at all is left
    #[arg(long, requires = "prune")]
    pub yes: bool,
    /// Only say what would be done: files, sizes, and about how many tokens
    #[arg(long)]
    pub dry_run: bool,
}

/// How the engine searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// By the entities that the question names
    Local,
    /// By the relations between entities
    Global,
    /// Local and global
    Hybrid,
    /// By passages alone
    Naive,
    /// The graph and passages together
    Mix,
}

impl Mode {
    /// The engine's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Local => "local",
            Mode::Global => "global",
            Mode::Hybrid => "hybrid",
            Mode::Naive => "naive",
            Mode::Mix => "mix",
        }
    }
}

/// `query`.
#[derive(Debug, Args)]
pub struct Query {
    /// The instance's name (not with --on or --all), and the question
    #[arg(required = true, value_names = ["NAME", "TEXT"])]
    pub words: Vec<String>,
    /// Ask these instances at once; each answer says whose it is
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "all")]
    pub on: Vec<Name>,
    /// Ask every instance at once
    #[arg(long)]
    pub all: bool,
    /// How to search: local (entities), global (relations), hybrid (both), naive (passages alone),
    /// mix (graph and passages)
    #[arg(long, default_value = "hybrid", hide_possible_values = true)]
    pub mode: Mode,
    /// List the passages that the answer rests on
    #[arg(long)]
    pub sources: bool,
    /// Print the passages instead of an answer
    #[arg(long)]
    pub context_only: bool,
}

/// `reindex`.
#[derive(Debug, Args)]
pub struct Reindex {
    /// The instance's name
    pub name: Name,
    /// Remove what an earlier reindex left unfinished
    #[arg(long)]
    pub abandon: bool,
    /// Change over although documents of the old index are not in the new one
    #[arg(long, conflicts_with = "abandon")]
    pub drop_missing: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `provider`.
#[derive(Debug, Subcommand)]
pub enum Provider {
    /// One embedding and one completion, through the gateway; what does not work, with its cure
    #[command(
        after_help = "Example:\n  ragpod provider test work\n\nExit code 1 when the provider \
        does not work. It tells a wrong key from a wrong model or deployment, a wrong host and a \
        gateway that does not let the engine through."
    )]
    Test(One),
}

/// `mcp`.
#[derive(Debug, Args)]
pub struct Mcp {
    /// The instances' names; the client sees no other
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Name>,
    /// Leave out the tools that change something: ingest
    #[arg(long)]
    pub read_only: bool,
}

/// `mcp-config`.
#[derive(Debug, Args)]
pub struct McpConfig {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub mcp: Mcp,
    /// The program that is to start it
    #[arg(long, value_name = "CLIENT", default_value = "claude",
        value_parser = word::<Client>(Client::ALL.map(Client::as_str)))]
    pub client: Client,
}
