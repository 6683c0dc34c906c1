//! `watch`, and what systemd runs.

use std::process::ExitCode;

use super::Front;
use crate::cli::{One, Scheduled};
use crate::error::{Kind, Result};
use crate::model::Chore;
use crate::ops;
use crate::ops::idle::Looked;
use crate::ops::scheduled::Came;

pub(super) async fn watch(front: &Front<'_>, args: &One) -> Result<ExitCode> {
    front.with(async |ctx| ops::watch::watch(ctx, &args.name).await).await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn scheduled(front: &Front<'_>, args: &Scheduled) -> Result<ExitCode> {
    let name = &args.name;
    let chore = args.what.chore();
    if chore == Chore::Idle {
        match front.with(async |ctx| ops::idle::rest(ctx, name, None).await).await? {
            Looked::Stopped(_) => {
                front.printer.say(&format!("{name} is stopped: nobody used it"));
            }
            Looked::InUse(why) if front.printer.verbose => {
                front.printer.say(&format!("{name} is in use: {why}"));
            }
            Looked::InUse(_) | Looked::NotConcerned => {}
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ran = async |ctx: ops::Ctx<'_>| ops::scheduled::run(ctx, name, chore, &args.paths).await;
    match front.with(ran).await? {
        Came::Done => Ok(ExitCode::SUCCESS),
        Came::Skipped => {
            front.printer.say(&format!("{name} is stopped, and stays so: nothing was done"));
            Ok(ExitCode::from(Kind::NotRunning.exit_code()))
        }
    }
}
