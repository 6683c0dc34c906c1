//! Values as bad as can be, through the real systemd and into real containers: what systemd holds
//! of each command, read over D-Bus, and what a container sees of its words, variables and folders,
//! is what the manifest said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use camino::Utf8Path;
use ragpod::manifest;
use ragpod::model::{Instance, Part, PodmanVersion};
use ragpod::render::encode::{IsWords, Words};
use ragpod::render::{Target, UnitSet, render};

use crate::host::{generated, run, run_with, sh, shared, wait};

#[path = "../quadlet/argv.rs"]
mod argv;
#[path = "../quadlet/expect.rs"]
mod expect;
#[path = "../quadlet/random.rs"]
mod random;

use random::{Case, Random};

const HOME: &str = "/home/user";
/// Where all of this test's folders are, and its units.
const FOLDER: &str = "/tmp/ragpod-e2e-enc";
const UNITS: &str = "~/.config/containers/systemd/e2e-enc";
const INSTANCES: usize = 200;
const CONTAINERS: usize = 16;

/// What a container says of itself. Its words come after its own name and the file to write.
const DUMP: &str = r#"
import glob, json, os, sys
folders = ["/data/projects", *glob.glob("/data/sources/*"), "/etc/ragpod/ca.pem"]
read = lambda folder: open(folder + "/marker", "rb").read().decode()
json.dump({
    "argv": [os.fsencode(a).decode() for a in sys.argv[2:]],
    "env": {n.decode(): v.decode() for n, v in os.environb.items()},
    "folders": {f: read(f) for f in folders if os.path.exists(f + "/marker")},
}, open(sys.argv[1] + ".part", "w"))
os.rename(sys.argv[1] + ".part", sys.argv[1])
"#;

/// What the test puts on the host; gone when it is dropped.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        drop(sh(&format!(
            "systemctl --user stop 'hybridrag-e2e-enc-*' 2>/dev/null || true
             rm -rf {UNITS} {FOLDER}
             systemctl --user daemon-reload
             systemctl --user reset-failed 'hybridrag-e2e-enc-*' 2>/dev/null || true"
        )));
    }
}

/// Puts files into a folder of the host.
fn put(folder: &str, files: &BTreeMap<String, String>) {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    let tar = Command::new("tar")
        .args(["-c", "-C"])
        .arg(dir.path())
        .arg(".")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let unpack = format!("mkdir -p {folder} && tar -x --no-same-permissions -C {folder}");
    run_with(&["bash", "-euc", &unpack], &tar.stdout).ok();
}

fn cases() -> Vec<(Case, Instance)> {
    let mut random = Random::new(11, FOLDER);
    let mut cases = Vec::new();
    for i in 0.. {
        let prefix = "e2e-enc-";
        let case = if i % 4 == 0 { random.wild(prefix, i) } else { random.tame(prefix, i) };
        let named = case.name.starts_with(prefix);
        let parsed = manifest::parse(&case.manifest(), "random", Utf8Path::new(HOME));
        if let (true, Ok(instance)) = (named, parsed) {
            cases.push((case, instance));
        }
        if cases.len() == INSTANCES {
            break;
        }
    }
    cases
}

fn podman_version() -> PodmanVersion {
    let said = run(&["podman", "--version"]).ok().out;
    said.split_whitespace().last().unwrap().parse().unwrap()
}

