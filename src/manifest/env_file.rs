//! The `.env` file of an older deployment: `KEY=VALUE` lines as Docker Compose reads them.
//!
//! Every value is a secret until [`split`] has seen its name: no value appears in a problem, in
//! `Debug`, or in the manifest when its name sounds secret.

use secrecy::{ExposeSecret, SecretString};

use super::env;
use super::keys::is_secret_name;
use super::problem::{Log, Problem};
use crate::model::{EnvName, ProviderKind, SecretKey, Text};

/// The longest value, in bytes: what a secret may have.
const LONGEST: usize = 64 << 10;

/// One variable of an env file.
#[derive(Clone, Debug)]
pub struct Var {
    /// Its name.
    pub name: EnvName,
    /// Its value, not yet known to be harmless.
    pub value: SecretString,
    /// The line that sets it, from 1.
    pub line: usize,
    /// Whether a dollar sign in it is one: it stood in single quotes, or has one escaped.
    pub literal: bool,
}

/// Where a variable went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Into this key of the manifest.
    Key(&'static str),
    /// Into this secret.
    Secret(SecretKey),
    /// It names the source folder.
    Source,
    /// To the engine, through `[env]`.
    Env,
    /// Nowhere, for this reason.
    LeftOut(String),
}

impl Fate {
    /// What became of the variable of that name, for people.
    pub(crate) fn told(&self, name: &str) -> String {
        match self {
            Self::Key(key) => format!("taken into {key}"),
            Self::Secret(key) => format!("stored as the secret {key}"),
            Self::Source => "taken into a [[source]]".to_owned(),
            Self::Env => format!("passed on to the engine: env.{name}"),
            Self::LeftOut(why) => why.clone(),
        }
    }
}

/// An env file, sorted into what it means for an instance.
#[derive(Debug, Default)]
pub struct Split {
    /// Manifest keys and their values, for [`super::New::set_text`].
    pub settings: Vec<(&'static str, String)>,
    /// Secrets to be stored.
    pub secrets: Vec<(SecretKey, SecretString)>,
    /// Variables of the engine, for `[env]`.
    pub env: Vec<(EnvName, Text)>,
    /// The source folder of a compose deployment's `HOST_PROJECTS_PATH`.
    pub source: Option<String>,
    /// Variables that were left out, and why; never their values.
    pub ignored: Vec<(EnvName, String)>,
    /// Where each went, in the order in which they came.
    pub fates: Vec<Fate>,
}

/// Reads an env file: comments, `export`, single and double quotes, CRLF and a byte order mark are
/// understood. All problems at once.
pub fn parse(bytes: &[u8], file: &str) -> Result<Vec<Var>, Vec<Problem>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let good = bytes.get(..e.valid_up_to()).unwrap_or_default();
            let good = std::str::from_utf8(good).unwrap_or_default();
            let log = Log::new(file, good);
            log.add(good.len(), "", "it is no UTF-8 text from here on", None);
            return Err(log.into_problems());
        }
    };
    let log = Log::new(file, text);
    let mut vars: Vec<Var> = Vec::new();
    let mut at = 0;
    for (number, full) in text.split_inclusive('\n').enumerate() {
        let start = at;
        at += full.len();
        let line = full.trim_end_matches(['\n', '\r']);
        let line = if number == 0 { line.trim_start_matches('\u{feff}') } else { line };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = assignment(line, start, &log) else { continue };
        let literal = line.split_once('=').is_some_and(|(_, value)| {
            value.trim_start().starts_with('\'') || value.contains("\\$")
        });
        if let Some(first) = vars.iter().find(|v| v.name == name) {
            let message = format!("it was set before, on line {}", first.line);
            log.add(start, name.as_str(), message, Some("keep one of the two".to_owned()));
            continue;
        }
        vars.push(Var { name, value, line: number + 1, literal });
    }
    let problems = log.into_problems();
    if problems.is_empty() { Ok(vars) } else { Err(problems) }
}

