//! The manifest of a new instance, with the comments that help its owner.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::Value;

use super::keys::{self, KEYS};
use super::provider::example_url;
use crate::error::{Error, Result};
use crate::model::{EnvName, Instance, Name, ProviderKind, Relaxation, SecretKey, Text};

/// What is known of an instance that is to be made.
#[derive(Clone, Debug)]
pub struct New {
    name: Name,
    sources: Vec<(String, Option<String>)>,
    values: BTreeMap<String, Value>,
    env: BTreeMap<EnvName, Text>,
}

impl New {
    /// An instance of that name with everything at its default.
    #[must_use]
    pub fn named(name: Name) -> Self {
        Self { name, sources: Vec::new(), values: BTreeMap::new(), env: BTreeMap::new() }
    }

    /// `--provider`: the provider's kind.
    pub fn provider(&mut self, kind: ProviderKind) {
        self.set_text("provider.kind", kind.as_str());
    }

    /// The provider's kind so far.
    #[must_use]
    pub fn provider_kind(&self) -> ProviderKind {
        let kind = self.values.get("provider.kind").and_then(Value::as_str);
        kind.and_then(|k| k.parse().ok()).unwrap_or_default()
    }

    /// What to say of the models that the manifest gets because nobody named any: a deployment or
    /// a server may call its own otherwise.
    #[must_use]
    pub fn guessed_models(&self) -> Option<String> {
        let kind = self.provider_kind();
        let (llm, embedding, _) = models(kind);
        let guessed: Vec<String> =
            [("provider.llm_model", llm), ("provider.embedding_model", embedding)]
                .iter()
                .filter(|(key, model)| !model.is_empty() && !self.has(key))
                .map(|(key, model)| format!("{key} = {model}"))
                .collect();
        let whose = match kind {
            ProviderKind::Azure => "these must be names of deployments of yours",
            _ => "correct them if the provider calls its models otherwise",
        };
        (!guessed.is_empty()).then(|| format!("guessed {}: {whose}", guessed.join(" and ")))
    }

    /// A source folder and the files in it.
    pub fn source(&mut self, path: impl Into<String>, pattern: Option<String>) {
        self.sources.push((path.into(), pattern));
    }

    /// `--source DIR[:PATTERN]`: the first colon ends the folder.
    pub fn source_arg(&mut self, argument: &str) -> Result<()> {
        let (path, pattern) = match argument.split_once(':') {
            Some((path, pattern)) => (path, Some(pattern.to_owned())),
            None => (argument, None),
        };
        if path.is_empty() || pattern.as_ref().is_some_and(String::is_empty) {
            return Err(Error::usage(format!("--source {argument:?} is incomplete"))
                .hint("write it like --source ~/notes or --source '~/notes:**/*.md'"));
        }
        self.source(path, pattern);
        Ok(())
    }

    /// A variable for `[env]`.
    pub fn env(&mut self, name: EnvName, value: Text) {
        self.env.insert(name, value);
    }

    /// A value of text for a key, as an env file gives it; what must be a number becomes one.
    pub fn set_text(&mut self, key: &'static str, value: &str) {
        let value = match (key, value.parse::<i64>()) {
            ("provider.embedding_dim" | "engine.batch_size" | "engine.concurrency", Ok(n)) => {
                Value::Integer(n)
            }
            _ => Value::String(value.to_owned()),
        };
        self.values.insert(key.to_owned(), value);
    }

