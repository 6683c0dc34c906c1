//! Folders watched for changes (inotify(7)), without looking at them again and again.
//!
//! Each folder costs the kernel one watch. Links to folders are not followed. Where the limit of
//! watches is reached, the rest goes unwatched and that is told.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What counts as a change. Not the single writes: a file is taken in when it is complete.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR)
    .union(AddWatchFlags::IN_DONT_FOLLOW);

/// So many files are named; of more it is only said that there are some.
const NAMED: usize = 64;

/// How often it is looked whether a folder that is missing has come.
const MISSING: Duration = Duration::from_secs(30);

/// A folder with the files in it that count.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    files: GlobSet,
    there: bool,
}

/// Folders that are watched with everything below them.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    /// Watch → the folder, and the roots that it lies in, each with its path from there: the kernel
    /// gives a folder one watch, however often it is asked.
    folders: HashMap<WatchDescriptor, Vec<(PathBuf, usize)>>,
    roots: Vec<Root>,
    /// The first folder that could not be watched, for lack of watches.
    unwatched: Option<PathBuf>,
    /// So many watches are had at most: for tests, which cannot set the kernel's limit.
    #[cfg(test)]
    most: usize,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that were written or came.
    pub files: BTreeSet<PathBuf>,
    /// More changed than can be named: a file went, or too much happened at once.
    pub unknown: bool,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.unknown
    }

    /// Adds others.
    pub fn add(&mut self, other: Changes) {
        self.unknown |= other.unknown;
        for file in other.files {
            self.file(file);
        }
    }

    /// Adds a file, or forgets all names when they are too many to be of use.
    fn file(&mut self, path: PathBuf) {
        self.files.insert(path);
        if self.files.len() > NAMED {
            self.files.clear();
            self.unknown = true;
        }
    }
}

/// A pattern as the engine reads it: `*` stays within a name, one without a slash fits at any depth.
///
/// # Errors
/// What is wrong with one of them.
pub fn patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        let deep = if pattern.contains('/') { pattern.to_owned() } else { format!("**/{pattern}") };
        let glob = GlobBuilder::new(&deep).literal_separator(true).build();
        set.add(glob.map_err(|e| e.to_string())?);
    }
    set.build().map_err(|e| e.to_string())
}

