//! Stopping what nobody uses, and starting it again with the next use.
//!
//! A use goes through the gate, notes the time and looks whether the instance runs. The one that
//! stops holds the gate closed meanwhile: whoever was through before is seen in the process table,
//! and whoever comes later finds an instance that rests, and wakes it. The instance's lock lets one
//! wake it, and the others find it awake.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use super::keep::exchange;
use super::progress::Silent;
use super::{Ctx, Waiting, engine, gate, lifecycle, manifests, pause, up, wait_for_lock};
use crate::error::{Error, Kind, Result};
use crate::install::{Lasting, Lock, Rest, Scope, State, UnitDir, Uses};
use crate::model::{Instance, Name, Part};
use crate::output::human_seconds;
use crate::podman::Podman;
use crate::systemd::{Action, Systemd, UnitState};

/// How long a use waits for somebody else who changes the instance: longer than a start may take.
const WAKING: Duration = Duration::from_secs(300);
/// How long another look whether anybody uses an instance may hold its lock.
const ANOTHER_LOOK: Duration = Duration::from_secs(10);
/// How often it is looked how far an instance has come that is on its way.
const LOOK: Duration = Duration::from_millis(500);

/// Begins a use of a part: notes it, wakes the instance if it rests, and fails unless the part runs.
/// The gate is passed until the result is dropped, or this process becomes another program.
pub(super) async fn begin(ctx: Ctx<'_>, name: &Name, part: Part) -> Result<Option<File>> {
    note(ctx, name);
    for last in [false, false, true] {
        let through = gate::pass(ctx, name).await;
        let error = match engine::require_running(ctx, name, part).await {
            Err(e) if e.kind == Kind::NotRunning && !last => e,
            Err(e) => return Err(e),
            Ok(()) => {
                complete(ctx, name).await;
                return Ok(through);
            }
        };
        // Whoever has the lock may be waiting for the gate.
        drop(through);
        if wake(ctx, name, part).await? == Woken::NotAtRest {
            return Err(error);
        }
    }
    Ok(None)
}

/// Sets up the database of an instance that whoever started it first did not wait for. Whoever has the
/// lock does so at its end; and what fails keeps nobody from looking into its containers.
async fn complete(ctx: Ctx<'_>, name: &Name) {
    let state = ctx.env.state();
    if State::load(&state, name).is_ok_and(|known| known.initialised.is_some()) {
        return;
    }
    let scope = Scope::Instance(name.clone());
    let Ok(_lock) = Lock::take(&state, scope, ctx.summary, Duration::ZERO, &mut |_| {}) else {
        return;
    };
    // The one that had it meanwhile has done it.
    let Ok(mut known) = State::load(&state, name) else { return };
    if known.initialised.is_none()
        && let Err(e) = up::complete(ctx, &Podman::new(), &mut known, name).await
    {
        ctx.progress.warn(&e.to_string());
    }
}

/// The same for a program that takes this process's place, at which moment the gate is passed.
pub(super) async fn begin_for_good(ctx: Ctx<'_>, name: &Name, part: Part) -> Result<()> {
    std::mem::forget(begin(ctx, name, part).await?);
    Ok(())
}

/// Notes that somebody uses an instance. What it does by itself is nobody's use.
pub fn note(ctx: Ctx<'_>, name: &Name) {
    if !ctx.env.scheduled {
        Uses::of(&ctx.env.state(), name).note();
    }
}

/// A session that keeps an instance from being idle, until the result is dropped.
#[must_use]
pub fn session(ctx: Ctx<'_>, name: &Name) -> Option<File> {
    Uses::of(&ctx.env.state(), name).join(Lasting::Session)
}

/// Why the next use starts an instance that does not run; `None` when it does not.
/// `manager_since`: when the user's manager was started, before which nothing of today was stopped.
pub(super) fn why_at_rest(
    ctx: Ctx<'_>,
    name: &Name,
    manager_since: Option<SystemTime>,
) -> Result<Option<String>> {
    Ok(match Rest::load(&ctx.env.state(), name)? {
        Some((Rest { idle_seconds: Some(0) }, _)) => Some("installed and not used yet".to_owned()),
        Some((Rest { idle_seconds: Some(seconds) }, _)) => {
            Some(format!("stopped after {} idle", human_seconds(seconds)))
        }
        Some((Rest { idle_seconds: None }, since)) if manager_since.is_some_and(|m| since < m) => {
            Some("not used since the machine was started".to_owned())
        }
        _ => None,
    })
}

