//! What is asked of services, and what became of it.

use std::time::Duration;

use super::props::ServiceProps;

/// What is to be done with the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start them; those that run are left alone.
    Start,
    /// Stop them.
    Stop,
    /// Stop and start them; those that do not run are started.
    Restart,
}

impl Action {
    pub(super) fn verb(self) -> &'static str {
        match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Restart => "restart",
        }
    }
}

/// How a job ended (org.freedesktop.systemd1(5), `JobRemoved`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// It did what it should.
    Done,
    /// The unit failed.
    Failed,
    /// A unit that it needs failed.
    Dependency,
    /// systemd gave up waiting for it (`JobTimeoutSec=`).
    Timeout,
    /// Somebody cancelled it, or queued the contrary.
    Canceled,
    /// It did not apply to the unit's state, or a condition was not met.
    Skipped,
    /// Our own time was over before its end.
    Unfinished,
    /// A result that this version does not know.
    Other(String),
}

impl JobResult {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "done" => Self::Done,
            "failed" => Self::Failed,
            "dependency" => Self::Dependency,
            "timeout" => Self::Timeout,
            "canceled" => Self::Canceled,
            "skipped" => Self::Skipped,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether the unit is now as it should be. A skipped start is one whose condition is not met.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::Done
    }
}

impl std::fmt::Display for JobResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dependency => "not started, because a unit that it needs failed",
            Self::Timeout => "timed out",
            Self::Canceled => "cancelled",
            Self::Skipped => "skipped",
            Self::Unfinished => "not finished in time",
            Self::Other(other) => other,
        })
    }
}

/// News of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// The service.
    pub service: String,
    /// What happened.
    pub progress: Progress,
}

/// What happened to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its job is queued, and waits for other units.
    Queued,
    /// Its state changed: `activating`/`start` while its health is awaited, and so on.
    State {
        /// `active`, `activating`, `inactive`, `failed`, `deactivating`.
        active: String,
        /// `running`, `start`, `auto-restart`, ….
        sub: String,
    },
    /// Its start failed, and systemd tries again.
    Retrying,
    /// Its job ended.
    Finished(JobResult),
}

/// How long and how patiently jobs are followed.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// The time for everything; jobs that are not done then are cancelled.
    pub timeout: Duration,
    /// How often states are looked at in between.
    pub poll: Duration,
    /// How many automatic restarts of a service whose start failed are waited for.
    pub retries: u32,
    /// Whether Ctrl-C ends the waiting (and nothing else). From then on this process does not die
    /// of SIGINT any more: what comes next must end by itself.
    pub interruptible: bool,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            poll: Duration::from_millis(250),
            retries: 2,
            interruptible: false,
        }
    }
}

/// How the following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every job ended.
    Complete,
    /// The time was over; the jobs that were left have been cancelled.
    TimedOut,
    /// The user pressed Ctrl-C; the jobs go on.
    Interrupted,
}

/// What became of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The service.
    pub service: String,
    /// Its job's result; [`JobResult::Done`] also for a service that came up after `retried`.
    pub result: JobResult,
    /// Whether systemd had to start it more than once.
    pub retried: bool,
    /// Its properties afterwards.
    pub props: ServiceProps,
}

/// What became of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub end: End,
    /// Each service, in the order asked for.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.end == End::Complete && self.failures().next().is_none()
    }

    /// The services that are not as they should be, the cause before the consequence: those that
    /// failed themselves before those that only needed them.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        let bad = |o: &&Outcome| !o.result.is_good();
        let consequence = |o: &&Outcome| o.result == JobResult::Dependency;
        self.outcomes
            .iter()
            .filter(bad)
            .filter(move |o| !consequence(o))
            .chain(self.outcomes.iter().filter(bad).filter(consequence))
    }
}
