//! The command line: types that clap parses, nothing that acts.

use std::ffi::OsString;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::{ImageKind, Name, Part, PodmanVersion, ProviderKind, SecretKey};

/// A home of its own for every `HybridRAG` instance: rootless Podman quadlets as systemd user
/// services, from one short manifest.
#[derive(Debug, Parser)]
#[command(
    name = "ragpod",
    version,
    about,
    propagate_version = false,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong use or invalid manifest, 3 host not able \
                  (see `ragpod doctor`), 4 no such instance or not running.\n\n\
                  Start here:\n  ragpod create notes --source ~/notes\n  ragpod up notes\n  \
                  ragpod ingest notes\n  ragpod query notes \"what did we decide about backups?\""
)]
pub struct Cli {
    /// Options that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print data as one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colour: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write the manifest of a new instance
    #[command(after_help = "Examples:\n  ragpod create notes --source ~/notes\n  \
        ragpod create work --provider azure --env-file .env --source '~/code:**/*.md'\n  \
        ragpod create big --set postgres.memory=4G --set engine.batch_size=20")]
    Create(Create),
    /// Show every instance: state, health, memory, restarts, documents
    #[command(visible_alias = "ls")]
    List,
    /// Print the units that an instance's manifest gives
    #[command(
        visible_alias = "generate",
        after_help = "Examples:\n  ragpod render notes\n  \
        ragpod render notes --output ./units --podman 5.4\n\nTouches nothing but DIR; needs \
        neither Podman nor a user bus."
    )]
    Render(Render),
    /// Show how the installed units differ from the manifest
    #[command(after_help = "Exit code 0 when they are the same, 1 when they differ.")]
    Diff(One),
    /// Install and start instances, wait until they are healthy
    #[command(
        after_help = "Examples:\n  ragpod up notes\n  ragpod up notes work --timeout 5min\n\n\
        Safe to run again: what has not changed is neither written nor restarted."
    )]
    Up(Up),
    /// Stop instances and take their units off the host; data stays
    #[command(
        after_help = "Examples:\n  ragpod down notes\n  ragpod down notes --volumes --yes\n\n\
        The manifest, the secrets and (without --volumes) the data stay: `ragpod up` brings \
        all of it back."
    )]
    Down(Down),
    /// Start instances that are installed
    Start(Wait),
    /// Stop instances; their units stay installed
    Stop(Wait),
    /// Restart instances
    Restart(Wait),
    /// Remove an instance from this host; data stays unless --data
    #[command(after_help = "Examples:\n  ragpod rm notes\n  ragpod rm notes --data --yes\n\n\
        Without --data the volumes and secrets stay, and `ragpod create notes` finds them again.")]
    Rm(Remove),
    /// Show units, health, memory, restarts, documents of instances
    #[command(visible_alias = "ps")]
    Status(Status),
    /// Show what an instance's services wrote to the journal
    #[command(after_help = "Examples:\n  ragpod logs notes -f\n  \
        ragpod logs notes -n 100 --since '1 hour ago' postgres")]
    Logs(Logs),
    /// Run a command in one of an instance's containers
    #[command(after_help = "Examples:\n  ragpod exec notes -- ls /data/projects\n  \
        ragpod exec notes --service postgres -it -- bash\n\nThe exit code is the command's own.")]
    Exec(Exec),
    /// Open psql on an instance's database
    #[command(after_help = "Examples:\n  ragpod psql notes\n  \
        ragpod psql notes -- -c 'select count(*) from lightrag_doc_status'")]
    Psql(Psql),
    /// Set up an instance's database: extensions, schema, model and dimension (`up` does it)
    Init(One),
    /// Ingest an instance's sources; unchanged files cost nothing
    #[command(after_help = "Examples:\n  ragpod ingest notes\n  \
        ragpod ingest notes --path ~/notes/2026 --pattern '**/*.md'\n  ragpod ingest notes --prune\n\n\
        Exit code 0 only when the database says that every document was taken in.")]
    Ingest(Ingest),
    /// Ask an instance a question
    #[command(after_help = "Examples:\n  ragpod query notes 'who owns the backup job?'\n  \
        ragpod query notes 'what changed in May?' --mode local --sources\n  \
        ragpod query notes 'what is a pod?' --json | jq -r .answer\n  \
        ragpod query notes -- '-f or --follow?'")]
    Query(Query),
    /// Ask an instance questions at a prompt
    Interactive(One),
    /// Set, replace, list and remove an instance's secrets
    #[command(subcommand)]
    Secret(Secret),
    /// Build and list the images that instances run
    #[command(subcommand)]
    Image(Image),
    /// Try to break each claim of instances' isolation, from inside their containers
    #[command(
        after_help = "Examples:\n  ragpod audit notes\n  ragpod audit --json | jq '.checks[] | \
        select(.status == \"fail\")'\n\nExit code 0 when no claim is broken, 1 when one is. What \
        could not be tried is skipped, with why; a named instance of which nothing runs gives 4."
    )]
    Audit(Audit),
    /// Check what this host needs, with the cure of each fault
    Doctor,
    /// Print a completion script
    #[command(after_help = "Examples:\n  ragpod completions bash > \
        ~/.local/share/bash-completion/completions/ragpod\n  ragpod completions fish > \
        ~/.config/fish/completions/ragpod.fish")]
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory, or print ragpod(1)
    Man {
        /// The directory
        dir: Option<camino::Utf8PathBuf>,
    },
}

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
    /// Set any key of the manifest; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Replace the manifest of an instance of that name
    #[arg(long)]
    pub force: bool,
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
    /// The instances' names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Name>,
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

