//! `up`: from a manifest to an instance that answers.
//!
//! What can be refused is refused before anything that runs is touched. What has not changed is
//! neither written nor restarted, so running it again is always safe and completes what an
//! earlier run left undone.

use std::collections::BTreeMap;

use super::apply::{self, Job, Origin};
use super::{
    Ctx, Waiting, engine, idle, images, keep, lifecycle, manifests, schedule, secrets, status,
    target, units,
};
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::install::{Intent, Set, State, UnitDir, UsedImage};
use crate::manifest;
use crate::model::{ImageRef, Instance, Name, Part, PodmanVersion, SecretKey};
use crate::podman::Podman;
use crate::render;
use crate::systemd::Systemd;

pub use super::apply::Outcome;

/// Fails unless everything of the host that the instance mounts is there and can be read.
pub(super) fn check_mounts(instance: &Instance) -> Result<()> {
    check_sources(instance)?;
    let Some(path) = &instance.provider.ca_file else { return Ok(()) };
    let refuse = |why: &str| {
        Err(Error::new(Kind::Manifest, format!("{path} of {} {why}", instance.name))
            .hint("correct `ca_file` under [provider] in the manifest"))
    };
    let pem = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => return refuse(&format!("cannot be read: {e}")),
    };
    if pem.contains("PRIVATE KEY-----") {
        return refuse("holds a private key, which the engine must not see");
    }
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return refuse("holds no certificate in PEM form");
    }
    Ok(())
}

/// Fails unless every source is a folder that can be read.
fn check_sources(instance: &Instance) -> Result<()> {
    for source in &instance.sources {
        let path = &source.path;
        let refuse = |why: String| {
            Err(Error::new(Kind::Manifest, format!("the source {path} of {} {why}", instance.name))
                .hint("make the folder, or name another: --source of `create`, `path` under [[source]] in the manifest"))
        };
        match std::fs::read_dir(path) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return refuse("does not exist".into());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
                return refuse("is not a folder".into());
            }
            Err(e) => return refuse(format!("cannot be read: {e}")),
        }
    }
    Ok(())
}

/// How an instance is brought up.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// How long to wait for it.
    pub waiting: Waiting,
    /// Put back what was there before when it does not become healthy and that was.
    pub roll_back: bool,
    /// What of what does not run is started.
    pub start: Start,
}

/// What of what does not run is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Everything.
    #[default]
    All,
    /// Not what rests because nobody uses it.
    NotAtRest,
    /// Nothing.
    Nothing,
}

impl Default for Wish {
    fn default() -> Self {
        Self { waiting: Waiting::default(), roll_back: true, start: Start::All }
    }
}

/// Installs and starts an instance, waits until it is healthy, sets up its database.
pub async fn up(ctx: Ctx<'_>, name: &Name, wish: &Wish) -> Result<Outcome> {
    check_mounts(&manifests::load(ctx.env, name)?)?;
    let podman = Podman::new();
    let version = podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    units::same_place(ctx, &bus).await?;
    let _lock = secrets::lock(ctx, name).await?;
    up_locked(ctx, &podman, version, &bus, name, wish).await
}

