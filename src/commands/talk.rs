//! Verbs that hand this process over to another program: its streams and exit code are the
//! user's, and nothing of ours stands between.

use std::process::ExitCode;

use super::Front;
use crate::cli::{Exec, Logs, One, Psql, Query};
use crate::error::Result;
use crate::exec::Cmd;
use crate::model::Part;
use crate::ops::progress::Silent;
use crate::ops::{self, Ctx};

impl Front<'_> {
    /// The context of an operation that ends before anything needs telling.
    pub(super) fn quiet(&self) -> Ctx<'_> {
        Ctx { env: self.env, progress: &Silent, summary: self.summary }
    }
}

/// Becomes the program: comes back only when that cannot be done.
fn become_program(program: &Cmd) -> Result<ExitCode> {
    Err(program.replace())
}

pub(super) async fn query(front: &Front<'_>, args: &Query) -> Result<ExitCode> {
    let question = ops::engine::Question {
        text: &args.text,
        mode: args.mode.as_str(),
        sources: args.sources,
        json: front.printer.json,
    };
    become_program(&ops::engine::query(front.quiet(), &args.name, question).await?)
}

pub(super) async fn interactive(front: &Front<'_>, args: &One) -> Result<ExitCode> {
    become_program(&ops::engine::interactive(front.quiet(), &args.name).await?)
}

pub(super) async fn exec(front: &Front<'_>, args: Exec) -> Result<ExitCode> {
    let streams = ops::engine::Streams { interactive: args.interactive, tty: args.tty };
    let part = args.service.part();
    become_program(
        &ops::engine::exec(front.quiet(), &args.name, part, streams, args.command).await?,
    )
}

pub(super) async fn psql(front: &Front<'_>, args: Psql) -> Result<ExitCode> {
    become_program(&ops::engine::psql(front.quiet(), &args.name, args.args).await?)
}

pub(super) fn logs(front: &Front<'_>, args: &Logs) -> Result<ExitCode> {
    let parts: Vec<Part> = args.services.iter().map(|s| s.part()).collect();
    let query = ops::lifecycle::LogQuery {
        parts: &parts,
        follow: args.follow,
        lines: args.lines,
        since: args.since.as_deref(),
        json: front.printer.json,
    };
    become_program(&ops::lifecycle::logs(front.quiet(), &args.name, query)?)
}
