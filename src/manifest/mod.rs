//! The manifest: text → checked [`Instance`].
//!
//! `raw` reads what is written and where it stands, `resolve` checks what it means. Both collect
//! problems instead of stopping at the first. `template` writes the manifest of a new instance,
//! `env_file` reads the `.env` of an older deployment.

mod commands;
pub mod compose;
pub mod edit;
mod engine;
mod env;
pub mod env_file;
mod hardening;
mod keys;
mod path;
mod problem;
mod provider;
mod raw;
pub mod reference;
mod resolve;
mod source;
mod table;
mod template;
#[cfg(test)]
mod tests;

use camino::Utf8Path;

pub use keys::KEYS;
pub use problem::Problem;
pub(crate) use source::{BRACKETS, unclosed};
pub use template::{New, open_points, template};

use crate::model::Instance;
use problem::Log;

/// No manifest is longer: what is, is no manifest.
const LONGEST: usize = 1 << 20;

/// Reads a manifest. `file` is how the person calls it; when it ends in `.toml`, the instance must
/// have its name. `home` is what `~` means in source paths.
pub fn parse(text: &str, file: &str, home: &Utf8Path) -> Result<Instance, Vec<Problem>> {
    let log = Log::new(file, text);
    if text.len() > LONGEST {
        log.add(0, "", format!("it has {} bytes; 1 MiB is the most", text.len()), None);
        return Err(log.into_problems());
    }
    let path = Utf8Path::new(file);
    let expected = path.file_stem().filter(|_| path.extension() == Some("toml"));
    let instance =
        raw::read(text, &log).and_then(|raw| resolve::resolve(&raw, expected, home, &log));
    let problems = log.into_problems();
    match instance {
        Some(instance) if problems.is_empty() => Ok(instance),
        _ => Err(problems),
    }
}
