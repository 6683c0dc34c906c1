//! Taking instances off the host: services, units, networks, and data only when asked for.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::lifecycle;
use super::{Ctx, Waiting, idle, keep, manifests, schedule, secrets, units_lock};
use crate::error::{Error, Result};
use crate::fault;
use crate::install::{History, Intent, Restoring, State, UnitDir, atomic_write, plan};
use crate::model::{Name, Part};
use crate::podman::Podman;
use crate::systemd::{Action, Systemd};

/// Stops an instance and takes its units and networks off the host; its volumes too when asked.
/// The manifest, the secrets and the state stay.
pub async fn down(ctx: Ctx<'_>, name: &Name, volumes: bool) -> Result<()> {
    let podman = require(ctx, name)?;
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = secrets::lock(ctx, name).await?;
    let redo = format!("ragpod down {name}{}", if volumes { " --volumes" } else { "" });
    down_locked(ctx, &podman, &bus, name, volumes, &redo).await
}

/// Fails unless there is something of that name on the host: a manifest, units, or what an
/// earlier `rm` left.
fn require(ctx: Ctx<'_>, name: &Name) -> Result<Podman> {
    manifests::require_known(ctx.env, name)?;
    let podman = Podman::new();
    podman.supported()?;
    Ok(podman)
}

/// `down`, with the instance's lock held.
async fn down_locked(
    ctx: Ctx<'_>,
    podman: &Podman,
    bus: &Systemd,
    name: &Name,
    volumes: bool,
    redo: &str,
) -> Result<()> {
    let state_dir = ctx.env.state();
    super::sweep(ctx, name)?;
    let mut state = State::load(&state_dir, name)?;
    let intent = Intent {
        doing: ctx.summary.to_owned(),
        redo: redo.to_owned(),
        pid: std::process::id(),
        from: state.generation,
        ..Intent::default()
    };
    // A full disk must not keep anybody from freeing it.
    let _ = intent.save(&state_dir, name);
    fault::point("intent");
    // First: nothing wakes it, or begins anything in it, from here on.
    idle::disarm(ctx, name)?;
    schedule::end(ctx, bus, name).await?;
    fault::point("unscheduled");
    if !volumes {
        lifecycle::proved(ctx, bus, name).await;
    }
    take_off(ctx, podman, bus, name).await?;
    fault::point("off");
    // Remembered before it is done: killed in between, the next `up` sets up what is there.
    state.applied.clear();
    if volumes {
        state.initialised = None;
        state.engine_mountpoint = None;
    }
    let saved = state.save(&state_dir, name);
    if volumes {
        ctx.progress.step(&format!("{name}: deleting its data"));
        let volumes: Vec<String> =
            Part::ALL.into_iter().filter(|p| p.is_volume()).map(|p| p.podman_name(name)).collect();
        podman.volume_rm(&volumes)?;
        // What a restore had come to is gone with them.
        Restoring::end(&state_dir, name)?;
        fault::point("volumes");
        if saved.is_err() {
            state.save(&state_dir, name)?;
        }
    } else {
        saved?;
    }
    Intent::end(&state_dir, name)
}

/// Stops all services, removes the units in one step, reloads, and removes what Podman still has
/// of the instance but its volumes and secrets.
async fn take_off(ctx: Ctx<'_>, podman: &Podman, bus: &Systemd, name: &Name) -> Result<()> {
    let dir = UnitDir::new(ctx.env);
    lifecycle::drive(ctx, bus, name, &Part::ALL, Action::Stop, Waiting::default()).await?;
    fault::point("stopped");
    let units = units_lock(ctx)?;
    dir.sweep(&units)?;
    let plan = plan(name, &BTreeMap::new(), &dir.read()?)?;
    if !plan.is_empty() {
        dir.apply(&units, &plan, |_| Ok(()), &mut |step| fault::point(step.as_str()))?;
    }
    // Also when an earlier run ended before it could reload.
    let services: Vec<String> = Part::ALL.iter().map(|p| p.service(name)).collect();
    if bus.named(&services).await?.iter().any(|unit| unit.load == "loaded") {
        super::reload::reload(bus).await?;
        fault::point("reloaded");
    }
    drop(units);
    for drop_in in &plan.drop_ins {
        ctx.progress.warn(&format!("kept your drop-in {}", dir.path().join(drop_in)));
    }
    podman.remove_leftovers(name).map(drop)
}

/// What `rm` leaves on the host.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// The data and the secrets, and the manifest, if there was one, at this place.
    Data(Option<Utf8PathBuf>),
    /// Its backups, in this folder.
    Backups(Utf8PathBuf),
    /// Nothing.
    Nothing,
}

/// Removes an instance from the host. Without `data` its volumes and secrets stay, and its
/// manifest is moved into the state directory; with it nothing stays but its backups.
pub async fn remove(ctx: Ctx<'_>, name: &Name, data: bool) -> Result<Kept> {
    let podman = require(ctx, name)?;
    let bus = Systemd::connect(ctx.env).await?;
    // A backup that is being written is not swept away with what others have left.
    let _backups = keep::lock(ctx, name).await?;
    let _lock = secrets::lock(ctx, name).await?;
    let redo = format!("ragpod rm {name}{}", if data { " --data" } else { "" });
    remove_locked(ctx, &podman, &bus, name, data, &redo).await
}

/// `remove`, with the locks of the instance and of its backups held.
pub(super) async fn remove_locked(
    ctx: Ctx<'_>,
    podman: &Podman,
    bus: &Systemd,
    name: &Name,
    data: bool,
    redo: &str,
) -> Result<Kept> {
    down_locked(ctx, podman, bus, name, data, redo).await?;
    let manifest = manifests::path(ctx.env, name);
    let state_dir = ctx.env.state();
    if data {
        let secrets: Vec<String> = podman.secret_list(name)?.into_iter().collect();
        podman.secret_rm(&secrets)?;
        fault::point("secrets");
        remove_file(&manifest)?;
        fault::point("manifest");
        let backups = keep::forget(ctx, name)?;
        State::remove(&state_dir, name)?;
        return Ok(backups.map_or(Kept::Nothing, Kept::Backups));
    }
    // Without its manifest and units there is nothing to go back to.
    History::clear(&state_dir, name)?;
    // Read and written anew: the manifest may be a link into somebody's collection of dotfiles.
    let kept = State::dir(&state_dir, name).join("manifest.toml");
    match fs::read(&manifest) {
        Ok(text) => {
            atomic_write(&kept, &text, 0o600)?;
            fault::point("kept");
            remove_file(&manifest)?;
            Ok(Kept::Data(Some(kept)))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(Kept::Data(kept.exists().then_some(kept)))
        }
        Err(e) => Err(Error::io("read", &manifest, &e)),
    }
}

fn remove_file(path: &Utf8Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}
