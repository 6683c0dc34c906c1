//! What switches schedules on, in systemd's directories of user units: the drop-in of each timer,
//! the link of each unit that is wanted, and the template units where no package brought them.
//!
//! Each file is replaced in one step, a drop-in before the link that makes it count and after that
//! is gone, so that what a crash leaves is completed by the next run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};

use super::atomic::{atomic_write, create_dirs, is_temporary, sweep_dir};
use super::lock::Lock;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::model::{Chore, Name, Part, TARGET};

/// The name of ragpod's drop-ins.
const DROP_IN: &str = "50-ragpod.conf";

/// Where packages and administrators put units for all users, first in systemd's order. Its other
/// places are for one user or for one boot.
const PACKAGED: [&str; 5] = [
    "/etc/systemd/user",
    "/usr/local/share/systemd/user",
    "/usr/share/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];

/// The schedules that are switched on.
#[derive(Clone, Debug)]
pub struct Schedules {
    /// `$XDG_CONFIG_HOME/systemd/user`.
    units: Utf8PathBuf,
    /// `$XDG_DATA_HOME/systemd/user`, where systemd.unit(5) wants a user's programs to put units.
    templates: Utf8PathBuf,
    /// Where the user's manager notes when a timer last elapsed.
    stamps: Utf8PathBuf,
}

impl Schedules {
    /// Those of this user.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self {
            units: env.config_home.join("systemd/user"),
            templates: env.data_home.join("systemd/user"),
            stamps: env.data_home.join("systemd/timers"),
        }
    }

    fn link(&self, name: &Name, chore: Chore) -> Utf8PathBuf {
        self.units.join(format!("{}.wants", chore.wanted_by(name))).join(chore.unit(name))
    }

    fn drop_in(&self, name: &Name, chore: Chore) -> Utf8PathBuf {
        self.units.join(format!("{}.d", chore.unit(name))).join(DROP_IN)
    }

    fn stamp(&self, name: &Name, chore: Chore) -> Utf8PathBuf {
        self.stamps.join(format!("stamp-{}", chore.unit(name)))
    }

    /// What an instance has switched on.
    #[must_use]
    pub fn of(&self, name: &Name) -> BTreeSet<Chore> {
        Chore::ALL.into_iter().filter(|c| self.link(name, *c).is_symlink()).collect()
    }

    /// Whether an instance has anything switched on, or anything of that is left.
    #[must_use]
    pub fn has_any(&self, name: &Name) -> bool {
        Chore::ALL.into_iter().any(|chore| {
            self.link(name, chore).is_symlink()
                || self.drop_in(name, chore).exists()
                || self.stamp(name, chore).exists()
        })
    }

    /// When a chore's timer last elapsed, in seconds since 1970.
    #[must_use]
    pub fn elapsed(&self, name: &Name, chore: Chore) -> Option<u64> {
        let at = std::fs::metadata(self.stamp(name, chore)).ok()?.modified().ok()?;
        Some(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
    }

    /// The text of a chore's drop-in; `None` when there is none.
    #[must_use]
    pub fn text(&self, name: &Name, chore: Chore) -> Option<String> {
        std::fs::read_to_string(self.drop_in(name, chore)).ok()
    }

    /// When a chore's drop-in was written; `None` when there is none.
    #[must_use]
    pub fn written(&self, name: &Name, chore: Chore) -> Option<std::time::SystemTime> {
        std::fs::metadata(self.drop_in(name, chore)).ok()?.modified().ok()
    }

    /// Whether a chore's drop-in has this text.
    #[must_use]
    pub fn has(&self, name: &Name, chore: Chore, text: &str) -> bool {
        self.text(name, chore).is_some_and(|there| there == text)
    }

    /// Makes the chores of an instance the ones that are switched on; gives those of which
    /// anything changed. `lock` is that of the unit directory.
    pub fn follow(
        &self,
        _lock: &Lock,
        name: &Name,
        chores: &[Chore],
        drop_ins: &BTreeMap<Chore, String>,
    ) -> Result<BTreeSet<Chore>> {
        let mut changed = BTreeSet::new();
        for chore in Chore::ALL {
            let (link, drop_in) = (self.link(name, chore), self.drop_in(name, chore));
            if !chores.contains(&chore) {
                if remove(&link)? | remove(&drop_in)? {
                    changed.insert(chore);
                }
                sweep(&drop_in)?;
                continue;
            }
            if let Some(text) = drop_ins.get(&chore)
                && !self.has(name, chore, text)
            {
                make_parent(&drop_in)?;
                atomic_write(&drop_in, text.as_bytes(), 0o644)?;
                changed.insert(chore);
            }
            crate::fault::point("schedule");
            if self.point(&link, chore.template())? {
                changed.insert(chore);
            }
        }
        Ok(changed)
    }

    /// Forgets when the timers of an instance last elapsed, and its directories that are empty.
    pub fn forget(&self, name: &Name) -> Result<()> {
        for chore in Chore::ALL {
            remove(&self.stamp(name, chore))?;
            for file in [self.drop_in(name, chore), self.link(name, chore)] {
                // One that a user has put something into stays.
                let _ = file.parent().map(std::fs::remove_dir);
            }
        }
        Ok(())
    }

    /// Sees to it that the template units are there: a package's, or these. Gives whether anything
    /// changed.
    pub fn provide(&self, _lock: &Lock, texts: &BTreeMap<&'static str, String>) -> Result<bool> {
        let mut changed = false;
        for (file, text) in texts {
            let own = self.templates.join(file);
            if packaged(file).is_some() {
                // Ours would hide the package's.
                changed |= remove_own(&own)?;
                continue;
            }
            let there = std::fs::read_to_string(&own).ok();
            let ours = there.as_deref().is_none_or(|there| there != text && !newer(there, text));
            if ours {
                make_parent(&own)?;
                atomic_write(&own, text.as_bytes(), 0o644)?;
                changed = true;
            }
        }
        let link = self.units.join("default.target.wants").join(TARGET);
        Ok(self.point(&link, TARGET)? || changed)
    }

    /// Whether nothing is switched on any more, and template units of ours, or what brings them up,
    /// are there all the same.
    pub fn is_to_be_withdrawn(&self, files: &[&str]) -> Result<bool> {
        let target = self.units.join("default.target.wants").join(TARGET);
        let there = target.is_symlink() || files.iter().any(|f| is_own(&self.templates.join(f)));
        Ok(there && self.all()?.is_empty())
    }

    /// Takes the template units away when nothing is switched on any more. Gives whether it did.
    pub fn withdraw(&self, _lock: &Lock, files: &[&str]) -> Result<bool> {
        if !self.all()?.is_empty() {
            return Ok(false);
        }
        let mut gone = remove(&self.units.join("default.target.wants").join(TARGET))?;
        for file in files {
            gone |= remove_own(&self.templates.join(file))?;
            sweep(&self.templates.join(file))?;
        }
        if !gone {
            return Ok(false);
        }
        for dir in [
            self.units.join(format!("{TARGET}.wants")),
            self.units.join("default.target.wants"),
            self.units.clone(),
            self.templates.clone(),
            self.units.join(".."),
        ] {
            let _ = std::fs::remove_dir(dir);
        }
        Ok(gone)
    }

    /// Every instance that has something switched on, with what: two directories are read, and one
    /// more for each instance that stops when it is idle.
    pub fn all(&self) -> Result<BTreeMap<Name, BTreeSet<Chore>>> {
        let mut all: BTreeMap<Name, BTreeSet<Chore>> = BTreeMap::new();
        for file in entries(&self.units.join(format!("{TARGET}.wants")))? {
            for chore in [Chore::Ingest, Chore::Backup, Chore::Watch] {
                let (before, after) = chore.template().split_once('@').unwrap_or_default();
                let name = file.strip_prefix(before).and_then(|f| f.strip_prefix('@'));
                if let Some(name) = name.and_then(|f| f.strip_suffix(after)?.parse().ok()) {
                    all.entry(name).or_default().insert(chore);
                }
            }
        }
        for dir in entries(&self.units)? {
            let service = dir.strip_suffix(".wants").and_then(Part::of_service);
            if let Some((name, Part::Pod)) = service
                && self.link(&name, Chore::Idle).is_symlink()
            {
                all.entry(name).or_default().insert(Chore::Idle);
            }
        }
        Ok(all)
    }

    /// Makes `link` one to a unit; gives whether it was not.
    fn point(&self, link: &Utf8Path, unit: &str) -> Result<bool> {
        let target = packaged(unit).unwrap_or_else(|| self.templates.join(unit));
        if std::fs::read_link(link).is_ok_and(|there| there == target.as_std_path()) {
            return Ok(false);
        }
        make_parent(link)?;
        let name = link.file_name().unwrap_or_default();
        let new = link.with_file_name(format!(".{name}.ragpod-link"));
        remove(&new)?;
        std::os::unix::fs::symlink(&target, &new)
            .and_then(|()| std::fs::rename(&new, link))
            .map_err(|e| Error::io("write", link, &e))?;
        Ok(true)
    }
}