    /// `--set KEY=VALUE`: any dotted key. The value is TOML; what is none is a text.
    pub fn set_arg(&mut self, argument: &str) -> Result<()> {
        let Some((key, value)) = argument.split_once('=') else {
            return Err(Error::usage("--set takes KEY=VALUE")
                .hint("write it like --set postgres.memory=2G"));
        };
        let key = key.trim();
        if let Some(name) = key.strip_prefix("env.") {
            let refuse = |e: String| Error::usage(format!("--set {key}: {e}"));
            let name = name.parse::<EnvName>().map_err(|e| refuse(e.to_string()))?;
            if let Some((message, hint)) = super::env::refusal(name.as_str()) {
                return Err(refuse(message).hint(hint));
            }
            let text = match value.parse::<Value>() {
                Ok(Value::String(text)) => text,
                _ => value.to_owned(),
            };
            let text = text.parse::<Text>().map_err(|e| refuse(e.to_string()))?;
            self.env.insert(name, text);
            return Ok(());
        }
        if key.starts_with("source.") {
            return Err(Error::usage(format!("--set {key}: there can be several sources"))
                .hint("give each with --source DIR[:PATTERN]"));
        }
        if key == "instance.name" {
            return Err(Error::usage(
                "--set instance.name: the name is the command's own argument",
            )
            .hint("write ragpod create NAME"));
        }
        let Some(known) = KEYS.iter().find(|k| **k == key) else {
            let hint = match key.split_once('.') {
                Some((section, last)) if keys::SECTIONS.contains(&section) => {
                    keys::suggest(section, last)
                }
                _ => match keys::nearest(key, KEYS.iter().copied()) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => format!("the keys are {}", KEYS.join(", ")),
                },
            };
            return Err(Error::usage(format!("--set {key}: there is no such key")).hint(hint));
        };
        let value = match (*known, value.parse::<Value>()) {
            // A secret on a command line is a secret that everybody on the host has seen.
            ("provider.api_key", parsed) => match parsed {
                Ok(table @ Value::Table(_)) => table,
                _ => {
                    return Err(Error::usage("--set provider.api_key takes a reference")
                        .hint("write --set 'provider.api_key={ secret = \"api-key\" }'"));
                }
            },
            (
                "instance.autostart"
                | "engine.batch_size"
                | "engine.concurrency"
                | "engine.commands"
                | "provider.embedding_dim"
                | "egress.allow"
                | "schedule.watch"
                | "schedule.notify",
                Ok(value),
            ) => value,
            (list, Ok(value @ Value::Array(_)))
                if list.starts_with("hardening.") || list.starts_with("engine.commands.") =>
            {
                value
            }
            (list, _) if list == "egress.allow" || list.starts_with("hardening.") => {
                Value::Array(value.split(',').map(|v| Value::String(v.trim().into())).collect())
            }
            // Everything else is a text, also when it looks like a number or a date.
            (_, Ok(Value::String(text))) => Value::String(text),
            _ => Value::String(value.to_owned()),
        };
        self.values.insert((*known).to_owned(), value);
        Ok(())
    }

    fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }
}

/// What a person still has to fill in before the instance can work: one line for each.
#[must_use]
pub fn open_points(instance: &Instance) -> Vec<String> {
    let mut points = Vec::new();
    if let Some(url) = &instance.provider.base_url {
        let authority = url.as_str().split('/').nth(2).unwrap_or_default();
        let host = authority.split(':').next().unwrap_or_default();
        if host.ends_with(".invalid") {
            points.push(format!("provider.base_url: {url} is an example; write the real address"));
        }
    }
    points
}

/// Models that each kind is likely to have, as TOML, and the dimension of the second: the engine
/// asks for both.
fn models(kind: ProviderKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        ProviderKind::Offline => ("", "", ""),
        ProviderKind::Ollama => ("\"llama3.1\"", "\"nomic-embed-text\"", "768"),
        _ => ("\"gpt-4.1-mini\"", "\"text-embedding-3-small\"", "1536"),
    }
}

/// The text of a new manifest. [`super::parse`] accepts it, unless a value that was asked for is
/// impossible: then it says so.
#[must_use]
pub fn template(new: &New) -> String {
    let mut out = Writer { new, text: String::new() };
    out.line("# An instance of HybridRAG, run by ragpod. No secret belongs in here.");
    out.section("instance");
    out.text("name", new.name.as_str());
    out.key("instance.autostart", "", Some("autostart = true     # start with the machine"));
    out.section("postgres");
    out.key("postgres.database", "", Some("database = \"hybridrag\""));
    out.key("postgres.user", "", None);
    out.key("postgres.memory", "", Some("memory = \"2G\"        # the most it may take"));
    out.key("postgres.image", "", None);
    out.section("engine");
    out.key("engine.profile", "", None);
    out.key("engine.image", "", None);
    out.key("engine.memory", "", Some("memory = \"4G\""));
    out.key("engine.batch_size", "", Some("batch_size = 10      # documents handed over at once"));
    out.key("engine.concurrency", "", Some("concurrency = 2      # of them worked on at once"));
    for key in KEYS.iter().filter(|key| key.starts_with("engine.commands")) {
        out.key(key, "", None);
    }
    out.provider();
    out.sources();
    out.egress();
    out.hardening();
    out.backup();
    out.schedule();
    out.env();
    out.text
}

