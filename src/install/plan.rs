//! What must change on disk: the wanted units of one instance against what is installed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::model::{Name, Part};

/// What lies in the flat unit directory of all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Regular files and their contents (a file that is no UTF-8 text is nobody's unit of ours,
    /// and is read lossily).
    pub files: BTreeMap<String, String>,
    /// Drop-in directories (`*.d`) and the files in them: `hybridrag-a-app.container.d/10-x.conf`.
    pub drop_ins: BTreeMap<String, Vec<String>>,
    /// Entries that are neither regular files nor drop-in directories: links, sockets, directories.
    pub others: BTreeSet<String>,
}

impl Installed {
    /// The units of one instance, by file name.
    #[must_use]
    pub fn of(&self, name: &Name) -> BTreeMap<String, String> {
        self.files
            .iter()
            .filter(|(file, _)| belongs(file, name))
            .map(|(file, text)| (file.clone(), text.clone()))
            .collect()
    }

    /// The instances that have units installed.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Name> {
        self.files.keys().filter_map(|f| Part::of_file(f)).map(|(name, _)| name).collect()
    }

    /// The drop-in files that apply to an instance's units and to nothing else, as
    /// `UNIT.d/FILE`; the user's own, never touched.
    #[must_use]
    pub fn drop_ins_of(&self, name: &Name) -> Vec<String> {
        self.drop_ins
            .iter()
            .filter(|(dir, _)| dir.strip_suffix(".d").is_some_and(|unit| belongs(unit, name)))
            .flat_map(|(dir, files)| files.iter().map(move |file| format!("{dir}/{file}")))
            .collect()
    }

    /// Files that are no unit of any instance.
    #[must_use]
    pub fn foreign(&self) -> Vec<String> {
        let files = self.files.keys().filter(|f| Part::of_file(f).is_none());
        files.chain(&self.others).cloned().collect()
    }
}

/// The change that makes one instance's installed units the wanted ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The instance; only its files are touched.
    pub name: Name,
    /// Files that are not there yet, with their text.
    pub create: BTreeMap<String, String>,
    /// Files whose text differs, with the new text.
    pub update: BTreeMap<String, String>,
    /// Files of the instance that are no longer wanted.
    pub delete: BTreeSet<String>,
    /// Files that are as wanted.
    pub unchanged: BTreeSet<String>,
    /// The user's drop-in files for this instance, kept.
    pub drop_ins: Vec<String>,
    /// Files of nobody's, kept.
    pub foreign: Vec<String>,
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }

    /// Whether a file is one that the change makes, replaces or deletes.
    #[must_use]
    pub fn concerns(&self, file: &str) -> bool {
        self.create.contains_key(file)
            || self.update.contains_key(file)
            || self.delete.contains(file)
    }

    /// The files to be written, with their text.
    pub fn writes(&self) -> impl Iterator<Item = (&String, &String)> {
        self.create.iter().chain(&self.update)
    }

    /// The files of the instance that are there when the change is done.
    #[must_use]
    pub fn result(&self) -> BTreeSet<String> {
        self.create.keys().chain(self.update.keys()).chain(&self.unchanged).cloned().collect()
    }
}

fn belongs(file: &str, name: &Name) -> bool {
    Part::of_file(file).is_some_and(|(owner, _)| owner == *name)
}

