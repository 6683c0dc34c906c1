//! What is seen of a host.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::look;
use crate::env::Env;
use crate::error::Result;
use crate::exec::Cmd;
use crate::model::{ImageRef, PodmanVersion};
use crate::podman::Podman;
use crate::podman::quadlet::Generator;
use crate::systemd::Systemd;

/// Everything that the checks judge.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The user's number.
    pub uid: u32,
    /// The user's login name.
    pub user: String,
    /// Podman's version.
    pub podman: Result<PodmanVersion>,
    /// What `podman info` tells; it needs a Podman that runs.
    pub info: Result<Info>,
    /// The quadlet generator.
    pub generator: Result<Utf8PathBuf>,
    /// The user's systemd.
    pub manager: Result<Manager>,
    /// Whether the user's systemd runs without a login.
    pub linger: bool,
    /// How many subordinate user and group ids the user has; `None` when the file is not there
    /// (they may come from elsewhere: subid in nsswitch.conf(5)).
    pub subids: IdMap,
    /// Programs that Podman needs, by name: where they are.
    pub programs: BTreeMap<&'static str, Option<Utf8PathBuf>>,
    /// Whether the control groups are of version 2, and which controllers the user has.
    pub controllers: Option<Vec<String>>,
    /// Whether the user's journal can be read.
    pub journal: Result<()>,
    /// Images that the instances run and that are not here.
    pub missing_images: Result<Vec<ImageRef>>,
    /// Free bytes where the state lies.
    pub free_state: Option<u64>,
    /// Free bytes where images and volumes lie.
    pub free_storage: Option<u64>,
    /// This process's `XDG_CONFIG_HOME`.
    pub config_home: Utf8PathBuf,
}

/// Counts of subordinate ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// User ids.
    pub uids: Option<u64>,
    /// Group ids.
    pub gids: Option<u64>,
}

/// The user's systemd, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its version.
    pub version: String,
    /// Where it (and so the generator) looks for configuration.
    pub config_home: Option<Utf8PathBuf>,
}

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
}

/// Programs that Podman calls. The first two are setuid or have capabilities; the others are in
/// `PATH` or in Podman's own directories (containers.conf(5), `helper_binaries_dir`).
const PROGRAMS: [&str; 9] = [
    "newuidmap",
    "newgidmap",
    "catatonit",
    "netavark",
    "aardvark-dns",
    "pasta",
    "crun",
    "runc",
    "nft",
];

impl Facts {
    /// Looks at this host. `images` are those that instances run. Nothing is changed.
    ///
    /// What cannot be seen is a fact too: this never fails.
    #[must_use]
    pub async fn gather(env: &Env, podman: &Podman, images: &[ImageRef]) -> Self {
        let version = podman.version();
        let info: Result<Info> = match &version {
            Ok(_) => podman.info(),
            Err(e) => Err(e.clone()),
        };
        let missing_images = match &version {
            Ok(_) => podman.missing_images(images),
            Err(e) => Err(e.clone()),
        };
        let storage = match &info {
            Ok(info) => Utf8PathBuf::from(&info.store.graph_root),
            Err(_) => env.data_home.join("containers/storage"),
        };
        Self {
            uid: env.uid,
            user: env.user.clone(),
            podman: version,
            generator: Generator::find().map(|g| g.path().to_owned()),
            manager: manager(env).await,
            linger: look::linger(&env.user),
            subids: IdMap {
                uids: look::subids("/etc/subuid", &env.user, env.uid),
                gids: look::subids("/etc/subgid", &env.user, env.uid),
            },
            programs: PROGRAMS.into_iter().map(|p| (p, look::program(p))).collect(),
            controllers: look::controllers(env.uid),
            journal: Cmd::new("journalctl")
                .args(["--user", "--lines=1", "--quiet", "--no-pager"])
                .stdout()
                .map(drop),
            missing_images,
            free_state: look::free(&env.state_home),
            free_storage: look::free(&storage),
            config_home: env.config_home.clone(),
            info,
        }
    }
}

async fn manager(env: &Env) -> Result<Manager> {
    let systemd = Systemd::connect(env).await?;
    let config_home = match systemd.variable("XDG_CONFIG_HOME").await? {
        Some(dir) if dir.starts_with('/') => Some(dir.into()),
        _ => systemd.variable("HOME").await?.map(|home| Utf8PathBuf::from(home).join(".config")),
    };
    Ok(Manager { version: systemd.version().await?, config_home })
}
