//! Running a program that can be asked to stop: it has a standard input that lives as long as this
//! process, and Ctrl-C reaches this process alone.

use std::process::Stdio;

use futures_util::FutureExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdin;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Cmd, exit_code};
use crate::error::{Error, Kind, Result};

/// What happened while an attended program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// It printed a line.
    Line(&'a str),
    /// It was asked to stop.
    AskedToStop,
}

impl Cmd {
    /// Runs it as [`Cmd::events`] does, and asks it to stop when this process is interrupted: a line
    /// on its standard input, which ends when this process does, however that comes. A second
    /// interruption sends a second line and does not wait. What interrupted since `interrupts` began
    /// to listen counts, so that none is lost between two programs.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when nothing more is waited for; the program then ends by itself.
    pub async fn attended(
        &self,
        interrupts: &mut Interrupts,
        mut hear: impl FnMut(Heard<'_>),
    ) -> Result<(u8, Option<Error>)> {
        let failed = |e: &std::io::Error| self.spawn_error(e);
        let mut child = tokio::process::Command::from(self.command())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A terminal sends its Ctrl-C to a whole group.
            .process_group(0)
            .spawn()
            .map_err(|e| failed(&e))?;
        let mut stdin = child.stdin.take();
        let mut stderr = child.stderr.take();
        let said = tokio::spawn(async move {
            let mut said = Vec::new();
            if let Some(stderr) = &mut stderr {
                let _ = stderr.read_to_end(&mut said).await;
            }
            said
        });
        let mut lines = child.stdout.take().map(|out| BufReader::new(out).split(b'\n'));
        let mut asked = false;
        while let Some(out) = &mut lines {
            tokio::select! {
                // What was said before an interruption is heard before it.
                biased;
                line = out.next_segment() => match line.map_err(|e| failed(&e))? {
                    Some(line) => hear(Heard::Line(String::from_utf8_lossy(&line).trim_end())),
                    None => lines = None,
                },
                () = interrupts.next() => {
                    ask(stdin.as_mut()).await;
                    if asked {
                        return Err(Error::new(Kind::Interrupted, "interrupted; not waited for"));
                    }
                    asked = true;
                    hear(Heard::AskedToStop);
                }
            }
        }
        let status = child.wait().await.map_err(|e| failed(&e))?;
        drop(stdin.take());
        let said = said.await.unwrap_or_default();
        Ok((exit_code(status), self.check(status, &said).err()))
    }
}

/// A program that does not listen any more has ended, which its output tells.
async fn ask(stdin: Option<&mut ChildStdin>) {
    if let Some(stdin) = stdin {
        let _ = stdin.write_all(b"stop\n").await;
        let _ = stdin.flush().await;
    }
}

/// Ctrl-C, and what a service manager sends. From the first listening on, neither ends this process
/// any more: who listens must look.
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    heard: bool,
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the system lets no more be listened to.
    pub fn listen() -> Result<Self> {
        let both = || {
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { interrupt, terminate: signal(SignalKind::terminate())?, heard: false })
        };
        both().map_err(|e: std::io::Error| {
            Error::failed("cannot listen for Ctrl-C").cause(e.to_string())
        })
    }

    /// Whether there was one since the listening began, heard by a program or by nobody yet.
    pub fn any(&mut self) -> bool {
        let _ = self.next().now_or_never();
        self.heard
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.heard = true;
    }
}

/// Waits until Ctrl-C or SIGTERM comes, from now on; for ever where neither can be listened to. Once
/// anything has listened, they end no process by themselves any more: each wait has to hear them.
pub async fn interrupted() {
    match Interrupts::listen() {
        Ok(mut interrupts) => interrupts.next().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Mutex;

    use super::*;

    /// A signal is for the whole process, tests beside the one that sends it included.
    static ALONE: Mutex<()> = Mutex::const_new(());

    #[tokio::test]
    async fn output_errors_and_exit_codes_are_as_of_events() {
        let _alone = ALONE.lock().await;
        let mut seen = Vec::new();
        let script = "echo one; printf glued >&2; echo two; exit 7";
        let (code, error) = Cmd::new("sh")
            .args(["-c", script])
            .attended(&mut Interrupts::listen().unwrap(), |heard| seen.push(format!("{heard:?}")))
            .await
            .unwrap();
        assert_eq!((seen, code), (vec!["Line(\"one\")".to_owned(), "Line(\"two\")".into()], 7));
        assert_eq!(error.unwrap().causes, ["glued"]);
    }

    #[tokio::test]
    async fn its_input_stays_open_until_it_ends() {
        let _alone = ALONE.lock().await;
        // `read` would fail at once on an input that has ended.
        let script = "read -t 1 line; [ $? -gt 128 ] && echo open";
        let mut seen = String::new();
        Cmd::new("bash")
            .args(["-c", script])
            .attended(&mut Interrupts::listen().unwrap(), |heard| {
                seen.push_str(&format!("{heard:?}"));
            })
            .await
            .unwrap();
        assert_eq!(seen, "Line(\"open\")");
    }

    #[tokio::test]
    async fn an_interruption_between_two_programs_is_heard_by_the_next() {
        let _alone = ALONE.lock().await;
        let mut interrupts = Interrupts::listen().unwrap();
        assert!(!interrupts.any());
        let me = std::process::id().to_string();
        Cmd::new("kill").args(["-TERM", &me]).stdout().unwrap();
        let mut seen = Vec::new();
        let script = "read line; echo \"$line\"";
        let bash = Cmd::new("bash").args(["-c", script]);
        bash.attended(&mut interrupts, |heard| seen.push(format!("{heard:?}"))).await.unwrap();
        assert_eq!(seen, ["AskedToStop", "Line(\"stop\")"]);
        assert!(interrupts.any());
        // And one that no program hears.
        let mut interrupts = Interrupts::listen().unwrap();
        Cmd::new("kill").args(["-INT", &me]).stdout().unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(5), async {
            while !interrupts.any() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}
