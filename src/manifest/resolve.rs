//! The manifest as written → the checked instance. Every check of a value's meaning is here, and
//! all of them run: a manifest's problems are told at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use camino::Utf8Path;

use super::problem::{At, Log};
use super::raw::{Raw, RawBackup, RawEgress, RawInstance, RawPostgres, RawSchedule};
use super::{engine, env, hardening, provider, source};
use crate::model::{
    Backup, Egress, Endpoint, ImageRef, Instance, Name, PgIdent, Postgres, Provider, Schedule, Text,
};

/// The instance that a manifest describes; `None` when the log has a problem.
pub(super) fn resolve(
    raw: &Raw,
    expected_name: Option<&str>,
    home: &Utf8Path,
    log: &Log<'_>,
) -> Option<Instance> {
    // Every part is resolved before the first `?`, so that each tells its problems.
    let name = name(&raw.instance, expected_name, log);
    let postgres = postgres(&raw.postgres, log);
    let provider = provider::resolve(&raw.provider, home, log);
    let engine = engine::resolve(&raw.engine, provider.as_ref(), log);
    let sources = source::resolve(&raw.sources, home, log);
    let egress = if let Some(provider) = &provider {
        egress(&raw.egress, raw.provider.base_url.as_ref(), provider, log)
    } else {
        // Without a provider only what the table says by itself can be judged.
        endpoints(&raw.egress, log);
        mode(&raw.egress, log);
        None
    };
    let hardening = hardening::resolve(&raw.hardening, log);
    let backup = backup(&raw.backup, log);
    let schedule = schedule(&raw.schedule, log);
    let env = env::resolve(&raw.env, log);
    Some(Instance {
        name: name?,
        autostart: raw.instance.autostart.as_ref().is_none_or(|a| a.value),
        postgres: postgres?,
        engine: engine?,
        provider: provider?,
        sources: sources?,
        egress: egress?,
        hardening: hardening?,
        backup: backup?,
        schedule: schedule?,
        env: env?,
    })
}

/// A value of a checked type: `Ok(None)` when it is missing, `Err` when it was refused (and the
/// log has why).
pub(super) fn parsed<T>(
    field: Option<&At<String>>,
    key: &str,
    log: &Log<'_>,
) -> Result<Option<T>, ()>
where
    T: FromStr,
    T::Err: Display,
{
    field.map(|field| parse_at(field, key, log)).transpose()
}

