//! `logs`: one line for each line that a service said, with the time and whose it is.

use std::process::ExitCode;

use owo_colors::{AnsiColors, OwoColorize};

use super::Front;
use super::talk::become_program;
use crate::cli::Logs;
use crate::error::Result;
use crate::journal::{From, Record};
use crate::model::{Name, Part};
use crate::ops::logs::{self, Query, Source};

/// So much is gathered before it is printed, when nobody waits for the next line.
const CHUNK: usize = 32 << 10;

pub(super) fn logs(front: &Front<'_>, args: &Logs) -> Result<ExitCode> {
    let (names, parts) = args.names_and_parts()?;
    let several = names.len() > 1;
    let names = logs::names(front.quiet(), &names).map_err(|e| {
        // What is no service was taken for a name.
        if several { e.hint("the services are app, postgres, egress and pod") } else { e }
    })?;
    let query = Query {
        names: &names,
        parts: &parts,
        follow: args.follow,
        lines: args.lines,
        since: args.since.as_deref(),
        all: front.printer.verbose,
    };
    if front.printer.json {
        return become_program(&logs::json(&query));
    }
    let source = logs::source(front.quiet(), &query)?;
    if matches!(source, Source::Podman(_)) {
        front.printer.warn(
            "the journal has not what these containers say (see ragpod doctor): this is what \
             Podman kept, if it did",
        );
    }
    let form = Form::new(&names);
    let mut text = String::new();
    logs::read(&query, &source, &mut |record| {
        form.write(&mut text, record);
        if !args.follow && text.len() < CHUNK {
            return Ok(true);
        }
        front.printer.part(&std::mem::take(&mut text))
    })?;
    front.printer.data(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// How lines look.
struct Form {
    /// The width of the instances' names; `None` when there is one instance, whose name is known.
    names: Option<usize>,
    zone: jiff::tz::TimeZone,
}

impl Form {
    fn new(names: &[Name]) -> Self {
        let width = names.iter().map(|n| n.as_str().len()).max();
        Self { names: width.filter(|_| names.len() > 1), zone: jiff::tz::TimeZone::system() }
    }

    fn write(&self, text: &mut String, record: &Record) {
        let at = jiff::Timestamp::from_microsecond(record.at).unwrap_or_default();
        let at = at.to_zoned_datetime(self.zone.clone()).strftime("%b %d %T").to_string();
        let label = record.part.label();
        // The longest of those that say anything day by day.
        let part = format!("{label:<8}").color(colour(record.part)).to_string();
        let whose = match self.names {
            None => part,
            Some(width) => {
                let name = format!("{:<width$}", record.name.as_str());
                format!("{} {part}", name.color(of_name(&record.name)))
            }
        };
        for line in record.message.lines() {
            let line = match record.from {
                From::Program => line.to_owned(),
                From::Systemd | From::Noise => line.dimmed().to_string(),
            };
            text.push_str(&format!("{} {whose} | {line}\n", at.dimmed()));
        }
    }
}

/// The same for a service, whatever is shown with it.
fn colour(part: Part) -> AnsiColors {
    match part {
        Part::App => AnsiColors::Cyan,
        Part::Postgres => AnsiColors::Blue,
        Part::Egress => AnsiColors::Magenta,
        Part::Pod => AnsiColors::Yellow,
        _ => AnsiColors::Green,
    }
}

/// The same for a name, whatever is shown with it.
fn of_name(name: &Name) -> AnsiColors {
    const COLOURS: [AnsiColors; 6] = [
        AnsiColors::BrightGreen,
        AnsiColors::BrightYellow,
        AnsiColors::BrightBlue,
        AnsiColors::BrightMagenta,
        AnsiColors::BrightCyan,
        AnsiColors::BrightRed,
    ];
    let sum = name.as_str().bytes().fold(0_usize, |sum, b| sum * 31 + usize::from(b));
    COLOURS[sum % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str], from: From, message: &str) -> String {
        let names: Vec<Name> = names.iter().map(|n| n.parse().unwrap()).collect();
        let form = Form { zone: jiff::tz::TimeZone::UTC, ..Form::new(&names) };
        let record = Record {
            name: names[0].clone(),
            part: Part::App,
            at: 1_795_574_920_541_872,
            message: message.to_owned(),
            from,
            cursor: String::new(),
        };
        let mut text = String::new();
        form.write(&mut text, &record);
        text
    }

    #[test]
    fn each_line_says_whose_it_is() {
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain(shown(&["a"], From::Program, "one\ntwo")),
            "Nov 25 02:48:40 app      | one\nNov 25 02:48:40 app      | two\n"
        );
        assert_eq!(
            plain(shown(&["a", "notes"], From::Systemd, "x")),
            "Nov 25 02:48:40 a     app      | x\n"
        );
    }

    #[test]
    fn a_colour_is_a_services_own() {
        let text = shown(&["a"], From::Program, "x");
        assert!(text.contains("\u{1b}[36mapp "), "{text:?}");
        assert!(shown(&["a"], From::Noise, "x").ends_with("| \u{1b}[2mx\u{1b}[0m\n"));
        assert_ne!(colour(Part::App) as usize, colour(Part::Postgres) as usize);
    }
}
