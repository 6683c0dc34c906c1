//! What each tool gives: structured content, and the same as text for clients that show that.

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

use crate::error::{Error, Kind};
use crate::ops::ask;
use crate::ops::engine::Summary;
use crate::ops::status::{Documents, InstanceStatus};
use crate::output::human_bytes;

/// A result of a tool, as text.
pub(super) trait Text {
    fn text(&self) -> String;
}

/// A file that an answer rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Source {
    /// The file's path as the instance sees it.
    path: String,
    /// How near it is to the question, from 0 to 1.
    score: f64,
    /// Its best passage.
    #[serde(skip_serializing_if = "Option::is_none")]
    passage: Option<String>,
}

impl From<ask::Source> for Source {
    fn from(source: ask::Source) -> Self {
        let ask::Source { path, score, passage } = source;
        Self { path, score, passage }
    }
}

/// `query`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Answered {
    instance: String,
    mode: String,
    answer: String,
    /// The files that the answer rests on, best first.
    sources: Vec<Source>,
}

impl From<ask::Answer> for Answered {
    fn from(answer: ask::Answer) -> Self {
        let ask::Answer { instance, mode, answer, sources } = answer;
        Self { instance, mode, answer, sources: sources.into_iter().map(Source::from).collect() }
    }
}

impl Text for Answered {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.answer);
        if !self.sources.is_empty() {
            text.push_str("\nSources:\n");
        }
        for source in &self.sources {
            text.push_str(&format!("- {} ({:.2})\n", source.path, source.score));
        }
        text
    }
}

/// `search`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Found {
    instance: String,
    mode: String,
    /// The passages that were found, best first, each below its file's path in brackets.
    context: String,
    /// The files that they are from, best first.
    sources: Vec<Source>,
}

impl From<ask::Answer> for Found {
    fn from(answer: ask::Answer) -> Self {
        let ask::Answer { instance, mode, answer: context, sources } = answer;
        Self { instance, mode, context, sources: sources.into_iter().map(Source::from).collect() }
    }
}

impl Text for Found {
    fn text(&self) -> String {
        self.context.clone()
    }
}

/// How many documents are in which state.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Counts {
    processed: u64,
    failed: u64,
    pending: u64,
}

impl From<Documents> for Counts {
    fn from(d: Documents) -> Self {
        Self { processed: d.processed, failed: d.failed, pending: d.pending }
    }
}

/// An instance of `list_instances`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listed {
    /// What the other tools take as `instance`.
    name: String,
    /// `running` is ready for questions; else `not-installed`, `stopped`, `starting`, `degraded` or
    /// `failed`.
    state: String,
    /// Its documents; null while nothing was counted.
    documents: Option<Counts>,
    /// When something was last ingested.
    last_ingest: Option<String>,
    /// What is wrong with it.
    problem: Option<String>,
}

impl From<InstanceStatus> for Listed {
    fn from(status: InstanceStatus) -> Self {
        Self {
            state: status.state.as_str().to_owned(),
            name: status.name,
            documents: status.documents.map(Counts::from),
            last_ingest: status.last_ingest,
            problem: status.problem,
        }
    }
}

impl Listed {
    /// One whose state cannot be told.
    pub(super) fn unknown(name: String, error: &Error) -> Self {
        Self {
            name,
            state: if error.kind == Kind::NoInstance { "not-installed" } else { "failed" }
                .to_owned(),
            documents: None,
            last_ingest: None,
            problem: Some(error.to_string()),
        }
    }

    fn line(&self) -> String {
        let documents = match &self.documents {
            Some(d) => {
                format!(", {} documents ({} failed, {} pending)", d.processed, d.failed, d.pending)
            }
            None => String::new(),
        };
        let ingest = self.last_ingest.as_ref().map(|at| format!(", last ingest {at}"));
        let problem = self.problem.as_ref().map(|p| format!(", problem: {p}"));
        format!(
            "{}: {}{documents}{}{}\n",
            self.name,
            self.state,
            ingest.unwrap_or_default(),
            problem.unwrap_or_default()
        )
    }
}

