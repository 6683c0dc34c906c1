//! Files and directories made durable.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

use crate::error::{Error, Result};

/// Writes `path` so that a crash at any point leaves the old content or the new: a temporary file
/// beside it (the same directory keeps file system and security label), `mode` set before it gets
/// its name, fsync, rename, fsync of the directory. The directory must exist.
///
/// A symbolic link at `path` is replaced, not followed.
pub fn atomic_write(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<()> {
    let dir = path.parent().unwrap_or(Utf8Path::new("."));
    let failed = |e: &std::io::Error| Error::io("write", path, e);
    crate::fault::write().map_err(|e| failed(&e))?;
    let mut file = tempfile::Builder::new()
        .prefix(&temporary_prefix(path))
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(dir)
        .map_err(|e| failed(&e))?;
    file.write_all(bytes).map_err(|e| failed(&e))?;
    // The umask may have taken bits from the mode that the file was created with.
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(|e| failed(&e))?;
    file.as_file().sync_all().map_err(|e| failed(&e))?;
    file.persist(path).map_err(|e| failed(&e.error))?;
    sync_dir(dir)
}

const TEMPORARY: &str = ".ragpod-";

/// How the temporary files for `path` are called: each is some file's own, so that whoever may
/// write that file may also remove what is left of an attempt.
#[must_use]
pub fn temporary_prefix(path: &Utf8Path) -> String {
    format!(".{}{TEMPORARY}", path.file_name().unwrap_or_default())
}

/// Removes the temporary files that killed processes left of writing `path`. Nobody else may be
/// writing it.
pub fn sweep(path: &Utf8Path) -> Result<()> {
    let prefix = temporary_prefix(path);
    sweep_dir(path.parent().unwrap_or(Utf8Path::new(".")), |file| file.starts_with(&prefix))
}

/// Removes the temporary files that killed processes left in a directory. Nobody else may be
/// writing there.
pub(super) fn sweep_dir(dir: &Utf8Path, is_left: impl Fn(&str) -> bool) -> Result<()> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("read", dir, &e)),
    };
    for entry in entries.flatten().filter(|e| is_left(e.file_name())) {
        std::fs::remove_file(entry.path()).map_err(|e| Error::io("remove", entry.path(), &e))?;
    }
    Ok(())
}

/// Whether a file is a temporary one of [`atomic_write`].
pub(super) fn is_temporary(file: &str) -> bool {
    file.starts_with('.') && file.contains(TEMPORARY)
}

/// Makes the entries of a directory durable: a rename is on disk only after this.
pub fn sync_dir(dir: &Utf8Path) -> Result<()> {
    std::fs::File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| Error::io("make durable", dir, &e))
}

/// Creates a directory and its parents; new ones get `mode` (less the umask).
pub fn create_dirs(dir: &Utf8Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(|e| Error::io("create", dir, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;

    #[test]
    fn content_and_mode_whatever_was_there() {
        let (_keep, dir) = dir();
        let path = dir.join("f");
        atomic_write(&path, b"one", 0o600).unwrap();
        atomic_write(&path, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_link_is_replaced_and_its_target_kept() {
        let (_keep, dir) = dir();
        std::fs::write(dir.join("target"), "kept").unwrap();
        std::os::unix::fs::symlink("target", dir.join("link")).unwrap();
        atomic_write(&dir.join("link"), b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(dir.join("target")).unwrap(), b"kept");
        assert_eq!(std::fs::read(dir.join("link")).unwrap(), b"new");
    }

    #[test]
    fn what_the_killed_left_is_swept() {
        let (_keep, dir) = dir();
        for file in [".f.ragpod-x1", ".g.ragpod-x2", "f"] {
            std::fs::write(dir.join(file), "").unwrap();
        }
        sweep(&dir.join("f")).unwrap();
        sweep(&dir.join("nowhere/f")).unwrap();
        let mut left: Vec<String> =
            dir.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        left.sort();
        assert_eq!(left, [".g.ragpod-x2", "f"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let e = atomic_write(Utf8Path::new("/nonexistent/f"), b"", 0o600).unwrap_err();
        assert!(e.message.contains("/nonexistent/f"), "{e}");
    }
}
