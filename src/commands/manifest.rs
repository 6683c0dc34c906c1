//! `create`, `render`, `diff`: from words to a manifest, and from a manifest to units.

use std::process::ExitCode;

use owo_colors::OwoColorize;

use super::Front;
use crate::cli::{Create, One, Render};
use crate::error::Result;
use crate::ops;

pub(super) async fn create(front: &Front<'_>, args: Create) -> Result<ExitCode> {
    let wish = ops::create::Wish {
        name: args.name.clone(),
        provider: args.provider,
        sources: args.sources,
        env_file: args.env_file,
        set: args.set,
        force: args.force,
    };
    let created = front.with(async |ctx| ops::create::create(ctx, &wish)).await?;
    if front.printer.json {
        front.printer.document(&created)?;
        return Ok(ExitCode::SUCCESS);
    }
    front.printer.say(&format!("wrote {}", created.manifest));
    for key in &created.secrets {
        front.printer.say(&format!("stored the secret {key} in Podman"));
    }
    for line in &created.notes {
        front.printer.warn(line);
    }
    front.printer.say(&format!("next: {}", created.next.join("\n      ")));
    Ok(ExitCode::SUCCESS)
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

pub(super) fn diff(front: &Front<'_>, args: &One) -> Result<ExitCode> {
    let changes = ops::diff::diff(front.quiet(), &args.name)?;
    if front.printer.json {
        front.printer.document(&serde_json::json!({ "changes": changes }))?;
    } else {
        for change in &changes {
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
    }
    Ok(ExitCode::from(u8::from(!changes.is_empty())))
}
