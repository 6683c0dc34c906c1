//! What backups are called, which of a directory's files are an instance's, and which are too many.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, Result};
use crate::model::Name;

const SUFFIX: &str = ".tar.zst";

/// `NAME-YYYYmmddTHHMMSSZ.tar.zst`. Ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    stamp: String,
    name: String,
}

impl FileName {
    /// The name of a backup that is made at this time.
    #[must_use]
    pub fn new(name: &Name, at: jiff::Timestamp) -> Self {
        Self { stamp: at.strftime("%Y%m%dT%H%M%SZ").to_string(), name: name.to_string() }
    }

    /// A file of this instance; `None` for any other.
    #[must_use]
    pub fn of(name: &Name, file: &str) -> Option<Self> {
        let stamp = file.strip_prefix(name.as_str())?.strip_prefix('-')?.strip_suffix(SUFFIX)?;
        let shape = |(i, c): (usize, u8)| match i {
            8 => c == b'T',
            15 => c == b'Z',
            _ => c.is_ascii_digit(),
        };
        let good = stamp.len() == 16 && stamp.bytes().enumerate().all(shape);
        good.then(|| Self { stamp: stamp.to_owned(), name: name.to_string() })
    }

    /// The same backup under another instance's name.
    #[must_use]
    pub fn renamed(&self, name: &Name) -> Self {
        Self { stamp: self.stamp.clone(), name: name.to_string() }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}{SUFFIX}", self.name, self.stamp)
    }
}

/// An instance's backups in a directory, oldest first. No directory is none.
pub fn list(dir: &Utf8Path, name: &Name) -> Result<Vec<FileName>> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", dir, &e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("read", dir, &e))?;
        // A directory or a link of that name is not what a backup writes.
        if entry.file_type().is_ok_and(|t| t.is_file()) {
            files.extend(FileName::of(name, entry.file_name()));
        }
    }
    files.sort();
    Ok(files)
}

/// Those that are more than `keep`, the oldest. `made`, which was written just now and is known to
/// be good, is never among them, whatever the clock said.
#[must_use]
pub fn surplus<'f>(files: &'f [FileName], made: &FileName, keep: usize) -> Vec<&'f FileName> {
    let mut others: Vec<&FileName> = files.iter().filter(|f| *f != made).collect();
    others.sort();
    let more = (others.len() + 1).saturating_sub(keep.max(1));
    others.truncate(more);
    others
}

/// Removes the surplus; gives what was removed.
pub fn prune(
    dir: &Utf8Path,
    name: &Name,
    made: &FileName,
    keep: usize,
) -> Result<Vec<Utf8PathBuf>> {
    let files = list(dir, name)?;
    let mut removed = Vec::new();
    for file in surplus(&files, made, keep) {
        let path = dir.join(file.to_string());
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
        removed.push(path);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(s: &str) -> Name {
        s.parse().unwrap()
    }

    fn of(s: &str) -> FileName {
        FileName::of(&name("a"), s).unwrap()
    }

    #[test]
    fn only_an_instances_own_files_are_its_backups() {
        let at = "2026-11-25T02:03:04.9Z".parse().unwrap();
        let file = FileName::new(&name("a-b"), at);
        assert_eq!(file.to_string(), "a-b-20261125T020304Z.tar.zst");
        assert_eq!(FileName::of(&name("a-b"), &file.to_string()), Some(file.clone()));
        assert_eq!(FileName::of(&name("a"), &file.to_string()), None);
        assert_eq!(file.renamed(&name("c")).to_string(), "c-20261125T020304Z.tar.zst");
        for other in [
            "a-20261125T020304Z.tar",
            "a-20261125T020304Z.tar.zst.part",
            "a-20261125T0203Z.tar.zst",
            "a-2026112xT020304Z.tar.zst",
            "a-precious.tar.zst",
            "b-20261125T020304Z.tar.zst",
            "a20261125T020304Z.tar.zst",
            "a-.tar.zst",
        ] {
            assert_eq!(FileName::of(&name("a"), other), None, "{other}");
        }
    }

    #[test]
    fn the_oldest_go_and_never_the_one_just_made() {
        let files: Vec<FileName> =
            (1..=5).map(|d| of(&format!("a-2026110{d}T000000Z.tar.zst"))).collect();
        let days = |made: usize, keep| -> Vec<usize> {
            let gone = surplus(&files, &files[made], keep);
            gone.iter().map(|f| files.iter().position(|g| g == *f).unwrap()).collect()
        };
        assert_eq!(days(4, 7), [0; 0]);
        assert_eq!(days(4, 5), [0; 0]);
        assert_eq!(days(4, 3), [0, 1]);
        assert_eq!(days(4, 1), [0, 1, 2, 3]);
        assert_eq!(days(4, 0), [0, 1, 2, 3]);
        // The clock went back: the one just made looks older than all others.
        assert_eq!(days(0, 3), [1, 2]);
        assert_eq!(days(0, 1), [1, 2, 3, 4]);
    }

    #[test]
    fn files_that_are_not_ours_stay() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        for file in [
            "a-20261101T000000Z.tar.zst",
            "a-20261102T000000Z.tar.zst",
            "a-20261103T000000Z.tar.zst",
            "a-b-20261101T000000Z.tar.zst",
            "a-mine.tar.zst",
            "notes",
        ] {
            std::fs::write(dir.join(file), "").unwrap();
        }
        std::fs::create_dir(dir.join("a-20261001T000000Z.tar.zst")).unwrap();
        let made = of("a-20261103T000000Z.tar.zst");
        let gone = prune(dir, &name("a"), &made, 2).unwrap();
        assert_eq!(gone, [dir.join("a-20261101T000000Z.tar.zst")]);
        assert_eq!(dir.read_dir_utf8().unwrap().count(), 6);
        assert!(list(&dir.join("none"), &name("a")).unwrap().is_empty());
    }
}
