//! The one error shape: what went wrong, why, and what to type next.
//!
//! Every failure that reaches a person is an [`Error`]. Its [`Kind`] decides the exit code,
//! its message is one line, its cause is what a lower layer said, and its hints are commands
//! or edits that cure it.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::model::Name;

/// What sort of failure it was; decides the exit code and is `error.kind` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The command ran and did not succeed.
    Failed,
    /// A service did not start, or ended in failure.
    Unit,
    /// The command line is wrong.
    Usage,
    /// The manifest is invalid.
    Manifest,
    /// An instance of that name exists already.
    Exists,
    /// The host lacks something that ragpod needs; `ragpod doctor` explains.
    Host,
    /// An image is not on this host and cannot be made or found.
    Image,
    /// No such instance.
    NoInstance,
    /// The instance, or the service asked for, is not running.
    NotRunning,
    /// Somebody else holds the lock.
    Locked,
    /// A file could not be read or written.
    Io,
    /// The user pressed Ctrl-C.
    Interrupted,
}

impl Kind {
    /// Every kind, for tests that must cover them all.
    pub const ALL: [Kind; 12] = [
        Kind::Failed,
        Kind::Unit,
        Kind::Usage,
        Kind::Manifest,
        Kind::Exists,
        Kind::Host,
        Kind::Image,
        Kind::NoInstance,
        Kind::NotRunning,
        Kind::Locked,
        Kind::Io,
        Kind::Interrupted,
    ];

    /// The process exit code: 1 failed, 2 wrong use, 3 host not able, 4 not there or not running,
    /// 130 interrupted.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed | Kind::Unit | Kind::Locked | Kind::Io => 1,
            Kind::Usage | Kind::Manifest | Kind::Exists => 2,
            Kind::Host | Kind::Image => 3,
            Kind::NoInstance | Kind::NotRunning => 4,
            // As a shell tells of a program that SIGINT ended.
            Kind::Interrupted => 130,
        }
    }

    /// What to type when the place that failed knew nothing better.
    #[must_use]
    pub fn default_hint(self) -> &'static str {
        match self {
            Kind::Failed | Kind::Host | Kind::Io => "see what the host lacks: ragpod doctor",
            Kind::Unit => "see which instances are in trouble: ragpod status",
            Kind::Usage => "see what the command takes: the same with --help",
            Kind::Manifest => "correct the manifest and run the command again",
            Kind::Exists => "pick another name, or see what is there: ragpod list",
            Kind::Image => "build the images: ragpod image build",
            Kind::NoInstance => "see which instances there are: ragpod list",
            Kind::NotRunning => "see which instances run: ragpod list",
            Kind::Interrupted => "see how things stand: ragpod status",
            Kind::Locked => "wait for the other command to end, then run this one again",
        }
    }

    /// The same where it is known which instance it is about.
    #[must_use]
    pub fn hint_about(self, name: &Name) -> String {
        match self {
            Kind::Failed | Kind::Unit => {
                format!("see what the services said: ragpod logs {name} -n 50")
            }
            Kind::NotRunning => format!("start it: ragpod up {name}"),
            Kind::Interrupted => format!("see how it stands: ragpod status {name}"),
            _ => self.default_hint().to_owned(),
        }
    }
}

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, told to a person: one line, its causes, what to type next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What sort of failure; decides the exit code.
    pub kind: Kind,
    /// One line: what could not be done.
    pub message: String,
    /// Why, outermost first; may hold several lines (journal excerpts).
    pub causes: Vec<String>,
    /// What to type next, best first. Never empty when printed: see [`Error::hints`].
    hints: Vec<String>,
}

impl Error {
    /// An error of `kind` with its one line.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// The general failure, exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The host is not able, exit code 3.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(Kind::Host, message)
    }

    /// Wrong use of the command line, exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// An operation on a file that failed: `Error::io("write", path, &e)`.
    pub fn io(verb: &str, path: impl fmt::Display, e: &io::Error) -> Self {
        let error = Self::new(Kind::Io, format!("cannot {verb} {path}")).cause(e.to_string());
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                error.hint("free some space there (df -h), then run the same command again")
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                error.hint(format!("make it writable for you: ls -ld {path}"))
            }
            _ => error,
        }
    }

    /// Adds why.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what to type next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same of a thing that has another name where it is read.
    #[must_use]
    pub fn rename(mut self, from: &str, to: &str) -> Self {
        for text in self.causes.iter_mut().chain(&mut self.hints).chain([&mut self.message]) {
            *text = text.replace(from, to);
        }
        self
    }

    /// Names the instance that it is about where only the kind knows what to type next.
    #[must_use]
    pub fn about(self, name: &Name) -> Self {
        if !self.hints.is_empty() {
            return self;
        }
        let hint = self.kind.hint_about(name);
        self.hint(hint)
    }

    /// What to type next; the kind's own default when the place that failed knew nothing better.
    #[must_use]
    pub fn hints(&self) -> Vec<&str> {
        if self.hints.is_empty() {
            vec![self.kind.default_hint()]
        } else {
            self.hints.iter().map(String::as_str).collect()
        }
    }

    /// The `--json` form: `{"error":{"kind","message","causes","hints"}}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "kind": self.kind,
            "message": self.message,
            "causes": self.causes,
            "hints": self.hints(),
        }})
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_exit_code_and_a_hint() {
        for kind in Kind::ALL {
            let code = kind.exit_code();
            assert!((1..=4).contains(&code) || kind == Kind::Interrupted, "{kind:?}");
            // Whatever is printed can be typed as it stands: nothing in it is to be filled in.
            for hint in [kind.default_hint().to_owned(), kind.hint_about(&"work".parse().unwrap())]
            {
                let filled = hint.chars().all(|c| !c.is_uppercase());
                assert!(filled && hint.len() > 20, "{kind:?}: {hint}");
            }
            assert_eq!(Error::new(kind, "x").hints(), [kind.default_hint()]);
        }
    }

    #[test]
    fn a_renamed_thing_is_renamed_throughout() {
        let e = Error::failed("no /t/0/x").cause("/t/0/x: why").hint("see /t/0/x");
        let e = e.rename("/t/0/x", "x");
        assert_eq!((e.to_string().as_str(), e.hints()), ("no x: x: why", vec!["see x"]));
    }

    #[test]
    fn a_hint_names_the_instance() {
        let name = "work".parse().unwrap();
        let failed = Error::failed("x").about(&name);
        assert_eq!(failed.hints(), ["see what the services said: ragpod logs work -n 50"]);
        let better = Error::failed("x").hint("do this").about(&name);
        assert_eq!(better.hints(), ["do this"]);
    }

    #[test]
    fn a_full_disk_says_so() {
        let e = Error::io("write", "/s/x", &io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(e.kind.exit_code(), 1);
        assert!(e.hints()[0].contains("space"), "{e:?}");
    }
}
