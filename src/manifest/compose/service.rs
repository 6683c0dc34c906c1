//! One service: which of the two it is, and what each of its keys means for an instance.

use super::Outcome::{NotNeeded, NotUnderstood, Taken, Warning};
use super::reader::Reader;
use super::variables::Given;
use super::yaml::{Node, Value};
use super::{Database, Outcome};

/// What a service is for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Database,
    Engine,
}

/// Whether a service is a PostgreSQL server.
pub(super) fn is_database(node: &Node) -> bool {
    let image = node.get("image").and_then(Node::text).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split([':', '@']).next().unwrap_or_default();
    let known = ["postgres", "pgvector", "timescale", "postgis"];
    let mounts = node.get("volumes").map(Node::texts).unwrap_or_default();
    let asks = node.get("healthcheck").map(Node::texts).unwrap_or_default();
    known.iter().any(|k| name.contains(k))
        || ["age", "pg"].contains(&name)
        || mounts
            .iter()
            .any(|m| m.contains("/var/lib/postgresql") || m.contains("/bitnami/postgresql"))
        || asks.iter().any(|t| t.contains("pg_isready"))
}

/// How much a service looks like the engine; 0 for not at all.
pub(super) fn engine_points(name: &str, node: &Node) -> u32 {
    let image = node.get("image").and_then(Node::text).unwrap_or_default();
    let words = ["command", "entrypoint", "build"].map(|k| node.get(k).map(Node::texts));
    let words: Vec<&str> = words.into_iter().flatten().flatten().collect();
    let environment = node.get("environment");
    let variables: Vec<&str> = environment
        .into_iter()
        .flat_map(|e| {
            let names = e.entries().iter().map(|(k, _)| k.text.as_str());
            let listed = if e.entries().is_empty() { e.texts() } else { Vec::new() };
            names.chain(listed).collect::<Vec<_>>()
        })
        .collect();
    let mounts = node.get("volumes").map(Node::texts).unwrap_or_default();
    let has = |list: &[&str], parts: &[&str]| {
        list.iter().any(|text| parts.iter().any(|part| text.to_lowercase().contains(part)))
    };
    let ours = ["hybridrag", "lightrag"];
    let models = ["llm_model", "embedding_model", "lightrag", "backend_type", "azure_", "openai_"];
    let scores = [
        (8, has(&[image], &ours)),
        (6, has(&words, &ours)),
        (4, has(&variables, &models)),
        (3, mounts.iter().any(|m| m.contains("/data/projects"))),
        (2, node.get("env_file").is_some()),
        (1, has(&variables, &["postgres_host"])),
        (1, ["app", "engine", "hybridrag"].contains(&name)),
    ];
    scores.iter().filter(|(_, there)| *there).map(|(points, _)| points).sum()
}

impl Reader<'_> {
    /// Notes what becomes of each key of a service; gives its variables.
    pub fn service(&mut self, name: &str, node: &Node, role: Role, root: &Node) -> Vec<Given> {
        if role == Role::Database {
            let text = |key| node.get(key).and_then(Node::text).map(str::to_owned);
            self.out.database = Some(Database {
                service: name.to_owned(),
                container: text("container_name"),
                image: text("image"),
                ..Database::default()
            });
        }
        let vars = self.variables(name, node, root);
        for (key, value) in node.entries() {
            let path = format!("services.{name}.{}", key.text);
            match key.text.as_str() {
                // Each variable has a line of its own.
                "environment" | "env_file" => {}
                "volumes" => self.volumes(&path, value, role, root),
                "deploy" => self.deploy(&path, value, role),
                "mem_limit" => self.memory(key.line, &path, value, role),
                "restart" => self.restart(key.line, &path, value),
                other => {
                    let (outcome, detail) = meaning(other, value, role);
                    self.note(key.line, &path, outcome, detail);
                }
            }
        }
        vars
    }

    fn deploy(&mut self, path: &str, node: &Node, role: Role) {
        for (key, value) in node.entries() {
            let path = format!("{path}.{}", key.text);
            if key.text != "resources" {
                self.note(key.line, &path, NotUnderstood, "an instance runs once, on this host");
                continue;
            }
            for (kind, amounts) in value.entries() {
                for (what, amount) in amounts.entries() {
                    let path = format!("{path}.{}.{}", kind.text, what.text);
                    if (kind.text.as_str(), what.text.as_str()) == ("limits", "memory") {
                        self.memory(what.line, &path, amount, role);
                    } else {
                        let detail = "of resources, only the most memory can be set";
                        self.note(what.line, &path, NotUnderstood, detail);
                    }
                }
            }
        }
    }

    fn memory(&mut self, line: usize, path: &str, node: &Node, role: Role) {
        let key = match role {
            Role::Database => "postgres.memory",
            Role::Engine => "engine.memory",
        };
        if let Some(amount) = node.text().and_then(memory) {
            self.out.settings.push((key, amount));
            self.note(line, path, Taken, format!("taken into {key}"));
        } else {
            let detail = format!("it is no amount of memory; set {key} in the manifest");
            self.note(line, path, NotUnderstood, detail);
        }
    }

    fn restart(&mut self, line: usize, path: &str, node: &Node) {
        if node.text() == Some("no") {
            self.out.autostart = Some(false);
            let detail = "taken into instance.autostart; what ends while it runs is restarted";
            self.note(line, path, Taken, detail);
        } else {
            let detail = "what ends is restarted, and it starts with the machine";
            self.note(line, path, NotNeeded, detail);
        }
    }
}

