//! The one door to other programs: arguments are never joined into a shell line, what a failing
//! program said last is part of the error, and a program can take this process's place.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Output, Stdio};

use camino::Utf8PathBuf;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use crate::error::{Error, Kind, Result};
use pipes::all_of;

mod attended;
mod pipes;
mod streams;

pub use attended::{Heard, Interrupts, interrupted};
pub use pipes::Talk;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmd {
    program: String,
    args: Vec<String>,
    envs: Vec<(String, String)>,
}

impl Cmd {
    /// `program` is looked up in `PATH`.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), envs: Vec::new() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable for the program.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }

    /// The program and its arguments as one would type them, for messages. Secrets never
    /// travel in arguments, so nothing needs hiding.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = quote(&self.program);
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quote(arg));
        }
        line
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.envs.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs it with no standard input and our own output; gives its exit code.
    pub fn status(&self) -> Result<u8> {
        let status = self.command().stdin(Stdio::null()).status();
        Ok(exit_code(status.map_err(|e| self.spawn_error(&e))?))
    }

    /// Runs it with no standard input and collects its output, whatever its exit code.
    pub fn output(&self) -> Result<Output> {
        self.command().stdin(Stdio::null()).output().map_err(|e| self.spawn_error(&e))
    }

    /// Runs it and gives its standard output; a non-zero exit is an error with the last lines
    /// of its standard error.
    pub fn stdout(&self) -> Result<String> {
        let output = self.output()?;
        self.check(output.status, &output.stderr)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it and parses its standard output as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let text = self.stdout()?;
        serde_json::from_str(&text).map_err(|e| {
            Error::failed(format!(
                "{} printed something that is not the JSON expected",
                self.program
            ))
            .cause(e.to_string())
        })
    }

    /// Runs it with `input` on its standard input (the way for secrets) and gives its output.
    pub fn with_input(&self, input: &[u8]) -> Result<String> {
        self.feed(|pipe| {
            // A program that does not read its input closes the pipe: its exit code tells more.
            let _ = pipe.write_all(input);
            Ok(())
        })
    }

    /// Runs it, giving its merged output line by line to `line`; the last lines become the
    /// error's cause when it fails.
    pub fn lines(&self, mut line: impl FnMut(&str)) -> Result<()> {
        self.lines_until(|text| {
            line(text);
            Ok(true)
        })
    }

    /// The same, until `line` says that it has enough; then the program is ended, and all is well.
    pub fn lines_until(&self, mut line: impl FnMut(&str) -> Result<bool>) -> Result<()> {
        let (reader, writer) = std::io::pipe().map_err(|e| self.spawn_error(&e))?;
        let stdout = writer.try_clone().map_err(|e| self.spawn_error(&e))?;
        let mut command = self.command();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(writer)
            .spawn()
            .map_err(|e| self.spawn_error(&e))?;
        // The write ends live in `command` too: the reader would never see the end.
        drop(command);
        let mut tail = Vec::new();
        for text in BufReader::new(reader).split(b'\n') {
            let text = text.map_err(|e| self.spawn_error(&e))?;
            let text = String::from_utf8_lossy(&text).trim_end().to_owned();
            let heard = line(&text);
            if !matches!(heard, Ok(true)) {
                // It may have ended by itself meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return heard.map(drop);
            }
            tail.push(text);
            if tail.len() > TAIL_LINES {
                tail.remove(0);
            }
        }
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        self.check(status, tail.join("\n").as_bytes())
    }

    /// Runs it, giving its standard output line by line to `line`, until that says that it has
    /// enough; then the program is ended, and all is well.
    pub fn until(&self, mut line: impl FnMut(&str) -> Result<bool>) -> Result<()> {
        let mut child = self.start(Stdio::null())?;
        let (stdout, said) = (child.stdout.take(), all_of(child.stderr.take()));
        let mut heard = Ok(true);
        for text in stdout.into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
            let Ok(text) = text else { break };
            heard = line(String::from_utf8_lossy(&text).trim_end());
            if !matches!(heard, Ok(true)) {
                // It may have ended by itself meanwhile.
                let _ = child.kill();
                break;
            }
        }
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        let said = said.join().unwrap_or_default();
        if heard? { self.check(status, &said) } else { Ok(()) }
    }

    /// Runs it, giving its standard output line by line to `line`; what it says on standard error
    /// is kept. Gives its exit code, and for one that is not 0 the error that [`Cmd::lines`]
    /// would have given.
    ///
    /// Its standard input says nothing and stays open while it runs. When the future is dropped the
    /// program is killed, and when this process ends in whatever way, that input ends.
    pub async fn events(&self, mut line: impl FnMut(&str)) -> Result<(u8, Option<Error>)> {
        let mut child = tokio::process::Command::from(self.command())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.spawn_error(&e))?;
        let _open = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let heard = async {
            let Some(stdout) = stdout else { return Ok(()) };
            let mut lines = tokio::io::BufReader::new(stdout).split(b'\n');
            while let Some(text) = lines.next_segment().await? {
                line(String::from_utf8_lossy(&text).trim_end());
            }
            Ok(())
        };
        let kept = async {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                stderr.read_to_end(&mut said).await?;
            }
            Ok(said)
        };
        // Both pipes are emptied at once: a program that fills one would wait for ever.
        let ((), said) = tokio::try_join!(heard, kept).map_err(|e| self.spawn_error(&e))?;
        let status = child.wait().await.map_err(|e| self.spawn_error(&e))?;
        Ok((exit_code(status), self.check(status, &said).err()))
    }

    /// Replaces this process with it: returns only when that could not be done.
    #[must_use]
    pub fn replace(&self) -> Error {
        let e = self.command().exec();
        self.spawn_error(&e)
    }

    /// Replaces this process with it as [`Cmd::replace`] does. Its standard input says nothing, and
    /// ends when the program ends, however that comes: for `podman exec`, whose program inside
    /// learns of that end alone.
    #[must_use]
    pub fn replace_attended(&self) -> Error {
        match open_input() {
            Ok(input) => self.spawn_error(&self.command().stdin(input).exec()),
            Err(e) => self.spawn_error(&e),
        }
    }

    fn check(&self, status: ExitStatus, stderr: &[u8]) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(stderr);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let mut error = Error::failed(format!("`{}` failed ({status})", self.line()));
        if !tail.is_empty() {
            error = error.cause(tail.join("\n"));
        }
        Err(error)
    }

    fn spawn_error(&self, e: &std::io::Error) -> Error {
        if e.kind() == std::io::ErrorKind::NotFound {
            Error::new(Kind::Host, format!("{} is not installed, or not in PATH", self.program))
                .hint(format!("install it, for example: sudo apt install {}", self.program))
        } else {
            Error::failed(format!("cannot run {}", self.program)).cause(e.to_string())
        }
    }
}