/// Plans the change for `name`: `wanted` maps file names to texts; none wanted takes it off.
///
/// # Errors
/// A wanted file that is not this instance's, or a unit's name that is taken by something that is
/// no regular file (somebody's link is not ours to replace).
pub fn plan(name: &Name, wanted: &BTreeMap<String, String>, installed: &Installed) -> Result<Plan> {
    if let Some(file) = wanted.keys().find(|file| !belongs(file, name)) {
        return Err(Error::failed(format!("{file} is no unit of instance {name}")));
    }
    if let Some(other) = installed.others.iter().find(|file| belongs(file, name)) {
        return Err(Error::failed(format!(
            "{other} in the unit directory is not a regular file, so ragpod did not make it"
        ))
        .hint("move it out of the unit directory, then run the same command again"));
    }
    let mut plan = Plan {
        name: name.clone(),
        create: BTreeMap::new(),
        update: BTreeMap::new(),
        delete: BTreeSet::new(),
        unchanged: BTreeSet::new(),
        drop_ins: installed.drop_ins_of(name),
        foreign: installed.foreign(),
    };
    for (file, text) in wanted {
        match installed.files.get(file) {
            None => drop(plan.create.insert(file.clone(), text.clone())),
            Some(there) if there == text => drop(plan.unchanged.insert(file.clone())),
            Some(_) => drop(plan.update.insert(file.clone(), text.clone())),
        }
    }
    plan.delete = installed
        .files
        .keys()
        .filter(|file| belongs(file, name) && !wanted.contains_key(*file))
        .cloned()
        .collect();
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(s: &str) -> Name {
        s.parse().unwrap()
    }

    fn set(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect()
    }

    #[test]
    fn each_file_has_its_fate() {
        let installed = Installed {
            files: set(&[
                ("hybridrag-a.pod", "same"),
                ("hybridrag-a-app.container", "old"),
                ("hybridrag-a-egress.container", "gone"),
                ("hybridrag-a-b.pod", "the instance a-b"),
                ("mine.container", "somebody's"),
            ]),
            drop_ins: [
                ("hybridrag-a-app.container.d".to_owned(), vec!["10-x.conf".to_owned()]),
                ("hybridrag-a-b-app.container.d".to_owned(), vec!["10-y.conf".to_owned()]),
                ("container.d".to_owned(), vec!["all.conf".to_owned()]),
            ]
            .into(),
            others: ["link.container".to_owned()].into(),
        };
        let wanted = set(&[
            ("hybridrag-a.pod", "same"),
            ("hybridrag-a-app.container", "new"),
            ("hybridrag-a.network", "n"),
        ]);
        let plan = plan(&name("a"), &wanted, &installed).unwrap();
        assert_eq!(plan.create, set(&[("hybridrag-a.network", "n")]));
        assert_eq!(plan.update, set(&[("hybridrag-a-app.container", "new")]));
        assert_eq!(plan.delete, ["hybridrag-a-egress.container".to_owned()].into());
        assert_eq!(plan.unchanged, ["hybridrag-a.pod".to_owned()].into());
        assert_eq!(plan.drop_ins, ["hybridrag-a-app.container.d/10-x.conf"]);
        assert_eq!(plan.foreign, ["mine.container", "link.container"]);
        assert_eq!(installed.names(), [name("a"), name("a-b")].into());
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let installed =
            Installed { others: ["hybridrag-a.pod".to_owned()].into(), ..Installed::default() };
        assert!(plan(&name("a"), &BTreeMap::new(), &installed).is_err());
        assert!(plan(&name("b"), &BTreeMap::new(), &installed).is_ok());
        let wanted = set(&[("hybridrag-b.pod", "")]);
        assert!(plan(&name("a"), &wanted, &Installed::default()).is_err());
    }

    fn files() -> impl Strategy<Value = BTreeMap<String, String>> {
        let file =
            (prop::sample::select(vec!["a", "b", "a-b"]), prop::sample::select(&Part::ALL[..]))
                .prop_map(|(n, part)| part.file(&n.parse().unwrap()));
        let file = prop_oneof![file, "[a-z]{1,8}\\.(container|conf)"];
        prop::collection::btree_map(file, "[xy]", 0..16)
    }

    proptest! {
        /// Applying a plan gives exactly the wanted set of this instance, leaves every other file
        /// alone, and a second plan is empty.
        #[test]
        fn applied_once_and_for_all(there in files(), all in files()) {
            let name = name("a");
            let wanted: BTreeMap<_, _> =
                all.into_iter().filter(|(f, _)| belongs(f, &name)).collect();
            let installed = Installed { files: there.clone(), ..Installed::default() };
            let first = plan(&name, &wanted, &installed).unwrap();
            let mut after = there.clone();
            for file in &first.delete {
                prop_assert!(after.remove(file).is_some());
            }
            for (file, text) in first.writes() {
                after.insert(file.clone(), text.clone());
            }
            let after = Installed { files: after, ..Installed::default() };
            prop_assert_eq!(after.of(&name), wanted.clone());
            prop_assert_eq!(first.result(), wanted.keys().cloned().collect());
            for (file, text) in there.iter().filter(|(f, _)| !belongs(f, &name)) {
                prop_assert_eq!(after.files.get(file), Some(text));
            }
            prop_assert!(plan(&name, &wanted, &after).unwrap().is_empty());
        }
    }
}
