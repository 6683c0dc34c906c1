//! Disks that are full, read-only, or two.

use super::*;

/// Runs one of the children below as root of a user namespace of its own, where it may mount.
#[allow(clippy::print_stderr)]
fn in_namespace(child: &str) {
    let test = format!("install::write::tests::hostile::{child}");
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env("RAGPOD_TEST_CHILD", child)
        .output();
    let output = match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).starts_with("unshare:") => output,
        denied => {
            eprintln!("SKIPPED: no user namespaces to mount in: {denied:?}");
            return;
        }
    };
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && ran, "{output:?}");
}

fn is_child(child: &str) -> bool {
    std::env::var("RAGPOD_TEST_CHILD").is_ok_and(|c| c == child)
}

fn mount(args: &[&str]) {
    let status = std::process::Command::new("mount").args(args).status().unwrap();
    assert!(status.success(), "mount {args:?}");
}

/// A host whose whole disk is a small tmpfs.
fn small(options: &str) -> Host {
    let host = Host::new();
    mount(&["-t", "tmpfs", "-o", options, "tmpfs", host.root.as_str()]);
    host
}

fn fill(root: &Utf8Path) {
    let mut file = std::fs::File::create(root.join("filler")).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}

#[test]
fn a_full_disk_changes_nothing() {
    in_namespace("child_full_disk");
}

#[test]
fn child_full_disk() {
    if !is_child("child_full_disk") {
        return;
    }
    // Full of bytes, and full of files.
    for options in ["size=64k", "size=1m,nr_inodes=14"] {
        let host = small(options);
        host.apply("a", ONE).unwrap();
        let state = host.root.join("state");
        let name: Name = "a".parse().unwrap();
        let mut remembered = crate::install::State::default();
        remembered.save(&state, &name).unwrap();
        fill(&host.root);
        for i in 0.. {
            if std::fs::File::create(host.root.join(format!("f{i}"))).is_err() {
                break;
            }
            if i > 20 {
                break;
            }
        }
        let long = "x".repeat(9000);
        let e = host.apply("a", &[("hybridrag-a.pod", &long)]).unwrap_err();
        assert_eq!(e.kind, Kind::Io, "{options}: {e}");
        assert!(e.hints()[0].contains("free some space"), "{options}: {e:?}");
        assert_eq!(host.units.read().unwrap().files, set(ONE), "{options}");
        assert!(host.stray().is_empty(), "{options}: {:?}", host.stray());
        remembered.initialised = Some("x".repeat(9000));
        let e = remembered.save(&state, &name).unwrap_err();
        assert!(e.hints()[0].contains("free some space"), "{options}: {e:?}");
        assert_eq!(crate::install::State::load(&state, &name).unwrap().initialised, None);
        let files: Vec<_> = state.join("a").read_dir_utf8().unwrap().collect();
        assert_eq!(files.len(), 1, "no temporary file is left: {files:?}");
    }
}

#[test]
fn a_read_only_directory_changes_nothing() {
    in_namespace("child_read_only");
}

#[test]
fn child_read_only() {
    if !is_child("child_read_only") {
        return;
    }
    let host = small("size=1m");
    host.apply("a", ONE).unwrap();
    // A file that is open for writing keeps its disk from becoming read-only.
    let (_keep, elsewhere) = dir();
    let lock = lock(&elsewhere);
    mount(&["-o", "remount,ro", host.root.as_str()]);
    let plan = wanted_plan(&host.units, "a", TWO);
    let e = host.units.apply(&lock, &plan, |_| Ok(()), &mut |_| {}).unwrap_err();
    assert_eq!(e.kind, Kind::Io);
    assert!(e.hints()[0].contains("make it writable"), "{e:?}");
    assert_eq!(host.units.read().unwrap().files, set(ONE));
}

#[test]
fn two_file_systems_are_refused() {
    in_namespace("child_two_file_systems");
}

#[test]
fn child_two_file_systems() {
    if !is_child("child_two_file_systems") {
        return;
    }
    let host = Host::new();
    let parent = host.units.path().parent().unwrap().to_owned();
    std::fs::create_dir_all(&parent).unwrap();
    mount(&["-t", "tmpfs", "tmpfs", parent.as_str()]);
    let e = host.apply("a", ONE).unwrap_err();
    assert!(e.message.contains("different file systems"), "{e}");
    std::fs::create_dir(host.units.path()).unwrap();
    std::fs::write(host.units.path().join("hybridrag-a.pod"), "1").unwrap();
    let e = host.apply("a", TWO).unwrap_err();
    assert!(e.message.contains("different file systems"), "{e}");
    assert_eq!(host.units.read().unwrap().files, set(&[("hybridrag-a.pod", "1")]));
    assert!(host.stray().is_empty());
}
