//! `up`, `down`, `start`, `stop`, `restart`, `rm`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Front;
use crate::cli::{Down, Remove, Up, Wait, WaitOptions};
use crate::error::{Error, Kind, Result};
use crate::model::Name;
use crate::ops::down::Kept;
use crate::ops::lifecycle::Action;
use crate::ops::up::Outcome;
use crate::ops::{self, Ctx};

impl From<&WaitOptions> for ops::Waiting {
    fn from(options: &WaitOptions) -> Self {
        Self { timeout: options.timeout, wait: !options.no_wait }
    }
}

/// Runs an operation on each instance in turn; it gives a word for programs and a sentence for
/// people. One that fails does not keep the others from theirs: its error is printed, and the
/// last one decides the exit code. Ctrl-C ends all.
async fn each(
    front: &Front<'_>,
    names: &[Name],
    run: impl AsyncFn(Ctx<'_>, &Name) -> Result<(Value, String)>,
) -> Result<ExitCode> {
    let mut last: Option<Error> = None;
    let mut done = Vec::new();
    for name in names {
        let result = front
            .with(async |ctx| {
                let (value, sentence) = run(ctx, name).await?;
                ctx.progress.done(&sentence);
                Ok(value)
            })
            .await;
        match result {
            Ok(value) => done.push(value),
            Err(error) => {
                let interrupted = error.kind == Kind::Interrupted;
                if let Some(earlier) = last.replace(error) {
                    front.printer.error(&earlier);
                }
                if interrupted {
                    break;
                }
            }
        }
    }
    if front.printer.json && !done.is_empty() {
        front.printer.document(&json!({ "instances": done }))?;
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}

pub(super) async fn up(front: &Front<'_>, args: &Up) -> Result<ExitCode> {
    let waiting = ops::Waiting::from(&args.wait);
    each(front, &args.names, async |ctx, name| {
        let outcome = ops::up::up(ctx, name, waiting).await?;
        let restarted: Vec<&str> = match &outcome {
            Outcome::Changed(parts) => parts.iter().map(|p| p.label()).collect(),
            _ => Vec::new(),
        };
        let value = json!({ "name": name, "outcome": outcome.word(), "restarted": restarted });
        Ok((value, outcome.sentence(name)))
    })
    .await
}

pub(super) async fn down(front: &Front<'_>, args: &Down) -> Result<ExitCode> {
    if args.volumes {
        front
            .confirm(&deletion(&args.names, "the database and what the engine keeps"), args.yes)?;
    }
    each(front, &args.names, async |ctx, name| {
        ops::down::down(ctx, name, args.volumes).await?;
        let value = json!({ "name": name, "outcome": "down", "deleted": args.volumes });
        Ok((value, format!("{name} is down")))
    })
    .await
}

pub(super) async fn rm(front: &Front<'_>, args: &Remove) -> Result<ExitCode> {
    if args.data {
        front.confirm(&deletion(&args.names, "all data and secrets"), args.yes)?;
    }
    each(front, &args.names, async |ctx, name| {
        let kept = ops::down::remove(ctx, name, args.data).await?;
        let sentence = match &kept {
            Kept::Data(manifest) => {
                let lies = manifest.as_ref().map(|m| format!(", its manifest in {m}"));
                format!(
                    "{name} is removed; its data and secrets stay{}; to delete them too: \
                     ragpod rm {name} --data",
                    lies.unwrap_or_default()
                )
            }
            Kept::Nothing => format!("{name} is removed, with its data and secrets"),
        };
        let deleted = kept == Kept::Nothing;
        Ok((json!({ "name": name, "outcome": "removed", "deleted": deleted }), sentence))
    })
    .await
}

fn deletion(names: &[Name], what: &str) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    format!("this deletes {what} of {}", names.join(", "))
}

pub(super) async fn start(front: &Front<'_>, args: &Wait) -> Result<ExitCode> {
    change(front, args, Action::Start).await
}

pub(super) async fn stop(front: &Front<'_>, args: &Wait) -> Result<ExitCode> {
    change(front, args, Action::Stop).await
}

pub(super) async fn restart(front: &Front<'_>, args: &Wait) -> Result<ExitCode> {
    change(front, args, Action::Restart).await
}

async fn change(front: &Front<'_>, args: &Wait, action: Action) -> Result<ExitCode> {
    let waiting = ops::Waiting::from(&args.wait);
    each(front, &args.names, async |ctx, name| {
        ops::lifecycle::change(ctx, name, action, waiting).await?;
        let (word, sentence) = match action {
            _ if !waiting.wait => ("queued", format!("{name}: queued")),
            Action::Start => ("running", format!("{name} is running")),
            Action::Stop => ("stopped", format!("{name} is stopped")),
            Action::Restart => ("running", format!("{name} is running again")),
        };
        Ok((json!({ "name": name, "outcome": word }), sentence))
    })
    .await
}
