//! `up`, `down`, `start`, `stop`, `restart`, `rm`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::Front;
use crate::cli::{Down, Remove, Up, Wait, WaitOptions, Which};
use crate::error::{Error, Kind, Result};
use crate::model::Name;
use crate::ops::down::Kept;
use crate::ops::lifecycle::Action;
use crate::ops::up::{Outcome, Start};
use crate::ops::{self, Ctx};
use crate::output::Printer;

impl From<&WaitOptions> for ops::Waiting {
    fn from(options: &WaitOptions) -> Self {
        Self { timeout: options.timeout, wait: !options.no_wait }
    }
}

/// How many instances are worked on at the same time: starting one is mostly waiting, for two
/// processors as for many.
fn at_once() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (2 * processors).min(8)
}

/// The named instances, or all: those with a manifest for `up`, those that are installed otherwise.
fn chosen(front: &Front<'_>, which: &Which, all: All) -> Result<Vec<Name>> {
    if !which.all {
        // A mistyped name is found before anything is done with the others.
        for name in &which.names {
            ops::manifests::require_known(front.env, name)?;
        }
        return Ok(which.names.clone());
    }
    let names = match all {
        All::Manifests => ops::manifests::names(front.env)?,
        All::Installed => ops::manifests::installed(front.env)?,
    };
    if names.is_empty() {
        front.printer.say(match all {
            All::Manifests => "there is no instance; make one: ragpod create NAME --source DIR",
            All::Installed => "no instance is installed; install and start them: ragpod up --all",
        });
    }
    Ok(names)
}

/// What `--all` means.
#[derive(Clone, Copy)]
enum All {
    Manifests,
    Installed,
}

/// Runs an operation on each instance, several at the same time; it gives a word for programs and a
/// sentence for people. One that fails does not keep the others from theirs: its error is printed,
/// and the last one decides the exit code. Ctrl-C ends all.
async fn each(
    front: &Front<'_>,
    names: &[Name],
    run: impl AsyncFn(Ctx<'_>, &Name) -> Result<(Value, String)> + Sync,
) -> Result<ExitCode> {
    let one = async |front: &Front<'_>, name: &Name| {
        front
            .with(async |ctx| {
                let (value, sentence) = run(ctx, name).await?;
                ctx.progress.done(&sentence);
                Ok(value)
            })
            .await
            .map_err(|e| e.about(name))
    };
    let results = match names {
        [name] => vec![one(front, name).await],
        _ => together(front, names, &one)?,
    };
    let mut last: Option<Error> = None;
    let mut done = Vec::new();
    for result in results {
        match result {
            Ok(value) => done.push(value),
            Err(error) => {
                if let Some(earlier) = last.replace(error) {
                    front.printer.error(&earlier);
                }
            }
        }
    }
    if front.printer.json && (!done.is_empty() || names.is_empty()) {
        front.printer.document(&json!({ "instances": done }))?;
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The results in the order of the names; those that were not begun because of a Ctrl-C are left
/// out. Operations call programs and wait for them, so each has a thread.
fn together(
    front: &Front<'_>,
    names: &[Name],
    run: &(impl AsyncFn(&Front<'_>, &Name) -> Result<Value> + Sync),
) -> Result<Vec<Result<Value>>> {
    // Bars of several instances would be one mess.
    let mut printer: Printer = front.printer.clone();
    printer.live = false;
    let front = Front { env: front.env, printer: &printer, summary: front.summary };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let cannot = |e: std::io::Error| Error::failed("cannot begin").cause(e.to_string());
    let work = || -> Result<Vec<(usize, Result<Value>)>> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let mut results = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(index) else { break };
            let result = runtime.block_on(run(&front, name));
            if result.as_ref().is_err_and(|e| e.kind == Kind::Interrupted) {
                stop.store(true, Ordering::Relaxed);
            }
            results.push((index, result));
        }
        Ok(results)
    };
    let mut all = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..at_once().min(names.len())).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let died = |_| Error::failed("an operation ended without a result");
            all.extend(worker.join().map_err(died)??);
        }
        Ok(())
    })?;
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

