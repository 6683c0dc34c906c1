//! Generations: what ran before is kept, put back when asked, and by itself when a change fails.

use serde_json::Value;

use crate::host::{Instance, ragpod, run, sh, shared};

const TEXT: &str = "The ferry leaves from the eastern pier.\n";
const UNITS: &str = "~/.config/containers/systemd/ragpod";

fn manifest(one: &Instance) -> String {
    format!("~/.config/ragpod/instances/{}.toml", one.name)
}

fn set_top_k(one: &Instance, value: &str) {
    let file = manifest(one);
    sh(&format!(
        "sed -i '/^\\[env\\]/,$d' {file}; printf '[env]\\nTOP_K = \"{value}\"\\n' >> {file}"
    ))
    .ok();
}

fn top_k(one: &Instance) -> String {
    one.ragpod("exec", &["--", "printenv", "TOP_K"]).ok().out.trim().to_owned()
}

fn generations(one: &Instance) -> Vec<Value> {
    let json = one.ragpod("generations", &["--json"]).ok().json();
    json["generations"].as_array().unwrap().clone()
}

/// Number, whether installed and whether it was healthy, of each.
fn marks(one: &Instance) -> Vec<(u64, bool, bool)> {
    let mark = |g: &Value| {
        let flag = |key: &str| g[key].as_bool().unwrap();
        (g["number"].as_u64().unwrap(), flag("current"), flag("healthy"))
    };
    generations(one).iter().map(mark).collect()
}

#[test]
fn what_ran_before_is_kept_and_put_back() {
    let _host = shared();
    let one = Instance::create("e2e-gen", &[("a.md", TEXT)]);
    one.ragpod("generations", &[]).ok();
    one.ragpod("rollback", &[]).code(1).tells("no earlier generation");
    set_top_k(&one, "11");
    one.up();
    assert_eq!(marks(&one), [(1, true, true)]);
    one.up().tells("nothing has changed");
    assert_eq!(marks(&one), [(1, true, true)]);
    set_top_k(&one, "12");
    one.up();
    assert_eq!(marks(&one), [(1, false, true), (2, true, true)]);
    assert_eq!(
        generations(&one)[1]["changed"],
        serde_json::json!(["hybridrag-e2e-gen-app.container"])
    );
    let before = one.started();

    one.ragpod("rollback", &[]).ok().tells("it runs generation 1");
    assert_eq!(top_k(&one), "11");
    assert_eq!(marks(&one), [(1, true, true), (2, false, true)]);
    let after = one.started();
    let restarted = after.iter().filter(|line| !before.contains(line)).count();
    assert_eq!(restarted, 1, "only the app: {before:?} {after:?}");
    // The manifest is the user's, and still wants the other.
    one.ragpod("diff", &[]).code(1).says("+Environment=\"TOP_K=12\"");
    one.ragpod("generations", &["--show", "1"]).ok().says("TOP_K = \"11\"").says("[Container]");
    one.ragpod("rollback", &[]).code(1).tells("no earlier generation");
    one.ragpod("rollback", &["--to", "7"]).code(2).tells("no generation 7");
    one.ragpod("rollback", &["--to", "2"]).ok();
    assert_eq!(top_k(&one), "12");
    one.ragpod("diff", &[]).ok();

    // Taken off the host with its data, the last one comes back, and is set up again.
    one.ragpod("down", &["--volumes", "--yes"]).ok();
    one.ragpod("rollback", &[]).ok().tells("it runs generation 2");
    assert_eq!(one.status()["state"], "running");
    one.ragpod("ingest", &[]).ok();
    // What cannot run is refused before anything is touched.
    let started = one.started();
    sh(&format!("mv {0} {0}.away", one.folder())).ok();
    one.ragpod("rollback", &["--to", "1"]).code(2).tells("does not exist");
    sh(&format!("mv {0}.away {0}", one.folder())).ok();
    assert_eq!(one.started(), started);
    // Nobody waited, and it was healthy all the same.
    set_top_k(&one, "13");
    one.ragpod("up", &["--no-wait"]).ok();
    one.wait_running(60);
    set_top_k(&one, "14");
    one.up();
    assert!(marks(&one).iter().all(|(_, _, healthy)| *healthy), "{:?}", marks(&one));
    ragpod(&["generations", "e2e-gen-nobody"]).code(4);
    ragpod(&["rollback", "e2e-gen-nobody"]).code(4);
}

