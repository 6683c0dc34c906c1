//! Commands that are killed: at every step that there is, and at any time.
//!
//! Whatever the moment, the old set of units is installed or the new one, whole; the next `up`
//! makes it run; and nothing is left over.

use crate::faults::{GATEWAY, SETTING, points, was_killed, with_fault};
use crate::host::{Instance, comes_to_nothing, run, sh, shared, wait};

const TEXT: &str = "The ferry leaves from the eastern pier.\n";

/// Kills `up` at each of the points on the way between the manifests, from where the one before
/// ended, and looks what is there and whether the next `up` completes it.
fn kill_at(one: &Instance, other: &str, points: [Vec<String>; 2]) {
    let up = ["up", one.name.as_str()];
    one.rewrite("");
    one.up();
    let plain = one.units();
    one.rewrite(other);
    one.up();
    let changed = one.units();
    assert_ne!(plain, changed);
    let texts = [plain, changed];
    let manifests = ["", other];
    let mut ways = points.map(Vec::into_iter);
    let mut at = 1;
    let mut count = 0;
    loop {
        let to = 1 - at;
        let Some(point) = ways[to].next() else {
            if ways[at].len() == 0 {
                break;
            }
            one.rewrite(manifests[to]);
            one.up();
            at = to;
            continue;
        };
        let when = format!("after {point} on the way to {:?}", manifests[to]);
        one.rewrite(manifests[to]);
        let ran = with_fault(&format!("kill:{point}"), &up);
        assert!(was_killed(&ran), "{ran}");
        let there = one.units();
        assert!(texts.contains(&there), "{when}:\n{there}");
        // Finished by the same command, or undone by the old manifest.
        count += 1;
        at = if count % 3 == 0 { at } else { to };
        one.rewrite(manifests[at]);
        one.up();
        assert_eq!(one.units(), texts[at], "{when}");
        assert_eq!(timers(one), if manifests[at].contains("schedule") { 2 } else { 0 }, "{when}");
        assert_eq!(one.status()["state"], "running", "{when}");
        one.nothing_is_left_over(&when);
    }
    eprintln!("killed at {count} points");
}

/// How many timers of its schedule systemd has; as many are switched on.
fn timers(one: &Instance) -> usize {
    let count = |script: &str| {
        let ran = crate::host::run(&["bash", "-c", script, "count", &one.name]).ok();
        ran.out.lines().count()
    };
    let on = count(
        "find ~/.config -path \"*/systemd/user/*\" -name \"ragpod-*@$1.timer\" 2> /dev/null || true",
    );
    // One that nothing wants is gone a moment later.
    let running = "systemctl --user list-units --all --plain --no-legend \"ragpod-*@$1.timer\"";
    wait(&format!("{on} timers of {}", one.name), 20, || count(running) == on);
    on
}

#[test]
fn at_every_step_of_a_change() {
    let _host = shared();
    let one = Instance::create("e2e-killstep", &[("a.md", TEXT)]);
    one.up();
    // With a schedule that comes and goes, too.
    let setting = &format!("{SETTING}\\n[schedule]\\ningest = \"yearly\"\\nbackup = \"yearly\"\\n");
    one.rewrite(setting);
    let points = points("e2e-killstep", &["up", "e2e-killstep"]);
    assert!(points.len() > 16, "{points:?}");
    assert!(["schedule", "scheduled"].iter().all(|p| points.iter().any(|q| q == p)), "{points:?}");
    let (odd, even): (Vec<_>, Vec<_>) =
        points.into_iter().enumerate().partition(|(i, _)| i % 2 == 1);
    let names = |half: Vec<(usize, String)>| -> Vec<String> {
        half.into_iter().map(|(_, point)| point).collect()
    };
    // Away with it, there is no link to make.
    let away: Vec<String> = names(odd).into_iter().filter(|p| p != "schedule").collect();
    let mut forth = names(even);
    forth.extend(["schedule".to_owned(), "scheduled".to_owned()]);
    kill_at(&one, setting, [away, forth]);
    one.ragpod("ingest", &[]).ok();
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
}

