//! What was seen and what came back: everything that the judgements judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{Name, Part};
use crate::podman::{Inspected, NetworkInfo};
use crate::systemd::ServiceProps;

/// Why something could not be tried.
pub(super) type Untried = String;

/// Everything about one instance.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub name: Name,
    /// The manifest's egress mode: `none`, `allow` or `open`.
    pub mode: &'static str,
    /// The `host:port`s that the manifest allows.
    pub allowed: Vec<String>,
    /// The parts that the manifest wants.
    pub parts: Vec<Part>,
    /// The image that each container should run.
    pub images: BTreeMap<Part, String>,
    /// The running containers; the pod's own is [`Part::Pod`].
    pub containers: BTreeMap<Part, Inspected>,
    /// All networks that Podman has.
    pub networks: Vec<NetworkInfo>,
    /// Which bridges forward packets.
    pub forwarding: Result<BTreeMap<String, bool>, Untried>,
    /// What each container says of itself.
    pub selves: BTreeMap<Part, Result<SelfReport, Untried>>,
    /// What the app container reached.
    pub app: Result<Answers, Untried>,
    /// What the gateway's container reached.
    pub gateway: Result<Vec<Connection>, Untried>,
    /// What the database says.
    pub database: Result<Database, Untried>,
    /// The port that ragpod listened on, on all addresses of the host.
    pub listener: Result<u16, Untried>,
    /// The other running instances.
    pub others: Vec<Other>,
    /// Where secrets' values were looked for and found.
    pub scan: Result<Scan, Untried>,
    /// The units.
    pub units: Units,
}

impl Facts {
    /// Why a part cannot be asked.
    pub fn not_running(&self, part: Part) -> Untried {
        format!("{} of {} is not running", part.label(), self.name)
    }

    /// The containers of ours that should be there.
    pub fn ours(&self) -> impl Iterator<Item = Part> {
        self.parts.iter().copied().filter(|p| p.is_container())
    }
}

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// Somebody is there.
    Connected,
    /// Something is there, and nobody listens: the way is open.
    Refused,
    /// There is no way.
    Unreachable,
    /// Nothing came back.
    Timeout,
    /// The name means nothing.
    Unresolved,
}

/// An attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Connection {
    pub host: String,
    pub port: u16,
    pub outcome: Outcome,
    pub said: String,
    /// ragpod's own listener answered.
    #[serde(default)]
    pub token: bool,
}

impl Connection {
    /// For people: what was tried and what came back.
    pub fn told(&self, from: &str) -> String {
        let target = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        match self.outcome {
            Outcome::Connected => format!("{from} connects to {target}"),
            _ => format!("{from} to {target}: {}", self.said),
        }
    }
}

/// A question to a resolver and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Lookup {
    pub name: String,
    pub server: String,
    /// The DNS response code: 0 no error, 3 no such name.
    #[serde(default)]
    pub rcode: Option<u8>,
    #[serde(default)]
    pub answers: u32,
    #[serde(default)]
    pub error: Option<String>,
}

/// A request to the gateway and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Reply {
    pub line: String,
    /// The HTTP status code.
    #[serde(default)]
    pub code: Option<u16>,
    #[serde(default)]
    pub error: Option<String>,
}

/// What the app's probe printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Answers {
    pub tcp: Vec<Connection>,
    pub lookups: Vec<Lookup>,
    pub requests: Vec<Reply>,
    /// The interfaces with a default route.
    pub routes: Vec<String>,
}

impl Answers {
    /// The attempts to connect to any of these hosts.
    pub fn to<'a>(
        &'a self,
        hosts: &'a [String],
        port: u16,
    ) -> impl Iterator<Item = &'a Connection> {
        self.tcp.iter().filter(move |c| c.port == port && hosts.contains(&c.host))
    }
}

/// What a container says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SelfReport {
    /// The mount options of its root file system.
    pub root: Vec<String>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// The files under `/run/secrets`.
    pub secrets: Vec<SecretFile>,
}

/// A process, from `/proc/PID/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: u32,
    pub name: String,
    /// Real, effective, saved and file system user ids.
    pub uids: Vec<u32>,
    /// All five sets of capabilities in one.
    pub caps: u64,
    pub no_new_privileges: bool,
    /// 0 none, 1 strict, 2 filter.
    pub seccomp: u8,
}

/// A secret's file in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretFile {
    pub name: String,
    pub mode: u32,
    pub uid: u32,
}

/// What the database answered; each the last line that psql printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Database {
    pub role: String,
    pub wrong_password: String,
    pub superuser: String,
    pub no_password: String,
}

/// Another running instance: where it would be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Other {
    pub name: String,
    /// Addresses and names of its pod.
    pub pod: Vec<String>,
    /// Addresses and names of its gateway; empty when it has none.
    pub gateway: Vec<String>,
}

/// A search for secrets' values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// How many values were looked for.
    pub values: usize,
    /// Keys whose values are too short to be told from other text.
    pub short: Vec<String>,
    /// How many places were searched.
    pub places: usize,
    /// Where which key's value was found.
    pub found: Vec<(String, String)>,
    /// Files that hold secrets and that others may read, with their modes.
    pub readable: Vec<(String, u32)>,
}

/// What is installed, and what systemd made of it.
#[derive(Clone, Debug)]
pub(super) struct Units {
    /// Some unit of the instance is installed.
    pub installed: bool,
    /// `update FILE`, `delete FILE`, `create FILE`; or why that cannot be told.
    pub changes: Result<Vec<String>, Error>,
    /// Whether systemd runs what was installed; an error says why not.
    pub loaded: Result<Vec<ServiceProps>, Error>,
    /// Services whose files changed since systemd read them.
    pub unread: Vec<String>,
    /// The drop-ins that apply: path and text.
    pub drop_ins: Vec<DropIn>,
}

/// A drop-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DropIn {
    pub path: String,
    /// Its text; `None` when it cannot be read.
    pub text: Option<String>,
    /// Which part of the instance it changes; `None` for one that changes nothing any more.
    pub part: Option<Part>,
}
