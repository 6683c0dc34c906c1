//! Ingests: which folders with which patterns, told as they go on, and stopped when asked.
//!
//! An engine's exit code is not believed where the database can be asked: the summary of an
//! ingest comes from `lightrag_doc_status`.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::{ATTENDED, engine, refused};
use super::places::places;
use super::{Ctx, idle, manifests, profile};
use crate::error::{Error, Kind, Result};
use crate::exec::{Heard, Interrupts};
use crate::install::Uses;
use crate::model::{Instance, Name, Part};

/// What to ingest.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Only these folders or files, on the host or in the container; all sources when empty.
    pub paths: &'a [Utf8PathBuf],
    /// Instead of the manifest's patterns.
    pub pattern: Option<&'a str>,
    /// Go into sub-folders.
    pub recursive: bool,
    /// What happens to documents whose files are gone.
    pub prune: Prune,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What happens to documents whose files are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// They stay.
    Nothing,
    /// They are removed, unless no file at all is left: a disk may not be mounted.
    Gone,
    /// They are removed.
    Everything,
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
    /// Places in the container with no file left in them, whose documents `--prune` has kept.
    #[serde(default)]
    pub unpruned: Vec<String>,
    /// Files that no text could be read from, with why.
    #[serde(skip_deserializing)]
    pub skipped: Vec<Reason>,
    /// Other files in the folders, which no pattern takes: how many, by the ending of their names.
    /// Hidden ones are not counted.
    #[serde(skip_deserializing)]
    pub unfit: BTreeMap<String, u64>,
    /// Files that could not be taken in, with why.
    pub failed: Vec<Reason>,
    /// The documents in the database afterwards.
    pub documents: super::status::Documents,
    /// How long it took.
    pub seconds: f64,
    /// It was asked to stop before it was through.
    #[serde(default)]
    pub interrupted: bool,
    /// What a dry run would take in.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Planned>,
    /// How many tokens of text that is, about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// A file that a dry run would take in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Planned {
    /// Its path in the container.
    pub path: String,
    /// `new` or `changed`.
    pub status: String,
    /// Its size.
    pub bytes: u64,
    /// Its text in tokens, about.
    pub tokens: u64,
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
        self.unpruned.extend(other.unpruned);
        self.failed.extend(other.failed);
        self.seconds += other.seconds;
        self.documents = other.documents;
        self.interrupted |= other.interrupted;
        if let Some(tokens) = other.tokens {
            *self.tokens.get_or_insert_default() += tokens;
        }
    }

    /// What no pattern takes, the most frequent endings first.
    fn unfit(&self) -> Option<String> {
        const TOLD: usize = 5;
        let mut endings: Vec<(&str, u64)> =
            self.unfit.iter().map(|(ending, count)| (ending.as_str(), *count)).collect();
        endings.sort_by_key(|(ending, count)| (std::cmp::Reverse(*count), *ending));
        let all: u64 = endings.iter().map(|(_, count)| count).sum();
        let told: Vec<String> = endings
            .iter()
            .take(TOLD)
            .map(|(ending, count)| match *ending {
                "" => format!("{count} without an ending"),
                ending => format!("{count} {ending}"),
            })
            .collect();
        let more = if endings.len() > TOLD { ", …" } else { "" };
        (all > 0).then(|| {
            format!(
                "not taken, for no pattern fits: {all} other files ({}{more})\n",
                told.join(", ")
            )
        })
    }

    /// For people.
    #[must_use]
    pub fn sentences(&self, dry_run: bool) -> String {
        let mut text = format!(
            "{}{}: {} new, {} changed, {} unchanged, {} removed{}{} in {:.1} s\n",
            if dry_run { "would ingest into " } else { "" },
            self.instance,
            self.new,
            self.changed,
            self.unchanged,
            self.deleted,
            counted(self.skipped.len(), "skipped"),
            counted(self.failed.len(), "failed"),
            self.seconds
        );
        for Planned { path, status, bytes, tokens } in &self.files {
            text.push_str(&format!("{status:<8} {bytes:>10} bytes {tokens:>9} tokens  {path}\n"));
        }
        if let Some(tokens) = self.tokens {
            let bytes: u64 = self.files.iter().map(|f| f.bytes).sum();
            text.push_str(&format!("in all: {bytes} bytes, about {tokens} tokens\n"));
        }
        for (what, files) in [("skipped", &self.skipped), ("failed", &self.failed)] {
            for Reason { path, reason } in files {
                text.push_str(&format!("{what}: {path}: {reason}\n"));
            }
        }
        if let Some(unfit) = self.unfit() {
            text.push_str(&unfit);
        }
        for place in &self.unpruned {
            text.push_str(&format!(
                "no file is left in {place}, so its documents stay: see whether the folder is there and \
                 mounted; if they are to go: ragpod ingest {} --path {place} --prune --yes\n",
                self.instance
            ));
        }
        if self.missing > 0 && self.unpruned.is_empty() {
            text.push_str(&format!(
                "{} documents have no file any more; remove them: ragpod ingest {} --prune\n",
                self.missing, self.instance
            ));
        }
        let elsewhere = self.documents.failed.saturating_sub(self.failed.len() as u64);
        if elsewhere > 0 {
            text.push_str(&format!(
                "{elsewhere} documents failed earlier, elsewhere; try all again: ragpod ingest {0}; \
                 forget those that no pattern takes any more: ragpod ingest {0} --prune\n",
                self.instance
            ));
        }
        text.push_str(&format!(
            "documents: {} processed, {} failed, {} pending\n",
            self.documents.processed, self.documents.failed, self.documents.pending
        ));
        if self.interrupted {
            text.push_str(&format!(
                "stopped; what is done stays, go on: ragpod ingest {}\n",
                self.instance
            ));
        }
        text
    }
}

