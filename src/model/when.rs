//! Times and spans of time, as systemd.time(7) writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text::{Text, TextError};

/// A calendar expression of systemd.time(7), of the right form: `hourly`, `Mon..Fri 03:00`.
/// Whether a time zone or a date exists, systemd says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Calendar(String);

const WORDS: [&str; 9] = [
    "minutely",
    "hourly",
    "daily",
    "monthly",
    "weekly",
    "yearly",
    "annually",
    "quarterly",
    "semiannually",
];
const DAYS: [&str; 14] = [
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

impl Calendar {
    /// The expression.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How far apart the runs of many instances may be spread: what is wanted every few seconds or
    /// minutes is not to be late by as much.
    #[must_use]
    pub fn spread(&self) -> Duration {
        let text = self.0.to_lowercase();
        let first = text.split(' ').next().unwrap_or_default();
        let time = text.split(' ').find(|t| t.contains(':'));
        let fixed = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let seconds = match (first, time.map(|t| t.split(':').collect::<Vec<_>>())) {
            ("minutely", _) => 0,
            ("hourly", _) => 5 * 60,
            (_, Some(parts)) if parts.get(2).is_some_and(|s| !fixed(s)) => 0,
            (_, Some(parts)) if parts.get(1).is_some_and(|m| !fixed(m)) => 0,
            (_, Some(parts)) if !fixed(parts[0]) => 5 * 60,
            _ => 15 * 60,
        };
        Duration::from_secs(seconds)
    }
}

impl FromStr for Calendar {
    type Err = TextError;

    fn from_str(s: &str) -> Result<Self, TextError> {
        let text: Text = s.parse()?;
        let wrong = |what: &str| {
            TextError::Rule(format!(
                "{s:?} is no calendar expression: {what}; write \"hourly\", \"daily\" or \
                 \"Mon..Fri 03:00\" (see systemd.time(7))"
            ))
        };
        if text.as_str().len() > 200 {
            return Err(TextError::TooLong(200));
        }
        let mut tokens = s.split(' ').filter(|t| !t.is_empty()).peekable();
        let first = tokens.peek().ok_or_else(|| wrong("it is blank"))?.to_lowercase();
        let word = WORDS.contains(&first.as_str()) || first == "semi-annually";
        if word {
            tokens.next();
        } else {
            let mut some = false;
            if tokens.next_if(|t| is_days(t)).is_some() {
                some = true;
            }
            if let Some(date) = tokens.next_if(|t| !t.contains(':') && looks_like_date(t)) {
                some = true;
                is_date(date).then_some(()).ok_or_else(|| wrong("its date is none"))?;
            }
            if let Some(time) = tokens.next_if(|t| t.contains(':')) {
                some = true;
                is_time(time).then_some(()).ok_or_else(|| wrong("its time is none"))?;
            }
            if !some {
                return Err(wrong("it has no day, date or time"));
            }
        }
        if tokens.next().is_some_and(|zone| !is_zone(zone)) || tokens.next().is_some() {
            return Err(wrong("something else follows it"));
        }
        Ok(Self(s.split(' ').filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")))
    }
}

/// `Mon`, `Mon,Fri`, `Mon..Fri`, `Mon..Wed,Sat`.
fn is_days(token: &str) -> bool {
    let day = |d: &str| DAYS.contains(&d.to_lowercase().as_str());
    token.trim_end_matches(',').split(',').all(|part| match part.split_once("..") {
        Some((from, to)) => day(from) && day(to),
        None => day(part),
    })
}

fn looks_like_date(token: &str) -> bool {
    token.contains(['-', '~']) && token.starts_with(|c: char| c.is_ascii_digit() || c == '*')
}

/// `2026-*-01`, `*-*~03`, `05-01`.
fn is_date(token: &str) -> bool {
    let parts: Vec<&str> = token.split(['-', '~']).collect();
    if token.matches('~').count() > 1 || token.rfind('~').is_some_and(|t| token[t..].contains('-'))
    {
        return false;
    }
    match parts.as_slice() {
        [year, month, day] => {
            component(year, 0..=2199) && component(month, 1..=12) && component(day, 1..=31)
        }
        [month, day] => component(month, 1..=12) && component(day, 1..=31),
        _ => false,
    }
}

/// `03:00`, `*:0/15`, `*:*:0/5.5`.
fn is_time(token: &str) -> bool {
    match token.split(':').collect::<Vec<_>>().as_slice() {
        [hour, minute] => component(hour, 0..=23) && component(minute, 0..=59),
        [hour, minute, second] => {
            let whole: String = second
                .split(',')
                .map(|part| {
                    let number =
                        |n: &str| n.split_once('.').map_or(n, |(whole, _)| whole).to_owned();
                    match part.split_once('/') {
                        Some((from, step)) => format!("{}/{}", number(from), number(step)),
                        None if part.contains("..") => part.to_owned(),
                        None => number(part),
                    }
                })
                .collect::<Vec<_>>()
                .join(",");
            let fractions = second.chars().all(|c| c.is_ascii_digit() || "*/,.".contains(c));
            fractions
                && component(hour, 0..=23)
                && component(minute, 0..=59)
                && component(&whole, 0..=59)
        }
        _ => false,
    }
}

/// `*`, `7`, `1..5`, `0/15`, `1..9/2`, and lists of these.
fn component(text: &str, range: std::ops::RangeInclusive<u32>) -> bool {
    let number = |n: &str| n.len() <= 4 && n.parse::<u32>().is_ok_and(|n| range.contains(&n));
    text.split(',').all(|part| {
        let (from, step) = part.split_once('/').map_or((part, None), |(f, s)| (f, Some(s)));
        let step =
            step.is_none_or(|s| s.len() <= 4 && s.parse::<u32>().is_ok_and(|n| n > 0 || s == "0"));
        let base = match from.split_once("..") {
            Some((a, b)) => number(a) && number(b),
            None => from == "*" || number(from),
        };
        base && step
    })
}

/// `UTC`, `Europe/Berlin`.
fn is_zone(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic())
        && token.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time span as systemd writes it: `90`, `30min`, `1h 30min`. Ten seconds to a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

const UNITS: [(&str, u64); 21] = [
    ("seconds", 1),
    ("second", 1),
    ("sec", 1),
    ("s", 1),
    ("minutes", 60),
    ("minute", 60),
    ("min", 60),
    ("m", 60),
    ("hours", 3600),
    ("hour", 3600),
    ("hr", 3600),
    ("h", 3600),
    ("days", 86_400),
    ("day", 86_400),
    ("d", 86_400),
    ("weeks", 604_800),
    ("week", 604_800),
    ("w", 604_800),
    ("months", 2_629_800),
    ("month", 2_629_800),
    ("M", 2_629_800),
];

impl Span {
    /// How long it is.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = TextError;

    fn from_str(s: &str) -> Result<Self, TextError> {
        let wrong = || {
            TextError::Rule(format!(
                "{s:?} is no time span: write \"30min\", \"2h\" or \"1h 30min\""
            ))
        };
        let text: Text = s.parse()?;
        let mut rest = text.as_str().trim_matches(' ');
        let mut seconds: u64 = 0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = rest[digits..].trim_start_matches(' ');
            let letters =
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let unit = match &rest[..letters] {
                "" if rest.is_empty() => 1,
                word => UNITS.iter().find(|(w, _)| *w == word).ok_or_else(wrong)?.1,
            };
            rest = rest[letters..].trim_start_matches(' ');
            seconds =
                number.checked_mul(unit).and_then(|n| seconds.checked_add(n)).ok_or_else(wrong)?;
        }
        if !(10..=31_557_600).contains(&seconds) {
            return Err(TextError::Rule(format!("{s:?} is not between ten seconds and a year")));
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Span {
    /// As systemd reads it: `1h 30min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        let mut gap = "";
        for (word, unit) in [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)] {
            if rest >= unit {
                write!(f, "{gap}{}{word}", rest / unit)?;
                rest %= unit;
                gap = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendars() {
        for good in [
            "hourly",
            "Daily",
            "semi-annually",
            "weekly Europe/Berlin",
            "03:00",
            "Mon..Fri 03:00",
            "Mon,Wed *-*-* 12:00:00",
            "*:0/15",
            "*:*:0/5",
            "*-*-* *:00,30:00",
            "2026-05-01",
            "*-*-1..7 4:00 UTC",
            "*-*~07/1 18:00",
            "Sat 2026-*-01 00:00 Etc/GMT+1",
            "*:*:3.33/10.05",
        ] {
            let calendar = good.parse::<Calendar>();
            assert!(calendar.is_ok(), "{good}: {calendar:?}");
        }
        for bad in [
            "",
            " ",
            "never",
            "hourly daily x",
            "25:00",
            "12:60",
            "12",
            "Mon..Xyz",
            "13-01 00:00",
            "*-*-32",
            "; %n $HOME \" '",
            "hourly\nOnCalendar=daily",
            "*:*:*:*",
            "12:00 %h",
            "@12",
            "*-*-*-*",
            "03:00 03:00",
        ] {
            assert!(bad.parse::<Calendar>().is_err(), "{bad}");
        }
        assert_eq!("Mon   03:00".parse::<Calendar>().unwrap().as_str(), "Mon 03:00");
    }

    #[test]
    fn the_more_often_the_nearer() {
        let of = |c: &str| c.parse::<Calendar>().unwrap().spread().as_secs();
        assert_eq!((of("*:*:0/5"), of("*:0/15"), of("minutely")), (0, 0, 0));
        assert_eq!((of("hourly"), of("*:30"), of("0/2:00:00")), (300, 300, 300));
        assert_eq!((of("daily"), of("Mon 03:00"), of("2026-05-01")), (900, 900, 900));
    }

    #[test]
    fn spans() {
        let of = |s: &str| s.parse::<Span>().map(|s| s.duration().as_secs());
        assert_eq!(of("90"), Ok(90));
        assert_eq!(of("30min"), Ok(1800));
        assert_eq!(of("1h 30min"), Ok(5400));
        assert_eq!(of("1h30m"), Ok(5400));
        assert_eq!(of("2 days"), Ok(172_800));
        for bad in ["", "  ", "soon", "5", "-5min", "1.5h", "30 mins", "9999999999999999999d", "2y"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert_eq!("5400s".parse::<Span>().unwrap().to_string(), "1h 30min");
    }
}
