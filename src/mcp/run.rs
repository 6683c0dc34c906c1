//! Operations for requests: on threads of their own, cancelled with the request, their progress
//! told to the client.

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};

use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::ops::Ctx;
use crate::ops::progress::{Phase, Progress};

/// How many operations run at once: each is a thread and some `podman` processes. Others wait.
const AT_ONCE: usize = 16;

/// Where operations run.
pub(super) struct Runner {
    env: Env,
    room: Semaphore,
}

impl Runner {
    pub(super) fn new(env: Env) -> Self {
        Self { env, room: Semaphore::new(AT_ONCE) }
    }

    /// Runs an operation as soon as there is room for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        request: &RequestContext<RoleServer>,
        operation: impl AsyncFnOnce(Ctx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _room = enter(&self.room, request.ct.cancelled()).await?;
        run(&self.env, request, operation).await
    }
}

fn cancelled() -> Error {
    Error::new(Kind::Interrupted, "the request was cancelled")
}

async fn enter(
    room: &Semaphore,
    given_up: impl Future<Output = ()>,
) -> Result<SemaphorePermit<'_>> {
    tokio::select! {
        biased;
        () = given_up => Err(cancelled()),
        // It is never closed.
        permit = room.acquire() => permit.map_err(|_| cancelled()),
    }
}

/// Runs an operation. Operations call programs and wait for them, so each has a thread of its own;
/// when the request is cancelled the operation is dropped, and programs that it runs are killed.
async fn run<T: Send + 'static>(
    env: &Env,
    request: &RequestContext<RoleServer>,
    operation: impl AsyncFnOnce(Ctx<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (env, given_up) = (env.clone(), request.ct.clone());
    let (tell, mut heard) = mpsc::unbounded_channel();
    let (done, mut ended) = oneshot::channel();
    let cannot = |e: std::io::Error| Error::failed("cannot begin").cause(e.to_string());
    std::thread::Builder::new()
        .spawn(move || {
            let listener = Listener { tell };
            let ctx = Ctx { env: &env, progress: &listener, summary: "ragpod mcp" };
            let result = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(cannot)
                .and_then(|runtime| {
                    runtime.block_on(async {
                        tokio::select! {
                            biased;
                            () = given_up.cancelled() => Err(cancelled()),
                            result = operation(ctx) => result,
                        }
                    })
                });
            // Nobody may be waiting for it any more.
            let _ = done.send(result);
        })
        .map_err(cannot)?;
    let mut steps = request.meta.get_progress_token().map(Steps::new);
    loop {
        tokio::select! {
            biased;
            Some(step) = heard.recv() => {
                if let Some(note) = steps.as_mut().and_then(|steps| steps.next(step)) {
                    // A client that is gone needs no progress.
                    let _ = request.peer.notify_progress(note).await;
                }
            }
            result = &mut ended => {
                return result
                    .unwrap_or_else(|_| Err(Error::failed("the operation ended without a result")));
            }
        }
    }
}

/// How far an operation is.
#[derive(Debug)]
enum Step {
    /// Something began.
    Began(String),
    /// `done` of `total`, and what it is at.
    At(u64, u64, String),
    /// The same, and what it does with that: nothing more is done yet.
    Within(u64, u64, String),
}

/// Hands an operation's progress to the thread that speaks to the client.
struct Listener {
    tell: mpsc::UnboundedSender<Step>,
}

impl Progress for Listener {
    fn step(&self, text: &str) {
        let _ = self.tell.send(Step::Began(text.to_owned()));
    }
    fn output(&self, _: &str) {}
    fn service(&self, _: &str, _: &str, _: Phase, _: &str) {}
    fn advance(&self, done: u64, total: u64, at: &str) {
        let _ = self.tell.send(Step::At(done, total, at.to_owned()));
    }
    fn at(&self, done: u64, total: u64, what: &str) {
        let _ = self.tell.send(Step::Within(done, total, what.to_owned()));
    }
    fn done(&self, text: &str) {
        let _ = self.tell.send(Step::Began(text.to_owned()));
    }
    fn warn(&self, _: &str) {}
}

