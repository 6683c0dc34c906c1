//! What containers said, and what volumes take.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::containers::nullable;
use super::{INSTANCE_LABEL, Podman};
use crate::error::Result;
use crate::exec::Cmd;

/// What is asked of `podman logs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logs<'a> {
    /// Go on with what comes.
    pub follow: bool,
    /// Only from this time on, in seconds since 1970.
    pub since: Option<&'a str>,
    /// Only the last lines of each.
    pub last: Option<u32>,
}

/// A volume of an instance, and what its files take on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSize {
    /// Its name.
    pub name: String,
    /// The instance whose label it has.
    pub instance: String,
    /// In bytes; `None` where it could not be counted.
    pub bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    mountpoint: Utf8PathBuf,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

impl Podman {
    /// The command that prints what containers said: `CONTAINER TIME TEXT` a line, one container
    /// after the other unless it follows. What they wrote to standard error comes on its own.
    #[must_use]
    pub fn logs(&self, containers: &[&str], wanted: &Logs<'_>) -> Cmd {
        let mut cmd = self.cmd(["logs", "--names", "--timestamps"]);
        if wanted.follow {
            cmd = cmd.arg("--follow");
        }
        if let Some(since) = wanted.since {
            cmd = cmd.args(["--since", since]);
        }
        if let Some(last) = wanted.last {
            cmd = cmd.arg(format!("--tail={last}"));
        }
        cmd.arg("--").args(containers.iter().copied())
    }

    /// The volumes of all instances and what they take on disk: two calls, however many there are.
    /// Their files belong to subordinate ids, whose namespace `unshare` enters.
    pub fn volume_sizes(&self) -> Result<Vec<VolumeSize>> {
        let filter = format!("label={INSTANCE_LABEL}");
        let volumes: Vec<Volume> =
            self.cmd(["volume", "ls", "--filter", &filter, "--format", "json"]).json()?;
        if volumes.is_empty() {
            return Ok(Vec::new());
        }
        let paths = volumes.iter().map(|v| v.mountpoint.as_str());
        // A file that is removed meanwhile is no error of ours: du(1) counts the rest.
        let du = ["unshare", "du", "--summarize", "--block-size=1", "--"];
        let output = self.cmd(du).args(paths).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let sizes: BTreeMap<&str, u64> = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .filter_map(|(bytes, path)| Some((path, bytes.parse().ok()?)))
            .collect();
        Ok(volumes
            .into_iter()
            .map(|v| VolumeSize {
                bytes: sizes.get(v.mountpoint.as_str()).copied(),
                instance: v.labels.get(INSTANCE_LABEL).cloned().unwrap_or_default(),
                name: v.name,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn what_containers_said_on_both_streams() {
        let (dir, podman) = fake::podman("echo out; echo err >&2");
        let wanted = Logs { follow: true, since: Some("17.5"), last: Some(3) };
        let mut said = Vec::new();
        podman.logs(&["a", "b"], &wanted).lines(|line| said.push(line.to_owned())).unwrap();
        assert_eq!(said, ["out", "err"]);
        assert_eq!(
            fake::calls(&dir),
            "logs --names --timestamps --follow --since 17.5 --tail=3 -- a b\n"
        );
    }

    #[test]
    fn sizes_of_all_volumes_in_two_calls() {
        let (dir, podman) = fake::podman(
            r#"case "$1" in
            volume) echo '[{"Name":"v","Mountpoint":"/v/_data","Labels":{"io.ragpod.instance":"a"}},
                {"Name":"w","Mountpoint":"/w/_data","Labels":null}]';;
            unshare) printf '4096\t/v/_data\n'; exit 1;;
            esac"#,
        );
        let all = podman.volume_sizes().unwrap();
        assert_eq!((all[0].bytes, all[0].instance.as_str()), (Some(4096), "a"));
        assert_eq!((all[1].bytes, all[1].instance.as_str()), (None, ""));
        assert_eq!(fake::calls(&dir).lines().count(), 2);
        let (_dir, podman) = fake::podman("echo '[]'");
        assert!(podman.volume_sizes().unwrap().is_empty());
    }
}
