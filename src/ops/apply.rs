//! A set of units made true: installed, run, judged, and taken back when it does not become
//! healthy.
//!
//! What is about to be done is on disk before anything is touched ([`Intent`]), and every set that
//! was installed is kept ([`History`]). A command that is killed leaves the old set or the new
//! one, and the next command knows from the record what was there before.

use std::collections::BTreeSet;
use std::time::Duration;

use super::changes::{Restart, all_run, changed, marks, networks_of, restarts};
use super::lifecycle::{self, Alive};
use super::{Ctx, Waiting, rollback, secrets, units};
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::install::{Generation, History, Intent, Set, State, UnitDir};
use crate::model::{Name, Part};
use crate::podman::Podman;
use crate::systemd::{Action, Systemd};

/// What a set of units is made true with. The instance's lock is held.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub ctx: Ctx<'a>,
    pub podman: &'a Podman,
    pub bus: &'a Systemd,
    pub name: &'a Name,
    pub waiting: Waiting,
    /// Have it run; else it is only installed. What runs is never stopped by that.
    pub start: bool,
    /// Put the old set back when the new one does not become healthy.
    pub roll_back: bool,
    /// The command that completes this one when it is cut off.
    pub redo: &'a str,
}

/// What was found to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was up, and as wanted.
    Unchanged,
    /// It was up, and only what it does by itself is another now.
    Scheduled,
    /// It was not running, or not all of it.
    Started,
    /// It was running; these parts were restarted with what changed.
    Changed(Vec<Part>),
    /// The jobs are queued and nobody waited for them.
    Queued,
    /// It is installed and as wanted, and nothing of it runs.
    Installed,
}

impl Outcome {
    /// For programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Scheduled => "scheduled",
            Outcome::Started => "started",
            Outcome::Changed(_) => "changed",
            Outcome::Queued => "queued",
            Outcome::Installed => "installed",
        }
    }

    /// For people.
    #[must_use]
    pub fn sentence(&self, name: &Name) -> String {
        match self {
            Outcome::Unchanged => format!("{name} is up; nothing has changed"),
            Outcome::Scheduled => format!("{name} is up; its schedule has changed"),
            Outcome::Started => format!("{name} is up"),
            Outcome::Changed(parts) => {
                let parts: Vec<&str> = parts.iter().map(|p| p.label()).collect();
                format!("{name} is up; restarted with what changed: {}", parts.join(", "))
            }
            Outcome::Queued => format!("{name} is starting"),
            Outcome::Installed => format!("{name} is installed and does not run"),
        }
    }
}

