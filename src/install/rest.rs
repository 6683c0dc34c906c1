//! What is remembered of an instance that stops when nobody uses it: when it was used last, who is
//! with it now, and whether a use starts it again.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::json;
use super::state::State;
use crate::error::{Error, Result};
use crate::model::Name;

const VERSION: u64 = 1;

/// `rest.json`: the next use may start the instance. There is none of an instance that somebody
/// stopped, or that has no `idle_stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rest {
    /// It was stopped after so many idle seconds; `None` while it is meant to run.
    pub idle_seconds: Option<u64>,
}

impl Rest {
    fn file(state: &Utf8Path, name: &Name) -> Utf8PathBuf {
        State::dir(state, name).join("rest.json")
    }

    /// Whether anything is remembered.
    #[must_use]
    pub fn exists(state: &Utf8Path, name: &Name) -> bool {
        Self::file(state, name).exists()
    }

    /// What is remembered, and since when.
    ///
    /// # Errors
    /// The file is corrupt or was written by a newer ragpod.
    pub fn load(state: &Utf8Path, name: &Name) -> Result<Option<(Self, SystemTime)>> {
        let file = Self::file(state, name);
        let Some(rest) = json::read(&file, VERSION)? else { return Ok(None) };
        let since = std::fs::metadata(&file).and_then(|m| m.modified());
        Ok(Some((rest, since.unwrap_or(SystemTime::UNIX_EPOCH))))
    }

    /// Remembers it. The caller holds the instance's lock.
    pub fn save(&self, state: &Utf8Path, name: &Name) -> Result<()> {
        json::write(&Self::file(state, name), VERSION, self)
    }

    /// From here on no use starts it. The caller holds the instance's lock.
    pub fn end(state: &Utf8Path, name: &Name) -> Result<()> {
        json::remove(&Self::file(state, name))
    }
}

/// The files of an instance that its uses touch and lock.
#[derive(Clone, Debug)]
pub struct Uses {
    dir: Utf8PathBuf,
}

impl Uses {
    /// Those of an instance.
    #[must_use]
    pub fn of(state: &Utf8Path, name: &Name) -> Self {
        Self { dir: State::dir(state, name) }
    }

    /// It is being used: some microseconds. A full disk or a missing directory keeps nobody from it.
    pub fn note(&self) {
        let path = self.dir.join("used");
        // Only an instance has a directory, and a use makes none.
        let file = File::options().append(true).create(true).open(path);
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// When it was used last; `None` when it never was.
    #[must_use]
    pub fn last(&self) -> Option<SystemTime> {
        std::fs::metadata(self.dir.join("used")).and_then(|m| m.modified()).ok()
    }

    /// Takes part in a use of this kind that lasts; it ends when the result is dropped.
    #[must_use]
    pub fn join(&self, kind: Lasting) -> Option<File> {
        let file = self.open(kind).ok()?;
        // Whoever looks has it for some microseconds.
        file.lock_shared().is_ok().then_some(file)
    }

    /// Whether anybody takes part in a use of this kind.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub fn is_joined(&self, kind: Lasting) -> Result<bool> {
        let failed = |e: &io::Error| Error::io("look at", self.dir.join(kind.file()), e);
        match File::open(self.dir.join(kind.file())) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(false),
                Err(std::fs::TryLockError::WouldBlock) => Ok(true),
                Err(std::fs::TryLockError::Error(e)) => Err(failed(&e)),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(failed(&e)),
        }
    }

    /// The turn of an ingest that the instance does by itself, until the result is dropped; `None`
    /// while another one has it.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn turn(&self) -> Result<Option<File>> {
        let path = self.dir.join("turn");
        let failed = |e: &io::Error| Error::io("lock", &path, e);
        let file = File::options().append(true).create(true).open(&path);
        let file = file.map_err(|e| failed(&e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(failed(&e)),
        }
    }

    fn open(&self, kind: Lasting) -> io::Result<File> {
        File::options().append(true).create(true).open(self.dir.join(kind.file()))
    }
}

/// A use that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// A session of the Model Context Protocol.
    Session,
    /// What the instance does by itself, and a backup: nobody's use, and yet it must not be cut off.
    Scheduled,
}

impl Lasting {
    pub(super) const FILES: [&'static str; 5] = ["used", "session", "scheduled", "watched", "turn"];

    fn file(self) -> &'static str {
        match self {
            Lasting::Session => "session",
            Lasting::Scheduled => "scheduled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;

    #[test]
    fn uses() {
        let (_keep, dir) = dir();
        let name: Name = "demo".parse().unwrap();
        let uses = Uses::of(&dir, &name);
        uses.note();
        assert_eq!((uses.last(), dir.join("demo").exists()), (None, false), "no instance, no use");
        std::fs::create_dir(dir.join("demo")).unwrap();
        let before = SystemTime::now() - std::time::Duration::from_secs(1);
        uses.note();
        assert!(uses.last().unwrap() > before);
        let one = uses.join(Lasting::Session).unwrap();
        let two = uses.join(Lasting::Session).unwrap();
        assert!(uses.is_joined(Lasting::Session).unwrap());
        assert!(!uses.is_joined(Lasting::Scheduled).unwrap());
        drop(one);
        assert!(uses.is_joined(Lasting::Session).unwrap());
        drop(two);
        assert!(!uses.is_joined(Lasting::Session).unwrap());
        let turn = uses.turn().unwrap();
        assert!(turn.is_some() && uses.turn().unwrap().is_none());
        drop(turn);
        assert!(uses.turn().unwrap().is_some());
    }

    #[test]
    fn rest() {
        let (_keep, dir) = dir();
        let name: Name = "demo".parse().unwrap();
        assert_eq!(Rest::load(&dir, &name).unwrap(), None);
        let rest = Rest { idle_seconds: Some(1800) };
        rest.save(&dir, &name).unwrap();
        assert_eq!(Rest::load(&dir, &name).unwrap().unwrap().0, rest);
        Rest::end(&dir, &name).unwrap();
        Rest::end(&dir, &name).unwrap();
        assert_eq!(Rest::load(&dir, &name).unwrap(), None);
    }
}
