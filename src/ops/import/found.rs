//! What an old database has, and whether an instance can take it over. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::model::Name;

/// The newest PostgreSQL whose dumps the instance's can read.
const MAJOR: u32 = 17;

/// What `look.sql` gives.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Look {
    pub major: u32,
    pub extensions: Vec<String>,
    pub graphs: bool,
    pub tables: Vec<Table>,
}

/// A table that belongs to no extension.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Table {
    pub schema: String,
    pub name: String,
    pub by_workspace: bool,
    pub dimension: Option<u32>,
}

/// A label of a graph, as AGE's catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Label {
    pub graph: String,
    pub name: String,
    pub id: i32,
    pub kind: String,
    pub table: String,
    pub sequence: String,
}

/// A model that an index was made with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Model {
    #[serde(rename = "embedding_model")]
    pub name: String,
    #[serde(rename = "embedding_dim")]
    pub dimension: u32,
}

impl Model {
    /// How LightRAG's tables of its vectors end.
    fn suffix(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let name: String = self.name.to_lowercase().chars().map(plain).collect();
        format!("_{name}_{}d", self.dimension)
    }
}

/// What a database was found to have.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub look: Look,
    /// Documents by workspace.
    pub documents: BTreeMap<String, u64>,
    /// Rows by table of vectors and workspace.
    pub vectors: BTreeMap<String, BTreeMap<String, u64>>,
    pub labels: Vec<Label>,
    /// What ragpod's engine noted, if it was ragpod's.
    pub model: Option<Model>,
    pub index: Option<String>,
    /// Whether it knows which file each document is of.
    pub files: bool,
}

/// What the instance is set to.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub name: Name,
    pub workspace: String,
    pub model: Model,
}

/// What is brought over, and what is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub workspace: String,
    pub documents: u64,
    /// The graphs' schemas.
    pub graphs: Vec<String>,
    pub notes: Vec<String>,
}

impl Look {
    pub fn has(&self, table: &str) -> bool {
        self.tables.iter().any(|t| t.schema == "public" && t.name == table)
    }

    /// The tables of passages' vectors.
    pub fn of_chunks(&self) -> impl Iterator<Item = &Table> {
        let vectors =
            |t: &&Table| t.schema == "public" && t.name.starts_with("lightrag_vdb_chunks");
        self.tables.iter().filter(vectors)
    }
}

/// Whether the instance can take a database over, and what of it.
///
/// # Errors
/// [`Kind::Failed`] when there is no index in it, [`Kind::Manifest`] when it is one of another
/// model or workspace than the manifest's, with what to set.
pub(super) fn judge(found: &Found, wanted: &Wanted) -> Result<Plan> {
    let name = &wanted.name;
    let look = &found.look;
    if look.major > MAJOR {
        return Err(Error::failed(format!(
            "the old database is of PostgreSQL {}, the instance has {MAJOR}",
            look.major
        ))
        .hint(format!("index its sources anew: ragpod ingest {name}")));
    }
    if !look.has("lightrag_doc_status") {
        let others: Vec<&str> = look.tables.iter().map(|t| t.name.as_str()).take(8).collect();
        let has = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
        return Err(Error::failed("the old database has no index of LightRAG")
            .cause(format!("it has {has}"))
            .hint(format!("index the sources instead: ragpod ingest {name}")));
    }
    let workspace = found.index.clone().unwrap_or_else(|| wanted.workspace.clone());
    let documents = found.documents.get(&workspace).copied().unwrap_or(0);
    let mut notes = Vec::new();
    let full: Vec<&String> =
        found.documents.iter().filter(|(_, n)| **n > 0).map(|(w, _)| w).collect();
    if documents == 0 {
        let error = match full.as_slice() {
            [] => Error::failed("the old database has no documents")
                .hint(format!("index the sources: ragpod ingest {name}")),
            [other, ..] => Error::new(
                Kind::Manifest,
                format!(
                    "the old documents are in the workspace {}, and {name} uses {workspace}",
                    full.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(" or ")
                ),
            )
            .hint(format!("set WORKSPACE = \"{other}\" under [env] in the manifest of {name}"))
            .hint(format!("then: ragpod up {name}, and the import again")),
        };
        return Err(error);
    }
    for other in full.iter().filter(|w| ***w != workspace) {
        notes.push(format!("the workspace {other} came along, and nobody asks it"));
    }
    let of = |table: &str| {
        found.vectors.get(table).and_then(|w| w.get(&workspace)).copied().unwrap_or(0)
    };
    let with_rows: Vec<&Table> = look.of_chunks().filter(|t| of(&t.name) > 0).collect();
    let ours = |t: &&&Table| {
        format!("lightrag_vdb_chunks{}", wanted.model.suffix()) == t.name.to_lowercase()
    };
    let old = |t: &&&Table| {
        t.name == "lightrag_vdb_chunks" && t.dimension == Some(wanted.model.dimension)
    };
    if with_rows.iter().any(|t| ours(&t)) {
    } else if with_rows.iter().any(|t| old(&t)) {
        let model = &wanted.model.name;
        notes.push(format!(
            "the old tables do not say which model made them; they were taken for those of {model}"
        ));
    } else if let Some(table) = with_rows.first() {
        return Err(other_model(found, wanted, table));
    }
    notes.extend(left_behind(found));
    if !found.files {
        notes.push(
            "the old database does not say which file each document is of: an ingest takes all \
             files in anew"
                .to_owned(),
        );
    }
    let graphs: BTreeSet<String> = found.labels.iter().map(|l| l.graph.clone()).collect();
    Ok(Plan { workspace, documents, graphs: graphs.into_iter().collect(), notes })
}

