//! What operators look at: `logs`, `graph`, `usage`, `top`, `status`, on real instances.

use std::time::Duration;

use serde_json::json;

use crate::host::{Instance, User, ragpod, sh, shared};
use crate::terminal::at_terminal;

const PODS: (&str, &str) = ("pods.md", "# Pods\n\nA pod is a group of containers.\n");

#[test]
fn an_operator_sees_what_instances_do() {
    let _shared = shared();
    let one = Instance::create("e2e-see-one", &[PODS]);
    let two = Instance::create("e2e-see-two", &[PODS]);
    one.up();
    two.up();
    one.ragpod("ingest", &[]).ok();
    for _ in 0..3 {
        one.ask("What is a pod?");
    }
    logs(&one, &two);
    follow(&one);
    usage();
    top();
    status(&one);
    quiet_changes(&one);
}

fn logs(one: &Instance, two: &Instance) {
    // Merged, each line with its service; what Podman says each time is not there.
    let all = one.ragpod("logs", &[]).ok();
    let text = &all.out;
    assert!(text.contains(" postgres | ") && text.contains(" app      | "), "{all}");
    assert!(text.contains("app      | hybridrag: query: "), "{all}");
    assert!(!text.contains(" m=+") && !text.contains("memory.events"), "{all}");
    assert!(!text.contains('\u{1b}'), "a pipe gets no colours:\n{all}");
    one.ragpod("logs", &["-v"]).ok().says(" container create ");
    one.ragpod("logs", &["--color", "always", "app"]).ok().says("\u{1b}[36mapp");
    // Lines that are not shown do not count.
    for n in ["1", "7"] {
        let some = one.ragpod("logs", &["-n", n]).ok();
        assert_eq!(some.out.lines().count().to_string(), n, "{some}");
        assert!(text.ends_with(&some.out), "{some}");
    }
    let only = one.ragpod("logs", &["-n", "5", "postgres"]).ok();
    assert!(only.out.lines().all(|line| line.contains(" postgres | ")), "{only}");
    // Of several, each line says whose it is; they are merged by time.
    let both = ragpod(&["logs", &one.name, &two.name, "app"]).ok();
    for name in [&one.name, &two.name] {
        assert!(both.out.contains(&format!(" {name} app      | ")), "{both}");
    }
    let times: Vec<&str> = both.out.lines().map(|line| &line[..15]).collect();
    assert!(times.is_sorted(), "{both}");
    ragpod(&["logs", "--all", "-n", "3"]).ok();
    // Who reads only the beginning gets it at once.
    let name = &one.name;
    let first = sh(&format!("ragpod logs {name} | head -n 1")).ok();
    assert_eq!(first.out.lines().count(), 1, "{first}");
    one.ragpod("logs", &["--since", "+1 hour"]).ok().says("");
    one.ragpod("logs", &["--since", "nonsense"]).code(1);
    one.ragpod("logs", &["nothing"]).code(4).tells("the services are app, postgres");
    ragpod(&["logs"]).code(2);
    let json = one.ragpod("logs", &["--json", "-n", "1"]).ok();
    assert!(json.json()["MESSAGE"].is_string(), "{json}");
}

/// New lines come at once, and none is missed or doubled between the last ones and the new.
fn follow(one: &Instance) {
    let name = &one.name;
    let ran = sh(&format!(
        "rm -f ~/followed; has() {{ [ -e ~/followed ] && [ $(wc -l < ~/followed) -ge $1 ]; }}
         ragpod logs {name} -f -n 2 app > ~/followed & reader=$!
         soon $reader has 2
         ragpod query {name} 'What is a pod?' > ~/nothing
         soon $reader has 3
         kill $reader || true; cat ~/followed"
    ))
    .ok();
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran}");
    assert!(lines[2].contains("hybridrag: query: "), "{ran}");
}

