//! Generations: what an instance ran before, and how it goes back.

use serde::Serialize;

use super::apply::{self, Job, Origin, Outcome};
use super::{Ctx, Waiting, images, keep, manifests, secrets, units, up};
use crate::error::{Error, Kind, Result};
use crate::install::{Generation, History, Set, State, UnitDir};
use crate::model::{Name, Part, SecretKey};
use crate::podman::Podman;
use crate::systemd::Systemd;

/// A generation, as `generations` shows it.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its number.
    pub number: u32,
    /// When it was made (RFC 3339).
    pub created: String,
    /// What made it.
    pub cause: String,
    /// Whether its units are the installed ones.
    pub current: bool,
    /// Whether all of it was found healthy once.
    pub healthy: bool,
    /// The version of Podman that it was rendered for.
    pub podman: String,
    /// The unit files that differ from those of the generation before.
    pub changed: Vec<String>,
}

/// The generations of an instance, oldest first.
///
/// # Errors
/// [`Kind::NoInstance`] when there is neither a manifest of that name nor anything kept.
pub fn list(ctx: Ctx<'_>, name: &Name) -> Result<Vec<Shown>> {
    let history = load(ctx, name)?;
    let installed = UnitDir::new(ctx.env).read()?.of(name);
    let state = State::load(&ctx.env.state(), name)?;
    let current = current(&history, &state, &installed);
    let mut before: Option<&Generation> = None;
    let mut shown = Vec::new();
    for generation in history.all() {
        let changed = differences(before.map(|g| &g.set), &generation.set);
        before = Some(generation);
        shown.push(Shown {
            number: generation.number,
            created: generation.created.clone(),
            cause: generation.cause.clone(),
            current: current == Some(generation.number),
            healthy: generation.healthy,
            podman: generation.set.podman.clone(),
            changed,
        });
    }
    Ok(shown)
}

/// One generation whole.
///
/// # Errors
/// [`Kind::Usage`] when there is none of that number.
pub fn get(ctx: Ctx<'_>, name: &Name, number: u32) -> Result<Generation> {
    let history = load(ctx, name)?;
    history.get(number).cloned().ok_or_else(|| no_generation(name, number))
}

fn load(ctx: Ctx<'_>, name: &Name) -> Result<History> {
    let history = History::load(&ctx.env.state(), name)?;
    if history.all().is_empty() {
        manifests::require(ctx.env, name)?;
    }
    Ok(history)
}

fn no_generation(name: &Name, number: u32) -> Error {
    Error::usage(format!("{name} has no generation {number}"))
        .hint(format!("see which it has: ragpod generations {name}"))
}

/// The generation that is installed.
pub(super) fn current(
    history: &History,
    state: &State,
    installed: &std::collections::BTreeMap<String, String>,
) -> Option<u32> {
    let known = state.generation.and_then(|n| history.get(n));
    known
        .filter(|g| g.set.units == *installed)
        .or_else(|| history.of_units(installed))
        .map(|g| g.number)
}

/// The unit files that are not the same in both.
fn differences(before: Option<&Set>, after: &Set) -> Vec<String> {
    let empty = Set::default();
    let before = before.unwrap_or(&empty);
    let mut files: Vec<String> = before.units.keys().chain(after.units.keys()).cloned().collect();
    files.sort();
    files.dedup();
    files.retain(|f| {
        before.units.get(f) != after.units.get(f) || before.images.get(f) != after.images.get(f)
    });
    files
}

