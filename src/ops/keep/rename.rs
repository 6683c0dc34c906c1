//! `rename`: everything of an instance under another name.
//!
//! The name is in every unit, volume, container, network and secret, and Podman renames no volume.
//! So the data are copied with the instance stopped, the copy is started, and only when it is healthy
//! the old instance is removed. At each moment one of the two is complete.

use camino::Utf8PathBuf;

use super::super::{Ctx, Waiting, down, idle, lifecycle, manifests, secrets, units, up};
use super::copy::copy_secrets;
use super::{directory, no_restore, renamed, require_free, volume};
use crate::archive;
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::install::{Intent, Lock, Renaming, State, UnitDir, atomic_write};
use crate::model::{Name, Part};
use crate::podman::Podman;
use crate::systemd::{Action, Systemd};

/// What a rename works with. Both locks are held.
struct Job<'a> {
    ctx: Ctx<'a>,
    podman: Podman,
    bus: Systemd,
    old: &'a Name,
    new: &'a Name,
    waiting: Waiting,
    redo: String,
}

/// Renames an instance; gives whether it runs.
///
/// # Errors
/// What kept it from that. Then it is there under its old name, as it was; when the command is cut
/// off, the same command goes on.
pub async fn rename(ctx: Ctx<'_>, old: &Name, new: &Name, waiting: Waiting) -> Result<bool> {
    if old == new {
        return Err(Error::usage(format!("{old} has that name already"))
            .hint("name another: ragpod rename OLD NEW"));
    }
    let dir = ctx.env.state();
    let before = Renaming::load(&dir, new)?.filter(|r| r.from == old.as_str());
    if before.is_none() {
        manifests::require(ctx.env, old)?;
    }
    let podman = Podman::new();
    let version = podman.supported()?;
    let bus = Systemd::connect(ctx.env).await?;
    units::same_place(ctx, &bus).await?;
    let _locks = locks(ctx, old, new).await?;
    no_restore(ctx, old)?;
    let redo = format!("ragpod rename {old} {new}");
    let job = Job { ctx, podman, bus, old, new, waiting, redo };
    // Again: whoever held a lock may have changed it.
    let before = Renaming::load(&dir, new)?.filter(|r| r.from == old.as_str());
    let record = match before {
        Some(record) if record.copied && !manifests::exists(ctx.env, old) => record,
        Some(record)
            if record.copied
                && !job.is_used(old).await?
                && [None, record.stamp.clone()].contains(&volume::stamp(old)?) =>
        {
            record
        }
        before => {
            let copied = job.copy(before.as_ref()).await;
            if let Err(e) = copied {
                job.undo().await;
                if before.is_none() {
                    let _ = State::remove_if_bare(&dir, new);
                }
                return Err(e);
            }
            copied?
        }
    };
    if record.was_running || record.installed {
        let start = if record.was_running { up::Start::All } else { up::Start::Nothing };
        let wish = up::Wish { waiting, roll_back: false, start };
        let started = up::up_locked(ctx, &job.podman, version, &job.bus, new, &wish).await;
        if let Err(e) = started {
            if !matches!(e.kind, Kind::Interrupted | Kind::Host) && manifests::exists(ctx.env, old)
            {
                job.undo().await;
                return Err(e.cause(format!("{old} is as it was before")));
            }
            return Err(e.hint(format!("go on: {}", job.redo)));
        }
        if !record.was_running && !record.at_rest {
            // Its owner had stopped it, and no use starts it.
            idle::disarm(ctx, new)?;
        }
        fault::point("renamed-runs");
    }
    job.remove_old().await?;
    Renaming::end(&dir, new)?;
    Ok(record.was_running)
}

/// In the order of the names, so that two renames do not wait for each other.
async fn locks(ctx: Ctx<'_>, old: &Name, new: &Name) -> Result<[Lock; 4]> {
    let (a, b) = if old < new { (old, new) } else { (new, old) };
    Ok([
        super::lock(ctx, a).await?,
        super::lock(ctx, b).await?,
        secrets::lock(ctx, a).await?,
        secrets::lock(ctx, b).await?,
    ])
}

