//! Units as the manifest wants them, and how the installed ones differ.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Serialize;

use super::{Ctx, manifests, target};
use crate::error::{Error, Result};
use crate::install::{State, UnitDir, atomic_write, plan};
use crate::model::{Name, PodmanVersion};
use crate::podman::Podman;
use crate::render::{self, UnitSet};

/// Renders an instance's units for a version of Podman, [`PodmanVersion::ASSUMED`] where none is
/// given: neither Podman nor a bus is asked.
pub fn render(ctx: Ctx<'_>, name: &Name, podman: Option<PodmanVersion>) -> Result<UnitSet> {
    let instance = manifests::load(ctx.env, name)?;
    let state = State::load(&ctx.env.state(), name)?;
    let podman = podman.unwrap_or(PodmanVersion::ASSUMED);
    if podman < PodmanVersion::OLDEST {
        return Err(Error::usage(format!("Podman {podman} has no pods in quadlets"))
            .hint(format!("the oldest that ragpod renders for is {}", PodmanVersion::OLDEST)));
    }
    render::render(&instance, &target(podman, &state))
}

/// Writes each unit as a file into a directory; gives the files' paths.
pub fn write_into(units: &UnitSet, dir: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, &e))?;
    units
        .iter()
        .map(|(file, text)| {
            let path = dir.join(file);
            atomic_write(&path, text.as_bytes(), 0o644)?;
            Ok(path)
        })
        .collect()
}

/// How one installed unit differs from the wanted one.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The unit's file name.
    pub file: String,
    /// `create`, `update`, `delete`, or `drop-in` for a user's file that changes the unit.
    pub action: &'static str,
    /// A unified diff, from what is installed to what the manifest wants.
    pub text: String,
}

impl Change {
    /// For people: `update hybridrag-demo-app.container`.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{} {}", self.action, self.file)
    }
}

/// The wanted units against the installed ones, rendered for the host's Podman where there is one.
pub fn diff(ctx: Ctx<'_>, name: &Name) -> Result<Vec<Change>> {
    let podman = Podman::new().supported().ok();
    let wanted = render(ctx, name, podman)?;
    let installed = UnitDir::new(ctx.env).read()?;
    let plan = plan(name, wanted.as_map(), &installed)?;
    let old = |file: &str| installed.files.get(file).map_or("", String::as_str);
    let change = |file: &String, action, new: &str| Change {
        text: unified(old(file), new),
        file: file.clone(),
        action,
    };
    let mut changes: Vec<Change> =
        plan.create.iter().map(|(f, new)| change(f, "create", new)).collect();
    changes.extend(plan.update.iter().map(|(f, new)| change(f, "update", new)));
    changes.extend(plan.delete.iter().map(|f| change(f, "delete", "")));
    Ok(changes)
}

/// A unified diff of two units, from what is installed to what is wanted.
fn unified(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(2).to_string()
}
