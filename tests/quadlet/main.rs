//! The rendered units against the real quadlet generators.
//!
//! `RAGPOD_QUADLET` lists generators, separated by colons, as `tests/quadlet/fetch` prints them;
//! without it, the one of this machine is asked, and where there is none the tests say that they were
//! skipped.

// A test may fail by panicking, and says on stderr what it skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod argv;
mod expect;
mod generator;
mod random;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use ragpod::manifest;
use ragpod::model::{Instance, Part, PodmanVersion};
use ragpod::render::{Target, render};

use generator::{Generator, generators};
use random::{Case, Random};

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
    // In memory where that can be had: there are thousands of files.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
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

/// The list of keys, which the product's own table is held against (`render/tests`), says of each
/// generator what it says itself: it takes the keys of its release and of those before, and no other.
#[test]
fn the_list_of_keys_is_true() {
    let list = include_str!("podman-keys.txt").lines().filter(|l| !l.starts_with('#'));
    let keys: Vec<(&str, &str, PodmanVersion)> = list
        .map(|line| {
            let [section, key, since] = line.split(' ').collect::<Vec<_>>()[..] else { panic!() };
            (section, key, since.parse().unwrap())
        })
        .collect();
    let (mut taken, mut refused) = (0, 0);
    for generator in generators() {
        let dir = tempfile::tempdir().unwrap();
        for (i, (section, key, _)) in keys.iter().enumerate() {
            // Without an image a container is refused before its keys are looked at.
            let (kind, text) = match *section {
                "Container" => {
                    ("container", format!("[Container]\nImage=localhost/a:1\n{key}=1\n"))
                }
                "Quadlet" => {
                    ("container", format!("[Quadlet]\n{key}=1\n[Container]\nImage=localhost/a:1\n"))
                }
                other => (&*other.to_lowercase(), format!("[{other}]\n{key}=1\n")),
            };
            std::fs::write(dir.path().join(format!("k{i}.{kind}")), text).unwrap();
        }
        let (_, said, _) = generator.run(dir.path());
        for (i, (section, key, since)) in keys.iter().enumerate() {
            let unsupported = format!("unsupported key '{key}' in group '{section}'");
            let knows =
                !said.lines().any(|l| l.contains(&format!("/k{i}.")) && l.contains(&unsupported));
            assert_eq!(
                knows,
                generator.version >= *since,
                "{generator}: [{section}] {key}\n{said}"
            );
            *if knows { &mut taken } else { &mut refused } += 1;
        }
    }
    eprintln!("{taken} times a generator knew a key, {refused} times it did not, as listed");
    // Debian's stable one is older than some keys.
    assert!(taken == 0 || refused > 0, "no generator is older than any key");
}

/// An engine of the user's own is started with the words of the manifest, and its health is asked
/// with them, whatever is in them.
#[test]
fn a_custom_engine_gets_its_words() {
    let words = [
        "; rm -rf /",
        "$(id) `id` $HOME ${HOME} %h %%",
        "it's \"quoted\" back\\slash",
        "\"",
        "'",
        " a  b ",
        "-x",
        "ü🚢",
        "#no",
        "end\\",
    ];
    let list = serde_json::to_string(&words).unwrap();
    let argv = list.replacen('[', "[\"program\", ", 1);
    let text = format!(
        "[instance]\nname = 'own'\n[engine]\nprofile = 'custom'\nimage = 'localhost/a:1'\n\
         [engine.commands]\nserve = {argv}\nhealth = {argv}\n"
    );
    for generator in generators() {
        let services = generate(&generator, &[parse(&text, "own")]);
        let app = &services["hybridrag-own-app.service"];
        let line = app.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let argv = argv::of_exec(line).unwrap();
        let image = argv.iter().position(|word| word == "localhost/a:1").unwrap();
        assert_eq!(argv[image + 1..], words, "{generator}");
        let after = |option: &str| &argv[argv.iter().position(|word| word == option).unwrap() + 1];
        let entrypoint = argv.iter().any(|word| word == "--entrypoint=program");
        assert!(entrypoint || after("--entrypoint") == "program", "{generator}: {argv:?}");
        let health: Vec<String> = serde_json::from_str(after("--health-cmd")).unwrap();
        assert_eq!(health[1..], words, "{generator}");
    }
}

/// How many instances are asked about at once: more would be faster, and harder to read.
const IN_ONE_DIRECTORY: usize = 100;

/// Random values in every field: manifest → units → the real generator → the words that systemd
/// makes of every command are what was asked for, and nothing else became of them. What is not
/// taken is refused with its field named, and no other.
///
/// `RAGPOD_QUADLET_CASES` is how many manifests each generator reads.
#[test]
fn every_value_arrives_or_is_refused() {
    let cases = std::env::var("RAGPOD_QUADLET_CASES").ok().and_then(|n| n.parse().ok());
    let cases: usize = cases.unwrap_or(300);
    std::thread::scope(|scope| {
        for (seed, generator) in (7..).zip(generators()) {
            scope.spawn(move || many(&generator, Random::new(seed, "/srv"), cases));
        }
    });
}

