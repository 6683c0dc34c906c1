mod hostile;

use super::*;
use crate::install::plan::plan;
use crate::install::tree::tests::dir;
use crate::model::Name;
use std::collections::BTreeMap;
use std::time::Duration;

struct Host {
    _keep: tempfile::TempDir,
    root: Utf8PathBuf,
    units: UnitDir,
}

impl Host {
    fn new() -> Self {
        let (keep, root) = dir();
        let units = units(&root);
        Self { _keep: keep, root, units }
    }

    fn lock(&self) -> Lock {
        lock(&self.root)
    }

    fn apply(&self, name: &str, wanted: &[(&str, &str)]) -> Result<()> {
        let plan = wanted_plan(&self.units, name, wanted);
        self.units.apply(&self.lock(), &plan, |_| Ok(()), &mut |_| {})
    }

    fn stray(&self) -> Vec<String> {
        let dir = self.root.join("ragpod");
        if !dir.exists() {
            return Vec::new();
        }
        dir.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect()
    }
}

fn units(root: &Utf8Path) -> UnitDir {
    UnitDir::at(root.join("containers/systemd/ragpod"), root.join("ragpod"))
}

fn lock(root: &Utf8Path) -> Lock {
    let soon = Duration::from_secs(5);
    Lock::take(&root.join("state"), Scope::Units, "test", soon, &mut |_| {}).unwrap()
}

fn set(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect()
}

fn wanted_plan(units: &UnitDir, name: &str, wanted: &[(&str, &str)]) -> Plan {
    let name: Name = name.parse().unwrap();
    plan(&name, &set(wanted), &units.read().unwrap()).unwrap()
}

const ONE: &[(&str, &str)] = &[("hybridrag-a.pod", "1"), ("hybridrag-a.network", "1")];
const TWO: &[(&str, &str)] = &[("hybridrag-a.pod", "2"), ("hybridrag-a-app.container", "2")];

#[test]
fn made_changed_and_taken_off() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    assert_eq!(host.units.read().unwrap().files, set(ONE));
    host.apply("b", &[("hybridrag-b.pod", "b")]).unwrap();
    host.apply("a", TWO).unwrap();
    let mut all = set(TWO);
    all.insert("hybridrag-b.pod".to_owned(), "b".to_owned());
    assert_eq!(host.units.read().unwrap().files, all);
    let path = host.units.path().join("hybridrag-a.pod");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    host.apply("a", &[]).unwrap();
    host.apply("b", &[]).unwrap();
    assert!(!host.units.path().exists(), "an empty directory is not left");
    assert!(host.stray().is_empty(), "{:?}", host.stray());
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    let dir = host.units.path().to_owned();
    std::fs::create_dir(dir.join("hybridrag-a.pod.d")).unwrap();
    std::fs::write(dir.join("hybridrag-a.pod.d/10.conf"), "mine").unwrap();
    std::fs::write(dir.join("mine.container"), "mine").unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.join("link.network")).unwrap();
    host.apply("a", &[]).unwrap();
    let installed = host.units.read().unwrap();
    assert_eq!(installed.files, set(&[("mine.container", "mine")]));
    assert_eq!(installed.drop_ins["hybridrag-a.pod.d"], ["10.conf"]);
    assert_eq!(std::fs::read_to_string(dir.join("hybridrag-a.pod.d/10.conf")).unwrap(), "mine");
    assert_eq!(
        std::fs::read_link(dir.join("link.network")).unwrap(),
        std::path::Path::new("/nowhere")
    );
}

#[test]
fn a_check_that_refuses_changes_nothing() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    let plan = wanted_plan(&host.units, "a", TWO);
    let e = host
        .units
        .apply(
            &host.lock(),
            &plan,
            |staged| {
                assert_eq!(std::fs::read_to_string(staged.join("hybridrag-a.pod")).unwrap(), "2");
                Err(Error::failed("no"))
            },
            &mut |_| {},
        )
        .unwrap_err();
    assert_eq!(e.message, "no");
    assert_eq!(host.units.read().unwrap().files, set(ONE));
    assert!(host.stray().is_empty());
}

#[test]
fn a_file_that_somebody_adds_meanwhile_is_not_lost() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    let plan = wanted_plan(&host.units, "a", TWO);
    let mut calls = 0;
    let drop_in = host.units.path().join("hybridrag-a.pod.d");
    host.units
        .apply(
            &host.lock(),
            &plan,
            |_| {
                calls += 1;
                if calls == 1 {
                    std::fs::create_dir(&drop_in).unwrap();
                    std::fs::write(drop_in.join("x.conf"), "x").unwrap();
                }
                Ok(())
            },
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(calls, 2);
    assert_eq!(std::fs::read_to_string(drop_in.join("x.conf")).unwrap(), "x");
    assert_eq!(host.units.read().unwrap().files, set(TWO));
    assert!(host.stray().is_empty());
}

#[test]
fn a_file_that_somebody_adds_in_the_last_instant_is_not_lost() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    let dir = host.units.path().to_owned();
    std::fs::write(dir.join("mine.container"), "old").unwrap();
    let plan = wanted_plan(&host.units, "a", TWO);
    host.units
        .apply(&host.lock(), &plan, |_| Ok(()), &mut |step| {
            if step == Step::Compared {
                std::fs::create_dir(dir.join("hybridrag-a.pod.d")).unwrap();
                std::fs::write(dir.join("hybridrag-a.pod.d/x.conf"), "x").unwrap();
                std::fs::write(dir.join(".new"), "new").unwrap();
                std::fs::rename(dir.join(".new"), dir.join("mine.container")).unwrap();
            }
        })
        .unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("hybridrag-a.pod.d/x.conf")).unwrap(), "x");
    let mut all = set(TWO);
    all.insert("mine.container".to_owned(), "new".to_owned());
    assert_eq!(host.units.read().unwrap().files, all);
    assert!(host.stray().is_empty());
}

