//! The one door to other programs: arguments are never joined into a shell line, what a failing
//! program said last is part of the error, and a program can take this process's place.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Output, Stdio};

use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, Result};

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
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.spawn_error(&e))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input closes the pipe: its exit code tells more.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(|e| self.spawn_error(&e))?;
        self.check(output.status, &output.stderr)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it, giving its merged output line by line to `line`; the last lines become the
    /// error's cause when it fails.
    pub fn lines(&self, mut line: impl FnMut(&str)) -> Result<()> {
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
            line(&text);
            tail.push(text);
            if tail.len() > TAIL_LINES {
                tail.remove(0);
            }
        }
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        self.check(status, tail.join("\n").as_bytes())
    }

    /// Runs it, giving its standard output line by line to `line`; what it says on standard error
    /// is kept. Gives its exit code, and for one that is not 0 the error that [`Cmd::lines`]
    /// would have given.
    pub fn events(&self, mut line: impl FnMut(&str)) -> Result<(u8, Option<Error>)> {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.spawn_error(&e))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Both pipes are emptied at once: a program that fills one would wait for ever.
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.map(|mut e| e.read_to_end(&mut said));
            said
        });
        for text in stdout.into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
            let text = text.map_err(|e| self.spawn_error(&e))?;
            line(String::from_utf8_lossy(&text).trim_end());
        }
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        let said = said.join().unwrap_or_default();
        Ok((exit_code(status), self.check(status, &said).err()))
    }

    /// Replaces this process with it: returns only when that could not be done.
    #[must_use]
    pub fn replace(&self) -> Error {
        let e = self.command().exec();
        self.spawn_error(&e)
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

/// How many of a failing program's last lines are kept for the error.
const TAIL_LINES: usize = 12;

/// A program's exit code as a shell would give it: 128 + signal when it was killed.
fn exit_code(status: ExitStatus) -> u8 {
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
    fn events_are_standard_output_alone() {
        let mut seen = Vec::new();
        let script = "echo one; printf glued >&2; echo two; exit 7";
        let (code, error) =
            Cmd::new("sh").args(["-c", script]).events(|l| seen.push(l.to_owned())).unwrap();
        assert_eq!((seen, code), (vec!["one".to_owned(), "two".to_owned()], 7));
        assert_eq!(error.unwrap().causes, ["glued"]);
        let killed = Cmd::new("sh").args(["-c", "kill -9 $$"]).events(|_| {}).unwrap();
        assert_eq!(killed.0, 137);
    }
}
