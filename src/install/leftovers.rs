//! What killed commands left on disk. None of it is in anybody's way: the next change of the same
//! instance sweeps it. `doctor` tells of it, and removes it when asked to.

use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::atomic::{is_temporary, sweep_dir};
use super::lock::{Lock, Scope};
use super::state::{State, sweep_state};
use crate::error::{Error, Result};
use crate::model::Name;

/// What there is for one instance, or for a name that had one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Temporary files, and directories with nothing but locks in them.
    pub files: Vec<Utf8PathBuf>,
    /// The lock's file, where it names a process that does not hold it.
    pub lock: Option<Utf8PathBuf>,
}

impl Leftovers {
    /// All paths.
    #[must_use]
    pub fn paths(self) -> Vec<Utf8PathBuf> {
        self.files.into_iter().chain(self.lock).collect()
    }
}

/// What killed commands left in an instance's state directory. Nothing, while somebody is at work.
/// `known`: it has a manifest or units, and so may have a directory with nothing but locks in it.
#[must_use]
pub fn leftovers(state: &Utf8Path, name: &Name, known: bool) -> Leftovers {
    let mut found = Leftovers::default();
    if Lock::is_held(state, &Scope::Instance(name.clone())) {
        return found;
    }
    let dir = State::dir(state, name);
    if !known && State::is_bare(state, name) {
        found.files.push(dir);
        return found;
    }
    for dir in [dir.clone(), dir.join("generations")] {
        found.files.extend(temporary(&dir));
    }
    let lock = dir.join("lock");
    if std::fs::metadata(&lock).is_ok_and(|meta| meta.len() > 0) {
        found.lock = Some(lock);
    }
    found
}

/// The temporary files in a directory.
#[must_use]
pub fn temporary(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    entries.filter(|e| is_temporary(e.file_name())).map(|e| e.path().to_owned()).collect()
}

/// Removes what [`leftovers`] finds. `lock` is the instance's.
pub fn remove_leftovers(state: &Utf8Path, name: &Name, lock: Lock) -> Result<()> {
    debug_assert_eq!(*lock.scope(), Scope::Instance(name.clone()));
    sweep_state(state, name)?;
    // Taking the lock and letting go of it has emptied its file.
    drop(lock);
    State::remove_if_bare(state, name)
}

/// Removes the temporary files of manifests. Only files that nobody has open for writing are
/// there: a manifest is written within milliseconds, below its instance's lock.
pub fn remove_temporary(dir: &Utf8Path) -> Result<()> {
    sweep_dir(dir, is_temporary)
}

/// Empties the file of the unit directory's lock, if nobody holds it.
pub fn forget_holder(state: &Utf8Path) -> Result<()> {
    let path = state.join("units.lock");
    match File::options().write(true).open(&path) {
        Ok(file) if file.try_lock().is_ok() => {
            file.set_len(0).map_err(|e| Error::io("write", &path, &e))
        }
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("open", &path, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;
    use std::time::Duration;

    #[test]
    fn what_is_left_is_found_and_removed() {
        let (_keep, state) = dir();
        let name: Name = "demo".parse().unwrap();
        let take = || {
            let scope = Scope::Instance(name.clone());
            Lock::take(&state, scope, "x", Duration::from_secs(1), &mut |_| {}).unwrap()
        };
        State::default().save(&state, &name).unwrap();
        assert_eq!(leftovers(&state, &name, false), Leftovers::default());
        std::fs::write(state.join("demo/.state.json.ragpod-x"), "").unwrap();
        std::fs::write(state.join("demo/lock"), "999999 ragpod up demo\n").unwrap();
        let held = take();
        assert_eq!(leftovers(&state, &name, false), Leftovers::default(), "somebody is at work");
        drop(held);
        std::fs::write(state.join("demo/lock"), "999999 ragpod up demo\n").unwrap();
        assert_eq!(leftovers(&state, &name, false).paths().len(), 2);
        remove_leftovers(&state, &name, take()).unwrap();
        assert_eq!(leftovers(&state, &name, false), Leftovers::default());
        assert!(State::exists(&state, &name));
    }

    #[test]
    fn a_directory_with_nothing_but_locks_goes() {
        let (_keep, state) = dir();
        let name: Name = "demo".parse().unwrap();
        std::fs::create_dir(state.join("demo")).unwrap();
        std::fs::write(state.join("demo/lock"), "").unwrap();
        assert!(leftovers(&state, &name, true).files.is_empty());
        assert_eq!(leftovers(&state, &name, false).files, [state.join("demo")]);
        let scope = Scope::Instance(name.clone());
        let lock = Lock::take(&state, scope, "x", Duration::from_secs(1), &mut |_| {}).unwrap();
        remove_leftovers(&state, &name, lock).unwrap();
        assert!(!state.join("demo").exists());
    }

    #[test]
    fn the_unit_directorys_lock_and_manifests() {
        let (_keep, state) = dir();
        forget_holder(&state).unwrap();
        std::fs::write(state.join("units.lock"), "999999 x\n").unwrap();
        forget_holder(&state).unwrap();
        assert_eq!(std::fs::read(state.join("units.lock")).unwrap(), b"");
        std::fs::write(state.join(".a.toml.ragpod-1"), "").unwrap();
        assert_eq!(temporary(&state).len(), 1);
        remove_temporary(&state).unwrap();
        assert!(temporary(&state).is_empty());
    }
}
