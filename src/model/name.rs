//! Names: of an instance, and of everything that Podman and systemd know of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instance's name: `^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`, and not ending in a suffix with
/// which another instance's units would get the same names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Suffixes of unit and container names; an instance called `a-app` would render `a`'s names.
const RESERVED_SUFFIXES: [&str; 9] =
    ["-pod", "-network", "-volume", "-image", "-build", "-egress", "-postgres", "-app", "-engine"];

/// Why a text is no instance name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no character.
    #[error("it is empty")]
    Empty,
    /// It has more than 40 characters.
    #[error("it has {0} characters; 40 are the most")]
    TooLong(usize),
    /// It has a character other than `a-z`, `0-9` and `-`.
    #[error("it contains {0:?}; a name has lower-case letters a-z, digits and '-' only")]
    BadCharacter(char),
    /// It begins or ends with `-`.
    #[error("it begins or ends with '-'")]
    Dash,
    /// It ends in a reserved suffix.
    #[error("it ends in '{0}', which ragpod uses for the names of an instance's units")]
    Reserved(&'static str),
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        if s.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(c) =
            s.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
        {
            return Err(NameError::BadCharacter(c));
        }
        if s.len() > 40 {
            return Err(NameError::TooLong(s.len()));
        }
        if s.starts_with('-') || s.ends_with('-') {
            return Err(NameError::Dash);
        }
        if let Some(suffix) = RESERVED_SUFFIXES.into_iter().find(|r| s.ends_with(r)) {
            return Err(NameError::Reserved(suffix));
        }
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `hybridrag-NAME`: the pod, and the stem of every unit.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("hybridrag-{self}")
    }

    /// The pattern that every service of every instance matches, for `ListUnitsByPatterns`.
    pub const SERVICES: &'static str = "hybridrag-*.service";
}

/// The parts of an instance, each one quadlet unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The internal network.
    Network,
    /// The network of the gateway, or of the pod when egress is open.
    EgressNetwork,
    /// The database's volume.
    PostgresVolume,
    /// The engine's volume.
    EngineVolume,
    /// The pod.
    Pod,
    /// The gateway.
    Egress,
    /// The database.
    Postgres,
    /// The engine.
    App,
}

impl Part {
    /// All parts, in the order in which they are started.
    pub const ALL: [Part; 8] = [
        Part::Network,
        Part::EgressNetwork,
        Part::PostgresVolume,
        Part::EngineVolume,
        Part::Pod,
        Part::Egress,
        Part::Postgres,
        Part::App,
    ];

    /// What the part is called on the command line and in `status`: `app`, `postgres`, ….
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Part::Network => "network",
            Part::EgressNetwork => "egress-network",
            Part::PostgresVolume => "postgres-volume",
            Part::EngineVolume => "engine-volume",
            Part::Pod => "pod",
            Part::Egress => "egress",
            Part::Postgres => "postgres",
            Part::App => "app",
        }
    }

    /// Whether the part is a container that runs a program of ours (the pod's own is Podman's).
    #[must_use]
    pub fn is_container(self) -> bool {
        matches!(self, Part::Egress | Part::Postgres | Part::App)
    }

    /// Whether its service stays up as long as the instance does: the containers and the pod,
    /// as against networks and volumes, which are one-shot.
    #[must_use]
    pub fn is_running_service(self) -> bool {
        self.is_container() || self == Part::Pod
    }

    /// Whether it is a network.
    #[must_use]
    pub fn is_network(self) -> bool {
        matches!(self, Part::Network | Part::EgressNetwork)
    }

    /// Whether its quadlet is a volume: it holds user data and is never recreated.
    #[must_use]
    pub fn is_volume(self) -> bool {
        matches!(self, Part::PostgresVolume | Part::EngineVolume)
    }

    /// The quadlet's file name, such as `hybridrag-NAME-app.container`.
    #[must_use]
    pub fn file(self, name: &Name) -> String {
        let stem = name.stem();
        match self {
            Part::Network => format!("{stem}.network"),
            Part::EgressNetwork => format!("{stem}-egress.network"),
            Part::PostgresVolume => format!("{stem}-postgres.volume"),
            Part::EngineVolume => format!("{stem}-engine.volume"),
            Part::Pod => format!("{stem}.pod"),
            Part::Egress => format!("{stem}-egress.container"),
            Part::Postgres => format!("{stem}-postgres.container"),
            Part::App => format!("{stem}-app.container"),
        }
    }

    /// The service that Podman derives from the file (podman-systemd.unit(5)).
    #[must_use]
    pub fn service(self, name: &Name) -> String {
        let stem = name.stem();
        match self {
            Part::Network => format!("{stem}-network.service"),
            Part::EgressNetwork => format!("{stem}-egress-network.service"),
            Part::PostgresVolume => format!("{stem}-postgres-volume.service"),
            Part::EngineVolume => format!("{stem}-engine-volume.service"),
            Part::Pod => format!("{stem}-pod.service"),
            Part::Egress => format!("{stem}-egress.service"),
            Part::Postgres => format!("{stem}-postgres.service"),
            Part::App => format!("{stem}-app.service"),
        }
    }

    /// The name that Podman knows the part by: of the container, volume, network or pod.
    #[must_use]
    pub fn podman_name(self, name: &Name) -> String {
        match self {
            Part::Network => format!("hybridrag-{name}-network"),
            Part::EgressNetwork => format!("hybridrag-{name}-egress-network"),
            Part::PostgresVolume => format!("hybridrag-{name}-postgres"),
            Part::EngineVolume => format!("hybridrag-{name}-engine"),
            Part::Pod => format!("hybridrag-{name}"),
            Part::Egress => format!("hybridrag-{name}-egress"),
            Part::Postgres => format!("hybridrag-postgres-{name}"),
            Part::App => format!("hybridrag-{name}-app"),
        }
    }

    /// The instance and part that a service belongs to; `None` for a service of somebody else.
    #[must_use]
    pub fn of_service(service: &str) -> Option<(Name, Part)> {
        let rest = service.strip_prefix("hybridrag-")?.strip_suffix(".service")?;
        // Longest suffix first: `-egress-network` before `-network`.
        [
            ("-egress-network", Part::EgressNetwork),
            ("-postgres-volume", Part::PostgresVolume),
            ("-engine-volume", Part::EngineVolume),
            ("-network", Part::Network),
            ("-pod", Part::Pod),
            ("-egress", Part::Egress),
            ("-postgres", Part::Postgres),
            ("-app", Part::App),
        ]
        .into_iter()
        .find_map(|(suffix, part)| Some((rest.strip_suffix(suffix)?.parse().ok()?, part)))
    }

    /// The instance and part that a quadlet file belongs to.
    #[must_use]
    pub fn of_file(file: &str) -> Option<(Name, Part)> {
        let rest = file.strip_prefix("hybridrag-")?;
        [
            ("-egress.network", Part::EgressNetwork),
            (".network", Part::Network),
            ("-postgres.volume", Part::PostgresVolume),
            ("-engine.volume", Part::EngineVolume),
            (".pod", Part::Pod),
            ("-egress.container", Part::Egress),
            ("-postgres.container", Part::Postgres),
            ("-app.container", Part::App),
        ]
        .into_iter()
        .find_map(|(suffix, part)| Some((rest.strip_suffix(suffix)?.parse().ok()?, part)))
    }
}

