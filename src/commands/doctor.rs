//! `doctor`, and how checks are shown.

use std::process::ExitCode;

use owo_colors::OwoColorize;
use serde_json::json;

use super::Front;
use crate::cli::Doctor;
use crate::error::Result;
use crate::host::{Check, Status as Verdict};
use crate::ops;
use crate::ops::doctor::Mended;

pub(super) async fn doctor(front: &Front<'_>, args: &Doctor) -> Result<ExitCode> {
    let (mended, checks) = if args.fix {
        front.with(async |ctx| Ok(ops::doctor::fix(ctx).await)).await?
    } else {
        (Vec::new(), ops::doctor::doctor(front.quiet()).await)
    };
    let bad = checks.iter().any(|c| c.status == Verdict::Fail);
    if front.printer.json {
        let (fixed, tried): (Vec<&Mended>, Vec<&Mended>) =
            mended.iter().partition(|m| m.error.is_none());
        let mut document = json!({ "checks": checks });
        if args.fix {
            document["fixed"] = json!(fixed);
            document["not_fixed"] = json!(tried);
        }
        front.printer.document(&document)?;
    } else {
        for m in &mended {
            match &m.error {
                None => front.printer.say(&format!("{}  {}", "mended".green(), m.detail)),
                Some(why) => front.printer.warn(&format!("{} is as it was: {why}", m.id)),
            }
        }
        let text = verdicts(checks.iter(), front.printer.quiet);
        front.printer.data(&text)?;
        if args.fix {
            front.printer.say(&summary(&mended, &checks));
        } else if bad {
            front.printer.say("this host cannot run instances yet: see the lines that say fail");
        }
    }
    Ok(ExitCode::from(if bad { 3 } else { 0 }))
}

/// What was done, and what is left for the reader.
fn summary(mended: &[Mended], checks: &[Check]) -> String {
    let done = mended.iter().filter(|m| m.error.is_none()).count();
    let left = checks.iter().filter(|c| c.fix.is_some()).count();
    let left = match left {
        0 => "nothing is left".to_owned(),
        1 => "1 thing is left: see its cure above".to_owned(),
        n => format!("{n} things are left: see their cures above"),
    };
    format!("{done} mended; {left}")
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
pub(super) fn verdicts<'a>(checks: impl Iterator<Item = &'a Check> + Clone, quiet: bool) -> String {
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
