//! What goes through `podman exec` into an instance's containers: set-up, questions, commands.
//! Ingests, which are long, are in [`super::ingest`].

pub use super::ingest::{Planned, Prune, Reason, Summary, Wish, ingest};
use super::{Ctx, idle, manifests, profile};
use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::model::{Name, Part};
use crate::podman::{ExecOptions, Podman};
use crate::systemd::Systemd;

/// Fails unless the service of `part` runs and was found healthy: one call on the bus.
pub async fn require_running(ctx: Ctx<'_>, name: &Name, part: Part) -> Result<()> {
    let bus = Systemd::connect(ctx.env).await?;
    let service = part.service(name);
    let units = bus.named(&[&service]).await?;
    let active = units.first().map(|u| u.active.as_str());
    let label = part.label();
    match active {
        Some("active" | "reloading") => Ok(()),
        Some("activating") => {
            Err(Error::new(Kind::NotRunning, format!("{label} of {name} is still starting"))
                .hint(format!("wait for it: ragpod up {name}")))
        }
        _ if !manifests::exists(ctx.env, name) => Err(manifests::no_instance(ctx.env, name)),
        Some("failed") => {
            Err(Error::new(Kind::NotRunning, format!("{label} of {name} has failed"))
                .hint(format!("see why: ragpod logs {name} -n 50"))
                .hint(format!("start it: ragpod up {name}")))
        }
        _ => Err(Error::new(Kind::NotRunning, format!("{name} is not running"))
            .hint(format!("start it: ragpod up {name}"))),
    }
}

/// A command line of the engine, in the app container.
pub(super) fn engine(name: &Name, streams: Streams, args: impl IntoIterator<Item = String>) -> Cmd {
    let argv = ["python".to_owned(), "hybridrag.py".to_owned()].into_iter().chain(args);
    Podman::new().exec(&Part::App.podman_name(name), &streams.into(), argv)
}

/// Which of our streams a command in a container gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    /// Standard input stays open.
    pub interactive: bool,
    /// It gets a terminal.
    pub tty: bool,
}

/// Why ragpod's engine did not do something, and what it says to do about that: its own lines are
/// for people, and begin with `hybridrag: `.
pub(super) fn said(error: &Error) -> (Option<String>, Option<String>) {
    let mut lines = error
        .causes
        .iter()
        .flat_map(|cause| cause.lines())
        .filter_map(|line| line.strip_prefix("hybridrag: ").map(str::to_owned));
    (lines.next(), lines.next())
}

/// An engine's failure under a line of ours; what it says is the cause and the hint. That it was
/// asked for what it cannot do, such as vectors of another model than its index has, is wrong use.
pub(super) fn refused(message: String, code: u8, mut error: Error) -> Error {
    let (why, hint) = said(&error);
    if code == 2 {
        error.kind = Kind::Usage;
    }
    error.message = message;
    if let Some(why) = why {
        error.causes = vec![why];
    }
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Those of a command with `--stop-with-input`: when `podman exec` ends, however that comes, its
/// standard input inside ends too.
pub(super) const ATTENDED: Streams = Streams { interactive: true, tty: false };

impl From<Streams> for ExecOptions {
    fn from(streams: Streams) -> Self {
        Self { interactive: streams.interactive, tty: streams.tty, ..Self::default() }
    }
}

/// A question for an instance.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is an option of its own.
pub struct Question<'a> {
    /// Its text.
    pub text: &'a str,
    /// How to search: the engine's word.
    pub mode: &'a str,
    /// List the passages.
    pub sources: bool,
    /// Answer as one JSON document.
    pub json: bool,
    /// The passages instead of an answer: no language model is asked.
    pub context_only: bool,
    /// Print the answer as it is made.
    pub stream: bool,
    /// How many entities and passages to look at; `None` leaves it to the engine.
    pub top_k: Option<u16>,
}

