//! `[provider]`: which keys each kind needs.

use camino::Utf8Path;

use super::path::expand;
use super::problem::{At, Log};
use super::raw::RawProvider;
use super::resolve::{number, parse_at, parsed};
use crate::model::{Endpoint, Provider, ProviderKind, SecretKey, Text};

/// Azure's API version when the manifest names none.
const AZURE_VERSION: &str = "2024-02-15-preview";

pub(super) fn resolve(raw: &RawProvider, home: &Utf8Path, log: &Log<'_>) -> Option<Provider> {
    let kind = parsed::<ProviderKind>(raw.kind.as_ref(), "provider.kind", log);
    let base_url = raw.base_url.as_ref().map(|url| base_url(url, log)).transpose();
    let api_version = parsed::<Text>(raw.api_version.as_ref(), "provider.api_version", log);
    let llm_model = parsed::<Text>(raw.llm_model.as_ref(), "provider.llm_model", log);
    let embedding_model =
        parsed::<Text>(raw.embedding_model.as_ref(), "provider.embedding_model", log);
    let embedding_dim = number(raw.embedding_dim.as_ref(), "provider.embedding_dim", 16000, log);
    let api_key = raw.api_key.as_ref().map(|key| api_key(key, log)).transpose();
    let ca_file =
        raw.ca_file.as_ref().map(|f| expand(f, "provider.ca_file", home, log)).transpose();
    let kind = kind.ok()?.unwrap_or_default();
    let complete = rules(kind, raw, log);
    let mut api_version = api_version.ok()?;
    if kind == ProviderKind::Azure && api_version.is_none() {
        api_version = AZURE_VERSION.parse().ok();
    }
    let provider = Provider {
        kind,
        base_url: base_url.ok()?,
        api_version,
        llm_model: llm_model.ok()?,
        embedding_model: embedding_model.ok()?,
        embedding_dim: embedding_dim.ok()?,
        api_key: api_key.ok()?,
        ca_file: ca_file.ok()?,
    };
    complete.then_some(provider)
}

/// What a kind must have and cannot have.
fn rules(kind: ProviderKind, raw: &RawProvider, log: &Log<'_>) -> bool {
    let mut good = true;
    let mut missing = |key: &str, line: &str| {
        good = false;
        if raw.present.iter().any(|k| key.ends_with(&format!(".{k}"))) {
            // It is there, and of the wrong type.
            return;
        }
        let hint = format!("write {line} under [provider]");
        log.add(raw.at, key, format!("the provider {kind} needs it"), Some(hint));
    };
    if kind.needs_base_url() && raw.base_url.is_none() {
        missing("provider.base_url", &format!("base_url = \"{}\"", example_url(kind)));
    }
    if kind.needs_key() && raw.api_key.is_none() {
        missing("provider.api_key", "api_key = { secret = \"api-key\" }");
    }
    if kind.is_remote() && raw.llm_model.is_none() {
        missing("provider.llm_model", "llm_model = \"…\"");
    }
    if kind.is_remote() && raw.embedding_model.is_none() {
        missing("provider.embedding_model", "embedding_model = \"…\"");
    }
    let mut useless = |key: &str, at: Option<usize>| {
        if let Some(at) = at {
            let message = format!("the provider {kind} has no use for it");
            log.add(at, key, message, Some("remove it".to_owned()));
            good = false;
        }
    };
    if !kind.is_remote() {
        useless("provider.base_url", raw.base_url.as_ref().map(|f| f.at));
        useless("provider.api_key", raw.api_key.as_ref().map(|f| f.at));
        useless("provider.ca_file", raw.ca_file.as_ref().map(|f| f.at));
        useless("provider.llm_model", raw.llm_model.as_ref().map(|f| f.at));
        useless("provider.embedding_model", raw.embedding_model.as_ref().map(|f| f.at));
        useless("provider.embedding_dim", raw.embedding_dim.as_ref().map(|f| f.at));
    }
    if kind != ProviderKind::Azure {
        useless("provider.api_version", raw.api_version.as_ref().map(|f| f.at));
    }
    good
}

/// An address that shows what is wanted. Its host cannot exist, so that nothing is sent anywhere
/// before a person has put the real one.
pub(super) fn example_url(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Azure => "https://your-project.services.ai.azure.invalid",
        ProviderKind::Ollama => "http://your-ollama-host.invalid:11434",
        _ => "https://your-api-host.invalid/v1",
    }
}

fn api_key(field: &At<String>, log: &Log<'_>) -> Result<SecretKey, ()> {
    const KEY: &str = "provider.api_key";
    match field.value.parse::<SecretKey>() {
        // The value may be the key itself, put into the wrong place: it is not repeated.
        Err(_) => {
            let message = "the name of a secret has a-z, 0-9 and '-' only, 40 at most".to_owned();
            log.add(field.at, KEY, message, Some("write { secret = \"api-key\" }".to_owned()));
            Err(())
        }
        Ok(key) if key == SecretKey::postgres_password() => {
            log.add(field.at, KEY, "that is the database's own secret", None);
            Err(())
        }
        Ok(key) => Ok(key),
    }
}

fn base_url(field: &At<String>, log: &Log<'_>) -> Result<Text, ()> {
    const KEY: &str = "provider.base_url";
    let url = field.value.as_str();
    let refuse = |message: String, hint: Option<&str>| {
        log.add(field.at, KEY, message, hint.map(str::to_owned));
        Err(())
    };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.unwrap_or(url).split(['/', '?', '#']).next().unwrap_or_default();
    // First of all, so that no other message repeats what may be a password.
    if authority.contains('@') {
        return refuse(
            "it holds a user name or a password".to_owned(),
            Some("put the key into a secret: ragpod secret set NAME api-key"),
        );
    }
    if rest.is_none() {
        return refuse(
            "it is no address".to_owned(),
            Some("it must begin with https:// or http://"),
        );
    }
    if url.contains(['?', '#']) {
        return refuse("it has a query or a fragment".to_owned(), Some("end it before '?' or '#'"));
    }
    if url.contains(char::is_whitespace) {
        return refuse("it contains a blank".to_owned(), None);
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    if ["localhost", "127.0.0.1", "[::1]"].contains(&host) {
        return refuse(
            format!("{host} is the instance itself"),
            Some("name the host as others on the network do"),
        );
    }
    parse_at::<Text>(field, KEY, log)
}

/// What the gateway must let through for the provider. An address that names no host is a problem
/// here only, because an open instance can do with one.
pub(super) fn endpoint(
    provider: &Provider,
    base_url: Option<&At<String>>,
    log: &Log<'_>,
) -> Result<Option<Endpoint>, ()> {
    let Some(url) = base_url else { return Ok(provider.kind.default_endpoint()) };
    match Endpoint::of_url(&url.value) {
        Ok(endpoint) => Ok(Some(endpoint)),
        Err(e) => {
            log.add(url.at, "provider.base_url", e, None);
            Err(())
        }
    }
}
