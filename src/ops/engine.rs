//! What goes through `podman exec` into an instance's containers: set-up, ingest, questions,
//! commands.
//!
//! An engine's exit code is not believed where the database can be asked: the summary of an
//! ingest comes from `lightrag_doc_status`.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ctx, gate, manifests};
use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::model::{FIRST_SOURCE, Instance, MORE_SOURCES, Name, Part};
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
fn engine(name: &Name, streams: Streams, args: impl IntoIterator<Item = String>) -> Cmd {
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

impl From<Streams> for ExecOptions {
    fn from(streams: Streams) -> Self {
        Self { interactive: streams.interactive, tty: streams.tty, ..Self::default() }
    }
}

/// A question for an instance.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its text.
    pub text: &'a str,
    /// How to search: the engine's word.
    pub mode: &'a str,
    /// List the passages.
    pub sources: bool,
    /// Answer as one JSON document.
    pub json: bool,
}

/// The command that answers a question on its standard output.
///
/// # Errors
/// [`Kind::Usage`] for a question of fewer than three characters, which LightRAG refuses;
/// [`Kind::NotRunning`] and [`Kind::NoInstance`] when there is nobody to ask.
pub async fn query(ctx: Ctx<'_>, name: &Name, question: Question<'_>) -> Result<Cmd> {
    let text = question.text.trim();
    if text.chars().count() < 3 {
        let what =
            if text.is_empty() { "the question is empty" } else { "the question is too short" };
        return Err(Error::usage(what)
            .hint(format!("ask in at least three characters: ragpod query {name} 'what is …?'")));
    }
    // Open until this process becomes the other one.
    std::mem::forget(gate::pass(ctx, name));
    require_running(ctx, name, Part::App).await?;
    // `--text=…`: a question that begins with a dash is still one for the engine.
    let mut args =
        vec!["query".into(), format!("--text={text}"), "--mode".into(), question.mode.into()];
    args.extend(question.sources.then(|| "--sources".into()));
    args.extend(question.json.then(|| "--json".into()));
    Ok(engine(name, Streams::default(), args))
}

/// The command that asks questions at a prompt.
pub async fn interactive(ctx: Ctx<'_>, name: &Name) -> Result<Cmd> {
    require_running(ctx, name, Part::App).await?;
    let streams = Streams { interactive: true, tty: ctx.env.stdin_tty && ctx.env.stdout_tty };
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
    require_running(ctx, name, part).await?;
    Ok(Podman::new().exec(&part.podman_name(name), &streams.into(), argv))
}

/// `psql` on the instance's database, as the role that owns it.
pub async fn psql(ctx: Ctx<'_>, name: &Name, args: Vec<String>) -> Result<Cmd> {
    let instance = manifests::load(ctx.env, name)?;
    require_running(ctx, name, Part::Postgres).await?;
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
    let args = ["backend", "init", "--backend", "postgres"].map(str::to_owned);
    engine(name, Streams::default(), args).stdout().map_err(|mut e| {
        e.message = format!("the engine of {name} could not set up its database");
        e
    })?;
    Ok(())
}

/// What to ingest.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Only these folders or files, on the host or in the container; all sources when empty.
    pub paths: &'a [Utf8PathBuf],
    /// Instead of the manifest's patterns.
    pub pattern: Option<&'a str>,
    /// Go into sub-folders.
    pub recursive: bool,
    /// Remove documents whose files are gone.
    pub prune: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What an ingest did, as the engine sums it up from the database.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The instance.
    #[serde(default)]
    pub instance: String,
    /// Files taken in for the first time.
    pub new: u64,
    /// Files whose new version replaced the old one.
    pub changed: u64,
    /// Files that are as they were.
    pub unchanged: u64,
    /// Documents removed because their file is gone.
    pub deleted: u64,
    /// Documents whose file is gone and that were kept.
    pub missing: u64,
    /// Files that no text could be read from, with why.
    #[serde(skip_deserializing)]
    pub skipped: Vec<Reason>,
    /// Files that could not be taken in, with why.
    pub failed: Vec<Reason>,
    /// The documents in the database afterwards.
    pub documents: super::status::Documents,
    /// How long it took.
    pub seconds: f64,
}

/// A file and what was the matter with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reason {
    /// Its path in the container.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Summary {
    fn add(&mut self, other: Summary) {
        self.new += other.new;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.deleted += other.deleted;
        self.missing += other.missing;
        self.failed.extend(other.failed);
        self.seconds += other.seconds;
        self.documents = other.documents;
    }

    /// For people.
    #[must_use]
    pub fn sentences(&self, dry_run: bool) -> String {
        let mut text = format!(
            "{}{}: {} new, {} changed, {} unchanged, {} removed in {:.1} s\n",
            if dry_run { "would ingest into " } else { "" },
            self.instance,
            self.new,
            self.changed,
            self.unchanged,
            self.deleted,
            self.seconds
        );
        for (what, files) in [("skipped", &self.skipped), ("failed", &self.failed)] {
            for Reason { path, reason } in files {
                text.push_str(&format!("{what}: {path}: {reason}\n"));
            }
        }
        if self.missing > 0 {
            text.push_str(&format!(
                "{} documents have no file any more; remove them: ragpod ingest {} --prune\n",
                self.missing, self.instance
            ));
        }
        text.push_str(&format!(
            "documents: {} processed, {} failed, {} pending\n",
            self.documents.processed, self.documents.failed, self.documents.pending
        ));
        text
    }
}

