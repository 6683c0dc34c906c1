//! Starting, stopping and restarting what is installed, and what to say when it fails.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::keep::exchange;
use super::progress::{Phase, Progress};
use super::{Ctx, Waiting, gate, idle, manifests, secrets};
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::install::{Intent, UnitDir, Uses};
use crate::journal;
use crate::model::{Name, Part};
pub use crate::systemd::Action;
use crate::systemd::{self, End, JobEvent, JobOptions, JobResult, Report, Systemd, UnitState};

/// `start`, `stop` or `restart` of an installed instance.
///
/// # Errors
/// [`Kind::NoInstance`], [`Kind::NotRunning`] when its units are not installed, [`Kind::Unit`]
/// with what the failed service said.
pub async fn change(ctx: Ctx<'_>, name: &Name, action: Action, waiting: Waiting) -> Result<()> {
    installed(ctx, name)?;
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = secrets::lock(ctx, name).await?;
    change_locked(ctx, &bus, name, action, waiting).await
}

fn installed(ctx: Ctx<'_>, name: &Name) -> Result<BTreeSet<Part>> {
    let parts = UnitDir::new(ctx.env).parts_of(name)?;
    if !parts.is_empty() {
        return Ok(parts);
    }
    if !manifests::exists(ctx.env, name) {
        return Err(manifests::no_instance(ctx.env, name));
    }
    Err(Error::new(Kind::NotRunning, format!("{name} is not installed"))
        .hint(format!("install and start it: ragpod up {name}")))
}

async fn change_locked(
    ctx: Ctx<'_>,
    bus: &Systemd,
    name: &Name,
    action: Action,
    waiting: Waiting,
) -> Result<()> {
    // Again: whoever held the lock may have changed it.
    let services = running(installed(ctx, name)?);
    if action != Action::Start {
        proved(ctx, bus, name).await;
    }
    if action == Action::Stop {
        // First: a use that comes meanwhile must not start it again.
        idle::disarm(ctx, name)?;
        let state = ctx.env.state();
        if let Some(cut_off) = Intent::load(&state, name)? {
            // Whoever completes that must not start it either.
            Intent { start: false, was_running: false, ..cut_off }.save(&state, name)?;
        }
        return stop(ctx, bus, name, &services, waiting).await;
    }
    if action == Action::Restart {
        // One after the other: a restart of each by itself would move the pod several times.
        drive(ctx, bus, name, &services, Action::Stop, Waiting::default()).await?;
    }
    let start = async || drive(ctx, bus, name, &services, Action::Start, waiting).await;
    Box::pin(exchange::settle(ctx, bus, name, waiting.wait, start)).await?;
    idle::note(ctx, name);
    // Without a manifest there is nothing that stops it by itself.
    manifests::load(ctx.env, name).map_or(Ok(()), |instance| idle::arm(ctx, &instance))
}

/// A restore that cannot be looked at keeps nobody from stopping its instance.
pub(super) async fn proved(ctx: Ctx<'_>, bus: &Systemd, name: &Name) {
    if let Err(e) = exchange::prove(ctx, bus, name).await {
        ctx.progress.warn(&e.to_string());
    }
}

/// Stops parts. One that had to be killed has not failed: it was stopped.
pub(super) async fn stop(
    ctx: Ctx<'_>,
    bus: &Systemd,
    name: &Name,
    parts: &[Part],
    waiting: Waiting,
) -> Result<()> {
    drive(ctx, bus, name, parts, Action::Stop, waiting).await?;
    let services: Vec<String> = parts.iter().map(|part| part.service(name)).collect();
    bus.reset_failed(&services).await
}

/// Has a part of an installed instance run, whoever starts it: one that is on its way up is waited
/// for. Gives since when it runs when all of it was stopped, and so was started by this; `why` is
/// told then.
///
/// # Errors
/// As [`change`].
pub(super) async fn have_run(
    ctx: Ctx<'_>,
    name: &Name,
    part: Part,
    why: &str,
) -> Result<Option<SystemTime>> {
    let bus = Systemd::connect(ctx.env).await?;
    // Whoever is starting it holds the lock, also before its jobs are queued.
    let _lock = secrets::lock(ctx, name).await?;
    installed(ctx, name)?;
    if alive(&bus, name).await?.is_rising() {
        drive(ctx, &bus, name, &[part], Action::Start, Waiting::default()).await?;
        return Ok(None);
    }
    ctx.progress.step(why);
    change_locked(ctx, &bus, name, Action::Start, Waiting::default()).await?;
    Ok(Some(SystemTime::now()))
}

