//! Secrets: replaced without losing a question, and to be found nowhere but in their files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::host::{Instance, Ran, ragpod, root, run, run_with, sh, shared, wait};
use crate::standin;

const TEXT: &str = "# Codes\n\nThe launch code of the red team is marmalade.\n";
const QUESTION: &str = "What is the launch code of the red team?";

/// The value of a secret, as Podman gives it to its owner.
fn value(name: &str, version: u32) -> String {
    let secret = format!("hybridrag-{name}.postgres-password.{version}");
    run(&["podman", "secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", &secret])
        .ok()
        .out
        .trim()
        .to_owned()
}

/// Logs in over TCP, where the password is checked.
fn log_in(one: &Instance, password: &str) -> Ran {
    let script = "PGPASSWORD=$(cat) psql -h 127.0.0.1 -U hybridrag -d hybridrag -Atc 'select 1'";
    let container = format!("hybridrag-postgres-{}", one.name);
    run_with(&["podman", "exec", "-i", &container, "sh", "-c", script], password.as_bytes())
}

fn restarted(before: &[String], after: &[String]) -> Vec<String> {
    let changed = after.iter().filter(|line| !before.contains(line));
    changed.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn a_question_outlives_the_rotation_of_the_password() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let options = standin::options_with_model("ollama", "http://api.test:11434", "chat-sec");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let one = Instance::create_with("sec-slow", &[("a.md", TEXT)], &options);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let (old, before) = (value("sec-slow", 1), one.started());
    log_in(&one, &old).ok();

    let delay = standin::delay("chat-sec", 5);
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| one.ragpod("query", &[QUESTION, "--json"]));
        // Its engine is asked; what is not would wait for the rotation instead.
        let engine = "pgrep -f '[p]odman exec .*hybridrag-sec-slow-app python'";
        wait("the question is asked", 60, || sh(engine).code == 0);
        std::thread::sleep(Duration::from_secs(2));
        let rotated =
            ragpod(&["secret", "rotate", "sec-slow", "postgres-password", "--generate"]).ok();
        assert!(rotated.took > Duration::from_secs(2), "it did not wait: {rotated}");
        asked.join().unwrap()
    });
    drop(delay);
    assert!(answer.ok().json()["answer"].as_str().unwrap().contains("marmalade"));

    // The engine was restarted, the database was not; it knows the new password and no other.
    assert_eq!(restarted(&before, &one.started()), ["hybridrag-sec-slow-app"]);
    let new = value("sec-slow", 2);
    assert_ne!(old, new);
    log_in(&one, &new).ok();
    log_in(&one, &old).code(2).tells("password authentication failed");
    let left = sh("podman secret ls --format '{{.Name}}' | grep -F hybridrag-sec-slow.").ok();
    assert_eq!(left.out.trim(), "hybridrag-sec-slow.postgres-password.2");
    one.up().tells("nothing has changed");
    // Setting up the database again, and a database that is killed, leave it at that.
    one.ragpod("init", &[]).ok();
    log_in(&one, &new).ok();
    run(&["podman", "kill", "hybridrag-postgres-sec-slow"]).ok();
    wait("healed", 30, || log_in(&one, &new).code == 0);
    one.wait_running(30);
    assert!(one.ask(QUESTION)["answer"].as_str().unwrap().contains("marmalade"));
}

#[test]
fn no_question_is_lost_while_secrets_are_replaced() {
    let _host = shared();
    let one = Instance::create("sec-many", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let before = one.started();
    let done = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let ask = || {
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) {
                let answer = one.ask(QUESTION);
                assert!(answer.to_string().contains("marmalade"), "{answer}");
                asked += 1;
            }
            asked
        };
        let askers = [(); 4].map(|()| scope.spawn(ask));
        for password in ["first password", "second $'\"\\ pässword"] {
            let args = ["ragpod", "secret", "rotate", "sec-many", "postgres-password"];
            run_with(&args, password.as_bytes()).ok().tells("is replaced and in use");
            log_in(&one, password).ok();
        }
        done.store(true, Ordering::Relaxed);
        askers.map(|asker| asker.join().unwrap()).iter().sum::<i32>()
    });
    eprintln!("{asked} questions while two passwords were replaced");
    assert_eq!(restarted(&before, &one.started()), ["hybridrag-sec-many-app"]);
}

