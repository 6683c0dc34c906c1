//! Text → the manifest as it stands there: every value with its place, of the right type, and not
//! yet checked for what it means. Unknown keys and wrong types are reported here.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, SECTIONS};
use super::problem::{At, Log};
use super::table::{Table, said};
use crate::model::{Command, Relaxation};

/// A value that may be missing.
pub(super) type Field<T> = Option<At<T>>;

/// The keys that a table has, also those whose value is of the wrong type.
pub(super) type Present = BTreeSet<&'static str>;

/// The manifest as written. A table that is missing is a table without keys.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub instance: RawInstance,
    pub postgres: RawPostgres,
    pub engine: RawEngine,
    pub provider: RawProvider,
    pub sources: Vec<RawSource>,
    pub egress: RawEgress,
    pub hardening: Vec<(Relaxation, At<Vec<At<String>>>)>,
    pub backup: RawBackup,
    pub schedule: RawSchedule,
    pub env: Vec<(At<String>, At<String>)>,
}

#[derive(Debug, Default)]
pub(super) struct RawInstance {
    pub at: usize,
    pub present: Present,
    pub name: Field<String>,
    pub autostart: Field<bool>,
}

#[derive(Debug, Default)]
pub(super) struct RawPostgres {
    pub database: Field<String>,
    pub user: Field<String>,
    pub memory: Field<String>,
    pub image: Field<String>,
}

#[derive(Debug, Default)]
pub(super) struct RawEngine {
    pub profile: Field<String>,
    pub image: Field<String>,
    pub memory: Field<String>,
    pub batch_size: Field<i64>,
    pub concurrency: Field<i64>,
    pub commands: Field<Vec<RawCommand>>,
}

/// An entry of `[engine.commands]`; `None` when it is no list.
pub(super) type RawCommand = (Command, Option<At<Vec<At<String>>>>);

#[derive(Debug, Default)]
pub(super) struct RawProvider {
    pub at: usize,
    pub present: Present,
    pub kind: Field<String>,
    pub base_url: Field<String>,
    pub api_version: Field<String>,
    pub llm_model: Field<String>,
    pub embedding_model: Field<String>,
    pub embedding_dim: Field<i64>,
    pub api_key: Field<String>,
    pub ca_file: Field<String>,
}

#[derive(Debug, Default)]
pub(super) struct RawSource {
    pub at: usize,
    pub present: Present,
    pub name: Field<String>,
    pub path: Field<String>,
    pub pattern: Field<String>,
}

#[derive(Debug, Default)]
pub(super) struct RawEgress {
    pub mode: Field<String>,
    pub allow: Field<Vec<At<String>>>,
}

#[derive(Debug, Default)]
pub(super) struct RawBackup {
    pub keep: Field<i64>,
    pub recipient: Field<String>,
}

#[derive(Debug, Default)]
pub(super) struct RawSchedule {
    pub ingest: Field<String>,
    pub backup: Field<String>,
    pub idle_stop: Field<String>,
    pub watch: Field<bool>,
    pub notify: Field<Vec<At<String>>>,
}

/// Reads the manifest; what is wrong goes into the log. `None` when it is no TOML.
pub(super) fn read(text: &str, log: &Log<'_>) -> Option<Raw> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            log.add(at, "", syntax_message(error.message()), None);
        }
        return None;
    }
    let document = document.get_ref();
    for (key, _) in document {
        if !SECTIONS.contains(&key.get_ref().as_ref()) {
            unknown_section(log, key.get_ref(), key.span().start);
        }
    }
    Some(Raw {
        instance: instance(&mut Table::top(document, "instance", log)),
        postgres: postgres(&mut Table::top(document, "postgres", log)),
        engine: engine(&mut Table::top(document, "engine", log)),
        provider: provider(&mut Table::top(document, "provider", log)),
        sources: sources(document, log),
        egress: egress(&mut Table::top(document, "egress", log)),
        hardening: hardening(&mut Table::top(document, "hardening", log)),
        backup: backup(&mut Table::top(document, "backup", log)),
        schedule: schedule(&mut Table::top(document, "schedule", log)),
        env: env(document, log),
    })
}

/// The parser's own words, on one line.
fn syntax_message(message: &str) -> String {
    format!("this is no valid TOML: {}", message.lines().collect::<Vec<_>>().join("; "))
}

fn unknown_section(log: &Log<'_>, name: &str, at: usize) {
    let hint = match keys::nearest(name, SECTIONS.iter().copied()) {
        Some("source") => "did you mean [[source]]?".to_owned(),
        Some(section) => format!("did you mean [{section}]?"),
        None => match KEYS.iter().find(|k| k.split_once('.').is_some_and(|(_, k)| k == name)) {
            Some(key) => format!("did you mean {key}?"),
            None => format!("the tables are {}", SECTIONS.join(", ")),
        },
    };
    log.add(at, name, "there is no such table", Some(hint));
}

fn instance(table: &mut Table<'_, '_>) -> RawInstance {
    let mut raw = RawInstance {
        at: table.at,
        present: Present::new(),
        name: table.text("name", "a name such as \"team-a\""),
        autostart: table.boolean("autostart"),
    };
    raw.present = table.end();
    raw
}

fn postgres(table: &mut Table<'_, '_>) -> RawPostgres {
    let raw = RawPostgres {
        database: table.text("database", "a database name such as \"hybridrag\""),
        user: table.text("user", "a role name such as \"hybridrag\""),
        memory: table.text("memory", "an amount such as \"2G\""),
        image: table.text("image", "an image such as \"localhost/ragpod/postgres:17\""),
    };
    table.end();
    raw
}

