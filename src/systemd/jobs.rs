//! Jobs: submitted, followed to their ends, and judged.
//!
//! `StartUnit` only queues a job. Its end is a signal that may come before the call's own answer,
//! so the signals are listened to first, and every one is kept. The job's result is what counts:
//! a unit's state in between says little. One exception: a service with `Restart=` whose first
//! start failed is started again by systemd, with a job of systemd's own. It is watched for
//! [`JobOptions::retries`] more starts, and what it came to is reported.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{interval, sleep};
use zbus::OwnedObjectPath;

use super::client::{Systemd, UnitState, call_failed, error_name, lost};
use super::props::ServiceProps;
use super::proxy::JobRemovedStream;
use super::report::{Action, End, JobEvent, JobOptions, JobResult, Outcome, Progress, Report};
use crate::error::{Error, Kind, Result};

/// One service's job, while it is followed.
struct Tracked {
    service: String,
    /// Unset until the call that queued it is answered.
    job: Option<OwnedObjectPath>,
    result: Option<JobResult>,
    retried: bool,
    /// How many automatic restarts have been told.
    restarts: u32,
    seen: (String, String),
}

impl Tracked {
    /// Its job ended badly, and yet it may come up by itself.
    fn is_down(&self) -> bool {
        matches!(&self.result, Some(result) if !result.is_good())
    }
}

struct Follow<'a> {
    action: Action,
    all: Vec<Tracked>,
    /// Every job that ended since we listen, also those that are not known to be ours yet.
    ended: HashMap<OwnedObjectPath, JobResult>,
    tell: &'a mut dyn FnMut(JobEvent),
}

impl Follow<'_> {
    fn event(&mut self, index: usize, progress: Progress) {
        let service = self.all[index].service.clone();
        (self.tell)(JobEvent { service, progress });
    }

    /// Matches ended jobs with ours.
    fn settle(&mut self) {
        for index in 0..self.all.len() {
            let tracked = &mut self.all[index];
            if tracked.result.is_some() {
                continue;
            }
            let ended = tracked.job.as_ref().and_then(|job| self.ended.get(job)).cloned();
            if let Some(result) = ended {
                tracked.result = Some(result.clone());
                self.event(index, Progress::Finished(result));
            }
        }
    }

    /// Tells what has changed.
    fn observe(&mut self, units: &[UnitState]) {
        for index in 0..self.all.len() {
            let tracked = &mut self.all[index];
            let Some(unit) = units.iter().find(|u| u.name == tracked.service) else { continue };
            let now = (unit.active.clone(), unit.sub.clone());
            if tracked.seen == now {
                continue;
            }
            tracked.seen = now.clone();
            // Before its job runs it is told as queued, and its end as finished.
            let edge = ["active", "inactive"].contains(&unit.active.as_str());
            if edge || tracked.result.as_ref().is_some_and(JobResult::is_good) {
                continue;
            }
            let (active, sub) = now;
            self.event(index, Progress::State { active, sub });
        }
    }

    fn jobs_are_done(&self) -> bool {
        self.all.iter().all(|t| t.result.is_some())
    }
}

impl Systemd {
    /// Does one thing with services and follows it to its end. Services that systemd moves along
    /// (a pod's containers) should be named too: only what is named is followed and reported.
    ///
    /// # Errors
    /// A job that systemd does not even queue ([`Kind::Unit`]: no such unit, masked, a cycle), and
    /// a bus that goes away ([`Kind::Host`]). A job that fails is in the report.
    pub async fn run<S: AsRef<str>>(
        &self,
        action: Action,
        services: &[S],
        options: &JobOptions,
        tell: &mut dyn FnMut(JobEvent),
    ) -> Result<Report> {
        let names: Vec<String> = services.iter().map(|s| s.as_ref().to_owned()).collect();
        let mut follow = Follow {
            action,
            all: names
                .iter()
                .map(|service| Tracked {
                    service: service.clone(),
                    job: None,
                    result: None,
                    retried: false,
                    restarts: 0,
                    seen: Default::default(),
                })
                .collect(),
            ended: HashMap::new(),
            tell,
        };
        let what = format!("{} {}", action.verb(), names.join(" "));
        let end = tokio::select! {
            biased;
            done = self.follow(&mut follow, options) => match done {
                Ok(()) => End::Complete,
                Err(e) => {
                    // What was queued before the refusal is taken back: half an action is none.
                    self.cancel(&follow).await;
                    return Err(e);
                }
            },
            () = self.connection.closed() => return Err(lost(&what)),
            () = sleep(options.timeout) => End::TimedOut,
            () = interrupt(options.interruptible) => End::Interrupted,
        };
        if end == End::TimedOut {
            self.cancel(&follow).await;
        }
        let look = tokio::time::timeout(Duration::from_secs(10), self.properties_of(&names));
        let props = match (look.await, end) {
            (Ok(Ok(props)), _) => props,
            (Ok(Err(e)), End::Complete) => return Err(e),
            // The manager is stuck: the report says so without its help.
            _ => names
                .iter()
                .map(|s| ServiceProps { service: s.clone(), ..ServiceProps::default() })
                .collect(),
        };
        let outcomes = follow.all.into_iter().zip(props).map(|(tracked, props)| Outcome {
            service: tracked.service,
            result: tracked.result.unwrap_or(JobResult::Unfinished),
            retried: tracked.retried,
            props,
        });
        Ok(Report { action, end, outcomes: outcomes.collect() })
    }

