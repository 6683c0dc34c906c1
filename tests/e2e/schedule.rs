//! What instances do by themselves: timers, the watch, the stop of what nobody uses, and its waking.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{was_killed, with_fault};
use crate::host::{Instance, SOON, comes_to_nothing, sh, shared, wait};

const TEXT: &str = "The ferryman is called Charon.\n";

fn processed(one: &Instance) -> u64 {
    one.status()["documents"]["processed"].as_u64().unwrap_or(0)
}

fn chore(one: &Instance, what: &str) -> Value {
    let status = one.status();
    let all = status["schedule"].as_array().unwrap();
    all.iter().find(|c| c["what"] == what).cloned().unwrap_or(Value::Null)
}

/// Nothing of systemd's has the instance's name in it: files, links, units in memory.
#[track_caller]
fn leaves_no_traces(one: &Instance) {
    comes_to_nothing(
        "traces",
        &format!(
            "find ~/.config/systemd ~/.local/share/systemd -name '*{0}*' 2> /dev/null || true
             systemctl --user list-units --all --plain --no-legend '*@{0}.*'",
            one.name
        ),
    );
}

#[test]
fn timers_run_catch_up_skip_what_is_stopped_and_tell_of_failures() {
    let _host = shared();
    let notified = "/tmp/e2e-timer-notified";
    let notify = format!(
        "schedule.notify=[\"/bin/sh\", \"-c\", \"printf '%s|' \\\"$@\\\" \\\"$RAGPOD_INSTANCE\\\" \
         \\\"$RAGPOD_UNIT\\\" \\\"$RAGPOD_REASON\\\" > {notified}\", \"sh\", \"a  b\", \"$HOME;\"]"
    );
    let set = ["--set", "schedule.ingest=*:*:0/4", "--set", &notify];
    let one = Instance::create_with("e2e-timer-clock", &[("a.md", TEXT)], &set);
    let manifest = format!("~/.config/ragpod/instances/{}.toml", one.name);
    sh(&format!("rm -f {notified}")).ok();
    one.up();
    // Nobody types `ingest`.
    wait("the first ingest", 60, || processed(&one) == 1);
    wait("its record", 30, || chore(&one, "ingest")["last"].is_string());
    assert_eq!(chore(&one, "ingest")["failed"], Value::Null);
    one.up().tells("nothing has changed");

    // What its owner has stopped stays stopped, and that is no failure.
    one.ragpod("stop", &[]).ok();
    one.write(&[("b.md", "The dog is called Cerberus.\n")]);
    let service = format!("ragpod-ingest@{}.service", one.name);
    // Of this run of the test.
    let now = sh("date +%s").ok().out;
    let skipped =
        format!("journalctl --user -u {service} -o cat --since @{} | grep 'stays so'", now.trim());
    wait("a run that was skipped", 30, || sh(&skipped).code == 0);
    assert_eq!(one.status()["state"], "stopped");
    sh(&format!("! systemctl --user is-failed -q {service}")).ok();
    one.ragpod("query", &["Who is the dog?"]).code(4);
    one.ragpod("start", &[]).ok();
    wait("what came meanwhile", 60, || processed(&one) == 2);

    // A failure is shown and told, without a shell between; the next run that works clears it.
    // A run on the way up may have failed, and told of it.
    wait("a run that works", 30, || chore(&one, "ingest")["failed"].is_null());
    sh(&format!(
        "rm -f {notified}; cp {manifest} {manifest}.kept
         sed -i '/^\\[\\[source/,/^pattern/d' {manifest}"
    ))
    .ok();
    wait("a failure", 30, || chore(&one, "ingest")["failed"].is_string());
    let expected = format!("a  b|$HOME;|{}|{service}|the ingest of {0} failed: ", one.name);
    // Each run that fails writes it anew.
    let told = || sh(&format!("cat {notified} 2> /dev/null || true")).out;
    let mut last = String::new();
    wait("word of it", 30, || {
        last = told();
        !last.is_empty()
    });
    assert!(last.starts_with(&expected) && last.contains("no source"), "{last}");
    crate::host::ragpod(&["list"]).ok().tells("its last ingest failed: ");
    sh(&format!("mv {manifest}.kept {manifest}; rm {notified}")).ok();
    wait("no failure any more", 30, || chore(&one, "ingest")["failed"].is_null());

    // A run that was missed while the timer was off is made up for.
    sh(&format!("sed -i 's|^ingest = .*|ingest = \"*:0/30\"|' {manifest}")).ok();
    one.up();
    let timer = format!("ragpod-ingest@{}.timer", one.name);
    let state = format!("systemctl --user show -P ActiveState {service}");
    wait("the end of the last run of before", 30, || sh(&state).ok().out == "inactive\n");
    let before = chore(&one, "ingest")["last"].clone();
    sh(&format!(
        "systemctl --user stop {timer}; touch -d '-1 hour' ~/.local/share/systemd/timers/stamp-{timer}; \
         systemctl --user start {timer}"
    ))
    .ok();
    wait("the run that was missed", 30, || chore(&one, "ingest")["last"] != before);

    // What systemd does not take is refused before anything is touched.
    sh(&format!("sed -i 's|^ingest = .*|ingest = \"*-02-30\"|' {manifest}")).ok();
    one.ragpod("up", &[]).code(2).tells("schedule.ingest");
    one.ragpod("down", &[]).ok();
    leaves_no_traces(&one);
}

