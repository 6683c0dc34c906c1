//! Podman's version, and the refusal of one that is too old.

use super::Podman;
use crate::error::{Error, Kind, Result};
use crate::model::{NEW_ENOUGH, PodmanVersion};

impl Podman {
    /// Its version, whichever it is.
    ///
    /// # Errors
    /// [`Kind::Host`] when Podman is not installed or says something else.
    pub fn version(&self) -> Result<PodmanVersion> {
        let text = self.cmd(["--version"]).stdout().map_err(|e| {
            if e.kind == Kind::Host {
                Error::host("Podman is not installed, or not in PATH")
                    .hint(
                        "install it, for example: sudo apt install podman, sudo dnf install podman",
                    )
                    .hint(format!("5.0 or newer is in {NEW_ENOUGH}"))
            } else {
                Error::host("Podman does not run").cause(e.to_string())
            }
        })?;
        parse_version(&text).ok_or_else(|| {
            Error::host("cannot tell the version of Podman")
                .cause(format!("`podman --version` printed {:?}", text.trim()))
        })
    }

    /// What it tells of itself and the host.
    pub fn info<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        self.cmd(["info", "--format", "json"]).json()
    }

    /// Has Podman make its namespace anew, with the ids that the user has by now. Stops whatever
    /// runs.
    pub fn migrate(&self) -> Result<()> {
        self.cmd(["system", "migrate"]).stdout().map(drop)
    }

    /// How many containers of this user run now.
    pub fn running(&self) -> Result<usize> {
        Ok(self.cmd(["ps", "--quiet"]).stdout()?.lines().count())
    }

    /// Its version, if ragpod works with it.
    ///
    /// # Errors
    /// As [`Podman::version`], and for a version below [`PodmanVersion::OLDEST`].
    pub fn supported(&self) -> Result<PodmanVersion> {
        require(self.version()?)
    }
}

/// The version in what `podman --version` prints: `podman version 5.4.2`.
#[must_use]
pub fn parse_version(text: &str) -> Option<PodmanVersion> {
    text.lines().next()?.split_whitespace().last()?.parse().ok()
}

/// Refuses a version that knows no `.pod` units.
///
/// # Errors
/// [`Kind::Host`], with the distributions that have a newer one.
pub fn require(version: PodmanVersion) -> Result<PodmanVersion> {
    if version >= PodmanVersion::OLDEST {
        return Ok(version);
    }
    Err(Error::host(format!("Podman {version} is too old: pods as units came with 5.0"))
        .hint(format!("these have a newer one: {NEW_ENOUGH}"))
        .hint("see what the units would be there: ragpod render NAME --podman 5.4"))
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn versions_are_read_and_judged() {
        let (_dir, podman) = fake::podman("echo podman version 5.4.2");
        assert_eq!(podman.supported().unwrap(), PodmanVersion::new(5, 4, 2));
        let (_dir, podman) = fake::podman("echo podman version 4.9.3");
        let e = podman.supported().unwrap_err();
        assert_eq!(e.kind, Kind::Host);
        assert!(e.message.contains("4.9.3") && e.hints()[0].contains("Debian 13"), "{e:?}");
        assert_eq!(parse_version("podman version 5.8.0-rc1\n"), Some(PodmanVersion::new(5, 8, 0)));
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn no_podman_and_a_broken_one() {
        let e = Podman::at("/nonexistent/podman").version().unwrap_err();
        assert_eq!((e.kind, e.message.contains("not installed")), (Kind::Host, true), "{e:?}");
        let (_dir, podman) = fake::podman("echo no; exit 125");
        assert_eq!(podman.version().unwrap_err().kind, Kind::Host);
        let (_dir, podman) = fake::podman("echo what");
        assert!(podman.version().unwrap_err().causes[0].contains("what"));
    }
}
