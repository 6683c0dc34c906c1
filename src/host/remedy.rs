//! What `doctor --fix` does: which faults it can mend without root. Pure; `ops` does it.

use camino::Utf8PathBuf;

use super::facts::{Facts, WAITER};
use crate::model::{ImageRef, Name};

/// Has units wait a shorter time for a network that never says that it is up; below the user's
/// `systemd/user` directory.
pub const NETWORK_DROP_IN: (&str, &str) = (
    "podman-user-wait-network-online.service.d/ragpod.conf",
    "# Written by `ragpod doctor --fix`: this host never reached network-online.target.\n\
     [Service]\nTimeoutStartSec=5s\n",
);

/// Something that can be done about a fault without root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Let the user's systemd run without a login; polkit may refuse.
    Linger,
    /// Start the user's bus.
    Bus,
    /// Make folders of the user's own writable for the user.
    Folders(Vec<Utf8PathBuf>),
    /// Have Podman make its namespace anew; no container runs.
    Migrate,
    /// Build images.
    Images(Vec<ImageRef>),
    /// Write [`NETWORK_DROP_IN`].
    Network,
    /// Complete what killed commands began: the instances.
    Finish(Vec<Name>),
    /// Remove what killed commands left.
    Sweep,
}

impl Remedy {
    /// The check that it cures.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Remedy::Linger => "linger",
            Remedy::Bus => "user-systemd",
            Remedy::Folders(_) => "folders",
            Remedy::Migrate => "podman-ids",
            Remedy::Images(_) => "images",
            Remedy::Network => "network-online",
            Remedy::Finish(_) => "unfinished",
            Remedy::Sweep => "leftovers",
        }
    }

    /// What it does, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Remedy::Linger => "let your systemd run without a login: loginctl enable-linger".into(),
            Remedy::Bus => "started the user's bus: systemctl --user start dbus.socket".into(),
            Remedy::Folders(dirs) => {
                let dirs: Vec<&str> = dirs.iter().map(|d| d.as_str()).collect();
                format!("made writable: {}", dirs.join(", "))
            }
            Remedy::Migrate => "had Podman take the new ids: podman system migrate".into(),
            Remedy::Images(images) => {
                let images: Vec<&str> = images.iter().map(ImageRef::as_str).collect();
                format!("built {}", images.join(", "))
            }
            Remedy::Network => {
                format!("{WAITER} waits 5 s at most, by a drop-in: {}", NETWORK_DROP_IN.0)
            }
            Remedy::Finish(names) => {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                format!("completed what was begun with {}", names.join(", "))
            }
            Remedy::Sweep => "removed what killed commands left".into(),
        }
    }
}

/// What can be done about the faults of a host, in the order in which it must be done.
#[must_use]
pub fn remedies(facts: &Facts) -> Vec<Remedy> {
    let mut all = Vec::new();
    if facts.uid == 0 {
        // Instances are an ordinary user's; nothing of root's is mended for that.
        return all;
    }
    if facts.bus_only_missing {
        all.push(Remedy::Bus);
    }
    if !facts.linger {
        all.push(Remedy::Linger);
    }
    if !facts.read_only.is_empty() {
        all.push(Remedy::Folders(facts.read_only.clone()));
    }
    let is_bad = |id| {
        super::checks(facts).iter().any(|check| {
            check.id == id && matches!(check.status, super::Status::Warn | super::Status::Fail)
        })
    };
    if is_bad("podman-ids")
        && facts.info.as_ref().is_ok_and(|info| info.store.container_store.running == 0)
    {
        all.push(Remedy::Migrate);
    }
    if is_bad("network-online") {
        all.push(Remedy::Network);
    }
    if !facts.records.leftovers.is_empty() {
        all.push(Remedy::Sweep);
    }
    if let Ok(missing) = &facts.missing_images
        && !missing.is_empty()
    {
        all.push(Remedy::Images(missing.clone()));
    }
    // What takes something off the host is for its user to complete.
    let unfinished = facts.records.unfinished.iter();
    let up: Vec<Name> = unfinished
        .filter(|u| u.redo == format!("ragpod up {}", u.name))
        .map(|u| u.name.clone())
        .collect();
    if !up.is_empty() {
        all.push(Remedy::Finish(up));
    }
    all
}