/// A part and a network come, and go.
#[test]
fn at_steps_that_only_a_change_of_networks_has() {
    let _host = shared();
    let one = Instance::create("e2e-killnet", &[("a.md", TEXT)]);
    one.up();
    one.rewrite(GATEWAY);
    let forth = points("e2e-killnet", &["up", "e2e-killnet"]);
    one.rewrite("");
    let back = points("e2e-killnet", &["up", "e2e-killnet"]);
    let only = |all: Vec<String>, wanted: &[&str]| -> Vec<String> {
        assert!(wanted.iter().all(|p| all.iter().any(|point| point == p)), "{all:?}");
        wanted.iter().map(|p| (*p).to_owned()).collect()
    };
    let back = only(back, &["exchanged", "unwanted", "gone", "recorded", "stopped", "started"]);
    let forth = only(forth, &["exchanged", "recorded", "stopped", "started"]);
    kill_at(&one, GATEWAY, [back, forth]);
}

#[test]
fn at_steps_of_the_first_start_and_of_the_removal() {
    let _host = shared();
    let name = "e2e-killfirst";
    let (up, rm) = (["up", name], ["rm", name, "--data", "--yes"]);
    let one = Instance::create(name, &[("a.md", TEXT)]);
    let first = points(name, &up);
    let last = points(name, &rm);
    // Those that a change passes too are tried there.
    let only = ["secrets", "generation", "exchanged", "reloaded", "started", "initialised"];
    assert!(only.iter().all(|p| first.iter().any(|f| f == p)), "{first:?}");
    assert!(last.len() > 8, "{last:?}");
    let mut ends = last.iter().cycle();
    for (round, point) in only.iter().enumerate() {
        one.write(&[("a.md", TEXT)]);
        let source = format!("{}:**/*.md", one.folder());
        run(&["ragpod", "create", name, "--source", &source]).ok();
        let ran = with_fault(&format!("kill:{point}"), &up);
        assert!(was_killed(&ran), "{ran}");
        one.up();
        one.nothing_is_left_over(&format!("after {point} of the first start"));
        // Two of the removal's steps for each of these, so that all have their turn.
        for _ in 0..if round == 0 { 1 } else { 2 } {
            let end = ends.next().expect("there is always one");
            let ran = with_fault(&format!("kill:{end}"), &rm);
            assert!(was_killed(&ran) || [0, 4].contains(&ran.code), "at {end}: {ran}");
        }
        let ran = run(&["ragpod", "rm", name, "--data", "--yes"]);
        assert!([0, 4].contains(&ran.code), "{ran}");
        let left = format!(
            "find ~/.config/ragpod ~/.config/containers ~/.local/state/ragpod -path '*{name}*' \
                2> /dev/null || true
             podman secret ls --format '{{{{.Name}}}}' | grep -F {name} || true
             podman volume ls --format '{{{{.Name}}}}' | grep -F {name} || true
             podman network ls --format '{{{{.Name}}}}' | grep -F {name} || true
             podman ps -a --format '{{{{.Names}}}}' | grep -F {name} || true
             systemctl --user list-units --all --plain --no-legend 'hybridrag-{name}*'"
        );
        comes_to_nothing(&format!("after {point} and a removal that was killed"), &left);
    }
}