/// What a key that needs no look at others means.
fn meaning(key: &str, value: &Node, role: Role) -> (Outcome, &'static str) {
    let database = role == Role::Database;
    match key {
        "image" | "build" if database => {
            (NotNeeded, "the instance's own image has PostgreSQL 17, pgvector and Apache AGE")
        }
        "image" | "build" => (
            NotNeeded,
            "the engine comes with ragpod; for upstream HybridRAG: --set engine.profile=hybridrag",
        ),
        "container_name" => (NotNeeded, "the containers are named after the instance"),
        "ports" => (
            Warning,
            "no port is published, so programs outside do not reach it: use ragpod query, psql or mcp",
        ),
        "networks" | "expose" | "links" | "hostname" | "domainname" => {
            (NotNeeded, "the instance has networks of its own")
        }
        "network_mode" => {
            (Warning, "the instance has networks of its own, and no way to the host's")
        }
        "secrets" => {
            (NotNeeded, "what a variable of the service names is a secret of the instance")
        }
        "depends_on" => (NotNeeded, "the engine starts after its database"),
        "healthcheck" => (NotNeeded, "the services have health checks of their own"),
        "command" | "entrypoint" => command(value, database),
        "profiles" => (NotNeeded, "the whole instance starts together"),
        "logging" => (NotNeeded, "the services write to the journal: ragpod logs"),
        "labels" => (NotNeeded, "what is made is labelled with the instance's name"),
        "user" | "read_only" | "cap_drop" | "security_opt" | "tmpfs" | "init" => {
            (NotNeeded, "the containers are hardened already")
        }
        "shm_size" if database => (NotNeeded, "the database takes no memory from /dev/shm"),
        "stop_grace_period" | "stop_signal" => (NotNeeded, "the services stop cleanly"),
        "tty" | "stdin_open" | "pull_policy" | "platform" => (NotNeeded, "it changes nothing here"),
        "cap_add" | "privileged" | "devices" | "group_add" => {
            (NotUnderstood, "the containers get no further rights; see [hardening]")
        }
        "extends" => {
            (NotUnderstood, "let compose put it in: docker compose config > resolved.yaml")
        }
        _ if key.starts_with("x-") => (NotNeeded, "compose ignores it, too"),
        _ => (NotUnderstood, "there is nothing like it in an instance"),
    }
}

/// A command may hold secrets, so it is not repeated.
fn command(value: &Node, database: bool) -> (Outcome, &'static str) {
    let words = value.texts().join(" ");
    if matches!(value.value, Value::Null) {
        return (NotNeeded, "it is empty");
    }
    if database {
        // `postgres -c …` and the like: settings that somebody chose.
        return if words.contains(" -c ") && !words.contains("bash -c") && !words.contains("sh -c ")
            || words.contains("-c shared_buffers")
        {
            (NotUnderstood, "the database has settings of its own; ALTER SYSTEM changes them")
        } else {
            (NotNeeded, "pgvector and Apache AGE are in the instance's image")
        };
    }
    let idle = ["tail -f", "sleep ", "infinity"].iter().any(|w| words.contains(w));
    if idle {
        (NotNeeded, "the engine is a service")
    } else {
        (
            NotUnderstood,
            "the engine is a service; what it does is asked for with ragpod ingest and query",
        )
    }
}

/// An amount of memory as a manifest writes it, from what compose takes: `2g`, `512mb`, `1.5G`.
fn memory(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let shift = match text[digits.len()..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    let part = match part {
        "" => 0,
        part if part.len() <= 6 => {
            let scale = 10u64.pow(u32::try_from(part.len()).ok()?);
            part.parse::<u64>().ok()?.checked_mul(1 << shift)? / scale
        }
        _ => return None,
    };
    let bytes = whole.checked_add(part)?;
    // Whole mebibytes: nobody means a fraction of one.
    Some(if bytes >= 1 << 20 { format!("{}M", bytes >> 20) } else { bytes.to_string() })
}

#[cfg(test)]
mod tests {
    use super::memory;

    #[test]
    fn amounts_of_memory() {
        for (text, expected) in [
            ("2g", Some("2048M")),
            ("512M", Some("512M")),
            ("1.5gb", Some("1536M")),
            ("2147483648", Some("2048M")),
            ("100", Some("100")),
            ("lots", None),
            ("", None),
            ("99999999999999t", None),
            ("1.2.3g", None),
        ] {
            assert_eq!(memory(text).as_deref(), expected, "{text}");
        }
    }
}
