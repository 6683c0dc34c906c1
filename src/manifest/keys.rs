//! The manifest's keys by name: for suggestions, and for `--set`.

/// Every key of the manifest, dotted, in the order in which a manifest has them. `source` and `env`
/// stand for their tables' entries.
pub const KEYS: &[&str] = &[
    "instance.name",
    "instance.autostart",
    "postgres.database",
    "postgres.user",
    "postgres.memory",
    "postgres.image",
    "engine.profile",
    "engine.image",
    "engine.memory",
    "engine.batch_size",
    "engine.concurrency",
    "engine.commands",
    "engine.commands.serve",
    "engine.commands.health",
    "engine.commands.init",
    "engine.commands.ingest",
    "engine.commands.query",
    "engine.commands.status",
    "engine.commands.interactive",
    "engine.commands.mcp",
    "provider.kind",
    "provider.base_url",
    "provider.api_version",
    "provider.llm_model",
    "provider.embedding_model",
    "provider.embedding_dim",
    "provider.api_key",
    "provider.ca_file",
    "source.name",
    "source.path",
    "source.pattern",
    "egress.mode",
    "egress.allow",
    "hardening.writable_root",
    "hardening.keep_capabilities",
    "hardening.new_privileges",
    "hardening.root_user",
    "backup.keep",
    "backup.recipient",
    "schedule.ingest",
    "schedule.backup",
    "schedule.idle_stop",
    "schedule.watch",
    "schedule.notify",
];

/// The tables of a manifest, in their order.
pub const SECTIONS: &[&str] = &[
    "instance",
    "postgres",
    "engine",
    "provider",
    "source",
    "egress",
    "hardening",
    "backup",
    "schedule",
    "env",
];

/// The name that was most likely meant, if any is close.
pub(super) fn nearest<'k>(
    wrong: &str,
    names: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), name), name))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What to say about a key that a table does not have: the nearest one of the table, the same key
/// in another table, or all that there are.
pub(super) fn suggest(section: &str, wrong: &str) -> String {
    let own = || {
        KEYS.iter()
            .filter_map(move |k| k.strip_prefix(section).and_then(|k| k.strip_prefix('.')))
            // Those of a table within this one are no keys of its own.
            .filter(|k| !k.contains('.'))
    };
    if is_secret_name(wrong) {
        return "a manifest holds no secret: give it with ragpod secret set NAME KEY".to_owned();
    }
    if let Some(name) = nearest(wrong, own()) {
        return format!("did you mean {name}?");
    }
    if let Some(key) = KEYS.iter().find(|k| k.split_once('.').is_some_and(|(_, k)| k == wrong)) {
        return format!("did you mean {key}?");
    }
    format!("[{section}] has {}", own().collect::<Vec<_>>().join(", "))
}

/// Whether a name sounds as if its value were secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_uppercase();
    name == "KEY"
        || name.ends_with("_KEY")
        || name.ends_with("APIKEY")
        || ["PASSWORD", "PASSWD", "TOKEN", "SECRET", "CREDENTIAL"].iter().any(|w| {
            // MAX_TOKENS and the like count tokens and are settings.
            name.contains(w) && !(*w == "TOKEN" && name.contains("TOKENS"))
        })
}
