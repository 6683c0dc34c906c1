//! `init`, `ingest`, `reindex` and `secret`.

use std::process::ExitCode;

use super::Front;
use secrecy::SecretString;

use crate::cli::{Import, Ingest, One, Reindex, Rotate, Secret, SecretOne};
use crate::error::{Error, Result};
use crate::model::{Name, SecretKey};
use crate::ops;
use crate::ops::engine::Prune;
use crate::ops::import::Imported;
use crate::ops::rotate::Rotated;

pub(super) async fn init(front: &Front<'_>, args: &One) -> Result<ExitCode> {
    front.with(async |ctx| ops::engine::init(ctx, &args.name).await).await?;
    front.printer.say(&format!("{}: the database is set up", args.name));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn ingest(front: &Front<'_>, args: &Ingest) -> Result<ExitCode> {
    let wish = ops::engine::Wish {
        paths: &args.paths,
        pattern: args.pattern.as_deref(),
        recursive: !args.no_recursive,
        prune: match (args.prune, args.yes) {
            (false, _) => Prune::Nothing,
            (true, false) => Prune::Gone,
            (true, true) => Prune::Everything,
        },
        dry_run: args.dry_run,
    };
    if let Some(instance) = ops::profile::foreign(front.quiet(), &args.name)? {
        let (ran, code) =
            front.with(async |ctx| ops::profile::ingest(ctx, &instance, &wish).await).await?;
        if front.printer.json {
            front.printer.document(&ran)?;
        } else {
            front.printer.data(&ran.sentences())?;
        }
        return Ok(ExitCode::from(code));
    }
    let (summary, code) =
        front.with(async |ctx| ops::engine::ingest(ctx, &args.name, &wish).await).await?;
    if front.printer.json {
        front.printer.document(&summary)?;
    } else {
        front.printer.data(&summary.sentences(args.dry_run))?;
    }
    Ok(ExitCode::from(code))
}

pub(super) async fn import(front: &Front<'_>, args: &Import) -> Result<ExitCode> {
    let name = &args.name;
    let from = ops::import::From::Named(args.source.clone());
    ops::import::check(front.quiet(), &from)?;
    let there = ops::import::documents(front.quiet(), name).await?;
    if there > 0 {
        front.confirm(&format!("the {there} documents of {name} are replaced"), args.yes)?;
    }
    let wish = ops::import::Wish {
        from,
        database: args.database.clone(),
        image: args.image.clone(),
        replace: there > 0,
    };
    let imported = front.with(async |ctx| ops::import::import(ctx, name, &wish).await).await?;
    if front.printer.json {
        front.printer.document(&imported)?;
    } else {
        tell(front, &imported);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what was brought over.
pub(super) fn tell(front: &Front<'_>, imported: &Imported) {
    for note in &imported.notes {
        front.printer.warn(note);
    }
    let Imported { name, documents, chunks, entities, relations, .. } = imported;
    front.printer.say(&format!(
        "{name} has {documents} documents: {chunks} passages, {entities} entities, {relations} \
         relations"
    ));
}

pub(super) async fn reindex(front: &Front<'_>, args: &Reindex) -> Result<ExitCode> {
    let name = &args.name;
    if args.abandon {
        let removed = ops::reindex::abandon(front.quiet(), name).await?;
        let was = if removed { "is removed" } else { "was not there" };
        front.printer.say(&format!("the unfinished index of {name} {was}"));
        return Ok(ExitCode::SUCCESS);
    }
    let what = format!("the index of {name} is replaced once a new one is complete");
    front.confirm(&what, args.yes)?;
    let summary =
        front.with(async |ctx| ops::reindex::reindex(ctx, name, args.drop_missing).await).await?;
    if front.printer.json {
        front.printer.document(&summary)?;
    } else {
        front.printer.data(&summary.sentences(false))?;
        front.printer.say(&format!("{name}: the new index is in use"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn secret(front: &Front<'_>, verb: &Secret) -> Result<ExitCode> {
    match verb {
        Secret::Set(args) => {
            let value = value(front, &args.name, &args.key)?;
            let running = ops::secrets::set(front.quiet(), &args.name, &args.key, &value).await?;
            front.printer.say(&format!("{} of {} is set", args.key, args.name));
            if running {
                front.printer.say(&format!("to use it now: ragpod up {}", args.name));
            }
        }
        Secret::Rotate(args) => rotate(front, args).await?,
        Secret::List(args) => {
            let secrets = ops::secrets::list(front.quiet(), &args.name)?;
            if front.printer.json {
                front.printer.document(&serde_json::json!({ "secrets": secrets }))?;
            } else {
                for secret in secrets {
                    let state = if secret.present { "set" } else { "missing" };
                    front.printer.data(&format!("{}\t{state}\n", secret.key))?;
                }
            }
        }
        Secret::Rm(args) => {
            if !ops::secrets::remove(front.quiet(), &args.name, &args.key).await? {
                return Err(Error::failed(format!("{} has no secret {}", args.name, args.key))
                    .hint(format!("see which there are: ragpod secret list {}", args.name)));
            }
            front.printer.say(&format!("{} of {} is removed", args.key, args.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A secret's value from standard input, or as it is typed on a terminal.
fn value(front: &Front<'_>, name: &Name, key: &SecretKey) -> Result<SecretString> {
    ops::manifests::require(front.env, name)?;
    if !(front.env.stdin_tty && front.env.stderr_tty) {
        return ops::secrets::read_value(std::io::stdin().lock());
    }
    // Not shown, and not in the shell's history.
    let typed = rpassword::prompt_password(format!("{key} of {name}: "))
        .map_err(|e| Error::io("read", "the value from the terminal", &e))?;
    ops::secrets::read_value(typed.as_bytes())
}

async fn rotate(front: &Front<'_>, args: &Rotate) -> Result<()> {
    let SecretOne { name, key } = &args.secret;
    let password = *key == SecretKey::postgres_password();
    // Nobody can type a password of 190 bits.
    let generate = args.generate || (password && front.env.stdin_tty);
    let made = format!("or have one made: ragpod secret rotate {name} {key} --generate");
    let advised = |e: Error| if password { e.hint(made) } else { e };
    let value = if generate { None } else { Some(value(front, name, key).map_err(advised)?) };
    let waiting = ops::Waiting { timeout: args.timeout, wait: true };
    let rotated =
        front.with(async |ctx| ops::rotate::rotate(ctx, name, key, value, waiting).await).await?;
    front.printer.say(&match rotated {
        Rotated::InUse => format!("{key} of {name} is replaced and in use"),
        Rotated::Stored => format!("{key} of {name} is replaced; to use it: ragpod up {name}"),
    });
    Ok(())
}