fn assignment(line: &str, at: usize, log: &Log<'_>) -> Option<(EnvName, SecretString)> {
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let Some((name, value)) = line.split_once('=') else {
        log.add(at, "", "there is no '=' in this line", Some("write NAME=VALUE".to_owned()));
        return None;
    };
    // The name is not repeated when it is none: the line may be a part of a secret.
    let Ok(name) = name.trim_end().parse::<EnvName>() else {
        let message = "what stands before '=' is no variable's name".to_owned();
        log.add(at, "", message, Some("a name has letters, digits and '_' only".to_owned()));
        return None;
    };
    match unquote(value.trim()) {
        Ok(value) if value.len() > LONGEST => {
            log.add(at, name.as_str(), "its value is longer than 64 KiB", None);
            None
        }
        Ok(value) if value.chars().any(char::is_control) => {
            log.add(at, name.as_str(), "its value has a control character", None);
            None
        }
        Ok(value) => Some((name, SecretString::from(value))),
        Err(message) => {
            log.add(at, name.as_str(), message, None);
            None
        }
    }
}

/// The value without its quotes; without quotes, a comment ends it.
fn unquote(value: &str) -> Result<String, &'static str> {
    let Some(quote @ ('"' | '\'')) = value.chars().next() else {
        let comment =
            |(i, c): &(usize, char)| *c == '#' && (*i == 0 || value[..*i].ends_with([' ', '\t']));
        let end = value.char_indices().find(comment).map_or(value.len(), |(i, _)| i);
        return Ok(value[..end].trim_end().to_owned());
    };
    let rest = &value[1..];
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            None => return Err("its quote is not closed"),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => return Err("its quote is not closed"),
            },
            Some(c) => out.push(c),
        }
    }
    let tail = chars.as_str().trim_start();
    if tail.is_empty() || tail.starts_with('#') {
        Ok(out)
    } else {
        Err("something follows its closing quote")
    }
}

/// Sorts the variables of a deployment: HybridRAG's names become manifest keys and secrets, what
/// ragpod settles by itself is left out with the reason, everything else goes to the engine.
#[must_use]
pub fn split(vars: Vec<Var>) -> Split {
    split_for(vars, None)
}

/// The same for a provider that somebody chose.
#[must_use]
pub fn split_for(vars: Vec<Var>, chosen: Option<ProviderKind>) -> Split {
    let kind = chosen.or_else(|| provider(&vars));
    let mut split = Split::default();
    if let Some(kind) = kind {
        split.settings.push(("provider.kind", kind.as_str().to_owned()));
    }
    for var in vars {
        let fate = split.sort(var, kind);
        split.fates.push(fate);
    }
    split
}

impl Split {
    /// Puts a variable where it belongs.
    fn sort(&mut self, var: Var, kind: Option<ProviderKind>) -> Fate {
        let target = target(var.name.as_str(), kind);
        let value = var.value.expose_secret();
        let why = match target {
            _ if value.is_empty() => "it is empty".to_owned(),
            Target::Setting(key) => {
                self.settings.push((key, value.to_owned()));
                return Fate::Key(key);
            }
            Target::Secret(key) => {
                self.secrets.push((key.clone(), var.value));
                return Fate::Secret(key);
            }
            Target::Source => {
                self.source = Some(value.to_owned());
                return Fate::Source;
            }
            Target::Ignored(why) => why.to_owned(),
            Target::Engine => match (env::refusal(var.name.as_str()), value.parse::<Text>()) {
                (Some((why, _)), _) => why,
                (None, Ok(_)) if holds_secret(value) => HOLDS_SECRET.to_owned(),
                (None, Ok(text)) => {
                    self.env.push((var.name, text));
                    return Fate::Env;
                }
                (None, Err(_)) => "its value is no single line of text".to_owned(),
            },
        };
        self.ignored.push((var.name, why.clone()));
        Fate::LeftOut(why)
    }
}

/// The provider that a deployment's variables speak of.
fn provider(vars: &[Var]) -> Option<ProviderKind> {
    let value = |name: &str| {
        vars.iter()
            .find(|v| v.name.as_str() == name)
            .map(|v| v.value.expose_secret())
            .filter(|v| !v.is_empty())
    };
    if value("AZURE_API_BASE").or(value("AZURE_OPENAI_ENDPOINT")).is_some()
        || value("AZURE_API_KEY").or(value("AZURE_OPENAI_API_KEY")).is_some()
    {
        return Some(ProviderKind::Azure);
    }
    match value("OPENAI_API_BASE").or(value("OPENAI_BASE_URL")) {
        Some(url) if !url.starts_with("https://api.openai.com") => {
            return Some(ProviderKind::OpenAiCompatible);
        }
        _ => {}
    }
    if value("OPENAI_API_KEY").is_some() {
        return Some(ProviderKind::OpenAi);
    }
    value("OLLAMA_HOST").or(value("OLLAMA_API_BASE")).map(|_| ProviderKind::Ollama)
}

