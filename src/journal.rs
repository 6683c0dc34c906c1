//! The journal: what the services of an instance said, and what it probably means.

mod causes;
mod record;

pub use causes::{Cause, likely_cause};
pub use record::{FIELDS, From, Record};

use crate::error::{Error, Result};
use crate::exec::Cmd;

/// Which part of the journal is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Go on with what comes.
    pub follow: bool,
    /// Only this many last lines; `None` is journalctl's own choice.
    pub lines: Option<u32>,
    /// Only from this time on (systemd.time(7)).
    pub since: Option<String>,
    /// The output format (journalctl(1), `--output=`); `None` is `short`.
    pub output: Option<String>,
    /// Newest first.
    pub reverse: bool,
    /// Only what comes after this entry.
    pub after: Option<String>,
}

/// The command that shows the journal of services, to take this process's place: what the
/// containers said and what systemd and Podman say of them, merged by time.
#[must_use]
pub fn show<S: AsRef<str>>(services: &[S], show: &Show) -> Cmd {
    // Not `--user`, which reads the user's own journal files only: a volatile journal has none.
    let mut cmd = Cmd::new("journalctl").arg("--quiet");
    for service in services {
        cmd = cmd.arg(format!("--user-unit={}", service.as_ref()));
    }
    if show.follow {
        cmd = cmd.arg("--follow");
    }
    if let Some(lines) = show.lines {
        cmd = cmd.arg(format!("--lines={lines}"));
    }
    if let Some(since) = &show.since {
        cmd = cmd.arg(format!("--since={since}"));
    }
    if let Some(output) = &show.output {
        cmd = cmd.arg(format!("--output={output}"));
        if output == "json" {
            // Else fields of more than 4 KiB are null.
            cmd = cmd.arg("--all");
        }
    }
    if show.reverse {
        cmd = cmd.arg("--reverse");
    }
    if let Some(cursor) = &show.after {
        cmd = cmd.arg(format!("--after-cursor={cursor}"));
    }
    cmd
}

/// Whether the journal has anything that the containers of these names said, as far as this user
/// may read it. One that keeps nothing, or shows nothing, has not.
#[must_use]
pub fn has_words_of<S: AsRef<str>>(containers: &[S]) -> bool {
    let ask = Cmd::new("journalctl").args(["--quiet", "--no-pager", "--lines=1", "--output=cat"]);
    let names = containers.iter().map(|name| format!("CONTAINER_NAME={}", name.as_ref()));
    ask.args(names).stdout().is_ok_and(|text| !text.is_empty())
}

/// A time in systemd's words (systemd.time(7)) in seconds since 1970, as systemd itself reads it.
///
/// # Errors
/// It is no such time.
pub fn instant(words: &str) -> Result<String> {
    let text = Cmd::new("systemd-analyze").args(["timestamp", "--", words]).stdout()?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("UNIX seconds: @"))
        .map(|seconds| seconds.trim().to_owned())
        .ok_or_else(|| Error::usage(format!("{words:?} is no time")))
}

/// The last `n` lines of a service, oldest first, without dates: for error messages. `since` is in
/// microseconds since 1970.
pub fn tail(service: &str, n: u32, since: Option<u64>) -> Result<Vec<String>> {
    let options = Show {
        // What is left out below does not count.
        lines: Some(n * 8),
        since: since.map(|us| format!("@{}.{:06}", us / 1_000_000, us % 1_000_000)),
        output: Some("cat".to_owned()),
        ..Show::default()
    };
    let text = show(&[service], &options).arg("--no-pager").stdout()?;
    let mut lines: Vec<String> =
        text.lines().map(plain).filter(|line| !line.is_empty() && !is_noise(line)).collect();
    lines.drain(..lines.len().saturating_sub(n as usize));
    Ok(lines)
}

/// Lines that say nothing of a failure: Podman's record of each container that comes and goes, and
/// systemd's of what it cleans up.
fn is_noise(line: &str) -> bool {
    let event = [" container ", " pod ", " volume ", " network ", " image "]
        .iter()
        .any(|what| line.contains(what) && line.contains(" m=+"));
    event
        || (line.starts_with("conmon ") && line.contains("memory.events"))
        || (line.contains(": Killing process ") && line.ends_with("with signal SIGKILL."))
}

/// A line without terminal control: containers may colour what they say, or worse.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A control sequence ends with a letter or `~`.
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() || c == '~' {
                    break;
                }
            }
        } else if c == '\t' || !c.is_control() {
            out.push(c);
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_journalctls() {
        let options = Show {
            follow: true,
            lines: Some(5),
            since: Some("1 hour ago".into()),
            ..Show::default()
        };
        assert_eq!(
            show(&["a.service", "b.service"], &options).line(),
            "journalctl --quiet --user-unit=a.service --user-unit=b.service --follow --lines=5 \
             '--since=1 hour ago'"
        );
        assert_eq!(
            show(&["a.service"], &Show::default()).line(),
            "journalctl --quiet --user-unit=a.service"
        );
    }

    #[test]
    fn podmans_own_record_is_no_last_word() {
        assert!(is_noise(
            "2026-11-24 20:27:55.475360138 +0000 UTC m=+0.290904353 container start 2077e489 (image=x)"
        ));
        assert!(is_noise("a.service: Killing process 8917 (podman) with signal SIGKILL."));
        assert!(!is_noise("a.service: Main process exited, code=exited, status=1/FAILURE"));
    }

    #[test]
    fn terminal_control_is_taken_out() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\ttab\u{7} \r"), "red\ttab");
    }
}
