//! `up`, `down`, `start`, `stop`, `restart`, `rm`.

use std::process::ExitCode;

use super::Front;
use crate::cli::{Down, Remove, Up, Wait, WaitOptions};
use crate::error::Result;
use crate::model::Name;
use crate::ops::lifecycle::Action;
use crate::ops::{self, Ctx};

impl From<&WaitOptions> for ops::Waiting {
    fn from(options: &WaitOptions) -> Self {
        Self { timeout: options.timeout, wait: !options.no_wait }
    }
}

/// Runs an operation on each instance in turn. One that fails does not keep the others from
/// theirs: its error is printed, and the last one decides the exit code.
async fn each(
    front: &Front<'_>,
    names: &[Name],
    run: impl AsyncFn(Ctx<'_>, &Name) -> Result<()>,
) -> Result<ExitCode> {
    let mut last = None;
    for name in names {
        if let Err(error) = front.with(async |ctx| run(ctx, name).await).await
            && let Some(earlier) = last.replace(error)
        {
            front.printer.error(&earlier);
        }
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}

pub(super) async fn up(front: &Front<'_>, args: &Up) -> Result<ExitCode> {
    let waiting = ops::Waiting::from(&args.wait);
    each(front, &args.names, async |ctx, name| {
        let outcome = ops::up::up(ctx, name, waiting).await?;
        ctx.progress.done(&outcome.sentence(name));
        Ok(())
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
        ctx.progress.done(&format!("{name} is down"));
        Ok(())
    })
    .await
}

pub(super) async fn rm(front: &Front<'_>, args: &Remove) -> Result<ExitCode> {
    if args.data {
        front.confirm(&deletion(&args.names, "all data and secrets"), args.yes)?;
    }
    each(front, &args.names, async |ctx, name| {
        let kept = ops::down::remove(ctx, name, args.data).await?;
        ctx.progress.done(&match kept {
            Some(manifest) => format!(
                "{name} is removed; its data and secrets stay, and its manifest lies in {manifest}"
            ),
            None => format!("{name} is removed, with its data and secrets"),
        });
        Ok(())
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
        ctx.progress.done(&match action {
            _ if !waiting.wait => format!("{name}: queued"),
            Action::Start => format!("{name} is running"),
            Action::Stop => format!("{name} is stopped"),
            Action::Restart => format!("{name} is running again"),
        });
        Ok(())
    })
    .await
}
