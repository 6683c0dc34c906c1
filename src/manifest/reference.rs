//! What each key of the manifest is, for people and editors: `ragpod.toml(5)`, the reference in
//! `docs/` and the JSON schema are made of this table, and a test holds it against the keys.

mod page;
mod schema;

pub use page::{markdown, page};
pub use schema::schema;

/// The form of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number from 1 to this.
    Number(u32),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of words out of these.
    Words(&'static [&'static str]),
    /// `{ secret = "KEY" }`.
    Secret,
    /// A table of keys of its own.
    Table,
}

/// A key of the manifest.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Dotted, as `--set` takes it.
    pub key: &'static str,
    /// The form of its value.
    pub form: Form,
    /// What it is when the manifest does not say; empty when it must.
    pub default: &'static str,
    /// A value as one would write it.
    pub example: &'static str,
    /// What it is, in a sentence or two.
    pub about: &'static str,
}

const fn entry(
    key: &'static str,
    form: Form,
    default: &'static str,
    example: &'static str,
    about: &'static str,
) -> Entry {
    Entry { key, form, default, example, about }
}

const CONTAINERS: &[&str] = &["app", "postgres", "egress"];

/// Every key, in the order of the manifest.
pub const ENTRIES: &[Entry] = &[
    entry(
        "instance.name",
        Form::Text,
        "",
        "\"work\"",
        "The instance's name: up to 40 lower-case letters, digits and '-'. The file is called after \
         it, and so are all of its units, containers, volumes, networks and secrets.",
    ),
    entry(
        "instance.autostart",
        Form::Bool,
        "true",
        "true",
        "Whether it starts with the user's systemd: at login, or at boot where the user lingers.",
    ),
    entry(
        "postgres.database",
        Form::Text,
        "\"hybridrag\"",
        "\"specstory\"",
        "The database's name.",
    ),
    entry(
        "postgres.user",
        Form::Text,
        "\"hybridrag\"",
        "\"hybridrag\"",
        "The role that the engine connects as. It is no superuser.",
    ),
    entry(
        "postgres.memory",
        Form::Text,
        "no limit",
        "\"2G\"",
        "The most memory that its container may take: a number of bytes, or with K, M, G or T.",
    ),
    entry(
        "postgres.image",
        Form::Text,
        "\"localhost/ragpod/postgres:17\"",
        "\"localhost/ragpod/postgres:17\"",
        "The database's image: PostgreSQL with pgvector and Apache AGE. An image of another major \
         version than that of the data is refused.",
    ),
    entry(
        "engine.profile",
        Form::Word(&["lightrag", "hybridrag", "custom"]),
        "\"lightrag\"",
        "\"lightrag\"",
        "The engine in the app container: ragpod's own over LightRAG, upstream HybridRAG as it is, \
         or one of yours that is spoken to by engine.commands.",
    ),
    entry(
        "engine.image",
        Form::Text,
        "that of the profile",
        "\"localhost/ragpod/engine:latest\"",
        "The image of the app container.",
    ),
    entry(
        "engine.memory",
        Form::Text,
        "no limit",
        "\"4G\"",
        "The most memory that its container may take.",
    ),
    entry(
        "engine.batch_size",
        Form::Number(1000),
        "10",
        "10",
        "How many documents are handed to the engine at once.",
    ),
    entry(
        "engine.concurrency",
        Form::Number(64),
        "the engine's own",
        "2",
        "How many of them are worked on at the same time.",
    ),
    entry(
        "engine.commands",
        Form::Table,
        "none",
        "{ query = [\"my-engine\", \"ask\", \"{text}\"] }",
        "The command lines of an engine of your own, for profile = \"custom\". Each is a list of \
         arguments that no shell reads; {path}, {pattern}, {text} and {mode} stand for a whole \
         argument.",
    ),
    entry(
        "engine.commands.serve",
        Form::List,
        "the image's own",
        "[\"my-engine\", \"serve\"]",
        "The main process of the app container.",
    ),
    entry(
        "engine.commands.health",
        Form::List,
        "what runs is healthy",
        "[\"my-engine\", \"ping\"]",
        "Exit code 0 means healthy.",
    ),
    entry(
        "engine.commands.init",
        Form::List,
        "none",
        "[\"my-engine\", \"init\"]",
        "What `ragpod init` runs, and `up` once.",
    ),
    entry(
        "engine.commands.ingest",
        Form::List,
        "none",
        "[\"my-engine\", \"ingest\", \"{path}\", \"{pattern}\"]",
        "What `ragpod ingest` runs, once for each source.",
    ),
    entry(
        "engine.commands.query",
        Form::List,
        "none",
        "[\"my-engine\", \"ask\", \"--mode\", \"{mode}\", \"--\", \"{text}\"]",
        "What `ragpod query` runs.",
    ),
    entry(
        "engine.commands.status",
        Form::List,
        "none",
        "[\"my-engine\", \"status\"]",
        "What `ragpod status NAME` shows of the engine.",
    ),
    entry(
        "engine.commands.interactive",
        Form::List,
        "none",
        "[\"my-engine\", \"chat\"]",
        "What `ragpod interactive` becomes.",
    ),
    entry(
        "engine.commands.mcp",
        Form::List,
        "none",
        "[\"my-engine\", \"mcp\"]",
        "What `ragpod mcp NAME` becomes.",
    ),
    entry(
        "provider.kind",
        Form::Word(&["offline", "openai", "azure", "openai-compatible", "ollama"]),
        "\"offline\"",
        "\"azure\"",
        "Where embeddings and answers come from. `offline` needs no network: a small sentence model \
         and extracts instead of written answers.",
    ),
    entry(
        "provider.base_url",
        Form::Text,
        "the provider's own, where it has one",
        "\"https://example.services.ai.azure.com/\"",
        "The address of the provider's interface.",
    ),
    entry(
        "provider.api_version",
        Form::Text,
        "\"2024-02-15-preview\" with Azure",
        "\"2024-02-15-preview\"",
        "The version of Azure's interface.",
    ),
    entry(
        "provider.llm_model",
        Form::Text,
        "none",
        "\"gpt-4.1-mini\"",
        "The model that reads documents and writes answers; with Azure, the deployment.",
    ),
    entry(
        "provider.embedding_model",
        Form::Text,
        "none",
        "\"text-embedding-3-small\"",
        "The model of the vectors. Another one wants `ragpod reindex`.",
    ),
    entry(
        "provider.embedding_dim",
        Form::Number(16_000),
        "none",
        "1536",
        "How many numbers its vectors have.",
    ),
    entry(
        "provider.api_key",
        Form::Secret,
        "none",
        "{ secret = \"api-key\" }",
        "Which secret of the instance is the provider's key: a reference, never the key. `ragpod \
         secret set NAME api-key` stores it.",
    ),
    entry(
        "provider.ca_file",
        Form::Text,
        "none",
        "\"~/ca.pem\"",
        "The certificate of an authority of your own that signed the provider's.",
    ),
    entry(
        "source.name",
        Form::Text,
        "the folder's own",
        "\"code\"",
        "What a source after the first is called in the app container: /data/sources/NAME. The first \
         is /data/projects.",
    ),
    entry(
        "source.path",
        Form::Text,
        "",
        "\"~/code\"",
        "A folder whose files are ingested; it is mounted read-only.",
    ),
    entry(
        "source.pattern",
        Form::Text,
        "*.md, *.txt, *.rst and *.adoc, at any depth",
        "\"**/*.md\"",
        "Which files below it, as a glob.",
    ),
    entry(
        "egress.mode",
        Form::Word(&["none", "allow", "open"]),
        "\"allow\" with a remote provider, else \"none\"",
        "\"allow\"",
        "What the instance may reach: nothing, the listed hosts through a gateway, or everything.",
    ),
    entry(
        "egress.allow",
        Form::List,
        "the provider's host",
        "[\"example.services.ai.azure.com:443\"]",
        "The hosts and ports that the gateway lets through.",
    ),
    entry(
        "hardening.writable_root",
        Form::Words(CONTAINERS),
        "none",
        "[\"app\"]",
        "Containers whose root file system may be written.",
    ),
    entry(
        "hardening.keep_capabilities",
        Form::Words(CONTAINERS),
        "none",
        "[\"app\"]",
        "Containers that keep Podman's default capabilities.",
    ),
    entry(
        "hardening.new_privileges",
        Form::Words(CONTAINERS),
        "none",
        "[\"app\"]",
        "Containers in which setuid programs and the like count.",
    ),
    entry(
        "hardening.root_user",
        Form::Words(&["app"]),
        "none",
        "[\"app\"]",
        "Containers whose processes are root there.",
    ),
    entry(
        "backup.keep",
        Form::Number(1000),
        "7",
        "7",
        "How many backups of the instance are kept; the oldest go first.",
    ),
    entry(
        "backup.recipient",
        Form::Text,
        "none",
        "\"age1…\"",
        "The age recipient that `ragpod backup --with-secrets` encrypts the secrets to.",
    ),
    entry(
        "schedule.ingest",
        Form::Text,
        "never",
        "\"hourly\"",
        "When to ingest by itself: a calendar expression of systemd.time(7).",
    ),
    entry(
        "schedule.backup",
        Form::Text,
        "never",
        "\"daily\"",
        "When to back up by itself: a calendar expression of systemd.time(7).",
    ),
    entry(
        "schedule.idle_stop",
        Form::Text,
        "never",
        "\"30min\"",
        "Stop the instance when nobody has used it for so long; the next question starts it again.",
    ),
    entry(
        "schedule.watch",
        Form::Bool,
        "false",
        "true",
        "Ingest files of the sources soon after they change.",
    ),
    entry(
        "schedule.notify",
        Form::List,
        "none",
        "[\"notify-send\", \"ragpod\"]",
        "A command that is run when something the instance does by itself has failed.",
    ),
];

