//! The file as a whole: its variables, its services and which of them is what.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::ExposeSecret;

use super::super::env_file::{self, Var};
use super::super::keys::is_secret_name;
use super::super::problem::Problem;
use super::interpolate::expand;
use super::service::{self, Role};
use super::yaml::{self, Node, Value};
use super::{Deployment, Finding, Folder, MERGE, Outcome};
use crate::model::ProviderKind;

/// Where the env file lies that compose replaces variables from.
const DOT_ENV: &str = ".env";

/// What is known while a file is read.
pub(super) struct Reader<'a> {
    pub folder: &'a dyn Folder,
    pub file: &'a str,
    pub out: Deployment,
    pub problems: Vec<Problem>,
    /// What `.env` has, by name.
    dot_env: BTreeMap<String, Var>,
    /// Variables of `.env` that the compose file names, or whose file a service reads.
    used: BTreeSet<String>,
    /// Named, and set nowhere.
    unset: BTreeSet<String>,
}

pub(super) fn read(
    folder: &dyn Folder,
    file: &str,
    text: &str,
    chosen: Option<ProviderKind>,
) -> Result<Deployment, Vec<Problem>> {
    let mut root = yaml::parse(text, file).map_err(|p| vec![p])?;
    let mut reader = Reader {
        folder,
        file,
        out: Deployment::default(),
        problems: Vec::new(),
        dot_env: BTreeMap::new(),
        used: BTreeSet::new(),
        unset: BTreeSet::new(),
    };
    if let Some(vars) = reader.env_file(&folder.root().join(DOT_ENV), DOT_ENV)? {
        reader.dot_env = vars.into_iter().map(|v| (v.name.to_string(), v)).collect();
    }
    reader.expand(&mut root, "");
    reader.top(&root);
    let (database, engine) = reader.roles(&root).map_err(|p| vec![p])?;
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    reader.services(&root, database.as_deref(), engine.as_deref(), chosen);
    reader.rest_of_dot_env();
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    // The compose file first, then the env files.
    reader.out.findings.sort_by_key(|f| (f.file != file, f.file.clone(), f.line));
    Ok(reader.out)
}

