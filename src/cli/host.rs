//! Arguments of the verbs for what instances use: the host, secrets and images.

use clap::{Args, Subcommand};

use super::One;
use super::values::{duration, word};
use crate::model::{ImageKind, Name, SecretKey};

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Do what can be done without root, then check again
    #[arg(long)]
    pub fix: bool,
}

/// `secret`.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Store a secret, read from standard input
    #[command(after_help = "Example:\n  ragpod secret set work api-key < key.txt")]
    Set(SecretOne),
    /// Replace a secret that is in use; the database learns its new password
    #[command(
        after_help = "Examples:\n  ragpod secret rotate work postgres-password --generate\n  \
        ragpod secret rotate work api-key < key.txt\n\nWhat the instance is answering is answered \
        first, then the engine is restarted; the database is not."
    )]
    Rotate(Rotate),
    /// List an instance's secrets; never their values
    #[command(after_help = "Example:\n  ragpod secret list work")]
    List(One),
    /// Remove a secret
    #[command(after_help = "Example:\n  ragpod secret rm work api-key")]
    Rm(SecretOne),
}

/// One secret.
#[derive(Debug, Args)]
pub struct SecretOne {
    /// The instance's name
    pub name: Name,
    /// The secret's key, as the manifest names it: api-key
    pub key: SecretKey,
}

/// `secret rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub secret: SecretOne,
    /// Make a new password of the database (so it is when standard input is a terminal)
    #[arg(long)]
    pub generate: bool,
    /// How long to wait for what the instance is doing, and until it is healthy again
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    pub timeout: std::time::Duration,
}

/// `image`.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Build images from the recipes that ragpod carries
    #[command(after_help = "Examples:\n  ragpod image build\n  \
        ragpod image build postgres --base docker.io/apache/age:release_PG17_1.6.0\n  \
        ragpod image build --engine-context ~/hybridrag")]
    Build(ImageBuild),
    /// List ragpod's images on this host
    #[command(after_help = "Example:\n  ragpod image list --json")]
    List,
}

/// `image build`.
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Which ones; all when none is named
    #[arg(value_name = "IMAGE", value_parser = word::<ImageKind>(ImageKind::ALL.map(ImageKind::as_str)))]
    pub which: Vec<ImageKind>,
    /// Build upstream HybridRAG instead, from a checkout of its source, for profile = "hybridrag"
    #[arg(long, value_name = "DIR", conflicts_with = "which")]
    pub engine_context: Option<camino::Utf8PathBuf>,
    /// Build on this image instead of the recipe's own base
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,
}
