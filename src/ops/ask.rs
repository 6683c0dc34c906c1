//! Questions whose answers are taken and not passed on: of one instance, or of several at once.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::engine::{self, Question};
use super::{Ctx, idle, manifests, profile};
use crate::error::{Error, Kind, Result};
use crate::model::{Name, Part};

/// How many instances are asked at the same time: each costs a `podman exec` and the machine's
/// processors for as long as its engine looks.
const AT_ONCE: usize = 8;

/// How long each of several may take: a slow model with long passages and a retry or two.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// An instance's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub instance: String,
    /// How it searched: the engine's word.
    pub mode: String,
    /// The answer; the passages themselves when only those were asked for.
    pub answer: String,
    /// What it rests on, best first.
    pub sources: Vec<Source>,
}

/// A file that an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its path in the container.
    pub path: String,
    /// How near it is to the question, from 0 to 1.
    pub score: f64,
    /// The passage that counts most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<String>,
}

/// Asks one instance. Dropping the future stops its engine.
///
/// # Errors
/// [`Kind::Usage`] for a question that is too short, [`Kind::NoInstance`] and [`Kind::NotRunning`]
/// when there is nobody to ask, or it stops meanwhile; [`Kind::Failed`] with what the engine said.
pub async fn ask(ctx: Ctx<'_>, name: &Name, question: Question<'_>) -> Result<Answer> {
    if let Some(instance) = profile::foreign(ctx, name)? {
        let (answer, _, error) = profile::answer(ctx, &instance, question).await?;
        return error.map_or(Ok(answer), Err);
    }
    let mut args = engine::query_args(name, Question { json: true, stream: false, ..question })?;
    args.push("--stop-with-input".into());
    let _through = idle::begin(ctx, name, Part::App).await?;
    let mut said = String::new();
    let (code, error) = engine::engine(name, engine::ATTENDED, args)
        .events(|line| {
            said.push_str(line);
            said.push('\n');
        })
        .await?;
    if let Some(error) = error {
        return Err(refused(name, code, &error));
    }
    serde_json::from_str(&said).map_err(|e| {
        Error::failed(format!("the engine of {name} gave no answer that can be read"))
            .cause(e.to_string())
            .hint(format!(
                "its image may be older than ragpod: ragpod image build; ragpod up {name}"
            ))
    })
}

/// Asks several at once; each answer or failure with its instance, in their order. One that has not
/// answered within five minutes keeps the others' answers from nobody: it is a failure, and stopped.
///
/// # Errors
/// [`Kind::Usage`] for a question that is wrong for each of them: one that is too short.
/// [`Kind::Interrupted`] at Ctrl-C or SIGTERM.
pub async fn ask_all(
    ctx: Ctx<'_>,
    names: &[Name],
    question: Question<'_>,
) -> Result<Vec<(Name, Result<Answer>)>> {
    if let Some(first) = names.first() {
        engine::query_args(first, question)?;
    }
    let answers = stream::iter(names)
        .map(async |name| (name.clone(), within(LONGEST, name, ask(ctx, name, question)).await))
        .buffered(AT_ONCE)
        .collect();
    tokio::select! {
        // Who is woken hears it too, and its answer would be that it was interrupted.
        biased;
        () = crate::exec::interrupted() => {
            Err(Error::new(Kind::Interrupted, "interrupted; the engines were told to stop"))
        }
        answers = answers => Ok(answers),
    }
}

async fn within<T>(
    longest: Duration,
    name: &Name,
    asked: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(longest, asked).await.unwrap_or_else(|_| {
        Err(Error::failed(format!("{name} has not answered within {} s", longest.as_secs()))
            .hint(format!("try its provider: ragpod provider test {name}"))
            .hint(format!("wait for it alone: ragpod query {name} 'what is …?'")))
    })
}

/// All instances that can be asked.
///
/// # Errors
/// [`Kind::NoInstance`] when there is none.
pub fn everyone(ctx: Ctx<'_>) -> Result<Vec<Name>> {
    let names = manifests::names(ctx.env)?;
    if names.is_empty() {
        return Err(Error::new(Kind::NoInstance, "there is no instance to ask")
            .hint("make one: ragpod create NAME --source DIR"));
    }
    Ok(names)
}

/// What an engine that gave no answer has said: its own lines, `hybridrag: …`, are for people.
fn refused(name: &Name, code: u8, error: &Error) -> Error {
    let (why, hint) = engine::said(error);
    let up = format!("start it: ragpod up {name}");
    match (code, why) {
        (2, Some(why)) => {
            let error = Error::usage(format!("{name}: {why}"));
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
        // Its engine or its container went away; 137 is what a stop in the middle looks like.
        (4 | 125 | 137 | 143, why) => {
            Error::new(Kind::NotRunning, format!("{name} stopped before it had answered"))
                .cause(why.unwrap_or_else(|| error.to_string()))
                .hint(format!("see how it stands: ragpod status {name}"))
                .hint(up)
        }
        (_, Some(why)) => {
            let error = Error::failed(format!("{name}: {why}"));
            match hint {
                Some(hint) => error.hint(hint),
                None => error.hint(format!("see its log: ragpod logs {name} -n 50 app")),
            }
        }
        (_, None) => Error::failed(format!("the engine of {name} gave no answer"))
            .cause(error.to_string())
            .hint(format!("see its log: ragpod logs {name} -n 50 app")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_said_is_the_error() {
        let name = "a".parse().unwrap();
        let of = |code, said: &str| refused(&name, code, &Error::failed("x").cause(said));
        let wrong = of(2, "hybridrag: the question is shorter\nhybridrag: ask with --text");
        assert_eq!(
            (wrong.kind, wrong.message.as_str()),
            (Kind::Usage, "a: the question is shorter")
        );
        let model = of(2, "hybridrag: another model\nhybridrag: ragpod reindex a");
        assert_eq!(model.hints(), ["ragpod reindex a"]);
        let failed = of(1, "a warning\nhybridrag: the key is refused\nhybridrag: set another");
        assert_eq!(failed.message, "a: the key is refused");
        assert_eq!(failed.hints(), ["set another"]);
        for (code, said) in
            [(4, "hybridrag: the engine went away"), (137, ""), (125, "no container")]
        {
            let gone = of(code, said);
            assert_eq!(gone.kind, Kind::NotRunning);
            assert!(gone.hints().contains(&"start it: ragpod up a"), "{gone:?}");
        }
        assert!(of(1, "Traceback").to_string().contains("Traceback"));
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_not_waited_for() {
        let name = "a".parse().unwrap();
        let never = std::future::pending::<Result<()>>();
        let error = within(Duration::from_millis(20), &name, never).await.unwrap_err();
        assert!(error.message.starts_with("a has not answered within "), "{error}");
        assert_eq!(within(Duration::from_secs(9), &name, async { Ok(7) }).await, Ok(7));
    }

    #[test]
    fn an_answer_as_the_engine_writes_it() {
        let text = r#"{"instance":"a","mode":"mix","answer":"Yes.","sources":[
            {"path":"/data/projects/a.md","score":0.5,"passage":"Yes."},
            {"path":"/data/projects/b.md","score":0.25}]}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.sources[0].passage.as_deref(), Some("Yes."));
        assert_eq!(answer.sources[1].passage, None);
    }
}
