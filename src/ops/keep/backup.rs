//! `backup`: a running instance's database, its engine's volume and its manifest in one file.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;
use serde::Serialize;

use super::super::idle::{self, Ready};
use super::super::interruption::Interruption;
use super::super::{Ctx, gate, lifecycle, manifests};
use super::database::{self, Snapshot};
use super::{directory, lock, no_restore, volume};
use crate::archive::{
    self, DATABASE, Documents, Draft, ENGINE, FORMAT, FileName, GRAPHS, Index, LIST, MANIFEST,
    Recipient, SECRETS,
};
use crate::error::{Error, Result};
use crate::fault;
use crate::install::{Lasting, State, Uses, create_dirs, sweep, sync_dir, temporary_prefix};
use crate::model::{Instance, Name, Part, SecretKey};
use crate::output::human_bytes;
use crate::podman::Podman;
use crate::systemd::Systemd;

/// Where a backup goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The instance's own directory, in which only so many are kept; `None` asks the manifest.
    Kept(Option<u16>),
    /// This file; nothing else is touched.
    File(Utf8PathBuf),
    /// Standard output.
    Stdout,
}

/// What `backup` was asked for.
pub struct Wish {
    /// Where it goes.
    pub output: Output,
    /// Whether the secrets are to be in it, encrypted.
    pub secrets: bool,
    /// For whom; `None` asks the manifest.
    pub recipient: Option<Recipient>,
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The instance.
    pub instance: Name,
    /// The file; `None` on standard output.
    pub file: Option<Utf8PathBuf>,
    /// Its size in bytes.
    pub bytes: u64,
    /// When (RFC 3339).
    pub created: String,
    /// Rows of all tables.
    pub rows: u64,
    /// Documents by state, where the engine keeps `LightRAG`'s.
    pub documents: Option<Documents>,
    /// The keys of the secrets that are in it, encrypted.
    pub secrets: Vec<SecretKey>,
    /// Files of the engine's volume that hold a secret, and so are not in it.
    pub left_out: Vec<String>,
    /// Older backups that were removed.
    pub removed: Vec<Utf8PathBuf>,
}

/// Makes a backup. The instance goes on answering and ingesting; one that is stopped is started for
/// that time.
///
/// # Errors
/// [`NoInstance`](crate::error::Kind::NoInstance), [`NotRunning`](crate::error::Kind::NotRunning)
/// when it is not installed, [`Io`](crate::error::Kind::Io) for a full disk. Nothing of the backup is
/// left then.
pub async fn backup(ctx: Ctx<'_>, name: &Name, wish: &Wish) -> Result<Made> {
    let (instance, manifest) = manifests::load_with_text(ctx.env, name)?;
    let recipient = recipient(&instance, wish)?;
    let podman = Podman::new();
    podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    let _lock = lock(ctx, name).await?;
    no_restore(ctx, name)?;
    // It must not be stopped for being idle meanwhile; looks at who uses it see no use in this.
    let lasts = Uses::of(&ctx.env.state(), name).join(Lasting::Scheduled);
    // Whoever stops it for that in this moment keeps the gate closed.
    drop(gate::pass(ctx, name).await);
    let alive = lifecycle::alive(&bus, name).await?;
    let runs = [&alive.active, &alive.rising].iter().all(|p| p.contains(&Part::Postgres));
    let was = if runs { Was::Running } else { start(ctx, name).await? };
    let made = {
        let interruption = Interruption::heed("nothing of the backup is left", || {});
        let recipient = recipient.as_ref();
        interruption.rather(make(
            ctx,
            &podman,
            &instance,
            &manifest,
            (wish, recipient),
            &interruption,
        ))
    };
    drop(lasts);
    let stopped = match was {
        Was::Running => Ok(()),
        Was::AtRest(since) => idle::rest(ctx, name, Some(since)).await.map(drop),
        Was::Stopped(since) => lifecycle::stop_again(ctx, name, since).await,
    };
    if let Err(e) = stopped {
        ctx.progress.warn(&format!("{name} was started for its backup and is not stopped: {e}"));
    }
    made
}

/// How an instance was before its backup, and is to be afterwards.
enum Was {
    /// It ran, or somebody else was starting it.
    Running,
    /// Nobody used it, so it was stopped; it was woken at this time.
    AtRest(SystemTime),
    /// Its owner had stopped it; it was started by this time.
    Stopped(SystemTime),
}

