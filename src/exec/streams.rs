//! Programs that are fed or read as they run, whatever the amount; and one that has our streams.

use std::io::{self, Read, Write};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::pipes::all_of;
use super::{Cmd, exit_code};
use crate::error::{Error, Result};

impl Cmd {
    /// Runs it and lets `write` write its standard input; gives its standard output.
    ///
    /// # Errors
    /// As [`Cmd::stdout`]; what `write` failed with counts when the program did not fail first.
    pub fn feed(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<String> {
        let mut child = self.start(Stdio::piped())?;
        let stdin = child.stdin.take();
        let (out, said) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
        // A program that ends early closes the pipe: its exit code tells more.
        let written = stdin.map_or(Ok(()), |mut stdin| write(&mut stdin));
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        self.check(status, &said.join().unwrap_or_default())?;
        written.map_err(|e| {
            Error::failed(format!("cannot give {} its input", self.program)).cause(e.to_string())
        })?;
        Ok(String::from_utf8_lossy(&out.join().unwrap_or_default()).into_owned())
    }

    /// Runs it with no standard input and lets `read` read its standard output.
    ///
    /// # Errors
    /// As [`Cmd::stdout`]; what `read` failed with counts when the program did not fail.
    pub fn drain<T>(&self, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        let mut child = self.start(Stdio::null())?;
        let said = all_of(child.stderr.take());
        let Some(mut stdout) = child.stdout.take() else {
            return Err(Error::failed(format!("cannot read {}", self.program)));
        };
        let result = read(&mut stdout);
        // One whose output nobody reads any more ends.
        drop(stdout);
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        self.check(status, &said.join().unwrap_or_default())?;
        result
    }

    /// Runs it with our standard streams and gives its exit code. SIGINT, SIGTERM and SIGHUP are its
    /// own to act on: we wait for it.
    pub async fn passed(&self) -> Result<u8> {
        let failed = |e: &io::Error| self.spawn_error(e);
        let mut int = signal(SignalKind::interrupt()).map_err(|e| failed(&e))?;
        let mut term = signal(SignalKind::terminate()).map_err(|e| failed(&e))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(|e| failed(&e))?;
        let mut child =
            tokio::process::Command::from(self.command()).spawn().map_err(|e| failed(&e))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let pass_on = |sent| {
            // It may have ended in this moment.
            pid.map(|pid| kill(pid, sent))
        };
        loop {
            tokio::select! {
                status = child.wait() => return Ok(exit_code(status.map_err(|e| failed(&e))?)),
                _ = int.recv() => drop(pass_on(Signal::SIGINT)),
                _ = term.recv() => drop(pass_on(Signal::SIGTERM)),
                _ = hangup.recv() => drop(pass_on(Signal::SIGHUP)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_pipe_holds_goes_in_and_out() {
        let big = vec![b'x'; 1 << 20];
        let count = Cmd::new("wc").arg("-c").feed(|input| input.write_all(&big)).unwrap();
        assert_eq!(count.trim(), "1048576");
        let got = Cmd::new("head").args(["-c", "1048576", "/dev/zero"]).drain(|output| {
            let mut got = Vec::new();
            output.read_to_end(&mut got).unwrap();
            Ok(got.len())
        });
        assert_eq!(got.unwrap(), 1 << 20);
    }

    #[test]
    fn the_programs_failure_counts_first() {
        let e = Cmd::new("sh")
            .args(["-c", "echo why >&2; exit 3"])
            .feed(|input| input.write_all(&vec![0; 1 << 20]))
            .unwrap_err();
        assert_eq!(e.causes, ["why"]);
        let e = Cmd::new("sh")
            .args(["-c", "echo why >&2; exit 3"])
            .drain(|_| Err::<(), _>(Error::failed("no archive")))
            .unwrap_err();
        assert_eq!(e.causes, ["why"]);
        let e = Cmd::new("true").drain(|_| Err::<(), _>(Error::failed("no archive"))).unwrap_err();
        assert_eq!(e.message, "no archive");
    }

    #[tokio::test]
    async fn the_exit_code_is_the_programs_own() {
        assert_eq!(Cmd::new("sh").args(["-c", "exit 7"]).passed().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_terminal_that_goes_away_ends_the_program_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("begun");
        let script = format!("trap 'kill $!; exit 9' HUP; sleep 60 & : > {}; wait", file.display());
        let cmd = Cmd::new("sh").args(["-c", &script]);
        let hang_up = async {
            while !file.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            // To this process, as a terminal sends it.
            kill(Pid::this(), Signal::SIGHUP).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            code = cmd.passed() => assert_eq!(code.unwrap(), 9),
            () = hang_up => {}
        }
    }
}