/// Where a variable goes.
enum Target {
    Setting(&'static str),
    Secret(SecretKey),
    Source,
    Ignored(&'static str),
    Engine,
}

fn target(name: &str, kind: Option<ProviderKind>) -> Target {
    use ProviderKind::{Azure, Ollama, OpenAi, OpenAiCompatible};
    const OTHER: &str = "it belongs to another provider than the one in use";
    const UNSAFE: &str =
        "its name says that it is secret; store it with ragpod secret set, if it is needed";
    let of = |kinds: &[ProviderKind], target: Target| match kind {
        Some(kind) if kinds.contains(&kind) => target,
        _ => Target::Ignored(OTHER),
    };
    let base_url = Target::Setting("provider.base_url");
    let api_key = Target::Secret(SecretKey::api_key());
    match name {
        "AZURE_API_BASE" | "AZURE_OPENAI_ENDPOINT" => of(&[Azure], base_url),
        "AZURE_API_VERSION" | "AZURE_OPENAI_API_VERSION" => {
            of(&[Azure], Target::Setting("provider.api_version"))
        }
        "AZURE_API_KEY" | "AZURE_OPENAI_API_KEY" => of(&[Azure], api_key),
        "OPENAI_API_KEY" => of(&[OpenAi, OpenAiCompatible], api_key),
        "OPENAI_API_BASE" | "OPENAI_BASE_URL" => of(&[OpenAiCompatible, OpenAi], base_url),
        "OLLAMA_HOST" | "OLLAMA_API_BASE" => of(&[Ollama], base_url),
        "LLM_MODEL" | "LIGHTRAG_MODEL" => Target::Setting("provider.llm_model"),
        "EMBEDDING_MODEL" | "LIGHTRAG_EMBED_MODEL" => Target::Setting("provider.embedding_model"),
        "EMBEDDING_DIM" => Target::Setting("provider.embedding_dim"),
        "POSTGRES_DB" | "POSTGRES_DATABASE" => Target::Setting("postgres.database"),
        "POSTGRES_USER" => Target::Setting("postgres.user"),
        "POSTGRES_PASSWORD" => Target::Secret(SecretKey::postgres_password()),
        "POSTGRES_HOST" | "POSTGRES_PORT" => {
            Target::Ignored("the database is in the instance's own pod")
        }
        "POSTGRES_INITDB_ARGS" => Target::Ignored("the image makes the cluster as it must be"),
        "BACKEND_TYPE" => Target::Ignored("the backend is always postgres"),
        "BATCH_SIZE" => Target::Setting("engine.batch_size"),
        "MAX_PARALLEL_INSERT" => Target::Setting("engine.concurrency"),
        "HOST_PROJECTS_PATH" => Target::Source,
        _ if is_secret_name(name) => Target::Ignored(UNSAFE),
        _ => Target::Engine,
    }
}

/// Why an address with a password in it goes nowhere.
pub(super) const HOLDS_SECRET: &str =
    "its value holds a user name or a password, and a manifest holds no secret";

/// Whether a value is an address with a user, a password or a token in it:
/// `scheme://user:password@host`, `scheme://host/?password=…`.
pub(super) fn holds_secret(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let mut parameters = rest.split(['?', '&', ';']).skip(1).filter_map(|p| p.split_once('='));
    rest.contains('@') || parameters.any(|(name, _)| is_secret_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_secrets_in_them() {
        for secret in [
            "postgres://u:pw@db/x",
            "postgres://u:p/w@db/x",
            "https://token@host",
            "postgresql://db/x?user=u&password=pw",
            "https://host/?api_key=1",
        ] {
            assert!(holds_secret(secret), "{secret}");
        }
        for plain in ["https://host/path?top_k=4", "u@example.org", "text", "redis://host:6379/0"] {
            assert!(!holds_secret(plain), "{plain}");
        }
    }
}
