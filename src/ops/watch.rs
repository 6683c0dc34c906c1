//! `watch`: ingests what changes in an instance's sources, soon after it changed.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use camino::Utf8PathBuf;

use super::{Ctx, idle, lifecycle, manifests};
use crate::error::{Error, Kind, Result};
use crate::exec::{Cmd, this_program};
use crate::fault;
use crate::install::{Run, State};
use crate::model::{Chore, Instance, Name, Part};
use crate::systemd::Systemd;
use crate::watch::{self, Changes, Watch};

/// How long nothing may change before it is ingested: an editor writes several times.
const QUIET: Duration = Duration::from_secs(3);
/// The longest that a change waits, when something changes all the time.
const LONGEST: Duration = Duration::from_secs(60);
/// When a change is tried again that could not be ingested.
const AGAIN: Duration = Duration::from_secs(300);
/// How often all is looked at when the kernel does not let all be watched.
const SLOW: Duration = Duration::from_secs(15 * 60);
/// So many files are named one by one; more are found quicker by looking at all.
const FEW: usize = 8;
/// What ragpod's own engine takes in where a source has no pattern.
const OWN: [&str; 4] = ["**/*.md", "**/*.txt", "**/*.rst", "**/*.adoc"];

/// Watches for ever.
///
/// # Errors
/// [`Kind::Manifest`] without a source, [`Kind::Host`] when nothing can be watched.
pub async fn watch(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let instance = manifests::load(ctx.env, name)?;
    if instance.sources.is_empty() {
        return Err(Error::new(Kind::Manifest, format!("{name} has no source to watch"))
            .hint("add to its manifest: [[source]] and path = \"~/some/folder\""));
    }
    let state = ctx.env.state();
    // What is older was taken in by an earlier watch.
    let stamp = State::dir(&state, name).join("watched");
    let since = std::fs::metadata(&stamp).and_then(|m| m.modified()).ok();
    let (mut tree, mut changes) = match Watch::new(roots(&instance)?, since) {
        Ok(watched) => watched,
        Err(e) => {
            let more = "sudo sysctl fs.inotify.max_user_instances=1024";
            record(ctx, name, format!("its sources cannot be watched: {e}; allow more: {more}"))?;
            return Err(Error::host(format!("the sources of {name} cannot be watched"))
                .cause(e.to_string())
                .hint(format!("allow more: {more}")));
        }
    };
    changes.unknown |= since.is_none();
    ctx.progress.done(&format!("watching {} folders of {name}", tree.folders()));
    for path in tree.missing() {
        ctx.progress.warn(&format!("{} is not there; waiting for it", path.display()));
    }
    Run::forget(&state, name, Chore::Watch)?;
    // When all is looked at next, as long as not all is watched.
    let mut look: Option<Instant> = None;
    // The last ingest failed because the instance did.
    let mut down = false;
    let mut first = (!changes.is_empty()).then(Instant::now);
    let mut last = first;
    let mut not_before: Option<Instant> = None;
    // The last ingest failed, and is tried once more.
    let mut again = false;
    loop {
        if look.is_none()
            && let Some(path) = tree.unwatched()
        {
            limited(ctx, &instance, path)?;
            look = Some(Instant::now() + SLOW);
        }
        let due = match (first, last) {
            (Some(first), Some(last)) => Some((last + QUIET).min(first + LONGEST)),
            _ => None,
        };
        let due = due.max(not_before.filter(|_| due.is_some()));
        let next = [due, look].into_iter().flatten().min();
        let most = next.map(|next| next.saturating_duration_since(Instant::now()));
        let more = if most == Some(Duration::ZERO) {
            Changes::default()
        } else {
            tree.wait(most).map_err(|e| {
                Error::failed(format!("watching the sources of {name} failed")).cause(e.to_string())
            })?
        };
        let now = Instant::now();
        if !more.is_empty() {
            changes.add(more);
            first.get_or_insert(now);
            last = Some(now);
        }
        if look.is_some_and(|look| now >= look) {
            tree.again();
            look = tree.unwatched().map(|_| now + SLOW);
            if look.is_none() {
                Run::forget(&state, name, Chore::Watch)?;
            }
            changes.unknown = true;
            first.get_or_insert(now);
            last.get_or_insert(now);
        }
        if due.is_none_or(|due| now < due) {
            continue;
        }
        if down && !runs(ctx, name).await? {
            // It was told once.
            not_before = Some(now + AGAIN);
            continue;
        }
        let at = SystemTime::now();
        let code = ingest(name, &changes)?;
        down = code != 0 && !runs(ctx, name).await?;
        if code == Kind::NotRunning.exit_code() || down {
            not_before = Some(now + AGAIN);
            continue;
        }
        again = code != 0 && !again;
        if again {
            // Once: what goes on failing is remembered and told, and tried again with the next change.
            not_before = Some(now + AGAIN);
            continue;
        }
        (first, last, not_before) = (None, None, None);
        if code == 0 {
            changes = Changes::default();
            note(&stamp, at);
        }
    }
}

