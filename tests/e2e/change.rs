//! Changes: only what changed is restarted, and data stays unless asked.

use crate::host::{Instance, ragpod, run, sh, shared};

const TEXT: &str = "The ferry leaves from the eastern pier.\n";

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
    let units = run(&[
        "systemctl",
        "--user",
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "hybridrag-e2e-down*",
    ]);
    assert_eq!(units.ok().out, "");
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
    ragpod(&["create", "e2e-again", "--source", &source]).ok();
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
