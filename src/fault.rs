//! Points at which a test can end this process, hold it up or fill the disk. Only in builds with
//! the feature `e2e`; in every other build there is nothing behind them.
//!
//! `RAGPOD_FAULT` says what happens: `kill:POINT` ends the process there as SIGKILL does
//! (`kill:POINT:2` when it comes there for the second time),
//! `pause:POINT:FILE` makes FILE and waits until somebody has removed it, `full:N` fails the Nth
//! write as a full disk does, `fail:STEP` has a step fail that was done, `clock:SECONDS` sets this process's clock forward, `trace:FILE`
//! appends the name of each point that is passed.

use std::io;

/// A point with a name has been reached.
#[cfg(not(feature = "e2e"))]
#[inline]
pub fn point(_: &str) {}

/// A step with a name is done.
///
/// # Errors
/// When a test wants it to have failed.
#[cfg(not(feature = "e2e"))]
#[inline]
pub fn done(_: &str) -> io::Result<()> {
    Ok(())
}

/// A step with a name is done.
#[cfg(feature = "e2e")]
pub fn done(step: &str) -> io::Result<()> {
    let fails = std::env::var("RAGPOD_FAULT").is_ok_and(|fault| fault == format!("fail:{step}"));
    if fails { Err(io::Error::other(format!("{step}: as a test wants it"))) } else { Ok(()) }
}

/// A file is about to be written.
///
/// # Errors
/// What a full disk says, when a test asked for it.
#[cfg(not(feature = "e2e"))]
#[inline]
pub fn write() -> io::Result<()> {
    Ok(())
}

/// The host's clock. Nothing is decided by it: it may go back.
#[cfg(not(feature = "e2e"))]
#[inline]
#[must_use]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The host's clock, as far ahead as a test wants it.
#[cfg(feature = "e2e")]
#[must_use]
pub fn now() -> jiff::Timestamp {
    let ahead = std::env::var("RAGPOD_FAULT")
        .ok()
        .and_then(|fault| fault.strip_prefix("clock:")?.parse::<i64>().ok());
    let now = jiff::Timestamp::now();
    ahead.and_then(|s| now.checked_add(jiff::SignedDuration::from_secs(s)).ok()).unwrap_or(now)
}

/// A point with a name has been reached.
#[cfg(feature = "e2e")]
pub fn point(name: &str) {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static PASSED: AtomicUsize = AtomicUsize::new(0);
    let Ok(fault) = std::env::var("RAGPOD_FAULT") else { return };
    match fault.split_once(':') {
        Some(("kill", at)) => {
            let (at, nth) = at.split_once(':').unwrap_or((at, "1"));
            if at == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == nth.parse().unwrap_or(1)
            {
                // Nothing is unwound and nothing dropped, as when the kernel does it.
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
            }
        }
        Some(("pause", rest)) => {
            if let Some((at, file)) = rest.split_once(':')
                && at == name
                && std::fs::write(file, "").is_ok()
            {
                while std::path::Path::new(file).exists() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        }
        Some(("trace", file)) => {
            let trace = std::fs::File::options().append(true).create(true).open(file);
            let _ = trace.and_then(|mut f| writeln!(f, "{name}"));
        }
        _ => {}
    }
}

/// A file is about to be written.
#[cfg(feature = "e2e")]
pub fn write() -> io::Result<()> {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static WRITES: AtomicUsize = AtomicUsize::new(0);
    let nth = WRITES.fetch_add(1, Ordering::Relaxed) + 1;
    let full = std::env::var("RAGPOD_FAULT")
        .ok()
        .and_then(|fault| fault.strip_prefix("full:")?.parse::<usize>().ok());
    if full == Some(nth) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}
