//! `restore`: a backup into a new instance, or into one that there is.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::super::interruption::Interruption;
use super::super::{Ctx, Waiting, idle, lifecycle, manifests, secrets, up};
use super::{database, exchange, require_free, volume};
use crate::archive::{self, Archive, Documents, ENGINE, Index, MANIFEST, SECRETS};
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::install::{State, atomic_write, create_dirs};
use crate::manifest::{self, Problem, edit};
use crate::model::{Instance, Name, Part, SecretKey};
use crate::podman::Podman;
use crate::systemd::{Action, Systemd};

/// What `restore` was asked for.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// The backup.
    pub file: &'a Utf8Path,
    /// The file with the key that opens its secrets.
    pub identity: Option<&'a Utf8Path>,
    /// How long to wait for services, and for what the instance is doing to end.
    pub waiting: Waiting,
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The instance.
    pub instance: Name,
    /// When the backup was made (RFC 3339).
    pub backup: String,
    /// The instance that it was made of.
    pub of: String,
    /// Whether the instance was made for it.
    pub created: bool,
    /// Rows of all tables, as counted.
    pub rows: u64,
    /// Documents by state.
    pub documents: Option<Documents>,
}

/// Fails unless the file begins as a backup does; nothing is touched.
pub fn check(file: &Utf8Path) -> Result<()> {
    Archive::open(file).map(drop)
}

/// Restores a backup. Everything of it is read and checked before anything is touched; into an
/// instance that is there, it is restored beside the old data, counted, and then takes their place.
///
/// # Errors
/// What is wrong with the backup, or kept it from being restored: then the old data are in use.
pub async fn restore(ctx: Ctx<'_>, name: &Name, wish: Wish<'_>) -> Result<Restored> {
    let interruption = Interruption::heed("no data were replaced", || {});
    let archive = Archive::open(wish.file)?;
    ctx.progress.step(&format!("reading {}", wish.file));
    let size = archive.bytes();
    let index = archive.check(&mut |done| {
        ctx.progress.at(done, size, wish.file.as_str());
        interruption.check()
    })?;
    let values = open_secrets(&archive, wish)?;
    let podman = Podman::new();
    podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    // None of its backups is made or removed meanwhile, and nothing else is restored.
    let _backups = super::lock(ctx, name).await?;
    interruption.check()?;
    let created = !manifests::exists(ctx.env, name);
    if created {
        create(ctx, &podman, name, &archive).await?;
        fault::point("created");
    }
    let instance = manifests::load(ctx.env, name)?;
    let go_on = || format!("then go on: ragpod restore {name} {} --yes", wish.file);
    interruption.check().map_err(|e| e.hint(go_on()))?;
    store(ctx, &podman, &instance, &values, wish).await?;
    let active = lifecycle::alive(&bus, name).await?.active;
    if !(active.contains(&Part::Postgres) && active.contains(&Part::App)) {
        let up = up::Wish { waiting: wish.waiting, ..up::Wish::default() };
        up::up(ctx, name, &up).await.map_err(|e| e.hint(go_on()))?;
    }
    let _lock = secrets::lock(ctx, name).await?;
    let instance = manifests::load(ctx.env, name)?;
    let engine = [Part::App];
    let start =
        async || lifecycle::drive(ctx, &bus, name, &engine, Action::Start, wish.waiting).await;
    Box::pin(exchange::settle(ctx, &bus, name, true, start)).await?;
    // It must not be stopped for being idle meanwhile.
    let _session = idle::session(ctx, name);
    warn_of_model(ctx, &instance, &index);
    exchange::begin(ctx, name)?;
    fault::point("begun");
    let facts = beside(ctx, &instance, &archive, &index, &interruption);
    let facts = match interruption.rather(facts) {
        Ok(facts) => facts,
        Err(e) => {
            let _ = exchange::abandon(ctx, name);
            let what = if created { "and is empty" } else { "with the data that it had" };
            return Err(e.cause(format!("{name} is there {what}")));
        }
    };
    exchange::change_over(ctx, &bus, &instance, wish.waiting, &interruption).await?;
    Ok(Restored {
        instance: name.clone(),
        backup: index.created.clone(),
        of: index.instance.clone(),
        created,
        rows: facts.tables.values().sum(),
        documents: facts.documents,
    })
}

