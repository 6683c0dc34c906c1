//! Containers, pods, networks and volumes.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::{INSTANCE_LABEL, Podman};
use crate::error::Result;
use crate::exec::Cmd;
use crate::model::{ImageRef, Name, Part};

/// A container of ours, as `podman ps` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its names; the first is the one it was made with.
    #[serde(default, deserialize_with = "nullable")]
    pub names: Vec<String>,
    /// Its labels.
    #[serde(default, deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// `running`, `exited`, `created`, `paused`, ….
    #[serde(default)]
    pub state: String,
    /// The state in words, with its health: `Up 2 minutes (healthy)`.
    #[serde(default)]
    pub status: String,
    /// The id of its pod.
    #[serde(default)]
    pub pod: String,
    /// Its pod's name.
    #[serde(default)]
    pub pod_name: String,
    /// Whether it is the pod's own.
    #[serde(default)]
    pub is_infra: bool,
    /// Its image's name.
    #[serde(default)]
    pub image: String,
    /// When it was started, in seconds since 1970.
    #[serde(default)]
    pub started_at: i64,
    /// Its exit code, where it has exited.
    #[serde(default)]
    pub exit_code: i32,
}

impl Container {
    /// The instance that it says it belongs to.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.labels.get(INSTANCE_LABEL).map(String::as_str)
    }

    /// Its health (`healthy`, `unhealthy`, `starting`); `None` when it has no check.
    #[must_use]
    pub fn health(&self) -> Option<&'static str> {
        ["healthy", "unhealthy", "starting"]
            .into_iter()
            .find(|word| self.status.ends_with(&format!("({word})")))
    }
}

/// Podman writes `null` for what is empty.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// How a command is run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// Give it a terminal.
    pub tty: bool,
    /// Pass standard input on.
    pub interactive: bool,
    /// As whom it runs; `None` is the container's own user.
    pub user: Option<String>,
    /// The directory that it starts in.
    pub workdir: Option<String>,
    /// Environment variables. Never secrets: the command line is public.
    pub env: Vec<(String, String)>,
}

impl Podman {
    /// The containers of all instances, running or not, the pods' own included. One call.
    pub fn ps_all(&self) -> Result<Vec<Container>> {
        let filter = format!("label={INSTANCE_LABEL}");
        self.cmd(["ps", "--all", "--pod", "--filter", &filter, "--format", "json"]).json()
    }

    /// The command that runs `argv` in a container, to be run or to take this process's place.
    #[must_use]
    pub fn exec<S: Into<String>>(
        &self,
        container: &str,
        options: &ExecOptions,
        argv: impl IntoIterator<Item = S>,
    ) -> Cmd {
        let mut cmd = self.cmd(["exec"]);
        if options.interactive {
            cmd = cmd.arg("--interactive");
        }
        if options.tty {
            cmd = cmd.arg("--tty");
        }
        if let Some(user) = &options.user {
            cmd = cmd.args(["--user", user]);
        }
        if let Some(dir) = &options.workdir {
            cmd = cmd.args(["--workdir", dir]);
        }
        for (name, value) in &options.env {
            cmd = cmd.arg(format!("--env={name}={value}"));
        }
        cmd.arg(container).args(argv)
    }

