//! Which key came with which Podman.
//!
//! The generator drops a whole unit for a single key that it does not know, so every key of every
//! template is in this table, and [`check`] holds each rendered unit against it.

use crate::error::{Error, Result};
use crate::model::PodmanVersion;

/// How a key's value is read; see `encode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Split into words, quotes and escapes resolved.
    Words,
    /// Split into words, backslash literal.
    Bare,
    /// As it stands.
    Raw,
    /// systemd's own, as it stands.
    Line,
}

use Class::{Bare, Line, Raw, Words};

/// A key: section, name, class, and the first minor version of Podman that knows it.
type Row = (&'static str, &'static str, Class, (u16, u16));

/// Every key that a unit may have.
pub(super) const KEYS: &[Row] = &[
    ("Quadlet", "DefaultDependencies", Raw, (5, 3)),
    ("Pod", "AddHost", Raw, (5, 3)),
    ("Pod", "ExitPolicy", Raw, (5, 6)),
    ("Pod", "Label", Words, (5, 6)),
    ("Pod", "Network", Raw, (5, 0)),
    ("Pod", "PodName", Raw, (5, 0)),
    ("Pod", "PodmanArgs", Words, (5, 0)),
    ("Pod", "ShmSize", Raw, (5, 4)),
    ("Pod", "StopTimeout", Raw, (5, 7)),
    ("Pod", "UserNS", Raw, (5, 3)),
    ("Container", "ContainerName", Raw, (4, 4)),
    ("Container", "DropCapability", Bare, (4, 4)),
    ("Container", "Entrypoint", Raw, (5, 0)),
    ("Container", "Environment", Words, (4, 4)),
    ("Container", "Exec", Words, (4, 4)),
    ("Container", "HealthCmd", Raw, (4, 5)),
    ("Container", "HealthInterval", Raw, (4, 5)),
    ("Container", "HealthOnFailure", Raw, (4, 5)),
    ("Container", "HealthRetries", Raw, (4, 5)),
    ("Container", "HealthStartupCmd", Raw, (4, 5)),
    ("Container", "HealthStartupInterval", Raw, (4, 5)),
    ("Container", "HealthStartupRetries", Raw, (4, 5)),
    ("Container", "HealthStartupTimeout", Raw, (4, 5)),
    ("Container", "HealthTimeout", Raw, (4, 5)),
    ("Container", "Image", Raw, (4, 4)),
    ("Container", "Label", Words, (4, 4)),
    ("Container", "LogDriver", Raw, (4, 5)),
    ("Container", "Mount", Words, (4, 5)),
    ("Container", "Network", Raw, (4, 4)),
    ("Container", "NoNewPrivileges", Raw, (4, 4)),
    ("Container", "Notify", Raw, (5, 0)),
    ("Container", "Pod", Raw, (5, 0)),
    ("Container", "PodmanArgs", Words, (4, 6)),
    ("Container", "Pull", Raw, (4, 6)),
    ("Container", "ReadOnly", Raw, (4, 4)),
    ("Container", "RunInit", Raw, (4, 4)),
    ("Container", "Secret", Words, (4, 5)),
    ("Container", "StopSignal", Raw, (5, 2)),
    ("Container", "StopTimeout", Raw, (5, 0)),
    ("Container", "Tmpfs", Raw, (4, 5)),
    ("Container", "User", Raw, (4, 4)),
    ("Container", "Group", Raw, (4, 4)),
    ("Container", "Volume", Raw, (4, 4)),
    ("Network", "Internal", Raw, (4, 4)),
    ("Network", "Label", Words, (4, 4)),
    ("Network", "NetworkName", Raw, (4, 7)),
    ("Network", "Options", Words, (4, 4)),
    ("Volume", "Label", Words, (4, 4)),
    ("Volume", "VolumeName", Raw, (4, 7)),
    // systemd's own keys, which the generator passes on.
    ("Unit", "After", Bare, (0, 0)),
    ("Unit", "Description", Line, (0, 0)),
    ("Unit", "PartOf", Bare, (0, 0)),
    ("Unit", "StartLimitBurst", Raw, (0, 0)),
    ("Unit", "StartLimitIntervalSec", Raw, (0, 0)),
    ("Unit", "Wants", Bare, (0, 0)),
    ("Service", "ExecStartPost", Words, (0, 0)),
    ("Service", "MemoryMax", Raw, (0, 0)),
    ("Service", "Restart", Raw, (0, 0)),
    ("Service", "RestartMode", Raw, (0, 0)),
    ("Service", "RestartSec", Raw, (0, 0)),
    ("Service", "SuccessExitStatus", Raw, (0, 0)),
    ("Service", "TimeoutStartSec", Raw, (0, 0)),
    ("Service", "TimeoutStopSec", Raw, (0, 0)),
    ("Install", "WantedBy", Bare, (0, 0)),
];

/// Keys that some supported version does not have: a template asks before it writes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `[Quadlet] DefaultDependencies=`.
    DefaultDependencies,
    /// `[Pod] AddHost=`.
    PodAddHost,
    /// `[Pod] ExitPolicy=`.
    PodExitPolicy,
    /// `[Pod] Label=`.
    PodLabel,
    /// `[Pod] ShmSize=`.
    PodShmSize,
    /// `[Pod] StopTimeout=`.
    PodStopTimeout,
    /// `[Pod] UserNS=`.
    PodUserNs,
    /// `[Container] StopSignal=`.
    StopSignal,
}

impl Key {
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Key::DefaultDependencies => ("Quadlet", "DefaultDependencies"),
            Key::PodAddHost => ("Pod", "AddHost"),
            Key::PodExitPolicy => ("Pod", "ExitPolicy"),
            Key::PodLabel => ("Pod", "Label"),
            Key::PodShmSize => ("Pod", "ShmSize"),
            Key::PodStopTimeout => ("Pod", "StopTimeout"),
            Key::PodUserNs => ("Pod", "UserNS"),
            Key::StopSignal => ("Container", "StopSignal"),
        }
    }
}

/// The keys of one version of Podman.
#[derive(Clone, Copy, Debug)]
pub struct Known(pub PodmanVersion);

impl Known {
    /// Whether this version's generator knows the key.
    #[must_use]
    pub fn has(self, key: Key) -> bool {
        let (section, name) = key.name();
        self.knows(section, name)
    }

    fn knows(self, section: &str, name: &str) -> bool {
        row(section, name).is_some_and(|(_, _, _, (major, minor))| self.0.has(*major, *minor))
    }
}

pub(super) fn row(section: &str, name: &str) -> Option<&'static Row> {
    KEYS.iter().find(|(s, k, ..)| *s == section && *k == name)
}

/// Every line of a rendered unit must be a comment, a section, or a key that this version knows.
pub(super) fn check(file: &str, text: &str, podman: PodmanVersion) -> Result<()> {
    let mut section = "";
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
            continue;
        }
        let key = line.split_once('=').map_or(line, |(key, _)| key);
        if !Known(podman).knows(section, key) || line.ends_with('\\') {
            return Err(Error::failed(format!("{file} would not be right for Podman {podman}"))
                .cause(format!("[{section}] {key}"))
                .hint("this is a mistake in ragpod: please report it"));
        }
    }
    Ok(())
}