/// `list_instances`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Instances {
    pub instances: Vec<Listed>,
}

impl Text for Instances {
    fn text(&self) -> String {
        self.instances.iter().map(Listed::line).collect()
    }
}

/// A service of `status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Service {
    /// The systemd unit.
    unit: String,
    active_state: String,
    sub_state: String,
    /// How often it was restarted by itself.
    restarts: u32,
    memory_bytes: Option<u64>,
}

/// `status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    name: String,
    /// `running` is ready for questions; else `not-installed`, `stopped`, `starting`, `degraded` or
    /// `failed`.
    state: String,
    health: String,
    services: Vec<Service>,
    /// Its documents; null while nothing was counted.
    documents: Option<Counts>,
    /// When something was last ingested.
    last_ingest: Option<String>,
    /// What is wrong with it.
    problem: Option<String>,
    #[serde(skip)]
    line: String,
}

impl From<InstanceStatus> for Status {
    fn from(mut status: InstanceStatus) -> Self {
        let service = |s: crate::ops::status::ServiceStatus| Service {
            unit: s.unit,
            active_state: s.active_state,
            sub_state: s.sub_state,
            restarts: s.restarts,
            memory_bytes: s.memory_bytes,
        };
        let services = std::mem::take(&mut status.services).into_iter().map(service).collect();
        let health = status.health.to_owned();
        let listed = Listed::from(status);
        let line = listed.line();
        let Listed { name, state, documents, last_ingest, problem } = listed;
        Self { name, state, health, services, documents, last_ingest, problem, line }
    }
}

impl Text for Status {
    fn text(&self) -> String {
        let mut text = self.line.clone();
        for s in &self.services {
            let memory =
                s.memory_bytes.map_or_else(String::new, |b| format!(", {}", human_bytes(b)));
            text.push_str(&format!(
                "- {}: {} ({}), {} restarts{memory}\n",
                s.unit, s.active_state, s.sub_state, s.restarts
            ));
        }
        text
    }
}

/// A file and what was the matter with it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reason {
    path: String,
    reason: String,
}

/// `ingest`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ingested {
    instance: String,
    /// Files taken in for the first time.
    new: u64,
    /// Files whose new version replaced the old one.
    changed: u64,
    unchanged: u64,
    /// Documents whose file is gone; they are kept.
    missing: u64,
    /// Files that no text could be read from.
    skipped: Vec<Reason>,
    /// Files that could not be taken in; the next ingest tries them again.
    failed: Vec<Reason>,
    /// What is in the instance now.
    documents: Counts,
    seconds: f64,
    #[serde(skip)]
    sentences: String,
}

impl Ingested {
    pub(super) fn new(summary: Summary, dry_run: bool) -> Self {
        let reasons = |list: Vec<crate::ops::engine::Reason>| {
            list.into_iter().map(|r| Reason { path: r.path, reason: r.reason }).collect()
        };
        Self {
            sentences: summary.sentences(dry_run),
            instance: summary.instance,
            new: summary.new,
            changed: summary.changed,
            unchanged: summary.unchanged,
            missing: summary.missing,
            skipped: reasons(summary.skipped),
            failed: reasons(summary.failed),
            documents: summary.documents.into(),
            seconds: summary.seconds,
        }
    }
}

impl Text for Ingested {
    fn text(&self) -> String {
        self.sentences.clone()
    }
}

/// An error as a model and its user can act on it.
pub(super) fn error_text(error: &Error) -> String {
    let mut text = format!("{error}\n");
    // The usual hint names other instances, which are no affair of the client's.
    let hints = match error.kind {
        Kind::NoInstance => vec!["see which instances are served: list_instances"],
        _ => error.hints(),
    };
    for hint in hints {
        text.push_str(&format!("What to do: {hint}\n"));
    }
    text
}