#[test]
fn an_instance_that_starts_is_waited_for_and_one_that_failed_is_told_of() {
    let _host = shared();
    let told = "/tmp/e2e-timer-start-told";
    let notify =
        format!("schedule.notify=[\"/bin/sh\", \"-c\", \"echo \\\"$RAGPOD_REASON\\\" > {told}\"]");
    let set = ["--set", "schedule.watch=true", "--set", &notify];
    let one = Instance::create_with("e2e-timer-start", &[("a.md", TEXT)], &set);
    sh(&format!("rm -f {told}")).ok();
    one.up();
    wait("what was there", 60, || processed(&one) == 1);
    sh(&format!("systemctl --user stop ragpod-watch@{}.service", one.name)).ok();
    one.write(&[("b.md", "The dog is called Cerberus.\n")]);
    one.ragpod("stop", &[]).ok();
    // It is on its way up.
    one.ragpod("start", &["--no-wait"]).ok();
    // Two at once come one after the other.
    let two = r#"ragpod scheduled ingest "$1" & a=$!; ragpod scheduled ingest "$1"; wait $a"#;
    crate::host::run(&["bash", "-euc", two, "two", &one.name]).ok().tells("on its way");
    wait("what came meanwhile", 30, || processed(&one) == 2);
    // Its engine fails for good.
    let pod = format!("hybridrag-{}-pod.service", one.name);
    let app = format!("hybridrag-{}-app.service", one.name);
    let fail = format!(
        "mkdir -p ~/.config/systemd/user/{app}.d
         printf '[Service]\\nRestart=no\\nExecStartPre=/bin/false\\n' > ~/.config/systemd/user/{app}.d/fail.conf
         systemctl --user daemon-reload; systemctl --user restart {app} || true
         systemctl --user is-failed {app}"
    );
    sh(&fail).ok();
    let failed = crate::host::ragpod(&["scheduled", "ingest", &one.name]).code(1);
    failed.tells("has failed").tells("ragpod up");
    assert!(sh(&format!("cat {told}")).ok().out.contains("has failed"));
    // Without a schedule of ingests, the watch tells.
    let why = chore(&one, "watch")["failed"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("has failed"), "{why}");
    crate::host::ragpod(&["list"]).ok().tells("its watch: ");
    // What its owner stops has not failed.
    one.ragpod("stop", &[]).ok();
    assert_eq!(one.status()["state"], "stopped");
    crate::host::ragpod(&["scheduled", "ingest", &one.name]).code(4);
    sh(&format!(
        "rm -r ~/.config/systemd/user/{app}.d; systemctl --user daemon-reload; \
        systemctl --user start {pod}"
    ))
    .ok();
    one.wait_running(60);
    crate::host::ragpod(&["scheduled", "ingest", &one.name]).ok();
    assert_eq!(chore(&one, "watch")["failed"], Value::Null);
}

#[test]
fn what_was_switched_off_ends_though_the_command_is_killed() {
    let _host = shared();
    let name = "e2e-timer-kill";
    let set = ["--set", "schedule.watch=true", "--set", "schedule.backup=yearly"];
    let one = Instance::create_with(name, &[("a.md", TEXT)], &set);
    one.up();
    // Another one that has a schedule: the target and the template units stay.
    let set = ["--set", "schedule.backup=yearly"];
    let other = Instance::create_with("e2e-timer-stays", &[("a.md", TEXT)], &set);
    other.up();
    let manifest = format!("~/.config/ragpod/instances/{name}.toml");
    let active = |unit: &str| sh(&format!("systemctl --user is-active -q {unit}")).code == 0;
    let (watch, backup) =
        (format!("ragpod-watch@{name}.service"), format!("ragpod-backup@{name}.timer"));
    // One of two, then the last.
    for (line, unit) in [("watch = true", &watch), ("backup = .*", &backup)] {
        // systemd is busy with others' reloads, too.
        wait("what was switched on", 20, || active(unit));
        sh(&format!("sed -i 's|^{line}$||' {manifest}")).ok();
        let ran = with_fault("kill:scheduled", &["up", name]);
        assert!(was_killed(&ran), "{ran}");
        one.up().tells("its schedule has changed");
        wait("the end of what was switched off", 20, || !active(unit));
        // Nor would the next start of the target bring it back.
        let wanted = sh("systemctl --user show -P Wants ragpod.target").ok().out;
        assert!(!wanted.contains(unit.as_str()), "{wanted}");
    }
    leaves_no_traces(&one);
}