/// `start`, `stop`, `restart`.
#[derive(Debug, Args)]
pub struct Wait {
    /// The instances' names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Name>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: WaitOptions,
}

/// `down`.
#[derive(Debug, Args)]
pub struct Down {
    /// The instances' names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Name>,
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
    /// The instance's name; all that run when none is given
    pub name: Option<Name>,
}

/// A service of an instance, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// The engine
    App,
    /// The database
    Postgres,
    /// The gateway
    Egress,
    /// The pod
    Pod,
}

impl Service {
    /// The part that it is.
    #[must_use]
    pub fn part(self) -> Part {
        match self {
            Service::App => Part::App,
            Service::Postgres => Part::Postgres,
            Service::Egress => Part::Egress,
            Service::Pod => Part::Pod,
        }
    }
}

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The instance's name
    pub name: Name,
    /// Go on printing new lines
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u32>,
    /// Only lines since then, as journalctl reads it: '1 hour ago', 'today', 2026-01-31
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<Service>,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The instance's name
    pub name: Name,
    /// The container to run it in: app, postgres or egress
    #[arg(long, default_value = "app", hide_possible_values = true)]
    pub service: Service,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `psql`.
#[derive(Debug, Args)]
pub struct Psql {
    /// The instance's name
    pub name: Name,
    /// Arguments for psql
    #[arg(last = true, value_name = "ARG")]
    pub args: Vec<String>,
}

/// `ingest`.
#[derive(Debug, Args)]
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
    /// Only say what would be done
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
    /// The instance's name
    pub name: Name,
    /// The question
    pub text: String,
    /// How to search
    #[arg(long, default_value = "hybrid")]
    pub mode: Mode,
    /// List the passages that the answer rests on
    #[arg(long)]
    pub sources: bool,
}

/// `secret`.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Store a secret, read from standard input
    #[command(after_help = "Example:\n  ragpod secret set work api-key < key.txt")]
    Set(SecretOne),
    /// Replace a secret that is in use; the database learns its new password
    #[command(after_help = "Examples:\n  ragpod secret rotate work postgres-password\n  \
        ragpod secret rotate work api-key < key.txt\n\nWhat the instance is answering is answered \
        first, then the engine is restarted; the database is not.")]
    Rotate(Rotate),
    /// List an instance's secrets; never their values
    List(One),
    /// Remove a secret
    Rm(SecretOne),
}

/// One secret.
#[derive(Debug, Args)]
pub struct SecretOne {
    /// The instance's name
    pub name: Name,
    /// The secret's key, as the manifest names it: api-key
    pub key: SecretKey,
}

/// `secret rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub secret: SecretOne,
    /// Make a new password of the database (so it is when standard input is a terminal)
    #[arg(long)]
    pub generate: bool,
    /// How long to wait for what the instance is doing, and until it is healthy again
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    pub timeout: std::time::Duration,
}

/// `image`.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Build images from the recipes that ragpod carries
    #[command(after_help = "Examples:\n  ragpod image build\n  \
        ragpod image build postgres --base docker.io/apache/age:release_PG17_1.6.0")]
    Build(ImageBuild),
    /// List ragpod's images on this host
    List,
}

/// `image build`.
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Which ones; all when none is named
    #[arg(value_name = "IMAGE", value_parser = word::<ImageKind>(ImageKind::ALL.map(ImageKind::as_str)))]
    pub which: Vec<ImageKind>,
    /// Build on this image instead of the recipe's own base
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,
}

/// A parser for one of a fixed set of words, so that help and completions list them.
fn word<T>(words: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|s| s.parse::<T>())
}

/// A systemd-like time span: `90`, `90s`, `5min`, `1h 30min`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(std::time::Duration::from_secs(seconds));
    }
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|d| std::time::Duration::try_from(d).ok())
        .ok_or_else(|| "write it like 90s, 5min or 1h30m".to_owned())
}

/// The verb and the instance of a command line, for the lock's "held by" line: nothing else that
/// was typed, since it could hold anything.
#[must_use]
pub fn summary(args: &[OsString]) -> String {
    let mut words = args.iter().skip(1).filter_map(|a| a.to_str()).filter(|a| !a.starts_with('-'));
    let verb = words.next().unwrap_or_default();
    match words.find_map(|w| w.parse::<Name>().ok()) {
        Some(name) => format!("ragpod {verb} {name}"),
        None => format!("ragpod {verb}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_summary_holds_no_value() {
        let of = |line: &str| summary(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("ragpod --json up demo --timeout 5min"), "ragpod up demo");
        assert_eq!(of("ragpod create --set env.X=s3cret demo"), "ragpod create demo");
        assert_eq!(of("ragpod list"), "ragpod list");
    }

    #[test]
    fn durations() {
        let d = |s| duration(s).map(|d| d.as_secs());
        assert_eq!(d("90"), Ok(90));
        assert_eq!(d("5min"), Ok(300));
        assert_eq!(d("1h30m"), Ok(5400));
        assert!(d("soon").is_err() && d("-5s").is_err());
    }
}
