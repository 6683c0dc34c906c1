//! The gate of an instance: questions and ingests go through it, and whoever must restart the engine
//! without losing one closes it for a moment.
//!
//! It is a file that each who goes through has locked in common (flock(2)) until its `podman exec` has
//! begun; from then on the process table tells. Whoever closes it holds that lock alone, so that what
//! began before is seen in the process table, and what comes later waits.

use std::fs::File;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use super::{Ctx, secrets};
use crate::error::{Error, Kind, Result};
use crate::model::{Name, Part};
use crate::podman::Podman;

/// What the engine is asked to do that must not be cut off.
const WORK: [[&str; 3]; 2] =
    [["python", "hybridrag.py", "query"], ["python", "hybridrag.py", "ingest"]];

const POLL: Duration = Duration::from_millis(100);

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
pub(super) fn pass(ctx: Ctx<'_>, name: &Name) -> Option<File> {
    let gate = open(ctx, name).ok()?;
    let since = Instant::now();
    let mut told = false;
    while gate.try_lock_shared().is_err() {
        if since.elapsed() > secrets::LOCK_WAIT {
            return None;
        }
        if !told {
            ctx.progress.step(&format!("waiting for {name}: its engine is being restarted"));
            told = true;
        }
        std::thread::sleep(POLL);
    }
    Some(gate)
}

/// Closes it and waits until nothing is being done that went through; it opens when the result is
/// dropped.
///
/// # Errors
/// [`Kind::Failed`] when that takes longer than `patience`.
pub(super) fn close(ctx: Ctx<'_>, name: &Name, patience: Duration) -> Result<File> {
    let gate = open(ctx, name).map_err(|e| Error::io("open", path(ctx, name), &e))?;
    let container = Part::App.podman_name(name);
    let since = Instant::now();
    let mut told = false;
    let mut locked = false;
    loop {
        locked = locked || gate.try_lock().is_ok();
        let busy = WORK.iter().any(|work| !Podman::sessions(&container, work).is_empty());
        if locked && !busy {
            return Ok(gate);
        }
        if since.elapsed() > patience {
            return Err(Error::new(
                Kind::Failed,
                format!("{name} is still answering a question or ingesting; nothing was changed"),
            )
            .hint("wait for it to end, then run the same command again")
            .hint("or wait longer: --timeout 1h"));
        }
        if !told {
            ctx.progress.step(&format!("{name}: waiting for what it is doing to end"));
            told = true;
        }
        std::thread::sleep(POLL);
    }
}
