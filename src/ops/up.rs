//! `up`: from a manifest to an instance that answers.
//!
//! Everything that can be refused is refused before anything is touched. What has not changed is
//! neither written nor restarted, so running it again is always safe and completes what an
//! earlier run left undone.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::lifecycle;
use super::{Ctx, Waiting, engine, images, manifests, secrets, target, units_lock};
use crate::error::{Error, Kind, Result};
use crate::install::{State, UnitDir, plan};
use crate::manifest;
use crate::model::{ImageRef, Instance, Name, Part, Schedule};
use crate::podman::Podman;
use crate::podman::quadlet::Generator;
use crate::render::{self, UnitSet};
use crate::systemd::{self, Action, Systemd};

/// What `up` found to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was up, and as the manifest wants it.
    Unchanged,
    /// It was not running, or not all of it.
    Started,
    /// It was running; these parts were restarted with what changed.
    Changed(Vec<Part>),
    /// The jobs are queued and nobody waited for them.
    Queued,
}

impl Outcome {
    /// For programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Started => "started",
            Outcome::Changed(_) => "changed",
            Outcome::Queued => "queued",
        }
    }

    /// For people.
    #[must_use]
    pub fn sentence(&self, name: &Name) -> String {
        match self {
            Outcome::Unchanged => format!("{name} is up; nothing has changed"),
            Outcome::Started => format!("{name} is up"),
            Outcome::Changed(parts) => {
                let parts: Vec<&str> = parts.iter().map(|p| p.label()).collect();
                format!("{name} is up; restarted with what changed: {}", parts.join(", "))
            }
            Outcome::Queued => format!("{name} is starting"),
        }
    }
}

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
                .hint("correct `path` under [[source]] in the manifest, or make the folder"))
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

/// Installs and starts an instance, waits until it is healthy, sets up its database.
pub async fn up(ctx: Ctx<'_>, name: &Name, waiting: Waiting) -> Result<Outcome> {
    check_mounts(&manifests::load(ctx.env, name)?)?;
    let podman = Podman::new();
    let version = podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = secrets::lock(ctx, name)?;
    let state_dir = ctx.env.state();
    // Again: whoever held the lock may have changed or removed it.
    let instance = manifests::load(ctx.env, name).inspect_err(|_| {
        let _ = State::remove_if_bare(&state_dir, name);
    })?;
    check_mounts(&instance)?;
    for point in manifest::open_points(&instance) {
        ctx.progress.warn(&point);
    }
    if instance.schedule != Schedule::default() {
        ctx.progress.warn("[schedule] is checked, but this version of ragpod does not act on it");
    }
    let mut state = State::load(&state_dir, name)?;
    let missing_images = images::missing(&podman, &instance)?;
    let missing_secrets = secrets::missing(&podman, &state, &instance)?;
    // Written although nothing has changed yet: a full disk shows here, before anything is done.
    state.save(&state_dir, name)?;
    images::provide(ctx, &podman, &missing_images)?;
    let images = images::ids(ctx, &podman, &instance)?;
    if !missing_secrets.is_empty() {
        secrets::provide(&podman, &mut state, name, &missing_secrets)?;
        state.save(&state_dir, name)?;
    }

    let wanted = render::render(&instance, &target(version, &state))?;
    let marks = marks(&instance, &wanted, &images);
    install(ctx, &podman, &bus, name, &wanted).await?;
    let parts = instance.parts();
    let changed = changed(&parts, name, &marks, &state);
    let running = lifecycle::active(&bus, name).await?;
    let healthy = parts.iter().filter(|p| p.is_running_service()).all(|p| running.contains(p));
    let restart = restarts(&changed, &running);
    let outcome = match &restart {
        Restart::Nothing if healthy => Outcome::Unchanged,
        Restart::Nothing => Outcome::Started,
        Restart::Some(parts) => Outcome::Changed(parts.clone()),
        Restart::All { .. } if running.is_empty() => Outcome::Started,
        Restart::All { .. } => Outcome::Changed(vec![Part::Pod]),
    };

    match restart {
        Restart::Nothing => {}
        Restart::Some(parts) => {
            lifecycle::drive(ctx, &bus, name, &parts, Action::Restart, waiting).await?;
        }
        Restart::All { networks } => {
            let mut stop: Vec<Part> =
                Part::ALL.into_iter().filter(|p| p.is_running_service()).collect();
            stop.extend(&networks);
            lifecycle::drive(ctx, &bus, name, &stop, Action::Stop, Waiting::default()).await?;
            // A network's unit makes it only where there is none.
            let networks: Vec<String> = networks.iter().map(|n| n.podman_name(name)).collect();
            podman.network_rm(&networks)?;
        }
    }
    if outcome != Outcome::Unchanged {
        lifecycle::drive(ctx, &bus, name, &parts, Action::Start, waiting).await?;
    }
    if state.applied != marks {
        state.applied = marks;
        state.save(&state_dir, name)?;
        if waiting.wait {
            secrets::prune(&podman, &state, name)?;
        }
    }
    if !waiting.wait && outcome != Outcome::Unchanged {
        return Ok(Outcome::Queued);
    }
    if state.engine_mountpoint.is_none() {
        state.engine_mountpoint =
            podman.volume_mountpoint(&Part::EngineVolume.podman_name(name))?;
        state.save(&state_dir, name)?;
    }
    if state.initialised.is_none() {
        engine::init(ctx, name).await?;
        state.initialised = Some(jiff::Timestamp::now().to_string());
        state.save(&state_dir, name)?;
    }
    Ok(outcome)
}

