//! What a command that was cut off had begun on disk is completed by the next one in systemd's
//! memory, too, whoever has systemd read its units meanwhile or does not.

use crate::faults::{was_killed, with_fault};
use crate::host::{Instance, Ran, ragpod, run, sh, shared, wait};

const TEXT: &str = "The ferryman is called Charon.\n";

/// A property of a unit.
fn property(unit: &str, name: &str) -> String {
    sh(&format!("systemctl --user show -P {name} {unit}")).ok().out.trim().to_owned()
}

/// Adds lines at the end of the manifest, and kills the `up` that follows them.
fn switch_on(one: &Instance, lines: &str) {
    let add = r#"printf '%s\n' "$2" >> ~/.config/ragpod/instances/"$1".toml"#;
    run(&["bash", "-euc", add, "add", &one.name, lines]).ok();
    let ran = with_fault("kill:scheduled", &["up", &one.name]);
    assert!(was_killed(&ran), "{ran}");
}

/// `up` by the same program: another one has other template units, for which systemd reads all anew.
fn up(one: &Instance) -> Ran {
    with_fault("trace:/dev/null", &["up", &one.name]).ok()
}

#[test]
fn what_was_switched_on_is_wanted() {
    let _host = shared();
    let one = Instance::create("e2e-resume-on", &[("a.md", TEXT)]);
    one.up();
    // Another one that has a schedule: the template units are there already.
    let set = ["--set", "schedule.backup=yearly"];
    let other = Instance::create_with("e2e-resume-other", &[("a.md", TEXT)], &set);
    up(&other);
    switch_on(&one, "[schedule]\nidle_stop = \"1h\"\nbackup = \"yearly\"\nwatch = true");
    up(&one);
    let pod = format!("hybridrag-{}-pod.service", one.name);
    for (by, unit) in [
        (pod.as_str(), "ragpod-idle@e2e-resume-on.timer"),
        ("ragpod.target", "ragpod-backup@e2e-resume-on.timer"),
        ("ragpod.target", "ragpod-watch@e2e-resume-on.service"),
    ] {
        let wants = property(by, "Wants");
        assert!(wants.split(' ').any(|wanted| wanted == unit), "{by} wants {wants}");
        assert_eq!(property(unit, "ActiveState"), "active", "{unit}");
    }

    // A watch reads its folders once: it is restarted although systemd has read its units since.
    let folder = format!("{}/more", one.folder());
    one.write(&[("more/b.md", "The dog is called Cerberus.\n")]);
    let before = property("ragpod-watch@e2e-resume-on.service", "MainPID");
    switch_on(&one, &format!("[[source]]\npath = \"{folder}\"\nname = \"more\""));
    sh("systemctl --user daemon-reload").ok();
    up(&one);
    assert_ne!(property("ragpod-watch@e2e-resume-on.service", "MainPID"), before);
    // And then no more: what is switched on already is not said to be another.
    let after = property("ragpod-watch@e2e-resume-on.service", "MainPID");
    up(&one).tells("nothing has changed");
    assert_eq!(property("ragpod-watch@e2e-resume-on.service", "MainPID"), after);
}

#[test]
fn an_instance_that_was_not_waited_for_is_looked_at_and_set_up() {
    let _host = shared();
    let set = ["--set", "schedule.idle_stop=1h"];
    let one = Instance::create_with("e2e-resume-wait", &[("a.md", TEXT)], &set);
    one.ragpod("up", &["--no-wait"]).ok();
    wait("its idle timer", 30, || {
        property("ragpod-idle@e2e-resume-wait.timer", "ActiveState") == "active"
    });
    one.wait_running(60);
    one.ragpod("ingest", &[]).ok().tells("setting up the database");
    let again = one.ragpod("ingest", &[]).ok();
    assert!(!again.err.contains("setting up"), "{again}");
}

#[test]
fn the_first_use_starts_what_was_installed_in_two_goes() {
    let _host = shared();
    let set = ["--set", "schedule.idle_stop=1h"];
    let one = Instance::create_with("e2e-resume-rest", &[("a.md", TEXT)], &set);
    // Installed and recorded, and killed before anything else.
    let ran = with_fault("kill:ended", &["up", &one.name, "--no-start"]);
    assert!(was_killed(&ran), "{ran}");
    one.ragpod("up", &["--no-start"]).ok().tells("does not run");
    one.ragpod("ingest", &[]).ok().tells("installed and not used yet");
    // One that was refused leaves no note that a use could follow.
    let bad = Instance::create_with("e2e-resume-bad", &[("a.md", TEXT)], &set);
    let ran = with_fault("kill:intent", &["up", &bad.name, "--no-start"]);
    assert!(was_killed(&ran), "{ran}");
    bad.ragpod("query", &["who?"]).code(4).tells("ragpod up");
}

#[test]
fn what_comes_by_the_clock_waits_for_an_ingest_by_hand() {
    let _host = shared();
    let one = Instance::create("e2e-resume-turn", &[("a.md", TEXT)]);
    let many = r#"for n in $(seq 149); do printf '# Pier %s

The ferry is late.
' $n > "$1/$n.md"; done"#;
    run(&["bash", "-euc", many, "many", &one.folder()]).ok();
    one.up();
    let both = r#"
        ragpod ingest "$1" --json > /tmp/$1.json & by_hand=$!
        for n in $(seq 600); do
            [ "$(ragpod status "$1" --json | jq '.instances[0].documents.processed // 0')" = 0 ] || break
            sleep 0.05
        done
        kill -0 $by_hand; ragpod scheduled ingest "$1"; ! kill -0 $by_hand 2> /dev/null
        wait $by_hand; cat /tmp/$1.json; rm /tmp/$1.json"#;
    let ran = run(&["bash", "-euc", both, "both", &one.name]).ok();
    assert_eq!(ran.json()["new"], 150, "{ran}");
    ragpod(&["list"]).ok();
}
