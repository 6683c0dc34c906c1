//! The gate of an instance: questions, ingests and commands go through it, and whoever must restart
//! or stop it without losing one closes it for a moment.
//!
//! It is a file that each who goes through has locked in common (flock(2)) until its `podman exec` has
//! begun; from then on the process table tells. Whoever closes it holds that lock alone, so that what
//! began before is seen in the process table, and what comes later waits.

use std::fs::File;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use super::{Ctx, profile, secrets};
use crate::error::{Error, Kind, Result};
use crate::model::{Command, Name, Part};
use crate::podman::Podman;

/// What ragpod's own engine is asked to do that must not be cut off.
const WORK: [[&str; 3]; 3] = [
    ["python", "hybridrag.py", "query"],
    ["python", "hybridrag.py", "ingest"],
    ["python", "hybridrag.py", "reindex"],
];

/// How the command lines begin that must not be cut off.
fn work(ctx: Ctx<'_>, name: &Name) -> Result<Vec<Vec<String>>> {
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    Ok(match profile::foreign(ctx, name)?.as_ref().and_then(|i| i.engine.profile.commands()) {
        None => WORK.iter().map(|words| owned(words)).collect(),
        Some(commands) => [Command::Query, Command::Ingest]
            .into_iter()
            .filter_map(|command| commands.get(command))
            .map(|argv| owned(&argv.beginning()))
            .collect(),
    })
}

const POLL: Duration = Duration::from_millis(100);

/// How long somebody who is through may be seen nowhere: in execve(2) the lock is given up before the
/// new command line can be read in /proc.
const BECOMING: Duration = Duration::from_millis(50);

fn path(ctx: Ctx<'_>, name: &Name) -> Utf8PathBuf {
    ctx.env.state().join(name.as_str()).join("gate")
}

fn open(ctx: Ctx<'_>, name: &Name) -> std::io::Result<File> {
    File::options().read(true).append(true).create(true).open(path(ctx, name))
}

/// Goes through; waits while it is closed. The way is taken when the result is dropped, or when this
/// process becomes another program.
///
/// What cannot be locked keeps nobody from asking: then there is no gate.
pub(super) async fn pass(ctx: Ctx<'_>, name: &Name) -> Option<File> {
    let gate = open(ctx, name).ok()?;
    let since = Instant::now();
    let mut told = false;
    while gate.try_lock_shared().is_err() {
        if since.elapsed() > secrets::LOCK_WAIT {
            return None;
        }
        if !told {
            ctx.progress.step(&format!("waiting for {name}: it is being stopped or restarted"));
            told = true;
        }
        tokio::time::sleep(POLL).await;
    }
    Some(gate)
}

/// Closes it if nobody is on the way through; it opens when the result is dropped.
pub(super) fn try_close(ctx: Ctx<'_>, name: &Name) -> Option<File> {
    let gate = open(ctx, name).ok()?;
    gate.try_lock().is_ok().then(|| {
        std::thread::sleep(BECOMING);
        gate
    })
}

/// Closes it and waits until nothing is being done that went through; it opens when the result is
/// dropped.
///
/// # Errors
/// [`Kind::Failed`] when that takes longer than `patience`.
pub(super) fn close(ctx: Ctx<'_>, name: &Name, patience: Duration) -> Result<File> {
    close_unless(ctx, name, patience, &|| Ok(())).map_err(patient)
}

/// Of a command that can be told to wait longer.
pub(super) fn patient(e: Error) -> Error {
    match e.kind {
        Kind::Failed => e.hint("or wait longer: --timeout 1h"),
        _ => e,
    }
}

/// The same, but stops waiting when `stop` fails, with what that said.
pub(super) fn close_unless(
    ctx: Ctx<'_>,
    name: &Name,
    patience: Duration,
    stop: &dyn Fn() -> Result<()>,
) -> Result<File> {
    let gate = open(ctx, name).map_err(|e| Error::io("open", path(ctx, name), &e))?;
    let container = Part::App.podman_name(name);
    let work = work(ctx, name)?;
    let since = Instant::now();
    let mut told = false;
    let mut locked = false;
    loop {
        if !locked && gate.try_lock().is_ok() {
            locked = true;
            std::thread::sleep(BECOMING);
        }
        let busy = work.iter().any(|work| !Podman::sessions(&container, work).is_empty());
        if locked && !busy {
            return Ok(gate);
        }
        if since.elapsed() > patience {
            return Err(Error::new(
                Kind::Failed,
                format!("{name} is still answering a question or ingesting; nothing was changed"),
            )
            .hint("wait for it to end, then run the same command again"));
        }
        stop()?;
        if !told {
            ctx.progress.step(&format!("{name}: waiting for what it is doing to end"));
            told = true;
        }
        std::thread::sleep(POLL);
    }
}
