//! Units as the manifest wants them, how the installed ones differ, and what runs of them.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Serialize;

use super::{Ctx, changes, lifecycle, manifests, rollback, target};
use crate::error::{Error, Kind, Result};
use crate::install::{
    History, Installed, Schedules, Set, State, UnitDir, UsedImage, atomic_write, plan,
};
use crate::model::{Chore, Name, Part, PodmanVersion};
use crate::podman::Podman;
use crate::render::{self, UnitSet};
use crate::systemd::Systemd;

/// Renders an instance's units for a version of Podman, [`PodmanVersion::ASSUMED`] where none is
/// given: neither Podman nor a bus is asked.
pub fn render(ctx: Ctx<'_>, name: &Name, podman: Option<PodmanVersion>) -> Result<UnitSet> {
    let instance = manifests::load(ctx.env, name)?;
    let state = State::load(&ctx.env.state(), name)?;
    let podman = podman.unwrap_or(PodmanVersion::ASSUMED);
    render::render(&instance, &target(podman, &state)).map_err(|mut error| {
        // Too old is what was asked for here, not what the host has.
        if podman < PodmanVersion::OLDEST {
            error.kind = Kind::Usage;
        }
        error
    })
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

/// How an instance differs from what its manifest wants.
#[derive(Debug, Default, Serialize)]
pub struct Difference {
    /// The installed units against the wanted ones.
    pub changes: Vec<Change>,
    /// Parts that run, and not from the installed unit.
    pub stale: Vec<Stale>,
    /// The user's own files that change what the units do. They are kept, and are no difference.
    pub drop_ins: Vec<DropIn>,
}

impl Difference {
    /// Whether everything is as the manifest wants it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.stale.is_empty()
    }
}

/// How one installed unit differs from the wanted one.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The unit's file name.
    pub file: String,
    /// `create`, `update` or `delete`.
    pub action: &'static str,
    /// Whether somebody edited the installed file, or removed it.
    pub edited_by_hand: bool,
    /// A unified diff, from what is installed to what the manifest wants.
    pub text: String,
}

impl Change {
    /// For people: `update hybridrag-demo-app.container`.
    #[must_use]
    pub fn headline(&self) -> String {
        let by_hand = if self.edited_by_hand { " (edited by hand)" } else { "" };
        format!("{} {}{by_hand}", self.action, self.file)
    }
}

/// A part that runs, and not from the installed unit.
#[derive(Debug, Serialize)]
pub struct Stale {
    /// The service, network or volume: its systemd unit.
    pub unit: String,
    /// What it differs in.
    pub why: String,
}

/// A file of the user's that changes what a unit does.
#[derive(Debug, Serialize)]
pub struct DropIn {
    /// Its path.
    pub path: Utf8PathBuf,
    /// The unit that it changes.
    pub unit: String,
}

/// The wanted units against the installed ones, rendered for the host's Podman where there is one;
/// the installed ones against what runs, where there is a bus; and drop-ins.
pub async fn diff(ctx: Ctx<'_>, name: &Name) -> Result<Difference> {
    let dir = UnitDir::new(ctx.env);
    let installed = dir.read()?;
    let podman = Podman::new();
    let state = State::load(&ctx.env.state(), name)?;
    let history = History::load(&ctx.env.state(), name)?;
    let number = rollback::current(&history, &state, &installed.of(name)).or(state.generation);
    let known = number.and_then(|n| history.get(n)).map(|g| &g.set);
    let wanted = render(ctx, name, podman.supported().ok())?;
    let mut difference =
        Difference { changes: changes(name, &wanted, &installed, known)?, ..Difference::default() };
    if !installed.of(name).is_empty() {
        difference.changes.extend(schedule(ctx, name)?);
    }
    for file in installed.drop_ins_of(name) {
        let unit = file.split_once(".d/").map_or("", |(unit, _)| unit).to_owned();
        difference.drop_ins.push(DropIn { path: dir.path().join(file), unit });
    }
    let ours = installed.of(name);
    let (Ok(bus), false) = (Systemd::connect(ctx.env).await, ours.is_empty()) else {
        return Ok(difference);
    };
    let active = lifecycle::alive(&bus, name).await?.active;
    let set = Set { units: ours, images: used(name, known, &podman)?, ..Set::default() };
    difference.stale = stale(name, &set, &state, &active);
    let services: Vec<String> = set.parts().iter().map(|p| p.service(name)).collect();
    for unit in bus.need_reload(&services).await? {
        let why = "systemd has not read its file since it changed".to_owned();
        difference.stale.retain(|s| s.unit != unit);
        difference.stale.push(Stale { unit, why });
    }
    for props in bus.properties_of(&services).await? {
        let unit = props.service;
        // What the quadlet's own drop-ins became is told above; these are systemd's own.
        let own = |path: &&String| !path.contains("/systemd/generator");
        let paths = props.drop_in_paths.iter().filter(own);
        difference
            .drop_ins
            .extend(paths.map(|path| DropIn { path: path.into(), unit: unit.clone() }));
    }
    Ok(difference)
}

