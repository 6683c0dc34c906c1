//! From many attempts to one check.

use crate::host::{Check, Status};

/// Attempts, each judged. The worst decides, and what could not be tried is worse than a pass.
#[derive(Debug, Default)]
pub(super) struct Verdict(Vec<(Status, String)>);

impl Verdict {
    /// Adds an attempt.
    pub fn see(&mut self, status: Status, what: impl Into<String>) {
        self.0.push((status, what.into()));
    }

    /// Adds a breach when it is one.
    pub fn fail_if(&mut self, breach: bool, what: impl Into<String>) {
        if breach {
            self.see(Status::Fail, what);
        }
    }

    /// Adds something that could not be looked at.
    pub fn see_unless(&mut self, seen: bool, what: impl Into<String>) {
        if !seen {
            self.see(Status::Skip, what);
        }
    }

    /// The check. Its detail names what decided; `all_well` is for when nothing was objected to.
    pub fn check(self, id: &'static str, all_well: impl Into<String>) -> Check {
        let worst = self.0.iter().map(|(status, _)| *status).max().unwrap_or(Status::Pass);
        let mut lines: Vec<String> = Vec::new();
        for (status, line) in self.0 {
            if status == worst && !lines.contains(&line) {
                lines.push(line);
            }
        }
        let all_well: String = all_well.into();
        let detail = match (worst, lines.is_empty(), all_well.is_empty()) {
            (Status::Pass, true, _) => all_well,
            (Status::Pass, false, false) => format!("{all_well}: {}", lines.join("; ")),
            _ => lines.join("; "),
        };
        Check::new(id, worst, detail)
    }

    /// The same, where having tried nothing is no pass.
    pub fn tried(self, id: &'static str, all_well: impl Into<String>) -> Check {
        if self.0.is_empty() {
            skip(id, "nothing could be tried")
        } else {
            self.check(id, all_well)
        }
    }
}

/// A check that could not be tried.
pub(super) fn skip(id: &'static str, why: impl Into<String>) -> Check {
    Check::new(id, Status::Skip, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_and_only_it_is_told() {
        let mut v = Verdict::default();
        v.see(Status::Pass, "a");
        assert_eq!(v.check("x", "well").detail, "well: a");
        let mut v = Verdict::default();
        v.see(Status::Pass, "a");
        v.see(Status::Skip, "b");
        let check = v.check("x", "well");
        assert_eq!((check.status, check.detail.as_str()), (Status::Skip, "b"));
        let mut v = Verdict::default();
        v.see(Status::Fail, "c");
        v.see(Status::Warn, "d");
        v.fail_if(true, "c");
        v.fail_if(false, "e");
        let check = v.check("x", "well");
        assert_eq!((check.status, check.detail.as_str()), (Status::Fail, "c"));
        assert_eq!(Verdict::default().check("x", "well").status, Status::Pass);
        assert_eq!(Verdict::default().tried("x", "well").status, Status::Skip);
    }
}
