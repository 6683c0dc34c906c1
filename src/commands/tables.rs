//! `list`, `status`, `audit`, `provider`, `image`: what is there, as tables for people and JSON for programs.

use std::process::ExitCode;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use owo_colors::OwoColorize;
use serde_json::json;

use super::Front;
use super::doctor::verdicts;
use crate::cli::{Audit, Image, Provider, Status};
use crate::error::{Kind, Result};
use crate::model::ImageKind;
use crate::ops;
use crate::ops::status::{InstanceStatus, ServiceStatus, State};
use crate::output::{human_bytes, human_seconds};

/// A table without lines, as `systemctl` and `podman` print them.
pub(super) fn table<const N: usize>(head: [&str; N], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    let last = table.column_count().saturating_sub(1);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if i == last { 0 } else { 2 }));
        if right.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

pub(super) fn print(front: &Front<'_>, table: &Table) -> Result<()> {
    front.printer.data(&lines(table))
}

/// A table as text. Trailing blanks of the last column would wrap on a narrow terminal.
pub(super) fn lines(table: &Table) -> String {
    table.lines().map(|l| l.trim_end().to_owned() + "\n").collect()
}

/// The state, with whether a use starts what does not run.
fn state_of(i: &InstanceStatus) -> String {
    match i.at_rest {
        Some(_) => format!("{} (idle)", i.state.as_str()).dimmed().to_string(),
        None => coloured(i.state),
    }
}

pub(super) fn coloured(state: State) -> String {
    let word = state.as_str();
    match state {
        State::Running => word.green().to_string(),
        State::Starting => word.yellow().to_string(),
        State::Degraded | State::Failed => word.red().to_string(),
        State::Stopped | State::NotInstalled => word.dimmed().to_string(),
    }
}

pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