/// Who woke an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// It does not rest, and nobody has started it.
    NotAtRest,
    /// Somebody else, in this moment.
    ByOthers,
    /// We.
    Now,
}

/// Starts an instance that rests, or waits for whoever does.
///
/// # Errors
/// Why it did not start: [`Kind::Unit`] with what the failed service said.
async fn wake(ctx: Ctx<'_>, name: &Name, part: Part) -> Result<Woken> {
    let bus = Systemd::connect(ctx.env).await?;
    let since = bus.manager_since().await?;
    let is_up =
        async || -> Result<bool> { Ok(lifecycle::alive(&bus, name).await?.active.contains(&part)) };
    if why_at_rest(ctx, name, since)?.is_none() {
        // Somebody else may have woken it in this moment.
        return Ok(if is_up().await? { Woken::ByOthers } else { Woken::NotAtRest });
    }
    let state = ctx.env.state();
    let scope = Scope::Instance(name.clone());
    let mut told = false;
    let _lock = wait_for_lock(ctx, scope, WAKING, &mut |holder| {
        if !told {
            ctx.progress.step(&format!("waiting for {name}: held by {holder}"));
        }
        told = true;
    })
    .await?;
    if is_up().await? {
        return Ok(Woken::ByOthers);
    }
    // Again: whoever held the lock may have stopped it for good.
    let Some(why) = why_at_rest(ctx, name, since)? else { return Ok(Woken::NotAtRest) };
    let services = lifecycle::running(UnitDir::new(ctx.env).parts_of(name)?);
    if services.is_empty() {
        // Its first installation was cut off.
        return Ok(Woken::NotAtRest);
    }
    let began = Instant::now();
    ctx.progress.step(&format!("waking {name}: {why}"));
    let waiting = Waiting { timeout: WAKING, wait: true };
    let quiet = Ctx { progress: &Silent, ..ctx };
    let start =
        async || lifecycle::drive(quiet, &bus, name, &services, Action::Start, waiting).await;
    Box::pin(exchange::settle(ctx, &bus, name, true, start)).await?;
    match manifests::load(ctx.env, name) {
        Ok(instance) => arm(ctx, &instance)?,
        // Nothing that could be read says how it is to be: it stays as it was.
        Err(_) => Rest::default().save(&state, name)?,
    }
    let mut known = State::load(&state, name)?;
    // The first start of all.
    up::complete(quiet, &Podman::new(), &mut known, name).await?;
    let seconds = began.elapsed().as_secs_f64();
    ctx.progress.done(&format!("{name} is awake after {seconds:.1} s"));
    Ok(Woken::Now)
}

/// What came of a look at an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It does not run, or is not to be stopped when it is idle.
    NotConcerned,
    /// It is in use, or was a short while ago.
    InUse(&'static str),
    /// It was idle for so many seconds, and is stopped.
    Stopped(u64),
}