/// The command that answers a question on its standard output. It stops with its standard input:
/// [`Cmd::replace_attended`].
///
/// # Errors
/// [`Kind::Usage`] for a question of fewer than three characters, which LightRAG refuses;
/// [`Kind::NotRunning`] and [`Kind::NoInstance`] when there is nobody to ask.
pub async fn query(ctx: Ctx<'_>, name: &Name, question: Question<'_>) -> Result<Cmd> {
    if let Some(instance) = profile::foreign(ctx, name)? {
        return profile::query(ctx, &instance, question).await;
    }
    let mut args = query_args(name, question)?;
    args.push("--stop-with-input".into());
    idle::begin_for_good(ctx, name, Part::App).await?;
    Ok(engine(name, ATTENDED, args))
}

/// The engine's command line for a question.
pub(super) fn query_args(name: &Name, question: Question<'_>) -> Result<Vec<String>> {
    let text = question.text.trim();
    if text.chars().count() < 3 {
        let what =
            if text.is_empty() { "the question is empty" } else { "the question is too short" };
        return Err(Error::usage(what)
            .hint(format!("ask in at least three characters: ragpod query {name} 'what is …?'")));
    }
    // `--text=…`: a question that begins with a dash is still one for the engine.
    let mut args =
        vec!["query".into(), format!("--text={text}"), "--mode".into(), question.mode.into()];
    args.extend(question.sources.then(|| "--sources".into()));
    args.extend(question.json.then(|| "--json".into()));
    args.extend(question.context_only.then(|| "--context-only".into()));
    args.extend(question.stream.then(|| "--stream".into()));
    args.extend(question.top_k.map(|k| format!("--top-k={k}")));
    Ok(args)
}

/// The command that asks questions at a prompt.
pub async fn interactive(ctx: Ctx<'_>, name: &Name) -> Result<Cmd> {
    let streams = Streams { interactive: true, tty: ctx.env.stdin_tty && ctx.env.stdout_tty };
    if let Some(instance) = profile::foreign(ctx, name)? {
        return profile::interactive(ctx, &instance, streams).await;
    }
    idle::begin_for_good(ctx, name, Part::App).await?;
    Ok(engine(name, streams, ["interactive".into()]))
}

/// A command of the user's in the container of a part.
pub async fn exec(
    ctx: Ctx<'_>,
    name: &Name,
    part: Part,
    streams: Streams,
    argv: Vec<String>,
) -> Result<Cmd> {
    if !part.is_container() {
        return Err(Error::usage(format!("{} is no container to run a command in", part.label()))
            .hint("pick one: --service app, --service postgres or --service egress"));
    }
    idle::begin_for_good(ctx, name, part).await?;
    Ok(Podman::new().exec(&part.podman_name(name), &streams.into(), argv))
}

/// `psql` on the instance's database, as the role that owns it.
pub async fn psql(ctx: Ctx<'_>, name: &Name, args: Vec<String>) -> Result<Cmd> {
    let instance = manifests::load(ctx.env, name)?;
    idle::begin_for_good(ctx, name, Part::Postgres).await?;
    let streams = Streams { interactive: true, tty: ctx.env.stdin_tty && ctx.env.stdout_tty };
    let argv =
        ["psql", "-U", instance.postgres.user.as_str(), "-d", instance.postgres.database.as_str()]
            .map(str::to_owned)
            .into_iter()
            .chain(args);
    Ok(Podman::new().exec(&Part::Postgres.podman_name(name), &streams.into(), argv))
}

/// Sets up an instance's database: role, extensions, schema; records model and dimension. Can be
/// run any number of times.
pub async fn init(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    manifests::require(ctx.env, name)?;
    require_running(ctx, name, Part::App).await?;
    ctx.progress.step(&format!("{name}: setting up the database"));
    // Extensions need the superuser, which only the database's own container can be.
    let postgres = Part::Postgres.podman_name(name);
    Podman::new()
        .exec(&postgres, &Streams::default().into(), ["ragpod-initdb".to_owned()])
        .stdout()?;
    if let Some(instance) = profile::foreign(ctx, name)? {
        return profile::init(ctx, &instance);
    }
    let args = ["backend", "init", "--backend", "postgres"].map(str::to_owned);
    let (code, error) = engine(name, Streams::default(), args).events(|_| {}).await?;
    error.map_or(Ok(()), |e| {
        Err(refused(format!("the engine of {name} could not set up its database"), code, e))
    })
}
