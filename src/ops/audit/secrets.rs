//! Where secrets' values are, besides Podman's store.

use super::facts::Facts;
use super::verdict::{Verdict, skip};
use crate::host::{Check, Status};

/// No unit, manifest, state file, argument or description of a container has a secret's value.
pub(super) fn secret_values(facts: &Facts) -> Check {
    const ID: &str = "secret-values";
    let scan = match &facts.scan {
        Ok(scan) => scan,
        Err(why) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    for (key, place) in &scan.found {
        v.see(Status::Fail, format!("the value of {key} is in {place}"));
    }
    for (file, mode) in &scan.readable {
        v.see(Status::Fail, format!("{file} holds secrets and has mode {mode:04o}"));
    }
    for key in &scan.short {
        v.see(
            Status::Skip,
            format!("the value of {key} is too short to be told from other text: not looked for"),
        );
    }
    if scan.values == 0 && scan.found.is_empty() && scan.short.is_empty() {
        return skip(ID, "Podman has no secret of this instance");
    }
    v.check(
        ID,
        format!(
            "looked for {} in {} files, arguments and descriptions: not there",
            if scan.values == 1 { "one value".into() } else { format!("{} values", scan.values) },
            scan.places
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::facts::Scan;
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn values() {
        let of = |scan: Result<Scan, String>| {
            let mut facts = facts("none");
            facts.scan = scan;
            secret_values(&facts)
        };
        let clean = Scan { values: 2, places: 9, ..Scan::default() };
        assert_eq!(of(Ok(clean.clone())).status, Status::Pass);
        let found = vec![("api-key".to_owned(), "/h/a.toml".to_owned())];
        let found = of(Ok(Scan { found, ..clean.clone() }));
        assert_eq!(found.status, Status::Fail);
        assert_eq!(found.detail, "the value of api-key is in /h/a.toml");
        let readable = of(Ok(Scan { readable: vec![("/s".into(), 0o644)], ..clean.clone() }));
        assert!(readable.detail.contains("0644"), "{}", readable.detail);
        assert_eq!(of(Ok(Scan { short: vec!["k".into()], ..clean })).status, Status::Skip);
        assert_eq!(of(Ok(Scan::default())).status, Status::Skip);
        assert_eq!(of(Err("podman is not installed".into())).status, Status::Skip);
    }
}
