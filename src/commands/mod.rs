//! The command-line front: each verb parses, calls an operation and prints what it gave.

mod data;
mod doctor;
mod generations;
mod keep;
mod lifecycle;
mod logs;
mod man;
mod manifest;
mod mcp;
mod progress;
mod remote;
mod schedule;
mod see;
mod tables;
mod talk;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::{self, Cli, Verb};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ops::Ctx;
use crate::output::Printer;
use progress::Live;

/// What a verb is given.
struct Front<'a> {
    env: &'a Env,
    printer: &'a Printer,
    summary: &'a str,
}

impl Front<'_> {
    /// Runs an operation with live progress.
    async fn with<T>(&self, run: impl AsyncFnOnce(Ctx<'_>) -> Result<T>) -> Result<T> {
        let live = Live::new(self.printer);
        run(Ctx { env: self.env, progress: &live, summary: self.summary }).await
    }

    /// Asks before something is destroyed. Without a terminal there is nobody to ask, so `--yes`
    /// must have been given.
    fn confirm(&self, what: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !(self.env.stdin_tty && self.env.stderr_tty) {
            return Err(Error::usage(format!("{what}: not done without being sure"))
                .hint("say so with --yes: there is no terminal to ask on"));
        }
        if self.printer.ask(what)? {
            Ok(())
        } else {
            Err(Error::failed("not done").hint("answer y, or give --yes"))
        }
    }
}

/// Runs the command line. The exit code is 0, or what the command inside an instance gave.
/// `typed` are all of its words.
pub async fn run(
    mut cli: Cli,
    env: &Env,
    printer: &Printer,
    typed: &[OsString],
) -> Result<ExitCode> {
    let front = Front { env, printer, summary: &cli::summary(typed) };
    let instance = cli.verb.instance().cloned();
    let about = |e: Error| match &instance {
        Some(name) => e.about(name),
        None => e,
    };
    if let Some(host) = remote::host(&front, cli.global.host.as_deref(), &cli.verb)? {
        return remote::run(&front, &host, &mut cli.verb, typed).await;
    }
    let Some(dir) = &cli.global.files else { return act(front, cli.verb).await.map_err(about) };
    // People know their files by the names that they typed.
    let names = cli.verb.take_from(dir, camino::Utf8Path::exists);
    let names: Vec<(String, String)> =
        names.into_iter().map(|(at, typed)| (at.into(), typed.into())).collect();
    let printer = &printer.clone().calling(names.clone());
    act(Front { printer, ..front }, cli.verb)
        .await
        .map_err(about)
        .map_err(|e| names.iter().fold(e, |e, (place, typed)| e.rename(place, typed)))
}

async fn act(front: Front<'_>, verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Create(args) => manifest::create(&front, args).await,
        Verb::Import(args) => data::import(&front, &args).await,
        Verb::Render(args) => manifest::render(&front, &args),
        Verb::Diff(args) => manifest::diff(&front, &args).await,
        Verb::List => tables::list(&front).await,
        Verb::Status(args) => tables::status(&front, &args).await,
        Verb::Audit(args) => tables::audit(&front, &args).await,
        Verb::Doctor(args) => doctor::doctor(&front, &args).await,
        Verb::Image(verb) => tables::image(&front, &verb).await,
        Verb::Secret(verb) => data::secret(&front, &verb).await,
        Verb::Up(args) => lifecycle::up(&front, &args).await,
        Verb::Generations(args) => generations::list(&front, &args),
        Verb::Rollback(args) => generations::rollback(&front, &args).await,
        Verb::Down(args) => lifecycle::down(&front, &args).await,
        Verb::Rm(args) => lifecycle::rm(&front, &args).await,
        Verb::Start(args) => lifecycle::start(&front, &args).await,
        Verb::Stop(args) => lifecycle::stop(&front, &args).await,
        Verb::Restart(args) => lifecycle::restart(&front, &args).await,
        Verb::Init(args) => data::init(&front, &args).await,
        Verb::Ingest(args) => data::ingest(&front, &args).await,
        Verb::Reindex(args) => data::reindex(&front, &args).await,
        Verb::Backup(args) => keep::backup(&front, &args).await,
        Verb::Restore(args) => keep::restore(&front, &args).await,
        Verb::Clone(args) => keep::clone(&front, &args).await,
        Verb::Rename(args) => keep::rename(&front, &args).await,
        Verb::Provider(verb) => tables::provider(&front, &verb).await,
        Verb::Query(args) => talk::query(&front, &args).await,
        Verb::Interactive(args) => talk::interactive(&front, &args).await,
        Verb::Mcp(args) => mcp::serve(&front, args).await,
        Verb::McpConfig(args) => mcp::config(&front, &args),
        Verb::Watch(args) => schedule::watch(&front, &args).await,
        Verb::Scheduled(args) => schedule::scheduled(&front, &args).await,
        Verb::Top(args) => top::top(&front, &args).await,
        Verb::Graph(args) => see::graph(&front, &args),
        Verb::Usage(args) => see::usage(&front, &args),
        Verb::Logs(args) => logs::logs(&front, &args),
        Verb::Exec(args) => talk::exec(&front, args).await,
        Verb::Psql(args) => talk::psql(&front, args).await,
        Verb::Completions { shell } => man::completions(&front, shell),
        Verb::Man { dir } => man::pages(&front, dir.as_deref()),
    }
}
