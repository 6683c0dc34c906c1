//! `top`: what instances take and do now. A round is one call on the bus for all of them, and small
//! files: those of the control groups, and what the engines write of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::Serialize;

use super::status::{State, counted};
use super::{Ctx, manifests};
use crate::error::Result;
use crate::host::cgroup;
use crate::install::UnitDir;
use crate::model::{Name, Part};
use crate::systemd::{Systemd, UnitState};

/// An instance in a round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its state as a whole.
    pub state: State,
    /// The share of one processor that it took since the last round, in percent; `None` in the
    /// first one, and when nothing of it runs.
    pub cpu_percent: Option<f64>,
    /// The memory of its processes in bytes; `None` when nothing of it runs, or nobody may look.
    pub memory_bytes: Option<u64>,
    /// Documents that were taken in, as its engine counted them last.
    pub documents: Option<u64>,
    /// Questions since its engine was started; `None` when that does not count them.
    pub queries: Option<u64>,
    /// Questions a minute since the last round.
    pub queries_per_minute: Option<f64>,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The busiest first.
    Cpu,
    /// The largest first.
    Memory,
    /// By name.
    Name,
}

/// Sorts a round.
pub fn sort(rows: &mut [Row], by: Sort) {
    rows.sort_by(|a, b| {
        let order = match by {
            Sort::Cpu => b.cpu_percent.unwrap_or(-1.0).total_cmp(&a.cpu_percent.unwrap_or(-1.0)),
            Sort::Memory => b.memory_bytes.cmp(&a.memory_bytes),
            Sort::Name => std::cmp::Ordering::Equal,
        };
        order.then_with(|| a.name.cmp(&b.name))
    });
}

/// What a round needs of the one before.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    /// Processor time so far, in microseconds.
    cpu: Option<u64>,
    queries: Option<u64>,
}

/// Looks at instances, round after round.
#[derive(Debug)]
pub struct Top {
    bus: Systemd,
    wanted: Vec<Name>,
    /// Service → its control group: the same as long as the service is.
    groups: BTreeMap<String, String>,
    seen: BTreeMap<Name, Seen>,
}

impl Top {
    /// Begins to look at the named instances, or at all.
    ///
    /// # Errors
    /// [`Kind::NoInstance`](crate::error::Kind::NoInstance) for a name that nothing has;
    /// [`Kind::Host`](crate::error::Kind::Host) without a user bus.
    pub async fn new(ctx: Ctx<'_>, wanted: &[Name]) -> Result<Self> {
        manifests::asked(ctx.env, &UnitDir::new(ctx.env).parts()?, wanted)?;
        let bus = Systemd::connect(ctx.env).await?;
        Ok(Self { bus, wanted: wanted.to_vec(), groups: BTreeMap::new(), seen: BTreeMap::new() })
    }

    /// Looks once, by name. Instances come and go.
    pub async fn round(&mut self, ctx: Ctx<'_>) -> Result<Vec<Row>> {
        let installed = UnitDir::new(ctx.env).parts()?;
        let names: BTreeSet<Name> = if self.wanted.is_empty() {
            manifests::asked(ctx.env, &installed, &[])?
        } else {
            // One that went meanwhile is shown as what it is.
            self.wanted.iter().cloned().collect()
        };
        let mut services: BTreeMap<Name, Vec<UnitState>> = BTreeMap::new();
        for unit in self.bus.units(&[Name::SERVICES]).await? {
            match Part::of_service(&unit.name) {
                Some((name, part)) if part.is_running_service() => {
                    services.entry(name).or_default().push(unit);
                }
                _ => {}
            }
        }
        self.find_groups(services.values().flatten()).await?;
        let mut rows = Vec::new();
        for name in names {
            let units = services.remove(&name).unwrap_or_default();
            rows.push(self.row(ctx, &name, &units, installed.contains_key(&name)));
        }
        Ok(rows)
    }

