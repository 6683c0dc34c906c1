//! Restored data take the place of what an instance has, or do not: whatever cuts it off, the one or
//! the other serves, whole.
//!
//! What decides is one transaction that gives two databases each other's place. Until then the old
//! data are in use, afterwards the new; what is left to do follows from which databases there are.

use super::super::interruption::Interruption;
use super::super::{Ctx, Waiting, databases, gate, lifecycle, manifests};
use super::{database, volume};
use crate::error::{Kind, Result};
use crate::fault;
use crate::install::{Intent, Restoring, State, UnitDir};
use crate::model::{Instance, Name, Part};
use crate::systemd::{Action, Systemd};

/// Notes that something is being restored beside the data of an instance.
pub(super) fn begin(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let record =
        Restoring { doing: ctx.summary.to_owned(), pid: std::process::id(), proved: false };
    record.save(&ctx.env.state(), name)
}

/// Nothing of it is there any more.
pub(super) fn abandon(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    databases::remove(name, database::RESTORING)?;
    volume::tidy(name)?;
    end(ctx, name)
}

/// What was replaced goes; nothing goes back to it from here on.
fn tidy(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let dir = ctx.env.state();
    if let Some(record) = Restoring::load(&dir, name)?.filter(|r| !r.proved) {
        // A full disk must not keep what fills it.
        let _ = Restoring { proved: true, ..record }.save(&dir, name);
    }
    fault::point("proved");
    volume::tidy(name)?;
    fault::point("volume-tidied");
    databases::remove(name, database::REPLACED)?;
    end(ctx, name)
}

/// The restore is over, and so is the change of the instance that it was.
fn end(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let dir = ctx.env.state();
    if let (Some(record), Some(intent)) = (Restoring::load(&dir, name)?, Intent::load(&dir, name)?)
        && (record.pid, record.doing) == (intent.pid, intent.doing)
    {
        Intent::end(&dir, name)?;
    }
    Restoring::end(&dir, name)
}

/// Before an instance is stopped: notes what a restore that was cut off has come to when its engine is
/// healthy with the new data, for afterwards nobody can see it. The instance's lock is held.
pub(in crate::ops) async fn prove(ctx: Ctx<'_>, bus: &Systemd, name: &Name) -> Result<()> {
    let dir = ctx.env.state();
    let Some(record) = Restoring::load(&dir, name)?.filter(|r| !r.proved) else { return Ok(()) };
    if is_healthy(bus, name).await?
        && databases::is_there(name, database::REPLACED)?
        && is_in_place(name)?
    {
        Restoring { proved: true, ..record }.save(&dir, name)?;
    }
    Ok(())
}

/// Whether the engine runs and stays.
async fn is_healthy(bus: &Systemd, name: &Name) -> Result<bool> {
    let units = bus.named(&[Part::App.service(name)]).await?;
    Ok(units.iter().any(|unit| unit.active == "active" && unit.job.is_none()))
}

/// Whether nothing on the volume is still to take the place of what is there.
fn is_in_place(name: &Name) -> Result<bool> {
    volume::is_staged(name).map(|staged| !staged)
}

/// What a restore that was cut off has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing, or nothing any more.
    Nothing,
    /// The new data are in use, and no engine has proved yet that it can be healthy with them.
    Unproved,
    /// The database does not run, and cannot be asked.
    Unknown,
}

/// Has an instance run by `start`, which can be called again, and settles a restore that was cut
/// off: before the engine starts its volume is made that of the database in use, and when it does
/// not become healthy with new data, it gets back those that it had. `waits`: `start` ends when the
/// engine is healthy. The instance's lock is held.
///
/// # Errors
/// Those of `start`.
pub(in crate::ops) async fn settle<T>(
    ctx: Ctx<'_>,
    bus: &Systemd,
    name: &Name,
    waits: bool,
    mut start: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut cut = mend(ctx, bus, name).await?;
    if cut == Cut::Unknown {
        // Perhaps it runs with what this brings.
        let done = start().await?;
        if !waits {
            return Ok(done);
        }
        cut = mend(ctx, bus, name).await?;
    }
    let done = start().await;
    if cut != Cut::Unproved || !waits {
        return done;
    }
    let healthy = lifecycle::alive(bus, name).await?.active.contains(&Part::App);
    match done {
        Ok(done) => {
            tidy(ctx, name)?;
            Ok(done)
        }
        Err(e) if e.kind == Kind::Unit && !healthy => {
            // They may have been in use since, and what was ingested then is nowhere else.
            let aside = format!("ragpod-set-aside-{}", fault::now().strftime("%Y%m%dt%H%M%S"));
            ctx.progress.warn(&format!(
                "the restored data of {name} cannot be used: {}; going back to those that it had; \
                 the restored database is kept as {aside}",
                e.message
            ));
            let instance = manifests::load(ctx.env, name)?;
            put_back(ctx, bus, &instance, &aside).await?;
            abandon(ctx, name)?;
            ctx.progress.warn(&format!(
                "when nothing in {aside} is needed: podman exec {} dropdb -U postgres {aside}",
                Part::Postgres.podman_name(name)
            ));
            start().await
        }
        Err(e) => Err(e),
    }
}

