//! Images: which are there, made and pulled.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::Podman;
use crate::error::{Error, Kind, Result};
use crate::model::ImageRef;

/// What `podman images --format json` tells of an image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    #[serde(default)]
    names: Option<Vec<String>>,
    /// Its id, in hexadecimal.
    #[serde(default)]
    pub id: String,
    /// Its labels.
    #[serde(default, deserialize_with = "super::containers::nullable")]
    pub labels: BTreeMap<String, String>,
    /// Its size in bytes, with what it shares with other images.
    #[serde(default)]
    pub size: u64,
    /// When it was built: seconds since 1970.
    #[serde(default)]
    pub created: i64,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
}

/// An image to be built.
#[derive(Clone, Debug)]
pub struct Build {
    /// The build context, with a `Containerfile` in it.
    pub context: Utf8PathBuf,
    /// The name that it gets.
    pub tag: ImageRef,
    /// Build arguments: the base image and what else the recipe asks for.
    pub args: Vec<(String, String)>,
    /// Further options of `podman build`, such as `--network=none`.
    pub options: Vec<String>,
}

impl Podman {
    /// All images of this user. One call.
    pub fn images(&self) -> Result<Vec<Listed>> {
        self.cmd(["images", "--format", "json"]).json()
    }

    /// Which of the images are not on this host. One call for any number.
    pub fn missing_images(&self, wanted: &[ImageRef]) -> Result<Vec<ImageRef>> {
        let there = self.images()?;
        Ok(wanted.iter().filter(|w| !there.iter().any(|l| l.is(w.as_str()))).cloned().collect())
    }

    /// Whether an image is on this host.
    pub fn image_exists(&self, image: &ImageRef) -> Result<bool> {
        Ok(self.missing_images(std::slice::from_ref(image))?.is_empty())
    }

    /// A variable of an image's own environment. `image` is its name or id.
    pub fn image_env(&self, image: &str, name: &str) -> Result<Option<String>> {
        let format = "{{json .Config.Env}}";
        let env: Option<Vec<String>> =
            self.cmd(["image", "inspect", "--format", format, "--", image]).json()?;
        let of = |line: String| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        Ok(env.unwrap_or_default().into_iter().find_map(of))
    }

    /// Pulls an image, telling `line` each line that Podman prints.
    ///
    /// # Errors
    /// [`Kind::Image`], with what the registry said.
    pub fn pull(&self, image: &ImageRef, line: impl FnMut(&str)) -> Result<()> {
        self.cmd(["pull", image.as_str()]).lines(line).map_err(|e| {
            with_causes(Error::new(Kind::Image, format!("cannot pull {image}")), e)
                .hint(format!("try it by itself: podman pull {image}"))
        })
    }

    /// Builds an image, telling `line` each line that Podman prints.
    ///
    /// # Errors
    /// [`Kind::Image`], with the last lines of the build.
    pub fn build(&self, build: &Build, line: impl FnMut(&str)) -> Result<()> {
        let args = build.args.iter().map(|(name, value)| format!("--build-arg={name}={value}"));
        let cmd = self
            .cmd(["build", "--tag", build.tag.as_str()])
            .args(args)
            .args(build.options.clone())
            .arg(build.context.as_str());
        cmd.lines(line).map_err(|e| {
            with_causes(Error::new(Kind::Image, format!("cannot build {}", build.tag)), e)
                .hint(format!("see the whole build: {}", cmd.line()))
        })
    }
}

impl Listed {
    /// Whether the image goes by this name: `registry/path:tag`, or by a digest.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        if let Some((repository, digest)) = wanted.split_once('@') {
            // A tag beside a digest says nothing: `a/b:1@sha256:…` is what the digest is.
            let repository = untagged(repository);
            let full = format!("{repository}@{digest}");
            let named = || self.names.iter().flatten().any(|n| untagged(n) == repository);
            return self.repo_digests.iter().flatten().any(|d| *d == full)
                || (self.digest.as_deref() == Some(digest) && named());
        }
        let tagged = if untagged(wanted) == wanted { ":latest" } else { "" };
        self.names.iter().flatten().any(|n| n.strip_suffix(tagged) == Some(wanted))
    }
}

/// The name without its tag; a colon before the last slash is a port.
fn untagged(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// What a program said, under a better headline.
fn with_causes(error: Error, from: Error) -> Error {
    from.causes.into_iter().fold(error, Error::cause)
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    const IMAGES: &str = r#"cat <<'E'
[{"Id":"1","Names":["localhost/ragpod/postgres:17","localhost/other:1"],"Digest":"sha256:aa",
  "RepoDigests":["localhost/ragpod/postgres@sha256:aa"]},
 {"Id":"2","Names":null,"Digest":"sha256:bb"},
 {"Id":"3","Names":["registry.example:5000/a/b:latest"],"Digest":"sha256:cc"}]
E"#;

    #[test]
    fn what_is_missing() {
        let (dir, podman) = fake::podman(IMAGES);
        let parse = |s: &str| s.parse::<ImageRef>().unwrap();
        let there = [
            "localhost/ragpod/postgres:17",
            "registry.example:5000/a/b",
            "registry.example:5000/a/b:latest",
            "localhost/ragpod/postgres@sha256:aa",
            "registry.example:5000/a/b:9@sha256:cc",
        ]
        .map(parse);
        let absent = [
            "localhost/ragpod/postgres:18",
            "localhost/ragpod/postgres",
            "localhost/postgres:17",
            "localhost/ragpod/postgres@sha256:bb",
            "registry.example/a/b:latest",
        ]
        .map(parse);
        let all: Vec<ImageRef> = there.iter().chain(&absent).cloned().collect();
        assert_eq!(podman.missing_images(&all).unwrap(), absent);
        assert_eq!(fake::calls(&dir).lines().count(), 1);
        assert!(podman.image_exists(&there[0]).unwrap());
    }

    #[test]
    fn a_build_that_fails_says_what_it_printed_last() {
        let (dir, podman) = fake::podman("echo STEP 1; echo 'no space left' >&2; exit 1");
        let build = Build {
            context: "/c x".into(),
            tag: ImageRef::postgres(),
            args: vec![("BASE".into(), "localhost/base:1".into())],
            options: vec!["--network=none".into()],
        };
        let mut seen = Vec::new();
        let e = podman.build(&build, |l| seen.push(l.to_owned())).unwrap_err();
        assert_eq!(e.kind, Kind::Image);
        assert_eq!(e.causes, ["STEP 1\nno space left"]);
        assert_eq!(seen, ["STEP 1", "no space left"]);
        assert_eq!(
            fake::calls(&dir).trim(),
            "build --tag localhost/ragpod/postgres:17 --build-arg=BASE=localhost/base:1 \
             --network=none /c x"
        );
    }
}
