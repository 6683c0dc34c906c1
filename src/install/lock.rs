//! Locks: one command at a time changes an instance, or the unit directory.
//!
//! They are advisory locks on files (flock(2)), so that they end with the process that holds them.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::atomic::create_dirs;
use crate::error::{Error, Kind, Result};
use crate::model::Name;

/// What a lock is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One instance: its manifest, state, secrets and services.
    Instance(Name),
    /// The backups of one instance: one is made, restored or imported beside at a time. Taken before
    /// an instance's lock.
    Backups(Name),
    /// The unit directory of all instances; held shortly, and taken after an instance's lock.
    Units,
}

impl Scope {
    fn path(&self, state: &Utf8Path) -> Utf8PathBuf {
        match self {
            Scope::Instance(name) => state.join(name.as_str()).join("lock"),
            Scope::Backups(name) => state.join(name.as_str()).join("backups.lock"),
            Scope::Units => state.join("units.lock"),
        }
    }
}

/// Who holds a lock: what it wrote into the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; `None` when it has not written it yet.
    pub pid: Option<u32>,
    /// What it is doing: `ragpod up demo`.
    pub doing: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) if self.doing.is_empty() => write!(f, "pid {pid}"),
            Some(pid) => write!(f, "pid {pid} ({})", self.doing),
            None => f.write_str("another ragpod"),
        }
    }
}

/// How often a held lock is tried again.
pub const POLL: Duration = Duration::from_millis(50);

/// How often in a row somebody may delete the directory between its making and the file's.
const DELETED: u32 = 100;

/// A lock that is held, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    scope: Scope,
}

impl Lock {
    /// Takes a lock below the state directory ([`Env::state`](crate::env::Env::state)), waiting
    /// for at most `timeout`. `doing` is what others are told (`ragpod up demo`); `waiting` is
    /// called once for each holder that is waited for.
    ///
    /// # Errors
    /// [`Kind::Locked`] with the holder after the time, [`Kind::Io`] when there can be no lock
    /// file.
    #[allow(clippy::needless_pass_by_value)] // Most callers make it for this.
    pub fn take(
        state: &Utf8Path,
        scope: Scope,
        doing: &str,
        timeout: Duration,
        waiting: &mut dyn FnMut(&Holder),
    ) -> Result<Self> {
        let started = Instant::now();
        let mut told = None;
        loop {
            let holder = match Self::attempt(state, &scope, doing)? {
                Ok(lock) => return Ok(lock),
                Err(holder) => holder,
            };
            if started.elapsed() >= timeout {
                return Err(locked(&scope, &holder));
            }
            if holder.pid.is_some() && told.as_ref() != Some(&holder) {
                waiting(&holder);
                told = Some(holder);
            }
            std::thread::sleep(POLL.min(timeout.saturating_sub(started.elapsed())));
        }
    }

    /// Takes a lock as [`Lock::take`] does if nobody holds it; gives the holder otherwise.
    ///
    /// # Errors
    /// [`Kind::Io`] when there can be no lock file.
    pub fn attempt(state: &Utf8Path, scope: &Scope, doing: &str) -> Result<Result<Self, Holder>> {
        let path = scope.path(state);
        let mut gone = 0;
        loop {
            // Each time: `rm` deletes the directory with the lock's file in it.
            if let Some(dir) = path.parent() {
                create_dirs(dir, 0o700)?;
            }
            let mut file = match open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && gone < DELETED => {
                    gone += 1;
                    continue;
                }
                opened => opened.map_err(|e| Error::io("create", &path, &e))?,
            };
            match file.try_lock() {
                // Deleted between opening and locking: that lock would keep nobody out.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => {
                    // Only a courtesy: a full disk keeps nobody from the lock.
                    drop(note(&mut file, doing));
                    return Ok(Ok(Self { file, scope: scope.clone() }));
                }
                Err(TryLockError::WouldBlock) => return Ok(Err(holder(&mut file))),
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, &e)),
            }
        }
    }

    /// Whether somebody holds a lock now.
    #[must_use]
    pub fn is_held(state: &Utf8Path, scope: &Scope) -> bool {
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        File::open(scope.path(state)).is_ok_and(held)
    }

    /// What it is for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The next one must not be told of a process that is gone. The lock ends with the file.
        let _ = self.file.set_len(0);
    }
}