/// Stops what was started for something, unless somebody has used or started it since.
pub(super) async fn stop_again(ctx: Ctx<'_>, name: &Name, since: SystemTime) -> Result<()> {
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = secrets::lock(ctx, name).await?;
    let uses = Uses::of(&ctx.env.state(), name);
    // Who goes through later waits, and finds it stopped.
    let gate = gate::try_close(ctx, name);
    let used = uses.last().is_some_and(|last| last > since);
    if used || gate.is_none() || idle::busy(&uses, name)?.is_some() {
        ctx.progress.step(&format!("{name} stays up: it was used or started meanwhile"));
        return Ok(());
    }
    change_locked(ctx, &bus, name, Action::Stop, Waiting::default()).await
}

/// Of installed parts, those whose services stay up while the instance does.
pub(super) fn running(parts: BTreeSet<Part>) -> Vec<Part> {
    parts.into_iter().filter(|part| part.is_running_service()).collect()
}

/// What the services of an instance are doing.
#[derive(Debug, Default)]
pub(super) struct Alive {
    /// Those that run; a container's was found healthy.
    pub active: BTreeSet<Part>,
    /// Those and the ones on their way up or down: a start would only join what is under way.
    pub moving: BTreeSet<Part>,
    /// Those that run or are being started, by whomever, and not on their way down.
    pub rising: BTreeSet<Part>,
}

impl Alive {
    fn see(&mut self, part: Part, unit: &UnitState) {
        if unit.active == "active" {
            self.active.insert(part);
        }
        if !unit.is_down() {
            self.moving.insert(part);
        }
        let up = match unit.job.as_deref() {
            Some("stop") => false,
            Some(_) => true,
            None => ["active", "reloading", "activating"].contains(&unit.active.as_str()),
        };
        if up {
            self.rising.insert(part);
        }
    }

    /// Whether the instance runs or is being started.
    pub fn is_rising(&self) -> bool {
        self.rising.iter().any(|part| part.is_running_service())
    }
}

/// What the services of an instance are doing: one call.
pub(super) async fn alive(bus: &Systemd, name: &Name) -> Result<Alive> {
    let services: Vec<String> = Part::ALL.iter().map(|p| p.service(name)).collect();
    let mut alive = Alive::default();
    for (part, unit) in Part::ALL.into_iter().zip(bus.named(&services).await?) {
        alive.see(part, &unit);
    }
    Ok(alive)
}

/// Does one thing with the services of some parts and follows it to its end, telling progress.
pub(super) async fn drive(
    ctx: Ctx<'_>,
    bus: &Systemd,
    name: &Name,
    parts: &[Part],
    action: Action,
    waiting: Waiting,
) -> Result<()> {
    let services: Vec<String> = parts.iter().map(|p| p.service(name)).collect();
    // A stop of what does not run is done already. What runs and whose unit file is gone is `not-found`
    // and yet active.
    let services: Vec<String> = if action == Action::Stop {
        let known = bus.named(&services).await?;
        known.into_iter().filter(|u| !u.is_down() || u.job.is_some()).map(|u| u.name).collect()
    } else {
        services
    };
    if services.is_empty() {
        return Ok(());
    }
    if !waiting.wait {
        return bus.queue_all(action, &services).await;
    }
    let options =
        JobOptions { timeout: waiting.timeout, interruptible: true, ..JobOptions::default() };
    let started = fault::now().as_microsecond();
    // What runs already has nothing to wait for: it is told of only when it moves all the same.
    let mut idle: BTreeSet<String> = if action == Action::Start {
        let known = bus.named(&services).await?.into_iter();
        known.filter(|u| u.active == "active" && u.job.is_none()).map(|u| u.name).collect()
    } else {
        BTreeSet::new()
    };
    let report = bus
        .run(action, &services, &options, &mut |event| {
            use systemd::Progress as News;
            let is_edge = matches!(event.progress, News::Queued | News::Finished(JobResult::Done));
            if !is_edge {
                idle.remove(&event.service);
            }
            if !idle.contains(&event.service) {
                tell(ctx.progress, name, action, &event);
            }
        })
        .await?;
    judge(name, &report, started)
}