/// `, 3 skipped`; nothing for none.
fn counted(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", {count} {what}") }
}

/// Ingests, telling progress; gives the summary and the engine's exit code.
///
/// Interrupted once, it stops after the documents that are being worked on, and the summary says so.
///
/// # Errors
/// [`Kind::Interrupted`] when it was interrupted twice: the engine then ends that by itself.
pub async fn ingest(ctx: Ctx<'_>, name: &Name, wish: &Wish<'_>) -> Result<(Summary, u8)> {
    let instead = format!("ingest by its own command: ragpod ingest {name}");
    profile::own_only(ctx, name, "ingest of this kind", &instead)?;
    let instance = manifests::load(ctx.env, name)?;
    rounds(ctx, &instance, wish)?;
    // Until here Ctrl-C ends us, also while the instance is woken or waited for.
    let _through = idle::begin(ctx, name, Part::App).await?;
    // What the instance does by itself waits meanwhile, instead of being refused by the engine.
    let _turn = Uses::of(&ctx.env.state(), name).turn();
    ingest_into(ctx, name, wish, &[], &mut Interrupts::listen()?).await
}

/// [`ingest`] into an instance that was found to run, with further arguments for the engine, stopped
/// by what somebody else listens to.
pub(super) async fn ingest_into(
    ctx: Ctx<'_>,
    name: &Name,
    wish: &Wish<'_>,
    more: &[&str],
    interrupts: &mut Interrupts,
) -> Result<(Summary, u8)> {
    let instance = manifests::load(ctx.env, name)?;
    let rounds = rounds(ctx, &instance, wish)?;
    let mut total = Summary::default();
    let mut code = 0;
    let mut rounds = rounds.into_iter().peekable();
    while let Some(mut args) = rounds.next() {
        ctx.progress.step(&format!("{name}: looking for files"));
        args.extend(["--json", "--stop-with-input"].iter().chain(more).map(ToString::to_string));
        let mut round = Round::default();
        let (inner, error) = engine(name, ATTENDED, args)
            .attended(interrupts, |heard| round.hear(ctx, heard))
            .await
            .map_err(|e| left(e, name))?;
        total.skipped.append(&mut round.skipped);
        total.files.append(&mut round.planned);
        for (ending, count) in round.unfit {
            *total.unfit.entry(ending).or_default() += count;
        }
        match (error, round.summary) {
            // That documents failed is in the summary, which counts more than an exit code.
            (_, Some(summary)) => total.add(summary),
            (None, None) => {
                return Err(Error::failed(format!("the engine of {name} did not say what it did"))
                    .hint(format!("see its log: ragpod logs {name} -n 50 app")));
            }
            (Some(e), None) if inner == 2 => {
                return Err(refused(format!("{name} does not ingest that"), inner, e));
            }
            (Some(e), None) => {
                return Err(refused(format!("the ingest into {name} did not finish"), inner, e)
                    .hint(format!("see the engine's log: ragpod logs {name} -n 50 app"))
                    .hint(format!("what was taken in stays; go on: ragpod ingest {name}")));
            }
        }
        code = code.max(inner);
        // It may have been asked to stop when this round had just ended.
        if rounds.peek().is_some() && interrupts.any() {
            total.interrupted = true;
            code = Kind::Interrupted.exit_code();
        }
        if total.interrupted {
            break;
        }
    }
    name.as_str().clone_into(&mut total.instance);
    // What failed some time ago is no failure of looking.
    if !wish.dry_run && (!total.failed.is_empty() || total.documents.failed > 0) {
        code = code.max(1);
    }
    Ok((total, code))
}