impl Watch {
    /// Watches folders, each with the pattern of its files. What has changed since `since` already
    /// is given as the first changes. A folder that is not there is waited for.
    ///
    /// # Errors
    /// The kernel gives no watch at all (`fs.inotify.max_user_instances`).
    pub fn new(
        roots: impl IntoIterator<Item = (PathBuf, GlobSet)>,
        since: Option<SystemTime>,
    ) -> io::Result<(Self, Changes)> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let roots = roots.into_iter().map(|(path, files)| Root { path, files, there: false });
        let mut watch = Self {
            inotify,
            folders: HashMap::new(),
            roots: roots.collect(),
            unwatched: None,
            #[cfg(test)]
            most: usize::MAX,
        };
        let mut changes = Changes::default();
        watch.enter_all(since, &mut changes);
        Ok((watch, changes))
    }

    /// Tries again to watch what could not be watched for lack of watches. What changed in it is not
    /// known.
    pub fn again(&mut self) {
        self.unwatched = None;
        for root in 0..self.roots.len() {
            // One that comes in this moment comes with changes.
            if self.roots[root].there {
                let path = self.roots[root].path.clone();
                self.enter(&path, root, Some(SystemTime::now()), &mut Changes::default());
            }
        }
    }

    fn enter_all(&mut self, since: Option<SystemTime>, changes: &mut Changes) {
        for root in 0..self.roots.len() {
            let path = self.roots[root].path.clone();
            self.roots[root].there = self.enter(&path, root, since, changes);
        }
    }

    /// How many folders are watched.
    #[must_use]
    pub fn folders(&self) -> usize {
        self.folders.len()
    }

    /// The first folder that could not be watched because the limit of watches is reached.
    #[must_use]
    pub fn unwatched(&self) -> Option<&Path> {
        self.unwatched.as_deref()
    }

    /// The folders that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().filter(|root| !root.there).map(|root| root.path.as_path())
    }

    /// Waits for changes, for ever or so long; comes back with none when nothing that counts has
    /// changed. A process that waits costs nothing, unless a folder is missing.
    pub fn wait(&mut self, most: Option<Duration>) -> io::Result<Changes> {
        let missing = self.missing().next().is_some().then_some(MISSING);
        let most = match (most, missing) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let timeout = most.map_or(PollTimeout::NONE, |most| {
            // Rounded up: a wait of nothing would go round in circles.
            let millis = most.as_millis().saturating_add(1).min(i32::MAX as u128);
            i32::try_from(millis)
                .ok()
                .and_then(|m| PollTimeout::try_from(m).ok())
                .unwrap_or(PollTimeout::MAX)
        });
        let mut changes = Changes::default();
        match poll(&mut [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        self.take(event.wd, event.mask, event.name.as_deref(), &mut changes);
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        for root in 0..self.roots.len() {
            if !self.roots[root].there {
                let path = self.roots[root].path.clone();
                self.roots[root].there = self.enter(&path, root, None, &mut changes);
            }
        }
        Ok(changes)
    }

    fn take(
        &mut self,
        folder: WatchDescriptor,
        what: AddWatchFlags,
        name: Option<&std::ffi::OsStr>,
        changes: &mut Changes,
    ) {
        if what.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            changes.unknown = true;
            // New folders may be among what was lost.
            self.enter_all(Some(SystemTime::now()), changes);
            return;
        }
        if what.contains(AddWatchFlags::IN_IGNORED) {
            for (path, root) in self.folders.remove(&folder).into_iter().flatten() {
                self.lost(&path, root, changes);
            }
            return;
        }
        let places = self.folders.get(&folder).cloned().unwrap_or_default();
        if what.contains(AddWatchFlags::IN_MOVE_SELF) {
            // Of any other folder, the one that it lay in tells.
            for (path, root) in places {
                if self.roots[root].path == path {
                    self.leave(&path, root);
                    self.lost(&path, root, changes);
                }
            }
            return;
        }
        let Some(name) = name else { return };
        for (path, root) in places {
            self.changed(&path.join(name), root, what, changes);
        }
    }

    /// The folder at `path` is watched no more; a root is waited for.
    fn lost(&mut self, path: &Path, root: usize, changes: &mut Changes) {
        if self.roots[root].path == path {
            self.roots[root].there = false;
            // What was in it is gone with it.
            changes.unknown = true;
        }
    }

    /// Something happened to what is at `path`.
    fn changed(&mut self, path: &Path, root: usize, what: AddWatchFlags, changes: &mut Changes) {
        let came = what.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
        if what.contains(AddWatchFlags::IN_ISDIR) {
            if came {
                self.enter(path, root, None, changes);
            } else {
                // What was in it is gone with it. Its watches would go with it, too, and tell of
                // changes where it is now.
                self.leave(path, root);
                changes.unknown = true;
            }
        } else if self.counts(path, root) {
            if what.intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO) {
                changes.file(path.to_owned());
            } else if !came || path.is_symlink() || is_linked(path) {
                // Removed; or a file that is created without being written: a link.
                changes.unknown = true;
            }
        }
    }

    /// Watches a folder and what is below it for a root no more.
    fn leave(&mut self, folder: &Path, root: usize) {
        let mut unused = Vec::new();
        for (watch, places) in &mut self.folders {
            places.retain(|(path, of)| *of != root || !path.starts_with(folder));
            if places.is_empty() {
                unused.push(*watch);
            }
        }
        for watch in unused {
            self.folders.remove(&watch);
            // It is gone already when its folder was removed.
            let _ = self.inotify.rm_watch(watch);
        }
    }

    fn add(&self, folder: &Path) -> nix::Result<WatchDescriptor> {
        #[cfg(test)]
        if self.folders.len() >= self.most {
            return Err(Errno::ENOSPC);
        }
        self.inotify.add_watch(folder, CHANGES)
    }

    fn counts(&self, path: &Path, root: usize) -> bool {
        let root = &self.roots[root];
        path.strip_prefix(&root.path).is_ok_and(|below| root.files.is_match(below))
    }

    /// Watches a folder and what is below it; the files in it that changed after `since`, or all,
    /// are changes. Gives whether the folder is there.
    fn enter(
        &mut self,
        folder: &Path,
        root: usize,
        since: Option<SystemTime>,
        changes: &mut Changes,
    ) -> bool {
        let mut pending = vec![folder.to_owned()];
        let mut there = false;
        while let Some(folder) = pending.pop() {
            // Watched first, read then: what comes in between is seen twice rather than never.
            match self.add(&folder) {
                Ok(watch) => {
                    there = true;
                    let places = self.folders.entry(watch).or_default();
                    // Under another path it was moved here.
                    places.retain(|(_, of)| *of != root);
                    places.push((folder.clone(), root));
                }
                Err(Errno::ENOSPC) => {
                    there = true;
                    self.unwatched.get_or_insert_with(|| folder.clone());
                }
                // It went away meanwhile, or is not for us to read: then not for the engine, either.
                Err(_) => continue,
            }
            if let Some(since) = since
                && fs::metadata(&folder).is_ok_and(|m| changed_after(&m, since))
            {
                // A file went, or a folder came with files that are older.
                changes.unknown = true;
            }
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                let path = entry.path();
                if kind.is_dir() {
                    pending.push(path);
                } else if self.counts(&path, root)
                    && entry.metadata().is_ok_and(|m| since.is_none_or(|s| changed_after(&m, s)))
                {
                    changes.file(path);
                }
            }
        }
        there
    }
}