fn many(generator: &Generator, mut random: Random, cases: usize) {
    let (mut checked, mut wild, mut refused) = (0, 0, 0);
    while checked < cases {
        let mut names = BTreeSet::new();
        let mut batch: Vec<(Case, Instance)> = Vec::new();
        for i in 0..IN_ONE_DIRECTORY {
            let case = if i % 3 == 0 { random.wild("i", i) } else { random.tame("i", i) };
            // A wild name may be another one's.
            if !names.insert(case.name.clone()) {
                continue;
            }
            match manifest::parse(&case.manifest(), "random", Utf8Path::new(HOME)) {
                Ok(instance) => {
                    wild += usize::from(case.wild.is_some());
                    batch.push((case, instance));
                }
                Err(problems) => {
                    names_the_field(&case, &problems);
                    refused += 1;
                }
            }
        }
        let twins: Vec<_> = batch.iter().map(|(case, _)| twin::twin(case)).collect();
        let tame: Vec<_> = twins.iter().map(|(twin, _)| parse(&twin.manifest(), "twin")).collect();
        let hostile: Vec<_> = batch.iter().map(|(_, instance)| instance.clone()).collect();
        let (services, tame) = (generate(generator, &hostile), generate(generator, &tame));
        assert_eq!(
            services.keys().collect::<Vec<_>>(),
            tame.keys().collect::<Vec<_>>(),
            "{generator}"
        );
        for ((case, instance), (_, stands_for)) in batch.iter().zip(&twins) {
            arrived(case, instance, stands_for, &services, &tame);
        }
        checked += batch.len();
    }
    eprintln!(
        "{generator}: {checked} random manifests arrived in all their units, {wild} of them with a \
         wild value; {refused} were refused, their fields named"
    );
    assert!(wild > 0 && refused > wild, "the random manifests are not what they should be");
}

/// Only a wild value is refused, with its own key or one that no longer fits it, and free text only
/// when it is none.
fn names_the_field(case: &Case, problems: &[manifest::Problem]) {
    let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let Some((wild, value)) = &case.wild else { panic!("refused: {all:?} of {case:#?}") };
    let free = ["provider.llm_model", "provider.embedding_model", "provider.api_version"];
    let variable = case.env.iter().any(|(name, v)| *wild == format!("env.{name}") && v == value);
    if variable && wild.ends_with("_Q") || free.contains(&wild.as_str()) {
        let unfit = value.is_empty() || value.contains(char::is_control);
        assert!(unfit, "{value:?} was refused: {all:?}");
    }
    let related: &[&str] = match wild.as_str() {
        "provider.base_url" | "egress.mode" => &["egress.allow"],
        // A folder that gives its mount the name.
        "source.path" => &["source.name"],
        _ => &[],
    };
    for problem in problems {
        let named = problem.key == *wild || related.contains(&problem.key.as_str());
        assert!(named, "{wild} is wild, refused was {all:?} of {case:#?}");
    }
    assert!(!problems.is_empty());
}

/// All services of one instance against what was asked for, and against its twin's.
fn arrived(
    case: &Case,
    instance: &Instance,
    stands_for: &[(String, String)],
    services: &BTreeMap<String, String>,
    tame: &BTreeMap<String, String>,
) {
    for part in instance.parts() {
        let service = part.service(&instance.name);
        let (text, twin) = (&services[&service], &tame[&service]);
        assert_eq!(twin::anatomy(text, &[]), twin::anatomy(twin, stands_for), "{case:#?}");
        let line = |key: &str| text.lines().find_map(|l| l.strip_prefix(key));
        let start = line("ExecStart=").unwrap();
        let argv = argv::of_exec(start).unwrap();
        expect::arrived(case, part, &argv);
        let memory = match part {
            Part::Postgres => &case.memory[0],
            Part::App => &case.memory[1],
            _ => &None,
        };
        assert_eq!(line("MemoryMax=").map(bytes), memory.as_deref().map(bytes), "{case:#?}");
        // What stops when it is idle starts with its first use.
        let [.., idle_stop] = &case.schedule;
        let starts_alone = part == Part::Pod && case.autostart && idle_stop.is_none();
        assert_eq!(text.contains("\nWantedBy=default.target"), starts_alone, "{case:#?}");
    }
}

/// An amount of memory as systemd.resource-control(5) reads it.
fn bytes(amount: &str) -> u64 {
    let digits = amount.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let power = match &amount[digits.len()..] {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        unit => panic!("{unit:?} in {amount:?}"),
    };
    digits.parse::<u64>().unwrap() << (10 * power)
}
