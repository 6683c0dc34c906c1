//! The life of one instance, from `create` to `rm`.

use crate::host::{Instance, comes_to_nothing, ragpod, root, run, sh, shared, wait};

const FELINE: &str = "# Afternoon\n\nThe feline slept on the warm windowsill all afternoon.\n";
const TAXES: &str =
    "# Money\n\nProperty levies are due at the town hall before the end of March.\n";

#[test]
fn from_nothing_to_an_answer_and_back() {
    let _host = shared();
    let one = Instance::create("e2e-first", &[("animals/day.md", FELINE), ("money/day.md", TAXES)]);
    one.up().tells("e2e-first is up");
    let status = one.status();
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(status["health"], "healthy", "{status}");
    assert_eq!(status["podman_pod"], "hybridrag-e2e-first", "{status}");
    for service in status["services"].as_array().unwrap() {
        assert_eq!(service["active_state"], "active", "{status}");
        assert_eq!(service["restarts"], 0, "{status}");
    }

    // Before anything is taken in, a question has an honest answer and no source.
    let nothing = one.ask("Where did the cat nap?");
    assert_eq!(nothing["sources"].as_array().map(Vec::len), Some(0), "{nothing}");

    // Two files of the same name in two folders are both kept.
    let ingest = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!(ingest["new"], 2, "{ingest}");
    assert_eq!(ingest["documents"]["processed"], 2, "{ingest}");

    // A paraphrase that shares no content word with the passage finds it.
    let answer = one.ask("Where did the cat nap?");
    assert_eq!(answer["instance"], "e2e-first", "{answer}");
    assert_eq!(answer["mode"], "hybrid", "{answer}");
    assert!(answer["answer"].as_str().unwrap().contains("windowsill"), "{answer}");
    assert_eq!(answer["sources"][0]["path"], "/data/projects/animals/day.md", "{answer}");
    for mode in ["local", "global", "hybrid", "naive", "mix"] {
        one.ragpod("query", &["Where did the cat nap?", "--mode", mode]).ok();
    }
    one.ragpod("query", &["When must real estate taxes be paid?", "--sources"])
        .ok()
        .says("March")
        .says("/data/projects/money/day.md");
    assert_eq!(one.status()["documents"]["processed"], 2);
    assert_eq!(one.status()["documents"]["failed"], 0);

    // The commands of HybridRAG's own guide, word for word.
    for command in [
        "python hybridrag.py backend init --backend postgres",
        "python hybridrag.py ingest --path /data/projects --recursive --pattern **/*.md --backend postgres",
        "python hybridrag.py status",
    ] {
        let words: Vec<&str> = ["--"].into_iter().chain(command.split(' ')).collect();
        one.ragpod("exec", &words).ok();
    }
    let story = [
        "--",
        "python",
        "hybridrag.py",
        "query",
        "--text",
        "Where did the cat nap?",
        "--mode",
        "hybrid",
    ];
    one.ragpod("exec", &story).ok().says("windowsill");

    // exec and psql pass streams and exit codes through.
    one.ragpod("exec", &["--", "sh", "-c", "exit 7"]).code(7);
    one.ragpod("psql", &["--", "-Atc", "select count(*) from lightrag_doc_status"]).ok().says("2");
    one.ragpod("logs", &["-n", "200", "postgres"]).ok().says("database system is ready");

    let gone = ragpod(&["rm", "e2e-first", "--data", "--yes"]).ok();
    gone.tells("e2e-first is removed");
    leaves_nothing("e2e-first");
}

/// Nothing that Podman, systemd or the disk has bears the instance's name.
fn leaves_nothing(name: &str) {
    let left = format!(
        "for what in container pod volume network secret; do
             case $what in
                 container) podman ps --all --format '{{{{.Names}}}}' ;;
                 pod) podman pod ps --format '{{{{.Name}}}}' ;;
                 *) podman $what ls --format '{{{{.Name}}}}' ;;
             esac | grep -F -- {name} | sed \"s/^/$what /\" || true
         done
         systemctl --user list-units --all --plain --no-legend '*{name}*'
         systemctl --user list-unit-files --no-legend '*{name}*' || true
         find ~/.config ~/.local/state -name '*{name}*' 2> /dev/null || true"
    );
    comes_to_nothing(name, &left);
}