/// The unit file that a package or an administrator has installed.
fn packaged(file: &str) -> Option<Utf8PathBuf> {
    PACKAGED.into_iter().map(|dir| Utf8Path::new(dir).join(file)).find(|path| path.exists())
}

/// Whether a text of ours is of a later version than another.
fn newer(there: &str, ours: &str) -> bool {
    let version = |text: &str| -> Option<Vec<u32>> {
        let version = text.lines().next()?.strip_prefix("# ragpod ")?.split(' ').next()?;
        version.split('.').map(|n| n.parse().ok()).collect()
    };
    version(there) > version(ours)
}

/// Removes a template that ragpod has put there; somebody else's stays.
fn remove_own(path: &Utf8Path) -> Result<bool> {
    if is_own(path) { remove(path) } else { Ok(false) }
}

fn is_own(path: &Utf8Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("# ragpod "))
}

/// Removes a file or link; gives whether it was there.
fn remove(path: &Utf8Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("remove", path, &e)),
    }
}

fn make_parent(path: &Utf8Path) -> Result<()> {
    path.parent().map_or(Ok(()), |dir| create_dirs(dir, 0o755))
}

/// What killed commands left of writing files beside this one.
fn sweep(path: &Utf8Path) -> Result<()> {
    path.parent().map_or(Ok(()), |dir| sweep_dir(dir, is_temporary))
}