/// Makes an operation's steps the protocol's: its progress must grow with each notification, while
/// an ingest counts anew for each source. What happens between two counts is told as fractions that
/// come ever nearer to the next one.
struct Steps {
    token: ProgressToken,
    /// What the sources before this one came to.
    before: u64,
    /// Of the source that is being taken in.
    total: u64,
    done: u64,
    /// What was told last: the count, and the fraction above it.
    told: Option<(u64, f64)>,
}

/// The nearest to the next count that is told. What comes between is then left out.
const NEAREST: f64 = 0.999;

impl Steps {
    fn new(token: ProgressToken) -> Self {
        Self { token, before: 0, total: 0, done: 0, told: None }
    }

    fn next(&mut self, step: Step) -> Option<ProgressNotificationParam> {
        let counts = matches!(step, Step::At(..));
        let message = match step {
            Step::Began(text) => text,
            Step::At(done, total, at) | Step::Within(done, total, at) => {
                if done < self.done || total != self.total {
                    self.before += self.done;
                }
                (self.done, self.total) = (done, total);
                at
            }
        };
        let count = self.before + self.done;
        let fraction = match self.told {
            Some((told, fraction)) if told == count => {
                // A file that does not count, or the same one again, is no step.
                if counts || fraction > NEAREST {
                    return None;
                }
                fraction + (1.0 - fraction) / 4.0
            }
            _ => 0.0,
        };
        self.told = Some((count, fraction));
        let note = ProgressNotificationParam::new(self.token.clone(), float(count) + fraction)
            .with_message(message);
        let total = self.before + self.total;
        Some(if total > count {
            note.with_total(float(total))
        } else {
            exact(note, total, fraction)
        })
    }
}

/// A total that is reached is told with what reaches it, and not with what comes after.
fn exact(note: ProgressNotificationParam, total: u64, fraction: f64) -> ProgressNotificationParam {
    if total > 0 && fraction == 0.0 { note.with_total(float(total)) } else { note }
}

/// Counts of files are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;

    use super::*;

    #[test]
    fn progress_grows_over_all_sources() {
        let mut steps = Steps::new(ProgressToken(NumberOrString::Number(7)));
        let mut told = Vec::new();
        for step in [
            Step::Began("looking for files".into()),
            Step::Began("3 files".into()),
            Step::Within(0, 3, "a: reading".into()),
            Step::At(1, 3, "a".into()),
            // Skipped files do not count.
            Step::At(1, 3, "b".into()),
            Step::Within(1, 3, "c: reading".into()),
            Step::At(3, 3, "c".into()),
            Step::Began("looking for files".into()),
            Step::At(1, 2, "d".into()),
            Step::At(2, 2, "e".into()),
        ] {
            told.extend(steps.next(step).map(|n| (n.progress, n.total, n.message.unwrap())));
        }
        let expected = [
            (0.0, None, "looking for files"),
            (0.25, None, "3 files"),
            (0.4375, Some(3.0), "a: reading"),
            (1.0, Some(3.0), "a"),
            (1.25, Some(3.0), "c: reading"),
            (3.0, Some(3.0), "c"),
            (3.25, None, "looking for files"),
            (4.0, Some(5.0), "d"),
            (5.0, Some(5.0), "e"),
        ];
        assert_eq!(told, expected.map(|(p, t, m)| (p, t, m.to_owned())));
        // However much is told between two counts, it grows and stays below the next.
        let fractions: Vec<f64> = (0..200)
            .filter_map(|n| steps.next(Step::Within(2, 2, n.to_string())))
            .map(|note| note.progress)
            .collect();
        assert!(fractions.len() > 10 && fractions.is_sorted_by(|a, b| a < b), "{fractions:?}");
        assert!(fractions.last().unwrap() < &6.0, "{fractions:?}");
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_and_may_give_up() {
        let room = Semaphore::new(1);
        let stay = std::future::pending;
        let first = enter(&room, stay()).await.unwrap();
        assert_eq!(enter(&room, std::future::ready(())).await.unwrap_err().kind, Kind::Interrupted);
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, enter(&room, stay())).await.is_err());
        drop(first);
        assert!(enter(&room, stay()).await.is_ok());
    }
}