impl Job<'_> {
    /// Whether something of an instance runs: after a rename was cut off, somebody started it again.
    async fn is_used(&self, name: &Name) -> Result<bool> {
        let active = lifecycle::alive(&self.bus, name).await?.active;
        Ok(active.iter().any(|part| part.is_running_service()))
    }

    /// All of it under the new name, with the old one stopped.
    async fn copy(&self, before: Option<&Renaming>) -> Result<Renaming> {
        let Job { ctx, podman, bus, old, new, .. } = self;
        let dir = ctx.env.state();
        let (instance, text) = manifests::load_with_text(ctx.env, old)?;
        up::check_mounts(&instance)?;
        let file = manifests::path(ctx.env, new);
        let text = renamed(*ctx, old, new, &text)?;
        if before.is_some() {
            if self.is_used(new).await? {
                return Err(Error::new(Kind::Exists, format!("{old} and {new} both run"))
                    .cause(format!("`{}` was cut off, and both were started since", self.redo))
                    .hint(format!(
                        "remove the one whose data you do not want: ragpod rm {new} --data"
                    )));
            }
            // It is begun anew, from what the old one has now.
            self.sweep()?;
        } else {
            require_free(*ctx, podman, new)?;
        }
        units::names_are_free(*ctx, bus, new, instance.parts()).await?;
        let running = self.is_used(old).await?;
        let rests = !running && idle::why_at_rest(*ctx, old, bus.manager_since().await?)?.is_some();
        let mut record = Renaming {
            from: old.to_string(),
            installed: !UnitDir::new(ctx.env).parts_of(old)?.is_empty()
                || before.is_some_and(|b| b.installed),
            at_rest: before.map_or(rests, |b| b.at_rest),
            was_running: running || before.is_some_and(|b| b.was_running),
            copied: false,
            stamp: None,
        };
        record.save(&dir, new)?;
        fault::point("renaming");
        let state = State::load(&dir, old)?;
        Intent {
            doing: ctx.summary.to_owned(),
            redo: self.redo.clone(),
            pid: std::process::id(),
            from: state.generation,
            was_healthy: true,
            was_running: record.was_running,
            start: record.was_running,
            to: state.generation,
        }
        .save(&dir, old)?;
        fault::point("intent");
        lifecycle::drive(*ctx, bus, old, &Part::ALL, Action::Stop, Waiting::default()).await?;
        fault::point("stopped");
        ctx.progress.step(&format!("copying the data of {old}"));
        for part in Part::ALL.into_iter().filter(|p| p.is_volume()) {
            let (from, to) = (part.podman_name(old), part.podman_name(new));
            if podman.exists("volume", &from)? {
                podman.volume_create(new, &to)?;
                volume::copy(&from, &to)?;
                fault::point("volume-copied");
            }
        }
        let mut copy = State { initialised: state.initialised.clone(), ..State::default() };
        copy_secrets(*ctx, podman, old, new, &mut copy, true)?;
        fault::point("secrets-copied");
        copy.save(&dir, new)?;
        atomic_write(&file, text.as_bytes(), 0o600)?;
        fault::point("manifest-written");
        record.copied = true;
        record.stamp = volume::stamp(old)?;
        record.save(&dir, new)?;
        fault::point("copied");
        Ok(record)
    }

    /// Nothing is there under the new name but the record.
    fn sweep(&self) -> Result<()> {
        let Job { ctx, podman, new, .. } = self;
        let file = manifests::path(ctx.env, new);
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &file, &e));
            }
            _ => {}
        }
        let volumes: Vec<String> =
            Part::ALL.into_iter().filter(|p| p.is_volume()).map(|p| p.podman_name(new)).collect();
        podman.volume_rm(&volumes)?;
        let secrets: Vec<String> = podman.secret_list(new)?.into_iter().collect();
        podman.secret_rm(&secrets)
    }

    /// The old instance as it was, and nothing under the new name. What went wrong before is what is
    /// told, so what goes wrong here is only warned of.
    async fn undo(&self) {
        let Job { ctx, podman, bus, old, new, waiting, .. } = self;
        let dir = ctx.env.state();
        let Ok(Some(record)) = Renaming::load(&dir, new) else { return };
        if record.from != old.as_str() {
            return;
        }
        let undone = async {
            if !UnitDir::new(ctx.env).parts_of(new)?.is_empty() {
                let redo = format!("ragpod rm {new} --data");
                down::remove_locked(*ctx, podman, bus, new, true, &redo).await?;
            }
            self.sweep()?;
            State::remove(&dir, new)?;
            if record.was_running {
                let parts = lifecycle::running(UnitDir::new(ctx.env).parts_of(old)?);
                lifecycle::drive(*ctx, bus, old, &parts, Action::Start, *waiting).await?;
            }
            Intent::end(&dir, old)
        };
        if let Err(e) = undone.await {
            ctx.progress.warn(&format!("{e}; to go back: ragpod up {old}; ragpod rm {new} --data"));
        }
    }

    /// The old instance goes; its backups go over to the new name.
    async fn remove_old(&self) -> Result<()> {
        let Job { ctx, podman, bus, old, new, redo, .. } = self;
        let (from, to) = (directory(*ctx, old), directory(*ctx, new));
        for file in archive::list(&from, old)? {
            crate::install::create_dirs(&to, 0o700)?;
            let (a, b): (Utf8PathBuf, Utf8PathBuf) =
                (from.join(file.to_string()), to.join(file.renamed(new).to_string()));
            std::fs::rename(&a, &b).map_err(|e| Error::io("rename", &a, &e))?;
        }
        // Whatever else lies there is the user's.
        let _ = crate::install::sweep(&from.join(old.as_str()));
        let _ = std::fs::remove_dir(&from);
        fault::point("backups-moved");
        let there = manifests::exists(ctx.env, old)
            || State::exists(&ctx.env.state(), old)
            || !UnitDir::new(ctx.env).parts_of(old)?.is_empty();
        if there {
            ctx.progress.step(&format!("removing {old}"));
            down::remove_locked(*ctx, podman, bus, old, true, redo).await?;
        }
        fault::point("old-removed");
        State::remove_if_bare(&ctx.env.state(), old)
    }
}
