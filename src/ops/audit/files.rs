//! What lies on disk: drop-ins, and places where a secret's value could be.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::ExposeSecret;

use super::facts::{DropIn, Scan};
use crate::env::Env;
use crate::install::State;
use crate::model::{Name, Part};
use crate::ops::manifests;
use crate::podman::SecretValue;
use crate::systemd::ServiceProps;

/// How deep quadlet directories are looked through.
const DEPTH: usize = 4;
/// A value shorter than that is in many a text by chance.
const SHORT: usize = 8;

/// Every directory in which Podman's generator looks for a user's units and drop-ins
/// (podman-systemd.unit(5)).
fn quadlet_dirs(env: &Env) -> Vec<Utf8PathBuf> {
    let mut roots = vec![env.config_home.join("containers/systemd")];
    roots.extend(env.runtime_dir.as_ref().map(|d| d.join("containers/systemd")));
    for shared in ["/etc/containers/systemd/users", "/usr/share/containers/systemd/users"] {
        roots.push(Utf8Path::new(shared).join(env.uid.to_string()));
        roots.push(shared.into());
    }
    roots
}

/// All drop-ins that apply to the parts of an instance, and those for parts that it has not.
pub(super) fn drop_ins(
    env: &Env,
    name: &Name,
    there: &BTreeSet<Part>,
    props: &[ServiceProps],
) -> Vec<DropIn> {
    let mut wanted: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for part in Part::ALL {
        for dir in drop_in_dirs(&part.file(name)) {
            wanted.entry(dir).or_default().push(part);
        }
    }
    let mut found: BTreeMap<Utf8PathBuf, Vec<Part>> = BTreeMap::new();
    for root in quadlet_dirs(env) {
        look(&root, DEPTH, &wanted, &mut found);
    }
    let mut all: Vec<DropIn> = found
        .into_iter()
        .map(|(path, parts)| DropIn {
            text: std::fs::read_to_string(&path).ok(),
            // One that applies to several is judged as of the first that is there.
            part: parts.into_iter().find(|p| there.contains(p)),
            path: path.into_string(),
        })
        .collect();
    for unit in props {
        let part = Part::of_service(&unit.service).map(|(_, part)| part);
        for path in &unit.drop_in_paths {
            if all.iter().all(|d| d.path != *path) {
                let text = std::fs::read_to_string(path).ok();
                all.push(DropIn { path: path.clone(), text, part });
            }
        }
    }
    all
}

/// The names of the directories whose drop-ins apply to a unit file: `a-b.container` has
/// `a-b.container.d`, `a-.container.d` and `container.d`.
fn drop_in_dirs(file: &str) -> Vec<String> {
    let (stem, kind) = file.rsplit_once('.').unwrap_or((file, ""));
    let mut dirs = vec![format!("{file}.d"), format!("{kind}.d")];
    dirs.extend(stem.match_indices('-').map(|(i, _)| format!("{}.{kind}.d", &stem[..=i])));
    dirs
}

fn look(
    dir: &Utf8Path,
    depth: usize,
    wanted: &BTreeMap<String, Vec<Part>>,
    found: &mut BTreeMap<Utf8PathBuf, Vec<Part>>,
) {
    // What is not there or not readable is not read by the generator either.
    let Ok(entries) = dir.read_dir_utf8() else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        match wanted.get(entry.file_name()) {
            Some(parts) => {
                let files = path.read_dir_utf8().into_iter().flatten().flatten();
                for file in files.filter(|f| f.path().extension() == Some("conf")) {
                    found.entry(file.path().to_owned()).or_default().extend(parts);
                }
            }
            None if depth > 0 => look(path, depth - 1, wanted, found),
            None => {}
        }
    }
}

/// Looks for the values of an instance's secrets where they must not be.
pub(super) fn scan(
    env: &Env,
    name: &Name,
    secrets: &[SecretValue],
    drop_ins: &[DropIn],
    described: &str,
    arguments: &str,
) -> Scan {
    let mut scan = Scan::default();
    let mut values = Vec::new();
    let prefix = format!("{}.", name.stem());
    for s in secrets {
        let Some(key) = s.name.strip_prefix(&prefix) else { continue };
        let key = key.rsplit_once('.').map_or(key, |(key, _)| key).to_owned();
        if s.value.expose_secret().len() < SHORT {
            scan.short.push(key);
        } else {
            values.push((key, s.value.expose_secret()));
        }
    }
    scan.values = values.len();
    let mut search = |place: &str, text: &str| {
        scan.places += 1;
        for (key, value) in &values {
            if text.contains(value) {
                scan.found.push((key.clone(), place.to_owned()));
            }
        }
    };
    for file in files(env, name) {
        if let Ok(bytes) = std::fs::read(&file) {
            search(file.as_str(), &String::from_utf8_lossy(&bytes));
        }
    }
    for d in drop_ins {
        search(&d.path, d.text.as_deref().unwrap_or_default());
    }
    search("what podman inspect shows", described);
    search("a running program's arguments", arguments);
    let store = env.data_home.join("containers/storage/secrets/filedriver/secretsdata.json");
    if let Ok(meta) = std::fs::metadata(&store) {
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            scan.readable.push((store.into_string(), mode));
        }
    }
    scan
}