#[test]
fn a_change_that_does_not_become_healthy_is_taken_back() {
    let _host = shared();
    let one = Instance::create("e2e-back", &[("a.md", TEXT)]);
    set_top_k(&one, "11");
    one.up();
    one.ragpod("ingest", &[]).ok();
    // The database's image as the engine's: it ends at once, for want of its volume.
    let file = manifest(&one);
    let wrong = "s#^\\[engine\\]#[engine]\\nimage = \"localhost/ragpod/postgres:17\"#";
    sh(&format!("cp {file} ~/e2e-back.toml; sed -i '{wrong}; s/\"11\"/\"12\"/' {file}")).ok();
    one.ragpod("up", &[])
        .code(1)
        .tells("is not writable by user 1000")
        .tells("generation 1, as it was before, runs again")
        .tells("--no-rollback");
    assert_eq!(one.status()["state"], "running");
    assert_eq!(one.status()["unfinished"], Value::Null);
    assert_eq!(top_k(&one), "11");
    assert_eq!(marks(&one), [(1, true, true), (2, false, false)]);
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
    let json = one.ragpod("up", &["--json"]).code(1);
    let error: Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!(error["error"]["kind"], "unit", "{json}");

    // To look at it, it can be left as it is.
    one.ragpod("up", &["--no-rollback"]).code(1).tells("did not");
    assert_eq!(marks(&one), [(1, false, true), (2, true, false)]);
    assert_ne!(one.status()["state"], "running");
    one.ragpod("rollback", &[]).ok().tells("it runs generation 1");
    assert_eq!(top_k(&one), "11");

    // What was stopped is not started by a change that fails.
    one.ragpod("stop", &[]).ok();
    one.ragpod("up", &[]).code(1).tells("generation 1, as it was before, is installed again");
    assert_eq!(one.status()["state"], "stopped");
    sh(&format!("mv ~/e2e-back.toml {file}")).ok();
    one.up();
    assert_eq!(marks(&one)[0], (1, true, true));
}

#[test]
fn edits_by_hand_are_seen_and_kept() {
    let _host = shared();
    let one = Instance::create("e2e-hand", &[("a.md", TEXT)]);
    set_top_k(&one, "11");
    one.up();
    let unit = format!("{UNITS}/hybridrag-e2e-hand-app.container");
    sh(&format!("sed -i 's/TOP_K=11/TOP_K=99/' {unit}")).ok();
    one.ragpod("diff", &[])
        .code(1)
        .says("update hybridrag-e2e-hand-app.container (edited by hand)")
        .says("restart hybridrag-e2e-hand-app.service");
    // Used by hand, as people do.
    sh("systemctl --user daemon-reload; systemctl --user restart hybridrag-e2e-hand-app.service")
        .ok();
    assert_eq!(top_k(&one), "99");
    one.up().tells("were edited by hand; they are kept as generation 2").tells("restarted");
    assert_eq!(top_k(&one), "11");
    one.ragpod("diff", &[]).ok();
    one.ragpod("rollback", &["--to", "2"]).ok();
    assert_eq!(top_k(&one), "99");
    one.up();

    // A drop-in is the user's own, and no difference.
    sh(&format!(
        "mkdir -p {unit}.d; printf '[Service]\\nNice=5\\n' > {unit}.d/10-nice.conf
         mkdir -p ~/.config/systemd/user/hybridrag-e2e-hand-postgres.service.d
         printf '[Service]\\nNice=4\\n' > \
            ~/.config/systemd/user/hybridrag-e2e-hand-postgres.service.d/nice.conf
         systemctl --user daemon-reload"
    ))
    .ok();
    one.ragpod("diff", &[])
        .ok()
        .tells("10-nice.conf changes hybridrag-e2e-hand-app.container")
        .tells("nice.conf changes hybridrag-e2e-hand-postgres.service");
    let json = one.ragpod("diff", &["--json"]).ok().json();
    assert_eq!(json["drop_ins"].as_array().map(Vec::len), Some(2), "{json}");
    // An edit that never ran is not what there is to go back to.
    sh(&format!("sed -i 's/^Exec=.*//; s/TOP_K=11/TOP_K=98/' {unit}")).ok();
    let file = manifest(&one);
    let wrong = "s#^\\[engine\\]#[engine]\\nimage = \"localhost/ragpod/postgres:17\"#";
    sh(&format!("cp {file} ~/e2e-hand.toml; sed -i '{wrong}' {file}")).ok();
    one.ragpod("up", &[]).code(1).tells("as it was before, runs again");
    assert_eq!(top_k(&one), "11");
    sh(&format!("mv ~/e2e-hand.toml {file}")).ok();
    one.up();
    // A unit that somebody removed comes back.
    sh(&format!("rm {UNITS}/hybridrag-e2e-hand.network; systemctl --user daemon-reload")).ok();
    one.ragpod("diff", &[]).code(1).says("create hybridrag-e2e-hand.network (edited by hand)");
    one.up();
    one.ragpod("diff", &[]).ok();
    assert_eq!(one.status()["state"], "running");
    sh(&format!(
        "rm -r {unit}.d ~/.config/systemd/user/hybridrag-e2e-hand-postgres.service.d
         systemctl --user daemon-reload"
    ))
    .ok();
}

