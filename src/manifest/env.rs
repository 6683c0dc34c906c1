//! `[env]`: which variables a manifest may set.

use super::keys::is_secret_name;
use super::problem::{At, Log};
use super::resolve::{EnvMap, parse_at};
use crate::model::{EnvName, Text};

/// Variables that ragpod sets, and how to change what they say.
const OURS: &[(&str, &str)] = &[
    ("LLM_MODEL", "provider.llm_model"),
    ("EMBEDDING_MODEL", "provider.embedding_model"),
    ("EMBEDDING_DIM", "provider.embedding_dim"),
    ("API_BASE", "provider.base_url"),
    ("API_VERSION", "provider.api_version"),
    ("API_KEY_FILE", "provider.api_key"),
    ("API_CA_FILE", "provider.ca_file"),
    ("BATCH_SIZE", "engine.batch_size"),
    ("MAX_PARALLEL_INSERT", "engine.concurrency"),
    ("HTTP_PROXY", "egress.mode"),
    ("HTTPS_PROXY", "egress.mode"),
    ("ALL_PROXY", "egress.mode"),
    ("NO_PROXY", "egress.mode"),
    ("EGRESS_ALLOW", "egress.allow"),
    ("EGRESS_MODE", "egress.mode"),
];

/// Variables that would change which program runs, or what it loads.
const LOADER: &[&str] = &[
    "PATH",
    "HOME",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
];

pub(super) fn resolve(raw: &[(At<String>, At<String>)], log: &Log<'_>) -> Option<EnvMap> {
    let mut env = EnvMap::new();
    let mut good = true;
    for (name, value) in raw {
        let key = format!("env.{}", name.value);
        if let Some((message, hint)) = refusal(&name.value) {
            log.add(name.at, &key, message, Some(hint));
            good = false;
            continue;
        }
        let parsed_name = parse_at::<EnvName>(name, &key, log);
        let parsed_value = parse_at::<Text>(value, &key, log);
        match (parsed_name, parsed_value) {
            (Ok(name), Ok(value)) => {
                env.insert(name, value);
            }
            _ => good = false,
        }
    }
    good.then_some(env)
}

/// Why a variable cannot be set in `[env]`, and what to do instead.
pub(super) fn refusal(name: &str) -> Option<(String, String)> {
    let upper = name.to_uppercase();
    if let Some((_, key)) = OURS.iter().find(|(ours, _)| *ours == upper) {
        return Some(("ragpod sets this variable".to_owned(), format!("use {key} instead")));
    }
    if upper.starts_with("RAGPOD_")
        || ["HYBRIDRAG_STATE", "HYBRIDRAG_SOCKET", "HYBRIDRAG_SOURCES"].contains(&upper.as_str())
    {
        return Some(("ragpod sets this variable".to_owned(), "remove it".to_owned()));
    }
    if ["POSTGRES_MAX_CONNECTIONS", "POSTGRES_VECTOR_INDEX_TYPE"].contains(&upper.as_str())
        || upper.starts_with("POSTGRES_HNSW_")
        || upper.starts_with("POSTGRES_IVFFLAT_")
    {
        return None;
    }
    if upper.starts_with("POSTGRES_") || upper.starts_with("PG") {
        let hint = "the connection follows from [postgres]; remove it".to_owned();
        return Some(("ragpod sets the database's variables".to_owned(), hint));
    }
    if LOADER.contains(&upper.as_str()) {
        let message = "it changes which program runs in the container".to_owned();
        return Some((message, "build an image with it: engine.image".to_owned()));
    }
    if is_secret_name(name) {
        let message = "its name says that it is secret, and a manifest holds no secret".to_owned();
        return Some((message, "put it into a secret: ragpod secret set NAME KEY".to_owned()));
    }
    None
}
