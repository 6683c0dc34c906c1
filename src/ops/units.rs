//! One instance's units on disk and in systemd's memory made the wanted ones.

use camino::{Utf8Path, Utf8PathBuf};

use super::apply::Job;
use super::{Ctx, Waiting, lifecycle, units_lock};
use crate::error::{Error, Result};
use crate::fault;
use crate::install::{Plan, Set, Step, UnitDir, plan};
use crate::model::{Name, Part};
use crate::podman::quadlet::Generator;
use crate::systemd::{self, Action, Systemd};

/// Installs nothing, or all of the wanted units in one step that Podman's own generator agreed
/// with; stops what is not wanted; then has systemd read the units and looks whether it did.
/// `touched` becomes true when anything is not as it was. `thorough`: look for parts of another set
/// although no unit of one is installed.
///
/// # Errors
/// What systemd does not load is taken back.
pub(super) async fn install(
    job: &Job<'_>,
    wanted: &Set,
    thorough: bool,
    touched: &mut bool,
) -> Result<()> {
    let Job { ctx, bus, name, .. } = *job;
    let dir = UnitDir::new(ctx.env);
    let services: Vec<String> = wanted.parts().iter().map(|p| p.service(name)).collect();
    let look = bus.properties_of(&services).await?;
    let lock = units_lock(ctx)?;
    dir.sweep(&lock)?;
    let installed = dir.read()?;
    let plan = plan(name, &wanted.units, &installed)?;
    for drop_in in &plan.drop_ins {
        ctx.progress.warn(&format!("{drop_in} in {} changes what runs", dir.path()));
    }
    if plan.is_empty() {
        drop(lock);
        if thorough {
            stop_unwanted(job, wanted, touched).await?;
        }
        // An earlier run may have ended between installing and reloading.
        if systemd::check_loaded(&look, dir.path()).is_ok()
            && bus.need_reload(&services).await?.is_empty()
        {
            return Ok(());
        }
        super::reload::reload(bus).await?;
        return systemd::check_loaded(&bus.properties_of(&services).await?, dir.path());
    }
    ctx.progress.step(&format!("{name}: installing {}", what(&plan)));
    let generator = Generator::find()?;
    let files = plan.result();
    let check = |staged: &Utf8Path| generator.check(staged, name, &files).map(drop);
    dir.apply(&lock, &plan, check, &mut |step| {
        *touched = *touched || step == Step::Exchanged;
        fault::point(step.as_str());
    })?;
    // Stopping can take minutes, and other instances need the directory.
    drop(lock);
    if thorough || !plan.delete.is_empty() {
        stop_unwanted(job, wanted, touched).await?;
        fault::point("gone");
    }
    super::reload::reload(bus).await?;
    fault::point("reloaded");
    bus.hold(&services).await?;
    let Err(e) = systemd::check_loaded(&bus.properties_of(&services).await?, dir.path()) else {
        return Ok(());
    };
    // Units that systemd does not run must not stay: at the next boot it might.
    let lock = units_lock(ctx)?;
    let back = crate::install::plan(name, &installed.of(name), &dir.read()?)?;
    dir.apply(&lock, &back, |_| Ok(()), &mut |_| {})?;
    drop(lock);
    super::reload::reload(bus).await?;
    *touched = !plan.delete.is_empty();
    Err(e)
}

