//! The one word for an instance.

use serde::Serialize;

/// The state of an instance as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// None of its units is installed.
    NotInstalled,
    /// Installed, and nothing of it runs.
    Stopped,
    /// A service is on its way up.
    Starting,
    /// All of its services run and were found healthy.
    Running,
    /// Some of its services run and some do not.
    Degraded,
    /// Nothing of it runs because something failed.
    Failed,
}

impl State {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::NotInstalled => "not-installed",
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Running => "running",
            State::Degraded => "degraded",
            State::Failed => "failed",
        }
    }

    /// The state that follows from systemd's `ActiveState` of each service that stays up while the
    /// instance does. The containers' units become active when Podman finds them healthy
    /// (`Notify=healthy`), so active means healthy.
    ///
    /// A service that waits for its next automatic start (`SubState` `auto-restart`) has failed at
    /// least once; with a second failure behind it, it is no longer merely starting.
    pub fn of<'a>(services: impl IntoIterator<Item = (&'a str, &'a str, u32)>) -> Self {
        let (mut up, mut coming, mut failed, mut all) = (0, 0, 0, 0);
        for (active, sub, restarts) in services {
            all += 1;
            match active {
                "active" | "reloading" | "refreshing" => up += 1,
                "activating" if sub.starts_with("auto-restart") || restarts > 1 => failed += 1,
                "activating" => coming += 1,
                "failed" => failed += 1,
                _ => {}
            }
        }
        if all > 0 && up == all {
            State::Running
        } else if coming > 0 {
            State::Starting
        } else if up > 0 {
            State::Degraded
        } else if failed > 0 {
            State::Failed
        } else {
            State::Stopped
        }
    }

    /// What `health` says in this state.
    #[must_use]
    pub fn health(self) -> &'static str {
        match self {
            State::Running => "healthy",
            State::Starting => "starting",
            State::Degraded | State::Failed => "unhealthy",
            State::Stopped | State::NotInstalled => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let of = |s: &[&str]| State::of(s.iter().map(|a| (*a, "", 0)));
        let looping = [("active", "running", 0), ("activating", "start", 4)];
        assert_eq!(State::of(looping), State::Degraded);
        assert_eq!(State::of([("activating", "auto-restart", 1)]), State::Failed);
        assert_eq!(of(&["active", "active"]), State::Running);
        assert_eq!(of(&["active", "activating"]), State::Starting);
        assert_eq!(of(&["active", "inactive"]), State::Degraded);
        assert_eq!(of(&["active", "failed"]), State::Degraded);
        assert_eq!(of(&["inactive", "failed"]), State::Failed);
        assert_eq!(of(&["inactive", "inactive"]), State::Stopped);
        assert_eq!(of(&["deactivating", "inactive"]), State::Stopped);
    }
}
