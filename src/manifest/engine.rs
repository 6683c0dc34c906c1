//! `[engine]`: which profile, and what it needs.

use super::commands;
use super::keys::nearest;
use super::problem::Log;
use super::raw::RawEngine;
use super::resolve::{number, parsed};
use crate::model::{Engine, ImageRef, Profile, Provider, ProviderKind};

const PROFILES: [&str; 3] = ["lightrag", "hybridrag", "custom"];

pub(super) fn resolve(
    raw: &RawEngine,
    provider: Option<&Provider>,
    log: &Log<'_>,
) -> Option<Engine> {
    let profile = profile(raw, log);
    let image = parsed(raw.image.as_ref(), "engine.image", log);
    let memory = parsed(raw.memory.as_ref(), "engine.memory", log);
    let batch_size = number(raw.batch_size.as_ref(), "engine.batch_size", 1000, log);
    let concurrency = number(raw.concurrency.as_ref(), "engine.concurrency", 64, log);
    let upstream = profile == Some(Profile::Hybridrag);
    if upstream
        && let (Some(provider), Some(written)) = (provider, &raw.profile)
        && provider.kind == ProviderKind::Offline
    {
        let message = "upstream HybridRAG cannot do without a model of somebody's";
        let hint = "write kind = \"openai\" or another under [provider], or use \"lightrag\"";
        log.add(written.at, "engine.profile", message, Some(hint.to_owned()));
    }
    let default = || if upstream { ImageRef::hybridrag() } else { ImageRef::engine() };
    Some(Engine {
        profile: profile?,
        image: image.ok()?.unwrap_or_else(default),
        memory: memory.ok()?,
        batch_size: batch_size.ok()?.unwrap_or(10),
        concurrency: concurrency.ok()?,
    })
}

fn profile(raw: &RawEngine, log: &Log<'_>) -> Option<Profile> {
    // Read whatever the profile: each of its problems is told.
    let commands = commands::resolve(raw.commands.as_ref(), log);
    let (word, at) = raw.profile.as_ref().map_or(("lightrag", 0), |p| (p.value.as_str(), p.at));
    match word {
        "custom" => {
            if raw.image.is_none() {
                let hint = "write image = \"localhost/my-engine:1\" or the like under [engine]";
                let message = "profile = \"custom\" needs an image of yours";
                log.add(at, "engine.image", message, Some(hint.to_owned()));
            }
            commands.map(Profile::Custom)
        }
        "lightrag" | "hybridrag" => {
            if let Some(written) = &raw.commands {
                let message = "commands of one's own are for profile = \"custom\"";
                let hint = "remove them, or write profile = \"custom\"".to_owned();
                log.add(written.at, "engine.commands", message, Some(hint));
            }
            Some(if word == "hybridrag" { Profile::Hybridrag } else { Profile::Lightrag })
        }
        other => {
            let hint = match nearest(other, PROFILES) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the profiles are {}", PROFILES.join(", ")),
            };
            log.add(at, "engine.profile", format!("{other:?} is no profile"), Some(hint));
            None
        }
    }
}