/// `up`, with the instance's lock held.
pub(super) async fn up_locked(
    ctx: Ctx<'_>,
    podman: &Podman,
    version: PodmanVersion,
    bus: &Systemd,
    name: &Name,
    wish: &Wish,
) -> Result<Outcome> {
    let Wish { waiting, roll_back, start } = *wish;
    let state_dir = ctx.env.state();
    // Again: whoever held the lock may have changed or removed it. From here on this is what
    // counts, whatever somebody writes into the manifest meanwhile.
    let (instance, text) = manifests::load_with_text(ctx.env, name).inspect_err(|_| {
        let _ = State::remove_if_bare(&state_dir, name);
    })?;
    check_mounts(&instance)?;
    schedule::check(ctx, &instance)?;
    fault::point("loaded");
    for point in manifest::open_points(&instance) {
        ctx.progress.warn(&point);
    }
    units::names_are_free(ctx, bus, name, instance.parts()).await?;
    super::sweep(ctx, name)?;
    let mut state = State::load(&state_dir, name)?;
    let look = images::look(podman, &instance)?;
    let found = secrets::look(podman, &mut state, &instance)?;
    // Written although nothing has changed yet: a full disk shows here, before anything is done.
    state.save(&state_dir, name)?;
    let images = images::ready(ctx, podman, &instance, look)?;
    let database = instance.image(Part::Postgres).and_then(|image| images.get(image));
    images::check_major(podman, &instance, database, &state)?;
    if !found.missing.is_empty() {
        secrets::provide(podman, &mut state, name, &found.missing)?;
        fault::point("secrets");
        state.save(&state_dir, name)?;
    }

    let wanted = wanted(&instance, text, version, &state, &images)?;
    let redo = format!("ragpod up {name}");
    // One whose first installation was cut off was not there before, either.
    let cut_off = Intent::load(&state_dir, name)?;
    let new = UnitDir::new(ctx.env).parts_of(name)?.is_empty()
        || cut_off.is_some_and(|intent| intent.from.is_none() && !intent.was_running);
    let rests = idle::why_at_rest(ctx, name, bus.manager_since().await?)?.is_some();
    let start = start == Start::All || (start == Start::NotAtRest && !rests);
    if new && !start {
        // Before its units: an `up` that is killed later would not be the first any more.
        idle::lay_to_rest(ctx, &instance, new)?;
    }
    let job = Job { ctx, podman, bus, name, waiting, start, roll_back, redo: &redo };
    let origin = Origin { cause: ctx.summary, copy_of: None };
    let mut apply = async || apply::apply(&job, &mut state, &wanted, None, origin).await;
    let applied = if start || lifecycle::alive(bus, name).await?.is_rising() {
        Box::pin(keep::exchange::settle(ctx, bus, name, waiting.wait, apply)).await
    } else {
        apply().await
    };
    if applied.is_err() && new && !start {
        idle::disarm(ctx, name)?;
    }
    let (outcome, _) = applied?;
    if outcome == Outcome::Installed {
        idle::lay_to_rest(ctx, &instance, new)?;
        schedule::follow(ctx, bus, &instance).await?;
        return Ok(outcome);
    }
    let rescheduled = schedule::follow(ctx, bus, &instance).await?;
    idle::note(ctx, name);
    idle::arm(ctx, &instance)?;
    if outcome == Outcome::Queued {
        return Ok(outcome);
    }
    if found.surplus {
        secrets::prune(podman, &state, name, &wanted.secrets)?;
    }
    complete(ctx, podman, &mut state, name).await?;
    // Not refused: the new index is made by an engine that runs with the new model.
    if let Some(problem) = status::engine_problem(ctx, name) {
        ctx.progress.warn(&format!("{name} runs, and answers no question: {problem}"));
    }
    Ok(if rescheduled && outcome == Outcome::Unchanged { Outcome::Scheduled } else { outcome })
}

/// What an instance that runs needs once: the place of the engine's volume is remembered, and the
/// database is set up.
pub(super) async fn complete(
    ctx: Ctx<'_>,
    podman: &Podman,
    state: &mut State,
    name: &Name,
) -> Result<()> {
    let state_dir = ctx.env.state();
    if state.engine_mountpoint.is_none() {
        state.engine_mountpoint =
            podman.volume_mountpoint(&Part::EngineVolume.podman_name(name))?;
        state.save(&state_dir, name)?;
    }
    if state.initialised.is_none() {
        engine::init(ctx, name).await?;
        fault::point("initialised");
        state.initialised = Some(fault::now().to_string());
        state.save(&state_dir, name)?;
    }
    Ok(())
}

/// The set that a manifest gives on this host.
fn wanted(
    instance: &Instance,
    manifest: String,
    version: PodmanVersion,
    state: &State,
    images: &BTreeMap<ImageRef, UsedImage>,
) -> Result<Set> {
    let units = render::render(instance, &target(version, state))?;
    let image = |part: Part| {
        let used = images.get(instance.image(part)?)?;
        Some((part.file(&instance.name), used.clone()))
    };
    let used = |key: SecretKey| {
        let version = state.secrets.get(&key).copied().unwrap_or(1);
        (key, version)
    };
    Ok(Set {
        units: units.as_map().clone(),
        images: instance.parts().into_iter().filter_map(image).collect(),
        secrets: instance.secret_keys().into_iter().map(used).collect(),
        manifest: Some(manifest),
        podman: version.to_string(),
    })
}
