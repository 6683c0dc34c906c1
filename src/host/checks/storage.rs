//! Podman's storage, the disk, the images.

use super::super::facts::Facts;
use super::super::{Check, Status};
use super::{no_runtime, said};
use crate::output::human_bytes;

/// Below this there is a warning: an image alone takes half of it.
const LITTLE_SPACE: u64 = 2 << 30;
/// An image has some ten thousand files.
const FEW_INODES: u64 = 50_000;
/// An instance takes eight locks: containers, infra, pod and volumes.
const FEW_LOCKS: u64 = 64;

pub(super) fn driver(facts: &Facts) -> Check {
    const ID: &str = "storage-driver";
    match &facts.info {
        Ok(info) if info.store.graph_driver_name == "vfs" => {
            Check::new(ID, Status::Warn, "vfs, which copies a whole image for every container").fix(
                "use overlay: driver = \"overlay\" below [storage] in \
             ~/.config/containers/storage.conf, then (it deletes all images, containers and \
             volumes): podman system reset",
            )
        }
        Ok(info) => Check::new(ID, Status::Pass, info.store.graph_driver_name.as_str()),
        Err(e) if facts.podman.is_ok() && !no_runtime(e) => Check::new(ID, Status::Fail, said(e))
            .fix("see what Podman says of itself, and correct that: podman info"),
        Err(_) => Check::new(ID, Status::Skip, "Podman cannot be asked"),
    }
}

pub(super) fn locks(facts: &Facts) -> Check {
    const ID: &str = "podman-locks";
    match facts.info.as_ref().ok().and_then(|i| i.host.free_locks) {
        Some(free) if free < FEW_LOCKS => {
            let status = if free < 8 { Status::Fail } else { Status::Warn };
            // Podman 5.4 does not renumber into a file of another size.
            Check::new(ID, status, format!("{free} left: an instance takes eight")).fix(format!(
                "num_locks = 8192 below [engine] in ~/.config/containers/containers.conf, then, \
                 with all containers stopped: rm /dev/shm/libpod_rootless_lock_{}; podman system \
                 renumber",
                facts.uid
            ))
        }
        Some(free) => Check::new(ID, Status::Pass, format!("{free} free")),
        None => Check::new(ID, Status::Skip, "Podman does not say"),
    }
}

/// `least`: so many bytes must be there for an instance to run at all.
pub(super) fn space(id: &'static str, what: &str, free: Option<u64>, least: u64) -> Check {
    let Some(bytes) = free else {
        return Check::new(id, Status::Skip, format!("cannot look at {what}"));
    };
    let seen = format!("{} free for {what}", human_bytes(bytes));
    let status = match bytes {
        _ if bytes < least => Status::Fail,
        _ if bytes < LITTLE_SPACE => Status::Warn,
        _ => return Check::new(id, Status::Pass, seen),
    };
    Check::new(id, status, seen).fix(
        "see who takes it: ragpod usage; podman system df; df -h. What no container uses any more: \
         podman image prune",
    )
}

pub(super) fn inodes(facts: &Facts) -> Check {
    const ID: &str = "storage-inodes";
    match facts.free_inodes {
        None => Check::new(ID, Status::Skip, "the file system has no fixed number of them"),
        Some(free) if free < FEW_INODES => {
            let status = if free < 100 { Status::Fail } else { Status::Warn };
            Check::new(ID, status, format!("room for {free} more files in Podman's storage")).fix(
                "see who has them: df -i; du --inodes -d 2 ~ | sort -n | tail; podman image prune",
            )
        }
        Some(free) => Check::new(ID, Status::Pass, format!("room for {free} files")),
    }
}

pub(super) fn images(facts: &Facts) -> Check {
    match &facts.missing_images {
        Ok(missing) if missing.is_empty() => Check::new("images", Status::Pass, "all are here"),
        Ok(missing) => {
            let names: Vec<&str> = missing.iter().map(crate::model::ImageRef::as_str).collect();
            Check::new("images", Status::Warn, format!("not here yet: {}", names.join(", ")))
                .fix("ragpod image build")
        }
        Err(_) => Check::new("images", Status::Skip, "Podman cannot be asked"),
    }
}
