//! Taking instances off the host: services, units, networks, and data only when asked for.

use camino::Utf8PathBuf;
use fs_err as fs;

use super::lifecycle;
use super::{Ctx, Waiting, manifests, secrets, units_lock};
use crate::error::{Error, Result};
use crate::install::{State, UnitDir, plan};
use crate::model::{Name, Part};
use crate::podman::Podman;
use crate::systemd::{Action, Systemd};

/// Stops an instance and takes its units and networks off the host; its volumes too when asked.
/// The manifest, the secrets and the state stay.
pub async fn down(ctx: Ctx<'_>, name: &Name, volumes: bool) -> Result<()> {
    let dir = UnitDir::new(ctx.env);
    let installed = dir.read()?;
    if !manifests::exists(ctx.env, name) && installed.of(name).is_empty() {
        return Err(manifests::no_instance(ctx.env, name));
    }
    let podman = Podman::new();
    podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = secrets::lock(ctx, name)?;
    take_off(ctx, &podman, &bus, &dir, name).await?;
    let state_dir = ctx.env.state();
    let mut state = State::load(&state_dir, name)?;
    if volumes {
        ctx.progress.step(&format!("{name}: deleting its data"));
        let volumes: Vec<String> =
            Part::ALL.into_iter().filter(|p| p.is_volume()).map(|p| p.podman_name(name)).collect();
        podman.volume_rm(&volumes)?;
        state.initialised = None;
        state.engine_mountpoint = None;
    }
    state.applied.clear();
    state.save(&state_dir, name)
}

/// Stops all services, removes the units in one step, reloads, and removes what Podman still has
/// of the instance but its volumes and secrets.
async fn take_off(
    ctx: Ctx<'_>,
    podman: &Podman,
    bus: &Systemd,
    dir: &UnitDir,
    name: &Name,
) -> Result<()> {
    lifecycle::drive(ctx, bus, name, &Part::ALL, Action::Stop, Waiting::default()).await?;
    let units = units_lock(ctx)?;
    let plan = plan(name, &std::collections::BTreeMap::new(), &dir.read()?)?;
    if !plan.is_empty() {
        dir.apply(&units, &plan, |_| Ok(()), &mut |_| {})?;
        bus.reload(super::RELOAD).await?;
    }
    drop(units);
    for drop_in in &plan.drop_ins {
        ctx.progress.warn(&format!("kept your drop-in {}", dir.path().join(drop_in)));
    }
    podman.remove_leftovers(name).map(drop)
}

/// Removes an instance from the host. Without `data` its volumes and secrets stay, and its
/// manifest is moved to where this says; with it nothing stays.
pub async fn remove(ctx: Ctx<'_>, name: &Name, data: bool) -> Result<Option<Utf8PathBuf>> {
    down(ctx, name, data).await?;
    let manifest = manifests::path(ctx.env, name);
    let _lock = secrets::lock(ctx, name)?;
    let state_dir = ctx.env.state();
    if data {
        let podman = Podman::new();
        let secrets: Vec<String> = podman.secret_list(name)?.into_iter().collect();
        podman.secret_rm(&secrets)?;
        match fs::remove_file(&manifest) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &manifest, &e));
            }
            _ => {}
        }
        State::remove(&state_dir, name)?;
        return Ok(None);
    }
    let kept = State::dir(&state_dir, name).join("manifest.toml");
    match fs::rename(&manifest, &kept) {
        // Another file system: a copy does as well.
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {
            fs::copy(&manifest, &kept).map_err(|e| Error::io("copy", &manifest, &e))?;
            fs::remove_file(&manifest).map_err(|e| Error::io("remove", &manifest, &e))?;
        }
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("move", &manifest, &e));
        }
        _ => {}
    }
    Ok(Some(kept))
}
