//! `ragpod mcp` as the official client sees it (tests/mcp/client.py), and as one does that makes
//! mistakes.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::host::{Instance, ragpod, run_with, sh, shared, wait};

const RED: &str = "# Red\n\nThe launch code of the red team is marmalade.\n";
const BLUE: &str = "# Blue\n\nThe launch code of the blue team is pineapple.\n";

/// Plays a scenario with the official client; what it saw.
#[track_caller]
fn play(scenario: &str, arguments: &[&str]) -> Value {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp");
    let output = Command::new(format!("{tests}/python"))
        .arg(format!("{tests}/client.py"))
        .arg(scenario)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{scenario}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{scenario}: {e}: {said}"))
}

/// A tool's result as text, which must be no failure.
#[track_caller]
fn good(result: &Value) -> &str {
    assert_eq!(result["failed"], false, "{result}");
    result["text"].as_str().unwrap()
}

/// A tool's failure as text.
#[track_caller]
fn bad(result: &Value) -> &str {
    assert_eq!(result["failed"], true, "{result}");
    assert!(result["text"].as_str().unwrap().contains("What to do: "), "{result}");
    result["text"].as_str().unwrap()
}

#[test]
fn tools_as_a_client_sees_them() {
    let _host = shared();
    let red = Instance::create("e2e-mcp-red", &[("a.md", RED)]);
    let blue = Instance::create("e2e-mcp-blue", &[("a.md", BLUE)]);
    // One that is there and is no affair of the client's.
    let other = Instance::create("e2e-mcp-other", &[("a.md", "A secret of others.\n")]);
    ragpod(&["up", &red.name, &blue.name]).ok();
    red.ragpod("ingest", &[]).ok();
    blue.ragpod("ingest", &[]).ok();

    let seen = play("tour", &[&red.name, &blue.name]);
    assert_eq!(seen["server"], "ragpod", "{seen}");
    assert_eq!(seen["stray"], json!([]), "{seen}");
    let tools: Vec<&String> = seen["tools"].as_object().unwrap().keys().collect();
    assert_eq!(tools, ["ingest", "list_instances", "query", "search", "status"]);
    assert_eq!(seen["read_only"]["ingest"], false, "{seen}");
    assert_eq!(seen["read_only"]["query"], true, "{seen}");
    let names = &seen["tools"]["query"]["properties"]["instance"]["enum"];
    assert_eq!(*names, json!([red.name, blue.name]));

    let list = seen["list"]["data"]["instances"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!(list[0]["state"], "running", "{list:?}");
    assert_eq!(list[0]["documents"]["processed"], 1, "{list:?}");
    // Each answers from its own text.
    for (i, (word, instance)) in [("marmalade", &red), ("pineapple", &blue)].iter().enumerate() {
        let answer = &seen["query"][i];
        assert!(good(answer).contains(word), "{answer}");
        assert_eq!(answer["data"]["instance"], instance.name, "{answer}");
        assert_eq!(answer["data"]["sources"][0]["path"], "/data/projects/a.md", "{answer}");
    }
    // The passages themselves, without an answer made of them.
    let search = &seen["search"];
    assert!(good(search).contains("The launch code of the red team is marmalade."), "{search}");
    assert!(!good(search).contains("[1]"), "{search}");
    assert_eq!(seen["status"]["data"]["services"].as_array().unwrap().len(), 3, "{seen}");
    good(&seen["status"]);

    for (what, told) in [
        ("unnamed", "one of: e2e-mcp-red, e2e-mcp-blue"),
        ("unknown", "one of: e2e-mcp-red, e2e-mcp-blue"),
        ("short", "too short"),
        ("missing", "missing field `question`"),
        ("mode", "unknown variant `magic`"),
    ] {
        assert!(bad(&seen[what]).contains(told), "{what}: {}", seen[what]);
    }
    assert_eq!(seen["no_tool"]["protocol_error"]["code"], -32602, "{seen}");
    // The one that was tried by name is named by what was asked, and by nothing else.
    let text = seen.to_string().replace(&format!("no instance \\\"{}\\\"", other.name), "");
    let text = text.replace(&format!("no instance \\\\\\\"{}", other.name), "");
    assert!(!text.contains(&other.name), "{text}");

    let seen = play("read_only", &[&red.name]);
    assert_eq!(seen["tools"], json!(["query", "search", "list_instances", "status"]), "{seen}");
    assert_eq!(seen["ingest"]["protocol_error"]["code"], -32602, "{seen}");
    // With one instance it need not be named.
    assert!(good(&seen["query"]).contains("marmalade"), "{seen}");

    let seen = play("two", &[&red.name]);
    assert_eq!(seen["stray"], json!([[], []]), "{seen}");
    for answers in seen["answers"].as_array().unwrap() {
        assert_eq!(answers.as_array().unwrap().len(), 4, "{seen}");
        for answer in answers.as_array().unwrap() {
            assert!(good(answer).contains("marmalade"), "{answer}");
        }
    }
    no_server_is_left(&red);

    several_at_once(&red, &blue, &other);
    malformed(&red);
    ends_when_it_is_told(&red);
}

/// No server of an instance, and nothing that one began, runs any more.
#[track_caller]
fn no_server_is_left(instance: &Instance) {
    let script = "ps -eo args= | grep -E \"^ragpod mcp .*$1|podman exec .*-$1-app python hybridrag\" | grep -v grep || true";
    wait("no server and nothing of it is left", 15, || {
        crate::host::run(&["bash", "-c", script, "left", &instance.name]).ok().out.is_empty()
    });
}

/// `query --on` and `--all`: each answer with its instance, and those that cannot are told of.
fn several_at_once(red: &Instance, blue: &Instance, stopped: &Instance) {
    let on = format!("{},{},{}", red.name, stopped.name, blue.name);
    let question = "What is the launch code?";
    let json = ragpod(&["query", "--on", &on, question, "--json"]).ok().json();
    let answers = json["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 3, "{json}");
    assert_eq!(answers[0]["instance"], red.name, "{json}");
    assert!(answers[0]["answer"].as_str().unwrap().contains("marmalade"), "{json}");
    assert_eq!(answers[0]["sources"][0]["path"], "/data/projects/a.md", "{json}");
    assert_eq!(answers[1]["instance"], stopped.name, "{json}");
    assert_eq!(answers[1]["error"]["kind"], "not-running", "{json}");
    assert!(answers[2]["answer"].as_str().unwrap().contains("pineapple"), "{json}");
    let text = ragpod(&["query", "--on", &on, question, "--sources"]).ok();
    let text = text.says(&format!("== {}\n", red.name)).says("marmalade").says("Sources:");
    text.says(&format!("== {}\n", blue.name)).tells(&format!("{} is not running", stopped.name));
    // All that there are here: other tests' would be woken.
    let all = [red, blue, stopped];
    let manifests =
        all.map(|one| format!("~/.config/ragpod/instances/{}.toml", one.name)).join(" ");
    let script = format!(
        "export XDG_CONFIG_HOME=/tmp/e2e-mcp-all; dir=$XDG_CONFIG_HOME/ragpod/instances
         rm -rf $XDG_CONFIG_HOME; mkdir -p $dir; cp {manifests} $dir/
         ragpod query --all '{question}' --json; rm -r $XDG_CONFIG_HOME"
    );
    let json = sh(&script).ok().json();
    let mut asked: Vec<&str> =
        json["answers"].as_array().unwrap().iter().filter_map(|a| a["instance"].as_str()).collect();
    asked.sort_unstable();
    let mut wanted = all.map(|one| one.name.as_str());
    wanted.sort_unstable();
    assert_eq!(asked, wanted, "{json}");
    ragpod(&["query", "--on", &stopped.name, question]).code(4).tells("hint: start it");
    ragpod(&["query", "--on", &on, "?"]).code(2).tells("too short");
}

fn opening() -> String {
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "by-hand", "version": "0"}}});
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    format!("{hello}\n{ready}\n")
}

