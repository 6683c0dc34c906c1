//! What ragpod remembers of an instance between two commands: `state.json`.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::atomic::{atomic_write, create_dirs};
use crate::error::{Error, Kind, Result};
use crate::model::{Name, SecretKey};

/// The form that this version writes. A file with a higher one is refused, and left as it is.
const VERSION: u32 = 1;

/// What is remembered of an instance. No secret: only which version of each is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The version of each secret that the installed units mount.
    pub secrets: BTreeMap<SecretKey, u32>,
    /// Unit file name → SHA-256 (hexadecimal) of the text with which ragpod last started or
    /// restarted its service. Networks and volumes stay as they are when their units change.
    pub applied: BTreeMap<String, String>,
    /// When the database was initialised (RFC 3339).
    pub initialised: Option<String>,
    /// Where the engine's volume lies on the host.
    pub engine_mountpoint: Option<Utf8PathBuf>,
}

/// The file's form. Unknown keys are refused: writing the file again would lose them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u32,
    #[serde(default)]
    secrets: BTreeMap<String, u32>,
    #[serde(default)]
    applied: BTreeMap<String, String>,
    #[serde(default)]
    initialised: Option<String>,
    #[serde(default)]
    engine_mountpoint: Option<String>,
}

/// Only what every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl State {
    /// An instance's directory below the state directory.
    #[must_use]
    pub fn dir(state: &Utf8Path, name: &Name) -> Utf8PathBuf {
        state.join(name.as_str())
    }

    /// Whether anything is remembered of an instance.
    #[must_use]
    pub fn exists(state: &Utf8Path, name: &Name) -> bool {
        Self::file(state, name).exists()
    }

    fn file(state: &Utf8Path, name: &Name) -> Utf8PathBuf {
        Self::dir(state, name).join("state.json")
    }

    /// Reads an instance's state; nothing there is the default.
    ///
    /// # Errors
    /// The file is corrupt or was written by a newer ragpod; it is left as it is.
    pub fn load(state: &Utf8Path, name: &Name) -> Result<Self> {
        let path = Self::file(state, name);
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes, &path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Error::io("read", &path, &e)),
        }
    }

    fn parse(bytes: &[u8], path: &Utf8Path) -> Result<Self> {
        let corrupt = |why: String| {
            Error::new(Kind::Io, format!("{path} is corrupt"))
                .cause(why)
                .hint(format!("move it away, and ragpod starts without it: mv {path} {path}.bad"))
        };
        let version: Versioned =
            serde_json::from_slice(bytes).map_err(|e| corrupt(e.to_string()))?;
        if version.version > VERSION {
            return Err(Error::new(
                Kind::Io,
                format!(
                    "{path} was written by a newer ragpod (version {} of the file)",
                    version.version
                ),
            )
            .cause(format!("this one knows version {VERSION}; nothing was changed"))
            .hint("use the newer ragpod again: ragpod --version"));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| corrupt(e.to_string()))?;
        let secrets = raw
            .secrets
            .into_iter()
            .map(|(key, version)| match key.parse() {
                Ok(parsed) => Ok((parsed, version)),
                Err(e) => Err(corrupt(format!("{key:?} is no secret's name: {e}"))),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            secrets,
            applied: raw.applied,
            initialised: raw.initialised,
            engine_mountpoint: raw.engine_mountpoint.map(Into::into),
        })
    }

    /// Writes an instance's state, atomically and readable by its owner only.
    pub fn save(&self, state: &Utf8Path, name: &Name) -> Result<()> {
        let raw = Raw {
            version: VERSION,
            secrets: self.secrets.iter().map(|(k, v)| (k.to_string(), *v)).collect(),
            applied: self.applied.clone(),
            initialised: self.initialised.clone(),
            engine_mountpoint: self.engine_mountpoint.as_ref().map(ToString::to_string),
        };
        let mut text = serde_json::to_vec_pretty(&raw)
            .map_err(|e| Error::failed("cannot write the state as JSON").cause(e.to_string()))?;
        text.push(b'\n');
        create_dirs(&Self::dir(state, name), 0o700)?;
        atomic_write(&Self::file(state, name), &text, 0o600)
    }

    /// Forgets an instance: its directory with everything in it, its lock's file too (whoever
    /// waits for that lock sees it).
    pub fn remove(state: &Utf8Path, name: &Name) -> Result<()> {
        let dir = Self::dir(state, name);
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &dir, &e)),
            _ => Ok(()),
        }
    }

    /// Removes an instance's directory when there is nothing in it but locks: whoever waited
    /// for the lock of an instance that is gone by now has made it again.
    pub fn remove_if_bare(state: &Utf8Path, name: &Name) -> Result<()> {
        let dir = Self::dir(state, name);
        let bare = dir.read_dir_utf8().is_ok_and(|mut d| {
            d.all(|e| e.is_ok_and(|e| ["lock", "gate"].contains(&e.file_name())))
        });
        if bare { Self::remove(state, name) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;
    use std::os::unix::fs::PermissionsExt;

    fn name() -> Name {
        "demo".parse().unwrap()
    }

    #[test]
    fn written_and_read_again() {
        let (_keep, dir) = dir();
        assert_eq!(State::load(&dir, &name()).unwrap(), State::default());
        let state = State {
            secrets: [(SecretKey::api_key(), 3)].into(),
            applied: [("hybridrag-demo.pod".to_owned(), "ab".to_owned())].into(),
            initialised: Some("2026-11-24T20:00:00Z".to_owned()),
            engine_mountpoint: Some("/v/_data".into()),
        };
        state.save(&dir, &name()).unwrap();
        assert_eq!(State::load(&dir, &name()).unwrap(), state);
        let mode = |p: &str| std::fs::metadata(dir.join(p)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("demo"), mode("demo/state.json")), (0o700, 0o600));
        State::remove(&dir, &name()).unwrap();
        State::remove(&dir, &name()).unwrap();
        assert!(!dir.join("demo").exists());
    }

    #[test]
    fn newer_and_corrupt_files_are_refused_and_kept() {
        let (_keep, dir) = dir();
        std::fs::create_dir(dir.join("demo")).unwrap();
        for (text, word) in [
            ("{\"version\":2,\"other\":1}", "newer ragpod"),
            ("", "corrupt"),
            ("{\"version\":1", "corrupt"),
            ("{\"version\":1,\"unknown\":1}", "corrupt"),
            ("{\"version\":1,\"secrets\":{\"A B\":1}}", "corrupt"),
            ("{\"secrets\":{}}", "corrupt"),
            ("\0\0\0\0", "corrupt"),
        ] {
            let file = dir.join("demo/state.json");
            std::fs::write(&file, text).unwrap();
            let e = State::load(&dir, &name()).unwrap_err();
            assert!(e.message.contains(word) && e.message.contains(file.as_str()), "{text}: {e}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
}
