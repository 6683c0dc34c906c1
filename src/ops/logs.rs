//! `logs`: what the services of instances said, merged by time. From the journal, which has what
//! the containers said and what systemd said of them; from Podman, where the journal has nothing.

use super::{Ctx, manifests};
use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::install::{UnitDir, owner};
use crate::journal::{self, FIELDS, From, Record, Show};
use crate::model::{Name, Part};
use crate::podman::{Logs, Podman};

/// What `logs` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The instances; all when empty.
    pub names: &'a [Name],
    /// Only these parts; all when empty.
    pub parts: &'a [Part],
    /// Go on printing.
    pub follow: bool,
    /// Only the last lines.
    pub lines: Option<u32>,
    /// Only lines since then, in journalctl's words.
    pub since: Option<&'a str>,
    /// Podman's own record of what it did, too.
    pub all: bool,
}

/// Where the lines come from.
#[derive(Debug)]
pub enum Source {
    /// The journal.
    Journal,
    /// Podman, because the journal has nothing of these containers.
    Podman(Vec<(String, Name, Part)>),
}

/// Lines that are shown when following begins.
const LAST: u32 = 10;

impl Query<'_> {
    fn services(&self) -> Vec<String> {
        let parts = if self.parts.is_empty() { &Part::ALL } else { self.parts };
        self.names.iter().flat_map(|name| parts.iter().map(|part| part.service(name))).collect()
    }

    fn shows(&self, record: &Record) -> bool {
        self.all || record.from != From::Noise
    }
}

/// The instances that are asked for: those named, or all.
///
/// # Errors
/// [`Kind::NoInstance`] for a name that nothing has.
pub fn names(ctx: Ctx<'_>, wanted: &[Name]) -> Result<Vec<Name>> {
    let installed = UnitDir::new(ctx.env).parts()?;
    let names: Vec<Name> = manifests::asked(ctx.env, &installed, wanted)?.into_iter().collect();
    if names.is_empty() {
        return Err(Error::new(Kind::NoInstance, "there is no instance yet")
            .hint("make one: ragpod create NAME --source DIR"));
    }
    Ok(names)
}

/// The command that prints the journal's entries as JSON, to take this process's place.
#[must_use]
pub fn json(query: &Query<'_>) -> Cmd {
    let show = Show {
        follow: query.follow,
        lines: query.lines,
        since: query.since.map(ToOwned::to_owned),
        output: Some("json".to_owned()),
        ..Show::default()
    };
    journal::show(&query.services(), &show)
}

/// Where there is something to be had of the instances' containers.
///
/// # Errors
/// What Podman says, when the journal has nothing and Podman cannot be asked.
pub fn source(ctx: Ctx<'_>, query: &Query<'_>) -> Result<Source> {
    let asked =
        |part: &Part| part.is_container() && (query.parts.is_empty() || query.parts.contains(part));
    let containers: Vec<(String, Name, Part)> = query
        .names
        .iter()
        .flat_map(|name| {
            let parts = Part::ALL.into_iter().filter(asked);
            parts.map(|part| (part.podman_name(name), name.clone(), part))
        })
        .collect();
    let names: Vec<&str> = containers.iter().map(|(c, _, _)| c.as_str()).collect();
    // What the journal has may be of a time before.
    let elsewhere = || keep_elsewhere(ctx, query.names);
    if names.is_empty() || (!elsewhere() && journal::has_words_of(&names)) {
        return Ok(Source::Journal);
    }
    let there = Podman::new().ps_all()?;
    let is_there = |name: &String| there.iter().any(|c| c.names.contains(name));
    let left: Vec<_> = containers.into_iter().filter(|(c, _, _)| is_there(c)).collect();
    Ok(if left.is_empty() { Source::Journal } else { Source::Podman(left) })
}

/// Whether a drop-in has a container keep what it says elsewhere than in the journal.
fn keep_elsewhere(ctx: Ctx<'_>, names: &[Name]) -> bool {
    UnitDir::new(ctx.env).values("LogDriver").iter().any(|(file, driver)| {
        driver != "journald" && owner(file).is_some_and(|name| names.contains(&name))
    })
}

/// Gives each record to `show`, oldest first, until it says `false`.
///
/// # Errors
/// What journalctl or Podman says against the question, and `show`'s own.
pub fn read(
    query: &Query<'_>,
    source: &Source,
    show: &mut dyn FnMut(&Record) -> Result<bool>,
) -> Result<()> {
    match source {
        Source::Journal => from_journal(query, show),
        Source::Podman(containers) => from_podman(query, containers, show),
    }
}

fn from_journal(query: &Query<'_>, show: &mut dyn FnMut(&Record) -> Result<bool>) -> Result<()> {
    let services = query.services();
    let base = Show {
        since: query.since.map(ToOwned::to_owned),
        output: Some("json".to_owned()),
        ..Show::default()
    };
    let fields = format!("--output-fields={FIELDS}");
    let command = |show: &Show| journal::show(&services, show).arg("--no-pager").arg(&fields);
    // Lines that are not shown do not count, so journalctl cannot count: it is read backwards.
    let last = query.lines.or((query.follow && query.since.is_none()).then_some(LAST));
    let mut after = None;
    if let Some(last) = last {
        let mut records: Vec<Record> = Vec::new();
        command(&Show { reverse: true, ..base.clone() }).until(|line| {
            let Some(record) = Record::parse(line) else { return Ok(true) };
            // Even one that is not shown is where following goes on.
            after.get_or_insert_with(|| record.cursor.clone());
            if query.shows(&record) && records.len() < last as usize {
                records.push(record);
            }
            Ok(records.len() < last as usize)
        })?;
        for record in records.iter().rev() {
            if !show(record)? {
                return Ok(());
            }
        }
        if !query.follow {
            return Ok(());
        }
    }
    let rest = if last.is_none() {
        Show { follow: query.follow, ..base }
    } else {
        // Nothing yet: all that comes.
        let lines = after.is_none().then_some(0);
        Show { follow: true, after, lines, since: None, ..base }
    };
    // journalctl --follow shows the last ten unless told otherwise.
    let command = command(&rest);
    let command =
        if rest.follow && rest.lines.is_none() { command.arg("--no-tail") } else { command };
    command.until(|line| match Record::parse(line) {
        Some(record) if query.shows(&record) => show(&record),
        _ => Ok(true),
    })
}

fn from_podman(
    query: &Query<'_>,
    containers: &[(String, Name, Part)],
    show: &mut dyn FnMut(&Record) -> Result<bool>,
) -> Result<()> {
    let names: Vec<&str> = containers.iter().map(|(c, _, _)| c.as_str()).collect();
    let since = query.since.map(journal::instant).transpose()?;
    let podman = Podman::new();
    let mut logs = Logs { follow: false, since: since.as_deref(), last: query.lines };
    if query.follow {
        logs.follow = true;
        logs.last = query.lines.or(query.since.is_none().then_some(LAST));
        return podman.logs(&names, &logs).lines_until(|line| {
            Record::of_podman(line, containers).map_or(Ok(true), |record| show(&record))
        });
    }
    // Podman gives one container after the other.
    let mut records = Vec::new();
    podman.logs(&names, &logs).lines_until(|line| {
        records.extend(Record::of_podman(line, containers));
        Ok(true)
    })?;
    records.sort_by_key(|record| record.at);
    let first =
        records.len() - query.lines.map_or(records.len(), |n| records.len().min(n as usize));
    for record in &records[first..] {
        if !show(record)? {
            break;
        }
    }
    Ok(())
}