#[test]
fn something_else_in_its_place_is_refused() {
    let host = Host::new();
    let dir = host.units.path();
    std::fs::create_dir_all(dir.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/tmp", dir).unwrap();
    assert!(host.units.read().unwrap_err().message.contains("symbolic link"));
    std::fs::remove_file(dir).unwrap();
    std::fs::write(dir, "").unwrap();
    assert!(host.units.read().unwrap_err().message.contains("not a directory"));
}

#[test]
fn leftovers_of_the_dead_are_swept() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    std::fs::create_dir_all(host.root.join("ragpod/.stage-dead/x.d")).unwrap();
    std::fs::create_dir_all(host.root.join("ragpod/instances")).unwrap();
    host.units.sweep(&host.lock()).unwrap();
    assert_eq!(host.stray(), ["instances"]);
    // An exchange in two steps that stopped in the middle.
    std::fs::rename(host.units.path(), host.root.join("ragpod/.before-dead")).unwrap();
    std::fs::create_dir(host.root.join("ragpod/.stage-dead")).unwrap();
    host.units.sweep(&host.lock()).unwrap();
    assert_eq!(host.units.read().unwrap().files, set(ONE));
    assert_eq!(host.stray(), ["instances"]);
}

#[test]
fn the_exchange_in_two_steps() {
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    let staged = host.root.join("ragpod/.stage-x");
    std::fs::create_dir(&staged).unwrap();
    host.units.exchange_in_two(&staged).unwrap();
    assert!(host.units.read().unwrap().files.is_empty());
    assert!(staged.join("hybridrag-a.pod").exists());
}

/// Not a test by itself: the process that [`killed_at_any_step`] kills.
#[test]
fn child_of_killed_at_any_step() {
    let Ok(arg) = std::env::var("RAGPOD_TEST_KILL") else { return };
    let (step, root) = arg.split_once(' ').unwrap();
    let units = units(Utf8Path::new(root));
    let plan = wanted_plan(&units, "a", TWO);
    units
        .apply(&lock(Utf8Path::new(root)), &plan, |_| Ok(()), &mut |at| {
            if format!("{at:?}") == step {
                let pid = nix::unistd::getpid();
                nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).unwrap();
            }
        })
        .unwrap();
}

#[test]
fn killed_at_any_step() {
    for step in Step::ALL {
        let host = Host::new();
        host.apply("a", ONE).unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "install::write::tests::child_of_killed_at_any_step"])
            .env("RAGPOD_TEST_KILL", format!("{step:?} {}", host.root))
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success(), "{step:?}");
        let done = matches!(step, Step::Exchanged | Step::Cleaned);
        let expected = if done { TWO } else { ONE };
        assert_eq!(host.units.read().unwrap().files, set(expected), "{step:?}");
        host.apply("a", TWO).unwrap();
        assert_eq!(host.units.read().unwrap().files, set(TWO), "{step:?}");
        assert!(host.stray().is_empty(), "{step:?}: {:?}", host.stray());
    }
}

/// Not a test by itself: the process that [`killed_at_any_time`] kills.
#[test]
fn child_of_killed_at_any_time() {
    let Ok(root) = std::env::var("RAGPOD_TEST_LOOP") else { return };
    let units = units(Utf8Path::new(&root));
    for wanted in [TWO, ONE].into_iter().cycle() {
        let lock = lock(Utf8Path::new(&root));
        let plan = wanted_plan(&units, "a", wanted);
        units.apply(&lock, &plan, |_| Ok(()), &mut |_| {}).unwrap();
    }
}

/// `RAGPOD_TEST_KILLS=5000` for a longer run.
#[test]
fn killed_at_any_time() {
    let kills = std::env::var("RAGPOD_TEST_KILLS").map_or(200, |n| n.parse().unwrap());
    let host = Host::new();
    host.apply("a", ONE).unwrap();
    host.apply("b", &[("hybridrag-b.pod", "b")]).unwrap();
    for i in 0..kills {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "install::write::tests::child_of_killed_at_any_time"])
            .env("RAGPOD_TEST_LOOP", host.root.as_str())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Spread over several rounds of the child's loop, without a clock's luck.
        std::thread::sleep(Duration::from_micros(4_000 + (i * 7_919) % 25_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let there = host.units.read().unwrap();
        let a = there.of(&"a".parse().unwrap());
        assert!(a == set(ONE) || a == set(TWO), "kill {i}: {a:?}");
        assert_eq!(there.of(&"b".parse().unwrap()), set(&[("hybridrag-b.pod", "b")]));
    }
    host.apply("a", &[]).unwrap();
    assert_eq!(host.units.read().unwrap().files, set(&[("hybridrag-b.pod", "b")]));
    assert!(host.stray().is_empty(), "{:?}", host.stray());
}

#[test]
fn many_at_once_lose_nothing() {
    let host = Host::new();
    std::thread::scope(|scope| {
        for i in 0..8 {
            let host = &host;
            scope.spawn(move || {
                let file = format!("hybridrag-i{i}.pod");
                let lock = host.lock();
                let plan = wanted_plan(&host.units, &format!("i{i}"), &[(&file, "x")]);
                host.units.apply(&lock, &plan, |_| Ok(()), &mut |_| {}).unwrap();
            });
        }
    });
    assert_eq!(host.units.read().unwrap().names().len(), 8);
    assert!(host.stray().is_empty());
}