/// The commands of units as systemd holds them, `$` not yet resolved: by unit, the words of all
/// commands of that property.
fn held(units: &[(String, &str)]) -> Vec<Vec<Vec<String>>> {
    let mut asked = String::new();
    for (unit, property) in units {
        let path = unit.replace('-', "_2d").replace('.', "_2e");
        writeln!(asked, "/org/freedesktop/systemd1/unit/{path} {property}").unwrap();
    }
    let ask = "while read -r path property; do
        busctl --user --json=short get-property org.freedesktop.systemd1 \"$path\" \
            org.freedesktop.systemd1.Service \"$property\"
        done";
    let ran = run_with(&["bash", "-euc", ask], asked.as_bytes()).ok();
    let command = |c: &serde_json::Value| {
        let words = c[1].as_array().unwrap();
        words.iter().map(|w| w.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let lines: Vec<_> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|json| json["data"].as_array().unwrap().iter().map(command).collect())
        .collect();
    assert_eq!(lines.len(), units.len());
    lines
}

/// `$$` as systemd resolves it when it starts the command; a lone `$` would be a variable.
fn resolved(words: &[String]) -> Vec<String> {
    let word = |w: &String| {
        argv::expand(&w.replace('%', "%%")).unwrap_or_else(|| panic!("{w:?} is expanded"))
    };
    words.iter().map(word).collect()
}

#[test]
fn every_value_arrives_through_systemd_and_podman() {
    let _host = shared();
    let _installed = Installed;
    drop(Installed);
    let target = Target { podman: podman_version(), ..Target::default() };
    let cases = cases();
    let mut files = BTreeMap::new();
    for (_, instance) in &cases {
        files.extend(render(instance, &target).unwrap());
    }
    let chosen: Vec<&(Case, Instance)> = cases
        .iter()
        .filter(|(case, _)| case.wild.is_none() && !case.sources.is_empty() && case.env.len() > 2)
        .take(CONTAINERS)
        .collect();
    assert_eq!(chosen.len(), CONTAINERS);
    // The containers' units lie beside the others, under names of their own.
    let words: Vec<Vec<String>> = chosen.iter().map(|(case, _)| hostile_words(case)).collect();
    for ((case, instance), words) in chosen.iter().zip(&words) {
        let units = render(instance, &target).unwrap();
        files.insert(format!("{}.container", alone(case)), stripped(&units, instance, words));
    }
    folders(&chosen);
    put(UNITS, &files);
    run(&["systemctl", "--user", "daemon-reload"]).ok();

    commands_held_by_systemd(&cases);
    seen_by_containers(&chosen, &words);
}

fn commands_held_by_systemd(cases: &[(Case, Instance)]) {
    let mut asked = Vec::new();
    let mut parts = Vec::new();
    for (i, (case, instance)) in cases.iter().enumerate() {
        for part in instance.parts() {
            // Networks and volumes hold nothing but the name.
            if part.is_running_service() || i < 20 {
                // A pod is made before it is started.
                let create = if part == Part::Pod { "ExecStartPre" } else { "ExecStart" };
                asked.push((part.service(&instance.name), create));
                parts.push((case, part));
            }
        }
    }
    // The script beside the pod knows the name alone.
    let pods: Vec<_> =
        cases.iter().take(20).map(|(_, i)| (Part::Pod.service(&i.name), "ExecStartPost")).collect();
    let mut engines = BTreeMap::new();
    for ((case, part), commands) in parts.iter().zip(held(&asked)) {
        let [words] = &commands[..] else { panic!("{part:?} of {case:#?}: {commands:?}") };
        let words = resolved(words);
        assert_eq!(words[0], "/usr/bin/podman", "{part:?} of {case:#?}");
        expect::arrived(case, *part, &words);
        if *part == Part::App {
            engines.insert(format!("hybridrag-{}-app", case.name), words.clone());
        }
        if *part == Part::Pod {
            let named =
                words.windows(2).any(|w| w == ["--name", &format!("hybridrag-{}", case.name)]);
            assert!(named, "{words:?}");
        }
    }
    for ((case, _), commands) in cases.iter().zip(held(&pods)) {
        let [words] = &commands[..] else { panic!("{case:#?}: {commands:?}") };
        let [shell, c, script] = &resolved(words)[..] else { panic!("{words:?}") };
        assert_eq!((shell.as_str(), c.as_str()), ("/bin/sh", "-c"));
        assert!(script.contains(&format!("hybridrag-{}-network)", case.name)), "{script}");
    }
    decoder_is_right(&engines);
    eprintln!("{} instances, {} commands read over D-Bus", cases.len(), asked.len() + pods.len());
}

/// The tests' own decoder reads of the engines' commands, as the generator wrote them, what systemd
/// does: where no systemd is, it stands in for it.
fn decoder_is_right(engines: &BTreeMap<String, Vec<String>>) {
    let folder = format!("{FOLDER}/generated");
    generated("hybridrag-e2e-enc-*-app.service", &folder);
    let written = sh(&format!(
        "echo \"$XDG_RUNTIME_DIR\"; cd {folder}; grep -H '^ExecStart=' hybridrag-e2e-enc-*-app.service"
    ))
    .ok()
    .out;
    let (runtime, lines) = written.split_once('\n').unwrap();
    let lines: BTreeMap<&str, &str> =
        lines.lines().filter_map(|l| l.split_once(".service:ExecStart=")).collect();
    assert_eq!(engines.len(), INSTANCES);
    for (stem, words) in engines {
        let decoded: Vec<_> = argv::of_exec(lines[stem.as_str()])
            .unwrap()
            .into_iter()
            .map(|w| w.replace("<%t>", runtime).replace("<%N>", stem))
            .collect();
        // Another test's reload may come between the two: the generator writes its options in no
        // fixed order.
        let sorted = |words: &[String]| {
            let mut words = words.to_vec();
            words.sort();
            words
        };
        assert_eq!(sorted(words), sorted(&decoded));
    }
}

/// The unit of a case's engine as a container of its own.
fn alone(case: &Case) -> String {
    format!("hybridrag-{}-alone", case.name)
}

/// Words for the container's command, out of what the case has that is bad.
fn hostile_words(case: &Case) -> Vec<String> {
    let texts = case.env.iter().map(|(_, v)| v).chain(case.sources.iter().map(|s| &s.path));
    texts.filter(|t| *t != ";").flat_map(|t| [t.clone(), format!("a\n\t{t}\u{1b}\r")]).collect()
}

/// An engine's unit without what needs the rest of its instance, and another program in it.
fn stripped(units: &UnitSet, instance: &Instance, words: &[String]) -> String {
    const NOT_ALONE: &[&str] = &[
        "Wants=",
        "After=",
        "Pod=",
        "Secret=",
        "Volume=",
        "Notify=",
        "Health",
        "Restart",
        "Image=",
        "Pull=",
        "ContainerName=",
        "MemoryMax=",
    ];
    let own = format!("hybridrag-{}", instance.name);
    let text = units.get(&Part::App.file(&instance.name)).unwrap();
    let mut out = String::new();
    for line in text.lines().filter(|l| !NOT_ALONE.iter().any(|n| l.starts_with(n))) {
        out += &format!("{line}\n");
        if line == "[Container]" {
            let words: Vec<_> = words.iter().map(|w| Words::one("word", w).unwrap()).collect();
            let words: Vec<_> = words.iter().map(IsWords::words).collect();
            out += &format!(
                "Image=localhost/ragpod/engine:latest\nPull=never\nContainerName={own}-alone\n\
                 Network=none\nVolume={FOLDER}/box:/box\nEntrypoint=python\n\
                 Exec=/box/dump.py /box/{own}.json {}\n",
                words.join(" ")
            );
        }
    }
    out
}

/// Makes the folders that the chosen ones mount, each with a file that says which it is.
fn folders(chosen: &[&(Case, Instance)]) {
    let mut list = String::new();
    for (_, instance) in chosen {
        let sources = instance.sources.iter().map(|s| &s.path);
        for path in sources.chain(&instance.provider.ca_file) {
            list += &format!("{path}\0");
        }
    }
    put(&format!("{FOLDER}/box"), &BTreeMap::from([("dump.py".to_owned(), DUMP.to_owned())]));
    let make = "chmod 0777 \"$1/box\"
        while IFS= read -r -d '' path; do
            mkdir -p -- \"$path\"
            printf %s \"$path\" > \"$path/marker\"
        done";
    run_with(&["bash", "-euc", make, "make", FOLDER], list.as_bytes()).ok();
}

fn seen_by_containers(chosen: &[&(Case, Instance)], words: &[Vec<String>]) {
    let units: Vec<_> = chosen.iter().map(|(case, _)| format!("{}.service", alone(case))).collect();
    let units: Vec<_> = units.iter().map(String::as_str).collect();
    run(&[&["systemctl", "--user", "start", "--no-block"], &units[..]].concat()).ok();
    let count = format!("ls {FOLDER}/box/*.json 2>/dev/null | wc -l");
    wait("all containers have told", 120, || sh(&count).ok().out.trim() == CONTAINERS.to_string());
    for ((case, instance), words) in chosen.iter().zip(words) {
        let told = run(&["cat", &format!("{FOLDER}/box/hybridrag-{}.json", case.name)]).ok().json();
        let argv: Vec<String> = serde_json::from_value(told["argv"].clone()).unwrap();
        assert_eq!(argv, *words, "{case:#?}");
        for (name, value) in expect::variables(case, Part::App) {
            assert_eq!(told["env"][&name], value, "{name} of {case:#?}");
        }
        let sources = instance.sources.iter().map(|s| (s.mount.as_str(), s.path.as_str()));
        let ca = instance.provider.ca_file.iter().map(|f| ("/etc/ragpod/ca.pem", f.as_str()));
        let folders: BTreeMap<&str, &str> = sources.chain(ca).collect();
        assert_eq!(told["folders"], serde_json::to_value(&folders).unwrap(), "{case:#?}");
    }
    eprintln!("{CONTAINERS} containers saw their words, variables and folders as they were");
}