impl Reader<'_> {
    /// Notes what became of something in the compose file.
    pub fn note(&mut self, line: usize, key: &str, outcome: Outcome, detail: impl Into<String>) {
        let file = self.file.to_owned();
        self.note_in(&file, line, key, outcome, detail);
    }

    /// The same of something in another file.
    pub fn note_in(
        &mut self,
        file: &str,
        line: usize,
        key: &str,
        outcome: Outcome,
        detail: impl Into<String>,
    ) {
        self.out.findings.push(Finding {
            file: file.to_owned(),
            line,
            key: key.to_owned(),
            outcome,
            detail: detail.into(),
        });
    }

    /// Notes what makes the compose file unusable.
    pub fn refuse(&mut self, line: usize, key: &str, message: impl Into<String>) {
        let problem = self.problem(line, key, message, None);
        self.problems.push(problem);
    }

    fn problem(
        &self,
        line: usize,
        key: &str,
        message: impl Into<String>,
        hint: Option<&str>,
    ) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line,
            column: 1,
            key: key.to_owned(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// An env file's variables; `None` when there is no such file.
    pub fn env_file(
        &self,
        path: &Utf8Path,
        called: &str,
    ) -> Result<Option<Vec<Var>>, Vec<Problem>> {
        let unreadable = |why: String| {
            let mut problem = self.problem(1, "", why, None);
            called.clone_into(&mut problem.file);
            vec![problem]
        };
        match self.folder.read(path) {
            Ok(Some(bytes)) => env_file::parse(&bytes, called).map(Some),
            Ok(None) => Ok(None),
            Err(why) => Err(unreadable(format!("it cannot be read: {why}"))),
        }
    }

    /// The value of a variable of `.env`, or of those that every user has.
    pub fn lookup(&self, name: &str) -> Option<String> {
        if let Some(var) = self.dot_env.get(name) {
            return Some(self.value(var, &|_| None));
        }
        match name {
            "HOME" => Some(self.folder.home().to_string()),
            "PWD" => Some(self.folder.root().to_string()),
            _ => None,
        }
    }

    /// The value of a variable of an env file, in which those before it may be named.
    pub fn value(&self, var: &Var, before: &dyn Fn(&str) -> Option<String>) -> String {
        let value = var.value.expose_secret();
        if var.literal || !value.contains('$') {
            return value.to_owned();
        }
        let earlier = |name: &str| {
            before(name).or_else(|| {
                let other = self.dot_env.get(name).filter(|o| o.line < var.line)?;
                Some(other.value.expose_secret().to_owned())
            })
        };
        // A dollar sign that begins no variable is one: passwords have them.
        expand(value, &earlier).map_or_else(|_| value.to_owned(), |e| e.text)
    }

    /// A service reads the whole of `.env`, or names one of its variables.
    pub fn use_dot_env(&mut self, name: Option<&str>) {
        match name {
            Some(name) => drop(self.used.insert(name.to_owned())),
            None => self.used.extend(self.dot_env.keys().cloned()),
        }
    }

    /// Replaces the variables in all texts below a node.
    fn expand(&mut self, node: &mut Node, key: &str) {
        match &mut node.value {
            Value::Text(text) if text.contains('$') => {
                match expand(text, &|name| self.lookup(name)) {
                    Ok(expanded) => {
                        node.secret = expanded.named.iter().find(|n| is_secret_name(n)).cloned();
                        *text = expanded.text;
                        self.used.extend(expanded.named);
                        for name in expanded.unset {
                            if self.unset.insert(name.clone()) {
                                let detail = format!(
                                    "{name} is not set in .env, so it is empty here; set it there, \
                                     or give what it is for with --set or --source"
                                );
                                self.note(node.line, key, Outcome::Warning, detail);
                            }
                        }
                    }
                    Err(why) => self.refuse(node.line, key, why),
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.expand(item, key)),
            Value::Map(entries) => {
                for (name, value) in entries {
                    if name.text.starts_with("x-") {
                        continue;
                    }
                    let key = if key.is_empty() {
                        name.text.clone()
                    } else {
                        format!("{key}.{}", name.text)
                    };
                    self.expand(value, &key);
                }
            }
            _ => {}
        }
    }

    /// Which service is the database, and which the engine.
    fn roles(&self, root: &Node) -> Result<(Option<String>, Option<String>), Problem> {
        let services = root.get("services").map(Node::entries).unwrap_or_default();
        if services.is_empty() {
            let hint = Some("name the folder, or the file, of a HybridRAG deployment");
            return Err(self.problem(1, "services", "it has no services", hint));
        }
        let databases: Vec<_> =
            services.iter().filter(|(_, node)| service::is_database(node)).collect();
        if let [(a, _), (b, _), ..] = databases.as_slice() {
            let message =
                format!("{} and {} are both databases, and an instance has one", a.text, b.text);
            let hint =
                Some("copy the file without the one that is not HybridRAG's, and name the copy");
            return Err(self.problem(b.line, &format!("services.{}", b.text), message, hint));
        }
        let database = databases.first().map(|(key, _)| key.text.clone());
        let mut engine: Option<(u32, &str)> = None;
        for (key, node) in services.iter().filter(|(k, _)| Some(&k.text) != database.as_ref()) {
            let points = service::engine_points(&key.text, node);
            if points > engine.map_or(0, |(most, _)| most) {
                engine = Some((points, &key.text));
            }
        }
        let engine = engine.map(|(_, name)| name.to_owned());
        if database.is_none() && engine.is_none() {
            let message = "none of its services looks like HybridRAG or its database";
            let hint = Some("make the instance without it: ragpod create NAME --env-file .env");
            return Err(self.problem(services[0].0.line, "services", message, hint));
        }
        Ok((database, engine))
    }

    fn services(
        &mut self,
        root: &Node,
        database: Option<&str>,
        engine: Option<&str>,
        chosen: Option<ProviderKind>,
    ) {
        let services = root.get("services").map(Node::entries).unwrap_or_default();
        let mut theirs = Vec::new();
        for (key, node) in services {
            let role = match key.text.as_str() {
                name if Some(name) == database => Role::Database,
                name if Some(name) == engine => Role::Engine,
                name if name.starts_with("x-") => continue,
                name => {
                    let detail =
                        "an instance has a database and an engine; this service is left out";
                    self.note(
                        key.line,
                        &format!("services.{name}"),
                        Outcome::NotUnderstood,
                        detail,
                    );
                    continue;
                }
            };
            let vars = self.service(&key.text, node, role, root);
            theirs.push((role, vars));
        }
        self.settle(theirs, chosen);
        if let Some(missing) = match (database, engine) {
            (None, _) => Some("it has no database; the instance gets one"),
            (_, None) => Some("it has no engine; the instance gets one"),
            _ => None,
        } {
            self.note(0, "services", Outcome::Warning, missing);
        }
    }

    /// What of `.env` was not told yet.
    fn rest_of_dot_env(&mut self) {
        let told: BTreeSet<String> =
            self.out.findings.iter().filter(|f| f.file == DOT_ENV).map(|f| f.key.clone()).collect();
        let rest: Vec<(usize, String)> = self
            .dot_env
            .values()
            .map(|v| (v.line, v.name.to_string()))
            .filter(|(_, name)| !told.contains(name))
            .collect();
        for (line, name) in rest {
            if name == "COMPOSE_FILE" {
                let detail = format!(
                    "compose reads the files that it names; here {} alone is read: \
                     {MERGE}",
                    self.file
                );
                self.note_in(DOT_ENV, line, &name, Outcome::NotUnderstood, detail);
            } else if self.used.contains(&name) {
                let detail = format!("put in where {} names it", self.file);
                self.note_in(DOT_ENV, line, &name, Outcome::Taken, detail);
            } else {
                let detail = "no service gets it: it has no env_file, and nothing names it";
                self.note_in(DOT_ENV, line, &name, Outcome::NotNeeded, detail);
            }
        }
    }

    /// A path of the compose file as a whole one, without `.` and `..`.
    pub fn path(&self, text: &str) -> Utf8PathBuf {
        let whole = match text.strip_prefix('~') {
            Some("") => self.folder.home().to_owned(),
            Some(rest) if rest.starts_with('/') => self.folder.home().join(&rest[1..]),
            _ => self.folder.root().join(text),
        };
        let mut normal = Utf8PathBuf::new();
        for part in whole.components() {
            match part {
                camino::Utf8Component::ParentDir => drop(normal.pop()),
                camino::Utf8Component::CurDir => {}
                other => normal.push(other),
            }
        }
        normal
    }
}
