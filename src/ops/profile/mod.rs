//! Engines that are not ragpod's own: their profile has a command line for what they can do. It is
//! run in the app container, its output is the answer, and its exit code is passed on.

mod documents;
mod ingest;

pub use ingest::{Ran, Run, ingest};

use std::time::Instant;

use serde::Serialize;

use super::ask::Answer;
use super::engine::{self, Question, Streams};
use super::{Ctx, idle, manifests};
use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::model::{Command, Instance, Name, Part, Slot};
use crate::podman::Podman;

/// The instance, when its engine is not ragpod's own. One without a manifest is taken for one of
/// ragpod's own: its units go on, and there is nothing to read its commands from.
pub fn foreign(ctx: Ctx<'_>, name: &Name) -> Result<Option<Instance>> {
    match manifests::load(ctx.env, name) {
        Ok(instance) => Ok(instance.engine.profile.commands().is_some().then_some(instance)),
        Err(e) if e.kind == Kind::NoInstance => Ok(None),
        Err(e) => Err(e),
    }
}

/// Fails when the engine is not ragpod's own, because only that one can do `what`.
pub(super) fn own_only(ctx: Ctx<'_>, name: &Name, what: &str, instead: &str) -> Result<()> {
    match foreign(ctx, name)? {
        None => Ok(()),
        Some(instance) => Err(cannot(&instance, what).hint(instead.to_owned())),
    }
}

fn cannot(instance: &Instance, what: &str) -> Error {
    let (name, profile) = (&instance.name, instance.engine.profile.as_str());
    Error::usage(format!("{name} has the engine profile \"{profile}\", which has no {what}"))
}

/// The command line of a profile's command, in the app container.
///
/// # Errors
/// [`Kind::Manifest`] with the key to add when the engine has no such command.
fn command(
    instance: &Instance,
    command: Command,
    streams: Streams,
    value: impl Fn(Slot) -> String,
) -> Result<Cmd> {
    let name = &instance.name;
    let argv = instance.engine.profile.commands().and_then(|commands| commands.get(command));
    let Some(argv) = argv else {
        let key = command.key();
        let message = format!("the engine of {name} has no command for {key}");
        let hint = format!(
            "add to its manifest, under [engine.commands]: {}; then: ragpod up {name}",
            command.example()
        );
        return Err(Error::new(Kind::Manifest, message).hint(hint));
    };
    Ok(Podman::new().exec(&Part::App.podman_name(name), &streams.into(), argv.fill(value)))
}

/// What a command without placeholders gives for one.
fn nothing(_: Slot) -> String {
    String::new()
}

/// The command that answers a question on its standard output.
///
/// # Errors
/// [`Kind::Usage`] for an empty question and for what only ragpod's own engine can do.
pub async fn query(ctx: Ctx<'_>, instance: &Instance, question: Question<'_>) -> Result<Cmd> {
    let cmd = asked(instance, question)?;
    let without = "ask without it: what is printed is what the engine's own command prints";
    if question.sources {
        return Err(cannot(instance, "--sources").hint(without));
    }
    idle::begin_for_good(ctx, &instance.name, Part::App).await?;
    Ok(cmd)
}

fn asked(instance: &Instance, question: Question<'_>) -> Result<Cmd> {
    if question.text.trim().is_empty() {
        return Err(Error::usage("the question is empty")
            .hint(format!("ask something: ragpod query {} 'what is …?'", instance.name)));
    }
    if question.context_only || question.top_k.is_some() {
        return Err(cannot(instance, "search for passages alone")
            .hint(format!("ask for an answer: ragpod query {} 'what is …?'", instance.name)));
    }
    command(instance, Command::Query, Streams::default(), |slot| match slot {
        Slot::Mode => question.mode.to_owned(),
        _ => question.text.to_owned(),
    })
}

/// Asks and takes the answer: what the engine's command prints, with its exit code and, where that
/// is not 0, what it said. Which files it rests on, only the engine knows.
pub async fn answer(
    ctx: Ctx<'_>,
    instance: &Instance,
    question: Question<'_>,
) -> Result<(Answer, u8, Option<Error>)> {
    let cmd = asked(instance, question)?;
    let _through = idle::begin(ctx, &instance.name, Part::App).await?;
    let mut lines = Vec::new();
    let (code, error) = cmd.events(|line| lines.push(line.to_owned())).await?;
    let answer = Answer {
        instance: instance.name.to_string(),
        mode: question.mode.to_owned(),
        answer: lines.join("\n"),
        sources: Vec::new(),
    };
    let error = error.map(|mut e| {
        e.message = format!("the engine of {} gave no answer (exit code {code})", instance.name);
        e.hint(format!("see its log: ragpod logs {} -n 50 app", instance.name))
    });
    Ok((answer, code, error))
}

/// The command that asks questions at a prompt.
pub(super) async fn interactive(
    ctx: Ctx<'_>,
    instance: &Instance,
    streams: Streams,
) -> Result<Cmd> {
    let cmd = command(instance, Command::Interactive, streams, nothing)?;
    idle::begin_for_good(ctx, &instance.name, Part::App).await?;
    Ok(cmd)
}

/// The engine's own server of the Model Context Protocol, on this process's standard streams.
/// `None` when it has none: ragpod's server then asks it through its other commands.
pub async fn mcp(ctx: Ctx<'_>, name: &Name) -> Result<Option<Cmd>> {
    let Some(instance) = foreign(ctx, name)? else { return Ok(None) };
    let streams = Streams { interactive: true, tty: false };
    let Ok(cmd) = command(&instance, Command::Mcp, streams, nothing) else { return Ok(None) };
    idle::begin_for_good(ctx, name, Part::App).await?;
    Ok(Some(cmd))
}

/// Runs the engine's own set-up, where it has one.
pub(super) fn init(ctx: Ctx<'_>, instance: &Instance) -> Result<()> {
    let name = &instance.name;
    let Ok(cmd) = command(instance, Command::Init, Streams::default(), nothing) else {
        ctx.progress.done(&format!(
            "{name}: the database has its role and extensions; its engine has no command for init"
        ));
        return Ok(());
    };
    cmd.lines(|line| ctx.progress.output(line)).map_err(|mut e| {
        e.message = format!("the engine of {name} could not set up its database");
        e.hint(format!("see its log: ragpod logs {name} -n 50 app"))
            .hint(format!("correct engine.commands.init, then: ragpod up {name}"))
    })
}

/// What the engine's own `status` said.
#[derive(Debug, Serialize)]
pub struct Said {
    /// Its exit code.
    pub exit_code: u8,
    /// What it printed.
    pub output: String,
    /// How long it took.
    pub seconds: f64,
}

/// Asks the engine how it is; `None` when it has no command for it, or does not run.
pub async fn status(ctx: Ctx<'_>, name: &Name) -> Result<Option<Said>> {
    let Ok(Some(instance)) = foreign(ctx, name) else { return Ok(None) };
    let Ok(cmd) = command(&instance, Command::Status, Streams::default(), nothing) else {
        return Ok(None);
    };
    if engine::require_running(ctx, name, Part::App).await.is_err() {
        return Ok(None);
    }
    let (since, mut output) = (Instant::now(), String::new());
    let mut line = |text: &str| {
        output.push_str(text);
        output.push('\n');
    };
    let (exit_code, error) = cmd.events(&mut line).await?;
    // Podman's own: the container went away meanwhile.
    if exit_code == 125 {
        return Ok(None);
    }
    for said in error.iter().flat_map(|error| &error.causes) {
        line(said);
    }
    Ok(Some(Said { exit_code, output, seconds: since.elapsed().as_secs_f64() }))
}
