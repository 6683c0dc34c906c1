//! What is seen of a host.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::info::Info;
use super::kernel::{self, Listeners, Namespaces};
use super::{Records, look};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::model::{ImageRef, PodmanVersion};
use crate::podman::Podman;
use crate::podman::quadlet::Generator;
use crate::systemd::Systemd;

/// Everything that the checks judge.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
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
    /// Whether systemd runs the generator for users: it is among the user's generators.
    pub generator_linked: bool,
    /// What the generator makes of the units that are installed, or of a small pod where there is
    /// none: what it says against them.
    pub generated: Result<Vec<String>>,
    /// The user's systemd.
    pub manager: Result<Manager>,
    /// Whether the user's systemd runs although its bus does not.
    pub bus_only_missing: bool,
    /// Who waits for the network.
    pub network_online: Option<NetworkOnline>,
    /// Whether the user's systemd runs without a login.
    pub linger: bool,
    /// How many subordinate user and group ids the user has; `None` when the file is not there
    /// (they may come from elsewhere: subid in nsswitch.conf(5)).
    pub subids: IdMap,
    /// Programs that Podman needs, by name: where they are.
    pub programs: BTreeMap<&'static str, Option<Utf8PathBuf>>,
    /// Whether newuidmap and newgidmap may do what they are for: setuid, or a file capability.
    pub may_map: bool,
    /// What the kernel allows users to do with namespaces.
    pub namespaces: Namespaces,
    /// Whether the control groups are of version 2, and which controllers the user has.
    pub controllers: Option<Vec<String>>,
    /// The controllers that the whole host has.
    pub host_controllers: Vec<String>,
    /// The first port that a user may listen on.
    pub first_port: u16,
    /// How many keys the user has in the kernel, and may have; `None` where they are not counted.
    pub keys: Option<(u64, u64)>,
    /// The TCP ports that something listens on.
    pub listeners: Listeners,
    /// Whether `SELinux` is enforcing.
    pub selinux: bool,
    /// Sources that containers may not read by their `SELinux` label.
    pub unlabelled: Vec<Utf8PathBuf>,
    /// Folders that ragpod writes to, and that this user cannot.
    pub read_only: Vec<Utf8PathBuf>,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The newest file that there is to compare the clock with, and its time.
    pub newest: Option<(Utf8PathBuf, u64)>,
    /// What ragpod itself has on this host.
    pub records: Records,
    /// Whether the user's journal can be read.
    pub journal: Result<()>,
    /// Images that the instances run and that are not here.
    pub missing_images: Result<Vec<ImageRef>>,
    /// Free bytes where the state lies.
    pub free_state: Option<u64>,
    /// Free bytes where images and volumes lie.
    pub free_storage: Option<u64>,
    /// Free inodes where images and volumes lie.
    pub free_inodes: Option<u64>,
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

/// The trap of network-online.target: Podman's generator orders every unit that does not say
/// otherwise after a service that waits for it, and many hosts never reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkOnline {
    /// Whether the host has reached it.
    pub reached: bool,
    /// The user's units that wait for it.
    pub waiting: Vec<String>,
    /// How long each waits at most, in seconds; `None` for ever.
    pub patience: Option<u64>,
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
    /// Looks at this host. `records` is what ragpod itself has on it. Nothing is changed.
    ///
    /// What cannot be seen is a fact too: this never fails.
    #[must_use]
    pub async fn gather(env: &Env, podman: &Podman, images: &[ImageRef], records: Records) -> Self {
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
        let (manager, network_online) = match Systemd::connect(env).await {
            Ok(systemd) => (manager(&systemd).await, network_online(&systemd).await.ok()),
            Err(e) => (Err(e), None),
        };
        let selinux = kernel::selinux();
        let generator = Generator::find();
        Self {
            uid: env.uid,
            user: env.user.clone(),
            podman: version,
            generated: match &generator {
                Ok(generator) => look::generated(generator, &records.units),
                Err(e) => Err(e.clone()),
            },
            generator: generator.map(|g| g.path().to_owned()),
            generator_linked: look::generator_linked(),
            bus_only_missing: manager.is_err() && look::bus_only_missing(env),
            manager,
            network_online,
            linger: look::linger(&env.user),
            subids: IdMap {
                uids: look::subids("/etc/subuid", &env.user, env.uid),
                gids: look::subids("/etc/subgid", &env.user, env.uid),
            },
            programs: PROGRAMS.into_iter().map(|p| (p, look::program(p))).collect(),
            may_map: ["newuidmap", "newgidmap"].into_iter().all(look::is_privileged),
            namespaces: kernel::namespaces(),
            controllers: look::controllers(env.uid),
            host_controllers: look::host_controllers().unwrap_or_default(),
            first_port: kernel::first_port(),
            keys: kernel::keys(env.uid),
            listeners: kernel::listeners(),
            unlabelled: if selinux { kernel::unlabelled(&records.sources) } else { Vec::new() },
            selinux,
            read_only: look::read_only([env.state(), env.manifests(), env.units()]),
            now: look::now(),
            newest: look::newest(&records.dated),
            journal: journal(env.uid),
            missing_images,
            free_state: look::free(&env.state_home),
            free_storage: look::free(&storage),
            free_inodes: look::free_inodes(&storage),
            config_home: env.config_home.clone(),
            records,
            info,
        }
    }
}

async fn manager(systemd: &Systemd) -> Result<Manager> {
    let config_home = systemd.config_home().await?;
    Ok(Manager { version: systemd.version().await?, config_home })
}

/// The unit of Podman's that waits.
pub(super) const WAITER: &str = "podman-user-wait-network-online.service";

async fn network_online(systemd: &Systemd) -> Result<NetworkOnline> {
    let (waiting, patience) = systemd.wanted_by(WAITER).await?;
    // Nobody waits: whether it is reached matters to nobody.
    let reached = waiting.is_empty() || {
        let ask = Cmd::new("systemctl").args(["is-active", "--quiet", "network-online.target"]);
        ask.output()?.status.success()
    };
    Ok(NetworkOnline { reached, waiting, patience })
}

/// Whether the journal has anything of this user's: where it keeps nothing, or lets the user read
/// nothing, journalctl succeeds and is silent.
fn journal(uid: u32) -> Result<()> {
    let newest = Cmd::new("journalctl")
        .args(["--quiet", "--no-pager", "--lines=1", "--output=cat"])
        .arg(format!("_UID={uid}"))
        .stdout()?;
    if newest.is_empty() {
        return Err(Error::failed("the journal keeps nothing of this user, or shows nothing"));
    }
    Ok(())
}