/// Ingests, telling progress; gives the summary and the engine's exit code.
pub async fn ingest(ctx: Ctx<'_>, name: &Name, wish: &Wish<'_>) -> Result<(Summary, u8)> {
    let instance = manifests::load(ctx.env, name)?;
    let rounds = rounds(&instance, wish, |p| to_container(&instance, p))?;
    let _through = gate::pass(ctx, name);
    require_running(ctx, name, Part::App).await?;
    let mut total = Summary::default();
    let mut code = 0;
    for mut args in rounds {
        ctx.progress.step(&format!("{name}: looking for files"));
        args.push("--json".into());
        let (mut summary, mut skipped) = (None, Vec::new());
        let (inner, error) = engine(name, Streams::default(), args).events(|line| {
            match serde_json::from_str::<Value>(line) {
                Ok(event) => heard(ctx, &event, &mut summary, &mut skipped),
                Err(_) => ctx.progress.output(line),
            }
        })?;
        total.skipped.append(&mut skipped);
        match (error, summary) {
            // That documents failed is in the summary, which counts more than an exit code.
            (_, Some(summary)) => total.add(summary),
            (None, None) => {
                return Err(Error::failed(format!("the engine of {name} did not say what it did"))
                    .hint(format!("see its log: ragpod logs {name} -n 50 app")));
            }
            (Some(mut e), None) => {
                e.message = format!("the ingest into {name} did not finish");
                return Err(e
                    .hint(format!("see the engine's log: ragpod logs {name} -n 50 app"))
                    .hint(format!("what was taken in stays; go on: ragpod ingest {name}")));
            }
        }
        code = code.max(inner);
    }
    name.as_str().clone_into(&mut total.instance);
    if !total.failed.is_empty() || total.documents.failed > 0 {
        code = code.max(1);
    }
    Ok((total, code))
}

/// One line of the engine's progress.
fn heard(ctx: Ctx<'_>, event: &Value, summary: &mut Option<Summary>, skipped: &mut Vec<Reason>) {
    let number = |key: &str| event[key].as_u64().unwrap_or(0);
    match event["event"].as_str() {
        Some("plan") => ctx.progress.step(&format!(
            "{} files: {} new, {} changed, {} unchanged",
            number("files"),
            number("new"),
            number("changed"),
            number("unchanged")
        )),
        Some("file") => {
            if event["status"] == "skipped" {
                skipped.extend(serde_json::from_value::<Reason>(event.clone()));
            }
            ctx.progress.advance(
                number("done"),
                number("total"),
                event["path"].as_str().unwrap_or_default(),
            );
        }
        Some("summary") => *summary = serde_json::from_value(event.clone()).ok(),
        _ => {}
    }
}

/// The engine's command line for each folder with a pattern of its own.
fn rounds(
    instance: &Instance,
    wish: &Wish<'_>,
    to_container: impl Fn(&Utf8Path) -> Result<(Utf8PathBuf, Option<String>)>,
) -> Result<Vec<Vec<String>>> {
    let places = if wish.paths.is_empty() {
        instance
            .sources
            .iter()
            .map(|s| (s.mount.clone(), s.pattern.as_ref().map(ToString::to_string)))
            .collect()
    } else {
        wish.paths.iter().map(|p| to_container(p)).collect::<Result<Vec<_>>>()?
    };
    if places.is_empty() {
        return Err(Error::new(
            Kind::Manifest,
            format!("{} has no source to ingest", instance.name),
        )
        .hint("add to its manifest: [[source]] and path = \"~/some/folder\""));
    }
    Ok(places
        .into_iter()
        .map(|(path, pattern)| {
            let mut args = vec!["ingest".to_owned(), "--path".into(), path.into_string()];
            args.push(if wish.recursive { "--recursive" } else { "--no-recursive" }.into());
            if let Some(pattern) = wish.pattern.map(ToOwned::to_owned).or(pattern) {
                args.push(format!("--pattern={pattern}"));
            }
            args.extend(["--backend".into(), "postgres".into()]);
            args.extend(wish.prune.then(|| "--prune".into()));
            args.extend(wish.dry_run.then(|| "--dry-run".into()));
            args
        })
        .collect())
}

/// Where the app container sees a path of the host, and the pattern of the source that it lies in.
/// A path that already is the container's is taken as it stands.
fn to_container(instance: &Instance, path: &Utf8Path) -> Result<(Utf8PathBuf, Option<String>)> {
    if path.starts_with(FIRST_SOURCE) || path.starts_with(MORE_SOURCES) {
        return Ok((path.to_owned(), None));
    }
    let absolute = path.canonicalize_utf8().map_err(|e| Error::io("find", path, &e))?;
    for source in &instance.sources {
        let root = source.path.canonicalize_utf8().unwrap_or_else(|_| source.path.clone());
        if let Ok(inner) = absolute.strip_prefix(&root) {
            let pattern = source.pattern.as_ref().map(ToString::to_string);
            let inside = if inner.as_str().is_empty() {
                source.mount.clone()
            } else {
                source.mount.join(inner)
            };
            return Ok((inside, pattern));
        }
    }
    Err(Error::usage(format!("{absolute} lies in no source of {}", instance.name)).hint(format!(
        "add its folder to the manifest as a [[source]], then: ragpod up {}",
        instance.name
    )))
}
