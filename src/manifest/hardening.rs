//! `[hardening]`: which containers a rule does not hold for.

use super::problem::{At, Log};
use crate::model::{Hardening, Part, Relaxation};

pub(super) fn resolve(
    lists: &[(Relaxation, At<Vec<At<String>>>)],
    log: &Log<'_>,
) -> Option<Hardening> {
    let mut hardening = Hardening::default();
    let mut good = true;
    for (rule, list) in lists {
        for entry in &list.value {
            match container(*rule, &entry.value) {
                Ok(part) => hardening.relax(*rule, part),
                Err((message, hint)) => {
                    log.add(entry.at, &format!("hardening.{}", rule.key()), message, Some(hint));
                    good = false;
                }
            }
        }
    }
    good.then_some(hardening)
}

fn container(rule: Relaxation, word: &str) -> Result<Part, (String, String)> {
    const ALL: [Part; 3] = [Part::App, Part::Postgres, Part::Egress];
    let words = |parts: &[Part]| parts.iter().map(|p| p.label()).collect::<Vec<_>>().join(", ");
    let Some(part) = ALL.into_iter().find(|p| p.label() == word) else {
        let hint = format!("the containers are {}", words(&ALL));
        return Err((format!("{word:?} is no container"), hint));
    };
    if !rule.containers().contains(&part) {
        let hint = format!("it is possible for {} only; remove it", words(rule.containers()));
        return Err((format!("{word} does not start like that"), hint));
    }
    Ok(part)
}
