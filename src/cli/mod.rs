//! The command line: types that clap parses, nothing that acts.

mod containers;
mod data;
mod engine;
mod files;
mod host;
mod instance;
mod schedule;
mod see;
mod values;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use containers::{Exec, Psql, Service};
pub use data::{Backup, CloneTo, Rename, Restore};
pub use engine::{Ingest, Mcp, McpConfig, Mode, Provider, Query, Reindex};
pub use files::{File, Way, is_file_name, staged};
pub use host::{Doctor, Image, ImageBuild, Rotate, Secret, SecretOne};
pub use instance::{
    Audit, Create, Down, Generations, Import, One, Remove, Render, Rollback, Status, Up, Wait,
    WaitOptions, Which,
};
pub use schedule::{Chore, Scheduled};
pub use see::{Graph, Logs, Names, SortKey, Top};

use crate::model::Name;

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
                  (see `ragpod doctor`), 4 no such instance or not running, 130 interrupted.\n\n\
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
    /// Run on another machine that has ragpod, over ssh (default: `RAGPOD_HOST`)
    #[arg(long, global = true, value_name = "[USER@]HOST")]
    pub host: Option<String>,
    /// Where the files of a command lie that another machine has sent
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    pub files: Option<camino::Utf8PathBuf>,
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
        ragpod create big --set postgres.memory=4G --set engine.batch_size=20\n  \
        ragpod create team-a --from-compose ~/code/hybridrag-team-a --import-data\n\n\
        What --from-compose finds is listed with where it went: a key of the manifest, a secret, \
        [env], or why nowhere. With --host, the folder is one of that machine.")]
    Create(Create),
    /// Bring the database of an old deployment into an instance
    #[command(after_help = "Examples:\n  ragpod import team-a ~/code/hybridrag-team-a\n  \
        ragpod import team-a hybridrag-postgres-team-a\n  ragpod import team-a old.dump.zst\n  \
        ragpod import team-a ~/code/hybridrag-team-a/data/postgres\n\n\
        The old data are only read: a data directory is copied first. The index must be one of the \
        embedding model and workspace that the manifest names; else it says what to set. What fails \
        or is interrupted leaves the instance as it was. With --host, SOURCE is on that machine.")]
    Import(Import),
    /// Show every instance: state, health, memory, restarts, documents
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  ragpod list\n  ragpod list -q\n  \
        ragpod list --json | jq -r '.instances[] | select(.state != \"running\").name'"
    )]
    List,
    /// Print the units that an instance's manifest gives
    #[command(
        visible_alias = "generate",
        after_help = "Examples:\n  ragpod render notes\n  \
        ragpod render notes --output ./units --podman 5.4\n\nTouches nothing but DIR; needs \
        neither Podman nor a user bus."
    )]
    Render(Render),
    /// Show how what is installed and runs differs from the manifest
    #[command(
        after_help = "Example:\n  ragpod diff notes\n\nCompares the manifest with the installed units (and says which of them \
        were edited by hand), and the installed units with what runs. Your drop-ins are listed, and \
        are no difference.\n\nExit code 0 when there is none, 1 when there is."
    )]
    Diff(One),
    /// Install and start instances, wait until they are healthy
    #[command(
        after_help = "Examples:\n  ragpod up notes\n  ragpod up notes work --timeout 5min\n  \
        ragpod up --all\n\n\
        Safe to run again: what has not changed is neither written nor restarted. When a change \
        does not become healthy and what ran before was, that is put back.\n\nWith --all, what rests \
        because nobody uses it (idle_stop) is installed and left at rest."
    )]
    Up(Up),
    /// Show the sets of units that an instance had, newest last
    #[command(after_help = "Examples:\n  ragpod generations notes\n  \
        ragpod generations notes --show 3")]
    Generations(Generations),
    /// Go back to an earlier set of units, and start it
    #[command(
        after_help = "Examples:\n  ragpod rollback notes\n  ragpod rollback notes --to 3\n\n\
        Without --to it is the last healthy one before the installed one. The manifest stays as \
        it is, and the next `ragpod up` follows it again; `generations --show` prints the \
        manifest as it was. Data, replaced secrets and the schedule do not go back."
    )]
    Rollback(Rollback),
    /// Stop instances and take their units off the host; data stays
    #[command(
        after_help = "Examples:\n  ragpod down notes\n  ragpod down notes --volumes --yes\n\n\
        The manifest, the secrets and (without --volumes) the data stay: `ragpod up` brings \
        all of it back."
    )]
    Down(Down),
    /// Start instances that are installed
    #[command(after_help = "Examples:\n  ragpod start notes work\n  \
        ragpod start --all --no-wait")]
    Start(Wait),
    /// Stop instances; their units stay installed, and no use or schedule starts them
    #[command(after_help = "Examples:\n  ragpod stop notes\n  ragpod stop --all")]
    Stop(Wait),
    /// Restart instances
    #[command(after_help = "Examples:\n  ragpod restart notes\n  ragpod restart --all")]
    Restart(Wait),
    /// Remove an instance from this host; data stays unless --data
    #[command(after_help = "Examples:\n  ragpod rm notes\n  ragpod rm notes --data --yes\n\n\
        Without --data the volumes and secrets stay, and `ragpod create notes` finds them again.")]
    Rm(Remove),
    /// Show units, health, memory, restarts, documents of instances
    #[command(
        visible_alias = "ps",
        after_help = "Examples:\n  ragpod status\n  ragpod status notes --json | jq .instances[0].state"
    )]
    Status(Status),
    /// Show what instances take and do now: CPU, memory, documents, questions
    #[command(after_help = "Examples:\n  ragpod top\n  ragpod top --sort memory\n  \
        ragpod top --once --json | jq '.instances[].cpu_percent'\n\nOn a terminal it goes on; \
        q leaves, c, m and n sort. CPU is a share of one processor. QUERIES are those since the \
        engine was started.")]
    Top(Top),
    /// Draw instances, their networks and gateways, and what each may reach
    #[command(after_help = "Examples:\n  ragpod graph\n  ragpod graph work --output work.svg\n\n\
        Drawn from the manifests: neither Podman nor a user bus is asked.")]
    Graph(Graph),
    /// Show what instances take on disk: database, engine, backups, state
    #[command(after_help = "Examples:\n  ragpod usage\n  ragpod usage notes --json")]
    Usage(Names),
    /// Show what the services of instances said, merged by time
    #[command(
        override_usage = "ragpod logs [OPTIONS] NAME… [SERVICE…]\n       \
        ragpod logs [OPTIONS] --all [SERVICE…]",
        after_help = "Examples:\n  ragpod logs notes -f\n  \
        ragpod logs notes -n 100 --since '1 hour ago' postgres\n  ragpod logs notes work -f\n\n\
        From the journal; where that has nothing of the containers, from Podman. What Podman \
        itself says of each start is shown with --verbose. --json prints the journal's entries, \
        a document a line."
    )]
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
    #[command(after_help = "Example:\n  ragpod init notes")]
    Init(One),
    /// Ingest an instance's sources; unchanged files cost nothing
    #[command(after_help = "Examples:\n  ragpod ingest notes\n  \
        ragpod ingest notes --path ~/notes/2026 --pattern '**/*.md'\n  ragpod ingest notes --prune\n\n\
        Exit code 0 only when the database says that every document was taken in; with profile = \
        \"custom\", the exit code of the engine's own command.")]
    Ingest(Ingest),
    /// Index everything anew, with the models that the manifest names now
    #[command(
        after_help = "Examples:\n  ragpod reindex notes\n  ragpod reindex notes --abandon\n\n\
        The old index stays until the new one is complete, and goes on answering if the embedding \
        model is the same. Ctrl-C stops; the next reindex goes on."
    )]
    Reindex(Reindex),
    /// Ask the provider of an instance for an embedding and a completion
    #[command(subcommand)]
    Provider(Provider),
    /// Ask an instance a question, or several at once
    #[command(
        override_usage = "ragpod query [OPTIONS] NAME TEXT\n       \
        ragpod query [OPTIONS] --on NAME,… TEXT\n       ragpod query [OPTIONS] --all TEXT",
        after_help = "Examples:\n  ragpod query notes 'who owns the backup job?'\n  \
        ragpod query notes 'what changed in May?' --mode local --sources\n  \
        ragpod query --on notes,work 'what did we decide about backups?'\n  \
        ragpod query notes 'what is a pod?' --json | jq -r .answer\n  \
        ragpod query notes 'what is a pod?' --context-only\n  \
        ragpod query notes -- '-f or --follow?'\n\nWith --on and --all, an instance that cannot \
        answer is told of and the others answer; the exit code is 0 when any did."
    )]
    Query(Query),
    /// Ask an instance questions at a prompt
    #[command(
        after_help = "Example:\n  ragpod interactive notes\n\nAt its prompt: `:help`. Ctrl-C \
        cancels an answer, Ctrl-D leaves."
    )]
    Interactive(One),
    /// Serve instances to a program that speaks the Model Context Protocol, over stdio
    #[command(
        after_help = "Examples:\n  ragpod mcp notes\n  ragpod mcp notes work --read-only\n\n\
        A program starts it: `ragpod mcp-config NAME` prints what to tell that program. It ends \
        when its standard input does."
    )]
    Mcp(Mcp),
    /// Print what a client of the Model Context Protocol takes to start `ragpod mcp`
    #[command(after_help = "Examples:\n  ragpod mcp-config notes\n  \
        ragpod mcp-config notes work --read-only --client vscode > .vscode/mcp.json")]
    McpConfig(McpConfig),
    /// Back up an instance: its database, its engine's volume, its manifest, in one file
    #[command(
        override_usage = "ragpod backup [OPTIONS] NAME\n       ragpod backup --verify NAME|FILE",
        after_help = "Examples:\n  ragpod backup notes\n  ragpod backup notes --keep 14\n  \
        ragpod backup notes -o /mnt/usb/notes.tar.zst\n  \
        ragpod backup notes -o - | ssh server 'cat > notes.tar.zst'\n  \
        ragpod backup notes --with-secrets=age1…\n  ragpod backup --list notes\n  \
        ragpod backup --verify notes\n\nThe instance goes on answering and ingesting: the database \
        is dumped as it was at one moment. The file is a tar in zstd (tar --zstd -xf FILE), \
        database.dump in it is for pg_restore. No secret is in it without --with-secrets."
    )]
    Backup(Backup),
    /// Restore a backup, into a new instance or into one that there is
    #[command(after_help = "Examples:\n  ragpod restore notes2 notes-20261125T020000Z.tar.zst\n  \
        ragpod restore notes FILE --yes\n  ragpod restore work FILE --identity key.txt\n\n\
        All of the file is checked first. Into an instance that is there, it is restored beside the \
        old data, which answer until the new ones are complete, and stay when anything fails.")]
    Restore(Restore),
    /// Copy an instance: the same manifest, secrets and a network of its own
    #[command(after_help = "Examples:\n  ragpod clone notes trial\n  \
        ragpod clone notes trial --data\n\nWith --data the original goes on answering.")]
    Clone(CloneTo),
    /// Give an instance another name
    #[command(after_help = "Example:\n  ragpod rename notes archive\n\n\
        The data are copied with the instance stopped, which takes their size on the disk once more \
        for that time. Generations are not taken along. What is cut off is completed by the same \
        command.")]
    Rename(Rename),
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
    /// Ingest what changes in an instance's sources, soon after it changed
    #[command(
        after_help = "Example:\n  ragpod watch notes\n\nA service does this for instances with \
        watch = true under [schedule]; an instance that is at rest is woken for it."
    )]
    Watch(One),
    /// What an instance does by itself: systemd runs this
    #[command(hide = true)]
    Scheduled(Scheduled),
    /// Check what this host needs, with the cure of each fault
    #[command(after_help = "Examples:\n  ragpod doctor\n  ragpod doctor --fix\n  \
        ragpod doctor --json | jq '.checks[] | select(.status == \"fail\")'\n\nExit code 0 when \
        instances can run here, 3 when something fails. --fix does what needs no root and stops \
        nothing that runs: it lets your systemd run without a login, starts its bus, builds \
        missing images, completes what a killed `up` began, and clears what killed commands left.")]
    Doctor(Doctor),
    /// Print a completion script
    #[command(after_help = "Examples:\n  dir=~/.local/share/bash-completion/completions; \
        mkdir -p $dir && ragpod completions bash > $dir/ragpod\n  mkdir -p ~/.config/fish/completions && \
        ragpod completions fish > ~/.config/fish/completions/ragpod.fish")]
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory, or print ragpod(1)
    #[command(after_help = "Examples:\n  ragpod man | man -l -\n  \
        ragpod man ~/.local/share/man/man1 && man -M ~/.local/share/man ragpod-query\n\n\
        Of a directory that is called man1, ragpod.toml(5) gets into man5 beside it.")]
    Man {
        /// The directory
        dir: Option<camino::Utf8PathBuf>,
    },
}