/// Whether a file was written, moved or made after that: the time that nobody can set.
fn changed_after(meta: &fs::Metadata, since: SystemTime) -> bool {
    let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
    let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos) > since
}

fn is_linked(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.nlink() > 1)
}

/// How many folders one user may have watched at once; `None` where the kernel does not say.
#[must_use]
pub fn limit() -> Option<u64> {
    fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(changes: &Changes) -> Vec<String> {
        changes
            .files
            .iter()
            .map(|f| f.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    /// All that is heard within a moment.
    fn heard(watch: &mut Watch) -> Changes {
        let mut all = Changes::default();
        while let Ok(changes) = watch.wait(Some(Duration::from_millis(100))) {
            if changes.is_empty() {
                break;
            }
            all.add(changes);
        }
        all
    }

    fn watch(root: &Path, pattern: &str) -> (Watch, Changes) {
        Watch::new([(root.to_owned(), patterns([pattern]).unwrap())], None).unwrap()
    }

    #[test]
    fn changes_below_and_in_new_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/old.md"), "").unwrap();
        let (mut watch, first) = watch(root, "**/*.md");
        assert_eq!((names(&first), watch.folders()), (vec!["old.md".to_owned()], 3));
        assert!(heard(&mut watch).is_empty());
        fs::write(root.join("a/b/new.md"), "x").unwrap();
        fs::write(root.join("a/b/new.txt"), "x").unwrap();
        assert_eq!(names(&heard(&mut watch)), ["new.md"]);
        fs::create_dir_all(root.join("c/d")).unwrap();
        fs::write(root.join("c/d/deep.md"), "x").unwrap();
        assert_eq!(names(&heard(&mut watch)), ["deep.md"]);
        fs::write(root.join("c/d/later.md"), "x").unwrap();
        assert_eq!(names(&heard(&mut watch)), ["later.md"]);
        fs::rename(root.join("c/d/later.md"), root.join("moved.md")).unwrap();
        let moved = heard(&mut watch);
        assert_eq!((names(&moved), moved.unknown), (vec!["moved.md".to_owned()], true));
        fs::remove_file(root.join("moved.md")).unwrap();
        assert!(heard(&mut watch).unknown);
        // Reading is no change.
        fs::read(root.join("a/old.md")).unwrap();
        fs::read_dir(root.join("a")).unwrap().count();
        assert!(heard(&mut watch).is_empty());
    }

    #[test]
    fn what_changed_before_is_told_at_first() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old.md"), "").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let since = SystemTime::now();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(dir.path().join("new.md"), "").unwrap();
        let roots = [(dir.path().to_owned(), patterns(["*.md"]).unwrap())];
        let (_, first) = Watch::new(roots, Some(since)).unwrap();
        assert_eq!((names(&first), first.unknown), (vec!["new.md".to_owned()], true));
    }

    #[test]
    fn a_file_that_went_before_is_told_at_first() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old.md"), "").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let since = SystemTime::now();
        let new = || {
            let roots = [(dir.path().to_owned(), patterns(["*.md"]).unwrap())];
            Watch::new(roots, Some(since)).unwrap().1
        };
        assert!(new().is_empty());
        std::thread::sleep(Duration::from_millis(20));
        fs::remove_file(dir.path().join("old.md")).unwrap();
        assert!(new().unknown);
    }

    #[test]
    fn a_folder_in_two_sources_is_watched_for_both() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path(), dir.path().join("inner"));
        fs::create_dir_all(inner.join("deep")).unwrap();
        for outer_first in [true, false] {
            let mut roots = vec![
                (outer.to_owned(), patterns(["*.md"]).unwrap()),
                (inner.clone(), patterns(["*.txt"]).unwrap()),
            ];
            if !outer_first {
                roots.reverse();
            }
            let (mut watch, _) = Watch::new(roots, None).unwrap();
            for folder in [&inner, &inner.join("deep")] {
                fs::write(folder.join("a.md"), "x").unwrap();
                assert_eq!(names(&heard(&mut watch)), ["a.md"], "{outer_first}");
                fs::write(folder.join("a.txt"), "x").unwrap();
                assert_eq!(names(&heard(&mut watch)), ["a.txt"], "{outer_first}");
            }
            // One of them goes and comes: the other has seen that, too.
            fs::rename(&inner, outer.join("elsewhere")).unwrap();
            assert!(heard(&mut watch).unknown);
            assert_eq!(watch.missing().next(), Some(inner.as_path()));
            fs::rename(outer.join("elsewhere"), &inner).unwrap();
            heard(&mut watch);
            assert_eq!(watch.missing().count(), 0);
            fs::write(inner.join("a.txt"), "y").unwrap();
            assert_eq!(names(&heard(&mut watch)), ["a.txt"], "{outer_first}");
        }
    }

    #[test]
    fn folders_that_are_moved() {
        let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = dir.path();
        fs::create_dir_all(away.path().join("a/b")).unwrap();
        fs::write(away.path().join("a/b/old.md"), "").unwrap();
        let (mut watch, _) = watch(root, "*.md");
        // In, with all that is in it, and watched from then on.
        fs::rename(away.path().join("a"), root.join("a")).unwrap();
        assert_eq!(names(&heard(&mut watch)), ["old.md"]);
        fs::write(root.join("a/b/new.md"), "").unwrap();
        assert_eq!(names(&heard(&mut watch)), ["new.md"]);
        // Within: known by its new name.
        fs::rename(root.join("a"), root.join("c")).unwrap();
        assert!(heard(&mut watch).unknown);
        fs::write(root.join("c/b/new.md"), "x").unwrap();
        assert!(heard(&mut watch).files.contains(&root.join("c/b/new.md")));
        // Out: what happens there is no change here.
        fs::rename(root.join("c"), away.path().join("c")).unwrap();
        assert!(heard(&mut watch).unknown);
        fs::write(away.path().join("c/b/new.md"), "y").unwrap();
        assert!(heard(&mut watch).is_empty());
        assert_eq!(watch.folders(), 1);
        // A tree that is removed.
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::write(root.join("d/e/f.md"), "").unwrap();
        heard(&mut watch);
        fs::remove_dir_all(root.join("d")).unwrap();
        assert!(heard(&mut watch).unknown);
        assert_eq!(watch.folders(), 1);
    }

    #[test]
    fn what_cannot_be_watched_is_told_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let (mut watch, _) = watch(root, "*.md");
        watch.most = 2;
        fs::create_dir_all(root.join("a")).unwrap();
        heard(&mut watch);
        assert_eq!(watch.unwatched(), None);
        fs::create_dir(root.join("b")).unwrap();
        heard(&mut watch);
        assert_eq!(watch.unwatched(), Some(root.join("b").as_path()));
        watch.most = 3;
        watch.again();
        assert_eq!((watch.unwatched(), watch.folders()), (None, 3));
        fs::write(root.join("b/x.md"), "").unwrap();
        assert_eq!(names(&heard(&mut watch)), ["x.md"]);
    }

    #[test]
    fn a_folder_that_is_missing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("later");
        let (mut watch, first) = watch(&root, "*.md");
        assert!(first.is_empty());
        assert_eq!(watch.missing().next(), Some(root.as_path()));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.md"), "").unwrap();
        let came = watch.wait(Some(Duration::from_millis(1))).unwrap();
        assert_eq!((names(&came), watch.missing().count()), (vec!["a.md".to_owned()], 0));
        fs::remove_dir_all(&root).unwrap();
        heard(&mut watch);
        assert_eq!(watch.missing().count(), 1);
    }

    #[test]
    fn patterns_are_read_as_the_engine_does() {
        let fits = |pattern: &str, path: &str| patterns([pattern]).unwrap().is_match(path);
        for (pattern, path, fit) in [
            ("*.md", "a/b.md", true),
            ("a/*.md", "a/b.md", true),
            ("a/*.md", "a/b/c.md", false),
            ("**/*.md", "c.md", true),
            ("**/.history/*.md", "x/.history/a.md", true),
            ("./a/**", "a/b/c", true),
            ("*.{md,txt}", "x/a.txt", true),
        ] {
            assert_eq!(fits(pattern, path), fit, "{pattern} {path}");
        }
        assert!(patterns(["a[b"]).is_err());
    }
}
