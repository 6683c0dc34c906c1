//! Generations: every set of units that an instance was given, kept to go back to.
//!
//! One file each, `generations/NUMBER.json` in the instance's state directory. A set has no secret
//! in it: units name secrets by key and version.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::json;
use super::state::State;
use crate::error::{Error, Result};
use crate::model::{Name, Part, SecretKey};

/// The form that this version writes.
const VERSION: u64 = 1;

/// How many generations are kept that were healthy.
const HEALTHY: usize = 10;
/// How many others are kept.
const OTHERS: usize = 3;

/// The image that a container's unit ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedImage {
    /// Its name, as the manifest has it.
    pub name: String,
    /// Its id, in hexadecimal: under the same name there may be another one later.
    pub id: String,
}

/// The units of one instance that belong together, and what they rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Unit file name → text.
    pub units: BTreeMap<String, String>,
    /// Unit file name of a container → its image.
    pub images: BTreeMap<String, UsedImage>,
    /// The version of each secret that the units mount.
    pub secrets: BTreeMap<SecretKey, u32>,
    /// The manifest that gave them; `None` for units that somebody edited.
    pub manifest: Option<String>,
    /// The version of Podman that they were rendered for.
    pub podman: String,
}

impl Set {
    /// The parts of the instance that have a unit.
    #[must_use]
    pub fn parts(&self) -> BTreeSet<Part> {
        self.units.keys().filter_map(|file| Part::of_file(file)).map(|(_, part)| part).collect()
    }

    /// Whether two sets run the same: the same units with the same images.
    #[must_use]
    pub fn runs_as(&self, other: &Self) -> bool {
        self.units == other.units && self.images == other.images
    }

    /// The set with other versions of secrets. Their names stand in `Secret=` lines, before a
    /// comma.
    #[must_use]
    pub fn with_secrets(mut self, name: &Name, versions: &BTreeMap<SecretKey, u32>) -> Self {
        let mut renamed = Vec::new();
        for (key, version) in &mut self.secrets {
            if let Some(other) = versions.get(key).filter(|other| *other != version) {
                renamed.push((key.podman_name(name, *version), key.podman_name(name, *other)));
                *version = *other;
            }
        }
        for text in self.units.values_mut() {
            for (old, new) in &renamed {
                let (old, new) = (format!("{old},"), format!("{new},"));
                if text.contains(&old) {
                    let replace = |line: &str| {
                        let secret = line.starts_with("Secret=");
                        if secret { line.replace(&old, &new) } else { line.to_owned() }
                    };
                    *text = text.split_inclusive('\n').map(replace).collect();
                }
            }
        }
        self
    }

    /// The set with a container's unit running this image: a name, or the id of one that has lost
    /// its name to another.
    #[must_use]
    pub fn with_image(mut self, file: &str, image: &str) -> Self {
        if let Some(text) = self.units.get_mut(file) {
            let name = |line: &str| {
                let own = line.starts_with("Image=");
                if own { format!("Image={image}\n") } else { line.to_owned() }
            };
            *text = text.split_inclusive('\n').map(name).collect();
        }
        self
    }

    /// Whether a container's unit names its image by id.
    #[must_use]
    pub fn is_pinned(&self, file: &str) -> bool {
        let (Some(text), Some(image)) = (self.units.get(file), self.images.get(file)) else {
            return false;
        };
        text.lines().any(|line| line.strip_prefix("Image=") == Some(&image.id))
    }
}

/// A set of units as it was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// From 1; a later one is higher.
    pub number: u32,
    /// When it was made (RFC 3339), by the host's clock, which may go back: the number decides.
    pub created: String,
    /// What made it: `ragpod up demo`, `edited by hand`.
    pub cause: String,
    /// The ragpod that made it.
    pub ragpod: String,
    /// Whether all of it was found healthy once.
    pub healthy: bool,
    /// The earlier one that it is as near to as the host could come, when it was made by going
    /// back.
    #[serde(default)]
    pub copy_of: Option<u32>,
    /// Its units.
    pub set: Set,
}

impl Generation {
    /// Whether no manifest gave it: its units were edited by hand.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        self.set.manifest.is_none()
    }
}

/// The generations of an instance, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    dir: Utf8PathBuf,
    all: Vec<Generation>,
}

impl History {
    fn dir(state: &Utf8Path, name: &Name) -> Utf8PathBuf {
        State::dir(state, name).join("generations")
    }