/// Stops an instance that nobody has used for as long as its manifest says. `used_since`: stop it
/// already when nobody has used it since then: it was only woken for something.
pub async fn rest(ctx: Ctx<'_>, name: &Name, used_since: Option<SystemTime>) -> Result<Looked> {
    let instance = manifests::load(ctx.env, name)?;
    let Some(span) = instance.schedule.idle_stop else { return Ok(Looked::NotConcerned) };
    let state = ctx.env.state();
    let uses = Uses::of(&state, name);
    let bus = Systemd::connect(ctx.env).await?;
    let pod = bus.properties(&Part::Pod.service(name)).await?;
    let up =
        pod.active_enter_timestamp.map(|us| SystemTime::UNIX_EPOCH + Duration::from_micros(us));
    let idle = |uses: &Uses| -> Option<Duration> {
        let last = match used_since {
            Some(since) if uses.last().is_none_or(|last| last < since) => {
                return Some(Duration::ZERO);
            }
            _ => uses.last().max(up)?,
        };
        // A clock that went back makes nothing idle.
        SystemTime::now().duration_since(last).ok().filter(|idle| *idle >= span.duration())
    };
    if pod.active_state != "active" {
        return Ok(Looked::NotConcerned);
    }
    // Whoever woke it for something has nothing else to do; the timer comes again.
    let patience = used_since.map_or(Duration::ZERO, |_| ANOTHER_LOOK);
    let Ok(_lock) =
        Lock::take(&state, Scope::Instance(name.clone()), ctx.summary, patience, &mut |_| {})
    else {
        return Ok(Looked::InUse("another ragpod is changing it"));
    };
    // It runs: whoever stopped and started it meanwhile has left a note that holds no more.
    if let Some((Rest { idle_seconds: Some(_) }, _)) = Rest::load(&state, name)? {
        arm(ctx, &instance)?;
    }
    let Some(_gate) = gate::try_close(ctx, name) else {
        // An ingest holds it to its end. What it does by itself is nobody's use.
        if !uses.is_joined(Lasting::Scheduled)? {
            uses.note();
        }
        return Ok(Looked::InUse("somebody uses it"));
    };
    if let Some(busy) = busy(&uses, name)? {
        return Ok(Looked::InUse(busy));
    }
    let Some(for_so_long) = idle(&uses) else {
        return Ok(Looked::InUse("it was used a short while ago"));
    };
    lifecycle::proved(ctx, &bus, name).await;
    // One that was woken for something is at rest again as it was before.
    let seconds = for_so_long.max(span.duration()).as_secs();
    Rest { idle_seconds: Some(seconds) }.save(&state, name)?;
    crate::fault::point("resting");
    let services = lifecycle::running(UnitDir::new(ctx.env).parts_of(name)?);
    lifecycle::stop(ctx, &bus, name, &services, Waiting::default()).await?;
    Ok(Looked::Stopped(seconds))
}

/// What goes on in an instance now. What lasts counts as a use at its end.
pub(super) fn busy(uses: &Uses, name: &Name) -> Result<Option<&'static str>> {
    if uses.is_joined(Lasting::Session)? {
        uses.note();
        return Ok(Some("a client of MCP has a session"));
    }
    let scheduled = uses.is_joined(Lasting::Scheduled)?;
    let containers = Part::ALL.into_iter().filter(|p| p.is_container());
    let none: [&str; 0] = [];
    let session = containers
        .into_iter()
        .any(|part| !Podman::sessions(&part.podman_name(name), &none).is_empty());
    if session && !scheduled {
        uses.note();
    }
    Ok(match (scheduled, session) {
        (true, _) => Some("it is being backed up, or ingests by itself"),
        (_, true) => Some("a command runs in it"),
        _ => None,
    })
}

/// From now on the next use starts the instance when it does not run, if its manifest has it stop
/// when it is idle; else nothing but its owner does. The instance's lock is held.
pub(super) fn arm(ctx: Ctx<'_>, instance: &Instance) -> Result<()> {
    let state = ctx.env.state();
    let (name, schedule) = (&instance.name, &instance.schedule);
    if schedule.idle_stop.is_some() && instance.autostart {
        Rest::default().save(&state, name)
    } else {
        Rest::end(&state, name)
    }
}

/// The next use starts what was installed and not started, if its manifest has it stop when it is
/// idle; `new`: it was not installed before. What its owner had stopped stays so. The instance's lock
/// is held.
pub(super) fn lay_to_rest(ctx: Ctx<'_>, instance: &Instance, new: bool) -> Result<()> {
    let state = ctx.env.state();
    match instance.schedule.idle_stop {
        Some(_) if new => Rest { idle_seconds: Some(0) }.save(&state, &instance.name),
        // It has a note if a use may start it.
        Some(_) => Ok(()),
        None => Rest::end(&state, &instance.name),
    }
}

/// From now on no use starts it: its owner has stopped it. The instance's lock is held.
pub(super) fn disarm(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    Rest::end(&ctx.env.state(), name)
}

/// How an instance is for what it does by itself.
#[derive(Debug)]
pub(super) enum Ready {
    /// It runs.
    Runs,
    /// It was at rest and was woken, at this time.
    Woken(SystemTime),
    /// Its owner stopped it.
    Stopped,
    /// It has failed, with why.
    Failed(Error),
}