/// Whether nothing runs, and the next use would start it.
fn rests(one: &Instance) -> bool {
    let status = one.status();
    status["state"] == "stopped" && status["at_rest"].is_string()
}

/// A scheduled run wakes it, and lets it rest again at once. Where the timer's own look comes at that
/// very moment, it rests when that has seen it idle, and this is tried again.
#[track_caller]
fn wakes_and_rests(one: &Instance, chore: &str) {
    let mut ran = None;
    for _ in 0..4 {
        wait("at rest", 90, || rests(one));
        let this = crate::host::ragpod(&["scheduled", chore, &one.name]).ok();
        if this.err.contains("at rest again") {
            assert!(rests(one), "{this}");
            return;
        }
        ran = Some(this);
    }
    panic!("not at rest again after\n{}", ran.unwrap());
}

#[test]
fn what_nobody_uses_is_stopped_and_the_next_use_wakes_it() {
    let _host = shared();
    let set = ["--set", "schedule.idle_stop=10s"];
    // Those of an earlier run are still there: `down` keeps backups.
    let backups = "~/.local/share/ragpod/backups/e2e-timer-idle";
    sh(&format!("rm -rf {backups}")).ok();
    let one = Instance::create_with("e2e-timer-idle", &[("a.md", TEXT)], &set);
    one.up();
    let used = Instant::now();
    one.ragpod("ingest", &[]).ok();
    // Whatever systemd does meanwhile.
    wait("stopped by itself", 90, || {
        sh("systemctl --user daemon-reload").ok();
        rests(&one)
    });
    assert!(used.elapsed() >= Duration::from_secs(10), "after {:.1?}", used.elapsed());
    crate::host::ragpod(&["list"]).ok().says("stopped (idle)");

    // Several at once wake it once, and all have their answers.
    let script = r#"
        for n in 1 2 3 4; do
            (ragpod query "$1" "Who is the ferryman?" > /tmp/$1-$n 2>&1; echo "code $?" >> /tmp/$1-$n) &
        done
        wait; cat /tmp/$1-[1-4]"#;
    let woken = crate::host::run(&["bash", "-c", script, "woken", &one.name]).ok();
    let count = |what: &str| woken.out.matches(what).count();
    assert_eq!((count("code 0"), count("Charon")), (4, 4), "{woken}");
    assert_eq!(
        (count("waking e2e-timer-idle: stopped after "), count("is awake after")),
        (1, 1),
        "{woken}"
    );

    // Uses that last keep it up, were it not for which it would be stopped. The timer's own look may be
    // in the way of one.
    let busy = r#"
        looks() {
            touch -d '-1 hour' ~/.local/state/ragpod/$name/used
            ragpod scheduled idle $name -v 2>&1 | grep "$1"
        }
        name=$1 end=/tmp/$1-end; rm -f $end; mkfifo $end
        ragpod exec $name -- sleep 600 & e=$!
        ragpod mcp $name < $end > /dev/null 2>&1 & m=$!
        exec 9> $end
        sleep 12
        soon $m looks 'a client of MCP has a session'
        exec 9>&-; wait $m || true
        soon $e looks 'a command runs in it'
        kill -KILL $e; wait $e || true; rm $end"#;
    let busy = format!("{SOON}{busy}");
    let busy = crate::host::run(&["bash", "-euc", &busy, "busy", &one.name]).ok();
    busy.says("a client of MCP has a session").says("a command runs in it");

    // Whoever asks at the very moment of the stop has an answer, too.
    let race = r#"
        for round in 1 2; do
            sleep 10.2; touch -d '-1 hour' ~/.local/state/ragpod/$1/used
            ragpod scheduled idle "$1" -v & i=$!
            for pause in 0 0.01 0.02 0.03 0.05 0.1 0.2 0.5; do
                (sleep $pause; ragpod query "$1" "Who is the ferryman?" 2>&1 | grep -q Charon && echo answered) &
            done
            wait
        done"#;
    let race = crate::host::run(&["bash", "-c", race, "race", &one.name]).ok();
    assert_eq!(race.out.matches("answered").count(), 16, "{race}");

    // A scheduled run wakes it and lets it rest again.
    one.write(&[("b.md", "The dog is called Cerberus.\n")]);
    wakes_and_rests(&one, "ingest");
    assert_eq!(processed(&one), 2);
    wakes_and_rests(&one, "backup");
    let made = sh(&format!("ls {backups}")).ok().out;
    assert!(made.lines().count() >= 1, "{made}");
    // What rests is brought up to date and goes on resting.
    crate::host::ragpod(&["up", &one.name, "--no-start"]).ok();
    assert!(rests(&one));
    // What systemctl starts is up, and what its owner stops stays so.
    sh(&format!("systemctl --user start hybridrag-{}-pod.service", one.name)).ok();
    one.wait_running(60);
    one.ragpod("stop", &[]).ok();
    one.ragpod("query", &["Who is the ferryman?"]).code(4).tells("is not running");
    assert_eq!(one.status()["at_rest"], Value::Null);
    one.ragpod("up", &["--no-start"]).ok().tells("does not run");
    assert_eq!(one.status()["at_rest"], Value::Null);
    one.ragpod("query", &["Who is the ferryman?"]).code(4).tells("is not running");
    // Installed and not started, it comes with its first use.
    one.ragpod("down", &["--volumes", "--yes"]).ok();
    leaves_no_traces(&one);
    one.ragpod("up", &["--no-start"]).ok().tells("does not run");
    one.ragpod("ingest", &[]).ok().tells("installed and not used yet");
}

