//! The images: their recipes, which the binary carries, and how they get onto the host.

use std::collections::BTreeMap;

use camino::Utf8Path;
use fs_err as fs;
use include_dir::{Dir, DirEntry, include_dir};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Ctx;
use crate::error::{Error, Kind, Result};
use crate::install::{State, UsedImage};
use crate::model::{ImageKind, ImageRef, Instance, Part};
use crate::podman::{Build, Listed, Podman};

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
fn build(
    ctx: Ctx<'_>,
    podman: &Podman,
    which: &[ImageKind],
    base: Option<&str>,
    checkout: Option<&Utf8Path>,
) -> Result<()> {
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
        let mut options = vec![format!("--label={RECIPE_LABEL}={}", recipe_hash(kind))];
        options.extend(checkout.map(|dir| format!("--build-context=upstream={dir}")));
        let build = Build {
            context: root.to_owned(),
            tag: image.clone(),
            args: base.map(|b| ("BASE".to_owned(), b.to_owned())).into_iter().collect(),
            options,
        };
        podman.build(&build, |line| ctx.progress.output(line)).map_err(|e| {
            let mut error = Error::new(Kind::Image, format!("{image} could not be built"));
            error.causes = e.causes;
            let what = checkout.map_or_else(
                || kind.as_str().to_owned(),
                |checkout| format!("--engine-context {checkout}"),
            );
            error.hint(format!(
                "see the whole build: ragpod image build {what} --verbose; without a network, \
                     give it a base that has everything: --base IMAGE"
            ))
        })?;
        ctx.progress.done(&format!("built {image}"));
    }
    Ok(())
}

fn ours(image: &ImageRef) -> Option<ImageKind> {
    ImageKind::ALL.into_iter().find(|kind| kind.image() == *image)
}

/// The images of this host, and those of an instance that are not among them.
pub struct Look {
    present: Vec<Listed>,
    missing: Vec<ImageRef>,
}

/// Looks for the images of an instance: one Podman call.
///
/// # Errors
/// [`Kind::Image`] for one that can neither be built nor pulled.
pub fn look(podman: &Podman, instance: &Instance) -> Result<Look> {
    let present = podman.images()?;
    let there = |image: &ImageRef| present.iter().any(|i| i.is(image.as_str()));
    let missing: Vec<ImageRef> =
        instance.images().into_iter().filter(|image| !there(image)).collect();
    if let Some(image) = missing.iter().find(|image| image.is_local() && ours(image).is_none()) {
        let hint = if *image == ImageRef::hybridrag() {
            "build it from a checkout of HybridRAG: ragpod image build --engine-context DIR"
        } else {
            "see which there are: podman images; then correct `image` in the manifest"
        };
        let message = format!("the image {image} is not on this host");
        return Err(Error::new(Kind::Image, message).hint(hint));
    }
    Ok(Look { present, missing })
}

/// Brings the images of an instance onto the host, and gives what it runs of each name. No further
/// Podman call where all of them are there.
///
/// # Errors
/// [`Kind::Image`] for a build or pull that failed.
pub fn ready(
    ctx: Ctx<'_>,
    podman: &Podman,
    instance: &Instance,
    look: Look,
) -> Result<BTreeMap<ImageRef, UsedImage>> {
    let Look { mut present, missing } = look;
    if !missing.is_empty() {
        provide(ctx, podman, &missing)?;
        present = podman.images()?;
    }
    let mut used = BTreeMap::new();
    for image in instance.images() {
        let Some(found) = present.iter().find(|i| i.is(image.as_str())) else { continue };
        if ours(&image).is_some_and(|k| found.labels.get(RECIPE_LABEL) != Some(&recipe_hash(k))) {
            ctx.progress.warn(&format!(
                "{image} was built from another recipe than this ragpod's; to build it anew: \
                 ragpod image build"
            ));
        }
        used.insert(image.clone(), UsedImage { name: image.to_string(), id: found.id.clone() });
    }
    Ok(used)
}

/// Fails when the database's image is of another major version of PostgreSQL than the data: it
/// would not start on them. Asked only when the image is not the one that ran last.
///
/// # Errors
/// [`Kind::Failed`], with the way to migrate.
pub fn check_major(
    podman: &Podman,
    instance: &Instance,
    used: Option<&UsedImage>,
    state: &State,
) -> Result<()> {
    let name = &instance.name;
    let Some(used) = used else { return Ok(()) };
    let applied = state.applied.get(&Part::Postgres.file(name));
    let ran = applied.and_then(|mark| mark.split_once(' ')).map(|(_, id)| id);
    if ran == Some(&*used.id) {
        return Ok(());
    }
    let volume = Part::PostgresVolume.podman_name(name);
    let Some(data) = podman.postgres_major(&volume)? else { return Ok(()) };
    match podman.image_env(&used.id, "PG_MAJOR")? {
        Some(major) if major != data => Err(other_major(instance, &used.name, &major, &data)),
        _ => Ok(()),
    }
}

fn other_major(instance: &Instance, image: &str, major: &str, data: &str) -> Error {
    let name = &instance.name;
    let (user, database) = (instance.postgres.user.as_str(), instance.postgres.database.as_str());
    let dump = format!(
        "ragpod exec {name} --service postgres -- pg_dump -U {user} -Fc {database} > {name}.dump"
    );
    let restore = format!(
        "ragpod exec {name} --service postgres -i -- pg_restore -U {user} --clean --if-exists \
         -d {database} < {name}.dump"
    );
    Error::failed(format!(
        "the data of {name} are PostgreSQL {data}'s, and {image} is PostgreSQL {major}"
    ))
    .cause("no version of PostgreSQL starts on the files of another one; what ran still runs")
    .hint(format!("to migrate, with the old image in the manifest: ragpod up {name}; {dump}"))
    .hint(format!(
        "then, with the new one: ragpod down {name} --volumes; ragpod up {name}; {restore}"
    ))
}

/// Brings images onto the host: ragpod's own are built, those of a registry are pulled.
fn provide(ctx: Ctx<'_>, podman: &Podman, images: &[ImageRef]) -> Result<()> {
    for image in images {
        if let Some(kind) = ours(image) {
            build(ctx, podman, &[kind], None, None)?;
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
    build(ctx, &podman, which, base, None)
}

/// `image build --engine-context`: upstream `HybridRAG` from a checkout of its source.
///
/// # Errors
/// [`Kind::Usage`] for a folder that is no such checkout.
pub fn build_upstream(ctx: Ctx<'_>, checkout: &Utf8Path, base: Option<&str>) -> Result<()> {
    let absolute = checkout.canonicalize_utf8().map_err(|e| Error::io("find", checkout, &e))?;
    // What the recipe copies.
    let needed =
        ["hybridrag.py", "requirements.txt", "requirements-mcp.txt", "src", "hybridrag_mcp"];
    if let Some(missing) = needed.into_iter().find(|name| !absolute.join(name).exists()) {
        return Err(Error::usage(format!("{absolute} is no checkout of HybridRAG"))
            .cause(format!("there is no {missing} in it"))
            .hint("get one: git clone https://github.com/gyasis/hybridrag"));
    }
    let podman = Podman::new();
    podman.supported()?;
    build(ctx, &podman, &[ImageKind::Hybridrag], base, Some(&absolute))
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
    let upstream = present.iter().any(|i| i.is(ImageRef::hybridrag().as_str()));
    Ok(ImageKind::ALL
        .into_iter()
        .chain(upstream.then_some(ImageKind::Hybridrag))
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
        for kind in ImageKind::ALL.into_iter().chain([ImageKind::Hybridrag]) {
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