fn open(path: &Utf8Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Whether the open file is still the one of that name.
fn is_at(file: &File, path: &Utf8Path) -> bool {
    let there = std::fs::metadata(path).map(|m| (m.dev(), m.ino()));
    let ours = file.metadata().map(|m| (m.dev(), m.ino()));
    matches!((there, ours), (Ok(a), Ok(b)) if a == b)
}

fn note(file: &mut File, doing: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {doing}", std::process::id())
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(1024).read_to_string(&mut text));
    let (pid, doing) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
    Holder { pid: pid.parse().ok(), doing: doing.to_owned() }
}

/// The error of whoever does not wait any longer.
#[must_use]
pub fn locked(scope: &Scope, holder: &Holder) -> Error {
    let what = match scope {
        Scope::Instance(name) => format!("instance {name}"),
        Scope::Backups(name) => format!("what is kept of {name}"),
        Scope::Units => "the unit directory".to_owned(),
    };
    let error = Error::new(Kind::Locked, format!("{what} is held by {holder}"));
    match holder.pid {
        Some(pid) => error
            .hint("wait for it to end, then run the same command again")
            .hint(format!("see what it is: ps -fp {pid}")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;

    const SOON: Duration = Duration::from_millis(10);

    fn take(state: &Utf8Path, scope: &str, timeout: Duration) -> Result<Lock> {
        let scope = match scope {
            "" => Scope::Units,
            name => Scope::Instance(name.parse().unwrap()),
        };
        Lock::take(state, scope, "ragpod up demo", timeout, &mut |_| {})
    }

    #[test]
    fn one_at_a_time_and_the_other_is_told_who() {
        let (_keep, dir) = dir();
        let held = take(&dir, "demo", SOON).unwrap();
        let mut seen = Vec::new();
        let scope = Scope::Instance("demo".parse().unwrap());
        let e = Lock::take(&dir, scope, "ragpod rm demo", SOON, &mut |h| seen.push(h.to_string()))
            .unwrap_err();
        let pid = std::process::id();
        assert_eq!(e.kind, Kind::Locked);
        assert_eq!(e.message, format!("instance demo is held by pid {pid} (ragpod up demo)"));
        assert_eq!(seen, [format!("pid {pid} (ragpod up demo)")]);
        take(&dir, "other", SOON).unwrap();
        take(&dir, "", SOON).unwrap();
        drop(held);
        take(&dir, "demo", SOON).unwrap();
    }

    #[test]
    fn a_lock_whose_file_was_deleted_is_not_taken() {
        let (_keep, dir) = dir();
        let held = take(&dir, "demo", SOON).unwrap();
        let waiter = std::thread::spawn({
            let dir = dir.clone();
            move || take(&dir, "demo", Duration::from_secs(10)).unwrap()
        });
        std::thread::sleep(POLL);
        std::fs::remove_dir_all(dir.join("demo")).unwrap();
        drop(held);
        let got = waiter.join().unwrap();
        assert!(is_at(&got.file, &dir.join("demo/lock")));
        assert_eq!(take(&dir, "demo", SOON).unwrap_err().kind, Kind::Locked);
    }

    #[test]
    fn holders_in_words() {
        let h = |pid, doing: &str| Holder { pid, doing: doing.to_owned() }.to_string();
        assert_eq!(h(Some(7), "ragpod up a"), "pid 7 (ragpod up a)");
        assert_eq!(h(Some(7), ""), "pid 7");
        assert_eq!(h(None, ""), "another ragpod");
    }
}
