//! The database of an old deployment comes into an instance.
//!
//! Whatever the origin is, it becomes a server that is asked over its socket: the old one as it
//! runs, or one that is made for the moment, which reaches nothing and works on a copy. What it has
//! is looked at first. Then it fills a database beside the instance's own, which takes that one's
//! place when it is complete, and gives it back when the engine does not become healthy with it.

mod dump;
mod found;
mod load;
mod look;
mod origin;
mod server;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::interruption::Interruption;
use super::lifecycle::{self, Action};
use super::{Ctx, Waiting, databases, engine, gate, keep, manifests, profile, secrets};
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::model::{EnvName, Instance, Name, Part};
use crate::podman::Podman;
use crate::systemd::Systemd;
use found::{Model, Wanted};
use load::{Documents, FILLED, Target};
use look::{arrived, look, pick};
pub use origin::From;
use origin::Origin;
use server::{Server, aside_name};

/// What an import is to do.
#[derive(Debug)]
pub struct Wish {
    /// Where the old database is.
    pub from: From,
    /// Its name, where its server has several.
    pub database: Option<String>,
    /// An image with the version of PostgreSQL whose files are to be read.
    pub image: Option<String>,
    /// Replace the documents that the instance has.
    pub replace: bool,
}

/// What was brought over.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// The instance.
    pub name: Name,
    /// Where it came from: `container`, `dump` or `data directory`.
    pub origin: &'static str,
    /// How many documents came.
    pub documents: u64,
    /// Their passages.
    pub chunks: u64,
    /// What the graphs have.
    pub entities: u64,
    /// The edges between those.
    pub relations: u64,
    /// What did not come, or is not as before.
    pub notes: Vec<String>,
}

/// Fails unless an old database can be found there; nothing is changed.
pub fn check(ctx: Ctx<'_>, from: &From) -> Result<String> {
    origin::find(ctx, from, None).map(|origin| origin.sentence())
}

/// How many documents an import would replace.
pub async fn documents(ctx: Ctx<'_>, name: &Name) -> Result<u64> {
    let instance = manifests::load(ctx.env, name)?;
    engine::require_running(ctx, name, Part::Postgres).await?;
    Target { instance: &instance }.documents()
}

/// Brings an old database into an instance that runs.
///
/// # Errors
/// [`Kind::Usage`] when there is no old database, or the instance has documents and `replace` is not
/// given; [`Kind::Manifest`] when the index was made with other settings. The instance is then as
/// it was.
pub async fn import(ctx: Ctx<'_>, name: &Name, wish: &Wish) -> Result<Imported> {
    manifests::require(ctx.env, name)?;
    profile::own_only(ctx, name, "import", &format!("index the sources: ragpod ingest {name}"))?;
    let origin = origin::find(ctx, &wish.from, wish.image.as_deref())?;
    engine::require_running(ctx, name, Part::App).await?;
    engine::require_running(ctx, name, Part::Postgres).await?;
    let bus = Systemd::connect(ctx.env).await?;
    // Nothing else is restored or backed up meanwhile.
    let _backups = keep::lock(ctx, name).await?;
    let _lock = secrets::lock(ctx, name).await?;
    keep::no_restore(ctx, name)?;
    let instance = manifests::load(ctx.env, name)?;
    let target = Target { instance: &instance };
    if let Origin::Container { program: "podman", name: container, .. } = &origin
        && *container == Part::Postgres.podman_name(name)
    {
        return Err(Error::usage(format!("{container} is the database of {name} itself"))
            .hint("name the container of the old deployment"));
    }
    target.clear()?;
    let there = target.state()?;
    if there.documents > 0 && !wish.replace {
        let there = there.documents;
        return Err(Error::usage(format!("{name} has {there} documents, which would be replaced"))
            .hint(format!("if they are not needed: ragpod import {name} {} --yes", wish.from))
            .hint("or import into a new instance: ragpod create NAME --from-compose DIR --import-data"));
    }
    // Of an import that was cut off when it had changed over: what is asked to be replaced is the
    // data in use, so those before them are not needed either.
    target.forget()?;
    let watch = {
        let name = name.clone();
        Interruption::heed("nothing was imported", move || {
            let _ = Podman::new().aside_rm(&aside_name(&name));
            let _ = databases::remove(&name, FILLED);
        })
    };
    let result = watch.rather(bring(ctx, &bus, &target, &origin, (wish, &there), &watch).await);
    if result.is_err() {
        // The next import does it, if this cannot.
        let _ = target.clear();
    }
    result
}

