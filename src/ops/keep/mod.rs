//! Keeping what an instance has: backups and what is made of them, copies, another name.

pub mod backup;
pub mod copy;
mod database;
pub(super) mod exchange;
pub mod listing;
pub mod rename;
pub mod restore;
pub mod verify;
mod volume;

use camino::Utf8PathBuf;

use super::{Ctx, manifests, secrets};
use crate::error::{Error, Kind, Result};
use crate::install::{Lock, Restoring, Scope, State, UnitDir, sweep};
use crate::manifest::{Problem, edit, parse};
use crate::model::{Name, Part};
use crate::podman::Podman;

/// Where an instance's backups lie.
#[must_use]
pub fn directory(ctx: Ctx<'_>, name: &Name) -> Utf8PathBuf {
    ctx.env.backups().join(name.as_str())
}

/// One backup of an instance is made or restored at a time; the command waits for another one.
pub(super) async fn lock(ctx: Ctx<'_>, name: &Name) -> Result<Lock> {
    super::wait_for_lock(ctx, Scope::Backups(name.clone()), secrets::LOCK_WAIT, &mut |holder| {
        ctx.progress.step(&format!("waiting for the backups of {name}: held by {holder}"));
    })
    .await
}

/// An instance is gone with its data: its directory goes when no backup is in it. Gives it where it
/// stays.
pub(super) fn forget(ctx: Ctx<'_>, name: &Name) -> Result<Option<Utf8PathBuf>> {
    let dir = directory(ctx, name);
    sweep(&dir.join(name.as_str()))?;
    // Only an empty one goes.
    let _ = std::fs::remove_dir(&dir);
    Ok(dir.exists().then_some(dir))
}

/// Refuses an instance that a restore is under way in, or was cut off in: what is on its volume need
/// not be of its database.
///
/// # Errors
/// [`Kind::Locked`].
pub(super) fn no_restore(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let Some(record) = Restoring::load(&ctx.env.state(), name)? else { return Ok(()) };
    Err(Error::new(Kind::Locked, format!("`{}` did not finish", record.doing))
        .cause(format!("unless it is at work now, as process {}", record.pid))
        .hint(format!("complete it: ragpod up {name}")))
}

/// A manifest's text with another name, which is a manifest, too.
fn renamed(ctx: Ctx<'_>, from: &Name, to: &Name, text: &str) -> Result<String> {
    let text = edit::renamed(text, to)
        .ok_or_else(|| Error::failed(format!("the manifest of {from} cannot be copied")))?;
    let file = manifests::path(ctx.env, to);
    parse(&text, file.as_str(), &ctx.env.home).map_err(|p| Problem::into_error(&p))?;
    Ok(text)
}

/// Fails unless nothing on this host has the name yet.
fn require_free(ctx: Ctx<'_>, podman: &Podman, name: &Name) -> Result<()> {
    let taken = |why: String, hint: String| {
        Err(Error::new(Kind::Exists, format!("the name {name} is taken"))
            .cause(why)
            .hint("pick another name; see which there are: ragpod list")
            .hint(hint))
    };
    let manifest = manifests::path(ctx.env, name);
    if manifest.exists() {
        let look = format!("or see what it is: ragpod status {name}");
        return taken(format!("its manifest is {manifest}"), look);
    }
    let remove = format!("or delete them: ragpod rm {name} --data");
    if State::exists(&ctx.env.state(), name) || !UnitDir::new(ctx.env).parts_of(name)?.is_empty() {
        return taken(format!("data of an earlier {name} is still here"), remove);
    }
    for part in Part::ALL.into_iter().filter(|p| p.is_volume()) {
        let volume = part.podman_name(name);
        if podman.exists("volume", &volume)? {
            let hint = format!("or remove it with the data in it: podman volume rm {volume}");
            return taken(format!("there is a volume {volume}"), hint);
        }
    }
    Ok(())
}
