//! The instance → what switches its schedule on: drop-ins of the template units, and for each the
//! unit that wants it.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;

use super::encode::{IsWords, Line, Plain, Refused, Words};
use super::filters;
use crate::error::{Error, Kind, Result};
use crate::model::{Calendar, Chore, Instance, Source, Span};

/// What an instance's schedule consists of in systemd's directory of user units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The text of each chore's drop-in.
    pub drop_ins: BTreeMap<Chore, String>,
    /// Every chore that is switched on.
    pub chores: Vec<Chore>,
}

#[derive(Template)]
#[template(path = "calendar.timer")]
struct CalendarTimer {
    instance: Plain,
    when: Line,
    spread: Plain,
    accuracy: Plain,
}

#[derive(Template)]
#[template(path = "idle.timer")]
struct IdleTimer {
    instance: Plain,
    period: Plain,
}

#[derive(Template)]
#[template(path = "watch.service")]
struct WatchService {
    instance: Plain,
    sources: Vec<Words>,
}

/// The shortest and the longest time between two looks whether an instance is idle.
const LOOKS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15 * 60));

/// Renders an instance's schedule.
pub fn schedule(instance: &Instance) -> Result<Schedule> {
    let chores = instance.schedule.chores();
    let mut drop_ins = BTreeMap::new();
    for chore in &chores {
        if let Some(text) = drop_in(instance, *chore)? {
            drop_ins.insert(*chore, text);
        }
    }
    Ok(Schedule { drop_ins, chores })
}

fn drop_in(instance: &Instance, chore: Chore) -> Result<Option<String>> {
    let schedule = &instance.schedule;
    let rendered = match chore {
        Chore::Ingest => schedule.ingest.as_ref().map(|c| calendar(instance, "ingest", c)),
        Chore::Backup => schedule.backup.as_ref().map(|c| calendar(instance, "backup", c)),
        Chore::Idle => schedule.idle_stop.map(|span| idle(instance, span)),
        Chore::Watch => Some(watch(instance)),
    };
    rendered
        .transpose()?
        .map(|text| {
            text.map_err(|e| {
                let unit = chore.unit(&instance.name);
                Error::new(Kind::Manifest, format!("the drop-in of {unit} cannot be rendered"))
                    .cause(e.to_string())
            })
        })
        .transpose()
}

type Rendered = Result<askama::Result<String>, Refused>;

fn calendar(instance: &Instance, key: &str, when: &Calendar) -> Rendered {
    let spread = when.spread().as_secs();
    // What comes every few seconds must be on time; all else may share its wake-ups.
    let accuracy = if spread == 0 { "1s" } else { "1min" };
    let timer = CalendarTimer {
        instance: Plain::one("instance.name", instance.name.as_str())?,
        when: Line::one(&format!("schedule.{key}"), when.as_str())?,
        spread: seconds(spread)?,
        accuracy: Plain::one("schedule", accuracy)?,
    };
    Ok(timer.render())
}

fn idle(instance: &Instance, span: Span) -> Rendered {
    let timer = IdleTimer {
        instance: Plain::one("instance.name", instance.name.as_str())?,
        period: seconds((span.duration() / 4).clamp(LOOKS.0, LOOKS.1).as_secs())?,
    };
    Ok(timer.render())
}

fn watch(instance: &Instance) -> Rendered {
    let source = |source: &Source| {
        let pattern = source.pattern.as_ref().map_or("", |pattern| pattern.as_str());
        Words::one("source.path", &format!("{} {pattern}", source.path))
    };
    let service = WatchService {
        instance: Plain::one("instance.name", instance.name.as_str())?,
        sources: instance.sources.iter().map(source).collect::<Result<_, _>>()?,
    };
    Ok(service.render())
}

fn seconds(seconds: u64) -> Result<Plain, Refused> {
    Plain::one("schedule", &format!("{seconds}s"))
}

/// The units that a distribution installs: templates, and the target that holds them.
const STATIC: [(&str, &str); 8] = [
    ("ragpod.target", include_str!("../../units/ragpod.target")),
    ("ragpod-ingest@.timer", include_str!("../../units/ragpod-ingest@.timer")),
    ("ragpod-ingest@.service", include_str!("../../units/ragpod-ingest@.service")),
    ("ragpod-backup@.timer", include_str!("../../units/ragpod-backup@.timer")),
    ("ragpod-backup@.service", include_str!("../../units/ragpod-backup@.service")),
    ("ragpod-idle@.timer", include_str!("../../units/ragpod-idle@.timer")),
    ("ragpod-idle@.service", include_str!("../../units/ragpod-idle@.service")),
    ("ragpod-watch@.service", include_str!("../../units/ragpod-watch@.service")),
];

/// Where the static units expect the program.
const PROGRAM: &str = "/usr/bin/ragpod";

/// The static units for a program that lies elsewhere, by file name: for hosts without a package.
/// `environment`: variables that it needs to find what is this user's.
///
/// # Errors
/// [`Kind::Manifest`] for a path that systemd cannot be told.
pub fn static_units(
    version: &str,
    program: &str,
    environment: &BTreeMap<&'static str, String>,
) -> Result<BTreeMap<&'static str, String>> {
    // The program itself is not searched for variables, so a `$` would not be undone.
    if program.contains('$') {
        return Err(Error::host(format!("systemd cannot start a program at {program}"))
            .hint("install ragpod somewhere else, for example in ~/.local/bin"));
    }
    let mut service = format!("ExecStart={}", Words::one("the program's path", program)?.words());
    for (name, value) in environment {
        let pair = Words::pair(name, name, value)?;
        // Environment= knows no `$`.
        service = format!("Environment={}\n{service}", pair.words().replace("$$", "$"));
    }
    let head = format!("# ragpod {version} put this here and takes it away again.\n");
    let text = |text: &str| head.clone() + &text.replace(&format!("ExecStart={PROGRAM}"), &service);
    Ok(STATIC.into_iter().map(|(file, unit)| (file, text(unit))).collect())
}
