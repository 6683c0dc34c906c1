//! What state instances are in: one bus call for all of them, and a few small files.

use std::collections::BTreeSet;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{Ctx, manifests};
use crate::error::{Kind, Result};
use crate::host;
use crate::install::{State as Remembered, UnitDir};
use crate::model::{Instance, Name, Part};
use crate::systemd::{Systemd, UnitState};

/// The state of an instance as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// None of its units is installed.
    NotInstalled,
    /// Installed, and nothing of it runs.
    Stopped,
    /// A service is on its way up.
    Starting,
    /// All of its services run and were found healthy.
    Running,
    /// Some of its services run and some do not.
    Degraded,
    /// Nothing of it runs because something failed.
    Failed,
}

impl State {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::NotInstalled => "not-installed",
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Running => "running",
            State::Degraded => "degraded",
            State::Failed => "failed",
        }
    }

    /// The state that follows from systemd's `ActiveState` of each service that stays up while the
    /// instance does. The containers' units become active when Podman finds them healthy
    /// (`Notify=healthy`), so active means healthy.
    ///
    /// A service that waits for its next automatic start (`SubState` `auto-restart`) has failed at
    /// least once; with a second failure behind it, it is no longer merely starting.
    pub fn of<'a>(services: impl IntoIterator<Item = (&'a str, &'a str, u32)>) -> Self {
        let (mut up, mut coming, mut failed, mut all) = (0, 0, 0, 0);
        for (active, sub, restarts) in services {
            all += 1;
            match active {
                "active" | "reloading" | "refreshing" => up += 1,
                "activating" if sub.starts_with("auto-restart") || restarts > 1 => failed += 1,
                "activating" => coming += 1,
                "failed" => failed += 1,
                _ => {}
            }
        }
        if all > 0 && up == all {
            State::Running
        } else if coming > 0 {
            State::Starting
        } else if up > 0 {
            State::Degraded
        } else if failed > 0 {
            State::Failed
        } else {
            State::Stopped
        }
    }

    /// What `health` says in this state.
    #[must_use]
    pub fn health(self) -> &'static str {
        match self {
            State::Running => "healthy",
            State::Starting => "starting",
            State::Degraded | State::Failed => "unhealthy",
            State::Stopped | State::NotInstalled => "none",
        }
    }
}

/// How many documents are in which state, as `lightrag_doc_status` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// Taken in.
    pub processed: u64,
    /// Not taken in; the next ingest tries again.
    pub failed: u64,
    /// Waiting or under way.
    pub pending: u64,
}

/// An instance, as `list` and `status` show it.
#[derive(Debug, Serialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Its state as a whole.
    pub state: State,
    /// `healthy`, `starting`, `unhealthy` or `none`.
    pub health: &'static str,
    /// The services that stay up while it does.
    pub services: Vec<ServiceStatus>,
    /// Its documents; `None` until its engine has counted them.
    pub documents: Option<Documents>,
    /// Podman's name of its pod while there is one.
    pub podman_pod: Option<String>,
    /// When something was last ingested (RFC 3339).
    pub last_ingest: Option<String>,
    /// What is wrong with it, when its manifest or state cannot be read.
    pub problem: Option<String>,
    /// What of its manifest has no effect on this host.
    pub note: Option<String>,
}

/// A service of an instance.
#[derive(Debug, Serialize)]
pub struct ServiceStatus {
    /// The systemd unit.
    pub unit: String,
    /// systemd's `ActiveState`.
    pub active_state: String,
    /// systemd's `SubState`.
    pub sub_state: String,
    /// How often systemd restarted it by itself since it was started.
    pub restarts: u32,
    /// The memory that its processes take, in bytes; `None` where the host does not account.
    pub memory_bytes: Option<u64>,
    /// Since when it is in this state, in seconds since 1970.
    pub since: Option<u64>,
}

impl ServiceStatus {
    /// How many seconds ago that was.
    #[must_use]
    pub fn ago(since: u64) -> u64 {
        u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0).saturating_sub(since)
    }
}

impl InstanceStatus {
    /// The memory of all services together; `None` where the host accounts none of it.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        self.services.iter().filter_map(|s| s.memory_bytes).reduce(|a, b| a + b)
    }

    /// The restarts of all services together.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.services.iter().map(|s| s.restarts).sum()
    }
}

/// The engine's own account, which it keeps on its volume.
#[derive(Debug, Default, Deserialize)]
struct Account {
    documents: Documents,
    last_ingest: Option<LastIngest>,
}

#[derive(Debug, Deserialize)]
struct LastIngest {
    at: String,
}

