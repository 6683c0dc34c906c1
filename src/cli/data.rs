//! Arguments of the verbs that keep, copy and move what an instance has.

use camino::Utf8PathBuf;
use clap::Args;

use super::values::duration;
use crate::model::Name;

/// `backup`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Each is an option of its own.
pub struct Backup {
    /// The instance's name; with --verify also the file of a backup
    #[arg(value_name = "NAME")]
    pub target: Utf8PathBuf,
    /// Write it there instead of among the instance's backups; - is standard output
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["list", "verify", "keep"])]
    pub output: Option<Utf8PathBuf>,
    /// Keep so many backups and remove older ones; else `keep` under [backup], else 7
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub keep: Option<u16>,
    /// Put the secrets in, encrypted for a public key of age's; else `recipient` under [backup]
    #[arg(long, value_name = "AGE1…", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub with_secrets: Option<String>,
    /// List the instance's backups
    #[arg(long, conflicts_with_all = ["verify", "keep", "with_secrets"])]
    pub list: bool,
    /// Restore a backup into a database that is thrown away, and count
    #[arg(long, conflicts_with_all = ["keep", "with_secrets"])]
    pub verify: bool,
}

/// `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The instance's name: a new one, or one whose data are to be replaced
    pub name: Name,
    /// The backup
    pub file: Utf8PathBuf,
    /// The file with the key that opens the secrets in it, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    pub identity: Option<Utf8PathBuf>,
    /// How long to wait for services, and for what the instance is doing to end
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    pub timeout: std::time::Duration,
    /// Do not ask before replacing data
    #[arg(short, long)]
    pub yes: bool,
}

/// `clone`.
#[derive(Debug, Args)]
pub struct CloneTo {
    /// The instance to copy
    #[arg(value_name = "SRC")]
    pub from: Name,
    /// The new instance's name
    #[arg(value_name = "DST")]
    pub to: Name,
    /// Copy the data, too, and start it
    #[arg(long)]
    pub data: bool,
    /// How long to wait for services
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    pub timeout: std::time::Duration,
}

/// `rename`.
#[derive(Debug, Args)]
pub struct Rename {
    /// The instance's name
    pub old: Name,
    /// Its new name
    pub new: Name,
    /// How long to wait for services
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = duration)]
    pub timeout: std::time::Duration,
}
