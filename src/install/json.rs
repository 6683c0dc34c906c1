//! What ragpod remembers, as JSON files: each says which form it has, so that an older ragpod
//! leaves alone what a newer one wrote.

use std::io;

use camino::Utf8Path;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::atomic::{atomic_write, create_dirs};
use crate::error::{Error, Kind, Result};

/// The longest file that is read, in bytes: what is longer is not ours.
const LONGEST: u64 = 16 << 20;

/// Reads a file whose form is `version` at most; `None` when there is none.
///
/// # Errors
/// The file is corrupt or was written by a newer ragpod; it is left as it is.
pub(super) fn read<T: DeserializeOwned>(path: &Utf8Path, version: u64) -> Result<Option<T>> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, &e)),
    };
    if !meta.is_file() || meta.len() > LONGEST {
        return Err(corrupt(path, "it is no file of ragpod's"));
    }
    match std::fs::read(path) {
        Ok(bytes) => parse(&bytes, path, version).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, &e)),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Utf8Path, version: u64) -> Result<T> {
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|e| corrupt(path, &e.to_string()))?;
    let written = value
        .as_object_mut()
        .and_then(|object| object.remove("version"))
        .and_then(|version| version.as_u64())
        .ok_or_else(|| corrupt(path, "it does not say which version of the file it is"))?;
    if written > version {
        return Err(Error::new(
            Kind::Io,
            format!("{path} was written by a newer ragpod (version {written} of the file)"),
        )
        .cause(format!("this one knows version {version}; nothing was changed"))
        .hint("use the newer ragpod again: ragpod --version"));
    }
    serde_json::from_value(value).map_err(|e| corrupt(path, &e.to_string()))
}

/// Writes a file, atomically and readable by its owner only; makes its directory.
pub(super) fn write<T: Serialize>(path: &Utf8Path, version: u64, content: &T) -> Result<()> {
    let failed = |e: String| Error::failed(format!("cannot write {path} as JSON")).cause(e);
    let mut value = serde_json::to_value(content).map_err(|e| failed(e.to_string()))?;
    value["version"] = version.into();
    let mut text = serde_json::to_vec_pretty(&value).map_err(|e| failed(e.to_string()))?;
    text.push(b'\n');
    if let Some(dir) = path.parent() {
        create_dirs(dir, 0o700)?;
    }
    atomic_write(path, &text, 0o600)
}

fn corrupt(path: &Utf8Path, why: &str) -> Error {
    Error::new(Kind::Io, format!("{path} is corrupt"))
        .cause(why)
        .hint(format!("move it away, and ragpod goes on without it: mv {path} {path}.bad"))
}

/// Removes a file; that it is not there is no error.
pub(super) fn remove(path: &Utf8Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}

/// What a command that takes long notes in an instance's state directory: loaded, saved and ended.
/// The last argument is the form that this version writes.
macro_rules! record {
    ($kind:ty, $file:literal, $version:literal) => {
        impl $kind {
            fn file(state: &camino::Utf8Path, name: &crate::model::Name) -> camino::Utf8PathBuf {
                crate::install::State::dir(state, name).join($file)
            }

            /// What an earlier command left unfinished.
            ///
            /// # Errors
            /// The file is corrupt or was written by a newer ragpod; it is left as it is.
            pub fn load(
                state: &camino::Utf8Path,
                name: &crate::model::Name,
            ) -> crate::error::Result<Option<Self>> {
                crate::install::json::read(&Self::file(state, name), $version)
            }

            /// Writes it, before anything is touched.
            pub fn save(
                &self,
                state: &camino::Utf8Path,
                name: &crate::model::Name,
            ) -> crate::error::Result<()> {
                crate::install::json::write(&Self::file(state, name), $version, self)
            }

            /// All is done, or all is as it was.
            pub fn end(
                state: &camino::Utf8Path,
                name: &crate::model::Name,
            ) -> crate::error::Result<()> {
                crate::install::json::remove(&Self::file(state, name))
            }
        }
    };
}
pub(super) use record;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;
    use std::collections::BTreeMap;

    type Map = BTreeMap<String, u32>;

    #[test]
    fn written_and_read_again() {
        let (_keep, dir) = dir();
        let path = dir.join("deep/x.json");
        assert_eq!(read::<Map>(&path, 2).unwrap(), None);
        let map: Map = [("a".to_owned(), 1)].into();
        write(&path, 2, &map).unwrap();
        assert_eq!(read::<Map>(&path, 2).unwrap(), Some(map));
        assert!(read::<Map>(&path, 1).unwrap_err().message.contains("newer ragpod"));
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_refused_and_kept() {
        let (_keep, dir) = dir();
        let path = dir.join("x.json");
        for text in ["", "{\"version\":1", "[]", "{}", "{\"version\":\"1\"}", "\0\0", "\u{feff}{}"]
        {
            std::fs::write(&path, text).unwrap();
            let e = read::<Map>(&path, 1).unwrap_err();
            assert!(
                e.message.contains("corrupt") && e.message.contains(path.as_str()),
                "{text}: {e}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read::<Map>(&path, 1).is_err());
    }
}
