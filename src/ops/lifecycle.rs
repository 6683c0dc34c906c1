//! Starting, stopping and restarting what is installed, and what to say when it fails.

use std::collections::BTreeSet;

use super::progress::{Phase, Progress};
use super::{Ctx, Waiting, manifests, secrets};
use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::install::UnitDir;
use crate::journal;
use crate::model::{Name, Part};
pub use crate::systemd::Action;
use crate::systemd::{self, End, JobEvent, JobOptions, JobResult, Report, Systemd};

/// `start`, `stop` or `restart` of an installed instance.
///
/// # Errors
/// [`Kind::NoInstance`], [`Kind::NotRunning`] when its units are not installed, [`Kind::Unit`]
/// with what the failed service said.
pub async fn change(ctx: Ctx<'_>, name: &Name, action: Action, waiting: Waiting) -> Result<()> {
    let dir = UnitDir::new(ctx.env);
    let installed = || -> Result<BTreeSet<Part>> {
        let parts = dir.parts_of(name)?;
        if !parts.is_empty() {
            return Ok(parts);
        }
        if !manifests::exists(ctx.env, name) {
            return Err(manifests::no_instance(ctx.env, name));
        }
        Err(Error::new(Kind::NotRunning, format!("{name} is not installed"))
            .hint(format!("install and start it: ragpod up {name}")))
    };
    installed()?;
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = secrets::lock(ctx, name)?;
    // Again: whoever held the lock may have changed it.
    let parts = installed()?;
    let services: Vec<Part> = parts.into_iter().filter(|p| p.is_running_service()).collect();
    match action {
        Action::Start | Action::Stop => drive(ctx, &bus, name, &services, action, waiting).await,
        // One after the other: a restart of each by itself would move the pod several times.
        Action::Restart => {
            drive(ctx, &bus, name, &services, Action::Stop, Waiting::default()).await?;
            drive(ctx, &bus, name, &services, Action::Start, waiting).await
        }
    }
}

/// The parts of an instance whose services are active.
pub(super) async fn active(bus: &Systemd, name: &Name) -> Result<BTreeSet<Part>> {
    let services: Vec<String> = Part::ALL.iter().map(|p| p.service(name)).collect();
    let units = bus.named(&services).await?;
    Ok(Part::ALL
        .into_iter()
        .zip(units)
        .filter(|(_, unit)| unit.active == "active")
        .map(|(part, _)| part)
        .collect())
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
    // A stop of what systemd does not know is done already.
    let services: Vec<String> = if action == Action::Stop {
        let known = bus.named(&services).await?;
        let idle = |u: &systemd::UnitState| {
            u.load == "not-found" || (u.active == "inactive" && u.job.is_none())
        };
        known.into_iter().filter(|u| !idle(u)).map(|u| u.name).collect()
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
    let started = jiff::Timestamp::now().as_microsecond();
    let report = bus
        .run(action, &services, &options, &mut |event| tell(ctx.progress, name, action, &event))
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
    let lines = journal::tail(service, 15, u64::try_from(since).ok()).unwrap_or_default();
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

/// What `logs` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery<'a> {
    /// Only these parts; all when empty.
    pub parts: &'a [Part],
    /// Go on printing.
    pub follow: bool,
    /// Only the last lines.
    pub lines: Option<u32>,
    /// Only lines since then, in journalctl's words.
    pub since: Option<&'a str>,
    /// As JSON, a document a line.
    pub json: bool,
}

/// The command that prints what an instance's services wrote.
pub fn logs(ctx: Ctx<'_>, name: &Name, query: LogQuery<'_>) -> Result<Cmd> {
    if !manifests::exists(ctx.env, name) && UnitDir::new(ctx.env).parts_of(name)?.is_empty() {
        return Err(manifests::no_instance(ctx.env, name));
    }
    let parts = if query.parts.is_empty() { &Part::ALL } else { query.parts };
    let services: Vec<String> = parts.iter().map(|p| p.service(name)).collect();
    let show = journal::Show {
        follow: query.follow,
        lines: query.lines,
        since: query.since.map(ToOwned::to_owned),
        output: query.json.then(|| "json".to_owned()),
    };
    Ok(journal::show(&services, &show))
}