/// What each unit is when it is started now: the hash of its text and, for a container, the id of
/// its image, which can change under the same name.
fn marks(
    instance: &Instance,
    wanted: &UnitSet,
    images: &BTreeMap<ImageRef, String>,
) -> BTreeMap<String, String> {
    let mut marks = wanted.hashes();
    for part in instance.parts() {
        if let (Some(image), Some(mark)) =
            (instance.image(part), marks.get_mut(&part.file(&instance.name)))
            && let Some(id) = images.get(image)
        {
            mark.push(' ');
            mark.push_str(id);
        }
    }
    marks
}

/// Makes the installed units the wanted ones: nothing, or all of them in one step that Podman's
/// own generator agreed with; then has systemd read them and looks whether it did.
async fn install(
    ctx: Ctx<'_>,
    podman: &Podman,
    bus: &Systemd,
    name: &Name,
    wanted: &UnitSet,
) -> Result<()> {
    let units = units_lock(ctx)?;
    let dir = UnitDir::new(ctx.env);
    let plan = plan(name, wanted.as_map(), &dir.read()?)?;
    for drop_in in &plan.drop_ins {
        ctx.progress.warn(&format!("{drop_in} in {} changes what runs", dir.path()));
    }
    let services: Vec<String> =
        wanted.names().filter_map(Part::of_file).map(|(name, part)| part.service(&name)).collect();
    if plan.is_empty() {
        // An earlier run may have ended between installing and reloading.
        if systemd::check_loaded(&bus.properties_of(&services).await?, dir.path()).is_ok()
            && bus.need_reload(&services).await?.is_empty()
        {
            return Ok(());
        }
    } else {
        ctx.progress.step(&format!("{name}: installing its units"));
        let generator = Generator::find()?;
        let files = plan.result();
        let check = |staged: &Utf8Path| generator.check(staged, name, &files).map(drop);
        dir.apply(&units, &plan, check, &mut |_| {})?;
        // A part that is no longer wanted is stopped while systemd still knows how.
        let gone: Vec<Part> =
            plan.delete.iter().filter_map(|f| Part::of_file(f)).map(|(_, part)| part).collect();
        lifecycle::drive(ctx, bus, name, &gone, Action::Stop, Waiting::default()).await?;
        let networks: Vec<String> = gone
            .iter()
            .filter(|p| matches!(p, Part::Network | Part::EgressNetwork))
            .map(|p| p.podman_name(name))
            .collect();
        podman.network_rm(&networks)?;
    }
    bus.reload(super::RELOAD).await?;
    systemd::check_loaded(&bus.properties_of(&services).await?, dir.path())
}

/// The parts whose service was last started with another unit or image than is wanted now, or
/// of which that is not known.
fn changed(
    parts: &[Part],
    name: &Name,
    marks: &BTreeMap<String, String>,
    state: &State,
) -> BTreeSet<Part> {
    parts
        .iter()
        .copied()
        .filter(|part| {
            let file = part.file(name);
            state.applied.get(&file) != marks.get(&file)
        })
        .collect()
}

/// What must be restarted for the changed units to count.
#[derive(Debug, PartialEq, Eq)]
enum Restart {
    /// Nothing that runs has changed.
    Nothing,
    /// These containers, each by itself.
    Some(Vec<Part>),
    /// Everything; these networks are made anew.
    All { networks: Vec<Part> },
}

/// A changed container is restarted alone. A changed pod takes its containers with it, and a
/// changed network the pod; it is made anew also when nothing runs, because its unit would find
/// the old one. A changed volume is left alone: it holds data, and its unit only says how it is
/// made.
fn restarts(changed: &BTreeSet<Part>, running: &BTreeSet<Part>) -> Restart {
    let networks: Vec<Part> = changed
        .iter()
        .copied()
        .filter(|p| matches!(p, Part::Network | Part::EgressNetwork))
        .collect();
    if !networks.is_empty() || (changed.contains(&Part::Pod) && running.contains(&Part::Pod)) {
        return Restart::All { networks };
    }
    let containers: Vec<Part> =
        changed.iter().copied().filter(|p| p.is_container() && running.contains(p)).collect();
    if containers.is_empty() { Restart::Nothing } else { Restart::Some(containers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_restarted() {
        let set = |parts: &[Part]| parts.iter().copied().collect::<BTreeSet<_>>();
        let all = set(&Part::ALL);
        let of = |changed: &[Part], running: &BTreeSet<Part>| restarts(&set(changed), running);
        assert_eq!(of(&[], &all), Restart::Nothing);
        assert_eq!(of(&[Part::App], &all), Restart::Some(vec![Part::App]));
        assert_eq!(of(&[Part::App], &set(&[])), Restart::Nothing);
        assert_eq!(of(&[Part::PostgresVolume], &all), Restart::Nothing);
        assert_eq!(of(&[Part::App, Part::Pod], &all), Restart::All { networks: vec![] });
        let network = Restart::All { networks: vec![Part::Network] };
        assert_eq!(of(&[Part::Network, Part::Egress], &all), network);
        // A run that ended between stopping the pod and removing the network is completed.
        assert_eq!(of(&[Part::Network], &set(&[])), network);
    }
}
