//! What is relaxed of the hardening that every container has from the start.

use std::collections::BTreeSet;

use super::Part;

/// `[hardening]`: for each rule, the containers that it does not hold for. Nothing is relaxed unless
/// the manifest says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardening(BTreeSet<(Relaxation, Part)>);

/// A rule that can be relaxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relaxation {
    /// The root file system can be written to.
    WritableRoot,
    /// Podman's default capabilities are kept instead of none.
    KeepCapabilities,
    /// A program can gain privileges: setuid counts.
    NewPrivileges,
    /// It runs as the user namespace's root instead of its own user.
    RootUser,
}

impl Relaxation {
    /// All of them, in the order of the manifest's keys.
    pub const ALL: [Self; 4] =
        [Self::WritableRoot, Self::KeepCapabilities, Self::NewPrivileges, Self::RootUser];

    /// The key under `[hardening]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::WritableRoot => "writable_root",
            Self::KeepCapabilities => "keep_capabilities",
            Self::NewPrivileges => "new_privileges",
            Self::RootUser => "root_user",
        }
    }

    /// The containers that it is possible for. The database refuses to run as root, and the gateway
    /// would start as root only to become its own user.
    #[must_use]
    pub fn containers(self) -> &'static [Part] {
        match self {
            Self::RootUser => &[Part::App],
            _ => &[Part::App, Part::Postgres, Part::Egress],
        }
    }
}

impl Hardening {
    /// Relaxes a rule for a container.
    pub fn relax(&mut self, rule: Relaxation, container: Part) {
        self.0.insert((rule, container));
    }

    /// Whether a rule is relaxed for a container.
    #[must_use]
    pub fn relaxed(&self, rule: Relaxation, container: Part) -> bool {
        self.0.contains(&(rule, container))
    }

    /// What is relaxed, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Relaxation, Part)> + '_ {
        self.0.iter().copied()
    }
}