/// Puts a generation back, and starts it: the one of that number, or the last healthy one before
/// the installed one. Gives its number. The manifest stays as it is.
///
/// # Errors
/// [`Kind::Usage`] for a number that there is not, [`Kind::Failed`] when there is nothing to go
/// back to.
pub async fn rollback(
    ctx: Ctx<'_>,
    name: &Name,
    to: Option<u32>,
    waiting: Waiting,
) -> Result<(u32, Outcome)> {
    // Before anything is asked of the host.
    if let Some(number) = to {
        get(ctx, name, number)?;
    } else {
        load(ctx, name)?;
    }
    let podman = Podman::new();
    podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    units::same_place(ctx, &bus).await?;
    let _lock = secrets::lock(ctx, name).await?;
    let dir = ctx.env.state();
    super::sweep(ctx, name)?;
    let mut state = State::load(&dir, name)?;
    let history = History::load(&dir, name)?;
    let generation = match to {
        Some(number) => history.get(number).cloned().ok_or_else(|| no_generation(name, number))?,
        None => earlier(ctx, name, &state, &history)?,
    };
    let number = generation.number;
    let redo = format!("ragpod rollback {name} --to {number}");
    let job = Job {
        ctx,
        podman: &podman,
        bus: &bus,
        name,
        waiting,
        start: true,
        roll_back: true,
        redo: &redo,
    };
    units::names_are_free(ctx, &bus, name, generation.set.parts()).await?;
    let set = ready(&job, &state, &generation, Secrets::Newest)?;
    check(&job, &set, &state)?;
    let known = (set == generation.set).then_some(number);
    let cause = format!("back to generation {number}");
    let origin = Origin { cause: &cause, copy_of: Some(generation.copy_of.unwrap_or(number)) };
    let apply = async || apply::apply(&job, &mut state, &set, known, origin).await;
    let (outcome, number) =
        Box::pin(keep::exchange::settle(ctx, &bus, name, waiting.wait, apply)).await?;
    if outcome != Outcome::Queued {
        up::complete(ctx, &podman, &mut state, name).await?;
    }
    Ok((number, outcome))
}

/// Refuses what would not run: `up` looks at the same before it touches anything. Units that were
/// edited by hand have no manifest to look at.
fn check(job: &Job<'_>, set: &Set, state: &State) -> Result<()> {
    let Some(text) = &set.manifest else { return Ok(()) };
    let file = manifests::path(job.ctx.env, job.name);
    // One that this version reads differently is left to the generator and to systemd.
    let Ok(instance) = crate::manifest::parse(text, file.as_str(), &job.ctx.env.home) else {
        return Ok(());
    };
    up::check_mounts(&instance)?;
    let database = set.images.get(&Part::Postgres.file(job.name));
    images::check_major(job.podman, &instance, database, state)
}

/// Which versions of secrets a generation gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    /// The newest: what was replaced stays replaced.
    Newest,
    /// Those that it had, as long as Podman has them: a new one may be what went wrong.
    AsTheyWere,
}

/// The last healthy generation before the installed one; when nothing is installed, the last that
/// was.
fn earlier(ctx: Ctx<'_>, name: &Name, state: &State, history: &History) -> Result<Generation> {
    let installed = UnitDir::new(ctx.env).read()?.of(name);
    let before = match current(history, state, &installed) {
        None if installed.is_empty() => state.generation.map(|n| n + 1),
        current => current,
    };
    history.healthy_before(before).cloned().ok_or_else(|| {
        Error::failed(format!("{name} has no earlier generation that was healthy"))
            .hint(format!("see which it has: ragpod generations {name}"))
            .hint(format!("take one whatever it was: ragpod rollback {name} --to N"))
    })
}

/// A generation's set as this host can run it now. An image is named by its id when its name
/// stands for another one by now.
///
/// # Errors
/// [`Kind::Image`] for an image that is gone, name and all.
pub(super) fn ready(
    job: &Job<'_>,
    state: &State,
    generation: &Generation,
    which: Secrets,
) -> Result<Set> {
    let (name, number) = (job.name, generation.number);
    let present = job.podman.secret_list(name)?;
    let there = |key: &SecretKey, version: u32| present.contains(&key.podman_name(name, version));
    let others = state
        .secrets
        .iter()
        .filter(|(key, newest)| {
            let own = generation.set.secrets.get(key).is_some_and(|version| there(key, *version));
            there(key, **newest) && (which == Secrets::Newest || !own)
        })
        .map(|(key, newest)| (key.clone(), *newest))
        .collect();
    let mut set = generation.set.clone().with_secrets(name, &others);
    let images = job.podman.images()?;
    for (file, used) in &generation.set.images {
        let named = images.iter().find(|i| i.is(&used.name));
        let same = named.is_some_and(|i| i.id == used.id);
        if same || images.iter().any(|i| i.id == used.id) {
            set = set.with_image(file, if same { &used.name } else { &used.id });
        } else if let Some(other) = named {
            job.ctx.progress.warn(&format!(
                "the image that generation {number} ran is gone; it runs what {} is now",
                used.name
            ));
            set = set.with_image(file, &used.name);
            if let Some(image) = set.images.get_mut(file) {
                image.id.clone_from(&other.id);
            }
        } else {
            return Err(Error::new(
                Kind::Image,
                format!("the image {} of generation {number} is not on this host", used.name),
            )
            .hint(format!("see the other generations: ragpod generations {name}")));
        }
    }
    Ok(set)
}