#[test]
fn ingest_is_incremental() {
    let _host = shared();
    let one =
        Instance::create("e2e-incr", &[("a.md", "The bridge opened in 1931.\n"), ("b.md", FELINE)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let again = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&again["new"], &again["unchanged"]), (&0.into(), &2.into()), "{again}");

    // A changed file replaces its old version.
    one.write(&[("a.md", "The bridge was opened to traffic in 1987.\n")]);
    let changed = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&changed["changed"], &changed["new"]), (&1.into(), &0.into()), "{changed}");
    let answer = one.ask("When was the bridge opened?");
    let text = answer.to_string();
    assert!(text.contains("1987") && !text.contains("1931"), "{answer}");

    // A file that is gone stays until pruned.
    run(&["rm", &format!("{}/a.md", one.folder())]).ok();
    let missing = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&missing["missing"], &missing["deleted"]), (&1.into(), &0.into()), "{missing}");
    let pruned = one.ragpod("ingest", &["--prune", "--json"]).ok().json();
    assert_eq!(pruned["deleted"], 1, "{pruned}");
    assert_eq!(one.status()["documents"]["processed"], 1);

    // Odd files are told of and are not fatal.
    one.write(&[("empty.md", "")]);
    sh(&format!("head -c 5000 /dev/urandom > {}/noise.md", one.folder())).ok();
    let odd = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!(odd["skipped"].as_array().map(Vec::len), Some(2), "{odd}");
}

#[test]
fn private_files_are_readable_for_the_engine_alone() {
    let _host = shared();
    let one =
        Instance::create("e2e-private", &[("secret.md", "The vault's code word is heliotrope.\n")]);
    sh(&format!("chmod 700 {0}; chmod 600 {0}/secret.md", one.folder())).ok();
    one.up();
    one.ragpod("ingest", &[]).ok();
    assert!(one.ask("What opens the vault?").to_string().contains("heliotrope"));
    // The engine is no root, and cannot write to the source.
    let id = one.ragpod("exec", &["--", "id", "-u"]).ok();
    assert_eq!(id.out.trim(), "1000");
    one.ragpod("exec", &["--", "touch", "/data/projects/x"]).code(1);
    one.ragpod("exec", &["--", "touch", "/app/x"]).code(1);
}

#[test]
fn no_port_is_published() {
    let _host = shared();
    let one = Instance::create("e2e-ports", &[("a.md", FELINE)]);
    one.up();
    for container in ["hybridrag-postgres-e2e-ports", "hybridrag-e2e-ports-app"] {
        assert_eq!(run(&["podman", "port", container]).ok().out, "");
    }
    let pod = run(&["podman", "pod", "inspect", "hybridrag-e2e-ports"]).ok().json();
    let pod = pod.as_array().map_or(pod.clone(), |all| all[0].clone());
    assert!(
        pod["InfraConfig"]["PortBindings"].as_object().is_none_or(serde_json::Map::is_empty),
        "{pod}"
    );
    if let Some(sockets) = root("ss -Hltnp") {
        let ours = ["postgres", "python", "squid", "rootlessport", "conmon"];
        let found: Vec<&str> =
            sockets.out.lines().filter(|l| ours.iter().any(|o| l.contains(o))).collect();
        assert_eq!(found, Vec::<&str>::new());
    }
    // The pod has no way out: no route, no names.
    let route = "import socket; s=socket.socket(); s.settimeout(3); s.connect(('192.0.2.1', 443))";
    one.ragpod("exec", &["--", "python", "-c", route]).code(1).tells("unreachable");
}

#[test]
fn a_stop_is_quick_and_clean() {
    let _host = shared();
    let one = Instance::create("e2e-stop", &[("a.md", FELINE)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let before = sh("date +%s.%N").ok().out;
    let stop = one.ragpod("stop", &[]).ok();
    assert!(stop.took.as_secs_f64() < 9.0, "{stop}");
    let status = one.status();
    assert_eq!(status["state"], "stopped", "{status}");
    for service in status["services"].as_array().unwrap() {
        assert_eq!(service["active_state"], "inactive", "{status}");
    }
    // Of this stop: the image stops its set-up server too.
    let since = format!("@{}", before.trim());
    let log = one.ragpod("logs", &["--since", &since, "postgres"]).ok();
    let fast = log.out.find("received fast shutdown request").expect("a fast shutdown");
    let down = log.out.find("database system is shut down").expect("a clean shutdown");
    assert!(fast < down, "{log}");
    one.ragpod("start", &[]).ok();
    assert!(one.ask("Where did the cat nap?").to_string().contains("windowsill"));
    one.ragpod("restart", &[]).ok();
    assert!(one.ask("Where did the cat nap?").to_string().contains("windowsill"));
}

#[test]
fn systemctl_and_ragpod_agree() {
    let _host = shared();
    let one = Instance::create("e2e-sctl", &[("a.md", FELINE)]);
    one.up();
    let pod = "hybridrag-e2e-sctl-pod.service";
    run(&["systemctl", "--user", "stop", pod]).ok();
    assert_eq!(one.status()["state"], "stopped");
    let failed = run(&[
        "systemctl",
        "--user",
        "list-units",
        "--failed",
        "--plain",
        "--no-legend",
        "hybridrag-e2e-sctl*",
    ]);
    assert_eq!(failed.ok().out, "");
    run(&["systemctl", "--user", "start", pod]).ok();
    one.wait_running(60);
    run(&["systemctl", "--user", "restart", pod]).ok();
    one.wait_running(60);
    wait("an answer", 20, || one.ragpod("query", &["Where did the cat nap?"]).code == 0);
}
