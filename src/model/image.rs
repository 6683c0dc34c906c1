//! Image references.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// An image's name, fully qualified: `registry/path:tag` or `registry/path@sha256:…`. Short names are
/// refused, because what they mean depends on the host (registries.conf(5), "unqualified-search").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ImageRef(String);

impl ImageRef {
    /// `localhost/ragpod/postgres:17`.
    #[must_use]
    pub fn postgres() -> Self {
        Self("localhost/ragpod/postgres:17".to_owned())
    }

    /// `localhost/ragpod/engine:latest`.
    #[must_use]
    pub fn engine() -> Self {
        Self("localhost/ragpod/engine:latest".to_owned())
    }

    /// `localhost/ragpod/egress:latest`.
    #[must_use]
    pub fn egress() -> Self {
        Self("localhost/ragpod/egress:latest".to_owned())
    }

    /// `localhost/ragpod/hybridrag:latest`.
    #[must_use]
    pub fn hybridrag() -> Self {
        Self("localhost/ragpod/hybridrag:latest".to_owned())
    }

    /// The reference as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the image can only be on this host: nothing to pull from.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.starts_with("localhost/")
    }
}

impl FromStr for ImageRef {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Some(c) = s.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._/:@".contains(*c))) {
            return Err(format!("{c:?} cannot be part of an image name"));
        }
        let Some((registry, rest)) = s.split_once('/') else {
            return Err("it names no registry: write it in full, like docker.io/library/postgres:17 or localhost/mine:1".into());
        };
        if !(registry == "localhost" || registry.contains(['.', ':'])) || registry.starts_with('-')
        {
            return Err(format!(
                "{registry:?} is no registry: write the name in full, like docker.io/{s}"
            ));
        }
        let path = rest.split(['@', ':']).next().unwrap_or_default();
        if path.split('/').any(str::is_empty) || path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(
                "the part after the registry must be lower-case words between single slashes"
                    .into(),
            );
        }
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the images that ragpod has recipes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// PostgreSQL 17 with pgvector and Apache AGE.
    Postgres,
    /// The engine.
    Engine,
    /// The gateway.
    Egress,
    /// Upstream `HybridRAG`, from a checkout of its source.
    Hybridrag,
}

impl ImageKind {
    /// Those that need nothing but their recipe, in the order in which they are built.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Engine, Self::Egress];

    /// Its word on the command line, and its folder under `packaging/images`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Engine => "engine",
            Self::Egress => "egress",
            Self::Hybridrag => "hybridrag",
        }
    }

    /// The name that it is built under and that manifests use by default.
    #[must_use]
    pub fn image(self) -> ImageRef {
        match self {
            Self::Postgres => ImageRef::postgres(),
            Self::Engine => ImageRef::engine(),
            Self::Egress => ImageRef::egress(),
            Self::Hybridrag => ImageRef::hybridrag(),
        }
    }
}

impl FromStr for ImageKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or_else(|| {
            format!(
                "{s:?} is no image of ragpod's; there are {}",
                Self::ALL.map(Self::as_str).join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_names() {
        for ok in [
            "localhost/ragpod/postgres:17",
            "docker.io/apache/age:release_PG17_1.6.0",
            "registry.example.org:5000/a/b@sha256:0123456789abcdef",
        ] {
            assert!(ok.parse::<ImageRef>().is_ok(), "{ok}");
        }
        for bad in [
            "",
            "postgres",
            "apache/age",
            "docker.io/",
            "docker.io/A",
            "localhost/a b",
            "localhost/a\nb",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad:?}");
        }
    }
}
