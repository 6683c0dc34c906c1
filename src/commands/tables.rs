//! `list`, `status`, `audit`, `doctor`, `image`: what is there, as tables for people and JSON for programs.

use std::process::ExitCode;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use owo_colors::OwoColorize;
use serde_json::json;

use super::Front;
use crate::cli::{Audit, Image, Status};
use crate::error::{Kind, Result};
use crate::host::{Check, Status as Verdict};
use crate::model::ImageKind;
use crate::ops;
use crate::ops::status::{InstanceStatus, ServiceStatus, State};
use crate::output::{human_bytes, human_seconds};

/// A table without lines, as `systemctl` and `podman` print them.
fn table<const N: usize>(head: [&str; N], right: &[usize]) -> Table {
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

fn print(front: &Front<'_>, table: &Table) -> Result<()> {
    // Trailing blanks of the last column would wrap on a narrow terminal.
    let text: String = table.lines().map(|l| l.trim_end().to_owned() + "\n").collect();
    front.printer.data(&text)
}

fn coloured(state: State) -> String {
    let word = state.as_str();
    match state {
        State::Running => word.green().to_string(),
        State::Starting => word.yellow().to_string(),
        State::Degraded | State::Failed => word.red().to_string(),
        State::Stopped | State::NotInstalled => word.dimmed().to_string(),
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
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
            coloured(i.state),
            i.health.to_owned(),
            or_dash(i.memory_bytes().map(human_bytes)),
            i.restarts().to_string(),
            or_dash(i.documents.map(|d| d.processed)),
        ]);
    }
    print(front, &rows)?;
    for i in &instances {
        if let Some(problem) = &i.problem {
            front.printer.warn(&format!("{}: {problem}", i.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(front: &Front<'_>, args: &Status) -> Result<ExitCode> {
    let instances = ops::status::status(front.quiet(), &args.names).await?;
    if front.printer.json {
        front.printer.document(&json!({ "instances": instances }))?;
        return Ok(ExitCode::SUCCESS);
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
    Ok(ExitCode::SUCCESS)
}

fn one(front: &Front<'_>, i: &InstanceStatus) -> Result<()> {
    let mut head = format!("{}: {}", i.name.bold(), coloured(i.state));
    if i.state == State::Running {
        head.push_str(", healthy");
    }
    front.printer.data(&(head + "\n"))?;
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
        front.printer.data(&format!("  last ingest: {at}\n"))?;
    }
    Ok(())
}

/// `2026-11-24 20:01:07, 3min ago`, in the local time zone.
fn since(seconds: u64) -> String {
    let ago = ServiceStatus::ago(seconds);
    i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).map_or_else(
        || "-".to_owned(),
        |at| {
            let zoned = at.to_zoned_datetime(jiff::tz::TimeZone::system());
            format!("{}, {} ago", zoned.strftime("%F %T"), human_seconds(ago))
        },
    )
}

pub(super) async fn doctor(front: &Front<'_>) -> Result<ExitCode> {
    let checks = ops::doctor::doctor(front.quiet()).await;
    let bad = checks.iter().any(|c| c.status == Verdict::Fail);
    if front.printer.json {
        front.printer.document(&json!({ "checks": checks }))?;
    } else {
        let text = verdicts(checks.iter(), front.printer.quiet);
        front.printer.data(&text)?;
        if bad {
            front.printer.say("this host cannot run instances yet: see the lines that say fail");
        }
    }
    Ok(ExitCode::from(if bad { 3 } else { 0 }))
}

/// The first few of many findings; JSON has them all.
fn shortened(detail: &str, most: usize) -> String {
    let findings: Vec<&str> = detail.split("; ").collect();
    if findings.len() <= most + 1 {
        return detail.to_owned();
    }
    format!("{}; and {} more", findings[..most].join("; "), findings.len() - most)
}

/// Checks for people, one a line, with the cure below; `quiet` leaves out what passed.
fn verdicts<'a>(checks: impl Iterator<Item = &'a Check> + Clone, quiet: bool) -> String {
    let width = checks.clone().map(|c| c.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { id, status, detail, fix } in checks {
        let detail = shortened(detail, if *status == Verdict::Pass { 3 } else { 8 });
        let mark = match status {
            Verdict::Pass if quiet => continue,
            Verdict::Pass => "pass".green().to_string(),
            Verdict::Warn => "warn".yellow().to_string(),
            Verdict::Fail => "fail".red().to_string(),
            Verdict::Skip => "skip".dimmed().to_string(),
        };
        text.push_str(&format!("{mark}  {id:<width$} {detail}\n"));
        if let Some(fix) = fix {
            text.push_str(&format!("      {:<width$} {} {fix}\n", "", "cure:".cyan()));
        }
    }
    text
}

pub(super) async fn audit(front: &Front<'_>, args: &Audit) -> Result<ExitCode> {
    let audit = front.with(async |ctx| ops::audit::audit(ctx, args.name.as_ref()).await).await?;
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

pub(super) async fn image(front: &Front<'_>, verb: &Image) -> Result<ExitCode> {
    match verb {
        Image::Build(args) => {
            let which = if args.which.is_empty() { &ImageKind::ALL[..] } else { &args.which };
            front
                .with(async |ctx| ops::images::build_all(ctx, which, args.base.as_deref()))
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
