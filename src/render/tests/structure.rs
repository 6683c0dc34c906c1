//! What the sources of the pure layers and the templates may contain.

use super::super::versions::{Class, KEYS, row};
use super::*;

macro_rules! sources {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../../", $path)))),*] };
}

const PURE: &[(&str, &str)] = sources![
    "model/mod.rs",
    "model/backup.rs",
    "model/hardening.rs",
    "model/image.rs",
    "model/name.rs",
    "model/profile.rs",
    "model/provider.rs",
    "model/schedule.rs",
    "model/text.rs",
    "model/version.rs",
    "model/when.rs",
    "graph/mod.rs",
    "graph/svg.rs",
    "graph/text.rs",
    "manifest/mod.rs",
    "manifest/commands.rs",
    "manifest/compose.rs",
    "manifest/compose/interpolate.rs",
    "manifest/compose/reader.rs",
    "manifest/compose/service.rs",
    "manifest/compose/top.rs",
    "manifest/compose/variables.rs",
    "manifest/compose/volumes.rs",
    "manifest/compose/yaml.rs",
    "manifest/edit.rs",
    "manifest/engine.rs",
    "manifest/env.rs",
    "manifest/env_file.rs",
    "manifest/hardening.rs",
    "manifest/keys.rs",
    "manifest/path.rs",
    "manifest/problem.rs",
    "manifest/provider.rs",
    "manifest/raw.rs",
    "manifest/reference.rs",
    "manifest/reference/page.rs",
    "manifest/reference/schema.rs",
    "manifest/resolve.rs",
    "manifest/source.rs",
    "manifest/table.rs",
    "manifest/template.rs",
    "render/mod.rs",
    "render/encode.rs",
    "render/environment.rs",
    "render/filters.rs",
    "render/schedule.rs",
    "render/unit_set.rs",
    "render/units.rs",
    "render/versions.rs",
];

#[test]
fn pure_layers_know_nothing_of_the_world() {
    for (file, text) in PURE {
        for banned in [
            "clap",
            "tokio",
            "zbus",
            "std::fs",
            "fs_err",
            "std::env",
            "std::process",
            "std::net::Tcp",
            "crate::env",
            "crate::exec",
            "SystemTime",
            "jiff",
        ] {
            assert!(!text.contains(banned), "src/{file} mentions {banned}");
        }
    }
}

/// A file that is added to a pure layer must be added to the list above.
#[test]
fn no_pure_source_is_forgotten() {
    let modules = |text: &str, dir: &str| -> Vec<String> {
        text.lines()
            .filter_map(|l| l.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
            .filter(|m| *m != "tests")
            .map(|m| format!("{dir}/{m}.rs"))
            .collect()
    };
    for dir in ["model", "graph", "manifest", "render"] {
        let (_, text) = PURE.iter().find(|(f, _)| *f == format!("{dir}/mod.rs")).unwrap();
        for module in modules(text, dir) {
            assert!(PURE.iter().any(|(f, _)| *f == module), "{module} is not in the list");
        }
    }
}

const TEMPLATES: &[(&str, &str)] = &[
    ("pod.pod", include_str!("../../../templates/pod.pod")),
    ("bridge.network", include_str!("../../../templates/bridge.network")),
    ("data.volume", include_str!("../../../templates/data.volume")),
    ("postgres.container", include_str!("../../../templates/postgres.container")),
    ("app.container", include_str!("../../../templates/app.container")),
    ("egress.container", include_str!("../../../templates/egress.container")),
    ("hardening.container", include_str!("../../../templates/hardening.container")),
];

/// Every `{{ … }}` has the filter of its key's class: `Environment={{ x|words }}`.
#[test]
fn values_have_the_filter_of_their_key() {
    for (file, text) in TEMPLATES {
        // The one that others include has no section of its own.
        let mut section = if *file == "hardening.container" { "Container" } else { "" };
        for line in text.lines().filter(|l| !l.starts_with("{%")) {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name;
            }
            let filters = line.split("{{").skip(1).map(|rest| {
                let inside = rest.split("}}").next().unwrap_or_default();
                inside.rsplit_once('|').map(|(_, filter)| filter.trim()).unwrap_or_default()
            });
            let class = match line.split_once('=') {
                _ if line.starts_with('#') => Some(Class::Line),
                Some((key, _)) => row(section, key).map(|(_, _, class, _)| *class),
                None => None,
            };
            let wanted = match class {
                Some(Class::Words) => "words",
                Some(Class::Bare) => "bare",
                Some(Class::Raw) => "raw",
                Some(Class::Line) => "line",
                None => "none",
            };
            for filter in filters {
                assert_eq!(filter, wanted, "{file}: {line}");
            }
            assert!(!line.contains("safe"), "{file}: {line}");
            assert!(!line.ends_with('\\'), "{file}: {line}");
        }
    }
}

#[test]
fn keys_are_listed_once() {
    for (i, (section, key, ..)) in KEYS.iter().enumerate() {
        assert!(!KEYS[..i].iter().any(|(s, k, ..)| (s, k) == (section, key)), "[{section}] {key}");
    }
}

/// Every key that the table has is written by some unit of some version: no row is stale.
#[test]
fn every_key_is_used() {
    let mut used = std::collections::BTreeSet::new();
    for (name, _) in MANIFESTS {
        for version in ["5.0", "5.4", "6.1"] {
            for (_, text) in render(&instance(name), &target(version)).unwrap().iter() {
                let mut section = String::new();
                for line in text.lines() {
                    if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                        name.clone_into(&mut section);
                    } else if let Some((key, _)) = line.split_once('=') {
                        used.insert((section.clone(), key.to_owned()));
                    }
                }
            }
        }
    }
    for (section, key, ..) in KEYS {
        assert!(used.contains(&((*section).to_owned(), (*key).to_owned())), "[{section}] {key}");
    }
}