/// Whether an instance runs, is woken now, has failed, or stays as it is because its owner stopped
/// it: for what it does by itself. One that is on its way up or down is waited for.
///
/// # Errors
/// Why it cannot be woken; [`Kind::Unit`] when it is on its way for longer than [`WAKING`].
pub(super) async fn ready(ctx: Ctx<'_>, name: &Name) -> Result<Ready> {
    let bus = Systemd::connect(ctx.env).await?;
    let scope = Scope::Instance(name.clone());
    let services: Vec<String> =
        Part::ALL.iter().filter(|p| p.is_running_service()).map(|p| p.service(name)).collect();
    let began = Instant::now();
    let mut told = false;
    loop {
        // Looked at first: whoever let it go meanwhile has left the services as they are to be.
        let held = Lock::is_held(&ctx.env.state(), &scope);
        match course(&bus.named(&services).await?, &Part::App.service(name)) {
            Course::Up => return Ok(Ready::Runs),
            Course::Moving => {}
            // Another ragpod may be about to start it.
            Course::Down | Course::Failed(_) if held => {}
            Course::Failed(service) => return Ok(Ready::Failed(has_failed(name, &service))),
            Course::Down => {
                let now = SystemTime::now();
                return Ok(match wake(ctx, name, Part::App).await? {
                    Woken::Now => Ready::Woken(now),
                    Woken::ByOthers => Ready::Runs,
                    Woken::NotAtRest => Ready::Stopped,
                });
            }
        }
        if began.elapsed() > WAKING {
            let seconds = WAKING.as_secs();
            return Err(Error::new(
                Kind::Unit,
                format!("{name} was still starting or stopping after {seconds} s"),
            )
            .hint(format!("see how it stands: ragpod status {name}"))
            .hint(format!("see what it says: ragpod logs {name} -n 50")));
        }
        if !told {
            ctx.progress.step(&format!("waiting for {name}: it is on its way up or down"));
            told = true;
        }
        pause(LOOK).await?;
    }
}

fn has_failed(name: &Name, service: &str) -> Error {
    let part = Part::of_service(service).map_or("a service", |(_, part)| part.label());
    Error::new(Kind::Unit, format!("{part} of {name} has failed: {service}"))
        .hint(format!("see why: ragpod logs {name} -n 50"))
        .hint(format!("start it: ragpod up {name}"))
}

/// Where the services of an instance are going.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Course {
    /// The one that is wanted runs.
    Up,
    /// One of them is on its way, or is about to be.
    Moving,
    /// This one has failed, and nobody starts it.
    Failed(String),
    /// Nothing runs that was not stopped.
    Down,
}

fn course(units: &[UnitState], wanted: &str) -> Course {
    let is_wanted_up = |u: &UnitState| u.name == wanted && u.active == "active" && u.job.is_none();
    if units.iter().any(is_wanted_up) {
        return Course::Up;
    }
    if units.iter().any(|u| u.job.is_some() || !(u.is_down() || u.active == "active")) {
        return Course::Moving;
    }
    match units.iter().find(|u| u.active == "failed") {
        Some(unit) => Course::Failed(unit.name.clone()),
        None => Course::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_or_failed_was_not_stopped() {
        let unit = |name: &str, active: &str, job: Option<&str>| UnitState {
            name: name.to_owned(),
            load: "loaded".to_owned(),
            active: active.to_owned(),
            sub: String::new(),
            job: job.map(str::to_owned),
        };
        let of = |pod, app, job| course(&[unit("pod", pod, None), unit("app", app, job)], "app");
        assert_eq!(of("active", "active", None), Course::Up);
        assert_eq!(of("active", "active", Some("restart")), Course::Moving);
        assert_eq!(of("active", "activating", None), Course::Moving);
        // At boot, before its turn has come.
        assert_eq!(of("inactive", "inactive", Some("start")), Course::Moving);
        assert_eq!(of("deactivating", "inactive", None), Course::Moving);
        assert_eq!(of("active", "failed", None), Course::Failed("app".to_owned()));
        assert_eq!(of("failed", "inactive", None), Course::Failed("pod".to_owned()));
        assert_eq!(of("inactive", "inactive", None), Course::Down);
    }
}
