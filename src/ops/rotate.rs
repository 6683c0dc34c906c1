//! A new value for a secret that is in use: the database learns it, and only who reads it is
//! restarted, when it has answered what it was asked.

use secrecy::{ExposeSecret, SecretString};

use super::lifecycle;
use super::{Ctx, Waiting, gate, manifests, secrets, target, units, up};
use crate::error::{Error, Kind, Result};
use crate::install::{State, UnitDir, plan};
use crate::model::{Instance, Name, Part, SecretKey};
use crate::podman::{ExecOptions, Podman};
use crate::render::{self, UnitSet};
use crate::systemd::Systemd;

/// Where the new value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// Everywhere: whoever reads it has it.
    InUse,
    /// The instance does not run; the next `up` uses it.
    Stored,
}

/// Replaces the value of a secret; `None` makes one, which is possible for the database's password.
///
/// # Errors
/// [`Kind::Usage`] for a key that the instance does not use, or when there is no value;
/// [`Kind::Failed`] when its manifest has changes that are not in use yet, or when what it is doing
/// does not end in time. Once the new value is stored, `up` completes what was cut off.
pub async fn rotate(
    ctx: Ctx<'_>,
    name: &Name,
    key: &SecretKey,
    value: Option<SecretString>,
    waiting: Waiting,
) -> Result<Rotated> {
    let instance = manifests::load(ctx.env, name)?;
    if !instance.secret_keys().contains(key) {
        return Err(Error::usage(format!("{name} uses no secret {key}"))
            .hint(format!("see which it uses: ragpod secret list {name}")));
    }
    let is_password = *key == SecretKey::postgres_password();
    let value = match value {
        Some(value) => value,
        None if is_password => secrets::generate()?,
        None => {
            return Err(Error::usage(format!("only its provider can make a new {key}"))
                .hint(format!("give it: ragpod secret rotate {name} {key} < FILE")));
        }
    };
    let podman = Podman::new();
    let version = podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    units::same_place(ctx, &bus).await?;
    let _lock = secrets::lock(ctx, name).await?;
    let dir = ctx.env.state();
    let mut state = State::load(&dir, name)?;
    let running = lifecycle::alive(&bus, name).await?.active;
    if !(running.contains(&Part::App) && running.contains(&Part::Postgres)) {
        secrets::store(&podman, &mut state, name, key, &value)?;
        state.save(&dir, name)?;
        return Ok(Rotated::Stored);
    }
    let before = render::render(&instance, &target(version, &state))?;
    if !plan(name, before.as_map(), &UnitDir::new(ctx.env).read()?)?.is_empty() {
        return Err(Error::new(
            Kind::Failed,
            format!("the manifest of {name} has changes that are not in use yet"),
        )
        .hint(format!("use them first: ragpod up {name}")));
    }
    let _gate = gate::close(ctx, name, waiting.timeout)?;
    ctx.progress.step(&format!("{name}: replacing {key}"));
    secrets::store(&podman, &mut state, name, key, &value)?;
    state.save(&dir, name)?;
    if is_password {
        tell_database(&podman, name, &value)?;
        let after = render::render(&instance, &target(version, &state))?;
        keep_database(&mut state, &instance, &before, &after);
        state.save(&dir, name)?;
    }
    // The lock stays taken: whoever took it meanwhile would wait for the gate, and this for them.
    let wish = up::Wish { waiting: Waiting { wait: true, ..waiting }, ..up::Wish::default() };
    up::up_locked(ctx, &podman, version, &bus, name, &wish).await?;
    Ok(Rotated::InUse)
}

/// Sets the role's password over the database's socket. Connections that are open stay.
fn tell_database(podman: &Podman, name: &Name, value: &SecretString) -> Result<()> {
    let options = ExecOptions { interactive: true, ..ExecOptions::default() };
    podman
        .exec(&Part::Postgres.podman_name(name), &options, ["ragpod-initdb", "--password-stdin"])
        .with_input(value.expose_secret().as_bytes())
        .map(drop)
        .map_err(|mut e| {
            e.message = format!("the database of {name} did not take the new password");
            e.hint(format!("restart it with the new one: ragpod up {name}"))
        })
}

/// The database has the new password, so its new unit is no reason to restart it. When it was not
/// started with the old unit as it is, there is another reason.
fn keep_database(state: &mut State, instance: &Instance, before: &UnitSet, after: &UnitSet) {
    let file = Part::Postgres.file(&instance.name);
    let (Some(old), Some(new)) = (before.hash(&file), after.hash(&file)) else { return };
    if let Some(applied) = state.applied.get_mut(&file)
        && let Some(rest) = applied.strip_prefix(&old)
    {
        *applied = new + rest;
    }
}
