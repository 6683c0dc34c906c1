//! What an instance does by itself: when, and after how long.

use super::name::{Name, Part};
use super::text::Text;
use super::when::{Calendar, Span};

/// `[schedule]`; empty when the manifest is silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// When to ingest.
    pub ingest: Option<Calendar>,
    /// When to back up.
    pub backup: Option<Calendar>,
    /// Idle time after which the instance is stopped; a use starts it again.
    pub idle_stop: Option<Span>,
    /// Ingest soon after a source changes.
    pub watch: bool,
    /// The command that is run when something of this failed, with its arguments; empty for none.
    pub notify: Vec<Text>,
}

/// A thing that an instance does by itself, with a template unit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chore {
    /// Ingest at certain times.
    Ingest,
    /// Back up at certain times.
    Backup,
    /// Look whether anybody uses it, and stop it if not.
    Idle,
    /// Ingest what has changed.
    Watch,
}

impl Chore {
    /// The pattern that the service of every chore matches.
    pub const SERVICES: &'static str = "ragpod-*@*.service";

    /// All of them.
    pub const ALL: [Chore; 4] = [Chore::Ingest, Chore::Backup, Chore::Idle, Chore::Watch];

    /// The key of `[schedule]`, for people and programs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Chore::Ingest => "ingest",
            Chore::Backup => "backup",
            Chore::Idle => "idle",
            Chore::Watch => "watch",
        }
    }

    /// The template of the unit that is switched on: `ragpod-ingest@.timer`.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Chore::Ingest => "ragpod-ingest@.timer",
            Chore::Backup => "ragpod-backup@.timer",
            Chore::Idle => "ragpod-idle@.timer",
            Chore::Watch => "ragpod-watch@.service",
        }
    }

    /// That unit of an instance: `ragpod-ingest@NAME.timer`.
    #[must_use]
    pub fn unit(self, name: &Name) -> String {
        self.template().replacen('@', &format!("@{name}"), 1)
    }

    /// The service that does it: `ragpod-ingest@NAME.service`.
    #[must_use]
    pub fn service(self, name: &Name) -> String {
        format!("ragpod-{}@{name}.service", self.label())
    }

    /// The unit that brings it up: the idle check goes with the pod, all else with the target.
    #[must_use]
    pub fn wanted_by(self, name: &Name) -> String {
        match self {
            Chore::Idle => Part::Pod.service(name),
            _ => TARGET.to_owned(),
        }
    }

    /// The instance and the chore of a service; `None` for one of somebody else.
    #[must_use]
    pub fn of_service(service: &str) -> Option<(Name, Chore)> {
        let (chore, name) =
            service.strip_prefix("ragpod-")?.strip_suffix(".service")?.split_once('@')?;
        let chore = Chore::ALL.into_iter().find(|c| c.label() == chore)?;
        Some((name.parse().ok()?, chore))
    }
}

/// What holds all schedules: stopping it pauses them.
pub const TARGET: &str = "ragpod.target";

impl Schedule {
    /// What is switched on.
    #[must_use]
    pub fn chores(&self) -> Vec<Chore> {
        Chore::ALL
            .into_iter()
            .filter(|chore| match chore {
                Chore::Ingest => self.ingest.is_some(),
                Chore::Backup => self.backup.is_some(),
                Chore::Idle => self.idle_stop.is_some(),
                Chore::Watch => self.watch,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_lead_back() {
        let name: Name = "a-b".parse().unwrap();
        for chore in Chore::ALL {
            assert_eq!(Chore::of_service(&chore.service(&name)), Some((name.clone(), chore)));
        }
        assert_eq!(Chore::Ingest.unit(&name), "ragpod-ingest@a-b.timer");
        assert_eq!(Chore::Watch.unit(&name), Chore::Watch.service(&name));
        assert_eq!(Chore::of_service("ragpod-other@a.service"), None);
    }
}
