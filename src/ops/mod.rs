//! What ragpod does with instances: the only place where the layers meet.
//!
//! An operation takes a [`Ctx`] and plain values, gives plain values back and tells its progress
//! to a listener. It never prints and never asks: that is the affair of `commands`.

mod apply;
pub mod ask;
pub mod audit;
mod changes;
mod compose;
pub mod create;
mod databases;
pub mod diff;
pub mod doctor;
pub mod down;
pub mod engine;
mod gate;
pub mod graph;
pub mod idle;
pub mod images;
pub mod import;
pub mod ingest;
pub mod interruption;
pub mod keep;
pub mod lifecycle;
pub mod logs;
pub mod manifests;
mod places;
pub mod profile;
pub mod progress;
pub mod provider;
pub mod reindex;
mod reload;
pub mod rollback;
pub mod rotate;
mod schedule;
pub mod scheduled;
pub mod secrets;
pub mod status;
pub mod top;
mod units;
pub mod up;
pub mod usage;
pub mod watch;

use std::time::{Duration, Instant};

use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::install::{self, Holder, Lock, Scope, State};
use crate::model::{Name, PodmanVersion};
use crate::render::Target;
use progress::Progress;

/// What every operation is given.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The process's surroundings.
    pub env: &'a Env,
    /// Who hears how it goes.
    pub progress: &'a dyn Progress,
    /// The command as typed, without values: what a lock tells others.
    pub summary: &'a str,
}

/// How long to wait for services, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The longest that is waited.
    pub timeout: Duration,
    /// `false`: return as soon as the jobs are queued.
    pub wait: bool,
}

impl Default for Waiting {
    /// Longer than the database may take to stop (120 s).
    fn default() -> Self {
        Self { timeout: Duration::from_secs(180), wait: true }
    }
}

/// What units are rendered for: this Podman, and the secrets' versions in use.
fn target(podman: PodmanVersion, state: &State) -> Target {
    Target { podman, secrets: state.secrets.clone().into_iter().collect() }
}

/// Removes what killed commands left of writing an instance's files. Its lock is held.
fn sweep(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    install::sweep(&manifests::path(ctx.env, name))?;
    install::sweep_state(&ctx.env.state(), name)
}

/// Takes a lock, waiting for at most `patience`; `waiting` is called once for each holder. Nothing else
/// of this thread is kept from its work meanwhile, and Ctrl-C ends the waiting.
async fn wait_for_lock(
    ctx: Ctx<'_>,
    scope: Scope,
    patience: Duration,
    waiting: &mut dyn FnMut(&Holder),
) -> Result<Lock> {
    let state = ctx.env.state();
    let started = Instant::now();
    let mut told = None;
    loop {
        let holder = match Lock::attempt(&state, &scope, ctx.summary)? {
            Ok(lock) => return Ok(lock),
            Err(holder) => holder,
        };
        if started.elapsed() >= patience {
            return Err(install::locked(&scope, &holder));
        }
        if holder.pid.is_some() && told.as_ref() != Some(&holder) {
            waiting(&holder);
            told = Some(holder);
        }
        pause(install::LOCK_POLL).await?;
    }
}

/// Waits so long.
///
/// # Errors
/// [`Kind::Interrupted`] at Ctrl-C and SIGTERM. Once a job was followed, they end no process by
/// themselves any more.
async fn pause(long: Duration) -> Result<()> {
    tokio::select! {
        () = tokio::time::sleep(long) => Ok(()),
        () = crate::exec::interrupted() => {
            Err(Error::new(Kind::Interrupted, "interrupted; not waited for"))
        }
    }
}

/// Takes the lock of the unit directory; it is held for a second or two.
fn units_lock(ctx: Ctx<'_>) -> Result<Lock> {
    Lock::take(&ctx.env.state(), Scope::Units, ctx.summary, secrets::LOCK_WAIT, &mut |holder| {
        ctx.progress.step(&format!("waiting for the units: held by {holder}"));
    })
}