fn engine(table: &mut Table<'_, '_>) -> RawEngine {
    let raw = RawEngine {
        profile: table.text("profile", "\"lightrag\", \"hybridrag\" or \"custom\""),
        image: table.text("image", "an image such as \"localhost/ragpod/engine:latest\""),
        memory: table.text("memory", "an amount such as \"4G\""),
        batch_size: table.integer("batch_size", "a number from 1 to 1000"),
        concurrency: table.integer("concurrency", "a number from 1 to 64"),
        commands: commands(table),
    };
    table.end();
    raw
}

fn commands(table: &mut Table<'_, '_>) -> Field<Vec<RawCommand>> {
    let mut table = table.table("commands", "engine.commands")?;
    let mut commands = Vec::new();
    for command in Command::ALL {
        if table.get(command.key()).is_some() {
            let words = table.texts(command.key(), "a list such as [\"program\", \"argument\"]");
            commands.push((command, words));
        }
    }
    table.end();
    Some(At { value: commands, at: table.at })
}

fn provider(table: &mut Table<'_, '_>) -> RawProvider {
    let mut raw = RawProvider {
        at: table.at,
        present: Present::new(),
        kind: table.text("kind", "\"offline\", \"openai\", \"azure\" or the like"),
        base_url: table.text("base_url", "an address such as \"https://api.example.com/v1\""),
        api_version: table.text("api_version", "a version such as \"2024-02-15-preview\""),
        llm_model: table.text("llm_model", "a model's name such as \"gpt-4.1-mini\""),
        embedding_model: table
            .text("embedding_model", "a model's name such as \"text-embedding-3-small\""),
        embedding_dim: table.integer("embedding_dim", "a number from 1 to 16000"),
        api_key: table.secret("api_key"),
        ca_file: table.text("ca_file", "a file such as \"~/ca.pem\""),
    };
    raw.present = table.end();
    raw
}

fn egress(table: &mut Table<'_, '_>) -> RawEgress {
    let raw = RawEgress {
        mode: table.text("mode", "\"none\", \"allow\" or \"open\""),
        allow: table.texts("allow", "a list such as [\"api.example.com:443\"]"),
    };
    table.end();
    raw
}

fn hardening(table: &mut Table<'_, '_>) -> Vec<(Relaxation, At<Vec<At<String>>>)> {
    let lists = Relaxation::ALL
        .into_iter()
        .filter_map(|rule| Some((rule, table.texts(rule.key(), "a list such as [\"app\"]")?)))
        .collect();
    table.end();
    lists
}

fn backup(table: &mut Table<'_, '_>) -> RawBackup {
    let raw = RawBackup {
        keep: table.integer("keep", "a number such as 7"),
        recipient: table.text("recipient", "a public key of age's such as \"age1…\""),
    };
    table.end();
    raw
}

fn schedule(table: &mut Table<'_, '_>) -> RawSchedule {
    let raw = RawSchedule {
        ingest: table.text("ingest", "a calendar expression such as \"hourly\""),
        backup: table.text("backup", "a calendar expression such as \"daily\""),
        idle_stop: table.text("idle_stop", "a time span such as \"30min\""),
        watch: table.boolean("watch"),
        notify: table.texts("notify", "a list such as [\"notify-send\", \"HybridRAG\"]"),
    };
    table.end();
    raw
}

fn sources(document: &DeTable<'_>, log: &Log<'_>) -> Vec<RawSource> {
    const EXPECTED: &str =
        "write each folder as its own table: [[source]] and below it path = \"/folder\"";
    let Some(value) = document.get("source") else { return Vec::new() };
    let tables = match value.get_ref() {
        DeValue::Array(tables) => tables,
        other => {
            let message = format!("it is {}", said(other));
            log.add(value.span().start, "source", message, Some(EXPECTED.to_owned()));
            return Vec::new();
        }
    };
    let mut sources = Vec::new();
    for entry in tables {
        let DeValue::Table(table) = entry.get_ref() else {
            let message = format!("an entry is {}", said(entry.get_ref()));
            log.add(entry.span().start, "source", message, Some(EXPECTED.to_owned()));
            continue;
        };
        let mut table = Table::new("source", Some(table), entry.span().start, log);
        let mut source = RawSource {
            at: table.at,
            present: Present::new(),
            name: table.text("name", "a folder name such as \"notes\""),
            path: table.text("path", "a folder such as \"~/Documents/code\""),
            pattern: table.text("pattern", "a glob such as \"**/*.md\""),
        };
        source.present = table.end();
        sources.push(source);
    }
    sources
}

fn env(document: &DeTable<'_>, log: &Log<'_>) -> Vec<(At<String>, At<String>)> {
    let table = Table::top(document, "env", log);
    let mut env = Vec::new();
    for (name, value) in table.keys.into_iter().flatten() {
        let key = format!("env.{}", name.get_ref());
        match value.get_ref() {
            DeValue::String(text) => env.push((
                At::new(name.get_ref().to_string(), &name.span()),
                At::new(text.to_string(), &value.span()),
            )),
            // What is secret is not repeated, whatever its type.
            other if keys::is_secret_name(name.get_ref()) => {
                log.add(value.span().start, &key, format!("it is {}", said(other)), None);
            }
            other => {
                let hint = match other {
                    DeValue::Integer(n) => format!("write \"{n}\""),
                    DeValue::Float(n) => format!("write \"{n}\""),
                    DeValue::Boolean(b) => format!("write \"{b}\""),
                    _ => "write it in quotes".to_owned(),
                };
                let message = format!("it is {}; a variable's value is a text", said(other));
                log.add(value.span().start, &key, message, Some(hint));
            }
        }
    }
    env
}
