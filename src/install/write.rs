//! The unit directory changed in one step.
//!
//! The generator reads every file below `containers/systemd` whenever anybody reloads the manager,
//! so the directory must never be half-changed. A hard-linked copy of it is made next to the
//! manifests (the same file system, outside of what the generator scans), changed, checked, made
//! durable, and exchanged for the directory by renameat2(2). A crash leaves the old directory or
//! the new one, and perhaps a stage that the next run removes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::atomic::{create_dirs, sync_dir};
use super::lock::{Lock, Scope};
use super::plan::{Installed, Plan};
use super::tree;
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::model::{Name, Part};

/// How far a change has come: for progress, and for tests that stop at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The copy is made.
    Staged,
    /// The copy has the new files.
    Written,
    /// The check agreed with the copy.
    Checked,
    /// The copy is durable.
    Synced,
    /// Nobody has changed the directory since it was copied.
    Compared,
    /// The copy is in place.
    Exchanged,
    /// What it replaced is deleted.
    Cleaned,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Step; 7] = [
        Step::Staged,
        Step::Written,
        Step::Checked,
        Step::Synced,
        Step::Compared,
        Step::Exchanged,
        Step::Cleaned,
    ];

    /// A word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Staged => "staged",
            Step::Written => "written",
            Step::Checked => "checked",
            Step::Synced => "synced",
            Step::Compared => "compared",
            Step::Exchanged => "exchanged",
            Step::Cleaned => "cleaned",
        }
    }
}

const STAGE: &str = ".stage-";
const BEFORE: &str = ".before-";

/// How often a change starts again because somebody else changed the directory meanwhile.
const ATTEMPTS: usize = 3;

/// Whose a unit or a drop-in is, by where it lies.
#[must_use]
pub fn owner(file: &Utf8Path) -> Option<Name> {
    let part = |c: camino::Utf8Component<'_>| Part::of_file(c.as_str().trim_end_matches(".d"));
    file.components().rev().find_map(part).map(|(name, _)| name)
}

/// The flat directory of all instances' units.
#[derive(Clone, Debug)]
pub struct UnitDir {
    dir: Utf8PathBuf,
    staging: Utf8PathBuf,
}