/// The files that ragpod and Podman's generator wrote for an instance.
fn files(env: &Env, name: &Name) -> Vec<Utf8PathBuf> {
    let mut all = vec![manifests::path(env, name)];
    let mut of = |dir: &Utf8Path, wanted: &dyn Fn(&str) -> bool| {
        let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
        all.extend(
            entries
                .filter(|e| wanted(e.file_name()) && e.path().is_file())
                .map(camino::Utf8DirEntry::into_path),
        );
    };
    of(&State::dir(&env.state(), name), &|_| true);
    let own = |file: &str| Part::of_file(file).is_some_and(|(owner, _)| owner == *name);
    of(&env.units(), &own);
    if let Some(runtime) = &env.runtime_dir {
        let own = |file: &str| Part::of_service(file).is_some_and(|(owner, _)| owner == *name);
        of(&runtime.join("systemd/generator"), &own);
    }
    all
}

/// The arguments of all programs that this user may see.
pub(super) fn arguments() -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())
            && let Ok(bytes) = std::fs::read(entry.path().join("cmdline"))
        {
            all.push_str(&String::from_utf8_lossy(&bytes));
            all.push('\n');
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(dir: &tempfile::TempDir) -> Env {
        let home = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let mut env = Env::from_process().unwrap();
        env.config_home = home.join("config");
        env.state_home = home.join("state");
        env.data_home = home.join("data");
        env.runtime_dir = Some(home.join("run"));
        env
    }

    fn write(path: &Utf8Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn drop_ins_wherever_the_generator_looks() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(&dir);
        let name: Name = "a".parse().unwrap();
        let units = env.units();
        write(&units.join("hybridrag-a-app.container.d/10-x.conf"), "1");
        write(&units.join("hybridrag-a-app.container.d/README"), "no");
        write(&units.join("hybridrag-b-app.container.d/x.conf"), "no");
        write(&units.join("hybridrag-a-egress.container.d/stale.conf"), "2");
        write(&env.config_home.join("containers/systemd/container.d/all.conf"), "3");
        let runtime = env.runtime_dir.clone().unwrap();
        write(&runtime.join("containers/systemd/hybridrag-.pod.d/y.conf"), "4");
        let there = [Part::App, Part::Pod].into();
        let props = [ServiceProps {
            service: "hybridrag-a-app.service".into(),
            drop_in_paths: vec!["/nowhere/z.conf".into()],
            ..ServiceProps::default()
        }];
        let all = drop_ins(&env, &name, &there, &props);
        let told: Vec<(&str, Option<&str>, Option<Part>)> = all
            .iter()
            .map(|d| (d.path.rsplit('/').next().unwrap(), d.text.as_deref(), d.part))
            .collect();
        assert_eq!(
            told,
            [
                ("all.conf", Some("3"), Some(Part::App)),
                ("10-x.conf", Some("1"), Some(Part::App)),
                ("stale.conf", Some("2"), None),
                ("y.conf", Some("4"), Some(Part::Pod)),
                ("z.conf", None, Some(Part::App)),
            ]
        );
    }

    #[test]
    fn values_are_found_and_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(&dir);
        let name: Name = "a".parse().unwrap();
        write(&manifests::path(&env, &name), "x = \"planted-value\"");
        write(&env.units().join("hybridrag-b.pod"), "planted-value");
        write(&env.data_home.join("containers/storage/secrets/filedriver/secretsdata.json"), "");
        let secret =
            |name: &str, value: &str| SecretValue { name: name.into(), value: value.into() };
        let secrets = [
            secret("hybridrag-a.api-key.2", "planted-value"),
            secret("hybridrag-a.pin.1", "1234"),
            secret("hybridrag-a-b.api-key.1", "another-value"),
        ];
        let found = scan(&env, &name, &secrets, &[], "… another-value …", "psql planted-value");
        assert_eq!(found.short, ["pin"]);
        let places: Vec<&str> = found.found.iter().map(|(_, place)| place.as_str()).collect();
        assert!(places[0].ends_with("a.toml") && places.len() == 2, "{places:?}");
        assert!(!format!("{found:?}").contains("planted"));
        assert_eq!(found.readable.len(), 1);
    }
}
