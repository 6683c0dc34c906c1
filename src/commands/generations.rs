//! `generations` and `rollback`.

use std::process::ExitCode;

use owo_colors::OwoColorize;
use serde_json::json;

use super::Front;
use super::tables::{print, table};
use crate::cli::{Generations, Rollback};
use crate::error::Result;
use crate::model::Part;
use crate::ops::{self, up::Outcome};

pub(super) fn list(front: &Front<'_>, args: &Generations) -> Result<ExitCode> {
    if let Some(number) = args.show {
        return show(front, args, number);
    }
    let all = ops::rollback::list(front.quiet(), &args.name)?;
    if front.printer.json {
        front.printer.document(&json!({ "generations": all }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(["NUMBER", "MADE", "STATE", "BY", "CHANGED"], &[0]);
    for generation in &all {
        let state = match (generation.current, generation.healthy) {
            (true, true) => "installed, was found healthy".green().to_string(),
            (true, false) => "installed, not healthy yet".yellow().to_string(),
            (false, true) => "kept, was healthy".to_owned(),
            (false, false) => "kept, never healthy".dimmed().to_string(),
        };
        let parts: Vec<&str> = generation
            .changed
            .iter()
            .filter_map(|file| Part::of_file(file))
            .map(|(_, part)| part.label())
            .collect();
        table.add_row([
            generation.number.to_string(),
            when(&generation.created),
            state,
            generation.cause.clone(),
            parts.join(", "),
        ]);
    }
    print(front, &table)?;
    Ok(ExitCode::SUCCESS)
}

fn show(front: &Front<'_>, args: &Generations, number: u32) -> Result<ExitCode> {
    let generation = ops::rollback::get(front.quiet(), &args.name, number)?;
    if front.printer.json {
        front.printer.document(&json!({ "generation": generation }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let manifest =
        generation.set.manifest.iter().map(|text| format!("# {}.toml\n{text}", args.name));
    let units = generation.set.units.iter().map(|(file, text)| format!("# {file}\n{text}"));
    let all: Vec<String> = manifest.chain(units).collect();
    front.printer.data(&all.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// A point in time as people here write it.
fn when(rfc3339: &str) -> String {
    rfc3339.parse::<jiff::Timestamp>().map_or_else(
        |_| rfc3339.to_owned(),
        |at| at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%F %T %Z").to_string(),
    )
}

pub(super) async fn rollback(front: &Front<'_>, args: &Rollback) -> Result<ExitCode> {
    let name = &args.name;
    let waiting = ops::Waiting::from(&args.wait);
    let (number, outcome) =
        front.with(async |ctx| ops::rollback::rollback(ctx, name, args.to, waiting).await).await?;
    if front.printer.json {
        let value = json!({ "name": name, "generation": number, "outcome": outcome.word() });
        front.printer.document(&value)?;
    } else {
        let runs = if outcome == Outcome::Queued { "with" } else { "it runs" };
        front.printer.say(&format!("{}; {runs} generation {number}", outcome.sentence(name)));
        front.printer.say(&format!(
            "the manifest is as it was: see what the next `ragpod up` would change with \
             ragpod diff {name}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
