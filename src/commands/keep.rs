//! `backup`, `restore`, `clone`, `rename`.

use std::process::ExitCode;

use serde_json::json;

use super::Front;
use super::tables::{or_dash, print, table};
use crate::cli::{Backup, CloneTo, Rename, Restore, is_file_name};
use crate::error::{Error, Result};
use crate::model::{Name, NameError};
use crate::ops::keep::backup::{self, Output, Wish};
use crate::ops::keep::{copy, listing, rename as renaming, restore as restoring, verify};
use crate::ops::{Waiting, manifests};
use crate::output::human_bytes;

pub(super) async fn backup(front: &Front<'_>, args: &Backup) -> Result<ExitCode> {
    if args.verify {
        return verified(front, args).await;
    }
    let name: Name = args.target.as_str().parse().map_err(|e| no_name(args, &e))?;
    if args.list {
        return list(front, &name);
    }
    let output = match &args.output {
        None => Output::Kept(args.keep),
        Some(file) if file == "-" => {
            if front.env.stdout_tty || front.printer.json {
                let why = if front.printer.json { "has the JSON" } else { "is a terminal" };
                return Err(Error::usage(format!(
                    "the backup cannot go to standard output: it {why}"
                ))
                .hint(format!("give it a file: ragpod backup {name} -o FILE")));
            }
            Output::Stdout
        }
        Some(file) => Output::File(file.clone()),
    };
    let recipient = args.with_secrets.as_deref().filter(|r| !r.is_empty());
    let wish = Wish {
        output,
        secrets: args.with_secrets.is_some(),
        recipient: recipient.map(str::parse).transpose()?,
    };
    let made = front.with(async |ctx| backup::backup(ctx, &name, &wish).await).await?;
    if front.printer.json {
        front.printer.document(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    let documents =
        made.documents.map_or(String::new(), |d| format!("{} documents, ", d.processed));
    front.printer.say(&format!("{name} is backed up: {documents}{} rows", made.rows));
    if !made.removed.is_empty() {
        front.printer.say(&format!("older backups removed: {}", made.removed.len()));
    }
    if let Some(file) = &made.file {
        front.printer.data(&format!("{file}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn no_name(args: &Backup, e: &NameError) -> Error {
    Error::usage(format!("{:?} is no instance's name: {e}", args.target.as_str()))
        .hint("see which there are: ragpod list")
}

async fn verified(front: &Front<'_>, args: &Backup) -> Result<ExitCode> {
    let name = match args.target.as_str().parse::<Name>() {
        _ if is_file_name(&args.target) => None,
        Ok(name) => Some(name),
        Err(e) => return Err(no_name(args, &e)),
    };
    let verified = front
        .with(async |ctx| match &name {
            Some(name) => verify::verify_newest(ctx, name),
            None => verify::verify(ctx, &args.target),
        })
        .await?;
    if front.printer.json {
        front.printer.document(&verified)?;
        return Ok(ExitCode::SUCCESS);
    }
    let documents =
        verified.documents.map_or(String::new(), |d| format!("{} documents, ", d.processed));
    front.printer.say(&format!(
        "{} is good: restored and counted, {documents}{} rows in {} tables",
        verified.file, verified.rows, verified.tables
    ));
    Ok(ExitCode::SUCCESS)
}

fn list(front: &Front<'_>, name: &Name) -> Result<ExitCode> {
    let backups = listing::list(front.quiet(), name)?;
    if front.printer.json {
        front.printer.document(&json!({ "backups": backups }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if backups.is_empty() {
        front.printer.say(&format!("{name} has no backup; make one: ragpod backup {name}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["CREATED", "SIZE", "DOCUMENTS", "SECRETS", "FILE"], &[1, 2]);
    for b in &backups {
        rows.add_row([
            or_dash(b.created.clone()),
            human_bytes(b.bytes),
            or_dash(b.documents.map(|d| d.processed)),
            if b.secrets { "encrypted" } else { "none" }.to_owned(),
            b.file.to_string(),
        ]);
    }
    print(front, &rows)?;
    for problem in backups.iter().filter_map(|b| b.problem.as_ref()) {
        front.printer.warn(problem);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(front: &Front<'_>, args: &Restore) -> Result<ExitCode> {
    if manifests::exists(front.env, &args.name) {
        restoring::check(&args.file)?;
        front.confirm(&format!("this replaces all data of {}", args.name), args.yes)?;
    }
    let waiting = Waiting { timeout: args.timeout, wait: true };
    let wish = restoring::Wish { file: &args.file, identity: args.identity.as_deref(), waiting };
    let restored = front.with(async |ctx| restoring::restore(ctx, &args.name, wish).await).await?;
    if front.printer.json {
        front.printer.document(&restored)?;
        return Ok(ExitCode::SUCCESS);
    }
    let documents =
        restored.documents.map_or(String::new(), |d| format!("{} documents, ", d.processed));
    front.printer.say(&format!(
        "{} has what {} had at {}: {documents}{} rows",
        args.name, restored.of, restored.backup, restored.rows
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn clone(front: &Front<'_>, args: &CloneTo) -> Result<ExitCode> {
    let (from, to) = (&args.from, &args.to);
    let waiting = Waiting { timeout: args.timeout, wait: true };
    let cloned =
        front.with(async |ctx| copy::clone(ctx, from, to, args.data, waiting).await).await?;
    if front.printer.json {
        front.printer.document(&cloned)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(rows) = cloned.rows {
        front.printer.say(&format!("{to} runs, with the data of {from}: {rows} rows"));
    } else {
        front.printer.say(&format!("wrote {}", cloned.manifest));
        front.printer.say(&format!("next: ragpod up {to}"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rename(front: &Front<'_>, args: &Rename) -> Result<ExitCode> {
    let (old, new) = (&args.old, &args.new);
    let waiting = Waiting { timeout: args.timeout, wait: true };
    let runs = front.with(async |ctx| renaming::rename(ctx, old, new, waiting).await).await?;
    if front.printer.json {
        front.printer.document(&json!({ "from": old, "instance": new, "running": runs }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let runs = if runs { " and runs" } else { "" };
    front.printer.say(&format!("{old} is called {new} now{runs}"));
    Ok(ExitCode::SUCCESS)
}