impl UnitDir {
    /// The directory of this user: see [`Env::units`].
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self::at(env.units(), env.config_home.join("ragpod"))
    }

    /// The directory `dir`, staged in `staging`, which must be on the same file system and not
    /// below anything that the generator scans.
    #[must_use]
    pub fn at(dir: Utf8PathBuf, staging: Utf8PathBuf) -> Self {
        Self { dir, staging }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.dir
    }

    /// Reads what is installed. Nothing there is nothing installed.
    pub fn read(&self) -> Result<Installed> {
        let mut installed = Installed::default();
        if !self.exists()? {
            return Ok(installed);
        }
        let failed = |e: &io::Error| Error::io("read", &self.dir, e);
        for entry in std::fs::read_dir(&self.dir).map_err(|e| failed(&e))? {
            let entry = entry.map_err(|e| failed(&e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().map_err(|e| failed(&e))?;
            if kind.is_file() {
                match std::fs::read(entry.path()) {
                    Ok(text) => {
                        let text = String::from_utf8_lossy(&text).into_owned();
                        drop(installed.files.insert(name, text));
                    }
                    // The directory was exchanged under us: a reader holds no lock.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::io("read", self.dir.join(name), &e)),
                }
            } else if kind.is_dir() && name.strip_suffix(".d").is_some() {
                let mut files: Vec<String> = std::fs::read_dir(entry.path())
                    .map_err(|e| Error::io("read", self.dir.join(&name), &e))?
                    .filter_map(|f| Some(f.ok()?.file_name().to_string_lossy().into_owned()))
                    .collect();
                files.sort();
                installed.drop_ins.insert(name, files);
            } else {
                installed.others.insert(name);
            }
        }
        Ok(installed)
    }

    /// The parts that are installed of each instance, by the names of their files alone: cheap for
    /// any number of instances.
    pub fn parts(&self) -> Result<BTreeMap<Name, BTreeSet<Part>>> {
        let mut parts: BTreeMap<Name, BTreeSet<Part>> = BTreeMap::new();
        let entries = match self.dir.read_dir_utf8() {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(parts),
            // What stands in its place is told best by who looks for it.
            Err(e) => return self.exists().and(Err(Error::io("read", &self.dir, &e))),
        };
        for entry in entries {
            // A name that is no UTF-8 is nobody's unit of ours.
            let Ok(entry) = entry else { continue };
            if let Some((name, part)) = Part::of_file(entry.file_name()) {
                parts.entry(name).or_default().insert(part);
            }
        }
        Ok(parts)
    }

    /// The installed parts of one instance; none when it is not installed.
    pub fn parts_of(&self, name: &Name) -> Result<BTreeSet<Part>> {
        Ok(self.parts()?.remove(name).unwrap_or_default())
    }

    /// Makes a plan true, or changes nothing. `check` sees the changed copy before it is put in
    /// place and can refuse it; `at` is told each step.
    ///
    /// `lock` is the proof that nobody else of ours is changing the directory.
    ///
    /// # Errors
    /// [`Kind::Io`] for whatever the disk refuses, and the check's own error.
    pub fn apply(
        &self,
        lock: &Lock,
        plan: &Plan,
        mut check: impl FnMut(&Utf8Path) -> Result<()>,
        at: &mut dyn FnMut(Step),
    ) -> Result<()> {
        debug_assert_eq!(*lock.scope(), Scope::Units);
        self.sweep(lock)?;
        if plan.is_empty() {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            if self.attempt(plan, &mut check, at)? {
                return Ok(());
            }
        }
        Err(Error::new(Kind::Io, format!("{} keeps changing", self.dir))
            .cause("another program writes files there, and ragpod would lose them")
            .hint("end that program (an editor, a synchronisation), then run the command again"))
    }

    /// One try; `false` when the directory changed between copying and exchanging.
    fn attempt(
        &self,
        plan: &Plan,
        check: &mut dyn FnMut(&Utf8Path) -> Result<()>,
        at: &mut dyn FnMut(Step),
    ) -> Result<bool> {
        create_dirs(&self.staging, 0o755)?;
        let there = self.exists()?;
        let before = if there { Some(tree::marks(&self.dir)?) } else { None };
        let stage = self.stage(there)?;
        let staged = utf8(stage.path())?;
        at(Step::Staged);
        write_into(&staged, plan)?;
        at(Step::Written);
        check(&staged)?;
        at(Step::Checked);
        tree::sync(&staged)?;
        at(Step::Synced);
        let now = if self.exists()? { Some(tree::marks(&self.dir)?) } else { None };
        if now != before {
            return Ok(false);
        }
        at(Step::Compared);
        if let Some(parent) = self.dir.parent() {
            create_dirs(parent, 0o755)?;
        }
        if there {
            self.exchange(&staged)?;
            // In the instant before, too, somebody may have written a file. It is in the old
            // directory now; a unit of this instance is ours to replace.
            let ours = |path: &std::path::Path| path.to_str().is_some_and(|p| plan.concerns(p));
            let carried = tree::carry_over(&staged, &self.dir, &before.unwrap_or_default(), &ours);
            if let Err(e) = carried {
                // Nothing that is somebody's is lost: it is all in the old directory.
                self.exchange(&staged)?;
                return Err(e);
            }
        } else {
            self.rename(&staged, &self.dir)?;
        }
        at(Step::Exchanged);
        self.sync_parents()?;
        if there {
            // The stage is the old directory now. The change is done: what cannot be deleted
            // is left to the next run's sweep.
            drop(stage.close());
        } else {
            drop(stage.keep());
        }
        // No directory without units; it fails, as it should, when there is anything in it.
        if std::fs::remove_dir(&self.dir).is_ok() {
            self.sync_parents()?;
        }
        at(Step::Cleaned);
        Ok(true)
    }

    /// Removes what a process that died has left, and finishes an exchange in two steps.
    pub fn sweep(&self, lock: &Lock) -> Result<()> {
        debug_assert_eq!(*lock.scope(), Scope::Units);
        let entries = match self.staging.read_dir_utf8() {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("read", &self.staging, &e)),
        };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let (path, name) = (entry.path(), entry.file_name());
            if name.starts_with(BEFORE) && !self.exists()? {
                self.rename(path, &self.dir)?;
                self.sync_parents()?;
            } else if name.starts_with(STAGE) || name.starts_with(BEFORE) {
                std::fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, &e))?;
            }
        }
        Ok(())
    }

    /// The copies of the directory that killed commands left: see [`UnitDir::sweep`].
    #[must_use]
    pub fn leftovers(&self) -> Vec<Utf8PathBuf> {
        let entries = self.staging.read_dir_utf8().into_iter().flatten().flatten();
        entries
            .filter(|e| e.file_name().starts_with(STAGE) || e.file_name().starts_with(BEFORE))
            .map(|e| e.path().to_owned())
            .collect()
    }

    /// The values of a key, wherever an installed unit or a drop-in has it: the file and the value.
    /// What cannot be read has none.
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<(Utf8PathBuf, String)> {
        let files = |dir: &Utf8Path| -> Vec<Utf8PathBuf> {
            let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
            let mut paths: Vec<Utf8PathBuf> = entries.map(|e| e.path().to_owned()).collect();
            paths.sort();
            paths
        };
        let (dirs, units): (Vec<_>, Vec<_>) =
            files(&self.dir).into_iter().partition(|p| p.is_dir());
        let drop_ins = dirs.iter().flat_map(|dir| files(dir));
        let mut found = Vec::new();
        for file in units.into_iter().chain(drop_ins) {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            for line in text.lines() {
                let Some((name, value)) = line.split_once('=') else { continue };
                if name.trim() == key {
                    found.push((file.clone(), value.trim().to_owned()));
                }
            }
        }
        found
    }

    /// Whether the directory is there.
    ///
    /// # Errors
    /// Something else is in its place.
    fn exists(&self) -> Result<bool> {
        match std::fs::symlink_metadata(&self.dir) {
            Ok(meta) if meta.is_dir() => Ok(true),
            Ok(meta) => {
                let what = if meta.is_symlink() { "a symbolic link" } else { "not a directory" };
                Err(Error::new(Kind::Io, format!("{} is {what}", self.dir))
                    .cause("ragpod exchanges this directory as a whole")
                    .hint(format!(
                        "move it away, then run the same command again: mv {0} {0}.old",
                        self.dir
                    )))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("read", &self.dir, &e)),
        }
    }

    /// A copy of the directory, deleted again unless it is put in place.
    fn stage(&self, there: bool) -> Result<tempfile::TempDir> {
        let failed = |e: &io::Error| Error::io("create a directory in", &self.staging, e);
        let stage = tempfile::Builder::new()
            .prefix(STAGE)
            .tempdir_in(&self.staging)
            .map_err(|e| failed(&e))?;
        let mode = if there {
            let meta = std::fs::metadata(&self.dir).map_err(|e| failed(&e))?;
            meta.permissions().mode() & 0o7777
        } else {
            0o755
        };
        let staged = utf8(stage.path())?;
        if there {
            tree::copy(&self.dir, &staged, nix::unistd::geteuid().as_raw())?;
        }
        std::fs::set_permissions(stage.path(), std::fs::Permissions::from_mode(mode))
            .map_err(|e| failed(&e))?;
        Ok(stage)
    }

    fn exchange(&self, staged: &Utf8Path) -> Result<()> {
        let flags = RenameFlags::RENAME_EXCHANGE;
        match renameat2(AT_FDCWD, staged.as_std_path(), AT_FDCWD, self.dir.as_std_path(), flags) {
            Ok(()) => Ok(()),
            // Some network file systems cannot exchange: two renames, which `sweep` can finish.
            Err(nix::Error::EINVAL | nix::Error::ENOSYS | nix::Error::EOPNOTSUPP) => {
                self.exchange_in_two(staged)
            }
            Err(e) => {
                let e = io::Error::from(e);
                Err(tree::cross_device(&self.dir, &self.staging, &e)
                    .unwrap_or_else(|| Error::io("exchange", &self.dir, &e)))
            }
        }
    }

    fn exchange_in_two(&self, staged: &Utf8Path) -> Result<()> {
        let suffix = staged.file_name().unwrap_or_default().trim_start_matches(STAGE);
        let before = self.staging.join(format!("{BEFORE}{suffix}"));
        self.rename(&self.dir, &before)?;
        if let Err(e) = self.rename(staged, &self.dir) {
            self.rename(&before, &self.dir)?;
            return Err(e);
        }
        // Under the stage's name, so that it goes the way of every old directory.
        self.rename(&before, staged)
    }

    fn rename(&self, from: &Utf8Path, to: &Utf8Path) -> Result<()> {
        std::fs::rename(from, to).map_err(|e| {
            tree::cross_device(&self.dir, &self.staging, &e)
                .unwrap_or_else(|| Error::io("exchange", to, &e))
        })
    }

    fn sync_parents(&self) -> Result<()> {
        sync_dir(&self.staging)?;
        self.dir.parent().map_or(Ok(()), sync_dir)
    }
}

/// Writes a plan's files into the copy, durably. A changed file is made anew: its old name is a
/// link to the file that is installed.
fn write_into(staged: &Utf8Path, plan: &Plan) -> Result<()> {
    for file in plan.delete.iter().chain(plan.update.keys()) {
        let path = staged.join(file);
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
    }
    for (file, text) in plan.writes() {
        let path = staged.join(file);
        crate::fault::write().map_err(|e| Error::io("write", &path, &e))?;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .and_then(|mut f| {
                f.write_all(text.as_bytes())?;
                f.set_permissions(std::fs::Permissions::from_mode(0o644))?;
                f.sync_all()
            })
            .map_err(|e| Error::io("write", &path, &e))?;
    }
    Ok(())
}

fn utf8(path: &std::path::Path) -> Result<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(path.to_owned())
        .map_err(|p| Error::new(Kind::Io, format!("{} is not UTF-8", p.display())))
}

#[cfg(test)]
mod tests;
