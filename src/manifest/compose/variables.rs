//! The variables of the services, and where each goes.

use secrecy::{ExposeSecret, SecretString};

use super::super::env_file::{self, Fate, Var};
use super::super::keys::is_secret_name;
use super::Outcome::{NotNeeded, NotUnderstood, PassedOn, Secret, Taken, Warning};
use super::reader::Reader;
use super::service::Role;
use super::yaml::{Node, Value};
use crate::model::{EnvName, ProviderKind, SecretKey};

/// What the two services must agree about, under its names.
const SHARED: [&[&str]; 3] =
    [&["POSTGRES_DB", "POSTGRES_DATABASE"], &["POSTGRES_USER"], &["POSTGRES_PASSWORD"]];

/// A variable as a service has it.
pub(super) struct Given {
    name: String,
    value: SecretString,
    file: String,
    line: usize,
    /// How it is called in a finding.
    key: String,
    /// The secret variable that its value comes from.
    secret: Option<String>,
}

impl Reader<'_> {
    /// The variables of a service, each once: `environment` counts more than `env_file`, and later
    /// files more than earlier ones.
    pub fn variables(&mut self, service: &str, node: &Node, root: &Node) -> Vec<Given> {
        let mut all = Vec::new();
        for file in node.get("env_file").map(Node::items).unwrap_or_default() {
            self.of_file(service, file, &mut all);
        }
        if let Some(environment) = node.get("environment") {
            self.of_environment(service, environment, &mut all);
        }
        for given in &mut all {
            self.resolve_file(service, given, node, root);
        }
        let mut kept: Vec<Given> = Vec::new();
        for given in all.into_iter().rev() {
            if let Some(other) = kept.iter().find(|k| k.name == given.name) {
                let detail = format!("{} of {} counts more", other.key, other.file);
                self.note_in(&given.file, given.line, &given.key, NotNeeded, detail);
            } else {
                kept.push(given);
            }
        }
        kept.reverse();
        kept
    }

    fn of_file(&mut self, service: &str, node: &Node, all: &mut Vec<Given>) {
        let key = format!("services.{service}.env_file");
        let path = node.text().or_else(|| node.get("path").and_then(Node::text));
        let Some(called) = path.filter(|p| !p.is_empty()) else {
            self.refuse(node.line, &key, "it names no file");
            return;
        };
        let required = node.get("required").and_then(Node::text) != Some("false");
        let whole = self.path(called);
        let name = whole.strip_prefix(self.folder.root()).map_or(called, camino::Utf8Path::as_str);
        let name = name.to_owned();
        match self.env_file(&whole, &name) {
            Ok(Some(vars)) => {
                if name == ".env" {
                    self.use_dot_env(None);
                }
                for var in vars {
                    let before = |name: &str| {
                        let found = all.iter().rev().find(|g: &&Given| g.name == name)?;
                        Some(found.value.expose_secret().to_owned())
                    };
                    let value = self.value(&var, &before);
                    all.push(Given {
                        name: var.name.to_string(),
                        value: value.into(),
                        file: name.clone(),
                        line: var.line,
                        key: var.name.to_string(),
                        secret: None,
                    });
                }
            }
            Ok(None) if required => {
                self.refuse(node.line, &key, format!("there is no file {name}"));
            }
            Ok(None) => {
                let detail = format!("there is no file {name}, and it need not be there");
                self.note(node.line, &key, NotNeeded, detail);
            }
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn of_environment(&mut self, service: &str, node: &Node, all: &mut Vec<Given>) {
        let mut pairs: Vec<(String, Option<String>, usize, Option<String>)> = Vec::new();
        for (key, value) in node.entries() {
            match &value.value {
                Value::Text(text) => pairs.push((
                    key.text.clone(),
                    Some(text.clone()),
                    key.line,
                    value.secret.clone(),
                )),
                Value::Null => pairs.push((key.text.clone(), None, key.line, None)),
                _ => {
                    let key_path = format!("services.{service}.environment.{}", key.text);
                    self.refuse(key.line, &key_path, "its value must be a text");
                }
            }
        }
        if node.entries().is_empty() {
            for item in node.items() {
                let Some(text) = item.text() else {
                    let key = format!("services.{service}.environment");
                    self.refuse(item.line, &key, "an entry must be NAME=VALUE");
                    continue;
                };
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (text, None),
                };
                pairs.push((name.trim().to_owned(), value, item.line, item.secret.clone()));
            }
        }
        for (name, value, line, secret) in pairs {
            // The name of what is none may be a part of a secret.
            let Ok(name) = name.parse::<EnvName>().map(|n| n.to_string()) else {
                let key = format!("services.{service}.environment");
                self.note(line, &key, NotUnderstood, "what stands here is no variable's name");
                continue;
            };
            let key = format!("services.{service}.environment.{name}");
            // Without a value, compose takes that of its own environment.
            let value = value.or_else(|| {
                self.use_dot_env(Some(&name));
                self.lookup(&name)
            });
            let Some(value) = value else {
                self.note(line, &key, NotNeeded, "it has no value, and none is set in .env");
                continue;
            };
            let file = self.file.to_owned();
            all.push(Given { name, value: value.into(), file, line, key, secret });
        }
    }

    /// `X_FILE=/run/secrets/NAME` becomes `X` with what that secret's file holds.
    fn resolve_file(&mut self, service: &str, given: &mut Given, node: &Node, root: &Node) {
        let Some(name) = given.name.strip_suffix("_FILE").map(str::to_owned) else { return };
        let target = given.value.expose_secret().strip_prefix("/run/secrets/").map(str::to_owned);
        let Some(target) = target else { return };
        let source =
            node.get("secrets").map(Node::items).unwrap_or_default().iter().find_map(|s| {
                match (s.text(), s.get("source").and_then(Node::text)) {
                    (Some(text), _) => (text == target).then(|| text.to_owned()),
                    (None, Some(source)) => {
                        let as_name = s.get("target").and_then(Node::text).unwrap_or(source);
                        (as_name == target).then(|| source.to_owned())
                    }
                    _ => None,
                }
            });
        let key = format!("services.{service}.secrets");
        let secret = source.as_ref().and_then(|s| root.get("secrets").and_then(|all| all.get(s)));
        let Some(secret) = secret else { return };
        let value = if let Some(file) = secret.get("file").and_then(Node::text) {
            let path = self.path(file);
            match self.folder.read(&path) {
                Ok(Some(bytes)) => {
                    let text = String::from_utf8(bytes).ok();
                    if text.is_none() {
                        self.refuse(secret.line, &key, format!("{file} is no text"));
                    }
                    text.map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                }
                Ok(None) => {
                    self.refuse(secret.line, &key, format!("there is no file {file}"));
                    None
                }
                Err(why) => {
                    self.refuse(secret.line, &key, format!("{file} cannot be read: {why}"));
                    None
                }
            }
        } else {
            let variable = secret.get("environment").and_then(Node::text).map(str::to_owned);
            variable.and_then(|v| {
                self.use_dot_env(Some(&v));
                self.lookup(&v)
            })
        };
        if let Some(value) = value {
            given.name = name;
            given.value = value.into();
        }
    }

    /// Sends every variable to where it belongs.
    pub fn settle(&mut self, services: Vec<(Role, Vec<Given>)>, chosen: Option<ProviderKind>) {
        let (mut database, mut engine) = (Vec::new(), Vec::new());
        for (role, vars) in services {
            match role {
                Role::Database => database.extend(vars),
                Role::Engine => engine.extend(vars),
            }
        }
        let (shared, own): (Vec<_>, Vec<_>) =
            database.into_iter().partition(|g| SHARED.concat().contains(&g.name.as_str()));
        for given in own {
            let (outcome, detail) = of_database(&given.name);
            self.note_in(&given.file, given.line, &given.key, outcome, detail);
        }
        if let Some(database) = &mut self.out.database {
            let value = |name: &str| {
                let found = shared.iter().find(|g| g.name == name)?;
                Some(found.value.expose_secret().to_owned()).filter(|v| !v.is_empty())
            };
            // The image names the database after its user when it is not told.
            database.database = value("POSTGRES_DB").or_else(|| value("POSTGRES_USER"));
        }
        let mut all = Vec::new();
        for given in engine {
            let names = SHARED.iter().find(|names| names.contains(&given.name.as_str()));
            let theirs =
                names.and_then(|names| shared.iter().find(|g| names.contains(&g.name.as_str())));
            match theirs {
                Some(other) if other.value.expose_secret() == given.value.expose_secret() => {
                    let detail = format!("{} says the same", other.key);
                    self.note_in(&given.file, given.line, &given.key, NotNeeded, detail);
                }
                Some(other) => {
                    let detail = format!("{} says otherwise, and is taken", other.key);
                    self.note_in(&given.file, given.line, &given.key, Warning, detail);
                }
                None => all.push(given),
            }
        }
        all.extend(shared);
        self.sort(all, chosen);
    }

    fn sort(&mut self, all: Vec<Given>, chosen: Option<ProviderKind>) {
        let mut told = Vec::new();
        let mut vars = Vec::new();
        for mut given in all {
            if given.name == "POSTGRES_WORKSPACE" {
                "WORKSPACE".clone_into(&mut given.name);
            }
            if let Some(why) = unfit(&given) {
                self.note_in(&given.file, given.line, &given.key, NotUnderstood, why);
                continue;
            }
            let superuser = ["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_DATABASE"]
                .contains(&given.name.as_str())
                && given.value.expose_secret() == "postgres";
            if superuser {
                let detail = "postgres is the server's own; the instance's are called hybridrag";
                self.note_in(&given.file, given.line, &given.key, NotNeeded, detail);
                continue;
            }
            let Ok(name) = given.name.parse::<EnvName>() else { continue };
            vars.push(Var { name, value: given.value.clone(), line: given.line, literal: true });
            told.push(given);
        }
        let mut split = env_file::split_for(vars, chosen);
        let kind = split.settings.iter().find(|(key, _)| *key == "provider.kind");
        let offline = kind.is_none_or(|(_, kind)| kind == ProviderKind::Offline.as_str());
        let models = ["provider.llm_model", "provider.embedding_model", "provider.embedding_dim"];
        if offline {
            split.settings.retain(|(key, _)| !models.contains(key));
        }
        for (given, fate) in told.iter().zip(split.fates) {
            let detail = fate.told(&given.name);
            let (outcome, detail) = match fate {
                Fate::Key(key) if offline && models.contains(&key) => (
                    Warning,
                    "no variable names a provider, so the offline one is used, which has models of \
                     its own; choose another with --provider"
                        .to_owned(),
                ),
                Fate::Key(_) => (Taken, detail),
                Fate::Secret(_) => (Secret, detail),
                Fate::Source if self.out.sources.is_empty() => {
                    let path = self.path(split.source.as_deref().unwrap_or_default());
                    if self.folder.look(&path) == super::There::Folder {
                        self.out.sources.push(path);
                        (Taken, detail)
                    } else {
                        let detail = "there is no such folder; make it, and name it in the manifest \
                                      as a [[source]]";
                        (Warning, detail.to_owned())
                    }
                }
                Fate::Source => (Taken, "its folder is a [[source]]".to_owned()),
                Fate::Env => (PassedOn, detail),
                Fate::LeftOut(why) => (left_out(&why), detail),
            };
            self.note_in(&given.file, given.line, &given.key, outcome, detail);
        }
        self.out.settings.append(&mut split.settings);
        self.out.env.append(&mut split.env);
        // Of two names for one key the later counts, as it does for a setting.
        for (key, value) in split.secrets {
            self.out.secrets.retain(|(k, _): &(SecretKey, _)| *k != key);
            self.out.secrets.push((key, value));
        }
    }
}