/// What to say of an ingest that nobody waits for.
pub(super) fn left(e: Error, name: &Name) -> Error {
    if e.kind != Kind::Interrupted {
        return e;
    }
    Error::new(Kind::Interrupted, format!("the ingest into {name} was not waited for"))
        .hint(format!("what was done stays; go on: ragpod ingest {name}"))
}

/// What one run of the engine's command tells.
#[derive(Default)]
struct Round {
    summary: Option<Summary>,
    skipped: Vec<Reason>,
    planned: Vec<Planned>,
    unfit: BTreeMap<String, u64>,
}

impl Round {
    fn hear(&mut self, ctx: Ctx<'_>, heard: Heard<'_>) {
        match heard {
            Heard::Line(line) => match serde_json::from_str::<Value>(line) {
                Ok(event) => self.event(ctx, &event),
                Err(_) => ctx.progress.output(line),
            },
            Heard::AskedToStop => ctx.progress.warn(
                "stopping after the documents that are being worked on; Ctrl-C again leaves at once",
            ),
        }
    }

    /// One line of the engine's progress.
    fn event(&mut self, ctx: Ctx<'_>, event: &Value) {
        let number = |key: &str| event[key].as_u64().unwrap_or(0);
        let path = event["path"].as_str().unwrap_or_default();
        match event["event"].as_str() {
            Some("plan") => {
                // An engine of an older image does not count them.
                self.unfit = serde_json::from_value(event["unfit"].clone()).unwrap_or_default();
                let skipped = usize::try_from(number("skipped")).unwrap_or(usize::MAX);
                ctx.progress.done(&format!(
                    "{} files: {} new, {} changed, {} unchanged{}",
                    number("files"),
                    number("new"),
                    number("changed"),
                    number("unchanged"),
                    counted(skipped, "skipped")
                ));
            }
            Some("file") => {
                match event["status"].as_str() {
                    Some("skipped") => {
                        self.skipped.extend(serde_json::from_value::<Reason>(event.clone()));
                    }
                    Some("new" | "changed") => {
                        self.planned.extend(serde_json::from_value::<Planned>(event.clone()));
                    }
                    _ => {}
                }
                ctx.progress.advance(number("done"), number("total"), path);
            }
            Some("stage") => {
                let stage = event["stage"].as_str().unwrap_or_default();
                let passages = match number("of") {
                    0 => String::new(),
                    of => format!(" {}/{of} passages", number("passages")),
                };
                let what = format!("{path}: {stage}{passages}");
                ctx.progress.at(number("done"), number("total"), &what);
            }
            Some("summary") => self.summary = serde_json::from_value(event.clone()).ok(),
            _ => {}
        }
    }
}

/// The engine's command line for each folder with a pattern of its own.
fn rounds(ctx: Ctx<'_>, instance: &Instance, wish: &Wish<'_>) -> Result<Vec<Vec<String>>> {
    let places = places(instance, &ctx.env.home, wish)?;
    Ok(places
        .into_iter()
        .map(|(path, pattern)| {
            let mut args = vec!["ingest".to_owned(), "--path".into(), path.into_string()];
            args.push(if wish.recursive { "--recursive" } else { "--no-recursive" }.into());
            if let Some(pattern) = pattern {
                args.push(format!("--pattern={pattern}"));
            }
            args.extend(["--backend".into(), "postgres".into()]);
            args.extend(match wish.prune {
                Prune::Nothing => None,
                Prune::Gone => Some("--prune".into()),
                Prune::Everything => Some("--prune-all".into()),
            });
            args.extend(wish.dry_run.then(|| "--dry-run".into()));
            args
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_pattern_takes_is_told_with_the_most_frequent_first() {
        let unfit = |all: &[(&str, u64)]| {
            let unfit = all.iter().map(|(ending, count)| ((*ending).to_owned(), *count)).collect();
            Summary { unfit, ..Summary::default() }.unfit()
        };
        assert_eq!(unfit(&[]), None);
        let told = unfit(&[("", 1), (".org", 12), (".pdf", 3)]).unwrap();
        assert!(
            told.ends_with(": 16 other files (12 .org, 3 .pdf, 1 without an ending)\n"),
            "{told}"
        );
        let many = [(".a", 1), (".b", 1), (".c", 1), (".d", 1), (".e", 1), (".f", 9)];
        let told = unfit(&many).unwrap();
        assert!(told.ends_with(": 14 other files (9 .f, 1 .a, 1 .b, 1 .c, 1 .d, …)\n"), "{told}");
    }
}