    /// The ports that a container or pod publishes, one a line as Podman prints them.
    pub fn port(&self, container: &str) -> Result<Vec<String>> {
        let text = self.cmd(["port", container]).stdout()?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Where a volume lies on the host; `None` when there is no such volume.
    pub fn volume_mountpoint(&self, volume: &str) -> Result<Option<Utf8PathBuf>> {
        if !self.exists("volume", volume)? {
            return Ok(None);
        }
        let text = self
            .cmd(["volume", "inspect", "--format", "{{.Mountpoint}}", "--", volume])
            .stdout()?;
        Ok(Some(text.trim().into()).filter(|p: &Utf8PathBuf| p.is_absolute()))
    }

    /// The major version of PostgreSQL whose data lie in a volume, as its `PG_VERSION` says it;
    /// `None` when there is no such volume, or no data in it.
    pub fn postgres_major(&self, volume: &str) -> Result<Option<String>> {
        let Some(mountpoint) = self.volume_mountpoint(volume)? else { return Ok(None) };
        let places = ["pgdata/PG_VERSION", "PG_VERSION"].map(|p| mountpoint.join(p).into_string());
        // The files belong to a subordinate user id, whose namespace `unshare` enters. One of the
        // places is never there, and `cat` says so.
        let output = self.cmd(["unshare", "cat", "--"]).args(places).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()))
    }

    /// Whether there is an object of this kind (`container`, `pod`, `volume`, `network`).
    pub fn exists(&self, kind: &str, name: &str) -> Result<bool> {
        let cmd = self.cmd([kind, "exists", name]);
        match cmd.output()?.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            // Anything else is an error of its own: told with the program's words.
            _ => cmd.stdout().map(|_| true),
        }
    }

    /// Makes an empty volume of an instance.
    pub fn volume_create(&self, instance: &Name, volume: &str) -> Result<()> {
        let label = format!("{INSTANCE_LABEL}={instance}");
        self.cmd(["volume", "create", "--label", &label, "--", volume]).stdout().map(drop)
    }

    /// A shell script in the namespace in which the owners of all files in volumes have numbers;
    /// `args` are `$1` and so on.
    #[must_use]
    pub fn unshare<S: Into<String>>(&self, script: &str, args: impl IntoIterator<Item = S>) -> Cmd {
        self.cmd(["unshare", "bash", "-euc", script, "ragpod"]).args(args)
    }

    /// Removes volumes with the data in them; those that are not there are no error.
    pub fn volume_rm<S: AsRef<str>>(&self, volumes: &[S]) -> Result<()> {
        for volume in volumes.iter().map(AsRef::as_ref) {
            // `podman volume rm` has no --ignore.
            if self.exists("volume", volume)? {
                self.cmd(["volume", "rm", "--", volume]).stdout()?;
            }
        }
        Ok(())
    }

    /// A shell script in a container that is thrown away with its volume, mounted at `data`, when the
    /// script ends: without a network, with standard input, as the image's own user.
    #[must_use]
    pub fn throw_away<S: Into<String>>(
        &self,
        name: &str,
        image: &ImageRef,
        data: &str,
        script: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Cmd {
        self.cmd(["run", "--rm", "--interactive", "--pull=never", "--network=none"])
            .args(["--name", name, "--cap-drop=all", "--security-opt=no-new-privileges"])
            .args(["--tmpfs=/tmp:rw,mode=1777,size=64m", "--log-driver=none"])
            .args(["--tmpfs=/run/postgresql:rw,mode=0777,size=1m", "--volume", data])
            .args(["--entrypoint=bash", image.as_str(), "-euc", script, "verify"])
            .args(args)
    }

    /// Stops and removes containers; those that are not there are no error.
    pub fn container_rm<S: AsRef<str>>(&self, containers: &[S]) -> Result<()> {
        if containers.is_empty() {
            return Ok(());
        }
        self.cmd(["rm", "--force", "--ignore", "--volumes", "--time", "10", "--"])
            .args(containers.iter().map(AsRef::as_ref))
            .stdout()
            .map(drop)
    }

    /// Removes networks; those that are not there are no error.
    pub fn network_rm<S: AsRef<str>>(&self, networks: &[S]) -> Result<()> {
        for network in networks.iter().map(AsRef::as_ref) {
            if self.exists("network", network)? {
                self.cmd(["network", "rm", "--", network]).stdout()?;
            }
        }
        Ok(())
    }

    /// Stops a pod and removes it with its containers; one that is not there is no error.
    pub fn pod_rm(&self, pod: &str) -> Result<()> {
        self.cmd(["pod", "rm", "--force", "--ignore", "--time", "10", "--", pod]).stdout().map(drop)
    }

    /// Removes what is left of an instance when its units are gone: pod, containers (by name and
    /// by label) and networks. Volumes and secrets stay. Gives the names of what was removed.
    pub fn remove_leftovers(&self, name: &Name) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        let pod = Part::Pod.podman_name(name);
        if self.exists("pod", &pod)? {
            self.pod_rm(&pod)?;
            removed.push(pod);
        }
        let filter = format!("label={INSTANCE_LABEL}={name}");
        let all = self.cmd(["ps", "--all", "--format", "{{.Names}}"]);
        let named: Vec<String> = Part::ALL
            .into_iter()
            .filter(|p| p.is_container())
            .map(|p| p.podman_name(name))
            .collect();
        let labelled = all.clone().args(["--filter", &filter]).stdout()?;
        let by_label = labelled.lines().map(str::to_owned);
        let there = all.stdout()?;
        let by_name = named.into_iter().filter(|n| there.lines().any(|l| l == n));
        let containers: std::collections::BTreeSet<String> = by_label.chain(by_name).collect();
        let containers: Vec<String> = containers.into_iter().collect();
        self.container_rm(&containers)?;
        removed.extend(containers);
        for part in [Part::Network, Part::EgressNetwork] {
            let network = part.podman_name(name);
            if self.exists("network", &network)? {
                self.network_rm(&[&network])?;
                removed.push(network);
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn containers_of_all_instances() {
        let (dir, podman) = fake::podman(
            r#"cat <<'E'
[{"Id":"1","Names":["hybridrag-a-app"],"Labels":{"io.ragpod.instance":"a"},"State":"running",
  "Status":"Up 2 minutes (healthy)","Pod":"9","PodName":"hybridrag-a","IsInfra":false,
  "Image":"localhost/x:1","StartedAt":1700000000,"ExitCode":0,"Command":null,"Restarts":0},
 {"Id":"2","Names":["hybridrag-a-infra"],"Labels":null,"State":"exited","Status":"Exited (0)",
  "IsInfra":true}]
E"#,
        );
        let all = podman.ps_all().unwrap();
        assert_eq!(all[0].instance(), Some("a"));
        assert_eq!((all[0].health(), all[1].health()), (Some("healthy"), None));
        assert!(all[1].is_infra && all[1].labels.is_empty());
        assert!(fake::calls(&dir).starts_with("ps --all --pod --filter label=io.ragpod.instance "));
    }

    #[test]
    fn exec_is_one_command_line() {
        let options = ExecOptions {
            tty: true,
            interactive: true,
            user: Some("postgres".into()),
            workdir: None,
            env: vec![("A".into(), "b c".into())],
        };
        let cmd = Podman::new().exec("c", &options, ["psql", "-c", "select 1"]);
        assert_eq!(
            cmd.line(),
            "podman exec --interactive --tty --user postgres '--env=A=b c' c psql -c 'select 1'"
        );
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        let (dir, podman) = fake::podman("[ \"$2\" = exists ] && exit 1; exit 0");
        podman.volume_rm(&["v"]).unwrap();
        assert_eq!(podman.volume_mountpoint("v").unwrap(), None);
        assert!(podman.remove_leftovers(&"a".parse().unwrap()).unwrap().is_empty());
        assert!(!fake::calls(&dir).contains(" rm "), "{}", fake::calls(&dir));
    }

    #[test]
    fn leftovers_by_name_and_label() {
        let (dir, podman) = fake::podman(
            r#"case "$*" in
            "ps --all --format {{.Names}}") printf 'hybridrag-a-app\nother\n';;
            "ps --all"*) echo stray;;
            esac"#,
        );
        let removed = podman.remove_leftovers(&"a".parse().unwrap()).unwrap();
        assert_eq!(
            removed,
            [
                "hybridrag-a",
                "hybridrag-a-app",
                "stray",
                "hybridrag-a-network",
                "hybridrag-a-egress-network"
            ]
        );
        assert!(
            fake::calls(&dir)
                .contains("rm --force --ignore --volumes --time 10 -- hybridrag-a-app stray\n")
        );
    }
}