async fn start(ctx: Ctx<'_>, name: &Name) -> Result<Was> {
    let (failed, why) = match idle::ready(ctx, name).await? {
        Ready::Woken(since) => return Ok(Was::AtRest(since)),
        Ready::Runs | Ready::Stopped => (false, "is stopped"),
        Ready::Failed(_) => (true, "has failed"),
    };
    let why = format!("{name} {why}: it is started for its backup");
    let started = lifecycle::have_run(ctx, name, Part::Postgres, &why).await?;
    // Its owner means one that has failed to run.
    Ok(started.filter(|_| !failed).map_or(Was::Running, Was::Stopped))
}

fn recipient(instance: &Instance, wish: &Wish) -> Result<Option<Recipient>> {
    if !wish.secrets {
        return Ok(None);
    }
    if let Some(recipient) = &wish.recipient {
        return Ok(Some(recipient.clone()));
    }
    let Some(recipient) = &instance.backup.recipient else {
        return Err(Error::usage("nobody is named whom the secrets are encrypted for")
            .hint("name a public key of age's: --with-secrets=age1…")
            .hint("or write recipient = \"age1…\" under [backup] in the manifest"));
    };
    recipient.as_str().parse().map(Some)
}

fn make(
    ctx: Ctx<'_>,
    podman: &Podman,
    instance: &Instance,
    manifest: &str,
    (wish, recipient): (&Wish, Option<&Recipient>),
    interruption: &Interruption,
) -> Result<Made> {
    let name = &instance.name;
    let dir = match &wish.output {
        Output::File(file) => match file.parent() {
            Some(parent) if !parent.as_str().is_empty() => parent.to_owned(),
            _ => ".".into(),
        },
        _ => directory(ctx, name),
    };
    if let Output::File(file) = &wish.output {
        if file.exists() && !file.is_file() {
            return Err(Error::usage(format!("{file} is there and is no file"))
                .hint("name another: -o FILE; standard output is -o -"));
        }
        if !dir.is_dir() {
            return Err(Error::usage(format!("there is no folder {dir}"))
                .hint(format!("make it: mkdir -p {dir}")));
        }
    } else {
        create_dirs(&dir, 0o700)?;
        sweep(&dir.join(name.as_str()))?;
    }
    let created = fault::now();
    let mut draft = Draft::new(&dir);
    let (index, secrets) =
        fill(ctx, podman, instance, manifest, recipient, (&mut draft, created), interruption)?;
    ctx.progress.step(&format!("{name}: writing the backup of {}", human_bytes(draft.bytes())));
    fault::point("staged");
    let heed = || interruption.check().map_err(|e| std::io::Error::other(e.message));
    let (file, bytes, index) = match &wish.output {
        Output::Stdout => {
            let index = draft.write(index, &mut std::io::stdout().lock(), &mut |_| heed())?;
            (None, 0, index)
        }
        Output::File(file) => {
            let (bytes, index) = put(draft, index, &dir, file, &heed)?;
            (Some(file.clone()), bytes, index)
        }
        Output::Kept(_) => {
            let file = dir.join(free(&dir, name, created).to_string());
            let (bytes, index) = put(draft, index, &dir, &file, &heed)?;
            (Some(file), bytes, index)
        }
    };
    fault::point("in-place");
    let mut removed = Vec::new();
    if let (Output::Kept(keep), Some(file)) = (&wish.output, &file) {
        let keep = usize::from(keep.unwrap_or(instance.backup.keep));
        if let Some(made) = FileName::of(name, file.file_name().unwrap_or_default()) {
            removed = archive::prune(&dir, name, &made, keep)?;
        }
    }
    Ok(Made {
        instance: name.clone(),
        file,
        bytes,
        created: index.created.clone(),
        rows: index.rows(),
        documents: index.documents,
        secrets,
        left_out: index.left_out,
        removed,
    })
}

/// A name that no backup has yet: two in one second would have the same.
fn free(dir: &Utf8Path, name: &Name, created: jiff::Timestamp) -> FileName {
    let mut at = created;
    loop {
        let file = FileName::new(name, at);
        if !dir.join(file.to_string()).exists() {
            return file;
        }
        let Ok(next) = at.checked_add(jiff::SignedDuration::from_secs(1)) else { return file };
        at = next;
    }
}

