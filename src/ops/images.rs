//! The three images: their recipes, which the binary carries, and how they get onto the host.

use std::collections::BTreeMap;

use camino::Utf8Path;
use fs_err as fs;
use include_dir::{Dir, DirEntry, include_dir};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Ctx;
use crate::error::{Error, Kind, Result};
use crate::model::{ImageKind, ImageRef, Instance};
use crate::podman::{Build, Podman};

static RECIPES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/packaging/images");

/// Files of a recipe's folder that are not part of the build.
const LEFT_OUT: [&str; 3] = ["tests", "__pycache__", "lock.sh"];

/// The label that an image carries: the hash of the recipe that it was built from.
pub const RECIPE_LABEL: &str = "io.ragpod.recipe";

/// A recipe's files: their paths in the build context and their contents.
fn recipe(kind: ImageKind) -> Vec<(&'static Utf8Path, &'static [u8])> {
    let mut files = Vec::new();
    if let Some(dir) = RECIPES.get_dir(kind.as_str()) {
        collect(dir, kind.as_str(), &mut files);
    }
    files.sort_unstable();
    files
}

/// SHA-256 over a recipe's paths and contents, in hexadecimal: tells whether an image was built
/// from this ragpod's recipe.
#[must_use]
pub fn recipe_hash(kind: ImageKind) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in recipe(kind) {
        for part in [path.as_str().as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn collect(
    dir: &'static Dir<'static>,
    root: &str,
    files: &mut Vec<(&'static Utf8Path, &'static [u8])>,
) {
    for entry in dir.entries() {
        let Some(path) = Utf8Path::from_path(entry.path()) else { continue };
        let litter = |name: &str| {
            LEFT_OUT.contains(&name) || (name.starts_with('.') && name != ".containerignore")
        };
        if path.file_name().is_some_and(litter) {
            continue;
        }
        match entry {
            DirEntry::Dir(dir) => collect(dir, root, files),
            DirEntry::File(file) => {
                files.push((path.strip_prefix(root).unwrap_or(path), file.contents()));
            }
        }
    }
}

/// Builds images from their recipes, on `base` instead of each recipe's own where it is given.
pub fn build(ctx: Ctx<'_>, podman: &Podman, which: &[ImageKind], base: Option<&str>) -> Result<()> {
    for kind in which.iter().copied() {
        let image = kind.image();
        let context = tempfile::Builder::new()
            .prefix("ragpod-build-")
            .tempdir()
            .map_err(|e| Error::io("make", "a temporary build folder", &e))?;
        let root = Utf8Path::from_path(context.path())
            .ok_or_else(|| Error::host("the folder for temporary files is not UTF-8"))?;
        for (path, bytes) in recipe(kind) {
            let target = root.join(path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(|e| Error::io("make", parent, &e))?;
            }
            fs::write(&target, bytes).map_err(|e| Error::io("write", &target, &e))?;
        }
        ctx.progress.step(&format!("building {image}"));
        let label = format!("{RECIPE_LABEL}={}", recipe_hash(kind));
        let build = Build {
            context: root.to_owned(),
            tag: image.clone(),
            args: base.map(|b| ("BASE".to_owned(), b.to_owned())).into_iter().collect(),
            options: vec![format!("--label={label}")],
        };
        podman.build(&build, |line| ctx.progress.output(line)).map_err(|e| {
            let mut error = Error::new(Kind::Image, format!("{image} could not be built"));
            error.causes = e.causes;
            error.hint(format!(
                "see the whole build: ragpod image build {} --verbose; without a network, \
                     give it a base that has everything: --base IMAGE",
                kind.as_str()
            ))
        })?;
        ctx.progress.done(&format!("built {image}"));
    }
    Ok(())
}

fn ours(image: &ImageRef) -> Option<ImageKind> {
    ImageKind::ALL.into_iter().find(|kind| kind.image() == *image)
}

/// The images of an instance that are not on the host: one Podman call.
///
/// # Errors
/// [`Kind::Image`] for one that can neither be built nor pulled.
pub fn missing(podman: &Podman, instance: &Instance) -> Result<Vec<ImageRef>> {
    let images: Vec<ImageRef> = instance.images().into_iter().collect();
    let missing = podman.missing_images(&images)?;
    match missing.iter().find(|image| image.is_local() && ours(image).is_none()) {
        None => Ok(missing),
        Some(image) => {
            Err(Error::new(Kind::Image, format!("the image {image} is not on this host"))
                .hint("see which there are: podman images; then correct `image` in the manifest"))
        }
    }
}

/// The id of each image of an instance. Tells of those that an older recipe than this ragpod's
/// made.
pub fn ids(
    ctx: Ctx<'_>,
    podman: &Podman,
    instance: &Instance,
) -> Result<BTreeMap<ImageRef, String>> {
    let present = podman.images()?;
    let mut ids = BTreeMap::new();
    for image in instance.images() {
        let Some(found) = present.iter().find(|i| i.is(image.as_str())) else { continue };
        if ours(&image).is_some_and(|k| found.labels.get(RECIPE_LABEL) != Some(&recipe_hash(k))) {
            ctx.progress.warn(&format!(
                "{image} was built from another recipe than this ragpod's; to build it anew: \
                 ragpod image build"
            ));
        }
        ids.insert(image, found.id.clone());
    }
    Ok(ids)
}

/// Brings images onto the host: ragpod's own are built, those of a registry are pulled.
///
/// # Errors
/// [`Kind::Image`] for a build or pull that failed.
pub fn provide(ctx: Ctx<'_>, podman: &Podman, images: &[ImageRef]) -> Result<()> {
    for image in images {
        if let Some(kind) = ours(image) {
            build(ctx, podman, &[kind], None)?;
        } else {
            ctx.progress.step(&format!("pulling {image}"));
            podman.pull(image, |line| ctx.progress.output(line))?;
            ctx.progress.done(&format!("pulled {image}"));
        }
    }
    Ok(())
}

/// `image build`: the same, on this host's Podman.
pub fn build_all(ctx: Ctx<'_>, which: &[ImageKind], base: Option<&str>) -> Result<()> {
    let podman = Podman::new();
    podman.supported()?;
    build(ctx, &podman, which, base)
}

/// One of ragpod's images, as `image list` shows it.
#[derive(Debug, Serialize)]
pub struct ImageStatus {
    /// Its name.
    pub image: ImageRef,
    /// `missing`, `current`, or `outdated` when it was built from another recipe than this
    /// ragpod's.
    pub state: &'static str,
    /// Its size in bytes.
    pub size_bytes: Option<u64>,
    /// When it was built: seconds since 1970.
    pub created: Option<i64>,
}

/// What is on the host of ragpod's images: one Podman call.
pub fn list() -> Result<Vec<ImageStatus>> {
    let podman = Podman::new();
    podman.supported()?;
    let present = podman.images()?;
    Ok(ImageKind::ALL
        .into_iter()
        .map(|kind| {
            let image = kind.image();
            let found = present.iter().find(|i| i.is(image.as_str()));
            ImageStatus {
                state: match found {
                    None => "missing",
                    Some(i) if i.labels.get(RECIPE_LABEL) == Some(&recipe_hash(kind)) => "current",
                    Some(_) => "outdated",
                },
                size_bytes: found.map(|i| i.size),
                created: found.map(|i| i.created),
                image,
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_complete_and_free_of_litter() {
        for kind in ImageKind::ALL {
            let files: Vec<&str> = recipe(kind).iter().map(|(p, _)| p.as_str()).collect();
            assert!(files.contains(&"Containerfile"), "{kind:?}: {files:?}");
            assert!(
                !files.iter().any(|f| f.contains("__pycache__") || f.starts_with("tests/")),
                "{files:?}"
            );
            assert_eq!(recipe_hash(kind).len(), 64);
        }
    }
}