#[test]
fn a_volume_is_never_made_anew_and_a_network_is_with_its_pod() {
    let _host = shared();
    let one = Instance::create("e2e-hash", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let made = |kind: &str, name: &str| {
        let format = if kind == "volume" { "{{.CreatedAt}}" } else { "{{.ID}}" };
        run(&["podman", kind, "inspect", "--format", format, name]).ok().out
    };
    let volume = made("volume", "hybridrag-e2e-hash-postgres");
    let network = made("network", "hybridrag-e2e-hash-network");
    // As if an older ragpod had made both with other options.
    sh(&format!(
        "sed -i '/^\\[Volume\\]/a Label=\"e2e=old\"' {UNITS}/hybridrag-e2e-hash-postgres.volume
         sed -i '/^\\[Network\\]/a Label=\"e2e=old\"' {UNITS}/hybridrag-e2e-hash.network
         systemctl --user daemon-reload"
    ))
    .ok();
    let before = one.started();
    one.up();
    assert_eq!(made("volume", "hybridrag-e2e-hash-postgres"), volume, "data volumes stay");
    assert_ne!(
        made("network", "hybridrag-e2e-hash-network"),
        network,
        "the network is another one"
    );
    let after = one.started();
    assert!(after.iter().all(|line| !before.contains(line)), "{before:?} {after:?}");
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
}

#[test]
fn an_image_goes_back_by_its_id() {
    let _host = shared();
    let one = Instance::create("e2e-pin", &[("a.md", TEXT)]);
    let build = |label: &str| {
        sh(&format!(
            "printf 'FROM localhost/ragpod/engine:latest\\nLABEL e2e={label}\\n' |
             podman build -q -t localhost/e2e-pin/engine:1 -"
        ))
        .ok()
    };
    build("first");
    let source = format!("{}:**/*.md", one.folder());
    let image = "engine.image=localhost/e2e-pin/engine:1";
    ragpod(&["create", "e2e-pin", "--force", "--source", &source, "--set", image]).ok();
    one.up();
    let of = |what: &str| run(&["podman", "inspect", "--format", "{{.Image}}", what]).ok().out;
    let old = of("hybridrag-e2e-pin-app");
    build("second");
    one.ragpod("diff", &[]).code(1).says("its image was built or pulled anew");
    one.up().tells("restarted with what changed: app");
    assert_ne!(of("hybridrag-e2e-pin-app"), old);
    // Its name stands for the new one now.
    one.ragpod("rollback", &[]).ok().tells("it runs generation 3");
    assert_eq!(of("hybridrag-e2e-pin-app"), old);
    assert_eq!(marks(&one), [(1, false, true), (2, false, true), (3, true, true)]);
    assert_eq!(generations(&one)[2]["cause"], "back to generation 1");
    let diff = one.ragpod("diff", &[]).code(1);
    assert!(!diff.out.contains("built or pulled anew"), "it is named by its id: {diff}");
    one.ragpod("rollback", &[]).code(1).tells("no earlier generation");
    one.up().tells("restarted with what changed: app");
    assert_ne!(of("hybridrag-e2e-pin-app"), old);
    // The old one is gone, name and all: the name's new one is taken.
    sh(&format!("podman rmi --force {old}")).ok();
    one.ragpod("rollback", &["--to", "1"]).ok().tells("ran is gone; it runs what");
    assert_eq!(one.status()["state"], "running");
    one.ragpod("down", &[]).ok();
    sh("podman rmi localhost/e2e-pin/engine:1").ok();
}

#[test]
fn another_major_version_of_postgres_is_refused() {
    let _host = shared();
    let one = Instance::create("e2e-major", &[("a.md", TEXT)]);
    one.up();
    let before = one.started();
    sh("printf 'FROM localhost/ragpod/postgres:17\\nENV PG_MAJOR=18\\n' |
        podman build -q -t localhost/e2e-major/postgres:18 -")
    .ok();
    let source = format!("{}:**/*.md", one.folder());
    let image = "postgres.image=localhost/e2e-major/postgres:18";
    ragpod(&["create", "e2e-major", "--force", "--source", &source, "--set", image]).ok();
    one.ragpod("up", &[])
        .code(1)
        .tells("the data of e2e-major are PostgreSQL 17's")
        .tells("is PostgreSQL 18")
        .tells("pg_dump")
        .tells("pg_restore");
    assert_eq!(one.started(), before);
    assert_eq!(one.status()["state"], "running");
    sh("podman rmi localhost/e2e-major/postgres:18").ok();
}
