//! Arguments of the verbs that show what instances do.

use clap::{Args, ValueEnum};

use super::containers::Service;
use super::values::duration;
use crate::error::{Error, Result};
use crate::model::{Name, Part};
use crate::ops::top::Sort;

/// Instances, or all.
#[derive(Debug, Args)]
pub struct Names {
    /// The instances' names; all when none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
}

/// `graph`.
#[derive(Debug, Args)]
pub struct Graph {
    /// The instances' names; all when none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
    /// Write an SVG drawing into this file
    #[arg(short, long, value_name = "FILE.svg")]
    pub output: Option<camino::Utf8PathBuf>,
    /// Print an SVG drawing instead of text
    #[arg(long, conflicts_with = "output")]
    pub svg: bool,
}

/// `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// The instances' names; all when none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<Name>,
    /// What comes first: cpu, memory or name
    #[arg(long, value_name = "KEY", default_value = "cpu", hide_possible_values = true)]
    pub sort: SortKey,
    /// Look once, for half a second, and print it
    #[arg(long)]
    pub once: bool,
    /// How long to wait between two rounds
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    pub interval: std::time::Duration,
}

/// What `top` sorts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// The busiest first
    Cpu,
    /// The largest first
    Memory,
    /// By name
    Name,
}

impl From<SortKey> for Sort {
    fn from(key: SortKey) -> Self {
        match key {
            SortKey::Cpu => Sort::Cpu,
            SortKey::Memory => Sort::Memory,
            SortKey::Name => Sort::Name,
        }
    }
}

/// A time between rounds: looking all the time would be the main load.
fn interval(text: &str) -> Result<std::time::Duration, String> {
    let interval = duration(text)?;
    if interval < std::time::Duration::from_millis(200) {
        return Err("200ms is the least".to_owned());
    }
    Ok(interval)
}

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The instances' names, and services of them to be shown alone: app, postgres, egress or pod
    #[arg(value_name = "NAME|SERVICE", required_unless_present = "all")]
    pub words: Vec<String>,
    /// Show all instances
    #[arg(long)]
    pub all: bool,
    /// Go on printing new lines
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u32>,
    /// Only lines since then, as journalctl reads it: '1 hour ago', 'today', 2026-01-31
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

impl Logs {
    /// The names and the parts among the words. The first word is a name, so that an instance may
    /// be called like a service; so are all that are no service.
    ///
    /// # Errors
    /// A word that is neither.
    pub fn names_and_parts(&self) -> Result<(Vec<Name>, Vec<Part>)> {
        let (mut names, mut parts) = (Vec::new(), Vec::new());
        for (i, word) in self.words.iter().enumerate() {
            let is_service = self.all || i > 0;
            match Service::from_str(word, true).ok().filter(|_| is_service) {
                Some(service) => parts.push(service.part()),
                None if self.all => {
                    return Err(Error::usage(format!(
                        "{word} is no service, and --all takes no name"
                    ))
                    .hint("the services are app, postgres, egress and pod"));
                }
                None => names.push(word.parse().map_err(|e| {
                    Error::usage(format!("{word} is neither an instance's name nor a service"))
                        .cause(format!("{e}"))
                        .hint("the services are app, postgres, egress and pod")
                        .hint("see which instances there are: ragpod list")
                })?),
            }
        }
        Ok((names, parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str], all: bool) -> Result<(Vec<Name>, Vec<Part>)> {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        Logs { words, all, follow: false, lines: None, since: None }.names_and_parts()
    }

    #[test]
    fn names_and_services_are_told_apart() {
        let names =
            |list: &[&str]| -> Vec<Name> { list.iter().map(|n| n.parse().unwrap()).collect() };
        assert_eq!(of(&["a", "postgres"], false).unwrap(), (names(&["a"]), vec![Part::Postgres]));
        assert_eq!(of(&["a", "b", "app"], false).unwrap(), (names(&["a", "b"]), vec![Part::App]));
        // Only the first may be called like a service.
        assert_eq!(of(&["pod", "pod"], false).unwrap(), (names(&["pod"]), vec![Part::Pod]));
        assert_eq!(of(&["egress"], true).unwrap(), (vec![], vec![Part::Egress]));
        assert!(of(&["a"], true).is_err() && of(&["A"], false).is_err());
    }
}