fn other_model(found: &Found, wanted: &Wanted, table: &Table) -> Error {
    let name = &wanted.name;
    let Model { name: ours, dimension } = &wanted.model;
    let suffix = table.name.trim_start_matches("lightrag_vdb_chunks").trim_start_matches('_');
    let theirs = match (&found.model, table.dimension) {
        (Some(model), _) => format!("{} ({} dimensions)", model.name, model.dimension),
        (None, Some(dim)) if suffix.is_empty() => format!("a model of {dim} dimensions"),
        (None, _) => format!("the model in the name of its table {}", table.name),
    };
    let set = match (&found.model, table.dimension) {
        (Some(model), _) => {
            format!("embedding_model = \"{}\" and embedding_dim = {}", model.name, model.dimension)
        }
        (None, Some(dim)) => format!("the embedding_model of old, and embedding_dim = {dim}"),
        (None, None) => "the embedding_model and embedding_dim of old".to_owned(),
    };
    Error::new(
        Kind::Manifest,
        format!("the old index was made with {theirs}, and {name} uses {ours} ({dimension})"),
    )
    .cause("vectors of one model mean nothing to another")
    .hint(format!("set {set} under [provider] in the manifest of {name}, with its kind"))
    .hint(format!("then: ragpod up {name}, and the import again"))
    .hint(format!("or index the sources anew: ragpod ingest {name}"))
}

/// What of the old database is not brought over.
fn left_behind(found: &Found) -> Vec<String> {
    let mut notes = Vec::new();
    let known = ["plpgsql", "vector", "age"];
    let other: Vec<&str> =
        found.look.extensions.iter().map(String::as_str).filter(|e| !known.contains(e)).collect();
    if !other.is_empty() {
        notes.push(format!("extensions that were left behind: {}", other.join(", ")));
    }
    let graph = |schema: &str| found.labels.iter().any(|l| l.graph == schema);
    let ours = |t: &&Table| {
        graph(&t.schema)
            || t.schema == "public"
                && (t.name.starts_with("lightrag_") || t.name.starts_with("ragpod_"))
    };
    let tables: Vec<String> = found
        .look
        .tables
        .iter()
        .filter(|t| !ours(t))
        .map(|t| format!("{}.{}", t.schema, t.name))
        .collect();
    if !tables.is_empty() {
        notes.push(format!("tables that were left behind: {}", tables.join(", ")));
    }
    notes
}

#[cfg(test)]
mod tests;