    /// Queues jobs and does not follow them.
    pub async fn queue_all<S: AsRef<str>>(&self, action: Action, services: &[S]) -> Result<()> {
        if action != Action::Stop {
            self.reset_failed(services).await?;
        }
        for service in services {
            self.queue(action, service.as_ref()).await?;
        }
        Ok(())
    }

    /// Everything up to the end of the last job.
    async fn follow(&self, follow: &mut Follow<'_>, options: &JobOptions) -> Result<()> {
        match self.manager.subscribe().await {
            Err(e) if error_name(&e) == Some("org.freedesktop.systemd1.AlreadySubscribed") => {}
            result => result.map_err(|e| call_failed("listen to systemd", &e))?,
        }
        let mut signals = self
            .manager
            .receive_job_removed()
            .await
            .map_err(|e| call_failed("listen to systemd", &e))?;
        let names: Vec<String> = follow.all.iter().map(|t| t.service.clone()).collect();
        if follow.action != Action::Stop {
            let reset = self.reset_failed(&names);
            meanwhile(&mut signals, &mut follow.ended, reset).await?;
        }
        for (index, service) in names.iter().enumerate() {
            let queue = self.queue(follow.action, service);
            let job = meanwhile(&mut signals, &mut follow.ended, queue).await?;
            follow.all[index].job = Some(job);
            follow.event(index, Progress::Queued);
            follow.settle();
        }
        let mut tick = interval(options.poll);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !follow.jobs_are_done() {
            tokio::select! {
                signal = signals.next() => {
                    note(signal, &mut follow.ended)?;
                    follow.settle();
                }
                _ = tick.tick() => {
                    let look = self.named(&names);
                    let units = meanwhile(&mut signals, &mut follow.ended, look).await?;
                    follow.observe(&units);
                    follow.settle();
                }
            }
        }
        if follow.action != Action::Stop {
            while self.may_come_up(follow, options, &mut signals).await? {
                let wait = async {
                    tick.tick().await;
                    Ok(())
                };
                meanwhile(&mut signals, &mut follow.ended, wait).await?;
            }
        }
        Ok(())
    }

    /// Looks at the services whose jobs ended badly: whether systemd is still trying.
    async fn may_come_up(
        &self,
        follow: &mut Follow<'_>,
        options: &JobOptions,
        signals: &mut JobRemovedStream,
    ) -> Result<bool> {
        let down: Vec<usize> = (0..follow.all.len()).filter(|i| follow.all[*i].is_down()).collect();
        if down.is_empty() {
            return Ok(false);
        }
        let names: Vec<String> = down.iter().map(|i| follow.all[*i].service.clone()).collect();
        let look = self.properties_of(&names);
        let props = meanwhile(signals, &mut follow.ended, look).await?;
        let mut trying = false;
        for (index, props) in down.into_iter().zip(props) {
            let tracked = &mut follow.all[index];
            if props.is_active() {
                tracked.result = Some(JobResult::Done);
                tracked.retried = true;
                follow.event(index, Progress::Finished(JobResult::Done));
            } else if props.is_moving() && props.n_restarts <= options.retries {
                trying = true;
                if tracked.restarts != props.n_restarts {
                    tracked.restarts = props.n_restarts;
                    follow.event(index, Progress::Retrying);
                }
            }
        }
        Ok(trying)
    }

    async fn queue(&self, action: Action, service: &str) -> Result<OwnedObjectPath> {
        // "replace": our job takes the place of a contrary one that is queued already.
        let job = match action {
            Action::Start => self.manager.start_unit(service, "replace").await,
            Action::Stop => self.manager.stop_unit(service, "replace").await,
            Action::Restart => self.manager.restart_unit(service, "replace").await,
        };
        job.map_err(|e| {
            let mut error = call_failed(&format!("{} {service}", action.verb()), &e);
            if error.kind == Kind::Failed {
                error.kind = Kind::Unit;
            }
            error
        })
    }

    /// Cancels what has not ended; that a job ended meanwhile is no error.
    async fn cancel(&self, follow: &Follow<'_>) {
        for tracked in follow.all.iter().filter(|t| t.result.is_none()) {
            let id = tracked.job.as_ref().and_then(|j| j.as_str().rsplit('/').next()?.parse().ok());
            if let Some(id) = id {
                let cancel = self.manager.cancel_job(id);
                let _ = tokio::time::timeout(Duration::from_secs(5), cancel).await;
            }
        }
    }
}

/// Waits for an answer and takes in the signals that come first: while they are not taken, the
/// connection's queue fills up and the answer cannot come through.
async fn meanwhile<T>(
    signals: &mut JobRemovedStream,
    ended: &mut HashMap<OwnedObjectPath, JobResult>,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            signal = signals.next() => note(signal, ended)?,
        }
    }
}

fn note(
    signal: Option<super::proxy::JobRemoved>,
    ended: &mut HashMap<OwnedObjectPath, JobResult>,
) -> Result<()> {
    let signal = signal.ok_or_else(|| lost("follow the jobs"))?;
    let args = signal.args().map_err(|e| {
        Error::failed("systemd sent a signal that ragpod does not understand").cause(e.to_string())
    })?;
    ended.insert(args.job.clone(), JobResult::parse(&args.result));
    Ok(())
}

async fn interrupt(enabled: bool) {
    if enabled {
        crate::exec::interrupted().await;
    } else {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