/// Makes a set of units the one that is installed and runs; gives what there was to do, and the
/// number of the generation that it is. `known`: that number, where the caller knows it; `origin`:
/// where a new generation comes from.
///
/// # Errors
/// What kept it from that. When nothing was installed, all is as it was; when the new set did not
/// become healthy and the old one was, the old one is back, and the error says so.
pub(super) async fn apply(
    job: &Job<'_>,
    state: &mut State,
    wanted: &Set,
    known: Option<u32>,
    origin: Origin<'_>,
) -> Result<(Outcome, u32)> {
    let (name, dir) = (job.name, job.ctx.env.state());
    let mut history = History::load(&dir, name)?;
    let earlier = Intent::load(&dir, name)?;
    let active = lifecycle::alive(job.bus, name).await?.active;
    let current = recognise(job, state, &mut history, wanted)?;
    if let Some(Intent { doing, pid, .. }) = &earlier {
        job.ctx.progress.warn(&format!(
            "`{doing}` (pid {pid}) did not finish; this command takes over from there"
        ));
        forget_unused(&mut history, earlier.as_ref(), &[current, known])?;
    }
    let same = known.or_else(|| history.same_as(wanted, &[current, history.latest()]));
    let number = same.unwrap_or_else(|| history.next());
    let settled = earlier.is_none()
        && current == Some(number)
        && changed(&marks(wanted), state, name, wanted).is_empty();
    let intent = intent(job, &mut history, earlier.as_ref(), current, &active, number)?;
    let mut touched = false;
    let done = async {
        if !settled {
            intent.save(&dir, name)?;
            fault::point("intent");
        }
        if same.is_none() {
            history.add(origin.cause, timestamp(), origin.copy_of, wanted.clone())?;
            fault::point("generation");
        }
        let start = job.start || active.iter().any(|part| part.is_running_service());
        let run = Run { number, start, thorough: earlier.is_some() };
        carry_out(job, state, wanted, run, &mut touched).await
    };
    let error = match done.await {
        Ok(outcome) => {
            if job.waiting.wait && outcome != Outcome::Installed {
                history.found_healthy(number)?;
            }
            if !settled {
                fault::point("healthy");
                if job.waiting.wait {
                    secrets::prune(job.podman, state, name, &wanted.secrets)?;
                }
                history.prune(&[Some(number), intent.from])?;
                fault::point("pruned");
                Intent::end(&dir, name)?;
                fault::point("ended");
            }
            return Ok((outcome, number));
        }
        Err(error) => error,
    };
    // What went wrong first is what counts: what fails from here on does not replace it.
    if !touched {
        // All is as it was, and so are the records.
        if same.is_none() {
            let _ = history.remove(number);
        }
        let _ = match &earlier {
            Some(earlier) => earlier.save(&dir, name),
            None => Intent::end(&dir, name),
        };
        return Err(error);
    }
    // Interrupted, the bus or the disk is gone: the next run goes on from the record.
    if matches!(error.kind, Kind::Interrupted | Kind::Host | Kind::Io) {
        return Err(error);
    }
    let back = intent.from.filter(|from| job.roll_back && intent.was_healthy && *from != number);
    let error = match back.and_then(|from| history.get(from)).cloned() {
        Some(old) => match go_back(job, state, &mut history, &intent, &old, error).await {
            Ok(error) => error,
            // Not back: the record stays, so that the next run knows what there is to go back to.
            Err(error) => return Err(error),
        },
        None => error,
    };
    let _ = history.prune(&[state.generation, intent.from]);
    let _ = Intent::end(&dir, name);
    Err(error)
}

/// Where a new generation comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    /// What made it, for people.
    pub cause: &'a str,
    /// The generation that it is as near to as this host can come.
    pub copy_of: Option<u32>,
}

/// What this command is about to do, and what there was before. What was before an unfinished
/// change is what there is to go back to.
fn intent(
    job: &Job<'_>,
    history: &mut History,
    earlier: Option<&Intent>,
    current: Option<u32>,
    active: &BTreeSet<Part>,
    number: u32,
) -> Result<Intent> {
    let now = Intent {
        doing: job.ctx.summary.to_owned(),
        redo: job.redo.to_owned(),
        pid: std::process::id(),
        from: None,
        was_healthy: false,
        was_running: active.iter().any(|part| part.is_running_service()),
        start: job.start || active.iter().any(|part| part.is_running_service()),
        to: Some(number),
    };
    if let Some(Intent { from, was_healthy, was_running, .. }) = earlier {
        let (from, was_healthy, was_running) = (*from, *was_healthy, *was_running);
        return Ok(Intent { from, was_healthy, was_running, ..now });
    }
    let Some(before) = current.and_then(|n| history.get(n)).cloned() else { return Ok(now) };
    if before.is_by_hand() {
        // Whether that ever ran is not known: the last that did is what there is to go back to.
        let from = history.healthy_before(Some(before.number)).map(|g| g.number);
        return Ok(Intent { from, was_healthy: from.is_some(), ..now });
    }
    if all_run(&before.set, active) {
        // Nobody waited for it when it was started.
        history.found_healthy(before.number)?;
    }
    let was_healthy = before.healthy || all_run(&before.set, active);
    Ok(Intent { from: Some(before.number), was_healthy, ..now })
}

