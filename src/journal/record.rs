//! One entry of the journal (`journalctl --output=json`), as far as it is shown to people.

use serde_json::Value;

use crate::model::{Name, Part};

/// The fields that are asked for; journalctl adds the time and the cursor by itself.
pub const FIELDS: &str = "MESSAGE,SYSLOG_IDENTIFIER,CONTAINER_NAME,_COMM,USER_UNIT,\
                          _SYSTEMD_USER_UNIT,OBJECT_SYSTEMD_USER_UNIT,COREDUMP_USER_UNIT";

/// An entry of an instance's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The instance.
    pub name: Name,
    /// The part of it whose service it is about.
    pub part: Part,
    /// When it was written, in microseconds since 1970.
    pub at: i64,
    /// What it says, without terminal control; several lines where the program wrote several.
    pub message: String,
    /// Who said it.
    pub from: From,
    /// Where it stands in the journal (journalctl(1), `--after-cursor=`); empty outside of one.
    pub cursor: String,
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The program in the container.
    Program,
    /// systemd, of the service.
    Systemd,
    /// Podman and what it calls, of what they do each time: nothing that people look for.
    Noise,
}

impl Record {
    /// Reads a line of `journalctl --output=json`; `None` for what is no entry of an instance's.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let entry: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| entry[key].as_str();
        let units =
            ["USER_UNIT", "OBJECT_SYSTEMD_USER_UNIT", "COREDUMP_USER_UNIT", "_SYSTEMD_USER_UNIT"];
        // What systemd says of a service is said by a service of its own.
        let (name, part) = units.iter().find_map(|key| Part::of_service(text(key)?))?;
        let message: Vec<String> = said(&entry["MESSAGE"]).lines().map(super::plain).collect();
        let message = message.join("\n");
        Some(Self {
            at: text("__REALTIME_TIMESTAMP")?.parse().ok()?,
            from: From::of(
                &message,
                text("CONTAINER_NAME"),
                text("_COMM"),
                text("SYSLOG_IDENTIFIER"),
            ),
            cursor: text("__CURSOR").unwrap_or_default().to_owned(),
            name,
            part,
            message,
        })
    }

    /// Reads a line of `podman logs --names --timestamps`: `CONTAINER TIME TEXT`, and without the
    /// container where there is but one.
    #[must_use]
    pub fn of_podman(line: &str, containers: &[(String, Name, Part)]) -> Option<Self> {
        let ((_, name, part), rest) = match containers {
            [one] => (one, line),
            several => {
                let (container, rest) = line.split_once(' ')?;
                (several.iter().find(|(c, _, _)| c == container)?, rest)
            }
        };
        let mut words = rest.splitn(2, ' ');
        let at: jiff::Timestamp = words.next()?.parse().ok()?;
        Some(Self {
            name: name.clone(),
            part: *part,
            at: at.as_microsecond(),
            message: super::plain(words.next().unwrap_or_default()),
            from: From::Program,
            cursor: String::new(),
        })
    }
}

impl From {
    fn of(
        message: &str,
        container: Option<&str>,
        program: Option<&str>,
        identifier: Option<&str>,
    ) -> Self {
        if container.is_some() && program == Some("conmon") && identifier != Some("conmon") {
            return From::Program;
        }
        match program {
            Some("systemd") if !super::is_noise(message) => From::Systemd,
            // What Podman says when it cannot do something is no noise.
            Some("podman") if !is_record(message) => From::Systemd,
            Some("systemd" | "podman" | "conmon") => From::Noise,
            Some(program) if program.starts_with("pasta") => From::Noise,
            _ => From::Systemd,
        }
    }
}

/// Podman's record of what it did: an event, or the name or id of what it made.
fn is_record(message: &str) -> bool {
    let is_id = message.len() == 64 && message.chars().all(|c| c.is_ascii_hexdigit());
    super::is_noise(message)
        || is_id
        || (message.starts_with("hybridrag-") && !message.contains(' '))
}

