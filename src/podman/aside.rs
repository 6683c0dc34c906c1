//! A container beside an instance, for a moment: it reaches nothing, and goes with its data.

use super::{ExecOptions, INSTANCE_LABEL, Podman};
use crate::error::Result;
use crate::exec::Cmd;
use crate::model::Name;

/// What such a container sees of the host, read-only, at `/old`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Nothing.
    Nothing,
    /// A folder.
    Folder(&'a str),
    /// A volume.
    Volume(&'a str),
}

/// Such a container.
#[derive(Clone, Copy, Debug)]
pub struct Aside<'a> {
    /// Its name.
    pub name: &'a str,
    /// The instance that it is for.
    pub instance: &'a Name,
    /// Its image.
    pub image: &'a str,
    /// What it sees.
    pub seen: Seen<'a>,
    /// What sh runs in it, as root in the user's namespace, with `/aside` for its own data.
    pub script: &'a str,
    /// The script's arguments.
    pub args: &'a [&'a str],
}

impl Podman {
    /// Starts it. An image that is nobody's local one is fetched when it is not there.
    pub fn aside(&self, aside: &Aside<'_>) -> Result<()> {
        let label = format!("{INSTANCE_LABEL}={}", aside.instance);
        let pull = if aside.image.starts_with("localhost/") { "never" } else { "missing" };
        let mut cmd =
            self.cmd(["run", "--detach", "--name", aside.name, "--label", &label]).args([
                "--network=none",
                // Goes with the container: what its server says may be somebody's text.
                "--log-driver=k8s-file",
                "--user=0:0",
                "--read-only",
                "--tmpfs=/tmp",
                "--volume=/aside",
                "--cap-drop=all",
                "--cap-add=CHOWN,DAC_OVERRIDE,FOWNER,SETUID,SETGID",
                "--security-opt=no-new-privileges",
                "--security-opt=label=disable",
                "--entrypoint=sh",
                "--pull",
                pull,
            ]);
        cmd = match aside.seen {
            Seen::Nothing => cmd,
            Seen::Folder(path) => cmd.arg(format!("--mount=type=bind,src={path},dst=/old,ro=true")),
            Seen::Volume(name) => {
                cmd.arg(format!("--mount=type=volume,src={name},dst=/old,ro=true"))
            }
        };
        cmd.args([aside.image, "-euc", aside.script, "aside"])
            .args(aside.args.iter().copied())
            .stdout()
            .map(drop)
    }

    /// Ends it at once and removes it with its data; one that is not there is no error.
    pub fn aside_rm(&self, name: &str) -> Result<()> {
        self.cmd(["rm", "--force", "--ignore", "--volumes", "--time=0", "--", name])
            .stdout()
            .map(drop)
    }

    /// Whether a container runs.
    #[must_use]
    pub fn is_running(&self, container: &str) -> bool {
        let cmd =
            self.cmd(["container", "inspect", "--format={{.State.Running}}", "--", container]);
        cmd.stdout().is_ok_and(|text| text.trim() == "true")
    }

    /// The last that a container wrote.
    #[must_use]
    pub fn last_words(&self, container: &str) -> String {
        match self.cmd(["logs", "--tail=12", container]).output() {
            Ok(output) => {
                let words = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&words).trim().to_owned()
            }
            Err(_) => String::new(),
        }
    }

    /// The running containers that have all these labels, by name.
    pub fn labelled(&self, labels: &[String]) -> Result<Vec<String>> {
        let filters = labels.iter().map(|label| format!("--filter=label={label}"));
        let text = self.cmd(["ps", "--format={{.Names}}"]).args(filters).stdout()?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The first line of the first of these files that is there, whichever of the user's
    /// subordinate ids it belongs to.
    pub fn first_line(&self, files: &[String]) -> Result<Option<String>> {
        // One that is not there is told of by `cat`, and no error.
        let output =
            self.cmd(["unshare", "cat", "--"]).args(files.iter().map(String::as_str)).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()))
    }

    /// The command that runs `argv` in a container with nothing of ours but a standard input.
    #[must_use]
    pub fn fed(&self, container: &str, user: Option<&str>) -> Cmd {
        let user = user.map(str::to_owned);
        let options = ExecOptions { interactive: true, user, ..ExecOptions::default() };
        self.exec::<&str>(container, &options, [])
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn it_reaches_nothing_and_goes_with_its_data() {
        let (dir, podman) = fake::podman("exit 0");
        let name = "a".parse().unwrap();
        let aside = Aside {
            name: "x",
            instance: &name,
            image: "localhost/i:1",
            seen: Seen::Folder("/d"),
            script: "true",
            args: &["1"],
        };
        podman.aside(&aside).unwrap();
        podman.aside_rm("x").unwrap();
        let calls = fake::calls(&dir);
        for part in ["--network=none", "--cap-drop=all", "--pull never", "dst=/old,ro=true"] {
            assert!(calls.contains(part), "{calls}");
        }
        assert!(calls.contains("localhost/i:1 -euc true aside 1\n"), "{calls}");
        assert!(calls.ends_with("rm --force --ignore --volumes --time=0 -- x\n"), "{calls}");
    }
}