/// The generation whose units are installed; `None` when none are, or when those are that are
/// wanted and no generation has them.
///
/// Units that no generation has were edited by hand, or installed by a ragpod that kept none:
/// they become one, so that nothing is replaced that cannot be put back. What runs of them is not
/// known.
fn recognise(
    job: &Job<'_>,
    state: &mut State,
    history: &mut History,
    wanted: &Set,
) -> Result<Option<u32>> {
    let installed = UnitDir::new(job.ctx.env).read()?.of(job.name);
    let known = state.generation.and_then(|n| history.get(n)).cloned();
    if installed.is_empty() {
        return Ok(None);
    }
    if let Some(known) = &known
        && known.set.units == installed
    {
        return Ok(Some(known.number));
    }
    if let Some(found) = history.of_units(&installed) {
        return Ok(Some(found.number));
    }
    if installed == wanted.units {
        return Ok(None);
    }
    let known = known.map(|g| g.set).unwrap_or_default();
    for (file, text) in &installed {
        if known.units.get(file) != Some(text) {
            state.applied.remove(file);
        }
    }
    let set = Set {
        units: installed,
        manifest: None,
        podman: wanted.podman.clone(),
        images: known.images,
        secrets: known.secrets,
    };
    let number = history.add("edited by hand", timestamp(), None, set)?;
    job.ctx.progress.warn(&format!(
        "units of {} were edited by hand; they are kept as generation {number}",
        job.name
    ));
    Ok(Some(number))
}

/// Removes the generation that a killed command wrote down and never installed.
fn forget_unused(
    history: &mut History,
    earlier: Option<&Intent>,
    used: &[Option<u32>],
) -> Result<()> {
    let Some(number) = earlier.and_then(|intent| intent.to) else { return Ok(()) };
    let unused = !used.contains(&Some(number)) && history.latest() == Some(number);
    if unused && history.get(number).is_some_and(|g| !g.healthy) {
        history.remove(number)?;
    }
    Ok(())
}

/// Puts the old set back. Gives the error of the new one, with what became of the old one; as an
/// error when it is not back.
async fn go_back(
    job: &Job<'_>,
    state: &mut State,
    history: &mut History,
    intent: &Intent,
    old: &Generation,
    mut error: Error,
) -> Result<Error> {
    let (name, number) = (job.name, old.number);
    job.ctx.progress.warn(&format!("{}; going back to generation {number}", error.message));
    fault::point("back");
    let patience = job.waiting.timeout.max(Duration::from_secs(180));
    let calm = Job { waiting: Waiting { timeout: patience, wait: true }, ..*job };
    let back = async {
        // With the secrets that it had: a new one may be what went wrong.
        let set = rollback::ready(&calm, state, old, rollback::Secrets::AsTheyWere)?;
        let number = if set == old.set {
            number
        } else {
            let cause = format!("back to generation {number}");
            history.add(&cause, timestamp(), Some(number), set.clone())?
        };
        let run = Run { number, start: intent.was_running, thorough: true };
        carry_out(&calm, state, &set, run, &mut false).await?;
        if intent.was_running {
            history.found_healthy(number)?;
        }
        Ok::<_, Error>(())
    };
    match back.await {
        Ok(()) => {
            let runs = if intent.was_running { "runs again" } else { "is installed again" };
            error.message =
                format!("{}; generation {number}, as it was before, {runs}", error.message);
            let look =
                format!("leave the new one in place to look at it: {} --no-rollback", job.redo);
            Ok(error
                .hint(format!("see what is wanted and what is installed: ragpod diff {name}"))
                .hint(look))
        }
        Err(e) => {
            if e.kind == Kind::Interrupted {
                error.kind = e.kind;
            }
            Err(error
                .cause(format!("going back to generation {number} failed too: {e}"))
                .hint(format!("try it again: ragpod rollback {name} --to {number}")))
        }
    }
}

