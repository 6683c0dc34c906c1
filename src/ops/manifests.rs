//! Manifests on disk: `$XDG_CONFIG_HOME/ragpod/instances/NAME.toml`.

use camino::Utf8PathBuf;
use fs_err as fs;

use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::manifest::{self, Problem};
use crate::model::{Instance, Name};

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

/// Whether there is a manifest of that name.
#[must_use]
pub fn exists(env: &Env, name: &Name) -> bool {
    path(env, name).exists()
}

/// Fails unless there is a manifest of that name.
pub fn require(env: &Env, name: &Name) -> Result<()> {
    if exists(env, name) { Ok(()) } else { Err(no_instance(env, name)) }
}

/// Reads and checks an instance's manifest.
///
/// # Errors
/// [`Kind::NoInstance`] when there is none, [`Kind::Manifest`] with every problem in it.
pub fn load(env: &Env, name: &Name) -> Result<Instance> {
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
    manifest::parse(&text, file.as_str(), &env.home).map_err(|p| Problem::into_error(&p))
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
