//! What `podman info` tells, as far as it matters.

use serde::Deserialize;

/// The part of `podman info --format json` that matters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// Of the host.
    pub host: InfoHost,
    /// Of the storage.
    pub store: InfoStore,
}

/// `host` in `podman info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InfoHost {
    /// `netavark`, or `cni` of old.
    pub network_backend: String,
    /// Locks left: every container, pod and volume takes one.
    pub free_locks: Option<u64>,
    /// The program that runs containers.
    pub oci_runtime: InfoRuntime,
    /// Whether Podman runs without root.
    pub security: InfoSecurity,
    /// The ids that its namespace has: those of when it was made.
    pub id_mappings: InfoIds,
}

/// `host.idMappings` in `podman info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InfoIds {
    /// User ids, in ranges.
    #[serde(deserialize_with = "nullable")]
    pub uidmap: Vec<InfoIdRange>,
}

/// A range of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InfoIdRange {
    /// How many.
    pub size: u64,
}

fn nullable<'de, D>(deserializer: D) -> Result<Vec<InfoIdRange>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `host.ociRuntime` in `podman info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InfoRuntime {
    /// `crun` or `runc`.
    pub name: String,
}

/// `host.security` in `podman info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InfoSecurity {
    /// Whether Podman runs without root.
    pub rootless: bool,
}

/// `store` in `podman info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InfoStore {
    /// `overlay`, `btrfs`, `zfs`, or the slow `vfs`.
    pub graph_driver_name: String,
    /// Where images and volumes lie.
    pub graph_root: String,
    /// How many containers there are.
    pub container_store: InfoContainers,
}

/// `store.containerStore` in `podman info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InfoContainers {
    /// Those that run.
    pub running: u64,
}
