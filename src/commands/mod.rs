//! The command-line front: each verb parses, calls an operation and prints what it gave.

mod data;
mod lifecycle;
mod man;
mod manifest;
mod progress;
mod tables;
mod talk;

use std::process::ExitCode;

use crate::cli::{Cli, Verb};
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
pub async fn run(cli: Cli, env: &Env, printer: &Printer, summary: &str) -> Result<ExitCode> {
    let front = Front { env, printer, summary };
    match cli.verb {
        Verb::Create(args) => manifest::create(&front, args).await,
        Verb::Render(args) => manifest::render(&front, &args),
        Verb::Diff(args) => manifest::diff(&front, &args),
        Verb::List => tables::list(&front).await,
        Verb::Status(args) => tables::status(&front, &args).await,
        Verb::Audit(args) => tables::audit(&front, &args).await,
        Verb::Doctor => tables::doctor(&front).await,
        Verb::Image(verb) => tables::image(&front, &verb).await,
        Verb::Secret(verb) => data::secret(&front, &verb).await,
        Verb::Up(args) => lifecycle::up(&front, &args).await,
        Verb::Down(args) => lifecycle::down(&front, &args).await,
        Verb::Rm(args) => lifecycle::rm(&front, &args).await,
        Verb::Start(args) => lifecycle::start(&front, &args).await,
        Verb::Stop(args) => lifecycle::stop(&front, &args).await,
        Verb::Restart(args) => lifecycle::restart(&front, &args).await,
        Verb::Init(args) => data::init(&front, &args).await,
        Verb::Ingest(args) => data::ingest(&front, &args).await,
        Verb::Query(args) => talk::query(&front, &args).await,
        Verb::Interactive(args) => talk::interactive(&front, &args).await,
        Verb::Logs(args) => talk::logs(&front, &args),
        Verb::Exec(args) => talk::exec(&front, args).await,
        Verb::Psql(args) => talk::psql(&front, args).await,
        Verb::Completions { shell } => man::completions(&front, shell),
        Verb::Man { dir } => man::pages(&front, dir.as_deref()),
    }
}