/// The names in a directory; none when there is no such directory.
fn entries(dir: &Utf8Path) -> Result<Vec<String>> {
    match std::fs::read_dir(Path::new(dir.as_str())) {
        Ok(entries) => {
            Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io("read", dir, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::lock::Scope;
    use crate::install::tree::tests::dir;
    use std::time::Duration;

    fn schedules(dir: &Utf8Path) -> (Schedules, Lock) {
        let schedules = Schedules {
            units: dir.join("config/systemd/user"),
            templates: dir.join("data/systemd/user"),
            stamps: dir.join("data/systemd/timers"),
        };
        let lock = Lock::take(dir, Scope::Units, "test", Duration::ZERO, &mut |_| {}).unwrap();
        (schedules, lock)
    }

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    #[test]
    fn switched_on_changed_and_off_again() {
        let (_keep, dir) = dir();
        let (schedules, lock) = schedules(&dir);
        let a = name("a");
        let texts = |when: &str| BTreeMap::from([(Chore::Ingest, when.to_owned())]);
        let chores = [Chore::Ingest, Chore::Idle, Chore::Watch];
        let changed = schedules.follow(&lock, &a, &chores, &texts("hourly")).unwrap();
        assert_eq!(changed, chores.into());
        assert_eq!(schedules.of(&a), chores.into());
        assert!(schedules.follow(&lock, &a, &chores, &texts("hourly")).unwrap().is_empty());
        let again = schedules.follow(&lock, &a, &chores, &texts("daily")).unwrap();
        assert_eq!(again, [Chore::Ingest].into());
        let units = dir.join("config/systemd/user");
        let drop_in = units.join("ragpod-ingest@a.timer.d/50-ragpod.conf");
        assert_eq!(std::fs::read_to_string(&drop_in).unwrap(), "daily");
        assert!(units.join("hybridrag-a-pod.service.wants/ragpod-idle@a.timer").is_symlink());
        schedules.follow(&lock, &name("b"), &[Chore::Watch], &BTreeMap::new()).unwrap();
        let all = schedules.all().unwrap();
        assert_eq!((all.len(), &all[&a]), (2, &BTreeSet::from(chores)));
        // What a user has put beside ours stays, and what a killed command left does not.
        std::fs::write(drop_in.with_file_name("99-mine.conf"), "").unwrap();
        std::fs::write(drop_in.with_file_name(".50-ragpod.conf.ragpod-x"), "").unwrap();
        let off = schedules.follow(&lock, &a, &[], &BTreeMap::new()).unwrap();
        assert_eq!(off, chores.into());
        schedules.forget(&a).unwrap();
        assert!(schedules.of(&a).is_empty());
        assert_eq!(entries(&units.join("ragpod-ingest@a.timer.d")).unwrap(), ["99-mine.conf"]);
        assert!(!units.join("hybridrag-a-pod.service.wants").exists());
    }

    #[test]
    fn templates_come_with_the_first_and_go_with_the_last() {
        let (_keep, dir) = dir();
        let (schedules, lock) = schedules(&dir);
        let file = "ragpod-test-of-templates@.timer";
        let of = |text: &str| BTreeMap::from([(file, format!("# ragpod {text}"))]);
        let there = || std::fs::read_to_string(dir.join("data/systemd/user").join(file)).unwrap();
        assert!(schedules.provide(&lock, &of("0.2.0 x")).unwrap());
        assert!(!schedules.provide(&lock, &of("0.2.0 x")).unwrap());
        assert!(schedules.provide(&lock, &of("0.10.0 x")).unwrap());
        assert!(!schedules.provide(&lock, &of("0.9.0 x")).unwrap(), "a newer one stays");
        assert_eq!(there(), "# ragpod 0.10.0 x");
        assert!(schedules.provide(&lock, &of("0.10.0 y")).unwrap());
        schedules.follow(&lock, &name("a"), &[Chore::Watch], &BTreeMap::new()).unwrap();
        assert!(!schedules.withdraw(&lock, &[file]).unwrap());
        assert!(!schedules.is_to_be_withdrawn(&[file]).unwrap());
        assert!(schedules.has_any(&name("a")) && !schedules.has_any(&name("b")));
        schedules.follow(&lock, &name("a"), &[], &BTreeMap::new()).unwrap();
        assert!(!schedules.has_any(&name("a")));
        assert!(schedules.is_to_be_withdrawn(&[file]).unwrap());
        assert!(schedules.withdraw(&lock, &[file]).unwrap());
        assert!(!schedules.is_to_be_withdrawn(&[file]).unwrap());
        assert!(!dir.join("data/systemd/user").exists());
        assert!(!dir.join("config/systemd/user").exists());
    }
}
