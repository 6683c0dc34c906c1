//! What is refused, with its message and exit code, and nothing changed on disk.

use crate::host::{Instance, Ran, ragpod, root, run, sh, shared};

/// Everything on disk and in Podman that bears this name.
fn everything(of: &str) -> String {
    sh(&format!(
        "find ~/.config/ragpod ~/.config/containers ~/.local/state/ragpod -not -name lock \
            -printf '%p %T@ %s\\n' 2>/dev/null | grep -F -- {of} | sort || true
        podman volume ls --format '{{{{.Name}}}}' | grep -F -- {of} || true
        podman secret ls --format '{{{{.Name}}}}' | grep -F -- {of} || true"
    ))
    .ok()
    .out
}

/// Runs something that must leave everything of that name as it was.
fn unchanged(of: &str, run: impl FnOnce() -> Ran) -> Ran {
    let before = everything(of);
    let ran = run();
    assert_eq!(everything(of), before, "something was changed by\n{ran}");
    ran
}

#[test]
fn names() {
    let _host = shared();
    for name in [
        "",
        "E2E-badn",
        "e2e_badn",
        "-e2e-badn",
        "e2e-badn-",
        "e2e/badn",
        "e2e-badn-pod",
        &"e2e-badn".repeat(6),
    ] {
        unchanged("badn", || ragpod(&["create", "--source", "/tmp", "--", name])).code(2);
    }
    let one = Instance::create("e2e-badn-taken", &[("a.md", "x")]);
    unchanged("badn", || ragpod(&["create", "e2e-badn-taken", "--source", &one.folder()]))
        .code(2)
        .tells("there is an instance e2e-badn-taken already")
        .tells("--force");
    for verb in ["up", "stop", "status", "ingest", "rm", "init", "render"] {
        unchanged("badn", || ragpod(&[verb, "e2e-badn-takem"]))
            .code(4)
            .tells("did you mean e2e-badn-taken?");
    }
    // Before anything is done with the other one, and before anybody is asked to be sure.
    for args in [
        ["up", "e2e-badn-taken", "e2e-badn-takem"],
        ["rm", "e2e-badn-taken", "e2e-badn-takem"],
        ["rm", "--data", "e2e-badn-takem"],
    ] {
        unchanged("badn", || ragpod(&args)).code(4).tells("there is no instance e2e-badn-takem");
    }
    unchanged("badn", || ragpod(&["restore", "e2e-badn-taken", "/no/such.tar.zst"]))
        .code(1)
        .tells("/no/such.tar.zst");
}

#[test]
fn manifests() {
    let _host = shared();
    let one = Instance::create("e2e-badm-toml", &[("a.md", "x")]);
    let file = "~/.config/ragpod/instances/e2e-badm-toml.toml";
    sh(&format!("printf '\\n[postgress]\\nmemory = \"2G\"\\n' >> {file}")).ok();
    unchanged("e2e-badm", || one.ragpod("up", &[]))
        .code(2)
        .tells("postgress")
        .tells("postgres")
        .tells(".toml:");

    let gone = Instance::create("e2e-badm-gone", &[("a.md", "x")]);
    run(&["rm", "-r", &gone.folder()]).ok();
    unchanged("e2e-badm", || gone.ragpod("up", &[]))
        .code(2)
        .tells("does not exist")
        .tells("[[source]]");
    unchanged("e2e-badm", || ragpod(&["create", "e2e-badm-none", "--source", "/no/such/folder"]))
        .code(2)
        .tells("/no/such/folder");
}

#[test]
fn hosts() {
    let _host = shared();
    let one = Instance::create("e2e-bad-host", &[("a.md", "x")]);
    let up = |setup: &str| {
        let script = format!("{setup}\nexec \"$program\" up e2e-bad-host");
        unchanged("e2e-bad-host", || sh(&format!("program=$(command -v ragpod)\n{script}")))
    };
    up("export PATH=/nowhere").code(3).tells("odman is not installed").tells("hint:");
    up("bin=$(mktemp -d); printf '#!/bin/sh\\necho podman version 4.9.3\\n' > $bin/podman
        chmod +x $bin/podman; export PATH=$bin:$PATH")
    .code(3)
    .tells("Podman 4.9.3 is too old")
    .tells("5.0")
    .tells("Debian 13");
    up("unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS").code(3).tells("XDG_RUNTIME_DIR");
    sh("sed -i 's|^image = .*||' ~/.config/ragpod/instances/e2e-bad-host.toml
        printf '\\n' >> ~/.config/ragpod/instances/e2e-bad-host.toml")
    .ok();
    ragpod(&[
        "create",
        "e2e-bad-host",
        "--force",
        "--source",
        &one.folder(),
        "--set",
        "engine.image=localhost/not/here:1",
    ])
    .ok();
    up("").code(3).tells("localhost/not/here:1").tells("podman images");
}

#[test]
fn questions() {
    let _host = shared();
    let one = Instance::create("e2e-bad-ask", &[("a.md", "x")]);
    one.ragpod("ingest", &[])
        .code(4)
        .tells("e2e-bad-ask is not running")
        .tells("ragpod up e2e-bad-ask");
    one.ragpod("query", &["what is it?"]).code(4);
    one.ragpod("exec", &["--", "true"]).code(4);
    for text in ["", "   ", "a"] {
        one.ragpod("query", &[text]).code(2).tells("question");
    }
    let error = one.ragpod("query", &["what is it?", "--json"]).code(4);
    let json: serde_json::Value = serde_json::from_str(&error.err).unwrap();
    assert_eq!(json["error"]["kind"], "not-running", "{json}");
    assert!(json["error"]["hints"][0].as_str().is_some(), "{json}");
}

#[test]
fn a_full_disk() {
    let _host = shared();
    let one = Instance::create("e2e-bad-full", &[("a.md", "x")]);
    let mount = "/tmp/e2e-bad-full-state";
    let Some(made) = root(&format!(
        "mkdir -p {mount}; mount -t tmpfs -o size=64k,mode=0777 none {mount}
         dd if=/dev/zero of={mount}/fill bs=4k count=100 2>/dev/null || true"
    )) else {
        return;
    };
    made.ok();
    let ran = unchanged("e2e-bad-full", || {
        run(&["env", &format!("XDG_STATE_HOME={mount}"), "ragpod", "up", "e2e-bad-full"])
    });
    root(&format!("umount {mount}; rmdir {mount}")).unwrap().ok();
    ran.code(1).tells("No space left").tells("free some space");
    assert_eq!(one.status()["state"], "not-installed");
}

#[test]
fn a_failed_start_says_which_unit_why_and_what_to_type() {
    let _host = shared();
    let one = Instance::create("e2e-fails", &[("a.md", "x")]);
    let source = format!("{}:**/*.md", one.folder());
    // The database's image as the engine's: it ends at once, for want of its volume.
    let wrong = "engine.image=localhost/ragpod/postgres:17";
    ragpod(&["create", "e2e-fails", "--force", "--source", &source, "--set", wrong]).ok();
    let up = one.ragpod("up", &[]).code(1);
    let up = up
        .tells("error: app of e2e-fails did not start: hybridrag-e2e-fails-app.service: failed")
        .tells("its last words:")
        .tells("is not writable by user 1000")
        .tells("hint: see more: ragpod logs e2e-fails");
    assert!(!up.err.contains("container died"), "noise in\n{up}");
    // The manifest put right, the same command completes what it began.
    ragpod(&["create", "e2e-fails", "--force", "--source", &source]).ok();
    one.up();
    assert_eq!(one.status()["state"], "running");
}