/// Everything of the backup beside what the instance has.
fn beside(
    ctx: Ctx<'_>,
    instance: &Instance,
    archive: &Archive,
    index: &Index,
    interruption: &Interruption,
) -> Result<database::Facts> {
    let name = &instance.name;
    let there = database::facts(name, instance.postgres.database.as_str())?;
    newer_server(archive.path(), index, there.major)?;
    ctx.progress.step(&format!(
        "{name}: restoring {} rows in {} tables",
        index.rows(),
        index.tables.len()
    ));
    let facts = database::restore(instance, archive, index, interruption)?;
    archive
        .member(ENGINE, |tar| volume::stage(name, &mut interruption.reading(tar)))?
        .ok_or_else(|| Error::failed(format!("{} has no {ENGINE}", archive.path())))?;
    fault::point("restored");
    interruption.check()?;
    Ok(facts)
}

/// A dump of a newer PostgreSQL may use what an older one does not know.
pub(super) fn newer_server(file: &Utf8Path, index: &Index, major: u32) -> Result<()> {
    let theirs = index.postgres.major;
    if theirs <= major {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{file} was made of PostgreSQL {theirs}, and here is PostgreSQL {major}"
    ))
    .hint(format!(
        "use an image with PostgreSQL {theirs}: `image` under [postgres] in the manifest"
    )))
}

/// The secrets of the backup; none without the key for them.
fn open_secrets(
    archive: &Archive,
    wish: Wish<'_>,
) -> Result<BTreeMap<SecretKey, secrecy::SecretString>> {
    let Some(file) = wish.identity else { return Ok(BTreeMap::new()) };
    let text = std::fs::read_to_string(file).map_err(|e| Error::io("read", file, &e))?;
    let keys = archive::read_identities(&text, file.as_str())?;
    let sealed = archive.small(SECRETS)?.ok_or_else(|| {
        Error::usage(format!("there are no secrets in {}", archive.path()))
            .hint("they are in a backup that was made with --with-secrets; leave out --identity")
    })?;
    archive::unseal(&sealed[..], &keys)
}

/// Stores the secrets of the backup that the instance has not.
async fn store(
    ctx: Ctx<'_>,
    podman: &Podman,
    instance: &Instance,
    values: &BTreeMap<SecretKey, secrecy::SecretString>,
    wish: Wish<'_>,
) -> Result<()> {
    let name = &instance.name;
    let dir = ctx.env.state();
    let _lock = secrets::lock(ctx, name).await?;
    let mut state = State::load(&dir, name)?;
    let present = podman.secret_list(name)?;
    let has = |state: &State, key: &SecretKey| {
        let version = state.secrets.get(key).copied().unwrap_or(1);
        present.contains(&key.podman_name(name, version))
    };
    for (key, value) in values {
        if *key != SecretKey::postgres_password() && !has(&state, key) {
            secrets::store(podman, &mut state, name, key, value)?;
            state.save(&dir, name)?;
        }
    }
    for key in instance.secret_keys() {
        if key != SecretKey::postgres_password() && !has(&state, &key) && !values.contains_key(&key)
        {
            return Err(Error::failed(format!("the secret {key} of {name} is not set"))
                .cause("secrets are in a backup only with --with-secrets, and for who has the key")
                .hint(format!("set it: ragpod secret set {name} {key} < FILE"))
                .hint(format!("then go on: ragpod restore {name} {} --yes", wish.file)));
        }
    }
    Ok(())
}

