//! `backup --verify`: a backup restored into a database that is thrown away, and counted.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::super::Ctx;
use super::listing::newest;
use super::{database, restore};
use crate::archive::{Archive, Documents, MANIFEST};
use crate::error::{Error, Kind, Result};
use crate::model::{ImageRef, Name};
use crate::podman::Podman;

/// A backup that is good.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// The file.
    pub file: Utf8PathBuf,
    /// The instance that it was made of.
    pub instance: String,
    /// When (RFC 3339).
    pub created: String,
    /// Rows of all tables, as counted after it was restored.
    pub rows: u64,
    /// How many tables.
    pub tables: usize,
    /// Documents by state, as counted.
    pub documents: Option<Documents>,
}

/// Verifies the newest backup of an instance.
pub fn verify_newest(ctx: Ctx<'_>, name: &Name) -> Result<Verified> {
    verify(ctx, &newest(ctx, name)?)
}

/// Verifies a file: its checksums, then by a restore in a container without a network.
///
/// # Errors
/// [`Kind::Failed`] with what is wrong with it; [`Kind::Image`] when there is no image to try it with.
pub fn verify(ctx: Ctx<'_>, file: &Utf8Path) -> Result<Verified> {
    let archive = Archive::open(file)?;
    ctx.progress.step(&format!("reading {file}"));
    let size = archive.bytes();
    let index = archive.check(&mut |done| {
        ctx.progress.at(done, size, file.as_str());
        Ok(())
    })?;
    let podman = Podman::new();
    podman.supported()?;
    let image = image(ctx, &archive)?;
    if !podman.image_exists(&image)? {
        return Err(Error::new(Kind::Image, format!("the image {image} is not on this host")));
    }
    if let Some(major) = podman.image_env(image.as_str(), "PG_MAJOR")?.and_then(|m| m.parse().ok())
    {
        restore::newer_server(file, &index, major)?;
    }
    ctx.progress.step(&format!("restoring {} rows into a database of their own", index.rows()));
    let container = format!("ragpod-verify-{}", std::process::id());
    let cmd = podman.throw_away(
        &container,
        &image,
        "/var/lib/postgresql/data",
        include_str!("scripts/verify.sh"),
        [
            index.postgres.user.clone(),
            index.postgres.database.clone(),
            database::RESTORE.to_owned(),
            database::extensions(&index),
            database::GRAPHS.to_owned(),
            database::WALK.to_owned(),
            database::FACTS.to_owned(),
        ],
    );
    let said = database::with_dump(&archive, |input| cmd.consume(input));
    let said = said.map_err(|mut e| {
        // When reading failed: by itself it ends with its input.
        let _ = podman.container_rm(&[&container]);
        // The command line has whole scripts in it.
        e.message = format!("{file} could not be restored");
        e.hint("take another one: ragpod backup --list NAME")
    })?;
    let facts = database::parse_facts(&said)?;
    database::compare(&index, &facts)?;
    Ok(Verified {
        file: file.to_owned(),
        instance: index.instance,
        created: index.created,
        rows: facts.tables.values().sum(),
        tables: facts.tables.len(),
        documents: facts.documents,
    })
}

/// The image that the instance's database has; ragpod's own when its manifest is not understood.
fn image(ctx: Ctx<'_>, archive: &Archive) -> Result<ImageRef> {
    let text = archive.small(MANIFEST)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let instance =
        text.and_then(|text| crate::manifest::parse(&text, "manifest", &ctx.env.home).ok());
    Ok(instance.map_or_else(ImageRef::postgres, |i| i.postgres.image))
}
