//! What the database says: who gets in, and as whom.

use super::facts::Facts;
use super::verdict::{Verdict, skip};
use crate::host::{Check, Status};

/// What `psql` prints for whoever got in.
const IN: &str = "let in";

/// Nobody gets in over TCP without the role's password, and the superuser not at all.
pub(super) fn password(facts: &Facts) -> Check {
    const ID: &str = "database-password";
    let database = match &facts.database {
        Ok(database) => database,
        Err(why) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    let tries = [
        ("a wrong password", &database.wrong_password),
        ("no password", &database.no_password),
        ("the superuser with a wrong password", &database.superuser),
    ];
    for (who, said) in tries {
        // psql's own words, without the server's address before them.
        let mark = ["FATAL:", "failed: "].into_iter().find(|mark| said.contains(mark));
        let why = mark.and_then(|mark| said.split(mark).last()).unwrap_or(said).trim();
        let refused =
            ["password authentication failed", "rejects connection", "no password supplied"];
        if said == IN {
            v.see(Status::Fail, format!("{who} is let in over TCP"));
        } else if refused.iter().any(|r| said.contains(r)) {
            v.see(Status::Pass, format!("{who}: {why}"));
        } else {
            v.see(Status::Skip, format!("{who}: {why}"));
        }
    }
    v.tried(ID, "refused over TCP")
}

/// The engine's role owns its database and nothing else.
pub(super) fn role(facts: &Facts) -> Check {
    const ID: &str = "database-role";
    let said = match &facts.database {
        Ok(database) => &database.role,
        Err(why) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    for word in said.split(' ') {
        match word.split_once('=') {
            Some(("super", "true")) => v.see(Status::Fail, "the engine's role is a superuser"),
            Some((what @ ("createrole" | "createdb" | "replication" | "bypassrls"), "true")) => {
                v.see(Status::Fail, format!("the engine's role has {what}"));
            }
            Some((what, "false")) => v.see(Status::Pass, format!("no {what}")),
            _ => return skip(ID, format!("psql said: {said}")),
        }
    }
    v.tried(ID, "the engine's role owns its database and nothing else")
}

#[cfg(test)]
mod tests {
    use super::super::facts::Database;
    use super::super::tests::facts;
    use super::*;

    fn with(change: impl FnOnce(&mut Database)) -> Facts {
        let mut facts = facts("none");
        if let Ok(database) = &mut facts.database {
            change(database);
        }
        facts
    }

    #[test]
    fn passwords() {
        let of = |change: fn(&mut Database)| password(&with(change));
        assert_eq!(of(|_| {}).status, Status::Pass);
        let open = of(|d| d.wrong_password = "let in".into());
        assert_eq!(open.status, Status::Fail);
        assert!(open.detail.contains("a wrong password is let in"), "{}", open.detail);
        assert_eq!(of(|d| d.no_password = "let in".into()).status, Status::Fail);
        assert_eq!(of(|d| d.superuser = "let in".into()).status, Status::Fail);
        assert_eq!(
            of(|d| d.superuser = "server closed the connection".into()).status,
            Status::Skip
        );
        let mut down = with(|_| {});
        down.database = Err("postgres of a is not running".into());
        assert_eq!((password(&down).status, role(&down).status), (Status::Skip, Status::Skip));
    }

    #[test]
    fn roles() {
        let of = |said: &str| role(&with(|d| d.role = said.into()));
        assert_eq!(role(&with(|_| {})).status, Status::Pass);
        assert_eq!(of("super=true createdb=false").status, Status::Fail);
        assert!(of("super=false createrole=true").detail.contains("createrole"));
        assert_eq!(of("").status, Status::Skip);
        assert_eq!(of("psql: error").status, Status::Skip);
    }
}
