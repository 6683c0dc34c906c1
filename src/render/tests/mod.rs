//! Tests of the renderer: every variant of a manifest as a snapshot, the encoders against a model
//! of their readers, and what the templates may do.

mod encoding;
mod structure;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8Path;

use super::*;

/// The manifests of `tests/manifests/valid`, by their names.
const MANIFESTS: &[(&str, &str)] = &[
    ("offline", include_str!("../../../tests/manifests/valid/offline.toml")),
    ("azure", include_str!("../../../tests/manifests/valid/azure.toml")),
    ("openai", include_str!("../../../tests/manifests/valid/openai.toml")),
    ("ollama-open", include_str!("../../../tests/manifests/valid/ollama-open.toml")),
    ("limits", include_str!("../../../tests/manifests/valid/limits.toml")),
    ("sources", include_str!("../../../tests/manifests/valid/sources.toml")),
    ("private-ca", include_str!("../../../tests/manifests/valid/private-ca.toml")),
    ("relaxed", include_str!("../../../tests/manifests/valid/relaxed.toml")),
    ("custom", include_str!("../../../tests/manifests/valid/custom.toml")),
    ("custom-bare", include_str!("../../../tests/manifests/valid/custom-bare.toml")),
    ("upstream", include_str!("../../../tests/manifests/valid/upstream.toml")),
    ("nasty", include_str!("../../../tests/manifests/valid/nasty.toml")),
];

fn instance(name: &str) -> Instance {
    let (_, text) = MANIFESTS.iter().find(|(n, _)| *n == name).unwrap();
    crate::manifest::parse(text, &format!("{name}.toml"), Utf8Path::new("/home/user")).unwrap()
}

fn target(podman: &str) -> Target {
    Target { podman: podman.parse().unwrap(), ..Target::default() }
}

/// The set as one text, each file under its name.
fn listing(units: &UnitSet) -> String {
    let mut listing = String::new();
    for (file, text) in units.iter() {
        writeln!(listing, "# {file}\n{text}").unwrap();
    }
    listing
}

#[test]
fn every_variant() {
    for (name, _) in MANIFESTS {
        let units = render(&instance(name), &target("5.4")).unwrap();
        insta::assert_snapshot!(*name, listing(&units));
    }
}

/// Drop-ins, and what is switched on, of each manifest that has a schedule.
#[test]
fn every_schedule() {
    let mut listing = String::new();
    for (name, _) in MANIFESTS {
        let instance = instance(name);
        let schedule = schedule(&instance).unwrap();
        for chore in &schedule.chores {
            let (unit, by) = (chore.unit(&instance.name), chore.wanted_by(&instance.name));
            writeln!(listing, "# {unit}, wanted by {by}").unwrap();
            if let Some(text) = schedule.drop_ins.get(chore) {
                writeln!(listing, "{text}").unwrap();
            }
        }
    }
    insta::assert_snapshot!("schedules", listing);
}

/// The minor versions that brought something which the units use, or a time before.
const CHANGES: &[&str] = &["5.0", "5.2", "5.3", "5.4", "5.6", "5.7"];

/// The whole set for each minor version that changes something; the others have that of the one
/// before.
#[test]
fn every_version() {
    let versions = (0..=9).map(|m| format!("5.{m}")).chain(["6.0".into(), "6.1".into()]);
    let mut before = BTreeMap::new();
    for version in versions {
        for (name, _) in MANIFESTS {
            let now = render(&instance(name), &target(&version)).unwrap();
            let changed = before.insert(*name, now.clone()).as_ref() != Some(&now);
            assert_eq!(changed, CHANGES.contains(&version.as_str()), "{name} for {version}");
        }
        // `every_variant` has those of 5.4.
        if version != "5.4" && CHANGES.contains(&version.as_str()) {
            // A remote provider and an open network have all units between them.
            for name in ["azure", "ollama-open"] {
                insta::assert_snapshot!(format!("{name}-{version}"), listing(&before[name]));
            }
        }
    }
}

/// What the release's own source says of a key of its units, for the minors whose generators no
/// distribution carries any more; `tests/quadlet` asks those that there are.
#[test]
fn no_unit_has_a_key_that_its_release_does_not_know() {
    let known: BTreeMap<(&str, &str), PodmanVersion> =
        include_str!("../../../tests/quadlet/podman-keys.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let [section, key, since] = line.split(' ').collect::<Vec<_>>()[..] else {
                    panic!()
                };
                ((section, key), since.parse().unwrap())
            })
            .collect();
    // What is systemd's own has no version.
    for (section, key, _, (major, minor)) in versions::KEYS.iter().filter(|row| row.3 != (0, 0)) {
        let since = PodmanVersion::new(*major, *minor, 0).max(PodmanVersion::OLDEST);
        assert_eq!(known.get(&(*section, *key)), Some(&since), "[{section}] {key}");
    }
    let mut asked = 0;
    for minor in 0..=8 {
        let podman = PodmanVersion::new(5, minor, 0);
        for (name, _) in MANIFESTS {
            let target = Target { podman, ..Target::default() };
            for (file, text) in render(&instance(name), &target).unwrap().iter() {
                let mut section = "";
                for line in text.lines().filter(|l| !l.starts_with('#')) {
                    if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                        section = name;
                    }
                    let Some((key, _)) = line.split_once('=') else { continue };
                    if ["Unit", "Service", "Install"].contains(&section) {
                        continue;
                    }
                    let since = known.get(&(section, key));
                    assert!(since.is_some_and(|v| *v <= podman), "{file} for {podman}: {key}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 1000, "{asked} keys only");
}

#[test]
fn older_than_pods() {
    let error = render(&instance("offline"), &target("4.9.3")).unwrap_err();
    assert_eq!(error.kind.exit_code(), 3);
    assert!(error.message.contains("4.9.3"), "{error}");
    assert!(error.hints()[0].contains("Debian 13"), "{error:?}");
}

#[test]
fn a_new_version_of_a_secret_changes_its_readers_only() {
    let azure = instance("azure");
    let old = render(&azure, &target("5.4")).unwrap();
    let mut newer = target("5.4");
    newer.secrets.set(SecretKey::api_key(), 2);
    let new = render(&azure, &newer).unwrap();
    let changed: Vec<_> = old.names().filter(|f| old.hash(f) != new.hash(f)).collect();
    assert_eq!(changed, ["hybridrag-azure-app.container"]);
    assert_ne!(old.digest(), new.digest());
    assert!(new.get(changed[0]).unwrap().contains("hybridrag-azure.api-key.2,type=mount"));
}

#[test]
fn hashes() {
    let set = |files: &[(&str, &str)]| -> UnitSet {
        files.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect()
    };
    let a = set(&[("a", "bc")]);
    assert_eq!(
        a.hash("a").as_deref(),
        Some("1e0bbd6c686ba050b8eb03ffeedc64fdc9d80947fce821abbe5d6dc8d252c5ac")
    );
    assert_ne!(a.digest(), set(&[("ab", "c")]).digest());
    assert_eq!(a.digest(), set(&[("a", "bc")]).digest());
    assert_eq!(a.hash("b"), None);
}
