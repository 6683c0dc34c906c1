//! `create`, `render`, `diff`: from words to a manifest, and from a manifest to units.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use owo_colors::OwoColorize;

use super::Front;
use crate::cli::{Create, One, Render};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::ops;
use crate::ops::create::{Created, Outcome};

pub(super) async fn create(front: &Front<'_>, args: Create) -> Result<ExitCode> {
    let wish = ops::create::Wish {
        name: args.name.clone(),
        provider: args.provider,
        sources: args.sources,
        env_file: args.env_file,
        from_compose: args.from_compose,
        set: args.set,
        force: args.force,
    };
    let import = import_wish(&args.name, wish.from_compose.as_ref(), args.import_data.as_deref())?;
    if let Some(import) = &import {
        // What cannot be imported is refused before anything is made.
        ops::import::check(front.quiet(), &import.from)?;
    }
    let mut created = front.with(async |ctx| ops::create::create(ctx, &wish).await).await?;
    let Some(import) = import else {
        if front.printer.json {
            front.printer.document(&created)?;
        } else {
            say(front, &created);
        }
        return Ok(ExitCode::SUCCESS);
    };
    // What is next is done at once.
    created
        .next
        .retain(|line| !line.starts_with("ragpod up ") && !line.starts_with("ragpod import "));
    if !front.printer.json {
        say(front, &created);
    }
    let name = &created.name;
    let imported = front
        .with(async |ctx| {
            let again =
                format!("then bring its database over: ragpod import {name} {}", import.from);
            let up = ops::up::up(ctx, name, &ops::up::Wish::default()).await;
            up.map_err(|e| e.hint(format!("start it: ragpod up {name}")).hint(&again))?;
            ops::import::import(ctx, name, &import).await.map_err(|e| e.hint(again))
        })
        .await?;
    if front.printer.json {
        let mut document = serde_json::json!(created);
        document["imported"] = serde_json::json!(imported);
        front.printer.document(&document)?;
    } else {
        super::data::tell(front, &imported);
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--import-data` asks for.
fn import_wish(
    name: &Name,
    from_compose: Option<&Utf8PathBuf>,
    source: Option<&str>,
) -> Result<Option<ops::import::Wish>> {
    match (source, from_compose) {
        (None, _) => Ok(None),
        (Some(""), None) => Err(Error::usage("--import-data needs to be told of an old database")
            .hint(format!("name its folder: ragpod create {name} --from-compose DIR --import-data"))
            .hint("or where it is: --import-data=SOURCE")),
        (Some(source), from) => Ok(Some(ops::import::wish(from, source))),
    }
}

fn say(front: &Front<'_>, created: &Created) {
    front.printer.say(&format!("wrote {}", created.manifest));
    for key in &created.secrets {
        front.printer.say(&format!("stored the secret {key} in Podman"));
    }
    for line in &created.env_file {
        front.printer.say(&format!("  {line}"));
    }
    for finding in &created.compose {
        match finding.outcome {
            Outcome::Warning => front.printer.warn(&finding.to_string()),
            Outcome::NotUnderstood => {
                front.printer.warn(&format!("not taken over: {finding}"));
            }
            _ => front.printer.say(&format!("  {finding}")),
        }
    }
    for line in &created.notes {
        front.printer.warn(line);
    }
    if !created.next.is_empty() {
        front.printer.say(&format!("next: {}", created.next.join("\n      ")));
    }
}

pub(super) fn render(front: &Front<'_>, args: &Render) -> Result<ExitCode> {
    let units = ops::diff::render(front.quiet(), &args.name, args.podman)?;
    if let Some(dir) = &args.output {
        for file in ops::diff::write_into(&units, dir)? {
            front.printer.say(&format!("wrote {file}"));
        }
    } else if front.printer.json {
        let files: serde_json::Map<String, serde_json::Value> =
            units.iter().map(|(file, text)| (file.to_owned(), text.into())).collect();
        front.printer.document(&serde_json::json!({ "units": files }))?;
    } else {
        let mut text = String::new();
        for (file, unit) in units.iter() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("# {file}\n{unit}"));
        }
        front.printer.data(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn diff(front: &Front<'_>, args: &One) -> Result<ExitCode> {
    let difference = ops::diff::diff(front.quiet(), &args.name).await?;
    if front.printer.json {
        front.printer.document(&difference)?;
        return Ok(ExitCode::from(u8::from(!difference.is_empty())));
    }
    for change in &difference.changes {
        front.printer.data(&format!("{}\n", change.headline().bold()))?;
        for line in change.text.lines() {
            let line = match line.chars().next() {
                Some('+') => line.green().to_string(),
                Some('-') => line.red().to_string(),
                _ => line.to_owned(),
            };
            front.printer.data(&format!("{line}\n"))?;
        }
    }
    for stale in &difference.stale {
        let headline = format!("restart {}", stale.unit);
        front.printer.data(&format!("{}: {}\n", headline.bold(), stale.why))?;
    }
    for drop_in in &difference.drop_ins {
        front.printer.say(&format!("your drop-in {} changes {}", drop_in.path, drop_in.unit));
    }
    if !difference.is_empty() {
        front.printer.say(&format!("to make it so: ragpod up {}", args.name));
    }
    Ok(ExitCode::from(u8::from(!difference.is_empty())))
}