#[test]
fn rotations_that_are_refused_change_nothing() {
    let _host = shared();
    let one = Instance::create("sec-not", &[("a.md", TEXT)]);
    let rotate = |more: &[&str]| {
        ragpod(&[&["secret", "rotate", "sec-not", "postgres-password"], more].concat())
    };
    // Before it has run: stored, for the first start.
    run_with(&["ragpod", "secret", "rotate", "sec-not", "postgres-password"], b"early")
        .ok()
        .tells("ragpod up sec-not");
    one.up();
    log_in(&one, "early").ok();
    let unchanged = |ran: Ran| {
        assert_eq!(value("sec-not", 1), "early", "{ran}");
        log_in(&one, "early").ok();
        ran
    };
    unchanged(ragpod(&["secret", "rotate", "sec-not", "api-key"])).code(2).tells("value");
    unchanged(run_with(&["ragpod", "secret", "rotate", "sec-not", "api-key"], b"x"))
        .code(2)
        .tells("uses no secret api-key");
    unchanged(rotate(&[])).code(2).tells("is empty");
    ragpod(&["secret", "rotate", "sec-nott", "postgres-password", "--generate"]).code(4);
    sh("printf '\\n[env]\\nTOP_K = \"3\"\\n' >> ~/.config/ragpod/instances/sec-not.toml").ok();
    unchanged(rotate(&["--generate"])).code(1).tells("not in use yet").tells("ragpod up sec-not");
    one.up();
    // Work that does not come to an end is waited for, and then told of.
    let hang = r#"cd "$(mktemp -d)"; echo 'sleep 60 & echo $!; wait' > exec
        python3 -c 'import os; os.execv("/bin/sh", ["podman", "exec", "hybridrag-sec-not-app", "python",
            "hybridrag.py", "query"])' > pid &
        for _ in $(seq 50); do [ -s pid ] && break; sleep 0.1; done
        code=0; ragpod secret rotate sec-not postgres-password --generate --timeout 1 || code=$?
        kill $(cat pid); wait; exit $code"#;
    unchanged(sh(hang)).code(1).tells("still answering").tells("nothing was changed");
    // On a terminal nobody is asked to type a password.
    sh("script --quiet --return --command 'ragpod secret rotate sec-not postgres-password' /dev/null")
        .ok()
        .says("is replaced and in use");
    log_in(&one, "early").code(2);
    assert_eq!(value("sec-not", 2).len(), 32);
}

const PASSWORD: &str = "PLANTED-password-5d1c";
const KEY: &str = "PLANTED-key-5d1c";
/// Given to a command as an argument, so that it is seen that such a thing is found.
const CONTROL: &str = "CONTROL-5d1c";
/// The password of an instance that nobody scans for: it is logged in with it, where a scan for
/// another test's would find it.
const TRACED: &str = "TRACED-password-5d1c";

/// Looks at every process of the host, as root, as often as it can: `ROUNDS SECONDS`, and a line
/// for each command line or environment with a planted value in it.
const SAMPLER: &str = r#"
import os, sys, time
planted = [value.encode() for value in sys.argv[1:]]
begun, rounds, found = time.time(), 0, set()
while not os.path.exists("/run/sec-scan-stop"):
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            for file in ("cmdline", "environ"):
                try:
                    text = open(f"/proc/{pid}/{file}", "rb").read()
                except OSError:
                    continue
                # Named by its value: the text is cut, and may not show it.
                for value in planted:
                    if value in text:
                        found.add(f"{value} {file} {text[:300]}")
    rounds += 1
    time.sleep(0.002)
print(rounds, time.time() - begun)
for line in sorted(found):
    print(line)
"#;

