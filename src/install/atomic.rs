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
    let mut file = tempfile::Builder::new()
        .prefix(".ragpod-")
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

/// Makes the entries of a directory durable: a rename is on disk only after this.
pub(super) fn sync_dir(dir: &Utf8Path) -> Result<()> {
    std::fs::File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| Error::io("make durable", dir, &e))
}

/// Creates a directory and its parents; new ones get `mode` (less the umask).
pub(super) fn create_dirs(dir: &Utf8Path, mode: u32) -> Result<()> {
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
    fn a_missing_directory_is_named() {
        let e = atomic_write(Utf8Path::new("/nonexistent/f"), b"", 0o600).unwrap_err();
        assert!(e.message.contains("/nonexistent/f"), "{e}");
    }
}
