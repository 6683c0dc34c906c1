//! `doctor`: what this host needs, with the cure of each fault, and the cures that need no root.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde::Serialize;

use super::{Ctx, Waiting, images, manifests, reload, units_lock, up};
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::host::{
    Check, Facts, NETWORK_DROP_IN, Published, Records, Remedy, Unfinished, checks, published_port,
    remedies,
};
use crate::install::{self, History, Intent, Lock, Scope, UnitDir};
use crate::model::{ImageKind, Name, Part};
use crate::podman::Podman;
use crate::systemd::Systemd;

/// How long a lock of another command is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// What was done about a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// The check that found it.
    pub id: &'static str,
    /// What was done, or tried.
    pub detail: String,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Runs every check; none of them changes anything.
pub async fn doctor(ctx: Ctx<'_>) -> Vec<Check> {
    checks(&facts(ctx).await)
}

/// Does what can be done without root about the faults that there are, then checks again. What was
/// done, what was tried in vain, and what the checks say now.
pub async fn fix(ctx: Ctx<'_>) -> (Vec<Mended>, Vec<Check>) {
    let found = remedies(&facts(ctx).await);
    let mut mended = Vec::new();
    for remedy in &found {
        ctx.progress.step(&format!("mending: {}", remedy.id()));
        let error = apply(ctx, remedy).await.err();
        mended.push(Mended {
            id: remedy.id(),
            detail: remedy.what(),
            error: error.map(|e| {
                let causes = e.causes.iter().filter_map(|cause| cause.lines().last());
                std::iter::once(e.message.as_str()).chain(causes).collect::<Vec<_>>().join("; ")
            }),
        });
    }
    (mended, doctor(ctx).await)
}

async fn facts(ctx: Ctx<'_>) -> Facts {
    let images = ImageKind::ALL.map(ImageKind::image);
    Facts::gather(ctx.env, &Podman::new(), &images, records(ctx).await).await
}

/// The names of all that there is something of: manifests, units, state.
fn names(ctx: Ctx<'_>) -> Vec<Name> {
    let state = ctx.env.state();
    let remembered = state.read_dir_utf8().into_iter().flatten().flatten();
    let mut names: Vec<Name> = remembered.filter_map(|e| e.file_name().parse().ok()).collect();
    names.extend(manifests::names(ctx.env).unwrap_or_default());
    names.sort();
    names.dedup();
    names
}

/// What killed commands left of an instance.
fn left(ctx: Ctx<'_>, name: &Name) -> Vec<camino::Utf8PathBuf> {
    let known = manifests::exists(ctx.env, name)
        || UnitDir::new(ctx.env).parts_of(name).is_ok_and(|parts| !parts.is_empty());
    install::leftovers(&ctx.env.state(), name, known).paths()
}

/// What ragpod itself has on this host. What cannot be read here is told by other checks.
async fn records(ctx: Ctx<'_>) -> Records {
    let state = ctx.env.state();
    let units = UnitDir::new(ctx.env);
    let mut records = Records { units: units.path().to_owned(), ..Records::default() };
    for name in names(ctx) {
        if let Ok(instance) = manifests::load(ctx.env, &name) {
            records.sources.extend(instance.sources.into_iter().map(|source| source.path));
        }
        let held = Lock::is_held(&state, &Scope::Instance(name.clone()));
        if let Ok(Some(intent)) = Intent::load(&state, &name)
            && !held
        {
            let (doing, redo) = (intent.doing, intent.redo);
            records.unfinished.push(Unfinished { name: name.clone(), doing, redo });
        }
        records.leftovers.extend(left(ctx, &name));
        records.dated.push(manifests::path(ctx.env, &name));
        records.dated.push(install::State::dir(&state, &name).join("state.json"));
    }
    records.sources.sort();
    records.sources.dedup();
    records.leftovers.extend(install::temporary(&ctx.env.manifests()));
    if !Lock::is_held(&state, &Scope::Units) {
        records.leftovers.extend(units.leftovers());
        let lock = state.join("units.lock");
        let named = std::fs::metadata(&lock).is_ok_and(|meta| meta.len() > 0);
        records.leftovers.extend(named.then_some(lock));
    }
    records.published = published(ctx, &units).await;
    records
}