/// Makes the instance that the backup describes, under this name.
async fn create(ctx: Ctx<'_>, podman: &Podman, name: &Name, archive: &Archive) -> Result<()> {
    let state_dir = ctx.env.state();
    let _lock = secrets::lock(ctx, name).await?;
    let free = require_free(ctx, podman, name);
    let written = free.and_then(|()| write_manifest(ctx, name, archive));
    if written.is_err() {
        let _ = State::remove_if_bare(&state_dir, name);
    }
    written
}

fn write_manifest(ctx: Ctx<'_>, name: &Name, archive: &Archive) -> Result<()> {
    let file = manifests::path(ctx.env, name);
    let unfit = |causes: Vec<String>| {
        causes.into_iter().fold(
            Error::new(Kind::Failed, format!("the manifest in {} cannot be used", archive.path())),
            Error::cause,
        )
    };
    let text = archive
        .small(MANIFEST)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| edit::renamed(&text, name))
        .ok_or_else(|| unfit(vec!["it is no manifest".to_owned()]))?;
    let parse = |text: &str| -> Result<Instance> {
        manifest::parse(text, file.as_str(), &ctx.env.home)
            .map_err(|problems| unfit(problems.iter().map(Problem::to_string).collect()))
    };
    let instance = parse(&text)?;
    let stand_ins = stand_ins(ctx, &instance)?;
    let text = edit::with_sources(&text, |index, _| Some(stand_ins.get(&index)?.to_string()))
        .ok_or_else(|| unfit(vec!["it is no TOML".to_owned()]))?;
    parse(&text)?;
    let dir = ctx.env.manifests();
    create_dirs(&dir, 0o755)?;
    atomic_write(&file, text.as_bytes(), 0o600)?;
    ctx.progress.done(&format!("wrote {file}"));
    Ok(())
}

/// Empty folders for the sources that are not on this host, so that each of the others is mounted
/// where the documents say that their files lie.
fn stand_ins(ctx: Ctx<'_>, instance: &Instance) -> Result<BTreeMap<usize, Utf8PathBuf>> {
    let mut all = BTreeMap::new();
    for (index, source) in instance.sources.iter().enumerate() {
        if source.path.is_dir() {
            continue;
        }
        let dir = State::dir(&ctx.env.state(), &instance.name);
        let stand_in = dir.join("absent").join((index + 1).to_string());
        create_dirs(&stand_in, 0o755)?;
        ctx.progress.warn(&format!(
            "the source {} is not on this host; an empty folder stands for it until you correct \
             `path` in the manifest",
            source.path
        ));
        all.insert(index, stand_in);
    }
    Ok(all)
}

/// The vectors of one model mean nothing to another.
fn warn_of_model(ctx: Ctx<'_>, instance: &Instance, index: &Index) {
    let text = |key: &str| index.engine.as_ref()?.get(key)?.as_str().map(str::to_owned);
    let wanted = instance.provider.embedding_model.as_ref().map(ToString::to_string);
    if let (Some(theirs), Some(wanted)) = (text("embedding_model"), wanted)
        && theirs != wanted
    {
        ctx.progress.warn(&format!(
            "the backup was indexed with {theirs}, and the manifest names {wanted}: afterwards go \
             back to that model, or: ragpod reindex {}",
            instance.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_of_a_newer_server_is_refused_and_one_of_an_older_is_not() {
        let index = |major: u32| -> Index {
            serde_json::from_value(serde_json::json!({
                "format": 1, "ragpod": "0.1.0", "created": "2026-11-25T02:00:00Z", "instance": "a",
                "postgres": { "version": "x", "major": major, "extensions": {}, "database": "d",
                              "user": "u" },
                "engine": null, "tables": {}, "documents": null, "members": {},
            }))
            .unwrap()
        };
        let at = |major| newer_server(Utf8Path::new("f"), &index(major), 17);
        assert!(at(16).is_ok() && at(17).is_ok());
        assert!(at(18).unwrap_err().message.contains("PostgreSQL 18"));
    }
}