fn usage() {
    let usage = ragpod(&["usage", "e2e-see-one", "e2e-see-two", "--json"]).ok().json();
    let bytes = |i: usize, key: &str| usage["instances"][i][key].as_u64().expect("a number");
    for i in 0..2 {
        // A new cluster of PostgreSQL takes some 40 MB.
        assert!((20_000_000..500_000_000).contains(&bytes(i, "postgres_bytes")), "{usage}");
        assert!(bytes(i, "engine_bytes") > 0 && bytes(i, "state_bytes") > 0, "{usage}");
    }
    assert!(bytes(0, "total_bytes") >= bytes(1, "total_bytes"), "the largest first: {usage}");
    let total = bytes(0, "total_bytes") + bytes(1, "total_bytes");
    assert_eq!(usage["total_bytes"], total, "{usage}");
    // What podman itself counts.
    let du = "podman unshare du -s -B1 \"$(podman volume inspect -f '{{.Mountpoint}}' hybridrag-e2e-see-one-postgres)\"";
    let seen: u64 = sh(du).ok().out.split('\t').next().unwrap().parse().unwrap();
    let one = usage["instances"].as_array().unwrap().iter().find(|i| i["name"] == "e2e-see-one");
    let told = one.unwrap()["postgres_bytes"].as_u64().unwrap();
    assert!(told.abs_diff(seen) < 1 << 20, "{told} {seen}");
    // Backups count.
    sh("mkdir -p ~/.local/share/ragpod/backups/e2e-see-two
        head -c 3000000 /dev/urandom > ~/.local/share/ragpod/backups/e2e-see-two/x")
    .ok();
    let with = ragpod(&["usage", "e2e-see-two", "--json"]).ok().json();
    let backups = with["instances"][0]["backups_bytes"].as_u64().unwrap();
    sh("rm -r ~/.local/share/ragpod/backups/e2e-see-two").ok();
    assert!((3_000_000..3_100_000).contains(&backups), "{with}");
    ragpod(&["usage"]).ok().says("localhost/ragpod/engine:latest").says("e2e-see-one");
    ragpod(&["usage", "e2e-see-none"]).code(4);
}

fn top() {
    let row = |args: &[&str]| {
        let ran = ragpod(&[&["top", "e2e-see-one", "--json"], args].concat()).ok();
        ran.json()["instances"][0].clone()
    };
    let idle = row(&[]);
    assert_eq!(idle["state"], "running", "{idle}");
    let share = |row: &serde_json::Value| row["cpu_percent"].as_f64().expect("a number");
    assert!(share(&idle) < 50.0, "{idle}");
    assert!(idle["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 50 << 20), "{idle}");
    assert_eq!(idle["documents"], 1, "{idle}");
    let asked = idle["queries"].as_u64().expect("the engine counts");
    assert!(asked >= 3, "{idle}");
    // A container that is busy is seen to be.
    let busy =
        "podman exec -d hybridrag-e2e-see-one-app timeout 300 python3 -c 'while \"e2e-see\": pass'";
    sh(busy).ok();
    // As much as the machine has left for it.
    let mut busy = row(&[]);
    for _ in 0..20 {
        if share(&busy) > share(&idle).max(10.0) {
            break;
        }
        busy = row(&[]);
    }
    assert!(share(&busy) > share(&idle).max(10.0), "{busy}, and before {idle}");
    // The busiest first; by name when asked.
    let names = |args: &[&str]| {
        let ran = ragpod(&[&["top", "e2e-see-two", "e2e-see-one", "--once"], args].concat()).ok();
        ran.out.lines().skip(1).map(|l| l[..11].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["e2e-see-one", "e2e-see-two"]);
    assert_eq!(names(&["--sort", "name"]), ["e2e-see-one", "e2e-see-two"]);
    // Not its own command line.
    sh("pkill -KILL -f '[w]hile \"e2e-see\": pass'").ok();
    on_a_terminal();
    ragpod(&["top", "e2e-see-none"]).code(4);
}

/// On a real terminal it goes on, sorts as told, leaves when told, and gives the terminal back.
fn on_a_terminal() {
    let rounds = [["expect", "ragpod top: "]; 4];
    let ends: [&[[&str; 2]]; 4] = [
        &[["type", "q"]],
        &[["type", "\u{3}"]],
        &[["type", "m"], ["expect", "m=memory"], ["type", "n\u{1b}"]],
        &[["signal", "15"]],
    ];
    for end in ends {
        let steps = json!([&rounds[..], end].concat());
        let ran = at_terminal(&steps, &["top", "--interval", "300ms"]);
        assert_eq!(ran["code"], 0, "{ran}");
        let screen = ran["screen"].as_str().expect("text");
        assert!(screen.contains("e2e-see-one") && screen.contains("running"), "{screen:?}");
        // The cursor and the screen that was there before are back.
        assert!(screen.contains("\u{1b}[?1049h") && screen.contains("\u{1b}[?25h"), "{screen:?}");
        assert!(screen.trim_end().ends_with("\u{1b}[?1049l"), "{screen:?}");
    }
}

fn status(one: &Instance) {
    let text = one.ragpod("status", &[]).ok();
    assert!(text.out.starts_with("e2e-see-one: running, healthy, generation 1\n"), "{text}");
    assert!(text.out.contains(" UTC, "), "times have their zone:\n{text}");
    assert_eq!(one.status()["generation"], 1);
    one.ragpod("generations", &[]).ok().says("installed, was found healthy");
    let both = ragpod(&["audit", "e2e-see-two", "e2e-see-one", "--json"]).ok().json();
    let of: Vec<&str> =
        both["checks"].as_array().unwrap().iter().filter_map(|c| c["instance"].as_str()).collect();
    assert!(of.contains(&"e2e-see-one") && of.contains(&"e2e-see-two"));
}

/// A change of one part tells of that part.
fn quiet_changes(one: &Instance) {
    let manifest = format!("~/.config/ragpod/instances/{}.toml", one.name);
    sh(&format!("printf '\\n[env]\\nTOP_K = \"7\"\\n' >> {manifest}")).ok();
    let ran = one.up();
    assert!(ran.err.contains("installing the changed units of app"), "{ran}");
    assert!(!ran.err.contains("postgres"), "{ran}");
    assert!(ran.took < Duration::from_secs(60), "{ran}");
}

#[test]
fn a_drawing_needs_neither_podman_nor_a_bus() {
    let _shared = shared();
    let draw = "cd \"$(mktemp -d)\"; export XDG_CONFIG_HOME=$PWD HOME=$PWD PATH=/usr/local/bin
        unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS";
    let ran = sh(&format!(
        "{draw}; ragpod create a --source $HOME; ragpod create b --set egress.mode=open
         ragpod graph; ragpod graph a -o a.svg; ragpod graph --svg"
    ))
    .ok()
    .says("──✕ nothing: there is no way out")
    .says("whatever this machine reaches")
    .says("<svg xmlns=");
    assert!(ran.err.contains("1 instance drawn into a.svg"), "{ran}");
    sh(&format!("{draw}; ragpod graph")).code(4);
    sh(&format!("{draw}; ragpod create a; ragpod graph b")).code(4);
}

/// Where containers keep their words elsewhere, Podman is asked for them.
#[test]
fn without_a_journal_podman_tells() {
    let _shared = shared();
    let Some(user) = User::create("see-logs") else {
        eprintln!("not tried: this would disturb the machine");
        return;
    };
    user.sh("mkdir -p ~/text; echo '# Pods' > ~/text/a.md
         ragpod create e2e-see-logs --source ~/text --force
         for part in app postgres; do
             dir=~/.config/containers/systemd/ragpod/hybridrag-e2e-see-logs-$part.container.d
             mkdir -p $dir; printf '[Container]\\nLogDriver=k8s-file\\n' > $dir/log.conf
         done
         ragpod rm e2e-see-logs --data --yes; ragpod create e2e-see-logs --source ~/text
         ragpod up e2e-see-logs")
        .ok();
    let all = user.sh("ragpod logs e2e-see-logs").ok();
    let lines: Vec<&str> = all.out.lines().collect();
    assert!(all.err.contains("warning: the journal has not what"), "{all}");
    assert!(
        all.out.contains("postgres | ") && all.out.contains("app      | hybridrag: ready"),
        "{all}"
    );
    assert!(lines.iter().map(|line| &line[..15]).collect::<Vec<_>>().is_sorted(), "{all}");
    let last = user.sh("ragpod logs e2e-see-logs -n 2").ok();
    assert_eq!(last.out.lines().collect::<Vec<_>>(), &lines[lines.len() - 2..]);
    let none = user.sh("ragpod logs e2e-see-logs --since '1 second ago' app").ok();
    assert!(none.out.is_empty(), "{none}");
    let one = user.sh("ragpod logs e2e-see-logs app").ok();
    assert!(one.out.contains("app      | hybridrag: ready"), "{one}");
    let follow = "rm -f ~/followed; ragpod logs e2e-see-logs -f -n 1 app > ~/followed & reader=$!
        soon $reader test -s ~/followed; kill $reader || true; cat ~/followed";
    let some = user.sh(follow).ok();
    assert!(some.out.contains("app      | hybridrag: "), "{some}");
    // A journal that the user cannot read, and nothing to ask: that is no failure.
    user.sh("ragpod stop e2e-see-logs; ragpod logs e2e-see-logs postgres").ok();
    user.sh("ragpod rm e2e-see-logs --data --yes; rm -r ~/.config/containers/systemd/ragpod/*.d")
        .ok();
}
