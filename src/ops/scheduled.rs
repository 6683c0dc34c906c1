//! What an instance does by itself, run by systemd: an ingest or a backup at its time or after a
//! change, and the look whether anybody uses it.

use std::time::{Duration, Instant, SystemTime};

use camino::Utf8PathBuf;

use super::idle::{self, Ready};
use super::{Ctx, manifests, pause};
use crate::error::{Error, Kind, Result};
use crate::exec::{Cmd, this_program};
use crate::fault;
use crate::install::{Lasting, Run, Uses};
use crate::model::{Chore, Name};

/// How often it is looked whether another ingest has ended.
const TURN: Duration = Duration::from_millis(500);

/// How long a `notify` command may take.
const NOTIFY: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// It is done.
    Done,
    /// The instance is stopped, and nobody starts what its owner stopped.
    Skipped,
}

/// Does a chore now: wakes the instance if it rests, runs the verb, remembers what came of it, tells
/// of a failure, and lets the instance rest again if nobody has used it meanwhile. `paths`: only
/// these files are ingested; everything when empty.
///
/// # Errors
/// Why it failed, as far as the verb told it.
pub async fn run(ctx: Ctx<'_>, name: &Name, chore: Chore, paths: &[Utf8PathBuf]) -> Result<Came> {
    manifests::require(ctx.env, name)?;
    let state = ctx.env.state();
    let lasts = Uses::of(&state, name).join(Lasting::Scheduled);
    let began = Instant::now();
    let (woken, result) = match idle::ready(ctx, name).await {
        Ok(Ready::Stopped) => return Ok(Came::Skipped),
        Ok(Ready::Failed(e)) | Err(e) => (None, Err(not_begun(name, chore, &e))),
        Ok(Ready::Woken(since)) => (Some(since), in_turn(ctx, name, chore, paths).await),
        Ok(Ready::Runs) => (None, in_turn(ctx, name, chore, paths).await),
    };
    let failed = result.as_ref().err().map(ToString::to_string);
    let run = Run {
        at: fault::now().to_string(),
        seconds: began.elapsed().as_secs_f64(),
        failed: failed.clone(),
    };
    if let Err(e) = run.save(&state, name, chore) {
        // A disk that is full may be the very reason that there is something to notify of.
        ctx.progress.warn(&e.to_string());
    }
    drop(lasts);
    if let Some(since) = woken {
        rest_again(ctx, name, since).await;
    }
    if let Some(reason) = failed {
        notify(ctx, name, chore, &reason).await;
    }
    result.map(|()| Came::Done)
}

/// Runs the verb. Two ingests that are due at once, one by the clock and one for a change, or that
/// have waited for the same start, come one after the other: the engine refuses a second one.
async fn in_turn(ctx: Ctx<'_>, name: &Name, chore: Chore, paths: &[Utf8PathBuf]) -> Result<()> {
    let uses = Uses::of(&ctx.env.state(), name);
    let _turn = loop {
        if chore != Chore::Ingest {
            break None;
        }
        match uses.turn() {
            Ok(None) => pause(TURN).await?,
            // A file that cannot be made is no reason to do nothing.
            turn => break turn.ok(),
        }
    };
    verb(ctx, name, chore, paths)
}

/// The failure of what could not even begin.
fn not_begun(name: &Name, chore: Chore, why: &Error) -> Error {
    let mut error = Error::new(why.kind, format!("the {} of {name} failed", chore.label()))
        .cause(why.message.clone());
    if error.kind.exit_code() == Kind::NotRunning.exit_code() {
        // That code says that nothing is wrong.
        error.kind = Kind::Failed;
    }
    error.causes.extend(why.causes.iter().cloned());
    why.hints().into_iter().fold(error, Error::hint)
}

/// Runs the verb as a command of its own: what it prints goes on, and its last words are why it
/// failed.
fn verb(ctx: Ctx<'_>, name: &Name, chore: Chore, paths: &[Utf8PathBuf]) -> Result<()> {
    let mut cmd = Cmd::new(this_program()?)
        .args([chore.label(), name.as_str(), "--quiet"])
        .env("RAGPOD_SCHEDULED", "1");
    for path in paths {
        cmd = cmd.arg("--path").arg(path.as_str());
    }
    let mut why = None;
    let done = cmd.lines(|line| {
        ctx.progress.output(line);
        let word = ["error: ", "failed: "].into_iter().find_map(|w| line.strip_prefix(w));
        if why.is_none() {
            why = word.map(str::to_owned);
        }
    });
    done.map_err(|e| {
        let what = format!("the {} of {name} failed", chore.label());
        let why = why.unwrap_or_else(|| e.message.clone());
        Error::failed(what)
            .cause(why)
            .hint(format!("see all of it: journalctl --user -u {} -n 50", chore.service(name)))
            .hint(format!("run it by hand: ragpod {} {name}", chore.label()))
    })
}

/// Stops an instance that was woken for this alone. That this does not work is told, and the idle
/// timer tries it again.
async fn rest_again(ctx: Ctx<'_>, name: &Name, since: SystemTime) {
    match idle::rest(ctx, name, Some(since)).await {
        Ok(idle::Looked::Stopped(_)) => ctx.progress.done(&format!("{name} is at rest again")),
        Ok(_) => {}
        Err(e) => ctx.progress.warn(&e.to_string()),
    }
}

/// Runs the user's command. It gets the instance, the unit and the reason in its environment, and
/// no shell reads it.
async fn notify(ctx: Ctx<'_>, name: &Name, chore: Chore, reason: &str) {
    let words = match manifests::load(ctx.env, name) {
        Ok(instance) => instance.schedule.notify,
        Err(e) => return ctx.progress.warn(&e.to_string()),
    };
    let Some((program, args)) = words.split_first() else { return };
    let cmd = Cmd::new(program.as_str())
        .args(args.iter().map(crate::model::Text::as_str))
        .env("RAGPOD_INSTANCE", name.as_str())
        .env("RAGPOD_UNIT", chore.service(name))
        .env("RAGPOD_REASON", reason);
    let ran = cmd.events(|line| ctx.progress.output(line));
    match tokio::time::timeout(NOTIFY, ran).await {
        Ok(Ok((_, None))) => {}
        Ok(Ok((_, Some(e))) | Err(e)) => {
            ctx.progress.warn(&format!("schedule.notify of {name}: {e}"));
        }
        Err(_) => ctx.progress.warn(&format!(
            "schedule.notify of {name} took longer than {} s and was killed",
            NOTIFY.as_secs()
        )),
    }
}