    /// Reads what is kept of an instance.
    ///
    /// # Errors
    /// A file is corrupt or was written by a newer ragpod; all are left as they are.
    pub fn load(state: &Utf8Path, name: &Name) -> Result<Self> {
        let dir = Self::dir(state, name);
        let mut all = Vec::new();
        let entries = match dir.read_dir_utf8() {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self { dir, all }),
            Err(e) => return Err(Error::io("read", &dir, &e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("read", &dir, &e))?;
            let number = entry.file_name().strip_suffix(".json").and_then(|n| n.parse().ok());
            if let Some(number) = number
                && let Some(generation) = json::read::<Generation>(entry.path(), VERSION)?
            {
                all.push(Generation { number, ..generation });
            }
        }
        all.sort_by_key(|g| g.number);
        Ok(Self { dir, all })
    }

    /// Forgets all generations of an instance.
    pub fn clear(state: &Utf8Path, name: &Name) -> Result<()> {
        let dir = Self::dir(state, name);
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &dir, &e)),
            _ => Ok(()),
        }
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn all(&self) -> &[Generation] {
        &self.all
    }

    /// The one of a number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Generation> {
        self.all.iter().find(|g| g.number == number)
    }

    /// The newest one with exactly these units.
    #[must_use]
    pub fn of_units(&self, units: &BTreeMap<String, String>) -> Option<&Generation> {
        self.all.iter().rev().find(|g| g.set.units == *units)
    }

    /// The newest one that runs as this set, among those given.
    #[must_use]
    pub fn same_as(&self, set: &Set, among: &[Option<u32>]) -> Option<u32> {
        let among = |g: &&Generation| among.contains(&Some(g.number));
        self.all.iter().rev().filter(among).find(|g| g.set.runs_as(set)).map(|g| g.number)
    }

    /// The highest number.
    #[must_use]
    pub fn latest(&self) -> Option<u32> {
        self.all.last().map(|g| g.number)
    }

    /// The newest one before `number` that was healthy; before none, the newest of all. Before a
    /// copy is what was before its original.
    #[must_use]
    pub fn healthy_before(&self, number: Option<u32>) -> Option<&Generation> {
        let original = number.and_then(|n| self.get(n)?.copy_of);
        let number = original.or(number);
        let before = |g: &&Generation| number.is_none_or(|n| g.number < n);
        self.all.iter().rev().filter(before).find(|g| g.healthy)
    }

    /// The number of the next one.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.latest().map_or(1, |n| n + 1)
    }

    /// Writes a new generation, which gets the [next](Self::next) number; gives it.
    pub fn add(
        &mut self,
        cause: &str,
        created: String,
        copy_of: Option<u32>,
        set: Set,
    ) -> Result<u32> {
        let number = self.next();
        let generation = Generation {
            number,
            created,
            cause: cause.to_owned(),
            ragpod: env!("CARGO_PKG_VERSION").to_owned(),
            healthy: false,
            copy_of,
            set,
        };
        json::write(&self.file(number), VERSION, &generation)?;
        self.all.push(generation);
        Ok(number)
    }

    /// Remembers that a generation was found healthy.
    pub fn found_healthy(&mut self, number: u32) -> Result<()> {
        let path = self.file(number);
        match self.all.iter_mut().find(|g| g.number == number && !g.healthy) {
            Some(generation) => {
                generation.healthy = true;
                json::write(&path, VERSION, generation)
            }
            None => Ok(()),
        }
    }

    /// Forgets a generation.
    pub fn remove(&mut self, number: u32) -> Result<()> {
        json::remove(&self.file(number))?;
        self.all.retain(|g| g.number != number);
        Ok(())
    }

    /// Forgets the oldest ones. The last ten that were healthy stay, the last three others, and
    /// those that are needed.
    pub fn prune(&mut self, needed: &[Option<u32>]) -> Result<()> {
        let mut left = [OTHERS, HEALTHY];
        let mut old = Vec::new();
        for generation in self.all.iter().rev() {
            let left = &mut left[usize::from(generation.healthy)];
            if *left == 0 && !needed.contains(&Some(generation.number)) {
                old.push(generation.number);
            }
            *left = left.saturating_sub(1);
        }
        old.into_iter().try_for_each(|n| self.remove(n))
    }

    fn file(&self, number: u32) -> Utf8PathBuf {
        self.dir.join(format!("{number}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tree::tests::dir;

    fn name() -> Name {
        "demo".parse().unwrap()
    }

    fn set(unit: &str) -> Set {
        let file = "hybridrag-demo-app.container".to_owned();
        Set {
            units: [(file.clone(), unit.to_owned())].into(),
            images: [(file, UsedImage { name: "localhost/e:1".into(), id: "ab".into() })].into(),
            secrets: [(SecretKey::api_key(), 1)].into(),
            ..Set::default()
        }
    }

    fn add(history: &mut History, unit: &str, healthy: bool) -> u32 {
        let created = "2026-11-24T20:00:00Z".to_owned();
        let number = history.add("ragpod up demo", created, None, set(unit)).unwrap();
        if healthy {
            history.found_healthy(number).unwrap();
        }
        number
    }

    #[test]
    fn numbered_kept_and_found() {
        let (_keep, dir) = dir();
        let mut history = History::load(&dir, &name()).unwrap();
        assert_eq!((add(&mut history, "a", true), add(&mut history, "b", false)), (1, 2));
        assert_eq!(add(&mut history, "c", false), 3);
        let again = History::load(&dir, &name()).unwrap();
        assert_eq!(again.all(), history.all());
        assert_eq!(again.of_units(&set("b").units).unwrap().number, 2);
        assert_eq!(again.same_as(&set("b"), &[Some(3), None]), None);
        assert_eq!(again.same_as(&set("b"), &[Some(3), Some(2)]), Some(2));
        assert_eq!(again.healthy_before(Some(3)).unwrap().number, 1);
        history.found_healthy(2).unwrap();
        assert_eq!(history.healthy_before(Some(3)).unwrap().number, 2);
        assert!(History::load(&dir, &name()).unwrap().get(2).unwrap().healthy);
        history.remove(3).unwrap();
        assert_eq!(History::load(&dir, &name()).unwrap().latest(), Some(2));
    }

    #[test]
    fn the_oldest_go_and_the_needed_stay() {
        let (_keep, dir) = dir();
        let mut history = History::load(&dir, &name()).unwrap();
        for i in 1..=30 {
            add(&mut history, &i.to_string(), i % 2 == 0);
        }
        history.prune(&[Some(1), None]).unwrap();
        let kept: Vec<u32> = history.all().iter().map(|g| g.number).collect();
        assert_eq!(kept, [1, 12, 14, 16, 18, 20, 22, 24, 25, 26, 27, 28, 29, 30]);
        assert_eq!(History::load(&dir, &name()).unwrap().all().len(), kept.len());
    }

    #[test]
    fn before_a_copy_is_what_was_before_its_original() {
        let (_keep, dir) = dir();
        let mut history = History::load(&dir, &name()).unwrap();
        for unit in ["a", "b", "c"] {
            add(&mut history, unit, true);
        }
        let copy = history.add("back", String::new(), Some(2), set("b'")).unwrap();
        assert_eq!(history.healthy_before(Some(copy)).unwrap().number, 1);
        assert_eq!(history.healthy_before(Some(3)).unwrap().number, 2);
    }

    #[test]
    fn corrupt_and_newer_ones_are_refused_and_kept() {
        let (_keep, dir) = dir();
        let mut history = History::load(&dir, &name()).unwrap();
        add(&mut history, "a", true);
        let file = dir.join("demo/generations/1.json");
        for (text, word) in [("{", "corrupt"), ("{\"version\":9}", "newer ragpod")] {
            std::fs::write(&file, text).unwrap();
            let e = History::load(&dir, &name()).unwrap_err();
            assert!(e.message.contains(word) && e.message.contains(file.as_str()), "{e}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn other_versions_of_secrets() {
        let unit = "[Container]\nSecret=\"hybridrag-demo.api-key.1,type=mount\"\n\
                    Secret=\"hybridrag-demo.api-key.12,type=mount\"\n\
                    Environment=\"X=hybridrag-demo.api-key.1,\"\n";
        let versions = [(SecretKey::api_key(), 4), (SecretKey::postgres_password(), 9)].into();
        let moved = set(unit).with_secrets(&name(), &versions);
        assert_eq!(moved.secrets, [(SecretKey::api_key(), 4)].into());
        let expected = unit.replacen("api-key.1,", "api-key.4,", 1);
        assert_eq!(moved.units["hybridrag-demo-app.container"], expected);
    }

    #[test]
    fn an_image_by_its_id() {
        let file = "hybridrag-demo-app.container";
        let named = set("[Container]\nImage=localhost/e:1\nPull=never\n");
        let pinned = named.clone().with_image(file, "ab");
        assert_eq!(pinned.units[file], "[Container]\nImage=ab\nPull=never\n");
        assert!(pinned.is_pinned(file) && !named.is_pinned(file));
        assert_eq!(pinned.with_image(file, "localhost/e:1"), named);
    }
}
