//! What the database says of an engine's documents, whatever the engine says.

use serde::Deserialize;
use serde_json::json;

use super::super::Ctx;
use super::super::engine::Streams;
use super::super::ingest::Reason;
use super::super::status::Documents;
use crate::install::State;
use crate::model::{Instance, Part};
use crate::podman::Podman;

/// Whether there is LightRAG's own table, which every engine over it has.
const IS_THERE: &str = "SELECT to_regclass('lightrag_doc_status') IS NOT NULL";

/// What is in it.
const QUESTION: &str = "SELECT json_build_object(
    'documents', json_build_object(
        'processed', count(*) FILTER (WHERE status = 'processed'),
        'failed', count(*) FILTER (WHERE status = 'failed'),
        'pending', count(*) FILTER (WHERE status NOT IN ('processed', 'failed'))),
    'failed', coalesce(json_agg(json_build_object('path', coalesce(file_path, id),
        'reason', coalesce(error_msg, 'no reason is known'))) FILTER (WHERE status = 'failed'), '[]'))
    FROM lightrag_doc_status";

/// What is in the database.
#[derive(Debug, Deserialize)]
pub(super) struct Counted {
    /// How many in which state.
    pub documents: Documents,
    /// Those that failed, with why.
    pub failed: Vec<Reason>,
}

/// Counts; `None` when the engine keeps no such table.
pub(super) fn count(instance: &Instance) -> Option<Counted> {
    // Asked first, so that an engine without it leaves no errors in the database's log.
    (ask(instance, IS_THERE)?.trim() == "t").then_some(())?;
    serde_json::from_str(&ask(instance, QUESTION)?).ok()
}

fn ask(instance: &Instance, question: &str) -> Option<String> {
    let (user, database) = (instance.postgres.user.as_str(), instance.postgres.database.as_str());
    let argv = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-c"];
    let argv = argv.into_iter().chain([question]);
    let container = Part::Postgres.podman_name(&instance.name);
    Podman::new().exec(&container, &Streams::default().into(), argv).stdout().ok()
}

/// Leaves the numbers where `list` and `status` read them, as ragpod's own engine does.
pub(super) fn publish(ctx: Ctx<'_>, instance: &Instance, documents: Documents) {
    let state = State::load(&ctx.env.state(), &instance.name).ok();
    let Some(folder) = state.and_then(|state| state.engine_mountpoint) else { return };
    let now = jiff::Timestamp::now().to_string();
    let text = json!({ "version": 1, "documents": documents, "last_ingest": { "at": now } });
    let (new, file) = (folder.join(".status.json.new"), folder.join("status.json"));
    let written = fs_err::write(&new, format!("{text}\n")).and_then(|()| fs_err::rename(new, file));
    if let Err(e) = written {
        ctx.progress.warn(&format!("`status` will not know of it: {e}"));
    }
}