#[test]
fn planted_values_are_found_nowhere() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    root("rm -f /run/sec-scan-stop").unwrap().ok();
    let (outputs, sampled) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            // The sampler's own arguments are the one place where the values are, and so are its
            // parents': the values come through standard input.
            let script = format!(
                "python3 -c 'import sys\nsys.argv[1:] = sys.stdin.read().split()\n{SAMPLER}'"
            );
            crate::host::root_with(&script, &[], format!("{PASSWORD} {KEY} {CONTROL}").as_bytes())
                .unwrap()
        });
        let outputs = std::panic::catch_unwind(every_command);
        root("touch /run/sec-scan-stop").unwrap().ok();
        (outputs, sampler.join().unwrap())
    });
    let outputs = outputs.unwrap_or_else(|e| std::panic::resume_unwind(e));
    let sampled = sampled.ok();
    let mut lines = sampled.out.lines();
    let numbers: Vec<f64> = lines.next().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    let rate = numbers[0] / numbers[1];
    eprintln!("sampled {} times, {rate:.0} a second", numbers[0]);
    let (control, found): (Vec<&str>, Vec<&str>) = lines.partition(|l| l.contains(CONTROL));
    assert_eq!(found, Vec::<&str>::new());
    assert!(!control.is_empty(), "the sampler finds nothing: {sampled}");
    assert!(rate > 10.0, "only {rate:.0} looks a second");
    for ran in &outputs {
        for value in [PASSWORD, KEY] {
            assert!(!ran.out.contains(value) && !ran.err.contains(value), "{ran}");
        }
    }
    assert!(outputs.len() > 20);
}

