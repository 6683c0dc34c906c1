//! What state instances are in: one bus call for all of them, and small files.
//!
//! However many instances there are, the bus is asked for one list. What it does not have comes
//! from files: of the kernel (memory), of systemd (which start of a service this is), and ragpod's
//! own.

mod chores;
mod files;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ctx, idle, manifests};
use crate::error::Result;
use crate::host;
use crate::install::{Rest, UnitDir};
use crate::model::{Chore, Name, Part};
use crate::systemd::{Systemd, UnitState};
pub use chores::ChoreStatus;
pub(super) use files::{counted, engine_problem};
pub use state::State;

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
    /// The number of the generation that is installed.
    pub generation: Option<u32>,
    /// Podman's name of its pod while there is one.
    pub podman_pod: Option<String>,
    /// When something was last ingested (RFC 3339).
    pub last_ingest: Option<String>,
    /// What is wrong with it: its manifest or state cannot be read, or its engine cannot answer.
    pub problem: Option<String>,
    /// What of its manifest has no effect on this host.
    pub note: Option<String>,
    /// What an engine that is not ragpod's own said when it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<super::profile::Said>,
    /// Why it does not run although nobody stopped it: its next use starts it.
    pub at_rest: Option<String>,
    /// What it does by itself, and how that went last.
    pub schedule: Vec<ChoreStatus>,
    /// A command that was killed before it had done what it began, and how to complete it.
    pub unfinished: Option<String>,
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

/// The status of the named instances, or of all.
///
/// # Errors
/// [`Kind::NoInstance`](crate::error::Kind::NoInstance) for a name that nothing has;
/// [`Kind::Host`](crate::error::Kind::Host) without a user bus.
pub async fn status(ctx: Ctx<'_>, names: &[Name]) -> Result<Vec<InstanceStatus>> {
    let installed = UnitDir::new(ctx.env).parts()?;
    let all = manifests::asked(ctx.env, &installed, names)?;
    let bus = Systemd::connect(ctx.env).await?;
    let units = bus.units(&[Name::SERVICES, Chore::SERVICES]).await?;
    let wanted = |unit: &&UnitState| {
        Part::of_service(&unit.name)
            .is_some_and(|(name, part)| part.is_running_service() && all.contains(&name))
    };
    let live: Vec<&UnitState> = units.iter().filter(wanted).collect();
    let seen = bus.seen(&live, ctx.env.runtime_dir.as_deref()).await?;
    let live: BTreeMap<&str, &UnitState> = live.into_iter().map(|u| (u.name.as_str(), u)).collect();
    let chores = chores::Chores::look(ctx, &units)?;
    let limited = host::limits_memory(ctx.env.uid);
    let mut manager_since = None;
    let mut instances = Vec::new();
    for name in all {
        let services: Vec<ServiceStatus> = Part::ALL
            .into_iter()
            .filter(|part| part.is_running_service())
            .filter_map(|part| {
                let unit = part.service(&name);
                let state = live.get(unit.as_str());
                // systemd forgets a unit that is inactive and that nothing refers to.
                let there = state.is_some()
                    || installed.get(&name).is_some_and(|parts| parts.contains(&part));
                let (active, sub) =
                    state.map_or(("inactive", "dead"), |u| (u.active.as_str(), u.sub.as_str()));
                let seen = seen.get(&unit);
                there.then(|| ServiceStatus {
                    active_state: active.to_owned(),
                    sub_state: sub.to_owned(),
                    restarts: seen.map_or(0, |seen| seen.restarts),
                    memory_bytes: state.and_then(|_| host::memory_of(ctx.env.uid, &unit)),
                    since: seen.and_then(|seen| seen.since).map(|us| us / 1_000_000),
                    unit,
                })
            })
            .collect();
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
        if state == State::Stopped
            && manager_since.is_none()
            && Rest::exists(&ctx.env.state(), &name)
        {
            manager_since = Some(bus.manager_since().await?);
        }
        let (account, instance, generation) = files::account(ctx, &name);
        let note = instance.as_ref().ok().and_then(|instance| files::note(instance, limited));
        instances.push(InstanceStatus {
            state,
            health: state.health(),
            documents: account.as_ref().map(|a| a.documents),
            generation: generation.filter(|_| installed.contains_key(&name)),
            podman_pod: pod_is_up.then(|| Part::Pod.podman_name(&name)),
            problem: instance
                .err()
                .or_else(|| account.as_ref().filter(|_| pod_is_up).and_then(|a| a.problem.clone())),
            last_ingest: account.and_then(|a| a.last_ingest).map(|l| l.at),
            note,
            engine: None,
            // A record that cannot be read is the next use's to complain of.
            at_rest: (state == State::Stopped)
                .then(|| idle::why_at_rest(ctx, &name, manager_since.flatten()).ok().flatten())
                .flatten(),
            schedule: chores.of(ctx, &name),
            unfinished: files::unfinished(ctx, &name),
            services,
            name: name.to_string(),
        });
    }
    Ok(instances)
}
