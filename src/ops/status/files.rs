//! What an instance's files say of it: no call.

use fs_err as fs;
use serde::Deserialize;

use super::super::{Ctx, manifests};
use super::Documents;
use crate::error::Kind;
use crate::install::{Intent, Lock, Scope, State as Remembered};
use crate::model::{Instance, Name};

/// The engine's own account, which it keeps on its volume.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Account {
    pub documents: Documents,
    pub last_ingest: Option<LastIngest>,
    /// Why it answers no question.
    #[serde(default)]
    pub problem: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LastIngest {
    pub at: String,
}

/// What a killed command left, for people. A record that cannot be read is `up`'s to complain of.
pub(super) fn unfinished(ctx: Ctx<'_>, name: &Name) -> Option<String> {
    let dir = ctx.env.state();
    let intent = Intent::load(&dir, name).ok().flatten()?;
    // Who is still at work holds the lock.
    (!Lock::is_held(&dir, &Scope::Instance(name.clone())))
        .then(|| format!("`{}` did not finish; complete it: {}", intent.doing, intent.redo))
}

/// What a manifest asks for that a host without the memory controller cannot do.
pub(super) fn note(instance: &Instance, limited: bool) -> Option<String> {
    let limits =
        [("postgres.memory", instance.postgres.memory), ("engine.memory", instance.engine.memory)];
    let set: Vec<&str> =
        limits.into_iter().filter(|(_, limit)| limit.is_some()).map(|(key, _)| key).collect();
    (!limited && !set.is_empty()).then(|| {
        let has = if set.len() == 1 { "has" } else { "have" };
        format!(
            "{} {has} no effect: this host lets no user limit memory; see ragpod doctor",
            set.join(" and ")
        )
    })
}

/// Why the engine of an instance that runs answers no question: its index is of another embedding
/// model than the manifest names. `None` when it does, and for engines that are not ragpod's own.
pub(in crate::ops) fn engine_problem(ctx: Ctx<'_>, name: &Name) -> Option<String> {
    account(ctx, name).0.and_then(|account| account.problem)
}

/// What the engine counted last, the manifest or what is wrong with the instance's files, and the
/// installed generation.
pub(super) fn account(
    ctx: Ctx<'_>,
    name: &Name,
) -> (Option<Account>, Result<Instance, String>, Option<u32>) {
    let remembered = match Remembered::load(&ctx.env.state(), name) {
        Ok(remembered) => remembered,
        Err(e) => return (None, Err(e.to_string()), None),
    };
    // An instance without a manifest is one that somebody took it from: its units go on.
    let instance = manifests::load(ctx.env, name).map_err(|e| {
        if e.kind == Kind::NoInstance {
            "it has no manifest any more".to_owned()
        } else {
            e.to_string()
        }
    });
    let account = remembered.engine_mountpoint.and_then(|dir| written(&dir.join("status.json")));
    (account, instance, remembered.generation)
}

/// What an engine counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ops) struct Counted {
    /// Documents, when it last changed anything.
    pub documents: Option<Documents>,
    /// Questions since it was started.
    pub queries: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Questions {
    queries: u64,
}

/// What an instance's engine says of itself on its volume.
pub(in crate::ops) fn counted(ctx: Ctx<'_>, name: &Name) -> Counted {
    let Ok(remembered) = Remembered::load(&ctx.env.state(), name) else {
        return Counted::default();
    };
    let Some(dir) = remembered.engine_mountpoint else { return Counted::default() };
    Counted {
        documents: written(&dir.join("status.json")).map(|account: Account| account.documents),
        queries: written(&dir.join("queries.json")).map(|asked: Questions| asked.queries),
    }
}

/// A file that an engine wrote. No volume yet, or nothing written yet: nothing is known, and that
/// is no problem.
fn written<T: serde::de::DeserializeOwned>(file: &camino::Utf8Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_without_effect_are_told() {
        let of = |lines: &str, limited| {
            let text = format!("[instance]\nname = \"a\"\n{lines}");
            note(&crate::manifest::parse(&text, "a.toml", "/home/user".into()).unwrap(), limited)
        };
        let (one, two) = ("[engine]\nmemory = \"1G\"\n", "[postgres]\nmemory = \"1G\"\n");
        assert_eq!(of("", false), None);
        assert_eq!(of(one, true), None);
        assert!(of(one, false).unwrap().starts_with("engine.memory has no effect: "));
        let both = of(&format!("{one}{two}"), false).unwrap();
        assert!(both.starts_with("postgres.memory and engine.memory have no effect: "), "{both}");
    }
}
