//! An instance's schedule made the one that its manifest has: template units, drop-ins, links, and
//! what of it runs.
//!
//! It is no part of a generation: it restarts nothing and cannot make an instance unhealthy, and
//! going back to an earlier set of units leaves the manifest, and so the schedule, as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use super::{Ctx, lifecycle, units_lock};
use crate::error::{Error, Kind, Result};
use crate::exec::this_program;
use crate::install::Schedules;
use crate::model::{Chore, Instance, Name, Part, TARGET};
use crate::render;
use crate::systemd::{self, Action, JobOptions, Systemd, UnitState};

/// How long a chore's stop may take: a watch lets its ingest end, for which its unit gives 5 min.
const STOPPING: Duration = Duration::from_secs(320);

/// Fails when systemd does not take a time of the schedule. What is installed already was taken.
///
/// # Errors
/// [`Kind::Manifest`] with systemd's own words.
pub(super) fn check(ctx: Ctx<'_>, instance: &Instance) -> Result<()> {
    let schedules = Schedules::new(ctx.env);
    let wanted = render::schedule(instance)?;
    let times =
        [(Chore::Ingest, &instance.schedule.ingest), (Chore::Backup, &instance.schedule.backup)];
    for (chore, calendar) in times {
        let Some(calendar) = calendar else { continue };
        let text = wanted.drop_ins.get(&chore).map_or("", String::as_str);
        if schedules.has(&instance.name, chore, text) {
            continue;
        }
        if let Err(why) = systemd::check_calendar(calendar.as_str())? {
            let message = format!(
                "schedule.{} of {}: systemd does not take {:?}",
                chore.label(),
                instance.name,
                calendar.as_str()
            );
            return Err(Error::new(Kind::Manifest, message)
                .cause(why)
                .hint("try one out: systemd-analyze calendar 'Mon..Fri 03:00'"));
        }
    }
    Ok(())
}

/// Makes a schedule the wanted one and has it run; gives whether it was another. The instance's lock
/// is held.
pub(super) async fn follow(ctx: Ctx<'_>, bus: &Systemd, instance: &Instance) -> Result<bool> {
    let name = &instance.name;
    let wanted = render::schedule(instance)?;
    let schedules = Schedules::new(ctx.env);
    let units = texts(ctx)?;
    if wanted.chores.is_empty() {
        let files: Vec<&str> = units.keys().copied().collect();
        // An earlier run may have ended before systemd had let go of what it took away.
        let nothing = !schedules.has_any(name)
            && known(bus, name, &Chore::ALL).await?.is_empty()
            && !schedules.is_to_be_withdrawn(&files)?;
        if !nothing {
            end(ctx, bus, name).await?;
        }
        return Ok(!nothing);
    }
    let lock = units_lock(ctx)?;
    let new = schedules.provide(&lock, &units)?;
    let mut changed = schedules.follow(&lock, name, &wanted.chores, &wanted.drop_ins)?;
    drop(lock);
    crate::fault::point("scheduled");
    let unwanted: Vec<Chore> =
        Chore::ALL.into_iter().filter(|c| !wanted.chores.contains(c)).collect();
    // Whatever the files were: an earlier run may have ended before it came to this.
    let stopped = stop(bus, name, &unwanted).await?;
    // An earlier run may have ended before it could reload, or restart.
    let stale = is_stale(bus, name, &wanted.chores, &mut changed).await?;
    if wanted.chores.contains(&Chore::Watch) && is_older(bus, &schedules, name).await? {
        changed.insert(Chore::Watch);
    }
    if new || stale || stopped || !changed.is_empty() {
        super::reload::reload(bus).await?;
    }
    start(bus, name, &wanted.chores, &changed).await?;
    Ok(stopped || !changed.is_empty())
}

/// Whether systemd has read other units than those on disk: texts, or the links of what wants them,
/// of which it says nothing by itself. Chores that go by an earlier drop-in are added to `changed`.
async fn is_stale(
    bus: &Systemd,
    name: &Name,
    chores: &[Chore],
    changed: &mut BTreeSet<Chore>,
) -> Result<bool> {
    let names: Vec<String> = chores.iter().map(|chore| chore.unit(name)).collect();
    let mut all: Vec<String> = chores.iter().map(|chore| chore.service(name)).collect();
    all.extend_from_slice(&names);
    all.push(TARGET.to_owned());
    let old = bus.need_reload(&all).await?;
    changed.extend(chores.iter().filter(|chore| old.contains(&chore.unit(name))));
    let missing = bus.named(&names).await?.iter().any(|unit| unit.load != "loaded");
    let mut unwanted = false;
    for chore in chores {
        let (by, _) = bus.wanted_by(&chore.unit(name)).await?;
        unwanted |= !by.contains(&chore.wanted_by(name));
    }
    Ok(missing || unwanted || !old.is_empty())
}