/// This program's own file, as it was called when it was started: a newer version may have taken its
/// place since.
///
/// # Errors
/// Its path is not UTF-8, so no unit and no configuration can name it.
pub fn this_program() -> Result<Utf8PathBuf> {
    let path = std::env::current_exe().map_err(|e| Error::io("find", "this program", &e))?;
    let path = Utf8PathBuf::from_path_buf(path).map_err(|path| {
        Error::host(format!("the path of this program is not UTF-8: {}", path.display()))
            .hint("install ragpod somewhere else, for example in ~/.local/bin")
    })?;
    // So Linux calls a file that was replaced (proc(5)).
    Ok(path.as_str().trim_end_matches(" (deleted)").into())
}

/// How many of a failing program's last lines are kept for the error.
const TAIL_LINES: usize = 12;

/// A program's exit code as a shell would give it: 128 + signal when it was killed.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// Quotes a word for a shell, only where it needs it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The reading end of a pipe that is its own writing end as well: who has it as standard input waits
/// for ever, and takes the last writer along at its end.
fn open_input() -> std::io::Result<File> {
    let (reader, _writer) = std::io::pipe()?;
    let both = format!("/proc/self/fd/{}", reader.as_raw_fd());
    File::options().read(true).write(true).open(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_errors_of_a_real_program() {
        assert_eq!(Cmd::new("echo").arg("a b").stdout().unwrap(), "a b\n");
        let e = Cmd::new("sh").args(["-c", "echo why >&2; exit 3"]).stdout().unwrap_err();
        assert_eq!(e.causes, ["why"]);
        assert!(e.message.contains("'echo why >&2; exit 3'"), "{}", e.message);
    }

    #[test]
    fn a_missing_program_is_the_hosts_fault() {
        let e = Cmd::new("no-such-program-here").stdout().unwrap_err();
        assert_eq!(e.kind, Kind::Host);
    }

    #[test]
    fn input_reaches_the_program_and_json_is_parsed() {
        assert_eq!(Cmd::new("cat").with_input(b"x").unwrap(), "x");
        let v: Vec<u8> = Cmd::new("echo").arg("[1,2]").json().unwrap();
        assert_eq!(v, [1, 2]);
    }

    #[test]
    fn lines_are_streamed_and_the_tail_is_the_cause() {
        let mut seen = Vec::new();
        let e = Cmd::new("sh")
            .args(["-c", "echo one; echo two >&2; exit 1"])
            .lines(|l| seen.push(l.to_owned()))
            .unwrap_err();
        assert_eq!(seen, ["one", "two"]);
        assert_eq!(e.causes, ["one\ntwo"]);
    }

    #[test]
    fn a_last_line_without_an_end_is_a_line() {
        let mut seen = Vec::new();
        Cmd::new("printf").arg("one\\ntwo").lines(|l| seen.push(l.to_owned())).unwrap();
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_program_is_heard_until_it_is_enough() {
        let shell = |script| Cmd::new("sh").args(["-c", script]);
        let mut seen = Vec::new();
        let endless = shell("while echo x; do :; done");
        endless
            .until(|l| {
                seen.push(l.to_owned());
                Ok(seen.len() < 3)
            })
            .unwrap();
        assert_eq!(seen, ["x", "x", "x"]);
        let e = shell("echo a; echo why >&2; exit 1").until(|_| Ok(true)).unwrap_err();
        assert_eq!(e.causes, ["why"]);
        let e = shell("echo a; echo why >&2; exit 1").lines_until(|_| Ok(true)).unwrap_err();
        assert_eq!(e.causes, ["a\nwhy"]);
        endless.lines_until(|_| Ok(false)).unwrap();
        let e = endless.until(|_| Err(Error::failed("no"))).unwrap_err();
        assert_eq!(e.message, "no");
    }

    #[tokio::test]
    async fn events_are_standard_output_alone() {
        let mut seen = Vec::new();
        let script = "echo one; printf glued >&2; echo two; exit 7";
        let shell = |script| Cmd::new("sh").args(["-c", script]);
        let (code, error) = shell(script).events(|l| seen.push(l.to_owned())).await.unwrap();
        assert_eq!((seen, code), (vec!["one".to_owned(), "two".to_owned()], 7));
        assert_eq!(error.unwrap().causes, ["glued"]);
        assert_eq!(shell("kill -9 $$").events(|_| {}).await.unwrap().0, 137);
    }

    #[tokio::test]
    async fn a_program_that_nobody_waits_for_any_more_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", file.display());
        let cmd = Cmd::new("sh").args(["-c", &script]);
        let begun = async {
            while !file.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = cmd.events(|_| {}) => panic!("{ended:?}"),
            () = begun => {}
        }
        let pid = std::fs::read_to_string(&file).unwrap();
        let state = format!("/proc/{}/stat", pid.trim());
        for _ in 0..400 {
            // A zombie is dead, and reaped by the runtime when it likes.
            match std::fs::read_to_string(&state) {
                Ok(text) if !text.contains(") Z ") => {}
                _ => return,
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{pid} still runs");
    }

    #[test]
    fn an_input_of_its_own_ends_with_the_program() {
        let script = "read -t 1 line; test $? -gt 128";
        let status =
            Command::new("bash").args(["-c", script]).stdin(open_input().unwrap()).status();
        assert!(status.unwrap().success(), "its input ended, or had something");
    }

    #[tokio::test]
    async fn its_input_stays_open_and_says_nothing() {
        let script = "read -t 1 line; test $? -gt 128";
        let (code, _) = Cmd::new("bash").args(["-c", script]).events(|_| {}).await.unwrap();
        assert_eq!(code, 0, "its input ended, or had something");
    }
}
