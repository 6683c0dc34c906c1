//! The instance → its quadlet units. Pure: no file is read, no clock, no environment.
//!
//! The templates lie in `templates/`, one for each unit, and are compiled in. What they print has
//! gone through `encode`; which keys they may write, `versions` knows.

pub mod encode;
mod environment;
pub mod filters;
mod schedule;
#[cfg(test)]
mod tests;
mod unit_set;
mod units;
mod versions;

use std::collections::BTreeMap;

pub use schedule::{Schedule, schedule, static_units};
pub use unit_set::UnitSet;

use crate::error::{Error, Kind, Result};
use crate::model::{Instance, NEW_ENOUGH, PodmanVersion, SecretKey};

/// What the units are for: a version of Podman, and the versions of the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Podman whose generator will read them.
    pub podman: PodmanVersion,
    /// Which version of each secret they mount.
    pub secrets: SecretVersions,
}

impl Default for Target {
    fn default() -> Self {
        Self { podman: PodmanVersion::ASSUMED, secrets: SecretVersions::default() }
    }
}

/// The current version of each secret; 1 for what is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretVersions(BTreeMap<SecretKey, u32>);

impl SecretVersions {
    /// The version of a secret.
    #[must_use]
    pub fn of(&self, key: &SecretKey) -> u32 {
        self.0.get(key).copied().unwrap_or(1)
    }

    /// Sets the version of a secret.
    pub fn set(&mut self, key: SecretKey, version: u32) {
        self.0.insert(key, version);
    }
}

impl FromIterator<(SecretKey, u32)> for SecretVersions {
    fn from_iter<I: IntoIterator<Item = (SecretKey, u32)>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}

/// Renders the units of an instance.
///
/// What it does by itself is no part of them: see [`schedule`](fn@schedule).
pub fn render(instance: &Instance, target: &Target) -> Result<UnitSet> {
    if target.podman < PodmanVersion::OLDEST {
        return Err(too_old(target.podman));
    }
    let mut files = BTreeMap::new();
    for part in instance.parts() {
        let file = part.file(&instance.name);
        let mut text = units::unit(part, instance, target)?.dyn_render().map_err(|e| {
            Error::new(Kind::Manifest, format!("{file} cannot be rendered")).cause(e.to_string())
        })?;
        text.truncate(text.trim_end().len());
        text.push('\n');
        versions::check(&file, &text, target.podman)?;
        files.insert(file, text);
    }
    Ok(UnitSet::new(files))
}

fn too_old(podman: PodmanVersion) -> Error {
    Error::host(format!("Podman {podman} is too old: pods as units came with 5.0"))
        .hint(format!("these have a newer one: {NEW_ENOUGH}"))
        .hint("see what the units would be there: ragpod render NAME --podman 5.4")
}