/// A message is text, or bytes where it is no UTF-8; of several the last is taken.
fn said(message: &Value) -> String {
    let bytes = |list: &[Value]| -> Option<Vec<u8>> {
        list.iter().map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok())).collect()
    };
    match message {
        Value::String(text) => text.clone(),
        Value::Array(list) => match bytes(list) {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => list.last().map(said).unwrap_or_default(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> Option<Record> {
        Record::parse(&format!(
            r#"{{"__REALTIME_TIMESTAMP":"1795574920541872","__CURSOR":"s=1",{fields}}}"#
        ))
    }

    fn from(fields: &str) -> From {
        let unit = r#""_SYSTEMD_USER_UNIT":"hybridrag-a-app.service""#;
        record(&format!("{unit},{fields}")).unwrap().from
    }

    #[test]
    fn who_says_it_and_of_whom() {
        let said = record(
            r#""MESSAGE":"hi","_COMM":"conmon","CONTAINER_NAME":"hybridrag-a-app",
            "SYSLOG_IDENTIFIER":"hybridrag-a-app","_SYSTEMD_USER_UNIT":"hybridrag-a-app.service""#,
        )
        .unwrap();
        assert_eq!((said.name.as_str(), said.part, said.from), ("a", Part::App, From::Program));
        assert_eq!((said.message.as_str(), said.cursor.as_str()), ("hi", "s=1"));
        let of_unit = record(
            r#""MESSAGE":"Started.","_COMM":"systemd","_SYSTEMD_USER_UNIT":"init.scope",
            "USER_UNIT":"hybridrag-a-pod.service""#,
        )
        .unwrap();
        assert_eq!((of_unit.part, of_unit.from), (Part::Pod, From::Systemd));
        assert!(record(r#""MESSAGE":"x","_SYSTEMD_USER_UNIT":"other.service""#).is_none());
        assert!(Record::parse("no json").is_none());
    }

    #[test]
    fn what_podman_says_each_time_is_noise() {
        let id = "3acc9b8cedaae834beaa533f61741ba8a5e8201b6676ce899830a540170926df";
        for (message, program) in [
            ("2026-11-25 02:48 +0000 UTC m=+0.1 container create 3acc (image=x)", "podman"),
            (id, "podman"),
            ("hybridrag-a", "podman"),
            (
                "conmon 57dd <nwarn>: Failed to add inotify watch for /sys/fs/cgroup/memory.events",
                "conmon",
            ),
            ("Couldn't get any nameserver address", "pasta.avx2"),
            ("a.service: Killing process 8917 (podman) with signal SIGKILL.", "systemd"),
        ] {
            let fields = format!(r#""MESSAGE":"{message}","_COMM":"{program}""#);
            assert_eq!(from(&fields), From::Noise, "{message}");
        }
        for message in ["Error: no such image", "a.service: Failed with result 'exit-code'."] {
            let fields = format!(r#""MESSAGE":"{message}","_COMM":"podman""#);
            assert_eq!(from(&fields), From::Systemd, "{message}");
        }
    }

    #[test]
    fn messages_of_all_forms() {
        let unit = r#""_SYSTEMD_USER_UNIT":"hybridrag-a-app.service""#;
        let message = |json: &str| record(&format!(r#"{unit},"MESSAGE":{json}"#)).unwrap().message;
        assert_eq!(message(r#""a\n\u001b[31mb\u001b[0m""#), "a\nb");
        assert_eq!(message("[104,105,255]"), "hi\u{fffd}");
        assert_eq!(message(r#"["one","two"]"#), "two");
        assert_eq!(message("null"), "");
    }

    #[test]
    fn podmans_own_lines() {
        let app = ("hybridrag-a-app".to_owned(), "a".parse::<Name>().unwrap(), Part::App);
        let of = [app.clone(), ("hybridrag-postgres-a".to_owned(), app.1.clone(), Part::Postgres)];
        let line = "2026-11-25T02:48:40.542037000Z two words";
        let record = Record::of_podman(&format!("hybridrag-a-app {line}"), &of).unwrap();
        assert_eq!((record.at, record.message.as_str()), (1_795_574_920_542_037, "two words"));
        assert_eq!(Record::of_podman(line, &[app]), Some(record));
        assert!(Record::of_podman("other 2026-11-25T02:48:40Z x", &of).is_none());
        assert!(Record::of_podman("", &of).is_none());
    }
}
