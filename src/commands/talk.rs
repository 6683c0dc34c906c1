//! Verbs that hand this process over to another program: its streams and exit code are the
//! user's, and nothing of ours stands between.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Front;
use crate::cli::{Exec, One, Psql, Query};
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::model::{Instance, Name};
use crate::ops::ask::Answer;
use crate::ops::progress::Silent;
use crate::ops::{self, Ctx};

impl Front<'_> {
    /// The context of an operation that ends before anything needs telling.
    pub(super) fn quiet(&self) -> Ctx<'_> {
        Ctx { env: self.env, progress: &Silent, summary: self.summary }
    }
}

/// Becomes the program: comes back only when that cannot be done.
pub(super) fn become_program(program: &Cmd) -> Result<ExitCode> {
    Err(program.replace())
}

pub(super) async fn query(front: &Front<'_>, args: &Query) -> Result<ExitCode> {
    let several = args.all || !args.on.is_empty();
    let (name, text) = name_and_text(&args.words, several)?;
    let question = ops::engine::Question {
        text,
        mode: args.mode.as_str(),
        sources: args.sources,
        json: front.printer.json,
        context_only: args.context_only,
        // Elsewhere whole answers are of more use than early ones.
        stream: name.is_some() && front.env.stdout_tty && !front.printer.json && !args.context_only,
        top_k: None,
    };
    if let Some(name) = name {
        // With --sources it is refused below.
        if front.printer.json
            && !args.sources
            && let Some(instance) = ops::profile::foreign(front.quiet(), &name)?
        {
            return answer(front, &instance, question).await;
        }
        // Who gives up waiting stops the engine: an answer may be paid for by the word.
        let program =
            front.with(async |ctx| ops::engine::query(ctx, &name, question).await).await?;
        return Err(program.replace_attended());
    }
    let names =
        if args.all { ops::ask::everyone(front.quiet())? } else { distinct(args.on.clone()) };
    let answers = front.with(async |ctx| ops::ask::ask_all(ctx, &names, question).await).await?;
    if front.printer.json {
        front.printer.document(&document(&answers))?;
    } else {
        print(front, &answers, args.sources)?;
    }
    Ok(code(&answers))
}

/// The answer of an engine that is not ragpod's own, as a document; its exit code is passed on.
async fn answer(
    front: &Front<'_>,
    instance: &Instance,
    question: ops::engine::Question<'_>,
) -> Result<ExitCode> {
    let (answer, code, error) = ops::profile::answer(front.quiet(), instance, question).await?;
    match error {
        None => front.printer.document(&answer)?,
        Some(error) => front.printer.error(&error),
    }
    Ok(ExitCode::from(code))
}

/// The instance, where one is named, and the question.
fn name_and_text(words: &[String], several: bool) -> Result<(Option<Name>, &str)> {
    let quotes = "put the question into quotes: ragpod query NAME 'what is a pod?'";
    match words {
        [text] if several => Ok((None, text)),
        [_] => Err(Error::usage("the question is missing").hint(quotes)),
        [name, text] if !several => match name.parse() {
            Ok(name) => Ok((Some(name), text)),
            Err(e) => Err(Error::usage(format!("{name} is no instance's name"))
                .cause(format!("NAME: {e}"))
                .hint("see which instances there are: ragpod list")),
        },
        [..] if several => Err(Error::usage("with --on or --all there is a question and no name")
            .hint("put the question into quotes: ragpod query --all 'what did we decide?'")),
        [..] => Err(Error::usage("the question is more than one word of the shell's").hint(quotes)),
    }
}

/// Each name once, in the order given.
fn distinct(names: Vec<Name>) -> Vec<Name> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// `{"answers":[…]}`, with an `error` in the place of an answer that failed.
fn document(answers: &[(Name, Result<Answer>)]) -> Value {
    let one = |(name, answer): &(Name, Result<Answer>)| match answer {
        Ok(answer) => json!(answer),
        Err(e) => json!({ "instance": name, "error": e.to_json()["error"] }),
    };
    json!({ "answers": answers.iter().map(one).collect::<Vec<_>>() })
}

/// Each answer below its instance's name; who could not answer is told of at the end.
fn print(front: &Front<'_>, answers: &[(Name, Result<Answer>)], sources: bool) -> Result<()> {
    let mut text = String::new();
    for (name, answer) in answers {
        let Ok(answer) = answer else { continue };
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}== {name}\n{}\n", answer.answer));
        if sources {
            let none = if answer.sources.is_empty() { " none" } else { "" };
            text.push_str(&format!("\nSources:{none}\n"));
            for source in &answer.sources {
                text.push_str(&format!("  {:.2}  {}\n", source.score, source.path));
            }
        }
    }
    front.printer.data(&text)?;
    for error in answers.iter().filter_map(|(_, answer)| answer.as_ref().err()) {
        front.printer.error(error);
    }
    Ok(())
}

/// 0 when anybody answered, else why the first did not.
fn code(answers: &[(Name, Result<Answer>)]) -> ExitCode {
    match answers.iter().find_map(|(_, answer)| answer.as_ref().err()) {
        Some(error) if answers.iter().all(|(_, answer)| answer.is_err()) => {
            ExitCode::from(error.kind.exit_code())
        }
        _ => ExitCode::SUCCESS,
    }
}

pub(super) async fn interactive(front: &Front<'_>, args: &One) -> Result<ExitCode> {
    let program = front.with(async |ctx| ops::engine::interactive(ctx, &args.name).await).await?;
    become_program(&program)
}

pub(super) async fn exec(front: &Front<'_>, args: Exec) -> Result<ExitCode> {
    let streams = ops::engine::Streams { interactive: args.interactive, tty: args.tty };
    let part = args.service.part();
    let program = front
        .with(async |ctx| ops::engine::exec(ctx, &args.name, part, streams, args.command).await)
        .await?;
    become_program(&program)
}

pub(super) async fn psql(front: &Front<'_>, args: Psql) -> Result<ExitCode> {
    let program =
        front.with(async |ctx| ops::engine::psql(ctx, &args.name, args.args).await).await?;
    become_program(&program)
}
