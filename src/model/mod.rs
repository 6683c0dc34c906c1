//! The typed instance: what a checked manifest says, and nothing else. Pure data, no I/O.
//!
//! Every value here has been checked: a `Name` is a name, a `Path` is absolute, an `Endpoint` is a
//! host and a port. The layers below take these types and need not ask again.

mod backup;
mod hardening;
mod image;
mod name;
mod profile;
mod provider;
mod schedule;
mod text;
mod version;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use camino::Utf8PathBuf;

pub use backup::{AgeRecipient, Backup};
pub use hardening::{Hardening, Relaxation};
pub use image::{ImageKind, ImageRef};
pub use name::{Name, NameError, Part, SecretKey};
pub use profile::{Argv, Command, Commands, Profile, Slot, Word};
pub use provider::{Endpoint, Provider, ProviderKind};
pub use schedule::{Chore, Schedule, TARGET};
pub use text::{Bytes, EnvName, PgIdent, Text, TextError};
pub use version::{NEW_ENOUGH, PodmanVersion};
pub use when::{Calendar, Span};

/// The directory in the app container that the first source is mounted at, read-only.
pub const FIRST_SOURCE: &str = "/data/projects";
/// The directory in the app container under which all further sources are mounted.
pub const MORE_SOURCES: &str = "/data/sources";

/// The gateway's image; the manifest has no key for it.
static EGRESS_IMAGE: LazyLock<ImageRef> = LazyLock::new(ImageRef::egress);

/// One isolated HybridRAG instance, as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name, from which every unit, container, volume and network name derives.
    pub name: Name,
    /// Whether it starts with the user's manager (`WantedBy=default.target`).
    pub autostart: bool,
    /// The database.
    pub postgres: Postgres,
    /// The engine, which runs in the app container.
    pub engine: Engine,
    /// Where embeddings and completions come from.
    pub provider: Provider,
    /// Folders whose files are ingested, in the manifest's order.
    pub sources: Vec<Source>,
    /// What the instance may reach.
    pub egress: Egress,
    /// What is relaxed of its containers' hardening.
    pub hardening: Hardening,
    /// What is kept of its backups, and for whom.
    pub backup: Backup,
    /// What it does by itself, and when.
    pub schedule: Schedule,
    /// Further environment of the engine.
    pub env: BTreeMap<EnvName, Text>,
}

/// `[postgres]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// The database's name.
    pub database: PgIdent,
    /// The role that the engine connects as; it is no superuser.
    pub user: PgIdent,
    /// The most memory its container may take.
    pub memory: Option<Bytes>,
    /// The image of its container.
    pub image: ImageRef,
}

/// `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Which engine runs in the app container.
    pub profile: Profile,
    /// The image of the app container.
    pub image: ImageRef,
    /// The most memory its container may take.
    pub memory: Option<Bytes>,
    /// Documents that are handed to the pipeline at once, 1 to 1,000.
    pub batch_size: u16,
    /// How many of them are worked on at the same time, 1 to 64; the engine's own default else.
    pub concurrency: Option<u16>,
}

/// `[[source]]`: a folder whose files are ingested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The folder on the host: absolute, normal (no `.`, `..` or doubled slash).
    pub path: Utf8PathBuf,
    /// Which files under it, as a glob; `None` leaves it to the engine.
    pub pattern: Option<Text>,
    /// Where the app container sees it: [`FIRST_SOURCE`], or a folder under [`MORE_SOURCES`].
    pub mount: Utf8PathBuf,
}

/// `[egress]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Nothing can be reached: there is no gateway.
    None,
    /// A gateway lets connections through to these only.
    Allow(Vec<Endpoint>),
    /// The pod has an ordinary, isolated network besides the internal one.
    Open,
}

impl Egress {
    /// Whether this mode needs the gateway container.
    #[must_use]
    pub fn has_gateway(&self) -> bool {
        matches!(self, Egress::Allow(_))
    }

    /// Whether this mode needs the egress network.
    #[must_use]
    pub fn has_network(&self) -> bool {
        !matches!(self, Egress::None)
    }

    /// The manifest's word for it.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self {
            Egress::None => "none",
            Egress::Allow(_) => "allow",
            Egress::Open => "open",
        }
    }
}

impl Instance {
    /// The parts that this instance has, in the order in which they are started.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        Part::ALL
            .into_iter()
            .filter(|part| match part {
                Part::Egress => self.egress.has_gateway(),
                Part::EgressNetwork => self.egress.has_network(),
                _ => true,
            })
            .collect()
    }

    /// The secrets that its units mount: the database password, and the provider's key if it
    /// has one.
    #[must_use]
    pub fn secret_keys(&self) -> Vec<SecretKey> {
        let mut keys = vec![SecretKey::postgres_password()];
        keys.extend(self.provider.api_key.clone());
        keys
    }

    /// The image that a part runs; `None` for what is no container of ours.
    #[must_use]
    pub fn image(&self, part: Part) -> Option<&ImageRef> {
        match part {
            Part::Postgres => Some(&self.postgres.image),
            Part::App => Some(&self.engine.image),
            Part::Egress => Some(&EGRESS_IMAGE),
            _ => None,
        }
    }

    /// The images that its containers run, each once.
    #[must_use]
    pub fn images(&self) -> BTreeSet<ImageRef> {
        self.parts().into_iter().filter_map(|part| self.image(part).cloned()).collect()
    }
}