pub(super) async fn up(front: &Front<'_>, args: &Up) -> Result<ExitCode> {
    let start = match (args.no_start, args.which.all) {
        (true, _) => Start::Nothing,
        // A hundred at once may be more than the machine can hold, and each comes when it is used.
        (false, true) => Start::NotAtRest,
        (false, false) => Start::All,
    };
    let waiting = ops::Waiting::from(&args.wait);
    let wish = ops::up::Wish { waiting, roll_back: !args.no_rollback, start };
    let names = chosen(front, &args.which, All::Manifests)?;
    each(front, &names, async |ctx, name| {
        let outcome = ops::up::up(ctx, name, &wish).await?;
        let restarted: Vec<&str> = match &outcome {
            Outcome::Changed(parts) => parts.iter().map(|p| p.label()).collect(),
            _ => Vec::new(),
        };
        let value = json!({ "name": name, "outcome": outcome.word(), "restarted": restarted });
        Ok((value, outcome.sentence(name)))
    })
    .await
}

pub(super) async fn down(front: &Front<'_>, args: &Down) -> Result<ExitCode> {
    let names = chosen(front, &args.which, All::Installed)?;
    if args.volumes {
        front.confirm(&deletion(&names, "the database and what the engine keeps"), args.yes)?;
    }
    each(front, &names, async |ctx, name| {
        ops::down::down(ctx, name, args.volumes).await?;
        let value = json!({ "name": name, "outcome": "down", "deleted": args.volumes });
        Ok((value, format!("{name} is down")))
    })
    .await
}

pub(super) async fn rm(front: &Front<'_>, args: &Remove) -> Result<ExitCode> {
    // Who is asked whether to delete it should know that it is there.
    for name in &args.names {
        ops::manifests::require_known(front.env, name)?;
    }
    if args.data {
        front.confirm(&deletion(&args.names, "all data and secrets"), args.yes)?;
    }
    each(front, &args.names, async |ctx, name| {
        let kept = ops::down::remove(ctx, name, args.data).await?;
        let sentence = match &kept {
            Kept::Data(manifest) => {
                let lies = manifest.as_ref().map(|m| format!(", its manifest in {m}"));
                format!(
                    "{name} is removed; its data and secrets stay{}; to delete them too: \
                     ragpod rm {name} --data",
                    lies.unwrap_or_default()
                )
            }
            Kept::Nothing => format!("{name} is removed, with its data and secrets"),
            Kept::Backups(dir) => {
                format!("{name} is removed, with its data and secrets; its backups stay in {dir}")
            }
        };
        let deleted = !matches!(kept, Kept::Data(_));
        Ok((json!({ "name": name, "outcome": "removed", "deleted": deleted }), sentence))
    })
    .await
}

fn deletion(names: &[Name], what: &str) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    format!("this deletes {what} of {}", names.join(", "))
}

pub(super) async fn start(front: &Front<'_>, args: &Wait) -> Result<ExitCode> {
    change(front, args, Action::Start).await
}

pub(super) async fn stop(front: &Front<'_>, args: &Wait) -> Result<ExitCode> {
    change(front, args, Action::Stop).await
}

pub(super) async fn restart(front: &Front<'_>, args: &Wait) -> Result<ExitCode> {
    change(front, args, Action::Restart).await
}

async fn change(front: &Front<'_>, args: &Wait, action: Action) -> Result<ExitCode> {
    let waiting = ops::Waiting::from(&args.wait);
    let names = chosen(front, &args.which, All::Installed)?;
    each(front, &names, async |ctx, name| {
        ops::lifecycle::change(ctx, name, action, waiting).await?;
        let (word, sentence) = match action {
            _ if !waiting.wait => ("queued", format!("{name}: queued")),
            Action::Start => ("running", format!("{name} is running")),
            Action::Stop => ("stopped", format!("{name} is stopped")),
            Action::Restart => ("running", format!("{name} is running again")),
        };
        Ok((json!({ "name": name, "outcome": word }), sentence))
    })
    .await
}