/// What is no JSON, and JSON that is no request, harms neither the session nor standard output.
fn malformed(instance: &Instance) {
    let mut input = b"this is no JSON\n\xff\xfe{\n".to_vec();
    input.extend(opening().into_bytes());
    for line in [
        "{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\"\n",
        "{\"jsonrpc\": \"2.0\", \"id\": 3}\n",
        "{\"jsonrpc\": \"2.0\", \"id\": 4, \"method\": \"tools/call\", \"params\": {\"name\": 7}}\n",
        "{\"jsonrpc\": \"2.0\", \"id\": 5, \"method\": \"no/such/method\"}\n",
        "[]\n7\nnull\n",
        "{\"jsonrpc\": \"2.0\", \"id\": 6, \"method\": \"tools/call\", \"params\": {\"name\": \"query\", \"arguments\": {\"question\": \"What is the launch code?\"}}}\n",
    ] {
        input.extend(line.as_bytes());
    }
    // The end of its input ends it, and what was asked before is answered first.
    let ran = run_with(&["ragpod", "mcp", &instance.name], &input).ok();
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{ran}")))
        .collect();
    assert!(lines.iter().all(|line| line["jsonrpc"] == "2.0"), "{ran}");
    let reply = |id: u64| lines.iter().find(|line| line["id"] == id);
    assert_eq!(reply(1).unwrap()["result"]["serverInfo"]["name"], "ragpod", "{ran}");
    let refused = lines.iter().filter(|l| l["error"]["code"] == -32600).count();
    assert!(refused >= 1, "{ran}");
    assert_eq!(reply(5).unwrap()["error"]["code"], -32601, "{ran}");
    assert!(reply(6).unwrap().to_string().contains("marmalade"), "{ran}");
    // Nothing but mistakes: it ends as well.
    run_with(&["ragpod", "mcp", &instance.name], b"this is no JSON\n").ok();
    assert_eq!(run_with(&["ragpod", "mcp", &instance.name], b"").ok().out, "");
    ragpod(&["mcp", "e2e-mcp-none"]).code(4).tells("there is no instance e2e-mcp-none");
}

