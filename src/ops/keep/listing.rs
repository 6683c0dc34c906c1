//! The backups that an instance has.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::super::{Ctx, manifests};
use super::directory;
use crate::archive::{self, Archive, Documents, SECRETS};
use crate::error::{Error, Kind, Result};
use crate::model::Name;

/// A backup, as `backup --list` shows it.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The file.
    pub file: Utf8PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was made (RFC 3339); `None` when that cannot be read.
    pub created: Option<String>,
    /// Documents by state.
    pub documents: Option<Documents>,
    /// The version of PostgreSQL.
    pub postgres: Option<String>,
    /// Whether secrets are in it.
    pub secrets: bool,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// The backups in an instance's own directory, oldest first, by what each says at its beginning.
///
/// # Errors
/// [`Kind::NoInstance`] when there is neither an instance of that name nor a backup.
pub fn list(ctx: Ctx<'_>, name: &Name) -> Result<Vec<Listed>> {
    let dir = directory(ctx, name);
    let files = archive::list(&dir, name)?;
    if files.is_empty() {
        manifests::require(ctx.env, name)?;
    }
    Ok(files.into_iter().map(|file| listed(&dir.join(file.to_string()))).collect())
}

fn listed(file: &Utf8Path) -> Listed {
    let read = Archive::open(file).and_then(|a| Ok((a.bytes(), a.index()?)));
    let (bytes, index, problem) = match read {
        Ok((bytes, index)) => (bytes, Some(index), None),
        Err(e) => (std::fs::metadata(file).map_or(0, |m| m.len()), None, Some(e.to_string())),
    };
    Listed {
        file: file.to_owned(),
        bytes,
        created: index.as_ref().map(|i| i.created.clone()),
        documents: index.as_ref().and_then(|i| i.documents),
        postgres: index.as_ref().map(|i| i.postgres.version.clone()),
        secrets: index.as_ref().is_some_and(|i| i.members.contains_key(SECRETS)),
        problem,
    }
}

/// The newest backup of an instance.
pub(super) fn newest(ctx: Ctx<'_>, name: &Name) -> Result<Utf8PathBuf> {
    let dir = directory(ctx, name);
    let file = archive::list(&dir, name)?.pop().ok_or_else(|| {
        Error::new(Kind::Failed, format!("{name} has no backup"))
            .hint(format!("make one: ragpod backup {name}"))
    })?;
    Ok(dir.join(file.to_string()))
}
