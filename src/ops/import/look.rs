//! Asking a database what it has; nothing in it is changed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::databases::ident;
use super::Wish;
use super::found::{Found, Label, Look, Plan};
use super::load::{FILLED, Target, literal};
use super::origin::Origin;
use super::server::Server;
use crate::error::{Error, Result};

const LOOK: &str = include_str!("look.sql");

/// The database of a server that has the index.
pub(super) fn pick(server: &Server, origin: &Origin, wish: &Wish) -> Result<String> {
    let all = server.databases()?;
    if let Some(asked) = &wish.database {
        return all.contains(asked).then(|| asked.clone()).ok_or_else(|| {
            Error::usage(format!("the old server has no database {asked}"))
                .hint(format!("it has {}", all.join(", ")))
        });
    }
    let sql = "SELECT to_regclass('public.lightrag_doc_status') IS NOT NULL";
    let mut with_index = Vec::new();
    for database in &all {
        // One that this user may not enter is not it.
        if server.psql(database, sql).is_ok_and(|text| text.trim() == "t") {
            with_index.push(database.clone());
        }
    }
    let named = match origin {
        Origin::Container { database, .. } | Origin::Files { database, .. } => database.clone(),
        _ => None,
    };
    match with_index.as_slice() {
        [one] => Ok(one.clone()),
        [] => Ok(named
            .filter(|n| all.contains(n))
            .or_else(|| all.into_iter().next())
            .unwrap_or_default()),
        several => match named.filter(|n| several.contains(n)) {
            Some(named) => Ok(named),
            None => Err(Error::usage(format!(
                "several databases have an index: {}",
                several.join(", ")
            ))
            .hint(format!("say which: --database {}", several[0]))),
        },
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text.trim()).map_err(|e| {
        Error::failed("the old database answered something unexpected").cause(e.to_string())
    })
}

/// All of it.
pub(super) fn look(ask: &dyn Fn(&str) -> Result<String>) -> Result<Found> {
    let look: Look = json(&ask(LOOK)?)?;
    let mut found = Found::default();
    let by_workspace = |table: &str| -> Result<BTreeMap<String, u64>> {
        json(&ask(&format!(
            "SELECT coalesce(json_object_agg(workspace, n), '{{}}') FROM \
             (SELECT workspace, count(*) AS n FROM public.{} GROUP BY 1) t",
            ident(table)
        ))?)
    };
    if look.has("lightrag_doc_status") {
        found.documents = by_workspace("lightrag_doc_status")?;
    }
    for table in look.of_chunks().filter(|t| t.by_workspace) {
        found.vectors.insert(table.name.clone(), by_workspace(&table.name)?);
    }
    if look.has("ragpod_state") {
        let value = |key: &str| {
            ask(&format!("SELECT value FROM public.ragpod_state WHERE key = {}", literal(key)))
        };
        found.model = serde_json::from_str(value("backend")?.trim()).ok();
        let index: Option<serde_json::Value> = serde_json::from_str(value("index")?.trim()).ok();
        found.index = index.and_then(|i| i.get("workspace")?.as_str().map(str::to_owned));
    }
    found.files = look.has("ragpod_files");
    if look.graphs {
        found.labels = json::<Vec<Label>>(&ask(
            "SELECT coalesce(json_agg(json_build_object('graph', g.name, 'name', l.name, 'id', l.id, \
             'kind', l.kind, 'table', c.relname, 'sequence', l.seq_name) ORDER BY g.name, l.id), '[]') \
             FROM ag_catalog.ag_label l JOIN ag_catalog.ag_graph g ON g.graphid = l.graph \
             JOIN pg_catalog.pg_class c ON c.oid = l.relation",
        )?)?;
    }
    found.look = look;
    Ok(found)
}

/// What arrived.
#[derive(Debug, Deserialize)]
pub(super) struct Arrived {
    pub documents: BTreeMap<String, u64>,
    pub chunks: u64,
    pub entities: u64,
    pub relations: u64,
}

/// Counts what arrived.
pub(super) fn arrived(target: &Target<'_>, found: &Found, plan: &Plan) -> Result<Arrived> {
    let chunks = if found.look.has("lightrag_doc_chunks") {
        let workspace = literal(&plan.workspace);
        format!("(SELECT count(*) FROM public.lightrag_doc_chunks WHERE workspace = {workspace})")
    } else {
        "0".to_owned()
    };
    // AGE's own two tables of each graph stand above those of its labels.
    let graphs = |table: &str| {
        let counts =
            plan.graphs.iter().map(|g| format!(" + (SELECT count(*) FROM {}.{table})", ident(g)));
        counts.fold("0".to_owned(), |sum, count| sum + &count)
    };
    json(&target.ask(
        FILLED,
        &format!(
            "SELECT json_build_object('documents', (SELECT json_object_agg(workspace, n) FROM \
             (SELECT workspace, count(*) AS n FROM public.lightrag_doc_status GROUP BY 1) t), \
             'chunks', {chunks}, 'entities', {}, 'relations', {})",
            graphs("_ag_label_vertex"),
            graphs("_ag_label_edge")
        ),
    )?)
}