pub(super) async fn list(front: &Front<'_>) -> Result<ExitCode> {
    let instances = ops::status::status(front.quiet(), &[]).await?;
    if front.printer.json {
        front.printer.document(&json!({ "instances": instances }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if front.printer.quiet {
        let names: String = instances.iter().map(|i| format!("{}\n", i.name)).collect();
        front.printer.data(&names)?;
        return Ok(ExitCode::SUCCESS);
    }
    if instances.is_empty() {
        front.printer.say("no instances yet; make one: ragpod create NAME --source DIR");
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows =
        table(["NAME", "STATE", "HEALTH", "MEMORY", "RESTARTS", "DOCUMENTS"], &[3, 4, 5]);
    for i in &instances {
        rows.add_row([
            i.name.clone(),
            state_of(i),
            i.health.to_owned(),
            or_dash(i.memory_bytes().map(human_bytes)),
            i.restarts().to_string(),
            or_dash(i.documents.map(|d| d.processed)),
        ]);
    }
    print(front, &rows)?;
    for i in &instances {
        if let Some(unfinished) = &i.unfinished {
            front.printer.warn(&format!("{}: {unfinished}", i.name));
        }
        if let Some(problem) = &i.problem {
            front.printer.warn(&format!("{}: {problem}", i.name));
        }
        for chore in &i.schedule {
            if let Some(why) = &chore.failed {
                let what = match chore.what {
                    // What was ingested, or that not all is watched.
                    "watch" => "its watch".to_owned(),
                    what => format!("its last {what} failed"),
                };
                front.printer.warn(&format!("{}: {what}: {why}", i.name));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(front: &Front<'_>, args: &Status) -> Result<ExitCode> {
    let mut instances = ops::status::status(front.quiet(), &args.names).await?;
    let mut code = ExitCode::SUCCESS;
    if let ([name], [instance]) = (args.names.as_slice(), instances.as_mut_slice()) {
        instance.engine = ops::profile::status(front.quiet(), name).await?;
        code = instance.engine.as_ref().map_or(code, |said| ExitCode::from(said.exit_code));
    }
    if front.printer.json {
        front.printer.document(&json!({ "instances": instances }))?;
        return Ok(code);
    }
    if instances.is_empty() {
        front.printer.say("no instances yet; make one: ragpod create NAME --source DIR");
    }
    for (i, instance) in instances.iter().enumerate() {
        if i > 0 {
            front.printer.data("\n")?;
        }
        one(front, instance)?;
    }
    Ok(code)
}

fn one(front: &Front<'_>, i: &InstanceStatus) -> Result<()> {
    let mut head = format!("{}: {}", i.name.bold(), state_of(i));
    if let Some(why) = &i.at_rest {
        head.push_str(&format!(", {why}; its next use starts it"));
    }
    if i.state == State::Running {
        head.push_str(", healthy");
    }
    if let Some(generation) = i.generation {
        head.push_str(&format!(", generation {generation}"));
    }
    front.printer.data(&(head + "\n"))?;
    if let Some(unfinished) = &i.unfinished {
        front.printer.data(&format!("  {} {unfinished}\n", "unfinished:".red()))?;
    }
    if let Some(problem) = &i.problem {
        front.printer.data(&format!("  {} {problem}\n", "problem:".red()))?;
    }
    if let Some(note) = &i.note {
        front.printer.data(&format!("  {} {note}\n", "note:".yellow()))?;
    }
    if !i.services.is_empty() {
        let mut rows = table(["  SERVICE", "STATE", "SINCE", "MEMORY", "RESTARTS"], &[3, 4]);
        for s in &i.services {
            rows.add_row([
                format!("  {}", s.unit),
                format!("{} ({})", s.active_state, s.sub_state),
                or_dash(s.since.map(since)),
                or_dash(s.memory_bytes.map(human_bytes)),
                s.restarts.to_string(),
            ]);
        }
        print(front, &rows)?;
    }
    if let Some(d) = i.documents {
        front.printer.data(&format!(
            "  documents: {} processed, {} failed, {} pending\n",
            d.processed, d.failed, d.pending
        ))?;
    }
    if let Some(at) = &i.last_ingest {
        front.printer.data(&format!("  last ingest: {}\n", moment(at)))?;
    }
    for chore in &i.schedule {
        let when = chore
            .last
            .as_ref()
            .map_or_else(|| "not yet".to_owned(), |at| format!("last {}", moment(at)));
        let now = if chore.active { ", at work" } else { "" };
        let line = match &chore.failed {
            Some(why) => format!("{when}, {} {why}", "failed:".red()),
            None if ["idle", "watch"].contains(&chore.what) => String::from("on"),
            None => when,
        };
        front
            .printer
            .data(&format!("  by itself: {} ({}): {line}{now}\n", chore.what, chore.unit))?;
    }
    if let Some(said) = &i.engine {
        front.printer.data(&format!("  its engine says (exit code {}):\n", said.exit_code))?;
        for line in said.output.lines() {
            front.printer.data(&format!("    {line}\n"))?;
        }
    }
    Ok(())
}

/// Seconds since 1970, as [`when`].
fn since(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| "-".to_owned(), when)
}

/// A time as it was noted; as it stands where it is no time.
fn moment(at: &str) -> String {
    at.parse::<jiff::Timestamp>().map_or_else(|_| at.to_owned(), when)
}

/// `2026-11-24 20:01:07 CET, 3min ago`, in the local time zone.
fn when(at: jiff::Timestamp) -> String {
    let ago = ServiceStatus::ago(u64::try_from(at.as_second()).unwrap_or(0));
    let zoned = at.to_zoned_datetime(jiff::tz::TimeZone::system());
    format!("{}, {} ago", zoned.strftime("%F %T %Z"), human_seconds(ago))
}

pub(super) async fn audit(front: &Front<'_>, args: &Audit) -> Result<ExitCode> {
    let audit = front.with(async |ctx| ops::audit::audit(ctx, &args.names).await).await?;
    if front.printer.json {
        front.printer.document(&audit)?;
    } else {
        for (i, of_one) in audit.checks.chunk_by(|a, b| a.instance == b.instance).enumerate() {
            let name = of_one.first().map_or("", |c| c.instance.as_str());
            let gap = if i > 0 { "\n" } else { "" };
            let text = verdicts(of_one.iter().map(|c| &c.check), front.printer.quiet);
            if !text.is_empty() {
                front.printer.data(&format!("{gap}{}\n{text}", name.bold()))?;
            }
        }
    }
    let breaches = audit.breaches();
    if breaches > 0 {
        front.printer.say(&format!("{breaches} broken: see the lines that say fail"));
        return Ok(ExitCode::from(1));
    }
    if let Some(idle) = audit.idle.first() {
        front.printer.say(&format!("{idle} is not running: start it with ragpod up {idle}"));
        return Ok(ExitCode::from(Kind::NotRunning.exit_code()));
    }
    if audit.checks.is_empty() {
        front.printer.say("no instance is running: nothing was tried");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn provider(front: &Front<'_>, verb: &Provider) -> Result<ExitCode> {
    let Provider::Test(args) = verb;
    let report = front.with(async |ctx| ops::provider::test(ctx, &args.name).await).await?;
    if front.printer.json {
        front.printer.document(&report)?;
    } else {
        let place = report.base_url.as_deref().unwrap_or("in the engine");
        front.printer.say(&format!("{}: {}, {place}", report.instance, report.provider));
        front.printer.data(&verdicts(report.checks.iter(), front.printer.quiet))?;
    }
    Ok(ExitCode::from(u8::from(!report.works())))
}

pub(super) async fn image(front: &Front<'_>, verb: &Image) -> Result<ExitCode> {
    match verb {
        Image::Build(args) => {
            let which = if args.which.is_empty() { &ImageKind::ALL[..] } else { &args.which };
            let base = args.base.as_deref();
            front
                .with(async |ctx| match &args.engine_context {
                    Some(checkout) => ops::images::build_upstream(ctx, checkout, base),
                    None => ops::images::build_all(ctx, which, base),
                })
                .await?;
        }
        Image::List => {
            let images = ops::images::list()?;
            if front.printer.json {
                front.printer.document(&json!({ "images": images }))?;
            } else {
                let mut rows = table(["IMAGE", "STATE", "SIZE"], &[2]);
                for i in images {
                    rows.add_row([
                        i.image.to_string(),
                        i.state.to_owned(),
                        or_dash(i.size_bytes.map(human_bytes)),
                    ]);
                }
                print(front, &rows)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
