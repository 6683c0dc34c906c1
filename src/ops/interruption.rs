//! Ctrl-C while programs are waited for: they are ended, or what they work on is taken away, and
//! what was begun is removed.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::{Error, Kind, Result};

/// While this lives, Ctrl-C and SIGTERM do not end the process.
pub struct Interruption {
    left: &'static str,
    interrupted: Arc<AtomicBool>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Interruption {
    /// `stop` is run when the user interrupts; it ends what is waited for. `left` says how things
    /// are then: "nothing was imported".
    #[must_use]
    pub fn heed(left: &'static str, stop: impl Fn() + Send + 'static) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let flag = Arc::clone(&interrupted);
        // Without a thread, or signals, Ctrl-C ends the process as it always does.
        let thread = std::thread::Builder::new()
            .spawn(move || {
                let _ = crate::systemd::block_on(async move {
                    let cannot = |e: std::io::Error| Error::failed(e.to_string());
                    let mut int = signal(SignalKind::interrupt()).map_err(cannot)?;
                    let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                        _ = ended => return Ok(()),
                    }
                    flag.store(true, Ordering::SeqCst);
                    stop();
                    Ok(())
                });
            })
            .ok();
        Self { left, interrupted, end: Some(end), thread }
    }

    /// Fails when the user interrupted.
    ///
    /// # Errors
    /// [`Kind::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Interrupted, format!("interrupted; {}", self.left))
                .hint("the same command begins again"));
        }
        Ok(())
    }

    /// A result, or that the user interrupted: what stopped it says less than that it was stopped.
    ///
    /// # Errors
    /// Its own, or [`Kind::Interrupted`].
    pub fn rather<T>(&self, result: Result<T>) -> Result<T> {
        match self.check() {
            Err(interrupted) if result.is_err() => Err(interrupted),
            _ => result,
        }
    }

    /// A stream that fails when the user interrupts.
    pub fn reading<'a>(&'a self, inner: &'a mut dyn Read) -> impl Read + 'a {
        Reading { interruption: self, inner }
    }
}

struct Reading<'a> {
    interruption: &'a Interruption,
    inner: &'a mut dyn Read,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interruption.check().map_err(|e| io::Error::other(e.message))?;
        self.inner.read(buffer)
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