/// Whether the watch runs since before its drop-in was written, and so watches other folders: it
/// reads them once. Timers go by what systemd has read last.
async fn is_older(bus: &Systemd, schedules: &Schedules, name: &Name) -> Result<bool> {
    let watch = bus.properties(&Chore::Watch.unit(name)).await?;
    let since = watch.active_enter_timestamp.map(|us| UNIX_EPOCH + Duration::from_micros(us));
    Ok(watch.is_active() && schedules.written(name, Chore::Watch) > since)
}

/// The template units, for this program.
fn texts(ctx: Ctx<'_>) -> Result<BTreeMap<&'static str, String>> {
    let program = this_program()?;
    render::static_units(env!("CARGO_PKG_VERSION"), program.as_str(), &ctx.env.unusual_dirs())
}

/// Has the timers and the watcher run that are wanted; those that changed anew.
async fn start(
    bus: &Systemd,
    name: &Name,
    chores: &[Chore],
    changed: &BTreeSet<Chore>,
) -> Result<()> {
    // Or is on its way: it may have been queued before it wanted the timer.
    let up = lifecycle::alive(bus, name).await?.rising.contains(&Part::Pod);
    let mut units = vec![(TARGET.to_owned(), false)];
    // The idle timer goes with the pod.
    let wanted = chores.iter().filter(|chore| **chore != Chore::Idle || up);
    units.extend(wanted.map(|chore| (chore.unit(name), changed.contains(chore))));
    let names: Vec<&str> = units.iter().map(|(unit, _)| unit.as_str()).collect();
    let active: BTreeSet<String> = bus
        .named(&names)
        .await?
        .into_iter()
        .filter(|unit| unit.active == "active")
        .map(|unit| unit.name)
        .collect();
    let again: Vec<&str> =
        units.iter().filter(|(_, changed)| *changed).map(|(unit, _)| unit.as_str()).collect();
    // A restart would take along what another command has just started with the target.
    let anew: Vec<&str> =
        names.into_iter().filter(|unit| !active.contains(*unit) && !again.contains(unit)).collect();
    for (action, units) in [(Action::Start, anew), (Action::Restart, again)] {
        if units.is_empty() {
            continue;
        }
        let options = JobOptions { timeout: STOPPING, ..JobOptions::default() };
        let report = bus.run(action, &units, &options, &mut |_| {}).await?;
        if let Some(failure) = report.failures().next() {
            return Err(Error::new(
                Kind::Unit,
                format!(
                    "the schedule of {name} did not start: {}: {}",
                    failure.service, failure.result
                ),
            )
            .hint(format!("see why: systemctl --user status {}", failure.service)));
        }
    }
    Ok(())
}

/// What systemd has in memory of chores: their timers and what those start. One call, which loads
/// nothing.
async fn known(bus: &Systemd, name: &Name, chores: &[Chore]) -> Result<Vec<UnitState>> {
    // A watch's unit is its service.
    let units: BTreeSet<String> =
        chores.iter().flat_map(|chore| [chore.unit(name), chore.service(name)]).collect();
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    bus.units(&units).await
}

/// Stops timers and what they have started. True when systemd knew of any: until it reads all
/// units again, the target that wanted them starts them with its next start.
async fn stop(bus: &Systemd, name: &Name, chores: &[Chore]) -> Result<bool> {
    let known = known(bus, name, chores).await?;
    let all: Vec<&str> = known
        .iter()
        .filter(|unit| !unit.is_down() || unit.job.is_some() || unit.active == "failed")
        .map(|unit| unit.name.as_str())
        .collect();
    if !all.is_empty() {
        let options = JobOptions { timeout: STOPPING, ..JobOptions::default() };
        bus.run(Action::Stop, &all, &options, &mut |_| {}).await?;
    }
    // A failure of what is gone is nobody's concern.
    bus.reset_failed(&all).await?;
    Ok(!known.is_empty())
}

/// Takes a schedule off the host, the template units with the last one. The instance's lock is
/// held.
pub(super) async fn end(ctx: Ctx<'_>, bus: &Systemd, name: &Name) -> Result<()> {
    let schedules = Schedules::new(ctx.env);
    let lock = units_lock(ctx)?;
    let gone = schedules.follow(&lock, name, &[], &BTreeMap::new())?;
    drop(lock);
    crate::fault::point("scheduled");
    let stopped = stop(bus, name, &Chore::ALL).await?;
    schedules.forget(name)?;
    let lock = units_lock(ctx)?;
    let files = texts(ctx)?;
    let files: Vec<&str> = files.keys().copied().collect();
    let last = schedules.is_to_be_withdrawn(&files)?;
    if last {
        // With the lock: another instance's timers, which come with the target, would go with it.
        // Before the files go: a run that ends here is completed by the next.
        let options = JobOptions { timeout: Duration::from_secs(30), ..JobOptions::default() };
        bus.run(Action::Stop, &[TARGET], &options, &mut |_| {}).await?;
        crate::fault::point("target");
        schedules.withdraw(&lock, &files)?;
    }
    drop(lock);
    if last || stopped || !gone.is_empty() {
        super::reload::reload(bus).await?;
    }
    Ok(())
}
