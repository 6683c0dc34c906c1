//! The record of a change that is under way: `intent.json` in the instance's state directory.
//!
//! It is written before anything is touched and removed when all is done. One that is found was
//! left by a command that was killed: the next one knows from it what was there before.

use serde::{Deserialize, Serialize};

use super::json::record;

/// What a command is about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The command, without values: `ragpod up demo`.
    pub doing: String,
    /// The command that completes it.
    pub redo: String,
    /// Its process id.
    pub pid: u32,
    /// The generation that was installed before; `None` when nothing was.
    pub from: Option<u32>,
    /// Whether that one was healthy.
    pub was_healthy: bool,
    /// Whether anything of the instance ran.
    pub was_running: bool,
    /// Whether it is to run afterwards.
    #[serde(default)]
    pub start: bool,
    /// The generation that is to be installed; `None` when the instance is taken off the host.
    pub to: Option<u32>,
}

record!(Intent, "intent.json", 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;
    use crate::model::Name;

    #[test]
    fn from_before_to_after() {
        let (_keep, dir) = dir();
        let name: Name = "demo".parse().unwrap();
        assert_eq!(Intent::load(&dir, &name).unwrap(), None);
        let intent = Intent {
            doing: "ragpod up demo".into(),
            redo: "ragpod up demo".into(),
            pid: 7,
            from: Some(1),
            was_healthy: true,
            was_running: true,
            start: true,
            to: Some(2),
        };
        intent.save(&dir, &name).unwrap();
        assert_eq!(Intent::load(&dir, &name).unwrap(), Some(intent));
        Intent::end(&dir, &name).unwrap();
        Intent::end(&dir, &name).unwrap();
        assert_eq!(Intent::load(&dir, &name).unwrap(), None);
    }
}
