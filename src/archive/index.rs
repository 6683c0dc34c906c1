//! `backup.json`: what a backup holds, with which a restore is compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The form of a backup that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of ragpod that made it.
    pub ragpod: String,
    /// When (RFC 3339, UTC).
    pub created: String,
    /// The instance's name.
    pub instance: String,
    /// The database server.
    pub postgres: Server,
    /// What the index was made with, as the engine noted it: provider, models, dimension. `None`
    /// when the engine keeps no such note.
    pub engine: Option<serde_json::Value>,
    /// Rows by table, `schema.table`.
    pub tables: BTreeMap<String, u64>,
    /// Documents by state; `None` when the engine does not keep `LightRAG`'s.
    pub documents: Option<Documents>,
    /// Files of the engine's volume that hold a secret, and so are not in the backup.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// The other members.
    pub members: BTreeMap<String, Member>,
}

/// The database server that a backup was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its version, such as `17.6`.
    pub version: String,
    /// Its major version, such as 17.
    pub major: u32,
    /// The extensions of the database, and their versions.
    pub extensions: BTreeMap<String, String>,
    /// The database's name.
    pub database: String,
    /// The role that owns what is in it.
    pub user: String,
}

/// Documents by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documents {
    /// In the index.
    pub processed: u64,
    /// Could not be taken in.
    pub failed: u64,
    /// Not yet in the index; the next ingest takes them up.
    pub pending: u64,
}

/// A member of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// All that is read before it is known that the rest can be.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

impl Index {
    /// Reads it.
    ///
    /// # Errors
    /// [`Kind::Failed`]: it is of a newer form, or not ragpod's. `file` is what people call it.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        let foreign = |e: serde_json::Error| {
            Error::failed(format!("{file} is no backup of ragpod's"))
                .cause(e.to_string())
                .hint("see which there are: ragpod backup --list NAME")
        };
        let form: Form = serde_json::from_slice(bytes).map_err(foreign)?;
        if form.format > FORMAT {
            return Err(Error::new(
                Kind::Failed,
                format!("{file} was made by a newer ragpod (form {})", form.format),
            )
            .cause(format!("this one knows form {FORMAT}; nothing was changed"))
            .hint("restore it with that ragpod or a newer one: ragpod --version"));
        }
        serde_json::from_slice(bytes).map_err(foreign)
    }

    /// As it is written.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::failed("cannot write JSON").cause(e.to_string()))?;
        text.push(b'\n');
        Ok(text)
    }

    /// The tables whose rows are not as many in `found`: each with the number that is wanted and
    /// the one that is there.
    #[must_use]
    pub fn differences(&self, found: &BTreeMap<String, u64>) -> Vec<String> {
        self.tables
            .iter()
            .filter(|(table, rows)| found.get(*table) != Some(rows))
            .map(|(table, rows)| match found.get(table) {
                Some(there) => format!("{table} has {there} rows instead of {rows}"),
                None => format!("{table} is missing"),
            })
            .collect()
    }

    /// The rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.values().sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn index() -> Index {
        Index {
            format: FORMAT,
            ragpod: "0.1.0".into(),
            created: "2026-11-25T02:00:00Z".into(),
            instance: "demo".into(),
            postgres: Server::default(),
            engine: None,
            tables: [("public.a".to_owned(), 2)].into(),
            documents: None,
            left_out: Vec::new(),
            members: BTreeMap::new(),
        }
    }

    #[test]
    fn written_and_read() {
        let text = index().to_json().unwrap();
        assert_eq!(Index::parse(&text, "f").unwrap(), index());
    }

    #[test]
    fn newer_and_foreign_ones_are_refused() {
        let e = Index::parse(b"{\"format\":2,\"all\":\"new\"}", "f").unwrap_err();
        assert!(e.message.contains("newer ragpod"), "{e}");
        for text in ["", "[]", "{\"format\":1}", "{\"version\":1}"] {
            let e = Index::parse(text.as_bytes(), "f").unwrap_err();
            assert!(e.message.contains("no backup of ragpod's"), "{text}: {e}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let same = [("public.a".to_owned(), 2), ("public.b".to_owned(), 1)].into();
        assert!(index().differences(&same).is_empty());
        let fewer = [("public.a".to_owned(), 1)].into();
        assert_eq!(index().differences(&fewer), ["public.a has 1 rows instead of 2"]);
        assert_eq!(index().differences(&BTreeMap::new()), ["public.a is missing"]);
    }
}
