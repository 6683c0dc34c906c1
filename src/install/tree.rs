//! A directory tree copied by hard links, compared and made durable.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use camino::Utf8Path;

use crate::error::{Error, Result};

/// What tells a file from a changed one: its inode, time of last change and length.
pub(super) type Mark = (u64, i64, i64, u64);

/// Every entry of a tree, by its path below the root.
pub(super) fn marks(root: &Utf8Path) -> Result<BTreeMap<PathBuf, Mark>> {
    let mut all = BTreeMap::new();
    walk(root.as_std_path(), Path::new(""), &mut |path, meta| {
        // A directory's own time changes with its entries, which are compared themselves.
        let len = if meta.is_dir() { 0 } else { meta.len() };
        let time = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
        all.insert(path.to_owned(), (meta.ino(), time.0, time.1, len));
        Ok(())
    })
    .map_err(|e| Error::io("read", root, &e))?;
    Ok(all)
}

/// Copies a tree's entries into the existing directory `to`: directories anew with the same mode,
/// links as links, everything else as a hard link.
///
/// # Errors
/// A directory of another user's is refused: its copy could be made, the original not deleted.
pub(super) fn copy(from: &Utf8Path, to: &Utf8Path, uid: u32) -> Result<()> {
    walk(from.as_std_path(), Path::new(""), &mut |path, meta| {
        let (source, target) = (from.as_std_path().join(path), to.as_std_path().join(path));
        if meta.is_dir() {
            if meta.uid() != uid {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("{} belongs to another user", source.display()),
                ));
            }
            std::fs::create_dir(&target)?;
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(meta.mode()))
        } else if meta.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)
        } else {
            link(&source, &target, meta.is_file())
        }
    })
    .map_err(|e| cross_device(from, to, &e).unwrap_or_else(|| Error::io("copy", from, &e)))
}

/// Brings into `to` what appeared in `from` since `before` was taken, but for entries that are
/// `ours`. What only changed inside has been changed in both: they share it.
pub(super) fn carry_over(
    from: &Utf8Path,
    to: &Utf8Path,
    before: &BTreeMap<PathBuf, Mark>,
    ours: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    walk(from.as_std_path(), Path::new(""), &mut |path, meta| {
        let known = before.get(path).is_some_and(|mark| mark.0 == meta.ino());
        if known || ours(path) {
            return Ok(());
        }
        let (source, target) = (from.as_std_path().join(path), to.as_std_path().join(path));
        if meta.is_dir() {
            return match std::fs::create_dir(&target) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                result => result,
            };
        }
        match std::fs::remove_file(&target) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if meta.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)
        } else {
            link(&source, &target, meta.is_file())
        }
    })
    .map_err(|e| Error::io("copy", from, &e))
}

/// A hard link; a copy where links are not to be had (somebody else's file under
/// `fs.protected_hardlinks`, a file system without them).
fn link(source: &Path, target: &Path, is_file: bool) -> io::Result<()> {
    match std::fs::hard_link(source, target) {
        Err(e)
            if is_file
                && matches!(
                    e.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::TooManyLinks
                ) =>
        {
            std::fs::copy(source, target).map(drop)
        }
        result => result,
    }
}

/// The error for two directories that are not on one file system.
pub(super) fn cross_device(from: &Utf8Path, to: &Utf8Path, e: &io::Error) -> Option<Error> {
    (e.kind() == io::ErrorKind::CrossesDevices).then(|| {
        Error::new(crate::error::Kind::Io, format!("{from} and {to} are on different file systems"))
            .cause("ragpod exchanges the unit directory in one step, which needs both on one")
            .hint(
                "undo the mount or link that puts one of them elsewhere: findmnt -T the two paths",
            )
    })
}

/// Makes a tree's directories durable; the files that were written are so already.
pub(super) fn sync(root: &Utf8Path) -> Result<()> {
    let mut dirs = vec![root.as_std_path().to_owned()];
    walk(root.as_std_path(), Path::new(""), &mut |path, meta| {
        if meta.is_dir() {
            dirs.push(root.as_std_path().join(path));
        }
        Ok(())
    })
    .and_then(|()| dirs.iter().try_for_each(|dir| std::fs::File::open(dir)?.sync_all()))
    .map_err(|e| Error::io("make durable", root, &e))
}

/// Visits every entry below `root`, a directory before its entries, without following links.
fn walk(
    root: &Path,
    below: &Path,
    visit: &mut dyn FnMut(&Path, &std::fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let meta = entry.metadata()?;
        visit(&path, &meta)?;
        if meta.is_dir() {
            walk(root, &path, visit)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    /// A temporary directory as a UTF-8 path.
    pub(in crate::install) fn dir() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    fn uid() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn a_copy_has_the_same_files_links_and_directories() {
        let (_keep, dir) = dir();
        let (from, to) = (dir.join("from"), dir.join("to"));
        std::fs::create_dir_all(from.join("a.d/deep")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("f"), "f").unwrap();
        std::fs::write(from.join("a.d/deep/g"), "g").unwrap();
        std::os::unix::fs::symlink("nowhere", from.join("l")).unwrap();
        copy(&from, &to, uid()).unwrap();
        let inode = |p: &str| std::fs::metadata(dir.join(p)).unwrap().ino();
        assert_eq!(inode("from/f"), inode("to/f"), "linked, not copied");
        assert_eq!(inode("from/a.d/deep/g"), inode("to/a.d/deep/g"));
        assert_eq!(std::fs::read_link(to.join("l")).unwrap(), Path::new("nowhere"));
        sync(&to).unwrap();
    }

    #[test]
    fn marks_change_with_what_they_mark() {
        let (_keep, dir) = dir();
        std::fs::create_dir(dir.join("a.d")).unwrap();
        std::fs::write(dir.join("f"), "1").unwrap();
        let before = marks(&dir).unwrap();
        assert_eq!(before, marks(&dir).unwrap());
        std::fs::write(dir.join("a.d/x"), "").unwrap();
        let added = marks(&dir).unwrap();
        assert_ne!(before, added);
        std::fs::write(dir.join("f"), "12").unwrap();
        assert_ne!(added, marks(&dir).unwrap());
    }

    #[test]
    fn another_users_directory_is_refused() {
        let (_keep, dir) = dir();
        std::fs::create_dir_all(dir.join("from/a.d")).unwrap();
        std::fs::create_dir(dir.join("to")).unwrap();
        let e = copy(&dir.join("from"), &dir.join("to"), uid() + 1).unwrap_err();
        assert!(e.to_string().contains("another user"), "{e}");
    }
}