/// Runs every verb on an instance with planted values; gives what they printed, and what lies on
/// disk, in the journal and in Podman while it runs.
fn every_command() -> Vec<Ran> {
    let one = Instance { name: "sec-scan".to_owned() };
    drop(one.ragpod("rm", &["--data", "--yes"]));
    one.write(&[("a.md", TEXT)]);
    let file = format!("{}.env", one.folder());
    let env = format!(
        "OPENAI_BASE_URL=http://api.test:11434/v1\nOPENAI_API_KEY='{KEY}'\nLLM_MODEL=chat\n\
         EMBEDDING_MODEL=vectors\nEMBEDDING_DIM=64\nPOSTGRES_PASSWORD={PASSWORD}\n\
         MY_TOKEN={KEY}\nTOP_K=17\n"
    );
    run_with(&["bash", "-euc", "umask 077; cat > \"$1\"", "write", &file], env.as_bytes()).ok();
    let source = one.folder();
    let mut all = vec![
        ragpod(&["create", "sec-scan", "--source", &source, "--env-file", &file, "--json"]).ok(),
        one.ragpod("render", &[]).ok(),
        one.ragpod("render", &["--json"]).ok(),
    ];
    all.push(sh("cat ~/.config/ragpod/instances/sec-scan.toml").ok());
    // A key that the provider could do without is in use only when the manifest says so.
    sh("grep -q '^api_key' ~/.config/ragpod/instances/sec-scan.toml || sed -i \
        's|^base_url = .*|&\\napi_key = { secret = \"api-key\" }|' \
        ~/.config/ragpod/instances/sec-scan.toml")
    .ok();
    let input = |args: &[&str], value: &str| run_with(args, value.as_bytes());
    let asked_before = standin::requests();
    run(&["bash", "-c", "sleep 0.5; true", CONTROL]).ok();
    all.extend([
        one.ragpod("up", &["--verbose"]).ok(),
        one.ragpod("ingest", &["--json"]).ok(),
        one.ragpod("query", &[QUESTION, "--json"]).ok(),
        one.ragpod("query", &[QUESTION, "--sources"]).ok(),
        one.ragpod("status", &["--json"]).ok(),
        one.ragpod("status", &[]).ok(),
        ragpod(&["list", "--json"]).ok(),
        ragpod(&["secret", "list", "sec-scan", "--json"]).ok(),
        ragpod(&["doctor", "--json"]),
        one.ragpod("diff", &["--json"]).ok(),
        one.ragpod("init", &[]).ok(),
        one.ragpod("psql", &["--", "-Atc", "select current_user"]).ok(),
        one.ragpod("exec", &["--", "env"]).ok(),
        one.ragpod("exec", &["--service", "postgres", "--", "env"]).ok(),
        one.ragpod("exec", &["--service", "egress", "--", "env"]).ok(),
        // Again with the same values, so that they are found if a change leaves them anywhere.
        input(&["ragpod", "secret", "set", "sec-scan", "api-key", "--verbose"], KEY).ok(),
        input(&["ragpod", "secret", "rotate", "sec-scan", "api-key"], KEY).code(1),
        one.ragpod("up", &["--json"]).ok(),
        input(&["ragpod", "secret", "rotate", "sec-scan", "api-key", "-v"], KEY).ok(),
        input(&["ragpod", "secret", "rotate", "sec-scan", "postgres-password", "-v"], PASSWORD)
            .ok(),
        // What fails says what it did, in JSON too.
        input(&["ragpod", "secret", "rotate", "sec-scan", "nope", "--json"], KEY).code(2),
        input(
            &["ragpod", "secret", "set", "sec-scan", "api-key", "--json"],
            &format!("{KEY}\n{KEY}"),
        )
        .code(2),
        one.ragpod("query", &[QUESTION]).ok(),
        one.ragpod("restart", &[]).ok(),
        one.ragpod("stop", &[]).ok(),
        one.ragpod("start", &[]).ok(),
        one.ragpod("logs", &["-n", "10000"]).ok(),
        one.ragpod("logs", &["--json"]).ok(),
    ]);
    let used = standin::since_with(&asked_before, KEY.as_bytes());
    assert!(!used.is_empty(), "the key was not used");
    // What is there while it runs: files, units as systemd has them, and everything of Podman's.
    let places = "~/.config ~/.local/state /run/user/$(id -u)/systemd ~/.cache";
    all.push(sh(&format!("grep -rlF PLANTED- {places} 2> /dev/null || true")).ok());
    assert_eq!(all.last().unwrap().out, "");
    all.push(
        // Its files are away for a moment whenever a test has systemd reload.
        sh("soon $$ systemctl --user cat 'hybridrag-sec-scan*'
            systemctl --user show 'hybridrag-sec-scan*'")
        .ok()
        .says("ContainerName=hybridrag-sec-scan-app"),
    );
    all.push(
        // One by one: other tests' things come and go meanwhile.
        sh("look() { while read -r id; do podman \"$1\" inspect \"$id\" || true; done; }
            podman ps --all --quiet | look container
            podman pod ps --quiet | look pod
            podman volume ls --quiet | look volume
            podman network ls --quiet | look network
            podman image ls --quiet | look image
            podman secret ls --quiet | look secret
            podman ps --all --format json; podman events --stream=false --since 10m")
        .ok()
        .says("\"Name\": \"hybridrag-sec-scan-app\"")
        .says("\"Name\": \"hybridrag-sec-scan.api-key")
        .says("\"Name\": \"hybridrag-sec-scan-postgres\""),
    );
    all.push(root("journalctl --no-pager --output json --all --since -15min").unwrap().ok());
    all.push(one.ragpod("down", &[]).ok());
    all.push(one.ragpod("rm", &["--data", "--yes"]).ok());
    all
}

/// Not a matter of luck: every program that is started is seen, with all its arguments.
#[test]
fn no_program_is_given_a_value() {
    let _host = shared();
    let one = Instance::create("sec-trace", &[("a.md", TEXT)]);
    one.up();
    let trace = |args: &str| {
        let script = format!(
            "strace -f -qq -e trace=execve -s 100000 -o /tmp/sec-trace-$$ ragpod {args} >&2
             cat /tmp/sec-trace-$$; rm /tmp/sec-trace-$$"
        );
        let ran = run_with(&["bash", "-euc", &script], TRACED.as_bytes()).ok();
        assert!(ran.out.contains("podman"), "{ran}");
        assert!(!ran.out.contains(TRACED), "{ran}");
        ran.out.lines().count()
    };
    let set = trace("secret set sec-trace postgres-password");
    one.up();
    let rotate = trace("secret rotate sec-trace postgres-password");
    eprintln!("{set} and {rotate} programs were started");
    log_in(&one, TRACED).ok();
}
