//! Changes: only what changed is restarted, and data stays unless asked.

use crate::host::{Instance, comes_to_nothing, ragpod, run, sh, shared};

const TEXT: &str = "The ferry leaves from the eastern pier.\n";

/// A script that lists units.
fn units(pattern: &str) -> String {
    format!("systemctl --user list-units --all --plain --no-legend '{pattern}'")
}

#[test]
fn up_twice_changes_nothing_and_an_edit_restarts_only_what_changed() {
    let _host = shared();
    let one = Instance::create("e2e-edit", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let units = "~/.config/containers/systemd/ragpod";
    let marks = || sh(&format!("stat -c '%n %i %Y' {units}/hybridrag-e2e-edit*")).ok().out;
    let (before, files) = (one.started(), marks());
    one.up().tells("nothing has changed");
    assert_eq!(one.started(), before);
    assert_eq!(marks(), files);
    one.ragpod("diff", &[]).ok();

    sh("printf '\\n[env]\\nTOP_K = \"17\"\\n' >> ~/.config/ragpod/instances/e2e-edit.toml").ok();
    one.ragpod("diff", &[]).code(1).says("hybridrag-e2e-edit-app.container").says("TOP_K");
    one.up().tells("restarted with what changed: app");
    let after = one.started();
    let changed: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(changed.len(), 1, "{before:?} {after:?}");
    assert!(changed[0].starts_with("hybridrag-e2e-edit-app "), "{changed:?}");
    one.ragpod("exec", &["--", "printenv", "TOP_K"]).ok().says("17");
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
}

#[test]
fn down_keeps_data_and_down_volumes_does_not() {
    let _host = shared();
    let one = Instance::create("e2e-down", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    one.ragpod("down", &[]).ok();
    assert_eq!(one.status()["state"], "not-installed");
    comes_to_nothing("units", &units("hybridrag-e2e-down*"));
    one.up();
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
    assert_eq!(one.status()["documents"]["processed"], 1);

    // Without a terminal nobody can be asked, so nothing is deleted.
    one.ragpod("down", &["--volumes"]).code(2).tells("--yes");
    assert_eq!(one.status()["state"], "running");
    one.ragpod("down", &["--volumes", "--yes"]).ok();
    one.up();
    assert_eq!(one.status()["documents"]["processed"], 0);
    let answer = one.ask("Where does the ferry start?");
    assert_eq!(answer["sources"].as_array().map(Vec::len), Some(0), "{answer}");
}

#[test]
fn rm_without_data_keeps_it_for_the_next_of_that_name() {
    let _host = shared();
    let one = Instance::create("e2e-again", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    one.ragpod("rm", &[]).ok().tells("its data and secrets stay");
    one.ragpod("status", &[]).code(4);
    let source = format!("{}:**/*.md", one.folder());
    ragpod(&["create", "e2e-again", "--source", &source])
        .ok()
        .tells("data of an earlier e2e-again");
    one.up();
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
}

#[test]
fn a_changed_password_reaches_the_database() {
    let _host = shared();
    let one = Instance::create("e2e-pass", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    crate::host::run_with(
        &["ragpod", "secret", "set", "e2e-pass", "postgres-password"],
        b"correct horse\n",
    )
    .ok();
    one.up();
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
    // The password is checked inside the pod too.
    let try_with = |password: &str| {
        let script = format!(
            "PGPASSWORD='{password}' psql -h 127.0.0.1 -U hybridrag -d hybridrag -Atc 'select 1'"
        );
        one.ragpod("exec", &["--service", "postgres", "--", "sh", "-c", &script])
    };
    try_with("correct horse").ok();
    try_with("wrong").code(2).tells("password authentication failed");
    // Nothing that anybody can read holds it.
    let found = sh("grep -rlF 'correct horse' ~/.config ~/.local/state /run/user/$(id -u)/systemd 2>/dev/null || true
        podman inspect $(podman ps --quiet) | grep -cF 'correct horse' || true");
    assert_eq!(found.ok().out.trim(), "0");
}

#[test]
fn what_is_removed_stays_removed_and_can_be_deleted_later() {
    let _host = shared();
    let one = Instance::create("e2e-gone", &[("a.md", TEXT)]);
    one.up();
    // Commands that arrive while it is being removed find that it is gone.
    let race = "ragpod rm e2e-gone & rm=$!
        soon $rm grep -qs \"^$rm \" ~/.local/state/ragpod/e2e-gone/lock
        code=0; ragpod up e2e-gone || code=$?; wait $rm || exit 99; exit $code";
    sh(race)
        .code(4)
        .tells("waiting for e2e-gone: held by pid ")
        .tells("there is no instance e2e-gone");
    comes_to_nothing("units", &units("hybridrag-e2e-gone*"));
    // Its data was kept, and goes when it is asked for by name.
    run(&["podman", "volume", "exists", "hybridrag-e2e-gone-postgres"]).ok();
    one.ragpod("rm", &["--data", "--yes"]).ok();
    run(&["podman", "volume", "exists", "hybridrag-e2e-gone-postgres"]).code(1);
    one.ragpod("rm", &["--data", "--yes"]).code(4);
}

#[test]
fn no_wait_and_a_lost_state_restart_nothing_twice() {
    let _host = shared();
    let one = Instance::create("e2e-nowait", &[("a.md", TEXT)]);
    one.ragpod("up", &["--no-wait"]).ok();
    one.wait_running(60);
    let before = one.started();
    one.up().tells("e2e-nowait is up");
    assert_eq!(one.started(), before);
    one.ragpod("up", &["--no-wait"]).ok().tells("nothing has changed");
    let json = one.ragpod("up", &["--json"]).ok().json();
    assert_eq!(json["instances"][0]["outcome"], "unchanged", "{json}");
    assert_eq!(one.started(), before);
}

#[test]
fn a_secrets_next_value_always_has_a_new_name() {
    let _host = shared();
    let one = Instance::create("e2e-key", &[("a.md", TEXT)]);
    let set = |value: &str| {
        let args = ["ragpod", "secret", "set", "e2e-key", "api-key"];
        crate::host::run_with(&args, value.as_bytes()).ok();
    };
    let names = || {
        let all = run(&["podman", "secret", "ls", "--format", "{{.Name}}"]).ok().out;
        all.lines()
            .filter(|l| l.starts_with("hybridrag-e2e-key.api-key"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    set("one");
    assert_eq!(names(), ["hybridrag-e2e-key.api-key.1"]);
    one.ragpod("secret", &[]).code(2);
    ragpod(&["secret", "rm", "e2e-key", "api-key"]).ok();
    assert_eq!(names(), Vec::<String>::new());
    set("two");
    assert_eq!(names(), ["hybridrag-e2e-key.api-key.2"]);
    // What the units mount is not taken from under them.
    one.up();
    ragpod(&["secret", "rm", "e2e-key", "postgres-password"])
        .code(2)
        .tells("mounts postgres-password");
    ragpod(&["secret", "set", "e2e-nobody", "api-key"]).code(4);
    ragpod(&["secret", "rm", "e2e-nobody", "api-key"]).code(4);
}

#[test]
fn a_rebuilt_image_is_noticed() {
    let _host = shared();
    let one = Instance::create("e2e-rebuilt", &[("a.md", TEXT)]);
    sh("podman tag localhost/ragpod/engine:latest localhost/e2e-rebuilt/engine:1").ok();
    let source = format!("{}:**/*.md", one.folder());
    let image = "engine.image=localhost/e2e-rebuilt/engine:1";
    ragpod(&["create", "e2e-rebuilt", "--force", "--source", &source, "--set", image]).ok();
    one.up();
    one.up().tells("nothing has changed");
    sh("printf 'FROM localhost/ragpod/engine:latest\\nLABEL e2e=changed\\n' |
        podman build -q -t localhost/e2e-rebuilt/engine:1 -")
    .ok();
    one.up().tells("restarted with what changed: app");
    one.ragpod("down", &[]).ok();
    sh("podman rmi localhost/e2e-rebuilt/engine:1").ok();
}
