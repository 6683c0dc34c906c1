//! Ingests by an engine that is not ragpod's own: its command once for each source.

use std::time::Instant;

use serde::Serialize;

use super::super::ingest::{Prune, Reason, Wish, left};
use super::super::places::places;
use super::super::status::Documents;
use super::super::{Ctx, engine, idle};
use super::{cannot, command, documents};
use crate::error::Result;
use crate::exec::{Heard, Interrupts};
use crate::model::{Command, Instance, Part, Profile, Slot};

/// What `{pattern}` stands for when neither the manifest nor the command line has one: a command's
/// arguments keep their places.
const EVERY_FILE: &str = "**/*";

/// How many of a command's last lines are kept.
const LAST_LINES: usize = 20;

/// What an engine's command did.
#[derive(Debug, Serialize)]
pub struct Ran {
    /// The instance.
    pub instance: String,
    /// Its engine's profile.
    pub profile: &'static str,
    /// The command, once for each source.
    pub runs: Vec<Run>,
    /// The documents in the database afterwards; `None` when the engine does not keep LightRAG's
    /// table of them.
    pub documents: Option<Documents>,
    /// Those that the database says have failed, with why.
    pub failed: Vec<Reason>,
    /// What else there is to know: what the engine could not be told, what the database contradicts.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

/// One run of the command.
#[derive(Debug, Serialize)]
pub struct Run {
    /// `{path}`.
    pub path: String,
    /// `{pattern}`.
    pub pattern: String,
    /// Its exit code.
    pub exit_code: u8,
    /// The last lines that it printed; of one that failed, what it said on standard error too.
    pub output: Vec<String>,
}

impl Ran {
    /// For people.
    #[must_use]
    pub fn sentences(&self) -> String {
        let mut text = String::new();
        for Run { path, exit_code, output, .. } in &self.runs {
            text.push_str(&format!("{path}: exit code {exit_code}\n"));
            for line in output {
                text.push_str(&format!("  {line}\n"));
            }
        }
        for Reason { path, reason } in &self.failed {
            text.push_str(&format!("failed: {path}: {reason}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        let name = &self.instance;
        match self.documents {
            Some(Documents { processed, failed, pending }) => text.push_str(&format!(
                "documents: {processed} processed, {failed} failed, {pending} pending\n"
            )),
            None => text.push_str(&format!(
                "{name}: what was taken in, only its engine knows: the database has no \
                 lightrag_doc_status\n"
            )),
        }
        if self.interrupted {
            text.push_str(&format!("stopped; go on: ragpod ingest {name}\n"));
        }
        text
    }
}

/// Runs the engine's command for each source, telling what it prints; the exit code is the highest
/// of its exit codes.
///
/// Interrupted once, the command gets the line `stop` on its standard input, and no other one is
/// begun. A second time, it is not waited for.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) for wishes that a command line has no place for.
pub async fn ingest(ctx: Ctx<'_>, instance: &Instance, wish: &Wish<'_>) -> Result<(Ran, u8)> {
    let name = &instance.name;
    for (wished, option) in [
        (wish.prune != Prune::Nothing, "--prune"),
        (wish.dry_run, "--dry-run"),
        (!wish.recursive, "--no-recursive"),
    ] {
        if wished {
            return Err(
                cannot(instance, option).hint(format!("ingest without it: ragpod ingest {name}"))
            );
        }
    }
    let places = places(instance, &ctx.env.home, wish)?;
    let wished: Vec<Option<String>> = places.iter().map(|(_, pattern)| pattern.clone()).collect();
    let streams = engine::ATTENDED;
    let commands = places
        .into_iter()
        .map(|(path, pattern)| {
            let pattern = pattern.unwrap_or_else(|| EVERY_FILE.to_owned());
            let cmd = command(instance, Command::Ingest, streams, |slot| match slot {
                Slot::Pattern => pattern.clone(),
                _ => path.to_string(),
            })?;
            Ok((path, pattern, cmd))
        })
        .collect::<Result<Vec<_>>>()?;
    let _through = idle::begin(ctx, name, Part::App).await?;
    let (since, mut runs, mut interrupted) = (Instant::now(), Vec::new(), false);
    let mut interrupts = Interrupts::listen()?;
    for (path, pattern, cmd) in commands {
        ctx.progress.step(&format!("{name}: its engine is ingesting {path}"));
        let mut output = Vec::new();
        let (exit_code, error) = cmd
            .attended(&mut interrupts, |heard| match heard {
                Heard::Line(line) => {
                    ctx.progress.output(line);
                    keep(&mut output, line);
                }
                Heard::AskedToStop => {
                    interrupted = true;
                    ctx.progress.warn("asked the engine to stop; Ctrl-C again leaves at once");
                }
            })
            .await
            .map_err(|e| left(e, name))?;
        for line in error.iter().flat_map(|e| &e.causes).flat_map(|cause| cause.lines()) {
            keep(&mut output, line);
        }
        runs.push(Run { path: path.into_string(), pattern, exit_code, output });
        interrupted |= interrupts.any();
        if interrupted {
            break;
        }
    }
    let counted = documents::count(instance);
    let mut notes = unheard(instance, &runs, &wished);
    if let Some(counted) = &counted {
        documents::publish(ctx, instance, counted.documents);
    }
    let mut code = runs.iter().map(|run| run.exit_code).max().unwrap_or(0);
    if instance.engine.profile == Profile::Hybridrag
        && let Some(doubt) = doubt(counted.as_ref().map(|c| c.documents))
    {
        notes.push(doubt);
        code = code.max(1);
    }
    let ran = Ran {
        instance: name.to_string(),
        profile: instance.engine.profile.as_str(),
        runs,
        documents: counted.as_ref().map(|c| c.documents),
        failed: counted.map(|c| c.failed).unwrap_or_default(),
        notes,
        seconds: since.elapsed().as_secs_f64(),
        interrupted,
    };
    // As a shell tells of a program that SIGINT ended.
    Ok((ran, if interrupted { code.max(130) } else { code }))
}

/// Patterns that the engine's command has no place for.
fn unheard(instance: &Instance, runs: &[Run], wished: &[Option<String>]) -> Vec<String> {
    let commands = instance.engine.profile.commands();
    if commands.and_then(|c| c.get(Command::Ingest)).is_none_or(|argv| argv.has(Slot::Pattern)) {
        return Vec::new();
    }
    let upstream = instance.engine.profile == Profile::Hybridrag;
    let takes = if upstream { "HybridRAG takes every .md file" } else { "it has no {pattern}" };
    runs.iter()
        .zip(wished)
        .filter_map(|(run, wished)| Some((&run.path, wished.as_ref()?)))
        .filter(|(_, pattern)| !(upstream && pattern.as_str() == "**/*.md"))
        .map(|(path, pattern)| format!("{path}: the engine was not told of {pattern}: {takes}"))
        .collect()
}

/// What the database has against upstream's word: its exit code is 0 whatever became of the files.
fn doubt(documents: Option<Documents>) -> Option<String> {
    match documents {
        None => Some("nothing is in PostgreSQL: HybridRAG made no table of documents".to_owned()),
        Some(Documents { failed: 0, pending: 0, processed }) if processed > 0 => None,
        Some(Documents { failed: 0, pending: 0, .. }) => {
            Some("nothing is in PostgreSQL, whatever HybridRAG says".to_owned())
        }
        Some(_) => Some("not every document is in PostgreSQL, whatever HybridRAG says".to_owned()),
    }
}

fn keep(output: &mut Vec<String>, line: &str) {
    output.push(line.to_owned());
    if output.len() > LAST_LINES {
        output.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_believed() {
        let of = |processed, failed, pending| {
            doubt(Some(Documents { processed, failed, pending })).is_some()
        };
        assert!(doubt(None).is_some());
        assert!(!of(3, 0, 0));
        for (processed, failed, pending) in [(0, 0, 0), (3, 1, 0), (3, 0, 1), (0, 3, 0)] {
            assert!(of(processed, failed, pending));
        }
    }

    #[test]
    fn a_pattern_that_is_not_passed_on_is_told() {
        let of = |engine: &str, pattern: Option<&str>| {
            let text = format!("[instance]\nname = 'a'\n[engine]\n{engine}");
            let instance = crate::manifest::parse(&text, "a.toml", "/home/user".into()).unwrap();
            let run = Run {
                path: "/data/projects".into(),
                pattern: String::new(),
                exit_code: 0,
                output: Vec::new(),
            };
            unheard(&instance, &[run], &[pattern.map(str::to_owned)])
        };
        let custom = |argv: &str| {
            format!("profile = 'custom'\nimage = 'localhost/a:1'\ncommands.ingest = {argv}\n")
        };
        let deaf = custom("['x', '{path}']");
        assert_eq!(of(&deaf, None).len(), 0);
        assert!(of(&deaf, Some("*.txt"))[0].contains("not told of *.txt"));
        assert_eq!(of(&custom("['x', '{path}', '{pattern}']"), Some("*.txt")).len(), 0);
        let upstream = "profile = 'hybridrag'\n[provider]\nkind = 'openai'\n\
                        llm_model = 'm'\nembedding_model = 'e'\napi_key = { secret = 'k' }\n";
        assert_eq!(of(upstream, Some("**/*.md")).len(), 0);
        assert!(of(upstream, Some("*.txt"))[0].contains("every .md file"));
    }
}
