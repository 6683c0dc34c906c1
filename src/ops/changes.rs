//! What of a set of units is not what runs, and what must be restarted for it to count. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::install::{Set, State};
use crate::model::{Name, Part};
use crate::render::UnitSet;

/// What each unit is when it is started now: the hash of its text and, for a container, the id of
/// its image, which can change under the same name.
pub(super) fn marks(set: &Set) -> BTreeMap<String, String> {
    let mut marks = UnitSet::new(set.units.clone()).hashes();
    for (file, image) in &set.images {
        if let Some(mark) = marks.get_mut(file) {
            mark.push(' ');
            mark.push_str(&image.id);
        }
    }
    marks
}

/// The parts whose service was last started with another unit or image than these, or of which
/// that is not known.
pub(super) fn changed(
    marks: &BTreeMap<String, String>,
    state: &State,
    name: &Name,
    set: &Set,
) -> BTreeSet<Part> {
    set.parts()
        .into_iter()
        .filter(|part| {
            let file = part.file(name);
            state.applied.get(&file) != marks.get(&file)
        })
        .collect()
}

/// Whether everything that stays up while the instance does is up.
pub(super) fn all_run(set: &Set, active: &BTreeSet<Part>) -> bool {
    set.parts().iter().filter(|p| p.is_running_service()).all(|p| active.contains(p))
}

pub(super) fn networks_of(parts: &BTreeSet<Part>) -> Vec<Part> {
    parts.iter().copied().filter(|p| p.is_network()).collect()
}

/// What must be restarted for the changed units to count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// Nothing that runs has changed.
    Nothing,
    /// These containers, each by itself.
    Some(Vec<Part>),
    /// Everything; these networks are made anew.
    All { networks: Vec<Part> },
}

/// A changed container is restarted alone. A changed pod takes its containers with it, and a
/// changed network the pod; it is made anew also when nothing runs, because its unit would find
/// the old one. A changed volume is left alone: it holds data, and its unit only says how it is
/// made.
pub(super) fn restarts(changed: &BTreeSet<Part>, running: &BTreeSet<Part>) -> Restart {
    let networks = networks_of(changed);
    if !networks.is_empty() || (changed.contains(&Part::Pod) && running.contains(&Part::Pod)) {
        return Restart::All { networks };
    }
    let containers: Vec<Part> =
        changed.iter().copied().filter(|p| p.is_container() && running.contains(p)).collect();
    if containers.is_empty() { Restart::Nothing } else { Restart::Some(containers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_restarted() {
        let set = |parts: &[Part]| parts.iter().copied().collect::<BTreeSet<_>>();
        let all = set(&Part::ALL);
        let of = |changed: &[Part], running: &BTreeSet<Part>| restarts(&set(changed), running);
        assert_eq!(of(&[], &all), Restart::Nothing);
        assert_eq!(of(&[Part::App], &all), Restart::Some(vec![Part::App]));
        assert_eq!(of(&[Part::App], &set(&[])), Restart::Nothing);
        assert_eq!(of(&[Part::PostgresVolume], &all), Restart::Nothing);
        assert_eq!(of(&[Part::App, Part::Pod], &all), Restart::All { networks: vec![] });
        let network = Restart::All { networks: vec![Part::Network] };
        assert_eq!(of(&[Part::Network, Part::Egress], &all), network);
        // A run that ended between stopping the pod and removing the network is completed.
        assert_eq!(of(&[Part::Network], &set(&[])), network);
    }
}
