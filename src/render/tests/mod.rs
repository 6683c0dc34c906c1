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

/// The units of each version, where they differ from those of the version before.
#[test]
fn every_version() {
    let versions =
        ["5.0", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "5.7", "5.8", "5.9", "6.0", "6.1"];
    let mut differences = String::new();
    for name in ["azure", "ollama-open"] {
        let mut before: Option<BTreeMap<String, Vec<String>>> = None;
        for version in versions {
            let units = render(&instance(name), &target(version)).unwrap();
            let lines = units
                .iter()
                .map(|(f, t)| (f.to_owned(), t.lines().map(str::to_owned).collect::<Vec<_>>()))
                .collect::<BTreeMap<_, _>>();
            if let Some(before) = &before {
                for (file, new) in &lines {
                    let old = &before[file];
                    for line in old.iter().filter(|l| !new.contains(l)) {
                        writeln!(differences, "{version} {file}: - {line}").unwrap();
                    }
                    for line in new.iter().filter(|l| !old.contains(l)) {
                        writeln!(differences, "{version} {file}: + {line}").unwrap();
                    }
                }
            } else {
                let pod = format!("hybridrag-{name}.pod");
                writeln!(differences, "# {version} {pod}\n{}", units.get(&pod).unwrap()).unwrap();
            }
            before = Some(lines);
        }
    }
    insta::assert_snapshot!("versions", differences);
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
