//! What the containers are told through their environment. No secret is: only where its file is.

use super::encode::{Refused, Words};
use crate::model::{Egress, Instance, Part, ProviderKind, SecretKey, Text};

/// Where the app container sees the provider's certificate authorities.
pub(super) const CA_FILE: &str = "/etc/ragpod/ca.pem";

/// Where Podman mounts a secret.
fn secret_file(key: &SecretKey) -> String {
    format!("/run/secrets/{key}")
}

/// Collects `NAME=VALUE` words; `field` is the manifest's key that a value comes from.
#[derive(Default)]
struct Variables(Vec<Words>);

impl Variables {
    fn set(&mut self, field: &str, name: &str, value: &str) -> Result<(), Refused> {
        self.0.push(Words::pair(field, name, value)?);
        Ok(())
    }
}

pub(super) fn postgres(instance: &Instance) -> Result<Vec<Words>, Refused> {
    let mut vars = Variables::default();
    let password = secret_file(&SecretKey::postgres_password());
    vars.set("postgres.user", "POSTGRES_USER", instance.postgres.user.as_str())?;
    vars.set("postgres.database", "POSTGRES_DB", instance.postgres.database.as_str())?;
    vars.set("postgres.image", "POSTGRES_PASSWORD_FILE", &password)?;
    // Inside the named volume: an anonymous one, as some images declare, goes at every stop.
    vars.set("postgres.image", "PGDATA", "/var/lib/postgresql/data/pgdata")?;
    Ok(vars.0)
}

pub(super) fn app(instance: &Instance) -> Result<Vec<Words>, Refused> {
    let mut vars = Variables::default();
    let database = instance.postgres.database.as_str();
    let password = secret_file(&SecretKey::postgres_password());
    vars.set("instance.name", "RAGPOD_INSTANCE", instance.name.as_str())?;
    vars.set("postgres.database", "POSTGRES_HOST", "postgres")?;
    vars.set("postgres.database", "POSTGRES_PORT", "5432")?;
    vars.set("postgres.user", "POSTGRES_USER", instance.postgres.user.as_str())?;
    // HybridRAG's name and the one that LightRAG reads.
    vars.set("postgres.database", "POSTGRES_DB", database)?;
    vars.set("postgres.database", "POSTGRES_DATABASE", database)?;
    vars.set("postgres.database", "POSTGRES_PASSWORD_FILE", &password)?;
    let batch_size = instance.engine.batch_size.to_string();
    vars.set("engine.batch_size", "BATCH_SIZE", &batch_size)?;
    if let Some(concurrency) = instance.engine.concurrency {
        vars.set("engine.concurrency", "MAX_PARALLEL_INSERT", &concurrency.to_string())?;
    }
    provider(instance, &mut vars)?;
    proxy(instance, &mut vars)?;
    for (name, value) in &instance.env {
        vars.set(&format!("env.{name}"), name.as_str(), value.as_str())?;
    }
    Ok(vars.0)
}

fn provider(instance: &Instance, vars: &mut Variables) -> Result<(), Refused> {
    let provider = &instance.provider;
    vars.set("provider.kind", "RAGPOD_PROVIDER", provider.kind.as_str())?;
    let dimension = provider.embedding_dim.map(|n| n.to_string());
    let texts = [
        ("provider.base_url", "API_BASE", provider.base_url.as_ref().map(Text::as_str)),
        ("provider.api_version", "API_VERSION", provider.api_version.as_ref().map(Text::as_str)),
        ("provider.llm_model", "LLM_MODEL", provider.llm_model.as_ref().map(Text::as_str)),
        (
            "provider.embedding_model",
            "EMBEDDING_MODEL",
            provider.embedding_model.as_ref().map(Text::as_str),
        ),
        ("provider.embedding_dim", "EMBEDDING_DIM", dimension.as_deref()),
    ];
    for (field, name, value) in texts {
        if let Some(value) = value {
            vars.set(field, name, value)?;
        }
    }
    if let Some(key) = &provider.api_key {
        vars.set("provider.api_key", "API_KEY_FILE", &secret_file(key))?;
    }
    if provider.ca_file.is_some() {
        vars.set("provider.ca_file", "API_CA_FILE", CA_FILE)?;
    }
    debug_assert!(provider.kind != ProviderKind::Offline || provider.api_key.is_none());
    Ok(())
}

/// The gateway as the proxy of every client library; both spellings, because each reads its own.
fn proxy(instance: &Instance, vars: &mut Variables) -> Result<(), Refused> {
    const FIELD: &str = "egress.mode";
    if !instance.egress.has_gateway() {
        return Ok(());
    }
    let gateway = format!("http://{}:3128", Part::Egress.podman_name(&instance.name));
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        vars.set(FIELD, name, &gateway)?;
    }
    for name in ["NO_PROXY", "no_proxy"] {
        vars.set(FIELD, name, "postgres,localhost,127.0.0.1,::1")?;
    }
    Ok(())
}

pub(super) fn egress(instance: &Instance) -> Result<Vec<Words>, Refused> {
    let mut vars = Variables::default();
    if let Egress::Allow(endpoints) = &instance.egress {
        let list = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        vars.set("egress.mode", "EGRESS_MODE", "allow")?;
        vars.set("egress.allow", "EGRESS_ALLOW", &list)?;
    }
    Ok(vars.0)
}
