//! `usage`: what instances take on disk. Three calls of Podman, however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use camino::Utf8Path;
use serde::Serialize;

use super::{Ctx, images, manifests};
use crate::error::Result;
use crate::install::{State, UnitDir};
use crate::model::{Name, Part};
use crate::podman::Podman;

/// What an instance takes on disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceUsage {
    /// Its name.
    pub name: String,
    /// The database's volume; `None` when there is none, or it cannot be counted.
    pub postgres_bytes: Option<u64>,
    /// The engine's volume.
    pub engine_bytes: Option<u64>,
    /// Its backups on this host.
    pub backups_bytes: u64,
    /// What ragpod remembers of it: generations and the like.
    pub state_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

/// An image that instances share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageUsage {
    /// Its name.
    pub image: String,
    /// In bytes, with the layers that it shares with other images.
    pub bytes: u64,
}

/// What is taken on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The largest first.
    pub instances: Vec<InstanceUsage>,
    /// Images, which all instances share.
    pub images: Vec<ImageUsage>,
    /// All instances together, without the images.
    pub total_bytes: u64,
}

/// What the named instances take, or all that there is anything of: one whose manifest is gone may
/// have left a volume or backups.
///
/// # Errors
/// [`Kind::NoInstance`](crate::error::Kind::NoInstance) for a name that nothing has; what Podman
/// says when it cannot be asked.
pub fn usage(ctx: Ctx<'_>, wanted: &[Name]) -> Result<Usage> {
    let volumes: BTreeMap<String, Option<u64>> =
        Podman::new().volume_sizes()?.into_iter().map(|v| (v.name, v.bytes)).collect();
    let mut names: BTreeSet<Name> = manifests::names(ctx.env)?.into_iter().collect();
    names.extend(UnitDir::new(ctx.env).parts()?.into_keys());
    names.extend(subdirectories(&ctx.env.backups()));
    names.extend(volumes.keys().filter_map(|volume| owner(volume)));
    let mut usage = Usage::default();
    for name in manifests::among(ctx.env, names, wanted)? {
        let volume = |part: Part| volumes.get(&part.podman_name(&name)).copied().flatten();
        let mut one = InstanceUsage {
            postgres_bytes: volume(Part::PostgresVolume),
            engine_bytes: volume(Part::EngineVolume),
            backups_bytes: taken(&ctx.env.backups().join(name.as_str())),
            state_bytes: taken(&State::dir(&ctx.env.state(), &name)),
            name: name.to_string(),
            total_bytes: 0,
        };
        one.total_bytes = one.postgres_bytes.unwrap_or(0)
            + one.engine_bytes.unwrap_or(0)
            + one.backups_bytes
            + one.state_bytes;
        usage.total_bytes += one.total_bytes;
        usage.instances.push(one);
    }
    usage.instances.sort_by(|a, b| b.total_bytes.cmp(&a.total_bytes).then(a.name.cmp(&b.name)));
    usage.images = images::list()?
        .into_iter()
        .filter_map(|i| Some(ImageUsage { image: i.image.to_string(), bytes: i.size_bytes? }))
        .collect();
    Ok(usage)
}

/// The instance that a volume is called after.
fn owner(volume: &str) -> Option<Name> {
    let rest = volume.strip_prefix("hybridrag-")?;
    ["-postgres", "-engine"].iter().find_map(|suffix| rest.strip_suffix(suffix)?.parse().ok())
}

fn subdirectories(dir: &Utf8Path) -> Vec<Name> {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().parse().ok()).collect()
}

/// What a directory takes on disk with all that is in it; what cannot be read counts nothing, and
/// links are not followed.
fn taken(path: &Utf8Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    // st_blocks is in units of 512 bytes, whatever the file system's are (stat(2)).
    let own = meta.blocks() * 512;
    if !meta.is_dir() {
        return own;
    }
    let entries = path.read_dir_utf8().into_iter().flatten().flatten();
    own + entries.map(|entry| taken(entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_says_whose_it_is() {
        let of = |volume| owner(volume).map(|name| name.to_string());
        assert_eq!(of("hybridrag-a-postgres").as_deref(), Some("a"));
        assert_eq!(of("hybridrag-a-b-engine").as_deref(), Some("a-b"));
        assert_eq!((of("hybridrag-a"), of("other-postgres")), (None, None));
    }

    #[test]
    fn what_a_directory_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir(path.join("d")).unwrap();
        std::fs::write(path.join("d/f"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", path.join("d/l")).unwrap();
        let bytes = taken(path);
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
        assert_eq!(taken(&path.join("not/there")), 0);
        assert_eq!(subdirectories(path), ["d".parse().unwrap()]);
    }
}