/// `[env]`, which has no keys of its own.
pub const ENV: &str = "Variables for the engine, NAME = \"value\". Names of secrets are refused.";

/// The tables of the manifest, each with its entries.
fn tables() -> impl Iterator<Item = (&'static str, &'static [Entry])> {
    ENTRIES
        .chunk_by(|a, b| table(a) == table(b))
        .filter_map(|entries| Some((table(entries.first()?), entries)))
}

fn table(entry: &Entry) -> &'static str {
    entry.key.split_once('.').map_or(entry.key, |(table, _)| table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::KEYS;

    #[test]
    fn every_key_and_no_other_is_explained() {
        let explained: Vec<&str> = ENTRIES.iter().map(|entry| entry.key).collect();
        assert_eq!(explained, KEYS);
    }

    #[test]
    fn every_example_is_of_its_form() {
        for Entry { key, form, example, .. } in ENTRIES {
            let value: toml::Value = example.parse().unwrap_or_else(|e| panic!("{key}: {e}"));
            let good = match form {
                Form::Text => value.is_str(),
                Form::Bool => value.is_bool(),
                Form::Number(most) => {
                    value.as_integer().is_some_and(|n| (1..=(*most).into()).contains(&n))
                }
                Form::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
                Form::List => value.is_array(),
                Form::Words(words) => value.as_array().is_some_and(|list| {
                    list.iter().all(|w| w.as_str().is_some_and(|w| words.contains(&w)))
                }),
                Form::Secret | Form::Table => value.is_table(),
            };
            assert!(good, "{key} = {example}");
        }
    }

    /// What the schema and the manual say of words and numbers is what the manifest takes.
    #[test]
    fn words_and_numbers_are_those_that_are_taken() {
        let errors = |line: &str| {
            let (key, value) = line.split_once(" = ").unwrap();
            let (table, key) = key.split_once('.').unwrap();
            let text = format!("[instance]\nname = \"x\"\n[{table}]\n{key} = {value}\n");
            let key = format!("{table}.{key}");
            let problems = crate::manifest::parse(&text, "x.toml", "/home/me".into())
                .err()
                .unwrap_or_default();
            problems.into_iter().filter(|p| p.to_string().contains(&key)).count()
        };
        for Entry { key, form, .. } in ENTRIES {
            // Commands need another profile, and what a provider needs depends on its kind.
            match form {
                Form::Number(most) if !key.starts_with("provider.") => {
                    assert_eq!(errors(&format!("{key} = {most}")), 0, "{key}");
                    assert_eq!(errors(&format!("{key} = {}", most + 1)), 1, "{key}");
                }
                Form::Word(words) if *key == "engine.profile" => {
                    let profiles = ["lightrag", "hybridrag", "custom"];
                    assert_eq!(*words, profiles);
                }
                Form::Word(words) if *key == "provider.kind" => {
                    let kinds =
                        crate::model::ProviderKind::ALL.map(crate::model::ProviderKind::as_str);
                    assert_eq!(*words, kinds);
                }
                Form::Words(words) => {
                    for word in *words {
                        assert_eq!(errors(&format!("{key} = [\"{word}\"]")), 0, "{key} {word}");
                    }
                    assert_ne!(errors(&format!("{key} = [\"other\"]")), 0, "{key}");
                }
                _ => {}
            }
        }
    }
}
