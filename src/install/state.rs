//! What ragpod remembers of an instance between two commands: `state.json`.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::atomic::{is_temporary, sweep_dir};
use super::json;
use crate::error::{Error, Result};
use crate::model::{Name, SecretKey};

/// The form that this version writes: 2 came with [`State::generation`].
const VERSION: u64 = 2;

/// What is remembered of an instance. No secret: only which version of each is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// Unknown keys are refused: writing the file again would lose them.
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// The version of each secret that the installed units mount.
    pub secrets: BTreeMap<SecretKey, u32>,
    /// Unit file name → SHA-256 (hexadecimal) of the text with which ragpod last started or
    /// restarted its service. Networks and volumes stay as they are when their units change.
    pub applied: BTreeMap<String, String>,
    /// The number of the generation whose units are installed.
    pub generation: Option<u32>,
    /// When the database was initialised (RFC 3339).
    pub initialised: Option<String>,
    /// Where the engine's volume lies on the host.
    pub engine_mountpoint: Option<Utf8PathBuf>,
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
        Ok(json::read(&Self::file(state, name), VERSION)?.unwrap_or_default())
    }

    /// Writes an instance's state, atomically and readable by its owner only.
    pub fn save(&self, state: &Utf8Path, name: &Name) -> Result<()> {
        json::write(&Self::file(state, name), VERSION, self)
    }

    /// Forgets an instance: its directory with everything in it, its lock's file too (whoever
    /// waits for that lock sees it). `state.json` goes when all else is gone: as long as it is
    /// there, the instance is.
    pub fn remove(state: &Utf8Path, name: &Name) -> Result<()> {
        let dir = Self::dir(state, name);
        super::generation::History::clear(state, name)?;
        super::intent::Intent::end(state, name)?;
        crate::fault::point("records");
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &dir, &e)),
            _ => Ok(()),
        }
    }

    /// Removes an instance's directory when there is nothing in it but locks: whoever waited
    /// for the lock of an instance that is gone by now has made it again.
    pub fn remove_if_bare(state: &Utf8Path, name: &Name) -> Result<()> {
        if Self::is_bare(state, name) { Self::remove(state, name) } else { Ok(()) }
    }

    /// Whether an instance's directory is there with nothing but locks in it.
    #[must_use]
    pub fn is_bare(state: &Utf8Path, name: &Name) -> bool {
        Self::dir(state, name)
            .read_dir_utf8()
            .is_ok_and(|mut d| d.all(|e| e.is_ok_and(|e| is_mark(e.file_name()))))
    }
}

/// Whether a file is one that commands lock or touch: nothing is in it.
fn is_mark(file: &str) -> bool {
    ["lock", "gate", "backups.lock"].contains(&file) || super::rest::Lasting::FILES.contains(&file)
}

/// Removes the temporary files that killed commands left in an instance's directory. Its lock is
/// held.
pub fn sweep_state(state: &Utf8Path, name: &Name) -> Result<()> {
    let dir = State::dir(state, name);
    sweep_dir(&dir, is_temporary)?;
    sweep_dir(&dir.join("generations"), is_temporary)
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
            generation: Some(4),
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
    fn what_an_older_ragpod_wrote_is_understood() {
        let (_keep, dir) = dir();
        std::fs::create_dir(dir.join("demo")).unwrap();
        std::fs::write(dir.join("demo/state.json"), "{\"version\":1,\"applied\":{\"a\":\"b\"}}")
            .unwrap();
        let state = State::load(&dir, &name()).unwrap();
        assert_eq!((state.applied.len(), state.generation), (1, None));
    }

    #[test]
    fn newer_and_corrupt_files_are_refused_and_kept() {
        let (_keep, dir) = dir();
        std::fs::create_dir(dir.join("demo")).unwrap();
        for (text, word) in [
            ("{\"version\":3,\"other\":1}", "newer ragpod"),
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