    /// Asks for the control groups of services that were not there before.
    async fn find_groups<'a>(&mut self, units: impl Iterator<Item = &'a UnitState>) -> Result<()> {
        let running: BTreeSet<&str> =
            units.filter(|u| !u.is_down()).map(|unit| unit.name.as_str()).collect();
        self.groups.retain(|service, _| running.contains(service.as_str()));
        let new: Vec<&str> =
            running.into_iter().filter(|service| !self.groups.contains_key(*service)).collect();
        let groups = self.bus.control_groups(&new).await?;
        let found = new.iter().map(|s| (*s).to_owned()).zip(groups);
        self.groups.extend(found.filter(|(_, group)| !group.is_empty()));
        Ok(())
    }

    fn row(&mut self, ctx: Ctx<'_>, name: &Name, units: &[UnitState], installed: bool) -> Row {
        let groups: Vec<&str> =
            units.iter().filter_map(|u| self.groups.get(&u.name)).map(String::as_str).collect();
        let state = if units.is_empty() && !installed {
            State::NotInstalled
        } else {
            State::of(units.iter().map(|u| (u.active.as_str(), u.sub.as_str(), 0)))
        };
        let counted = counted(ctx, name);
        let runs = !groups.is_empty();
        let now = Seen {
            at: Instant::now(),
            cpu: sum(groups.iter().map(|group| cgroup::cpu_microseconds(group))),
            queries: counted.queries.filter(|_| runs),
        };
        let before = self.seen.insert(name.clone(), now);
        Row {
            name: name.to_string(),
            state,
            cpu_percent: before.and_then(|before| cpu_percent(before, now)),
            memory_bytes: sum(groups.iter().map(|group| cgroup::memory_bytes(group))),
            documents: counted.documents.map(|d| d.processed),
            queries: now.queries,
            queries_per_minute: before.and_then(|before| per_minute(before, now)),
        }
    }
}

/// The sum; `None` when there is nothing, or one of it is not known: half a sum says nothing.
fn sum(values: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let values: Vec<u64> = values.collect::<Option<_>>()?;
    values.into_iter().reduce(|a, b| a + b)
}

fn cpu_percent(before: Seen, now: Seen) -> Option<f64> {
    // A service that was restarted counts from nothing again.
    let used = now.cpu?.checked_sub(before.cpu?)?;
    let passed = u64::try_from((now.at - before.at).as_micros()).ok().filter(|us| *us > 0)?;
    Some(ratio(used * 100, passed))
}

fn per_minute(before: Seen, now: Seen) -> Option<f64> {
    let asked = now.queries?.checked_sub(before.queries?)?;
    let passed = u64::try_from((now.at - before.at).as_millis()).ok().filter(|ms| *ms > 0)?;
    Some(ratio(asked * 60_000, passed))
}

/// To a tenth, for people and for programs alike.
#[allow(clippy::cast_precision_loss)] // Both are far below 2^52.
fn ratio(a: u64, b: u64) -> f64 {
    (a as f64 / b as f64 * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seen(at: Instant, cpu: Option<u64>, queries: Option<u64>) -> Seen {
        Seen { at, cpu, queries }
    }

    #[test]
    fn shares_and_rates() {
        let at = Instant::now();
        let later = at + Duration::from_secs(2);
        let (a, b) = (seen(at, Some(1_000_000), Some(10)), seen(later, Some(1_500_000), Some(13)));
        assert_eq!(cpu_percent(a, b), Some(25.0));
        assert_eq!(per_minute(a, b), Some(90.0));
        // Restarted meanwhile, not there, no time.
        assert_eq!(cpu_percent(b, seen(later + Duration::from_secs(1), Some(5), None)), None);
        assert_eq!(cpu_percent(seen(at, None, None), b), None);
        assert_eq!((cpu_percent(a, a), per_minute(a, a)), (None, None));
    }

    #[test]
    fn half_a_sum_is_none() {
        assert_eq!(sum([Some(1), Some(2)].into_iter()), Some(3));
        assert_eq!(sum([Some(1), None].into_iter()), None);
        assert_eq!(sum(std::iter::empty()), None);
    }

    #[test]
    fn sorted_as_asked() {
        let row = |name: &str, cpu, memory| Row {
            name: name.into(),
            state: State::Running,
            cpu_percent: cpu,
            memory_bytes: memory,
            documents: None,
            queries: None,
            queries_per_minute: None,
        };
        let mut rows =
            [row("b", Some(1.0), Some(9)), row("c", None, None), row("a", Some(5.0), Some(3))];
        let mut names = |by| {
            sort(&mut rows, by);
            rows.iter().map(|r| r.name.clone()).collect::<String>()
        };
        assert_eq!(
            (names(Sort::Cpu), names(Sort::Memory), names(Sort::Name)),
            ("abc".into(), "bac".into(), "abc".into())
        );
    }
}
