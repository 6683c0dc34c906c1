//! What the gateway lets through.

use super::facts::{Facts, Reply};
use super::verdict::{Verdict, skip};
use crate::host::{Check, Status};
use crate::model::Part;

/// Whether there is a gateway to be tried; if not, why.
fn replies<'a>(facts: &'a Facts, wanted: &[String]) -> Result<Vec<&'a Reply>, String> {
    if !facts.parts.contains(&Part::Egress) {
        return Err(format!("egress.mode is {}: there is no gateway", facts.mode));
    }
    if !facts.containers.contains_key(&Part::Egress) {
        return Err(facts.not_running(Part::Egress));
    }
    let app = facts.app.as_ref().map_err(Clone::clone)?;
    Ok(app.requests.iter().filter(|r| wanted.contains(&r.line)).collect())
}

fn came_back(r: &Reply) -> String {
    match (r.code, &r.error) {
        (Some(code), _) => format!("{}: {code}", r.line),
        (None, Some(error)) => format!("{}: {error}", r.line),
        (None, None) => format!("{}: nothing", r.line),
    }
}

/// What the manifest allows gets through.
pub(super) fn allowed_host(facts: &Facts, wanted: &[String]) -> Check {
    const ID: &str = "allowed-host";
    let replies = match replies(facts, wanted) {
        Ok(replies) => replies,
        Err(why) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    for r in replies {
        let told = came_back(r);
        match r.code {
            Some(200..=299) => v.see(Status::Pass, told),
            Some(403) => v.see(Status::Fail, format!("{told}, although the manifest allows it")),
            Some(500..) => {
                v.see(Status::Warn, format!("{told}: let through, but nobody answers there"));
            }
            // The gateway is still trying to get there.
            None => v.see(Status::Skip, format!("{told} within the time there was")),
            Some(_) => v.see(Status::Warn, told),
        }
    }
    v.tried(ID, "what the manifest allows gets through")
}

/// What it does not allow is refused.
pub(super) fn denied_host(facts: &Facts, wanted: &[String]) -> Check {
    const ID: &str = "denied-host";
    let replies = match replies(facts, wanted) {
        Ok(replies) => replies,
        Err(why) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    for r in replies {
        let told = came_back(r);
        match r.code {
            Some(400..=499) => v.see(Status::Pass, told),
            Some(200..=399) => v.see(Status::Fail, format!("{told}: let through")),
            Some(_) => v.see(Status::Fail, format!("{told}: the gateway tried to get there")),
            // A refusal comes at once: it looks nothing up and connects to nobody.
            None => v.see(Status::Skip, told),
        }
    }
    v.tried(ID, "everything else is refused")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{facts, reply};
    use super::*;

    fn with(replies: Vec<Reply>) -> Facts {
        let mut facts = facts("allow");
        if let Ok(app) = &mut facts.app {
            app.requests = replies;
        }
        facts
    }

    #[test]
    fn allowed() {
        let line = ["CONNECT a.example:443".to_owned()];
        let of = |code| allowed_host(&with(vec![reply(&line[0], code)]), &line).status;
        assert_eq!(of(Some(200)), Status::Pass);
        assert_eq!(of(Some(403)), Status::Fail);
        assert_eq!(of(Some(503)), Status::Warn);
        assert_eq!(of(Some(407)), Status::Warn);
        assert_eq!(of(None), Status::Skip);
    }

    #[test]
    fn denied() {
        let line = ["CONNECT b.example:443".to_owned()];
        let of = |code| denied_host(&with(vec![reply(&line[0], code)]), &line).status;
        assert_eq!(of(Some(403)), Status::Pass);
        assert_eq!(of(Some(405)), Status::Pass);
        assert_eq!(of(Some(200)), Status::Fail);
        assert_eq!(of(Some(503)), Status::Fail);
        assert_eq!(of(None), Status::Skip);
    }

    #[test]
    fn without_a_gateway() {
        assert_eq!(denied_host(&facts("none"), &[]).status, Status::Skip);
        assert!(allowed_host(&facts("open"), &[]).detail.contains("open"));
        let mut down = with(vec![]);
        down.containers.remove(&Part::Egress);
        assert!(denied_host(&down, &[]).detail.contains("not running"));
        let mut dead = with(vec![]);
        dead.app = Err("app of a is not running".into());
        assert_eq!(allowed_host(&dead, &[]).status, Status::Skip);
    }
}
