//! `clone`: another instance with the same manifest, secrets and network of its own, and, if wanted,
//! the same data.

use serde::Serialize;

use super::super::{Ctx, Waiting, down, manifests, secrets, up};
use super::backup::{self, Output};
use super::{directory, renamed, require_free, restore};
use crate::error::Result;
use crate::fault;
use crate::install::{State, atomic_write, create_dirs, temporary_prefix};
use crate::model::{Name, SecretKey};
use crate::podman::Podman;

/// What was made.
#[derive(Debug, Serialize)]
pub struct Cloned {
    /// The instance that was copied.
    pub from: Name,
    /// The new one.
    pub instance: Name,
    /// Its manifest.
    pub manifest: camino::Utf8PathBuf,
    /// Rows that were copied; `None` without the data.
    pub rows: Option<u64>,
}

/// Makes `to` like `from`, which goes on answering. With `data` the new one runs in the end.
///
/// # Errors
/// What kept it from that; nothing of the new one is there then.
pub async fn clone(
    ctx: Ctx<'_>,
    from: &Name,
    to: &Name,
    data: bool,
    waiting: Waiting,
) -> Result<Cloned> {
    let (instance, text) = manifests::load_with_text(ctx.env, from)?;
    up::check_mounts(&instance)?;
    let podman = Podman::new();
    podman.supported()?;
    let manifest = begin(ctx, &podman, from, to, &text).await?;
    fault::point("cloned");
    if !data {
        return Ok(Cloned { from: from.clone(), instance: to.clone(), manifest, rows: None });
    }
    match copy_data(ctx, from, to, waiting).await {
        Ok(rows) => {
            Ok(Cloned { from: from.clone(), instance: to.clone(), manifest, rows: Some(rows) })
        }
        Err(e) => {
            // What went wrong first is told.
            match down::remove(ctx, to, true).await {
                Ok(_) => Err(e),
                Err(_) => Err(e.hint(format!("remove what is left: ragpod rm {to} --data"))),
            }
        }
    }
}

/// The manifest and the secrets; nothing runs yet.
async fn begin(
    ctx: Ctx<'_>,
    podman: &Podman,
    from: &Name,
    to: &Name,
    text: &str,
) -> Result<camino::Utf8PathBuf> {
    let dir = ctx.env.state();
    let file = manifests::path(ctx.env, to);
    let text = renamed(ctx, from, to, text)?;
    let _lock = secrets::lock(ctx, to).await?;
    if let Err(e) = require_free(ctx, podman, to) {
        let _ = State::remove_if_bare(&dir, to);
        return Err(e);
    }
    let mut state = State::default();
    let copied = copy_secrets(ctx, podman, from, to, &mut state, false)
        .and_then(|()| state.save(&dir, to))
        .and_then(|()| create_dirs(&ctx.env.manifests(), 0o755))
        .and_then(|()| atomic_write(&file, text.as_bytes(), 0o600));
    if let Err(e) = copied {
        let left: Vec<String> = podman.secret_list(to)?.into_iter().collect();
        let _ = podman.secret_rm(&left);
        let _ = State::remove(&dir, to);
        return Err(e);
    }
    Ok(file)
}

/// Copies secrets inside Podman's store. The database's password only when `all`: a new instance gets
/// one of its own.
pub(super) fn copy_secrets(
    ctx: Ctx<'_>,
    podman: &Podman,
    from: &Name,
    to: &Name,
    state: &mut State,
    all: bool,
) -> Result<()> {
    for (key, value) in backup::values(ctx, podman, from)? {
        if all || key != SecretKey::postgres_password() {
            secrets::store(podman, state, to, &key, &value)?;
        }
    }
    Ok(())
}

async fn copy_data(ctx: Ctx<'_>, from: &Name, to: &Name, waiting: Waiting) -> Result<u64> {
    let dir = directory(ctx, to);
    let there = dir.exists();
    create_dirs(&dir, 0o700)?;
    // Its name is that of a temporary file of a backup: what a kill leaves, the next one sweeps.
    let file = dir.join(format!("{}clone", temporary_prefix(&dir.join(to.as_str()))));
    let wish = backup::Wish { output: Output::File(file.clone()), secrets: false, recipient: None };
    let copied = async {
        backup::backup(ctx, from, &wish).await?;
        fault::point("copied");
        let wish = restore::Wish { file: &file, identity: None, waiting };
        restore::restore(ctx, to, wish).await
    }
    .await;
    let _ = std::fs::remove_file(&file);
    if !there {
        let _ = std::fs::remove_dir(&dir);
        let _ = std::fs::remove_dir(ctx.env.backups());
    }
    copied.map(|restored| restored.rows)
}
