//! `reindex`: a new index of an instance's sources, with the models that its manifest names now.
//!
//! It is built beside the old one, which stays, and goes on answering where the embedding model is
//! the same; the engine changes over when every document is in the new one, and removes the old.
//! What was cut off is taken up by the next run.

use super::engine::{Streams, engine, refused};
use super::ingest::{Prune, Summary, Wish, ingest_into};
use super::{Ctx, idle, manifests, profile};
use crate::error::{Error, Kind, Result};
use crate::exec::{Heard, Interrupts};
use crate::model::{Name, Part};

/// Builds the new index and changes over to it.
///
/// The engine refuses to change over when documents of the old index are not in the new one, and
/// names them; with `drop_missing` they are left out.
///
/// # Errors
/// [`Kind::Failed`] with the files that could not be taken in: then the old index stays.
/// [`Kind::Interrupted`] when it was asked to stop, or when the change over, which nothing stops, is
/// not waited for.
pub async fn reindex(ctx: Ctx<'_>, name: &Name, drop_missing: bool) -> Result<Summary> {
    manifests::require(ctx.env, name)?;
    own_only(ctx, name)?;
    // To the end: nobody stops or restarts the engine in between.
    let _through = idle::begin(ctx, name, Part::App).await?;
    ctx.progress.step(&format!("{name}: beginning a new index beside the old one"));
    ask(name, "begin").await?;
    // From here to the end: what comes between two steps is heard, too.
    let mut interrupts = Interrupts::listen()?;
    let wish = Wish {
        paths: &[],
        pattern: None,
        recursive: true,
        // A file that went away since an earlier run began is not to be found.
        prune: Prune::Gone,
        dry_run: false,
    };
    let (summary, code) = ingest_into(ctx, name, &wish, &["--reindex"], &mut interrupts).await?;
    // Also one that came with the last document: then nobody wanted to change over.
    if summary.interrupted || interrupts.any() {
        return Err(Error::new(
            Kind::Interrupted,
            format!("the new index of {name} is not in use"),
        )
        .hint(format!("the old one stays; go on with: ragpod reindex {name} --yes")));
    }
    if code != 0 {
        let mut error = Error::failed(format!(
            "{} files could not be taken into the new index of {name}; the old one stays",
            summary.failed.len()
        ));
        for failed in summary.failed.iter().take(10) {
            error = error.cause(format!("{}: {}", failed.path, failed.reason));
        }
        return Err(error
            .hint(format!("try the provider: ragpod provider test {name}"))
            .hint(format!("what is done is kept; go on with: ragpod reindex {name} --yes")));
    }
    ctx.progress.step(&format!("{name}: changing over to the new index"));
    change_over(ctx, name, drop_missing, &mut interrupts).await?;
    Ok(summary)
}

/// The engine ends this whether we wait or not: a moment after which the one index is in use or the
/// other.
async fn change_over(
    ctx: Ctx<'_>,
    name: &Name,
    drop_missing: bool,
    interrupts: &mut Interrupts,
) -> Result<()> {
    let args = ["reindex", "finish", "--json"].into_iter();
    let args = args.chain(drop_missing.then_some("--drop-missing")).map(str::to_owned);
    let hear = |heard: Heard<'_>| {
        if heard == Heard::AskedToStop {
            ctx.progress.warn(
                "the new index is complete, and changing over to it cannot be stopped any more; \
                 Ctrl-C again does not wait for it",
            );
        }
    };
    let (code, error) =
        engine(name, Streams::default(), args).attended(interrupts, hear).await.map_err(|e| {
            if e.kind != Kind::Interrupted {
                return e;
            }
            Error::new(
                Kind::Interrupted,
                format!("the change over of {name} to its new index was not waited for"),
            )
            .hint("the engine goes on with it")
            .hint(format!("see how it came out: ragpod status {name}"))
        })?;
    error.map_or(Ok(()), |e| Err(not_done(name, "finish", code, e)))
}

/// Removes what a reindex that was not completed has built; `false` when there was nothing.
pub async fn abandon(ctx: Ctx<'_>, name: &Name) -> Result<bool> {
    manifests::require(ctx.env, name)?;
    own_only(ctx, name)?;
    drop(idle::begin(ctx, name, Part::App).await?);
    Ok(ask(name, "abandon").await?.contains("true"))
}

fn own_only(ctx: Ctx<'_>, name: &Name) -> Result<()> {
    let instead = format!(
        "begin with an empty database: ragpod down {name} --volumes; ragpod up {name}; \
         ragpod ingest {name}"
    );
    profile::own_only(ctx, name, "reindex", &instead)
}

async fn ask(name: &Name, what: &str) -> Result<String> {
    let args = ["reindex", what, "--json"].map(str::to_owned);
    let mut printed = String::new();
    let (code, error) =
        engine(name, Streams::default(), args).events(|line| printed.push_str(line)).await?;
    error.map_or(Ok(printed), |e| Err(not_done(name, what, code, e)))
}

fn not_done(name: &Name, what: &str, code: u8, error: Error) -> Error {
    refused(format!("the engine of {name} could not {what} the new index"), code, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_lost_is_told_with_the_way_out() {
        let said =
            "hybridrag: 1 documents would be lost: /a\nhybridrag: ragpod reindex a --drop-missing";
        let error = not_done(&"a".parse().unwrap(), "finish", 1, Error::failed("x").cause(said));
        assert_eq!(error.kind, Kind::Failed);
        assert_eq!(error.causes, ["1 documents would be lost: /a"]);
        assert_eq!(error.hints(), ["ragpod reindex a --drop-missing"]);
    }
}