async fn bring(
    ctx: Ctx<'_>,
    bus: &Systemd,
    target: &Target<'_>,
    origin: &Origin,
    (wish, there): (&Wish, &Documents),
    watch: &Interruption,
) -> Result<Imported> {
    let name = &target.instance.name;
    let wanted = wanted(target)?;
    ctx.progress.step(&format!("{name}: looking at {}", origin.sentence()));
    let image = target.instance.postgres.image.to_string();
    let server = Server::of(ctx, name, &image, origin, watch)?;
    watch.check()?;
    let database = pick(&server, origin, wish)?;
    let found = look(&|sql| server.psql(&database, sql))?;
    let mut plan = found::judge(&found, &wanted)?;
    target.prepare()?;
    fault::point("prepared");
    watch.check()?;
    ctx.progress.step(&format!("{name}: bringing over {} documents", plan.documents));
    target.fill(&server, &database, &found, &plan)?;
    fault::point("filled");
    watch.check()?;
    let arrived = arrived(target, &found, &plan)?;
    // A running one goes on changing; what was copied cannot.
    if matches!(origin, Origin::Container { .. }) {
        let now = look(&|sql| server.psql(&database, sql))?.documents;
        if now != arrived.documents {
            plan.notes.push(format!(
                "the old database went on changing: {} documents came, and it has {} now",
                arrived.documents.values().sum::<u64>(),
                now.values().sum::<u64>()
            ));
        }
    } else if arrived.documents != found.documents {
        return Err(Error::failed("not all documents arrived; nothing was changed")
            .hint("import a dump instead: pg_dump --format=custom --file=FILE DATABASE"));
    }
    drop(server);
    take_place(ctx, bus, target, there, watch).await?;
    Ok(Imported {
        name: name.clone(),
        origin: origin.kind(),
        documents: arrived.documents.get(&plan.workspace).copied().unwrap_or(0),
        chunks: arrived.chunks,
        entities: arrived.entities,
        relations: arrived.relations,
        notes: plan.notes,
    })
}

/// Exchanges the databases while the engine is away, and undoes it when the engine does not come
/// back with the new one. What is asked meanwhile waits.
///
/// # Errors
/// [`Kind::Failed`] also when there is something else now than when the import began: it would be
/// lost unseen.
async fn take_place(
    ctx: Ctx<'_>,
    bus: &Systemd,
    target: &Target<'_>,
    there: &Documents,
    watch: &Interruption,
) -> Result<()> {
    let name = &target.instance.name;
    let patience = Waiting::default().timeout;
    let _gate = gate::close_unless(ctx, name, patience, &|| watch.check())?;
    if target.state()? != *there {
        return Err(Error::failed(format!(
            "the documents of {name} changed while the old ones came; nothing was imported"
        ))
        .hint(format!("see what it has now: ragpod status {name}"))
        .hint("then, while nothing is ingested, the same command again"));
    }
    let drive = async |action| {
        lifecycle::drive(ctx, bus, name, &[Part::App], action, Waiting::default()).await
    };
    ctx.progress.step(&format!("{name}: the engine changes over"));
    let stopped = drive(Action::Stop).await;
    let swapped = match stopped {
        Ok(()) => target.swap(),
        Err(e) => Err(e),
    };
    if let Err(e) = swapped {
        // The one who told it may have been cut off, and the server have done it all the same.
        if target.is_swapped()? {
            target.swap_back()?;
        }
        drive(Action::Start).await?;
        return Err(e);
    }
    let healthy = match drive(Action::Start).await {
        Ok(()) => engine::init(ctx, name).await,
        Err(e) => Err(e),
    };
    let proved = fault::done("proved").map_err(|e| Error::failed(e.to_string()));
    let healthy = healthy.and(proved);
    if let Err(e) = healthy {
        ctx.progress.step(&format!("{name}: going back to what it had"));
        let _ = drive(Action::Stop).await;
        target.swap_back().map_err(|back| {
            e.clone().cause(format!("going back failed, too: {}", back.message)).hint(format!(
                "its own data are kept in the database ragpod-replaced-by-import: ragpod psql {name}"
            ))
        })?;
        drive(Action::Start).await?;
        return Err(e.hint(format!("index the sources anew: ragpod ingest {name}")));
    }
    target.forget()
}

/// What the instance's engine is set to, as it noted it itself.
fn wanted(target: &Target<'_>) -> Result<Wanted> {
    let instance = target.instance;
    let own = instance.postgres.database.as_str();
    let text = target.ask(own, "SELECT value FROM public.ragpod_state WHERE key = 'backend'")?;
    let model: Model = serde_json::from_str(text.trim()).map_err(|_| {
        Error::new(Kind::NotRunning, format!("the database of {} is not set up", instance.name))
            .hint(format!("set it up: ragpod init {}", instance.name))
    })?;
    Ok(Wanted { name: instance.name.clone(), workspace: workspace(instance), model })
}

fn workspace(instance: &Instance) -> String {
    let key = "WORKSPACE".parse::<EnvName>().ok();
    key.and_then(|key| instance.env.get(&key)).map_or("default".to_owned(), ToString::to_string)
}

/// The wish of `create --import-data[=SOURCE]`.
#[must_use]
pub fn wish(from_compose: Option<&Utf8PathBuf>, source: &str) -> Wish {
    let from = match from_compose {
        Some(place) if source.is_empty() => From::Compose(place.clone()),
        _ => From::Named(source.to_owned()),
    };
    Wish { from, database: None, image: None, replace: false }
}