/// A value of a checked type, its refusal logged where it stands.
pub(super) fn parse_at<T>(field: &At<String>, key: &str, log: &Log<'_>) -> Result<T, ()>
where
    T: FromStr,
    T::Err: Display,
{
    field.value.parse().map_err(|e: T::Err| log.add(field.at, key, e.to_string(), None))
}

/// A number within its bounds.
pub(super) fn number(
    field: Option<&At<i64>>,
    key: &str,
    most: u16,
    log: &Log<'_>,
) -> Result<Option<u16>, ()> {
    let Some(field) = field else { return Ok(None) };
    match u16::try_from(field.value) {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ => {
            let message = format!("{} is not between 1 and {most}", field.value);
            log.add(field.at, key, message, None);
            Err(())
        }
    }
}

fn name(raw: &RawInstance, expected: Option<&str>, log: &Log<'_>) -> Option<Name> {
    const KEY: &str = "instance.name";
    let Some(field) = &raw.name else {
        if raw.present.contains("name") {
            return None;
        }
        let example = expected.unwrap_or("team-a");
        let hint = format!("write name = \"{example}\" under [instance]");
        log.add(raw.at, KEY, "it is missing", Some(hint));
        return None;
    };
    let name = match field.value.parse::<Name>() {
        Ok(name) => name,
        Err(e) => {
            log.add(field.at, KEY, format!("{:?} is no name: {e}", field.value), None);
            return None;
        }
    };
    if let Some(expected) = expected
        && expected != name.as_str()
    {
        let message = format!("{:?} is not what the file is called", name.as_str());
        let hint = format!("write name = \"{expected}\", or rename the file to {name}.toml");
        log.add(field.at, KEY, message, Some(hint));
        return None;
    }
    Some(name)
}

fn postgres(raw: &RawPostgres, log: &Log<'_>) -> Option<Postgres> {
    let default = || "hybridrag".parse::<PgIdent>().ok();
    let database = parsed(raw.database.as_ref(), "postgres.database", log);
    let user = parsed(raw.user.as_ref(), "postgres.user", log);
    let memory = parsed(raw.memory.as_ref(), "postgres.memory", log);
    let image = parsed(raw.image.as_ref(), "postgres.image", log);
    Some(Postgres {
        database: database.ok()?.or_else(default)?,
        user: user.ok()?.or_else(default)?,
        memory: memory.ok()?,
        image: image.ok()?.unwrap_or_else(ImageRef::postgres),
    })
}

/// The listed endpoints; `None` when one was refused. No list is an empty one.
fn endpoints(raw: &RawEgress, log: &Log<'_>) -> Option<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    let mut good = true;
    for entry in raw.allow.iter().flat_map(|list| &list.value) {
        match entry.value.parse::<Endpoint>() {
            Ok(endpoint) if endpoints.contains(&endpoint) => {
                log.add(entry.at, "egress.allow", format!("{endpoint} is listed twice"), None);
                good = false;
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(e) => {
                // What looks like user:password@host is not repeated.
                let message = if entry.value.contains('@') {
                    "it holds a user name or a password; write host:port only".to_owned()
                } else {
                    format!("{:?}: {e}", entry.value)
                };
                log.add(entry.at, "egress.allow", message, None);
                good = false;
            }
        }
    }
    good.then_some(endpoints)
}

/// The mode's word, empty when the manifest has none; `None` when it was refused.
fn mode<'r>(raw: &'r RawEgress, log: &Log<'_>) -> Option<&'r str> {
    match raw.mode.as_ref().map(|m| (m.value.as_str(), m.at)) {
        None => Some(""),
        Some((mode @ ("none" | "allow" | "open"), _)) => Some(mode),
        Some((other, at)) => {
            let hint = "write \"none\", \"allow\" or \"open\"".to_owned();
            log.add(at, "egress.mode", format!("{other:?} is no mode"), Some(hint));
            None
        }
    }
}

fn egress(
    raw: &RawEgress,
    base_url: Option<&At<String>>,
    provider: &Provider,
    log: &Log<'_>,
) -> Option<Egress> {
    let listed = endpoints(raw, log);
    let remote = provider.kind.is_remote();
    let mode = match mode(raw, log)? {
        "" if remote || raw.allow.is_some() => "allow",
        "" => "none",
        mode => mode,
    };
    let mode_at = raw.mode.as_ref().map_or(0, |m| m.at);
    let listed = listed?;
    if mode != "allow" {
        if let Some(allow) = &raw.allow {
            let message = format!("a list means nothing with mode = \"{mode}\"");
            let hint = "remove the list, or write mode = \"allow\"".to_owned();
            log.add(allow.at, "egress.allow", message, Some(hint));
            return None;
        }
        if mode == "none" && remote {
            let message = format!("the provider {} could not be reached", provider.kind);
            let hint = "write mode = \"allow\", or kind = \"offline\" under [provider]".to_owned();
            log.add(mode_at, "egress.mode", message, Some(hint));
            return None;
        }
        return Some(if mode == "none" { Egress::None } else { Egress::Open });
    }
    let own = provider::endpoint(provider, base_url, log).ok()?;
    match (raw.allow.as_ref(), own) {
        (None, Some(own)) => Some(Egress::Allow(vec![own])),
        (Some(_), Some(own)) if !listed.contains(&own) => {
            let at = raw.allow.as_ref().map_or(0, |a| a.at);
            let message = format!("{own} is missing, so the provider could not be reached");
            log.add(at, "egress.allow", message, Some(format!("add \"{own}\"")));
            None
        }
        _ if listed.is_empty() => {
            let at = raw.allow.as_ref().map_or(mode_at, |a| a.at);
            let message = "nothing would be allowed: the list is empty";
            let hint = "name a host:port, or write mode = \"none\"".to_owned();
            log.add(at, "egress.allow", message, Some(hint));
            None
        }
        _ => Some(Egress::Allow(listed)),
    }
}

fn backup(raw: &RawBackup, log: &Log<'_>) -> Option<Backup> {
    let keep = number(raw.keep.as_ref(), "backup.keep", 1000, log);
    let recipient = parsed(raw.recipient.as_ref(), "backup.recipient", log);
    Some(Backup { keep: keep.ok()?.unwrap_or(Backup::KEEP), recipient: recipient.ok()? })
}

fn schedule(raw: &RawSchedule, log: &Log<'_>) -> Option<Schedule> {
    let ingest = parsed(raw.ingest.as_ref(), "schedule.ingest", log);
    let backup = parsed(raw.backup.as_ref(), "schedule.backup", log);
    let idle_stop = parsed(raw.idle_stop.as_ref(), "schedule.idle_stop", log);
    let notify = notify(raw.notify.as_ref(), log);
    Some(Schedule {
        ingest: ingest.ok()?,
        backup: backup.ok()?,
        idle_stop: idle_stop.ok()?,
        watch: raw.watch.as_ref().is_some_and(|w| w.value),
        notify: notify?,
    })
}

/// The command with its arguments; `None` when it was refused. Its program is one that a service
/// finds: an absolute path, or a name.
fn notify(raw: Option<&At<Vec<At<String>>>>, log: &Log<'_>) -> Option<Vec<Text>> {
    const KEY: &str = "schedule.notify";
    let Some(list) = raw else { return Some(Vec::new()) };
    let Some(program) = list.value.first() else {
        let hint = "name a program: notify = [\"notify-send\", \"HybridRAG\"]".to_owned();
        log.add(list.at, KEY, "the list is empty", Some(hint));
        return None;
    };
    let relative = program.value.contains('/') && !program.value.starts_with('/');
    if relative {
        let hint = "write the program's whole path, or its name alone".to_owned();
        log.add(program.at, KEY, "a service has no folder of yours to look in", Some(hint));
    }
    // An empty argument is one, too, but a text of ours has a character.
    let words: Vec<_> = list.value.iter().map(|word| parse_at::<Text>(word, KEY, log)).collect();
    let words = words.into_iter().collect::<Result<Vec<_>, ()>>().ok()?;
    (!relative).then_some(words)
}

/// The map that `[env]` becomes.
pub(super) type EnvMap = BTreeMap<crate::model::EnvName, Text>;