struct Writer<'n> {
    new: &'n New,
    text: String,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn section(&mut self, name: &str) {
        self.line("");
        self.line(&format!("[{name}]"));
    }

    fn value(&mut self, key: &str, value: &Value) {
        // A table within a table is written in line: `Value`'s own Display does so.
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.value(key, &Value::String(value.to_owned()));
    }

    /// A key with the value that was asked for, else with `default` (TOML), else the commented
    /// `example`, else nothing.
    fn key(&mut self, dotted: &str, default: &str, example: Option<&str>) {
        let key = dotted.split_once('.').map_or(dotted, |(_, key)| key);
        match (self.new.values.get(dotted), example) {
            (Some(value), _) => {
                let value = value.clone();
                self.value(key, &value);
            }
            (None, _) if !default.is_empty() => self.line(&format!("{key} = {default}")),
            (None, Some(example)) => self.line(&format!("# {example}")),
            (None, None) => {}
        }
    }

    fn provider(&mut self) {
        let kind = self.new.provider_kind();
        self.section("provider");
        let kinds = ProviderKind::ALL.map(ProviderKind::as_str).join(", ");
        self.line(&format!("# One of {kinds}."));
        self.key("provider.kind", &format!("\"{kind}\""), None);
        if kind == ProviderKind::Offline {
            self.line(
                "# Offline needs no key and no network: a small model comes with the engine.",
            );
        }
        if kind.needs_base_url() && !self.new.has("provider.base_url") {
            self.line("# FILL IN: the address of the API.");
        }
        let url = if kind.needs_base_url() {
            format!("\"{}\"", example_url(kind))
        } else {
            String::new()
        };
        self.key("provider.base_url", &url, None);
        let azure = kind == ProviderKind::Azure;
        self.key("provider.api_version", if azure { "\"2024-02-15-preview\"" } else { "" }, None);
        let (llm, embedding, dim) = models(kind);
        self.key("provider.llm_model", llm, None);
        self.key("provider.embedding_model", embedding, None);
        // The dimension goes with the model: that of another one is the engine's to know.
        let dim = if self.new.has("provider.embedding_model") { "" } else { dim };
        self.key("provider.embedding_dim", dim, None);
        let secret = format!("{{ secret = \"{}\" }}", SecretKey::api_key());
        let store = format!("# Store it with: ragpod secret set {} api-key", self.new.name);
        if kind.needs_key() || self.new.has("provider.api_key") {
            self.line(&store);
            self.key("provider.api_key", &secret, None);
        } else if kind.is_remote() {
            self.line(&store);
            self.line(&format!("# api_key = {secret}"));
        }
        self.key("provider.ca_file", "", None);
    }

    fn sources(&mut self) {
        self.line("");
        if self.new.sources.is_empty() {
            self.line("# Folders whose files are ingested; they are mounted read-only.");
            self.line("# [[source]]");
            self.line("# path = \"~/Documents/notes\"");
            self.line("# pattern = \"**/*.md\"");
        }
        let sources = self.new.sources.clone();
        for (index, (path, pattern)) in sources.iter().enumerate() {
            if index > 0 {
                self.line("");
            }
            self.line("[[source]]");
            self.text("path", path);
            match pattern {
                Some(pattern) => self.text("pattern", pattern),
                None => self.line("# pattern = \"**/*.md\""),
            }
        }
    }

    fn egress(&mut self) {
        let remote = self.new.provider_kind().is_remote();
        if !remote && !self.new.has("egress.mode") && !self.new.has("egress.allow") {
            return;
        }
        self.section("egress");
        self.line(
            "# none: nothing can be reached; allow: the listed host:port only; open: anything.",
        );
        let mode = if self.new.has("egress.mode") { "" } else { "\"allow\"" };
        self.key("egress.mode", mode, None);
        self.key(
            "egress.allow",
            "",
            Some("allow = [\"api.example.com:443\"]   # default: the provider"),
        );
    }

    fn hardening(&mut self) {
        let keys = Relaxation::ALL.map(|rule| format!("hardening.{}", rule.key()));
        if !keys.iter().any(|key| self.new.has(key)) {
            return;
        }
        self.section("hardening");
        self.line("# Containers (app, postgres, egress) that a rule does not hold for.");
        for key in keys {
            self.key(&key, "", None);
        }
    }

    /// Only what was asked for.
    fn backup(&mut self) {
        let keys = ["backup.keep", "backup.recipient"];
        if !keys.iter().any(|key| self.new.has(key)) {
            return;
        }
        self.section("backup");
        for key in keys {
            self.key(key, "", None);
        }
    }

    fn schedule(&mut self) {
        let keys = ["ingest", "backup", "idle_stop", "watch", "notify"];
        if !keys.iter().any(|key| self.new.has(&format!("schedule.{key}"))) {
            self.line("");
            self.line("# What it does by itself, at times as systemd.time(7) has them.");
            self.line("# [schedule]");
            self.line("# ingest = \"hourly\"     # or \"Mon..Fri 03:00\"");
            self.line("# idle_stop = \"30min\"   # stopped when nobody uses it, started by a use");
            return;
        }
        self.section("schedule");
        for key in keys {
            self.key(&format!("schedule.{key}"), "", None);
        }
    }

    fn env(&mut self) {
        if self.new.env.is_empty() {
            return;
        }
        self.section("env");
        for (name, value) in &self.new.env {
            let value = Value::String(value.as_str().to_owned());
            let _ = writeln!(self.text, "{name} = {value}");
        }
    }
}