/// Makes the volume that of the database in use, with the engine away.
async fn mend(ctx: Ctx<'_>, bus: &Systemd, name: &Name) -> Result<Cut> {
    let Some(record) = Restoring::load(&ctx.env.state(), name)? else { return Ok(Cut::Nothing) };
    if !UnitDir::new(ctx.env).parts_of(name)?.contains(&Part::Postgres) {
        return Ok(Cut::Unknown);
    }
    let database = [Part::Postgres];
    match lifecycle::drive(ctx, bus, name, &database, Action::Start, Waiting::default()).await {
        Err(e) if e.kind == Kind::Unit => return Ok(Cut::Unknown),
        started => started?,
    }
    let (doing, pid) = (&record.doing, record.pid);
    if record.proved || databases::is_there(name, database::REPLACED)? {
        ctx.progress.warn(&format!(
            "`{doing}` (pid {pid}) was cut off when {name} had its new data; it is completed"
        ));
        let in_place = record.proved || is_in_place(name)?;
        if record.proved || (in_place && is_healthy(bus, name).await?) {
            tidy(ctx, name)?;
            return Ok(Cut::Nothing);
        }
        if !in_place {
            engine(ctx, bus, name, Action::Stop, Waiting::default()).await?;
            volume::forward(name)?;
        }
        return Ok(Cut::Unproved);
    }
    ctx.progress.warn(&format!(
        "`{doing}` (pid {pid}) was cut off; {name} has the data that it had before"
    ));
    if volume::is_exchanged(name)? {
        engine(ctx, bus, name, Action::Stop, Waiting::default()).await?;
        volume::back(name)?;
    }
    abandon(ctx, name)?;
    Ok(Cut::Nothing)
}

/// The restored data, which are complete and beside the old, are used from now on.
///
/// # Errors
/// What kept it from that. Then the old data are in use again, unless nobody knows how things stand:
/// then the next `up` sees to it.
pub(super) async fn change_over(
    ctx: Ctx<'_>,
    bus: &Systemd,
    instance: &Instance,
    waiting: Waiting,
    interruption: &Interruption,
) -> Result<()> {
    let name = &instance.name;
    let dir = ctx.env.state();
    let gate = gate::close_unless(ctx, name, waiting.timeout, &|| interruption.check());
    let gate = match gate.map_err(gate::patient) {
        Ok(gate) => gate,
        Err(e) => {
            let _ = abandon(ctx, name);
            return Err(e);
        }
    };
    ctx.progress.step(&format!("{name}: changing over to the restored data"));
    let generation = State::load(&dir, name)?.generation;
    let intent = Intent {
        doing: ctx.summary.to_owned(),
        redo: format!("ragpod up {name}"),
        pid: std::process::id(),
        from: generation,
        was_healthy: true,
        was_running: true,
        start: true,
        to: generation,
    };
    intent.save(&dir, name)?;
    fault::point("intent");
    let mut decided = Some(false);
    let done = forward(ctx, bus, instance, waiting, &mut decided).await;
    let Err(mut error) = done else {
        tidy(ctx, name)?;
        fault::point("tidied");
        Intent::end(&dir, name)?;
        drop(gate);
        return Ok(());
    };
    let Some(decided) = decided.filter(|_| !matches!(error.kind, Kind::Interrupted | Kind::Host))
    else {
        return Err(error.hint(format!("complete it, or go back: ragpod up {name}")));
    };
    ctx.progress.step(&format!("{name}: going back to the data that it had"));
    let back = back(ctx, bus, instance, decided).await;
    error.message = format!("the restored data cannot be used: {}", error.message);
    match back {
        Ok(()) => {
            Intent::end(&dir, name)?;
            Err(error.cause(format!("{name} has the data that it had before, and runs")))
        }
        Err(e) => Err(error
            .cause(format!("going back failed, too: {}", e.message))
            .hint(format!("go back: ragpod up {name}"))),
    }
}

async fn forward(
    ctx: Ctx<'_>,
    bus: &Systemd,
    instance: &Instance,
    waiting: Waiting,
    decided: &mut Option<bool>,
) -> Result<()> {
    let name = &instance.name;
    let database = instance.postgres.database.as_str();
    engine(ctx, bus, name, Action::Stop, Waiting::default()).await?;
    fault::point("engine-stopped");
    let renamed =
        databases::rename(name, [database, database::REPLACED], [database::RESTORING, database]);
    if renamed.is_err() {
        // The one who told it may have been cut off, and the server have done it all the same.
        *decided = databases::is_there(name, database::REPLACED).ok();
    }
    renamed?;
    *decided = Some(true);
    fault::point("database-exchanged");
    volume::forward(name)?;
    fault::point("volume-exchanged");
    engine(ctx, bus, name, Action::Start, waiting).await
}

async fn back(ctx: Ctx<'_>, bus: &Systemd, instance: &Instance, decided: bool) -> Result<()> {
    if decided {
        put_back(ctx, bus, instance, database::RESTORING).await?;
    }
    engine(ctx, bus, &instance.name, Action::Start, Waiting::default()).await?;
    abandon(ctx, &instance.name)
}

/// The data that the instance had are those in use again, and the database that was in use has this
/// name; the engine is away.
async fn put_back(ctx: Ctx<'_>, bus: &Systemd, instance: &Instance, aside: &str) -> Result<()> {
    let name = &instance.name;
    let database = instance.postgres.database.as_str();
    engine(ctx, bus, name, Action::Stop, Waiting::default()).await?;
    databases::rename(name, [database, aside], [database::REPLACED, database])?;
    fault::point("database-put-back");
    volume::back(name)
}

async fn engine(
    ctx: Ctx<'_>,
    bus: &Systemd,
    name: &Name,
    action: Action,
    waiting: Waiting,
) -> Result<()> {
    lifecycle::drive(ctx, bus, name, &[Part::App], action, waiting).await
}