/// How a set is made true.
#[derive(Clone, Copy)]
struct Run {
    /// The generation that it is.
    number: u32,
    /// Have it run; else it is only installed, and what runs of another one is stopped.
    start: bool,
    /// Look for what another set has left.
    thorough: bool,
}

/// Installs a set and has it run, or only installs it and stops what runs of the other.
/// `touched` becomes true as soon as anything is not as it was.
async fn carry_out(
    job: &Job<'_>,
    state: &mut State,
    wanted: &Set,
    run: Run,
    touched: &mut bool,
) -> Result<Outcome> {
    let Job { ctx, bus, name, waiting, .. } = *job;
    let (dir, number) = (ctx.env.state(), run.number);
    units::install(job, wanted, run.thorough, touched).await?;
    let marks = marks(wanted);
    let changed = changed(&marks, state, name, wanted);
    if state.generation != Some(number) || !changed.is_empty() {
        *touched = true;
        state.generation = Some(number);
        // What is restarted below runs with the one or the other until that is done.
        state.applied.retain(|file, _| {
            Part::of_file(file).is_some_and(|(_, part)| !changed.contains(&part))
        });
        state.save(&dir, name)?;
        fault::point("recorded");
    }
    let Alive { active, moving, .. } = lifecycle::alive(bus, name).await?;
    let restart = restarts(&changed, &moving);
    let outcome = match &restart {
        Restart::Nothing if all_run(wanted, &active) => Outcome::Unchanged,
        Restart::Nothing => Outcome::Started,
        Restart::Some(parts) => Outcome::Changed(parts.clone()),
        Restart::All { .. } if moving.is_empty() => Outcome::Started,
        Restart::All { .. } => Outcome::Changed(vec![Part::Pod]),
    };
    match restart {
        _ if !run.start => stop_all(job, &networks_of(&changed)).await?,
        Restart::Nothing => {}
        Restart::Some(parts) => {
            lifecycle::drive(ctx, bus, name, &parts, Action::Restart, waiting).await?;
            fault::point("restarted");
        }
        Restart::All { networks } => {
            stop_all(job, &networks).await?;
            fault::point("stopped");
        }
    }
    if !run.start {
        // Failures of the other set are no failures of this one.
        let services: Vec<String> = wanted.parts().iter().map(|p| p.service(name)).collect();
        bus.reset_failed(&services).await?;
        if !job.start && state.applied != marks {
            // Nothing runs, so whatever is started next is started with these.
            state.applied = marks;
            state.save(&dir, name)?;
        }
        return Ok(Outcome::Installed);
    }
    if outcome != Outcome::Unchanged {
        *touched = true;
        let parts: Vec<Part> = wanted.parts().into_iter().collect();
        lifecycle::drive(ctx, bus, name, &parts, Action::Start, waiting).await?;
        fault::point("started");
    }
    if state.applied != marks {
        state.applied = marks;
        state.save(&dir, name)?;
        fault::point("applied");
    }
    Ok(if waiting.wait || outcome == Outcome::Unchanged { outcome } else { Outcome::Queued })
}

/// Stops everything and removes these networks: a network's unit makes it only where there is
/// none.
async fn stop_all(job: &Job<'_>, networks: &[Part]) -> Result<()> {
    let Job { ctx, bus, name, .. } = *job;
    let mut stop: Vec<Part> = Part::ALL.into_iter().filter(|p| p.is_running_service()).collect();
    stop.extend(networks);
    lifecycle::drive(ctx, bus, name, &stop, Action::Stop, Waiting::default()).await?;
    let networks: Vec<String> = networks.iter().map(|n| n.podman_name(name)).collect();
    job.podman.network_rm(&networks)
}

/// Now, by the host's clock, for people: nothing is decided by it.
fn timestamp() -> String {
    fault::now().to_string()
}