#[test]
fn what_changes_is_ingested_soon() {
    let _host = shared();
    let one = Instance::create_with(
        "e2e-timer-watch",
        &[("a.md", TEXT)],
        &["--set", "schedule.watch=true"],
    );
    one.up();
    wait("what was there", 60, || processed(&one) == 1);
    one.write(&[("deep/er/b.md", "The dog is called Cerberus.\n"), ("deep/no.bin", "x")]);
    let took = wait("a file in a new folder", 60, || processed(&one) == 2);
    eprintln!("ingested {took:.1?} after it was written");
    // It waits without working.
    let pid = format!("$(systemctl --user show -P MainPID ragpod-watch@{}.service)", one.name);
    let spent = || sh(&format!("cut -d' ' -f14,15 /proc/{pid}/stat")).ok().out;
    // For what systemd tells of others it gets up for a moment.
    wait("it waits", 60, || {
        let before = spent();
        sh("sleep 3").ok();
        spent() == before
    });
    // What changed while nobody watched is found.
    sh(&format!("systemctl --user stop ragpod-watch@{}.service", one.name)).ok();
    one.write(&[("c.md", "The river is called Styx.\n")]);
    sh(&format!("systemctl --user start ragpod-watch@{}.service", one.name)).ok();
    wait("a change from before", 60, || processed(&one) == 3);
    // A new source is watched as soon as it is mounted.
    let manifest = format!("~/.config/ragpod/instances/{}.toml", one.name);
    let more = format!("{}-more", one.folder());
    sh(&format!(
        "mkdir -p {more}; echo 'The judge is called Minos.' > {more}/d.md; printf '\\n[[source]]\\npath = \"{more}\"\\npattern = \"**/*.md\"\\n' >> {manifest}"
    ))
    .ok();
    one.up();
    wait("what was in the new source", 60, || processed(&one) == 4);
    // By now it is watched: nothing else would find this one.
    sh(&format!("echo 'The boat is made of elm.' > {more}/e.md")).ok();
    wait("a new file of the new source", 60, || processed(&one) == 5);
    sh(&format!("sed -i 's|^watch = true|watch = false|' {manifest}")).ok();
    one.up();
    leaves_no_traces(&one);
    sh(&format!("rm -r {more}")).ok();
}

#[test]
fn looking_at_many_asks_no_more_than_looking_at_one() {
    let _host = shared();
    let program = sh("command -v ragpod").ok().out;
    let script = include_bytes!("many.py");
    let found = crate::host::run_with(&["python3", "-", program.trim()], script).ok().json();
    eprintln!("{found}");
    assert_eq!(found["podman"], false, "Podman was asked: {found}");
    for verb in ["list", "status"] {
        let of = |count: u32| &found[format!("{verb} {count}")];
        assert!(of(1)["calls"].as_f64().unwrap() >= 1.0, "{found}");
        assert_eq!(of(1)["calls"], of(20)["calls"], "{found}");
        assert_eq!(of(1)["calls"], of(100)["calls"], "{found}");
        assert!(of(100)["seconds"].as_f64().unwrap() < 0.05, "{found}");
    }
}