/// Tells people what a job's event means.
fn tell(progress: &dyn Progress, name: &Name, action: Action, event: &JobEvent) {
    use systemd::Progress as News;
    let Some((_, part)) = Part::of_service(&event.service) else { return };
    // Networks and volumes are made in an instant; what is told of them would only hide the rest.
    let shown = part.is_running_service();
    let (phase, state) = match (&event.progress, action) {
        (News::Queued, _) => (Phase::Working, "waiting".to_owned()),
        (News::Retrying, _) => (Phase::Working, "failed, trying again".to_owned()),
        (News::State { active, sub }, _) => (
            Phase::Working,
            match (active.as_str(), sub.as_str()) {
                ("activating", "auto-restart") => "failed, trying again".to_owned(),
                ("activating", _) if part.is_container() => "starting, not healthy yet".to_owned(),
                ("activating", _) => "starting".to_owned(),
                ("deactivating", _) => "stopping".to_owned(),
                ("active", _) => "running".to_owned(),
                (active, sub) => format!("{active} ({sub})"),
            },
        ),
        (News::Finished(JobResult::Done), Action::Stop) => (Phase::Done, "stopped".to_owned()),
        (News::Finished(JobResult::Done), _) if part.is_container() => {
            (Phase::Done, "healthy".to_owned())
        }
        (News::Finished(JobResult::Done), _) => (Phase::Done, "running".to_owned()),
        (News::Finished(result), _) => (Phase::Failed, result.to_string()),
    };
    if shown || phase == Phase::Failed {
        progress.service(name.as_str(), part.label(), phase, &state);
    }
}

/// Turns a report into success, or into what failed, why, and what to type.
fn judge(name: &Name, report: &Report, since: i64) -> Result<()> {
    if report.is_good() {
        return Ok(());
    }
    let verb = match report.action {
        Action::Start => "start",
        Action::Stop => "stop",
        Action::Restart => "restart",
    };
    if report.end == End::Interrupted {
        return Err(Error::new(
            Kind::Interrupted,
            format!("stopped waiting; {name} goes on to {verb}"),
        )
        .hint(format!("see how it goes: ragpod status {name}")));
    }
    let Some(failure) = report.failures().next() else { return Ok(()) };
    let service = &failure.service;
    let part = Part::of_service(service).map_or("a service", |(_, part)| part.label());
    let mut error = Error::new(
        Kind::Unit,
        format!("{part} of {name} did not {verb}: {service}: {}", failure.result),
    );
    // The journal is a help here, not a condition: without it the failure is told all the same.
    let words = |since| journal::tail(service, 15, since).unwrap_or_default();
    let mut lines = words(u64::try_from(since).ok());
    if lines.len() < 3 {
        // The journal is a little behind: what the container itself said comes last.
        std::thread::sleep(std::time::Duration::from_millis(700));
        lines = words(u64::try_from(since).ok());
    }
    if lines.is_empty() {
        // The clock went back since the job was queued: older lines are better than none.
        lines = words(None);
    }
    if !lines.is_empty() {
        error = error.cause(format!("its last words:\n{}", lines.join("\n")));
    }
    let props = &failure.props;
    let found = Part::of_service(service).and_then(|(_, part)| {
        journal::likely_cause(part, &props.result, props.exec_main_status, &lines)
    });
    if let Some(found) = found {
        error = error
            .cause(format!("likely: {}", found.cause))
            .hint(found.hint.replace("NAME", name.as_str()));
    }
    if report.end == End::TimedOut {
        error = error.hint(format!("give it more time: ragpod up {name} --timeout 15min"));
    }
    Err(error
        .hint(format!("see more: ragpod logs {name} -n 100"))
        .hint("see what the host lacks: ragpod doctor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_up_is_not_taken_for_stopped() {
        let rising = |active: &str, job: Option<&str>| {
            let mut alive = Alive::default();
            let unit = UnitState {
                name: "x".into(),
                load: "loaded".into(),
                active: active.into(),
                sub: String::new(),
                job: job.map(str::to_owned),
            };
            alive.see(Part::Postgres, &unit);
            alive.is_rising()
        };
        for (active, job) in [
            ("active", None),
            ("activating", None),
            ("activating", Some("start")),
            ("inactive", Some("start")),
            ("deactivating", Some("restart")),
        ] {
            assert!(rising(active, job), "{active} {job:?}");
        }
        for (active, job) in
            [("inactive", None), ("failed", None), ("deactivating", None), ("active", Some("stop"))]
        {
            assert!(!rising(active, job), "{active} {job:?}");
        }
    }
}
