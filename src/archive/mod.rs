//! The file of a backup: a tar compressed by zstd, whose members are in a fixed order and whose
//! first one, `backup.json`, says what the others are.
//!
//! This layer knows the form and the files on disk. What is in a member is the affair of `ops`.

mod index;
mod names;
mod read;
mod sealed;
mod write;

pub use index::{Documents, FORMAT, Index, Member, Server};
pub use names::{FileName, list, prune, surplus};
pub use read::Archive;
pub use sealed::{Recipient, read_identities, seal, unseal};
pub use write::{Draft, Staged};

/// What the backup holds: [`Index`].
pub const INDEX: &str = "backup.json";
/// The instance's manifest.
pub const MANIFEST: &str = "manifest.toml";
/// Statements that give graphs their place after `pg_restore`.
pub const GRAPHS: &str = "graphs.sql";
/// What of the dump is restored into a database that has its extensions: a list for
/// `pg_restore -L`.
pub const LIST: &str = "database.list";
/// The database: `pg_dump`'s custom format.
pub const DATABASE: &str = "database.dump";
/// The engine's volume, a tar.
pub const ENGINE: &str = "engine.tar";
/// The secrets, encrypted by age: a JSON object of keys and values.
pub const SECRETS: &str = "secrets.age";

/// The members in the order in which they lie in the file; only the last may be missing.
pub const MEMBERS: [&str; 7] = [INDEX, MANIFEST, GRAPHS, LIST, DATABASE, ENGINE, SECRETS];