impl Verb {
    /// The instance that it is about, when that is one.
    #[must_use]
    pub fn instance(&self) -> Option<&Name> {
        fn only(names: &[Name]) -> Option<&Name> {
            match names {
                [name] => Some(name),
                _ => None,
            }
        }
        match self {
            Self::Create(Create { name, .. })
            | Self::Render(Render { name, .. })
            | Self::Diff(One { name })
            | Self::Generations(Generations { name, .. })
            | Self::Rollback(Rollback { name, .. })
            | Self::Exec(Exec { name, .. })
            | Self::Psql(Psql { name, .. })
            | Self::Init(One { name })
            | Self::Ingest(Ingest { name, .. })
            | Self::Import(Import { name, .. })
            | Self::Reindex(Reindex { name, .. })
            | Self::Provider(Provider::Test(One { name }))
            | Self::Interactive(One { name })
            | Self::Secret(
                Secret::Set(SecretOne { name, .. })
                | Secret::Rotate(Rotate { secret: SecretOne { name, .. }, .. })
                | Secret::List(One { name })
                | Secret::Rm(SecretOne { name, .. }),
            ) => Some(name),
            Self::Up(Up { which: Which { names, .. }, .. })
            | Self::Down(Down { which: Which { names, .. }, .. })
            | Self::Start(Wait { which: Which { names, .. }, .. })
            | Self::Stop(Wait { which: Which { names, .. }, .. })
            | Self::Restart(Wait { which: Which { names, .. }, .. })
            | Self::Rm(Remove { names, .. })
            | Self::Status(Status { names, .. })
            | Self::Audit(Audit { names })
            | Self::Mcp(Mcp { names, .. }) => only(names),
            _ => None,
        }
    }
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
}
