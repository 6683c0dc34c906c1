//! The rendered units against the real quadlet generators.
//!
//! `RAGPOD_QUADLET` lists generators, separated by colons; without it, the one of this machine is
//! asked, and where there is none the tests say that they were skipped.

// A test may fail by panicking, and says on stderr what it skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod argv;
mod generator;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use ragpod::manifest;
use ragpod::model::{Instance, Part};
use ragpod::render::{Target, render};

use generator::{Generator, generators};

const HOME: &str = "/home/user";

fn parse(text: &str, name: &str) -> Instance {
    match manifest::parse(text, name, Utf8Path::new(HOME)) {
        Ok(instance) => instance,
        Err(problems) => panic!("{}", manifest::Problem::into_error(&problems)),
    }
}

fn valid() -> Vec<Instance> {
    let dir = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/valid");
    let mut instances = Vec::new();
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let text = std::fs::read_to_string(&path).unwrap();
        instances.push(parse(&text, path.as_str()));
    }
    assert!(instances.len() >= 7, "where are the manifests?");
    instances
}

/// Renders the instances for the generator's own version and has it read them.
fn generate(generator: &Generator, instances: &[Instance]) -> BTreeMap<String, String> {
    let target = Target { podman: generator.version, ..Target::default() };
    let dir = tempfile::tempdir().unwrap();
    for instance in instances {
        for (file, text) in render(instance, &target).unwrap().iter() {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
    }
    generator.services(dir.path())
}

/// No key that the version does not know, no warning, and exactly the services that are expected.
#[test]
fn every_variant_is_accepted() {
    let instances = valid();
    for generator in generators() {
        let services = generate(&generator, &instances);
        let expected: BTreeSet<String> = instances
            .iter()
            .flat_map(|i| i.parts().into_iter().map(|p| p.service(&i.name)))
            .collect();
        let seen: BTreeSet<String> = services.keys().cloned().collect();
        assert_eq!(seen, expected, "{generator}");
    }
}

/// A manifest with random values in every field that holds free text, and what must arrive.
#[derive(Clone, Debug)]
struct Case {
    base_url: String,
    models: [String; 2],
    env: String,
    path: String,
}

fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\"",
        "'",
        "\\",
        "%",
        "%%",
        "%n",
        "%t",
        "$",
        "$$",
        "$HOME",
        "${HOME}",
        ";",
        "#",
        " ",
        "=",
        ",",
        ":",
        "[",
        "]",
        "\\x41",
        "\\n",
        "\\\\",
        "é",
        "日",
        "🦀",
        "\u{a0}",
        "\u{2028}",
        "|",
        "&",
        "`",
        "[Service]",
        "ExecStartPre=",
        "type=bind",
        "--privileged",
        ".",
        "-",
        "~",
        "*",
        "?",
        "\u{ad}",
        "\u{200b}",
        "@",
    ]);
    let part = prop_oneof![3 => special.prop_map(str::to_owned), 1 => "\\PC{1,4}"];
    prop::collection::vec(part, 1..8)
        .prop_map(|parts| parts.concat().chars().filter(|c| !c.is_control()).collect())
}

fn case() -> impl Strategy<Value = Case> {
    let url = text().prop_map(|t| {
        let path: String = t.chars().filter(|c| !c.is_whitespace() && !"?#".contains(*c)).collect();
        format!("https://h.example/{path}")
    });
    let path = text().prop_map(|t| {
        let t = t.replace('.', "_");
        format!("/srv/x{}", t.trim_end_matches(['\\', '/']).replace("//", "/"))
    });
    (url, [text(), text()], text(), path).prop_map(|(base_url, models, env, path)| Case {
        base_url,
        models,
        env,
        path: path.trim_end_matches(['\\', '/']).to_owned(),
    })
}

/// TOML's own writer puts the values into the manifest.
fn manifest_of(case: &Case, name: &str) -> String {
    let text = |s: &str| toml::Value::String(s.to_owned()).to_string();
    format!(
        "[instance]\nname = {}\n[provider]\nkind = \"openai-compatible\"\nbase_url = {}\n\
         llm_model = {}\nembedding_model = {}\n[[source]]\npath = {}\n[env]\nX = {}\n",
        text(name),
        text(&case.base_url),
        text(&case.models[0]),
        text(&case.models[1]),
        text(&case.path),
        text(&case.env),
    )
}

/// Random values in every field: manifest → units → the real generator → the words that systemd
/// makes of `ExecStart=` are what was asked for.
#[test]
fn every_value_arrives_as_it_was() {
    const IN_ONE_DIRECTORY: usize = 60;
    let cases: usize =
        std::env::var("RAGPOD_QUADLET_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = case();
    for generator in generators() {
        let mut checked = 0;
        while checked < cases {
            let batch: Vec<(Case, Instance)> = (0..IN_ONE_DIRECTORY)
                .map(|i| {
                    let case = strategy.new_tree(&mut runner).unwrap().current();
                    let name = format!("i{i}");
                    let instance = parse(&manifest_of(&case, &name), &format!("{name}.toml"));
                    (case, instance)
                })
                .collect();
            let instances: Vec<_> = batch.iter().map(|(_, i)| i.clone()).collect();
            let services = generate(&generator, &instances);
            for (case, instance) in &batch {
                let service = Part::App.service(&instance.name);
                let unit = services
                    .get(&service)
                    .unwrap_or_else(|| panic!("{generator} made no {service} of {case:?}"));
                arrived(unit, case, &generator);
            }
            checked += batch.len();
        }
        eprintln!("{generator}: {checked} manifests with random values, all as asked for");
    }
}

fn arrived(unit: &str, case: &Case, generator: &Generator) {
    let starts: Vec<_> = unit.lines().filter_map(|l| l.strip_prefix("ExecStart=")).collect();
    assert_eq!(starts.len(), 1, "{generator}: {case:?}");
    for (key, count) in [("ExecStartPre=", 0), ("ExecStop=", 1), ("ExecStopPost=", 1)] {
        assert_eq!(unit.lines().filter(|l| l.starts_with(key)).count(), count, "{case:?}");
    }
    let argv = argv::of_exec(starts[0])
        .unwrap_or_else(|| panic!("{generator}: systemd cannot read {}", starts[0]));
    let values = |flag: &str| -> Vec<&str> {
        argv.windows(2).filter(|w| w[0] == flag).map(|w| w[1].as_str()).collect()
    };
    let env = values("--env");
    for (name, value) in [
        ("API_BASE", case.base_url.as_str()),
        ("LLM_MODEL", &case.models[0]),
        ("EMBEDDING_MODEL", &case.models[1]),
        ("X", &case.env),
    ] {
        let wanted = format!("{name}={value}");
        assert!(env.contains(&wanted.as_str()), "{generator}: no {wanted:?} in {env:?}");
    }
    let mounts = values("--mount");
    assert_eq!(mounts.len(), 1, "{generator}: {case:?}");
    let fields = argv::of_csv(mounts[0]).unwrap_or_else(|| panic!("{generator}: {mounts:?}"));
    let source = format!("source={}", case.path);
    let wanted = ["type=bind", source.as_str(), "destination=/data/projects", "ro=true"];
    assert_eq!(fields, wanted, "{generator}: {case:?}");
    // Nothing else became of it.
    assert_eq!(argv.last().map(String::as_str), Some("localhost/ragpod/engine:latest"));
    assert!(!argv.iter().any(|a| a == "--privileged"), "{generator}: {argv:?}");
}
