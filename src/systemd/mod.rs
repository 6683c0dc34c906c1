//! The user's systemd, over D-Bus: reload, jobs, states.
//!
//! The interface is org.freedesktop.systemd1(5). Everything is asynchronous on a current-thread
//! runtime; a connection takes a few milliseconds, so a command makes one and passes it on.

mod calendar;
mod client;
mod jobs;
mod props;
mod proxy;
mod report;
mod seen;

pub use calendar::check_calendar;
pub use client::{Systemd, UnitState, no_bus};
pub use props::{ServiceProps, check_free, check_loaded};
pub use report::{Action, End, JobEvent, JobOptions, JobResult, Outcome, Progress, Report};
pub use seen::Seen;

/// Runs a future on a runtime of its own: the bridge from the synchronous layers.
///
/// # Errors
/// The future's own, or that there can be no runtime (no file descriptors left).
pub fn block_on<T>(
    future: impl Future<Output = crate::error::Result<T>>,
) -> crate::error::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| crate::error::Error::host("cannot wait for events").cause(e.to_string()))?
        .block_on(future)
}

#[cfg(test)]
mod fake;