/// The wanted units against the installed ones alone.
pub(super) fn of_units(ctx: Ctx<'_>, name: &Name) -> Result<Vec<Change>> {
    let wanted = render(ctx, name, Podman::new().supported().ok())?;
    changes(name, &wanted, &UnitDir::new(ctx.env).read()?, None)
}

fn changes(
    name: &Name,
    wanted: &UnitSet,
    installed: &Installed,
    known: Option<&Set>,
) -> Result<Vec<Change>> {
    let plan = plan(name, wanted.as_map(), installed)?;
    let change = |file: &String, action, new: &str| {
        let there = installed.files.get(file);
        let edited = known.is_some_and(|set| set.units.get(file) != there);
        Change {
            text: unified(there.map_or("", String::as_str), new),
            file: file.clone(),
            action,
            edited_by_hand: edited && !installed.of(name).is_empty(),
        }
    };
    let mut changes: Vec<Change> =
        plan.create.iter().map(|(f, new)| change(f, "create", new)).collect();
    changes.extend(plan.update.iter().map(|(f, new)| change(f, "update", new)));
    changes.extend(plan.delete.iter().map(|f| change(f, "delete", "")));
    Ok(changes)
}

/// What is switched on of the instance's schedule, against the wanted one.
fn schedule(ctx: Ctx<'_>, name: &Name) -> Result<Vec<Change>> {
    let wanted = render::schedule(&manifests::load(ctx.env, name)?)?;
    let schedules = Schedules::new(ctx.env);
    let on = schedules.of(name);
    let changes = Chore::ALL.into_iter().filter_map(|chore| {
        let there = schedules.text(name, chore).unwrap_or_default();
        let text = wanted.drop_ins.get(&chore).map_or("", String::as_str);
        let action = match (on.contains(&chore), wanted.chores.contains(&chore)) {
            (false, true) => "create",
            (true, false) => "delete",
            (true, true) if there != text => "update",
            _ => return None,
        };
        let file = chore.unit(name);
        Some(Change { file, action, edited_by_hand: false, text: unified(&there, text) })
    });
    Ok(changes.collect())
}

/// The image that each installed container would run if it were started now.
fn used(name: &Name, known: Option<&Set>, podman: &Podman) -> Result<BTreeMap<String, UsedImage>> {
    let mut used = known.map(|set| set.images.clone()).unwrap_or_default();
    if used.is_empty() {
        return Ok(used);
    }
    let present = podman.images()?;
    for (file, image) in &mut used {
        // One that is named by its id is that one, whatever its name stands for.
        if known.is_some_and(|set| set.is_pinned(file)) {
            continue;
        }
        if let Some(found) = present.iter().find(|i| i.is(&image.name)) {
            image.id.clone_from(&found.id);
        }
    }
    used.retain(|file, _| Part::of_file(file).is_some_and(|(owner, _)| owner == *name));
    Ok(used)
}

/// The parts that are active and were last started with something else than what is installed.
fn stale(
    name: &Name,
    set: &Set,
    state: &State,
    active: &std::collections::BTreeSet<Part>,
) -> Vec<Stale> {
    let marks = changes::marks(set);
    changes::changed(&marks, state, name, set)
        .into_iter()
        // A volume holds data: it stays as it was made, whatever its unit says later.
        .filter(|part| active.contains(part) && !part.is_volume())
        .map(|part| {
            let file = part.file(name);
            let hash = |mark: &String| mark.split(' ').next().unwrap_or_default().to_owned();
            let same_unit = state.applied.get(&file).map(hash) == marks.get(&file).map(hash);
            let why = match (state.applied.contains_key(&file), same_unit) {
                (false, _) => "it is not known from which unit it was started".to_owned(),
                (true, true) => {
                    "its image was built or pulled anew since it was started".to_owned()
                }
                (true, false) => {
                    "it was started from another unit than the installed one".to_owned()
                }
            };
            Stale { unit: part.service(name), why }
        })
        .collect()
}

/// A unified diff of two units, from what is installed to what is wanted.
fn unified(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(2).to_string()
}