async fn published(ctx: Ctx<'_>, units: &UnitDir) -> Vec<Published> {
    let found = units.values("PublishPort");
    if found.is_empty() {
        return Vec::new();
    }
    let running: Vec<Name> = match Systemd::connect(ctx.env).await {
        Ok(bus) => bus.units(&[Name::SERVICES]).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
    .into_iter()
    .filter(|unit| unit.active == "active")
    .filter_map(|unit| Part::of_service(&unit.name))
    .filter(|(_, part)| *part == Part::Pod)
    .map(|(name, _)| name)
    .collect();
    found
        .into_iter()
        .filter_map(|(file, value)| {
            let running = install::owner(&file).is_some_and(|name| running.contains(&name));
            Some(Published { port: published_port(&value)?, file, running })
        })
        .collect()
}

async fn apply(ctx: Ctx<'_>, remedy: &Remedy) -> Result<()> {
    match remedy {
        Remedy::Linger => {
            Cmd::new("loginctl").args(["--no-ask-password", "enable-linger"]).stdout().map(drop)
        }
        Remedy::Bus => {
            Cmd::new("systemctl").args(["--user", "start", "dbus.socket"]).stdout().map(drop)
        }
        Remedy::Folders(dirs) => dirs.iter().try_for_each(|dir| {
            let failed = |e: &std::io::Error| Error::io("make writable", dir, e);
            let mut mode = std::fs::metadata(dir).map_err(|e| failed(&e))?.permissions();
            mode.set_mode(mode.mode() | 0o700);
            std::fs::set_permissions(dir, mode).map_err(|e| failed(&e))
        }),
        Remedy::Migrate => {
            let podman = Podman::new();
            // It would stop them, and some may have been started since the facts were gathered.
            let running = podman.running()?;
            if running > 0 {
                return Err(Error::failed(format!("{running} containers run by now")));
            }
            podman.migrate()
        }
        Remedy::Images(missing) => {
            let of = |kind: &ImageKind| missing.contains(&kind.image());
            let kinds: Vec<ImageKind> = ImageKind::ALL.into_iter().filter(of).collect();
            images::build_all(ctx, &kinds, None)
        }
        Remedy::Network => network_drop_in(ctx).await,
        Remedy::Sweep => sweep(ctx),
        Remedy::Finish(names) => {
            for name in names {
                finish(ctx, name).await?;
            }
            Ok(())
        }
    }
}

/// Completes a change that was cut off, and does no more than that: what was stopped since stays so,
/// and a manifest that was changed since is for its owner to bring up.
async fn finish(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let state = ctx.env.state();
    // Somebody may have completed it since the facts were gathered.
    let Some(intent) = Intent::load(&state, name)? else { return Ok(()) };
    let history = History::load(&state, name)?;
    let begun = intent.to.and_then(|to| history.get(to)).and_then(|g| g.set.manifest.as_ref());
    if let Some(begun) = begun
        && *begun != manifests::load_with_text(ctx.env, name)?.1
    {
        return Err(Error::failed(format!("the manifest of {name} was changed since"))
            .hint(format!("see how: ragpod diff {name}"))
            .hint(format!("bring it up as it is now: ragpod up {name}")));
    }
    let start = if intent.start { up::Start::All } else { up::Start::Nothing };
    let wish = up::Wish { waiting: Waiting::default(), roll_back: true, start };
    up::up(ctx, name, &wish).await.map(drop)
}

async fn network_drop_in(ctx: Ctx<'_>) -> Result<()> {
    let (file, text) = NETWORK_DROP_IN;
    let path = ctx.env.config_home.join("systemd/user").join(file);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, &e))?;
    }
    install::atomic_write(&path, text.as_bytes(), 0o644)?;
    reload::reload(&Systemd::connect(ctx.env).await?).await
}

fn sweep(ctx: Ctx<'_>) -> Result<()> {
    let state = ctx.env.state();
    for name in names(ctx) {
        if left(ctx, &name).is_empty() {
            continue;
        }
        let scope = Scope::Instance(name.clone());
        let lock = Lock::take(&state, scope, ctx.summary, LOCK_WAIT, &mut |_| {})?;
        install::remove_leftovers(&state, &name, lock)?;
    }
    install::remove_temporary(&ctx.env.manifests())?;
    let units = UnitDir::new(ctx.env);
    if !units.leftovers().is_empty() {
        units.sweep(&units_lock(ctx)?)?;
    }
    install::forget_holder(&state)
}