/// Why a variable can go neither into a manifest nor into a secret.
fn unfit(given: &Given) -> Option<String> {
    let value = given.value.expose_secret();
    if value.chars().any(char::is_control) {
        return Some("its value is no single line of text".to_owned());
    }
    if is_secret_name(&given.name) {
        return None;
    }
    if let Some(from) = &given.secret {
        return Some(format!("its value comes from {from}, and a manifest holds no secret"));
    }
    env_file::holds_secret(value).then(|| env_file::HOLDS_SECRET.to_owned())
}

/// A variable of the database that the engine has none of.
fn of_database(name: &str) -> (super::Outcome, &'static str) {
    match name {
        "POSTGRES_INITDB_ARGS" | "PGDATA" | "LANG" | "LC_ALL" | "TZ" | "PGUSER" | "PGTZ" => {
            (NotNeeded, "the image makes the cluster as it must be")
        }
        "POSTGRES_HOST_AUTH_METHOD" => (Warning, "the password is always asked for"),
        "POSTGRES_PORT" | "PGPORT" => (NotNeeded, "the database is in the instance's own pod"),
        _ => (NotUnderstood, "the database takes no further variables"),
    }
}

/// Whether a variable that was left out, for this reason, may be missed.
fn left_out(why: &str) -> super::Outcome {
    let missed = ["its name says", "it changes which", "its value is no"];
    if missed.iter().any(|m| why.starts_with(m)) { NotUnderstood } else { NotNeeded }
}