/// Going back, by command and by itself, and what only waits for the next `up`.
#[test]
fn on_the_way_back_and_while_a_secret_is_stored() {
    let _host = shared();
    let one = Instance::create("e2e-killback", &[("a.md", TEXT)]);
    let top_k = || one.ragpod("exec", &["--", "printenv", "TOP_K"]).ok().out.trim().to_owned();
    one.rewrite(&SETTING.replace("17", "11"));
    one.up();
    let first = one.units();
    one.rewrite(&SETTING.replace("17", "12"));
    one.up();
    let second = one.units();
    let (back, forth) =
        (["rollback", "e2e-killback", "--to", "1"], ["rollback", "e2e-killback", "--to", "2"]);
    for (round, point) in
        ["intent", "exchanged", "recorded", "restarted", "healthy"].iter().enumerate()
    {
        let (way, wanted) = if round % 2 == 0 { (&back, &first) } else { (&forth, &second) };
        let ran = with_fault(&format!("kill:{point}"), way);
        assert!(was_killed(&ran), "{ran}");
        let redo = one.status()["unfinished"].as_str().expect("it is unfinished").to_owned();
        assert!(redo.ends_with(&way.join(" ")), "{redo}");
        run(&[&["ragpod"], &way[..]].concat()).ok();
        assert_eq!(&one.units(), wanted, "{point}");
        one.nothing_is_left_over(&format!("after {point} of a rollback"));
    }
    assert_eq!(top_k(), "11");

    // By itself: a manifest that cannot become healthy, killed on the way back.
    sh("sed -i 's#^\\[engine\\]#[engine]\\nimage = \"localhost/ragpod/postgres:17\"#' \
        ~/.config/ragpod/instances/e2e-killback.toml")
    .ok();
    for point in ["back", "exchanged:2", "recorded:2", "started:2"] {
        let ran = with_fault(&format!("kill:{point}"), &["up", "e2e-killback"]);
        if was_killed(&ran) {
            one.ragpod("up", &[]).code(1).tells("as it was before, runs again");
        } else {
            // The second time is the way back's only where the way there passed it, too.
            assert!(point.starts_with("started"), "{point}: {ran}");
        }
        assert_eq!(top_k(), "11", "{point}");
        assert_eq!(one.status()["state"], "running", "{point}");
        one.nothing_is_left_over(&format!("after {point} on the way back"));
    }
    sh("sed -i '/^image = .*postgres:17/d' ~/.config/ragpod/instances/e2e-killback.toml").ok();
    // A third manifest after a kill: what was never installed is forgotten.
    one.rewrite(&SETTING.replace("17", "13"));
    let ran = with_fault("kill:generation", &["up", "e2e-killback"]);
    assert!(was_killed(&ran), "{ran}");
    one.rewrite(&SETTING.replace("17", "14"));
    one.up();
    assert_eq!(top_k(), "14");
    one.nothing_is_left_over("after a generation that was never installed");
    one.ragpod("rollback", &[]).ok().tells("it runs generation");

    // A secret that was stored and not remembered.
    let set = format!(
        "echo hunter2 | RAGPOD_FAULT=kill:stored {} secret set e2e-killback postgres-password",
        crate::faults::program()
    );
    assert!(was_killed(&sh(&set)));
    one.up();
    one.nothing_is_left_over("after a secret that was stored and not remembered");
}

/// A secret that is newer than the installed units, and a rollback: what is mounted stays.
#[test]
fn a_rollback_leaves_the_secret_that_it_mounts() {
    let _host = shared();
    let one = Instance::create("e2e-killkey", &[("a.md", TEXT)]);
    one.up();
    one.rewrite(SETTING);
    one.up();
    sh("echo hunter2 | ragpod secret set e2e-killkey postgres-password").ok();
    one.ragpod("rollback", &[]).ok();
    one.nothing_is_left_over("after a rollback with a newer secret");
    one.ragpod("restart", &[]).ok();
    one.ragpod("ingest", &[]).ok();
    assert!(one.ask("Where does the ferry start?").to_string().contains("eastern pier"));
}

/// `RAGPOD_KILLS=200` for a longer run.
#[test]
fn at_any_time() {
    let _host = shared();
    let kills: u32 = std::env::var("RAGPOD_KILLS").map_or(20, |n| n.parse().unwrap());
    let one = Instance::create("e2e-killany", &[("a.md", TEXT)]);
    one.up();
    let plain = one.units();
    one.rewrite(SETTING);
    let mut whole = one.up().took;
    let other = one.units();
    let mut ended = 0;
    for i in 0..kills {
        one.rewrite(if i % 2 == 1 { SETTING } else { "" });
        // Spread over the whole of it, without a clock's luck.
        let part = f64::from((i * 7_919) % 1_000) / 1_000.0;
        let after = format!("{:.3}", whole.as_secs_f64() * part + 0.005);
        let ran = run(&["timeout", "--signal=KILL", &after, "ragpod", "up", "e2e-killany"]);
        assert!(was_killed(&ran) || ran.code == 0, "{ran}");
        if ran.code == 0 {
            ended += 1;
            // The machine has become faster.
            whole = whole.min(ran.took);
        }
        let there = one.units();
        assert!(there == plain || there == other, "kill {i} after {after} s:\n{there}");
        if i % 4 == 3 || i + 1 == kills {
            one.up();
            assert_eq!(one.units() == other, i % 2 == 1, "kill {i}");
            assert_eq!(one.status()["state"], "running", "kill {i}");
            one.nothing_is_left_over(&format!("after kill {i}, {after} s"));
        }
    }
    eprintln!("{kills} times killed, {ended} of them too late");
    assert!(ended * 2 < kills, "most must hit it at work");
    assert!(one.ragpod("query", &["what is there?"]).code == 0);
}
