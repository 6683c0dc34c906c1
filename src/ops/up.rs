//! `up`: from a manifest to an instance that answers.
//!
//! Everything that can be refused is refused before anything is touched. What has not changed is
//! neither written nor restarted, so running it again is always safe and completes what an
//! earlier run left undone.

use std::collections::BTreeSet;

use super::lifecycle;
use super::{Ctx, Waiting, engine, images, manifests, secrets, target, units_lock};
use crate::error::{Error, Kind, Result};
use crate::install::{Plan, State, UnitDir, plan};
use crate::model::{Instance, Name, Part};
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
    let instance = manifests::load(ctx.env, name)?;
    check_mounts(&instance)?;
    let podman = Podman::new();
    let version = podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    let missing = images::missing(&podman, &instance)?;
    let _lock = secrets::lock(ctx, name)?;
    let state_dir = ctx.env.state();
    let mut state = State::load(&state_dir, name)?;
    // Written although nothing has changed yet: a full disk shows here, before anything is done.
    state.save(&state_dir, name)?;
    images::provide(ctx, &podman, &missing)?;
    secrets::ensure(&podman, &mut state, &instance)?;
    state.save(&state_dir, name)?;

    let wanted = render::render(&instance, &target(version, &state))?;
    let plan = install(ctx, &bus, name, &wanted).await?;
    let parts = instance.parts();
    let changed = changed(&parts, name, &wanted, &plan, &state);
    let running = lifecycle::active(&bus, name).await?;
    let restart = restarts(&changed, &running);
    let healthy = parts.iter().filter(|p| p.is_running_service()).all(|p| running.contains(p));
    let outcome = match (&restart, healthy) {
        (Restart::Nothing, true) => Outcome::Unchanged,
        (Restart::Nothing, false) => Outcome::Started,
        (Restart::Some(parts), _) => Outcome::Changed(parts.clone()),
        (Restart::All { .. }, _) => Outcome::Changed(vec![Part::Pod]),
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
    if !waiting.wait {
        return Ok(Outcome::Queued);
    }
    let applied = wanted.hashes();
    if state.applied != applied {
        state.applied = applied;
        state.save(&state_dir, name)?;
        secrets::prune(&podman, &state, name)?;
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

/// Makes the installed units the wanted ones: nothing, or all of them in one step that Podman's
/// own generator agreed with; then has systemd read them and looks whether it did.
async fn install(ctx: Ctx<'_>, bus: &Systemd, name: &Name, wanted: &UnitSet) -> Result<Plan> {
    let units = units_lock(ctx)?;
    let dir = UnitDir::new(ctx.env);
    let plan = plan(name, wanted.as_map(), &dir.read()?)?;
    for drop_in in &plan.drop_ins {
        ctx.progress.warn(&format!("{drop_in} in {} changes what runs", dir.path()));
    }
    let services: Vec<String> = wanted
        .iter()
        .filter_map(|(file, _)| Part::of_file(file))
        .map(|(name, part)| part.service(&name))
        .collect();
    if plan.is_empty() {
        // An earlier run may have ended between installing and reloading.
        if systemd::check_loaded(&bus.properties_of(&services).await?, dir.path()).is_ok()
            && bus.need_reload(&services).await?.is_empty()
        {
            return Ok(plan);
        }
    } else {
        // A part that is no longer wanted is stopped while systemd still knows how.
        let gone: Vec<Part> =
            plan.delete.iter().filter_map(|f| Part::of_file(f)).map(|(_, part)| part).collect();
        if !gone.is_empty() {
            lifecycle::drive(ctx, bus, name, &gone, Action::Stop, Waiting::default()).await?;
        }
        ctx.progress.step(&format!("{name}: installing its units"));
        let generator = Generator::find()?;
        let files = plan.result();
        dir.apply(
            &units,
            &plan,
            |staged| generator.check(staged, name, &files).map(drop),
            &mut |_| {},
        )?;
    }
    bus.reload(super::RELOAD).await?;
    systemd::check_loaded(&bus.properties_of(&services).await?, dir.path())?;
    Ok(plan)
}

/// The parts whose service was last started with another unit than the wanted one.
fn changed(
    parts: &[Part],
    name: &Name,
    wanted: &UnitSet,
    plan: &Plan,
    state: &State,
) -> BTreeSet<Part> {
    let hashes = wanted.hashes();
    parts
        .iter()
        .copied()
        .filter(|part| {
            let file = part.file(name);
            plan.update.contains_key(&file)
                || state.applied.get(&file).is_some_and(|old| Some(old) != hashes.get(&file))
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
/// changed network the pod. A changed volume is left alone: it holds data, and its unit only says
/// how it is made.
fn restarts(changed: &BTreeSet<Part>, running: &BTreeSet<Part>) -> Restart {
    let networks: Vec<Part> = changed
        .iter()
        .copied()
        .filter(|p| matches!(p, Part::Network | Part::EgressNetwork) && running.contains(p))
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
        assert_eq!(
            of(&[Part::Network, Part::Egress], &all),
            Restart::All { networks: vec![Part::Network] }
        );
    }
}