/// A client whose end of our input is a socket that stays open, as Node makes it, and who asks the
/// process to end.
fn ends_when_it_is_told(instance: &Instance) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut server = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/host/run"))
        .args(["--", "ragpod", "mcp", &instance.name])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    ours.write_all(opening().as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("serverInfo"), "{line}");
    let began = Instant::now();
    sh(&format!("pkill -TERM -f '^ragpod mcp {}$'", instance.name)).ok();
    let status = server.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    no_server_is_left(instance);
}

#[test]
fn an_ingest_is_watched_cancelled_and_cut_off() {
    let _host = shared();
    let one =
        Instance::create_with("e2e-mcp-long", &[("a.md", RED)], &["--set", "engine.batch_size=2"]);
    let fill = "for i in $(seq 1 300); do printf '# Note %s\\n\\nIn week %s the harbour of Rostock \
                received %s ships, and Captain Meyer wrote to the mayor about barrels of herring.\\n\
                The lighthouse keeper %s noted the wind.\\n' $i $i $((i * 7)) $i > \"$1/n$i.md\"; done";
    crate::host::run(&["bash", "-c", fill, "fill", &one.folder()]).ok();
    one.up();
    let before = one.ragpod("ingest", &["--path", &format!("{}/a.md", one.folder())]).ok();
    before.says("1 new");

    // The client stops listening: the engine stops, the session goes on.
    let seen = play("cancel", &[&one.name]);
    assert_eq!(seen["cancelled"], true, "{seen}");
    assert!(seen["idle"].is_number(), "the engine worked on, or something was left: {seen}");
    assert!(good(&seen["query"]).contains("marmalade"), "{seen}");
    // Not by having done everything; and it is free for the next one.
    let done = one.ragpod("ingest", &["--dry-run", "--json"]).ok().json();
    assert!(done["unchanged"].as_u64().unwrap() < 200, "{done}");
    no_server_is_left(&one);

    // The same when ragpod itself is killed.
    let has = done["unchanged"].as_u64().unwrap();
    sh(&format!(
        "more() {{ [ $(ragpod psql {0} -- -XqAtc \"select count(*) from lightrag_doc_status
             where status = 'processed'\") -gt {has} ]; }}
         ragpod ingest {0} > /dev/null 2>&1 & p=$!
         soon $p more; kill -KILL $p; wait $p || true",
        one.name
    ))
    .ok();
    no_server_is_left(&one);
    let done = one.ragpod("ingest", &["--dry-run", "--json"]).ok().json();
    assert!(done["unchanged"].as_u64().unwrap() < 250, "{done}");

    // The instance stops in the middle of an ingest.
    let seen = play("stopped", &[&one.name]);
    let middle = bad(&seen["middle"]);
    assert!(
        middle.contains("stopped before its end") || middle.contains("did not finish"),
        "{seen}"
    );
    assert!(bad(&seen["after"]).contains("ragpod up e2e-mcp-long"), "{seen}");
    assert_eq!(seen["status"]["data"]["state"], "stopped", "{seen}");
    assert!(good(&seen["back"]).contains("marmalade"), "{seen}");

    // What is left is taken in, and told of.
    let seen = play("ingest", &[&one.name]);
    good(&seen["result"]);
    assert_eq!(seen["stray"], json!([]), "{seen}");
    let progress = seen["progress"].as_array().unwrap();
    assert!(progress.len() > 10, "{progress:?}");
    let counts: Vec<f64> = progress.iter().map(|p| p[0].as_f64().unwrap()).collect();
    assert!(counts.is_sorted_by(|a, b| a < b), "{counts:?}");
    let last = progress.last().unwrap();
    assert_eq!(last[0], last[1], "the last step is not the total: {progress:?}");
    assert_eq!(seen["again"]["data"]["unchanged"], 301, "{seen}");
    assert!(bad(&seen["outside"]).contains("lies in no source"), "{seen}");
    no_server_is_left(&one);
}
