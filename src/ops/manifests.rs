//! Manifests on disk: `$XDG_CONFIG_HOME/ragpod/instances/NAME.toml`.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use fs_err as fs;

use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::install::{State, UnitDir};
use crate::manifest::{self, Problem};
use crate::model::{Instance, Name, Part};

/// Where an instance's manifest lies.
#[must_use]
pub fn path(env: &Env, name: &Name) -> Utf8PathBuf {
    env.manifests().join(format!("{name}.toml"))
}

/// The names of all instances that have a manifest, sorted. Files whose stem is no name are not
/// manifests of ours and are passed over.
pub fn names(env: &Env) -> Result<Vec<Name>> {
    let dir = env.manifests();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", &dir, &e)),
    };
    let mut names: Vec<Name> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.parse().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The instances that are asked for: those named, or all that have a manifest or one of these
/// installed units.
///
/// # Errors
/// [`Kind::NoInstance`] for a name that none of them has.
pub fn asked(
    env: &Env,
    installed: &BTreeMap<Name, BTreeSet<Part>>,
    wanted: &[Name],
) -> Result<BTreeSet<Name>> {
    let mut all: BTreeSet<Name> = names(env)?.into_iter().collect();
    all.extend(installed.keys().cloned());
    among(env, all, wanted)
}

/// Those of them that are named; all when none is.
///
/// # Errors
/// [`Kind::NoInstance`] for a name that none of them has.
pub fn among(env: &Env, all: BTreeSet<Name>, wanted: &[Name]) -> Result<BTreeSet<Name>> {
    match wanted.iter().find(|name| !all.contains(name)) {
        Some(unknown) => Err(no_instance(env, unknown)),
        None if wanted.is_empty() => Ok(all),
        None => Ok(wanted.iter().cloned().collect()),
    }
}

/// The names of all instances whose units are installed, sorted.
pub fn installed(env: &Env) -> Result<Vec<Name>> {
    Ok(UnitDir::new(env).parts()?.into_keys().collect())
}

/// Whether there is a manifest of that name.
#[must_use]
pub fn exists(env: &Env, name: &Name) -> bool {
    path(env, name).exists()
}

/// Fails unless there is a manifest of that name.
pub fn require(env: &Env, name: &Name) -> Result<()> {
    if exists(env, name) { Ok(()) } else { Err(no_instance(env, name)) }
}

/// Fails unless there is anything of that name: a manifest, units, or what `rm` left.
pub fn require_known(env: &Env, name: &Name) -> Result<()> {
    let known = exists(env, name)
        || !UnitDir::new(env).parts_of(name)?.is_empty()
        || State::exists(&env.state(), name);
    if known { Ok(()) } else { Err(no_instance(env, name)) }
}

/// Reads and checks an instance's manifest.
///
/// # Errors
/// [`Kind::NoInstance`] when there is none, [`Kind::Manifest`] with every problem in it.
pub fn load(env: &Env, name: &Name) -> Result<Instance> {
    load_with_text(env, name).map(|(instance, _)| instance)
}

/// The same, with the text that was read.
pub fn load_with_text(env: &Env, name: &Name) -> Result<(Instance, String)> {
    let file = path(env, name);
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(no_instance(env, name)),
        Err(e) => return Err(Error::io("read", &file, &e)),
    };
    let text = String::from_utf8(bytes).map_err(|e| {
        Error::new(Kind::Manifest, format!("{file} is not UTF-8 text"))
            .cause(format!("byte {} is not part of a character", e.utf8_error().valid_up_to()))
    })?;
    match manifest::parse(&text, file.as_str(), &env.home) {
        Ok(instance) => Ok((instance, text)),
        Err(problems) => Err(Problem::into_error(&problems)),
    }
}

/// The error for a name that no instance has, with the nearest one that there is.
#[must_use]
pub fn no_instance(env: &Env, name: &Name) -> Error {
    let error = Error::new(Kind::NoInstance, format!("there is no instance {name}"));
    let names = names(env).unwrap_or_default();
    let near = names
        .iter()
        .map(|n| (strsim::jaro_winkler(n.as_str(), name.as_str()), n))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, near)) => error.hint(format!("did you mean {near}? All instances: ragpod list")),
        None if names.is_empty() => {
            error.hint(format!("make one: ragpod create {name} --source DIR"))
        }
        None => error.hint("see which instances there are: ragpod list"),
    }
}