/// What a secret is called in the manifest and on the command line: `api-key`.
/// Same alphabet as a [`Name`], 40 characters at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretKey(String);

impl SecretKey {
    /// The database password's key, which every instance has.
    #[must_use]
    pub fn postgres_password() -> Self {
        Self("postgres-password".to_owned())
    }

    /// The provider key's usual name.
    #[must_use]
    pub fn api_key() -> Self {
        Self("api-key".to_owned())
    }

    /// The key as text; also the file's name under `/run/secrets`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Podman secret of this key at a version: `hybridrag-NAME.KEY.VERSION`. A new version is a
    /// new name, so that the units that mount it change and their services are restarted. No name
    /// and no key has a dot, so no two instances have the same.
    #[must_use]
    pub fn podman_name(&self, name: &Name, version: u32) -> String {
        format!("hybridrag-{name}.{}.{version}", self.0)
    }
}

impl FromStr for SecretKey {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        match s.parse::<Name>() {
            Ok(name) => Ok(Self(name.0)),
            // A suffix is reserved among instances only.
            Err(NameError::Reserved(_)) => Ok(Self(s.to_owned())),
            Err(e) => Err(e),
        }
    }
}

impl TryFrom<String> for SecretKey {
    type Error = NameError;

    fn try_from(s: String) -> Result<Self, NameError> {
        s.parse()
    }
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_refused() {
        for (text, error) in [
            ("", NameError::Empty),
            ("A", NameError::BadCharacter('A')),
            ("a_b", NameError::BadCharacter('_')),
            ("ä", NameError::BadCharacter('ä')),
            ("a/b", NameError::BadCharacter('/')),
            ("-a", NameError::Dash),
            ("a-", NameError::Dash),
            ("my-app", NameError::Reserved("-app")),
            ("a-pod", NameError::Reserved("-pod")),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        }
        assert_eq!("a".repeat(41).parse::<Name>(), Err(NameError::TooLong(41)));
        assert!("a".repeat(40).parse::<Name>().is_ok());
        for ok in ["a", "0", "azure-specstory", "app", "pod"] {
            assert!(ok.parse::<Name>().is_ok(), "{ok}");
        }
    }

    proptest! {
        /// One namespace: no two instances share a unit, service, container, volume or network
        /// name, and each name leads back to its instance.
        #[test]
        fn names_never_collide(a in "[a-z0-9-]{1,12}", b in "[a-z0-9-]{1,12}") {
            let (Ok(a), Ok(b)) = (a.parse::<Name>(), b.parse::<Name>()) else { return Ok(()) };
            for part in Part::ALL {
                prop_assert_eq!(Part::of_service(&part.service(&a)), Some((a.clone(), part)));
                prop_assert_eq!(Part::of_file(&part.file(&a)), Some((a.clone(), part)));
                for other in Part::ALL {
                    if (&a, part) != (&b, other) {
                        prop_assert_ne!(part.file(&a), other.file(&b));
                        prop_assert_ne!(part.service(&a), other.service(&b));
                    }
                }
            }
        }
    }
}
