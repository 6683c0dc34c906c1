//! Running a program at one end of a stream of any length: nothing of it is kept in memory.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use super::Cmd;
use crate::error::{Error, Result};

/// How much is passed on at once, in bytes.
const PIECE: usize = 256 << 10;

impl Cmd {
    /// Starts it with pipes on its standard output and error. Both must be emptied at once: a
    /// program that fills one waits for ever.
    pub(super) fn start(&self, stdin: Stdio) -> Result<Child> {
        let mut command = self.command();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|e| self.spawn_error(&e))
    }

    /// Runs it with `input` on its standard input, and gives its standard output to `sink`, piece by
    /// piece.
    ///
    /// # Errors
    /// What `sink` said, and then the program is ended; or its own failure.
    pub fn produce(&self, input: &[u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut child = self.start(Stdio::piped())?;
        let said = all_of(child.stderr.take());
        let (stdin, input) = (child.stdin.take(), input.to_vec());
        // It may begin to print before it has read all.
        thread::spawn(move || drop(stdin.map(|mut stdin| stdin.write_all(&input))));
        let passed = (|| {
            let Some(mut stdout) = child.stdout.take() else { return Ok(()) };
            let mut piece = vec![0; PIECE];
            loop {
                match stdout.read(&mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(n) => sink(&piece[..n])?,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(self.spawn_error(&e)),
                }
            }
        })();
        if let Err(e) = passed {
            end(&mut child);
            return Err(e);
        }
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        self.check(status, &said.join().unwrap_or_default())
    }

    /// Runs it with all of `source` on its standard input, and gives its standard output.
    ///
    /// # Errors
    /// What `source` said: the program is then ended, and never sees an end of its input that is
    /// none. Or the program's own failure.
    pub fn consume(&self, source: &mut dyn Read) -> Result<String> {
        let mut child = self.start(Stdio::piped())?;
        let (out, said) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
        let mut stdin = child.stdin.take();
        let mut piece = vec![0; PIECE];
        while let Some(pipe) = &mut stdin {
            match source.read(&mut piece) {
                Ok(0) => stdin = None,
                // A program that does not read on tells why by its exit code.
                Ok(n) => {
                    if pipe.write_all(&piece[..n]).is_err() {
                        stdin = None;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    end(&mut child);
                    return Err(Error::failed("the data could not be read").cause(e.to_string()));
                }
            }
        }
        let status = child.wait().map_err(|e| self.spawn_error(&e))?;
        self.check(status, &said.join().unwrap_or_default())?;
        Ok(String::from_utf8_lossy(&out.join().unwrap_or_default()).into_owned())
    }

    /// Starts it to be talked with, line by line.
    pub fn converse(&self) -> Result<Talk> {
        let mut child = self.start(Stdio::piped())?;
        let said = all_of(child.stderr.take());
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Talk {
                cmd: self.clone(),
                child,
                stdin: Some(stdin),
                stdout: BufReader::new(stdout),
                said: Some(said),
            }),
            _ => Err(Error::failed(format!("cannot talk with {}", self.program))),
        }
    }
}

/// A program that is talked with. Its input ends when this is dropped, and so does it.
pub struct Talk {
    cmd: Cmd,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    said: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Talk {
    /// Sends `text`, and gives the next line that it prints.
    ///
    /// # Errors
    /// It ended instead, with what it said on standard error.
    pub fn ask(&mut self, text: &str) -> Result<String> {
        if let Some(stdin) = &mut self.stdin {
            // One that has ended says why below.
            let _ = writeln!(stdin, "{text}").and_then(|()| stdin.flush());
        }
        let mut line = String::new();
        match self.stdout.read_line(&mut line) {
            Ok(n) if n > 0 => Ok(line.trim_end().to_owned()),
            _ => Err(self.failure()),
        }
    }

    fn failure(&mut self) -> Error {
        drop(self.stdin.take());
        let status = self.child.wait();
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        let failed = status.map(|status| self.cmd.check(status, &said));
        match failed {
            Ok(Err(e)) => e,
            _ => Error::failed(format!("{} ended too early", self.cmd.program))
                .cause(String::from_utf8_lossy(&said).trim().to_owned()),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Reads all that comes, on a thread: a full pipe would stop the program.
pub(super) fn all_of(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read of it until it fails is better than nothing.
            let _ = pipe.read_to_end(&mut said);
        }
        said
    })
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh").args(["-c", script])
    }

    struct Broken(u8);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 3 { Err(io::Error::other("torn")) } else { Ok(buffer.len()) }
        }
    }

    #[test]
    fn all_of_its_output_and_its_failure_are_passed_on() {
        let mut count = 0;
        sh("head -c 3000000 /dev/zero")
            .produce(b"", |p| {
                count += p.len();
                Ok(())
            })
            .unwrap();
        assert_eq!(count, 3_000_000);
        let mut out = Vec::new();
        sh("cat")
            .produce(&vec![b'x'; 300_000], |p| {
                out.extend_from_slice(p);
                Ok(())
            })
            .unwrap();
        assert_eq!(out.len(), 300_000);
        let e = sh("echo some; echo why >&2; exit 3").produce(b"", |_| Ok(())).unwrap_err();
        assert_eq!(e.causes, ["why"]);
        let e = sh("yes").produce(b"", |_| Err(Error::failed("full"))).unwrap_err();
        assert_eq!(e.message, "full");
    }

    #[test]
    fn it_reads_all_and_a_source_that_fails_ends_it() {
        let mut source = io::repeat(b'x').take(3_000_000);
        assert_eq!(sh("wc -c").consume(&mut source).unwrap().trim(), "3000000");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ended");
        let script = format!("cat > /dev/null && : > {}", file.display());
        let e = sh(&script).consume(&mut Broken(0)).unwrap_err();
        assert_eq!(e.causes, ["torn"]);
        assert!(!file.exists(), "it took the break for an end");
        // One that does not listen.
        let mut source = io::repeat(b'x').take(3_000_000);
        assert_eq!(sh("echo no >&2; exit 1").consume(&mut source).unwrap_err().causes, ["no"]);
    }

    #[test]
    fn a_talk() {
        let mut talk =
            sh("while read -r l; do [ $l != end ] || exec sh -c 'echo why >&2; exit 1'; \
             echo got $l; done")
            .converse()
            .unwrap();
        assert_eq!(talk.ask("a").unwrap(), "got a");
        assert_eq!(talk.ask("b").unwrap(), "got b");
        assert_eq!(talk.ask("end").unwrap_err().causes, ["why"]);
    }
}
