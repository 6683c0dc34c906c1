//! What ragpod does with instances: the only place where the layers meet.
//!
//! An operation takes a [`Ctx`] and plain values, gives plain values back and tells its progress
//! to a listener. It never prints and never asks: that is the affair of `commands`.

pub mod audit;
pub mod create;
pub mod diff;
pub mod doctor;
pub mod down;
pub mod engine;
mod gate;
pub mod images;
pub mod lifecycle;
pub mod manifests;
pub mod progress;
pub mod rotate;
pub mod secrets;
pub mod status;
pub mod up;

use std::time::Duration;

use crate::env::Env;
use crate::error::Result;
use crate::install::{Lock, Scope, State};
use crate::model::PodmanVersion;
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

/// How long systemd may take to read all units again: 1.3 s with a thousand instances.
const RELOAD: Duration = Duration::from_secs(60);

/// Takes the lock of the unit directory; it is held for a second or two.
fn units_lock(ctx: Ctx<'_>) -> Result<Lock> {
    Lock::take(&ctx.env.state(), Scope::Units, ctx.summary, secrets::LOCK_WAIT, &mut |holder| {
        ctx.progress.step(&format!("waiting for the units: held by {holder}"));
    })
}