/// The status of the named instances, or of all.
///
/// # Errors
/// [`Kind::NoInstance`](crate::error::Kind::NoInstance) for a name that nothing has;
/// [`Kind::Host`](crate::error::Kind::Host) without a user bus.
pub async fn status(ctx: Ctx<'_>, names: &[Name]) -> Result<Vec<InstanceStatus>> {
    let installed = UnitDir::new(ctx.env).parts()?;
    let mut all: BTreeSet<Name> = manifests::names(ctx.env)?.into_iter().collect();
    all.extend(installed.keys().cloned());
    if let Some(unknown) = names.iter().find(|n| !all.contains(n)) {
        return Err(manifests::no_instance(ctx.env, unknown));
    }
    if !names.is_empty() {
        all = names.iter().cloned().collect();
    }
    let bus = Systemd::connect(ctx.env).await?;
    let units = bus.units(&[Name::SERVICES]).await?;
    let wanted = |unit: &&UnitState| {
        Part::of_service(&unit.name)
            .is_some_and(|(name, part)| part.is_running_service() && all.contains(&name))
    };
    let live: Vec<&UnitState> = units.iter().filter(wanted).collect();
    let services: Vec<&str> = live.iter().map(|u| u.name.as_str()).collect();
    let properties = bus.properties_of(&services).await?;
    let limited = host::limits_memory(ctx.env.uid);
    let mut instances = Vec::new();
    for name in all {
        let parts = installed.get(&name);
        let mut services = Vec::new();
        for part in Part::ALL.into_iter().filter(|p| p.is_running_service()) {
            let unit = part.service(&name);
            let found = live.iter().zip(&properties).find(|(u, _)| u.name == unit);
            match found {
                Some((state, p)) => services.push(ServiceStatus {
                    unit,
                    active_state: state.active.clone(),
                    sub_state: state.sub.clone(),
                    restarts: p.n_restarts,
                    memory_bytes: p.memory_current,
                    since: p.state_change_timestamp.map(|us| us / 1_000_000),
                }),
                // systemd forgets a unit that is inactive and that nothing refers to.
                None if parts.is_some_and(|p| p.contains(&part)) => services.push(ServiceStatus {
                    unit,
                    active_state: "inactive".to_owned(),
                    sub_state: "dead".to_owned(),
                    restarts: 0,
                    memory_bytes: None,
                    since: None,
                }),
                None => {}
            }
        }
        let state = if services.is_empty() {
            State::NotInstalled
        } else {
            State::of(
                services
                    .iter()
                    .map(|s| (s.active_state.as_str(), s.sub_state.as_str(), s.restarts)),
            )
        };
        let pod = Part::Pod.service(&name);
        let pod_is_up = services.iter().any(|s| s.unit == pod && s.active_state == "active");
        let (account, instance) = account(ctx, &name);
        let note = instance.as_ref().ok().and_then(|instance| note(instance, limited));
        instances.push(InstanceStatus {
            state,
            health: state.health(),
            documents: account.as_ref().map(|a| a.documents),
            last_ingest: account.and_then(|a| a.last_ingest).map(|l| l.at),
            podman_pod: pod_is_up.then(|| Part::Pod.podman_name(&name)),
            problem: instance.err(),
            note,
            services,
            name: name.to_string(),
        });
    }
    Ok(instances)
}

/// What a manifest asks for that a host without the memory controller cannot do.
fn note(instance: &Instance, limited: bool) -> Option<String> {
    let limits =
        [("postgres.memory", instance.postgres.memory), ("engine.memory", instance.engine.memory)];
    let set: Vec<&str> =
        limits.into_iter().filter(|(_, limit)| limit.is_some()).map(|(key, _)| key).collect();
    (!limited && !set.is_empty()).then(|| {
        let has = if set.len() == 1 { "has" } else { "have" };
        format!(
            "{} {has} no effect: this host lets no user limit memory; see ragpod doctor",
            set.join(" and ")
        )
    })
}

/// What the engine counted last, and the manifest or what is wrong with the instance's files.
fn account(ctx: Ctx<'_>, name: &Name) -> (Option<Account>, Result<Instance, String>) {
    let remembered = match Remembered::load(&ctx.env.state(), name) {
        Ok(remembered) => remembered,
        Err(e) => return (None, Err(e.to_string())),
    };
    // An instance without a manifest is one that somebody took it from: its units go on.
    let instance = manifests::load(ctx.env, name).map_err(|e| {
        if e.kind == Kind::NoInstance {
            "it has no manifest any more".to_owned()
        } else {
            e.to_string()
        }
    });
    // No volume yet, or nothing written yet: nothing is known, and that is no problem.
    let account = remembered
        .engine_mountpoint
        .and_then(|dir| fs::read(dir.join("status.json")).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    (account, instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_without_effect_are_told() {
        let of = |lines: &str, limited| {
            let text = format!("[instance]\nname = \"a\"\n{lines}");
            note(&crate::manifest::parse(&text, "a.toml", "/home/user".into()).unwrap(), limited)
        };
        let (one, two) = ("[engine]\nmemory = \"1G\"\n", "[postgres]\nmemory = \"1G\"\n");
        assert_eq!(of("", false), None);
        assert_eq!(of(one, true), None);
        assert!(of(one, false).unwrap().starts_with("engine.memory has no effect: "));
        let both = of(&format!("{one}{two}"), false).unwrap();
        assert!(both.starts_with("postgres.memory and engine.memory have no effect: "), "{both}");
    }

    #[test]
    fn states() {
        let of = |s: &[&str]| State::of(s.iter().map(|a| (*a, "", 0)));
        let looping = [("active", "running", 0), ("activating", "start", 4)];
        assert_eq!(State::of(looping), State::Degraded);
        assert_eq!(State::of([("activating", "auto-restart", 1)]), State::Failed);
        assert_eq!(of(&["active", "active"]), State::Running);
        assert_eq!(of(&["active", "activating"]), State::Starting);
        assert_eq!(of(&["active", "inactive"]), State::Degraded);
        assert_eq!(of(&["active", "failed"]), State::Degraded);
        assert_eq!(of(&["inactive", "failed"]), State::Failed);
        assert_eq!(of(&["inactive", "inactive"]), State::Stopped);
        assert_eq!(of(&["deactivating", "inactive"]), State::Stopped);
    }
}
