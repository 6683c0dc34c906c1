//! Output: data on stdout, everything for people on stderr, colour only where it is wanted.

use std::borrow::Cow;
use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::cli::{Color, Global};
use crate::error::{Error, Result};

/// Where a command prints.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools)] // Each is an option of its own.
pub struct Printer {
    choice: ColorChoice,
    /// Data as JSON.
    pub json: bool,
    /// Nothing but data and errors.
    pub quiet: bool,
    /// More about what is done.
    pub verbose: bool,
    /// Standard error is a terminal: live progress is allowed.
    pub live: bool,
    /// Where files lie, and what they were called where the command was typed.
    names: Vec<(String, String)>,
}

impl Printer {
    /// A printer as the global options ask.
    #[must_use]
    pub fn new(global: &Global, stderr_tty: bool) -> Self {
        Self {
            choice: match global.color {
                Color::Auto => ColorChoice::Auto,
                Color::Always => ColorChoice::AlwaysAnsi,
                Color::Never => ColorChoice::Never,
            },
            json: global.json,
            quiet: global.quiet || global.json,
            verbose: global.verbose,
            // With --json, standard error has nothing but an error's document.
            live: stderr_tty && !global.quiet && !global.json,
            names: Vec::new(),
        }
    }

    /// The same, but files are called by their second name wherever the first is printed.
    #[must_use]
    pub fn calling(mut self, names: impl IntoIterator<Item = (String, String)>) -> Self {
        self.names.extend(names);
        self
    }

    fn called<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.names.iter().fold(text.into(), |text, (place, name)| {
            if text.contains(place) { text.replace(place, name).into() } else { text }
        })
    }

    /// Whether standard error gets colour.
    #[must_use]
    pub fn colour(&self) -> bool {
        match self.choice {
            ColorChoice::Auto => AutoStream::choice(&io::stderr()) != ColorChoice::Never,
            choice => choice != ColorChoice::Never,
        }
    }

    /// Prints data. A closed pipe (`ragpod list | head -1`) ends the program quietly.
    pub fn data(&self, text: &str) -> Result<()> {
        self.part(text).map(drop)
    }

    /// Prints a part of data that goes on; `false` when nobody reads it any more.
    pub fn part(&self, text: &str) -> Result<bool> {
        let mut out = AutoStream::new(io::stdout().lock(), self.choice);
        match out.write_all(self.called(text).as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Error::io("write to", "standard output", &e)),
        }
    }

    /// Prints data as one JSON document.
    pub fn document(&self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|e| Error::failed("cannot write JSON").cause(e.to_string()))?;
        text.push('\n');
        self.data(&text)
    }

    /// A line for people: what was done.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.stderr(&format!("{line}\n"));
        }
    }

    /// Asks a person; anything but y or yes is no.
    pub fn ask(&self, what: &str) -> Result<bool> {
        self.stderr(&format!("{what}. Go on? [y/N] "));
        let mut answer = String::new();
        io::stdin()
            .read_line(&mut answer)
            .map_err(|e| Error::io("read", "the answer from standard input", &e))?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Something that is not right but does not stop us.
    pub fn warn(&self, line: &str) {
        if self.json {
            return;
        }
        self.stderr(&format!("{} {line}\n", "warning:".yellow().bold()));
    }

    /// A failure: one line, its causes, what to type next.
    pub fn error(&self, error: &Error) {
        if self.json {
            self.stderr(&format!("{}\n", error.to_json()));
            return;
        }
        let mut text = format!("{} {}\n", "error:".red().bold(), error.message);
        for cause in &error.causes {
            for line in cause.lines() {
                text.push_str("  ");
                text.push_str(line);
                text.push('\n');
            }
        }
        for hint in error.hints() {
            text.push_str(&format!("{} {hint}\n", "hint:".cyan().bold()));
        }
        self.stderr(&text);
    }

    /// Writes to standard error; when even that fails there is nobody to tell.
    fn stderr(&self, text: &str) {
        let mut out = AutoStream::new(io::stderr().lock(), self.choice);
        let _ = out.write_all(self.called(text).as_bytes());
        let _ = out.flush();
    }
}

/// An amount of memory or disk for people: `24.1 MiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    let unit = UNITS[power as usize];
    if power == 0 {
        return format!("{bytes} {unit}");
    }
    let size = 1u128 << (power * 10);
    let tenths = (u128::from(bytes) * 10 + size / 2) / size;
    if tenths >= 1000 {
        format!("{} {unit}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// A span of time for people: `4s`, `3min`, `2h 5min`, `6d 1h`.
#[must_use]
pub fn human_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}min", seconds / 60),
        3600..86400 => format!("{}h {}min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(1536), "1.5 KiB");
        assert_eq!(human_bytes(25_270_682), "24.1 MiB");
        assert_eq!(human_bytes(2 << 30), "2.0 GiB");
        assert_eq!(human_bytes(350 << 20), "350 MiB");
    }

    #[test]
    fn spans() {
        assert_eq!(human_seconds(4), "4s");
        assert_eq!(human_seconds(185), "3min");
        assert_eq!(human_seconds(7500), "2h 5min");
        assert_eq!(human_seconds(90_000 + 86400 * 5), "6d 1h");
    }
}