/// Writes the file under a temporary name, and gives it its own when all of it is on the disk.
/// Nothing of it is left when `heed`, which is asked now and then, fails.
fn put(
    draft: Draft,
    index: Index,
    dir: &Utf8Path,
    file: &Utf8Path,
    heed: &dyn Fn() -> std::io::Result<()>,
) -> Result<(u64, Index)> {
    let failed = |e: &std::io::Error| Error::io("write", file, e);
    // Swept by the instance's name where it is one of its own.
    let prefix = match file.file_name().and_then(|f| f.rsplit_once('-')) {
        _ if file.file_name().is_some_and(|f| f.starts_with('.')) => {
            format!("{}-", file.file_name().unwrap_or_default())
        }
        Some((name, _)) if dir.file_name() == Some(name) => temporary_prefix(&dir.join(name)),
        _ => temporary_prefix(file),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .map_err(|e| failed(&e))?;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
    let index = draft.write(index, &mut out, &mut |_| heed())?;
    out.flush().map_err(|e| failed(&e))?;
    drop(out);
    fault::point("written");
    heed().map_err(|e| failed(&e))?;
    temporary.as_file().sync_all().map_err(|e| failed(&e))?;
    let bytes = temporary.as_file().metadata().map_err(|e| failed(&e))?.len();
    temporary.persist(file).map_err(|e| failed(&e.error))?;
    sync_dir(dir)?;
    Ok((bytes, index))
}

/// Stages all members; gives what the index says of them, and the keys of the secrets in it.
fn fill(
    ctx: Ctx<'_>,
    podman: &Podman,
    instance: &Instance,
    manifest: &str,
    recipient: Option<&Recipient>,
    (draft, created): (&mut Draft, jiff::Timestamp),
    interruption: &Interruption,
) -> Result<(Index, Vec<SecretKey>)> {
    let name = &instance.name;
    draft.member(MANIFEST)?.add(manifest.as_bytes())?;
    draft.member(GRAPHS)?.add(database::GRAPHS.as_bytes())?;
    ctx.progress.step(&format!("{name}: dumping its database"));
    let snapshot = Snapshot::take(instance)?;
    fault::point("snapshot");
    let dump = draft.member(DATABASE)?;
    snapshot.dump(instance, &mut |piece| interruption.check().and_then(|()| dump.add(piece)))?;
    let list = database::list(name, dump)?;
    draft.member(LIST)?.add(list.as_bytes())?;
    let facts = &snapshot.facts;
    ctx.progress.step(&format!("{name}: packing its engine's volume"));
    let values = values(ctx, podman, name)?;
    let plain: Vec<SecretString> = values.values().cloned().collect();
    let left_out = volume::holders(name, &plain)?;
    for file in &left_out {
        let file = String::from_utf8_lossy(file);
        ctx.progress.warn(&format!("{file} on the engine's volume holds a secret: left out"));
    }
    let engine = draft.member(ENGINE)?;
    volume::pack(name, &left_out, &mut |piece| {
        interruption.check().and_then(|()| engine.add(piece))
    })?;
    let left_out = left_out.iter().map(|file| String::from_utf8_lossy(file).into_owned()).collect();
    let mut secrets = values;
    // Whoever restores gets a new one.
    secrets.remove(&SecretKey::postgres_password());
    if let Some(recipient) = recipient {
        draft.member(SECRETS)?.add(&archive::seal(&secrets, recipient)?)?;
    } else {
        secrets.clear();
    }
    let index = Index {
        format: FORMAT,
        ragpod: env!("CARGO_PKG_VERSION").to_owned(),
        created: created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        instance: name.to_string(),
        postgres: facts.server(instance),
        engine: facts.engine.clone(),
        tables: facts.tables.clone(),
        documents: facts.documents,
        left_out,
        members: BTreeMap::new(),
    };
    Ok((index, secrets.into_keys().collect()))
}

/// The secrets of an instance that are in use.
pub(super) fn values(
    ctx: Ctx<'_>,
    podman: &Podman,
    name: &Name,
) -> Result<BTreeMap<SecretKey, SecretString>> {
    let present = podman.secret_list(name)?;
    let state = State::load(&ctx.env.state(), name)?;
    let used: BTreeMap<String, SecretKey> = state
        .secrets
        .iter()
        .map(|(key, version)| (key.podman_name(name, *version), key.clone()))
        .filter(|(secret, _)| present.contains(secret))
        .collect();
    let found = podman.secret_values_of(used.keys().cloned())?;
    Ok(found.into_iter().filter_map(|s| Some((used.get(&s.name)?.clone(), s.value))).collect())
}