/// Whether the engine runs, or the next ingest starts it.
async fn runs(ctx: Ctx<'_>, name: &Name) -> Result<bool> {
    let bus = Systemd::connect(ctx.env).await?;
    if lifecycle::alive(&bus, name).await?.active.contains(&Part::App) {
        return Ok(true);
    }
    Ok(idle::why_at_rest(ctx, name, bus.manager_since().await?)?.is_some())
}

/// Each source with the pattern of its files.
fn roots(instance: &Instance) -> Result<Vec<(PathBuf, globset::GlobSet)>> {
    let own = instance.engine.profile.commands().is_none();
    let mut roots = Vec::new();
    for source in &instance.sources {
        let set = match &source.pattern {
            Some(pattern) => watch::patterns([pattern.as_str()]),
            None if own => watch::patterns(OWN),
            None => watch::patterns(["**"]),
        };
        let set = set.map_err(|e| {
            Error::new(Kind::Manifest, format!("a pattern of {} cannot be read", instance.name))
                .cause(e)
        })?;
        roots.push((source.path.clone().into_std_path_buf(), set));
    }
    Ok(roots)
}

/// Ingests by a process of its own, so that this one stays small; gives its exit code.
fn ingest(name: &Name, changes: &Changes) -> Result<u8> {
    let named = changes.files.iter().filter(|file| file.exists());
    let files: Vec<Utf8PathBuf> =
        named.filter_map(|f| Utf8PathBuf::from_path_buf(f.clone()).ok()).collect();
    let few = !changes.unknown && files.len() == changes.files.len() && files.len() <= FEW;
    let mut cmd =
        Cmd::new(this_program()?).args(["scheduled", Chore::Ingest.label(), name.as_str()]);
    if few {
        for file in files {
            cmd = cmd.arg("--path").arg(file);
        }
    }
    cmd.status()
}

/// Remembers until when everything is taken in: what changes after that while nobody watches is
/// found by the next watch.
fn note(stamp: &camino::Utf8Path, at: SystemTime) {
    let file = std::fs::File::options().append(true).create(true).open(stamp);
    let _ = file.and_then(|file| file.set_modified(at));
}

/// Says, here and in `status`, that not all is watched.
fn limited(ctx: Ctx<'_>, instance: &Instance, first: &std::path::Path) -> Result<()> {
    let limit = watch::limit().map_or(String::new(), |n| format!(" of {n}"));
    let rest = match &instance.schedule.ingest {
        Some(when) => format!(", and by the clock ({when})"),
        None => String::new(),
    };
    let minutes = SLOW.as_secs() / 60;
    let reason = format!(
        "the limit{limit} watched folders is reached at {}; all is looked at every {minutes} \
         min{rest}; allow more: sudo sysctl fs.inotify.max_user_watches=1048576",
        first.display()
    );
    ctx.progress.warn(&reason);
    record(ctx, &instance.name, reason)
}

/// Remembers what keeps all from being watched, for `status`.
fn record(ctx: Ctx<'_>, name: &Name, reason: String) -> Result<()> {
    let run = Run { at: fault::now().to_string(), seconds: 0.0, failed: Some(reason) };
    run.save(&ctx.env.state(), name, Chore::Watch)
}