/// Stops the parts that are not wanted, also those whose unit file is gone already, and removes
/// what Podman has of them. Volumes stay.
async fn stop_unwanted(job: &Job<'_>, wanted: &Set, touched: &mut bool) -> Result<()> {
    let Job { ctx, bus, name, podman, .. } = *job;
    let parts = wanted.parts();
    let unwanted: Vec<Part> =
        Part::ALL.into_iter().filter(|p| !parts.contains(p) && !p.is_volume()).collect();
    let moving = lifecycle::alive(bus, name).await?.moving;
    let stop: Vec<Part> = unwanted.iter().copied().filter(|p| moving.contains(p)).collect();
    *touched = *touched || !stop.is_empty();
    lifecycle::drive(ctx, bus, name, &stop, Action::Stop, Waiting::default()).await?;
    fault::point("unwanted");
    let named = |parts: Vec<Part>| -> Vec<String> {
        parts.into_iter().map(|p| p.podman_name(name)).collect()
    };
    let (containers, others): (Vec<Part>, Vec<Part>) =
        unwanted.into_iter().partition(|p| p.is_container());
    podman.container_rm(&named(containers))?;
    let networks = others.into_iter().filter(|p| p.is_network());
    podman.network_rm(&named(networks.collect()))
}

/// Fails when a unit of somebody else's has the name of one of these parts' services.
pub(super) async fn names_are_free(
    ctx: Ctx<'_>,
    bus: &Systemd,
    name: &Name,
    parts: impl IntoIterator<Item = Part>,
) -> Result<()> {
    let services: Vec<String> = parts.into_iter().map(|part| part.service(name)).collect();
    // From here on they stay in memory: they are looked at more than once.
    bus.hold(&services).await?;
    let props = bus.properties_of(&services).await?;
    systemd::check_free(&props, UnitDir::new(ctx.env).path())
}

/// Fails when systemd's generators look for units elsewhere than where ragpod writes them: the
/// manager has an environment of its own.
pub(super) async fn same_place(ctx: Ctx<'_>, bus: &Systemd) -> Result<()> {
    let Some(theirs) = bus.config_home().await? else { return Ok(()) };
    let ours = &ctx.env.config_home;
    // Both may be links to one place.
    let real = |path: &Utf8PathBuf| path.canonicalize_utf8().unwrap_or_else(|_| path.clone());
    if theirs == *ours || real(&theirs) == real(ours) {
        return Ok(());
    }
    Err(Error::host(format!(
        "systemd looks for units below {theirs}, and this shell writes below {ours}"
    ))
    .cause("XDG_CONFIG_HOME is not the same for the two")
    .hint(format!("take systemd's: export XDG_CONFIG_HOME={theirs}"))
    .hint(format!("or give it yours: systemctl --user set-environment XDG_CONFIG_HOME={ours}")))
}

/// What a change installs, in words: all units of a new instance, or those that differ.
fn what(plan: &Plan) -> String {
    if plan.unchanged.is_empty() && plan.update.is_empty() {
        return "its units".to_owned();
    }
    let files = plan.create.keys().chain(plan.update.keys());
    let label = |file: &String| Part::of_file(file).map(|(_, part)| part.label());
    let mut words: Vec<String> = Vec::new();
    let changed: Vec<&str> = files.filter_map(label).collect();
    if !changed.is_empty() {
        words.push(format!("the changed units of {}", changed.join(", ")));
    }
    let removed: Vec<&str> = plan.delete.iter().filter_map(label).collect();
    if !removed.is_empty() {
        words.push(format!("nothing any more of {}", removed.join(", ")));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::Installed;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_installed_in_words() {
        let name: Name = "a".parse().unwrap();
        let units = |list: &[(Part, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(part, text)| (part.file(&name), (*text).to_owned())).collect()
        };
        let of = |wanted: &[(Part, &str)], there: &[(Part, &str)]| {
            let installed = Installed { files: units(there), ..Installed::default() };
            what(&plan(&name, &units(wanted), &installed).unwrap())
        };
        let (pod, app) = ((Part::Pod, "p"), (Part::App, "a"));
        assert_eq!(of(&[pod, app], &[]), "its units");
        assert_eq!(of(&[pod, app], &[pod, (Part::App, "x")]), "the changed units of app");
        let gateway = (Part::Egress, "e");
        assert_eq!(of(&[pod, app], &[pod, app, gateway]), "nothing any more of egress");
    }
}
