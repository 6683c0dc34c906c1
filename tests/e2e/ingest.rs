//! Ingests that are watched, stopped and gone on with.

use serde_json::Value;

use crate::host::{Instance, Ran, run, run_with, sh, shared, wait};
use crate::standin;

/// Many more than are done before anybody has looked.
const FILES: u64 = 24;

/// An instance with a model and so many files, two of which are worked on at once. Its key is its name.
fn slow(name: &str, model: &str, files: u64) -> Option<Instance> {
    if !standin::ready() {
        return None;
    }
    let mut options = standin::options_with_model("openai-compatible", "http://api.test/v1", model);
    options.extend(["--set".into(), "engine.concurrency=2".into()]);
    options.extend(["--set".into(), "provider.api_key={ secret = \"api-key\" }".into()]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let texts: Vec<(String, String)> = (0..files)
        .map(|n| (format!("{n}.md"), format!("# Note {n}\n\nThe Zorgon{n} lives in house {n}.\n")))
        .collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let one = Instance::create_with(name, &texts, &options);
    run_with(&["ragpod", "secret", "set", name, "api-key"], name.as_bytes()).ok();
    one.up();
    Some(one)
}

/// Begins an ingest and sends it a signal once it has taken in something more than before; then
/// `more` runs in the same shell, with its process in `$pid`. The last line of standard output is
/// its exit code.
fn interrupted(one: &Instance, signal: &str, more: &str) -> Ran {
    let before = engine(one)["documents"]["processed"].as_u64().unwrap();
    sh(&format!(
        "ragpod ingest {0} --json > ragpod-e2e/{0}.out 2> ragpod-e2e/{0}.err & pid=$!
         more() {{
             local n
             n=$(ragpod exec {0} -- python hybridrag.py status --json | grep -o '\"processed\": [0-9]*')
             [ \"${{n##* }}\" -gt {before} ]
         }}
         soon $pid more
         kill -{signal} $pid
         {more}
         code=0; wait $pid || code=$?
         cat ragpod-e2e/{0}.out; cat ragpod-e2e/{0}.err >&2; echo; echo $code",
        one.name
    ))
    .ok()
}

fn engine(one: &Instance) -> Value {
    one.ragpod("exec", &["--", "python", "hybridrag.py", "status", "--json"]).ok().json()
}

#[test]
fn ctrl_c_stops_after_the_documents_under_way() {
    let _host = shared();
    let Some(one) = slow("e2e-eng-stop", "slow", FILES) else { return };
    let ran = interrupted(&one, "INT", "");
    let (document, code) = ran.out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(code, "130", "{ran}");
    let summary: Value = serde_json::from_str(document).unwrap();
    let done = summary["documents"]["processed"].as_u64().unwrap();
    assert_eq!(summary["interrupted"], true, "{ran}");
    assert!((1..FILES).contains(&done), "{ran}");
    assert_eq!(summary["new"], done, "{ran}");
    assert_eq!(summary["failed"].as_array().map(Vec::len), Some(0), "{ran}");
    assert_eq!(
        (&summary["documents"]["failed"], &summary["documents"]["pending"]),
        (&0.into(), &0.into())
    );
    assert_eq!(engine(&one)["ingesting"], false);

    let rest = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!(rest["new"], FILES - done, "{rest}");
    assert_eq!(rest["unchanged"], done, "{rest}");
    assert_eq!(rest["documents"]["processed"], FILES, "{rest}");
}

#[test]
fn a_second_ctrl_c_leaves_and_a_killed_ragpod_stops_the_engine_too() {
    let _host = shared();
    let Some(one) = slow("e2e-eng-leave", "chat-leave", FILES) else { return };
    // So long that the documents under way are not done before the second one has come.
    let delay = standin::delay("chat-leave", 5);
    // How long it takes from the second one to its end, in milliseconds.
    let twice = "soon $pid grep -q '^ShdPnd:.*0000000000000000' /proc/$pid/status; sleep 0.5
         began=$(date +%s%3N); kill -INT $pid
         wait $pid || true; echo $(($(date +%s%3N) - began)) > ragpod-e2e/e2e-eng-leave.ms";
    let ran = interrupted(&one, "INT", twice);
    assert_eq!(ran.out.trim_end().lines().last(), Some("130"), "{ran}");
    ran.tells("\"kind\":\"interrupted\"").tells("ragpod ingest e2e-eng-leave");
    let took = sh("cat ragpod-e2e/e2e-eng-leave.ms").ok().out;
    assert!(took.trim().parse::<u64>().unwrap() < 3000, "it stayed for {took} ms");
    wait("the engine idle", 60, || engine(&one)["ingesting"] == false);
    let left = engine(&one)["documents"]["processed"].as_u64().unwrap();
    assert!(left < FILES - 2, "it went on: {left}");

    let ran = interrupted(&one, "KILL", "");
    assert_eq!(ran.out.trim_end().lines().last(), Some("137"), "{ran}");
    wait("the engine idle", 60, || engine(&one)["ingesting"] == false);
    let now = engine(&one)["documents"]["processed"].as_u64().unwrap();
    assert!((left + 1..FILES).contains(&now), "{left} before, {now} after");

    drop(delay);
    one.ragpod("ingest", &["--quiet"]).ok();
    let status = engine(&one);
    assert_eq!(status["documents"]["processed"], FILES, "{status}");
    assert_eq!(status["documents"]["failed"], 0, "{status}");
}

#[test]
fn a_dry_run_lists_files_sizes_and_tokens() {
    let _host = shared();
    let one = Instance::create(
        "e2e-eng-dry",
        &[("a.md", "Seven words are in this short text.\n"), ("sub/b.md", &"word ".repeat(2000))],
    );
    one.write(&[("empty.md", ""), ("old.org", "* Kept elsewhere\n"), ("b/LICENSE", "Free.\n")]);
    one.up();
    let plan = one.ragpod("ingest", &["--dry-run", "--json"]).ok().json();
    assert_eq!(plan["files"][0]["path"], "/data/projects/a.md", "{plan}");
    assert_eq!(plan["files"][0]["bytes"], 36, "{plan}");
    let tokens = plan["files"][1]["tokens"].as_u64().unwrap();
    assert!((1800..2600).contains(&tokens), "{plan}");
    assert_eq!(plan["skipped"][0]["reason"], "empty", "{plan}");
    assert_eq!(plan["documents"]["processed"], 0, "{plan}");
    assert_eq!(plan["unfit"], serde_json::json!({"": 1, ".org": 1}), "{plan}");
    one.ragpod("ingest", &["--dry-run"])
        .ok()
        .says("would ingest into e2e-eng-dry: 2 new")
        .says("10000 bytes")
        .says("in all: 10036 bytes, about ")
        .says("not taken, for no pattern fits: 2 other files (1 without an ending, 1 .org)");
    assert_eq!(one.status()["documents"]["processed"], 0);
}

#[test]
fn passages_without_an_answer_need_no_model() {
    let _host = shared();
    let Some(one) = slow("e2e-eng-ctx", "slow", 8) else { return };
    let asks_its_model =
        |since: &str| standin::since_with(since, one.name.as_bytes()).contains("/chat/completions");
    let before = standin::requests();
    one.ragpod("ingest", &[]).ok();
    assert!(asks_its_model(&before), "this would not be seen");
    let before = standin::requests();
    let question = ["Where does Zorgon3 live?", "--context-only", "--mode", "naive", "--json"];
    let answer = one.ragpod("query", &question).ok().json();
    assert!(!asks_its_model(&before), "a model was asked");
    assert!(answer["answer"].as_str().unwrap().contains("house 3"), "{answer}");
    let sources = answer["sources"].as_array().unwrap();
    let source = sources.iter().find(|s| s["path"] == "/data/projects/3.md").unwrap();
    assert!(source["score"].is_number() && source["passage"].is_string(), "{answer}");

    // Words that are not quoted are not several arguments' fault.
    run(&["ragpod", "query", "e2e-eng-ctx", "where", "is", "it?"]).code(2).tells("quotes");
}

#[test]
fn each_source_is_counted_and_a_stop_ends_all() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let mut options =
        standin::options_with_model("openai-compatible", "http://api.test/v1", "chat-each");
    let name = "e2e-eng-each";
    let second = format!("{}2:**/*.md", sh("printf %s ~/ragpod-e2e/e2e-eng-each").ok().out);
    sh("rm -rf ~/ragpod-e2e/e2e-eng-each2; mkdir -p ~/ragpod-e2e/e2e-eng-each2; echo 'The Borgon lives here.' > ~/ragpod-e2e/e2e-eng-each2/b.md").ok();
    options.extend(["--source".into(), second]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let one = Instance::create_with(name, &[("a.md", "The Zorgon lives there.\n")], &options);
    one.up();
    // Asked to stop while the first source is worked on, at its last document: the second is not begun.
    let delay = standin::delay("chat-each", 5);
    let ran = sh(&format!(
        "ragpod ingest {name} --json > ragpod-e2e/{name}.out 2> ragpod-e2e/{name}.err & pid=$!
         works() {{
             ragpod psql {name} -- -XqAtc 'select status from lightrag_doc_status' | grep -qx processing
         }}
         soon $pid works; kill -INT $pid; code=0; wait $pid || code=$?
         cat ragpod-e2e/{name}.out; echo; echo $code"
    ))
    .ok();
    drop(delay);
    let (document, code) = ran.out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(code, "130", "{ran}");
    let summary: Value = serde_json::from_str(document).unwrap();
    assert_eq!(summary["interrupted"], true, "{ran}");
    assert_eq!(summary["documents"]["processed"], 1, "{ran}");

    // What fails in the first source is told and counted, whatever becomes of the second.
    one.write(&[("a.md", "The Zorgon moved, and lives elsewhere.\n")]);
    let model = |sed: &str| {
        sh(&format!("sed -i '{sed}' ~/.config/ragpod/instances/{name}.toml")).ok();
        one.up();
    };
    model("s/llm_model = .*/llm_model = \"nope\"/");
    let failed = one.ragpod("ingest", &["--json"]).code(1).json();
    assert_eq!(failed["failed"].as_array().map(Vec::len), Some(2), "{failed}");
    model("s/llm_model = .*/llm_model = \"chat\"/");
    let second = one.ragpod("ingest", &["--path", &format!("{}2", one.folder())]).code(1);
    second.says("1 documents failed earlier, elsewhere").says("1 failed, 0 pending");
    // The old version is there all the time.
    let passages = ["Where does the Zorgon live?", "--context-only", "--mode", "naive"];
    one.ragpod("query", &passages).ok().says("The Zorgon lives there.");
    let all = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&all["changed"], &all["documents"]["failed"]), (&1.into(), &0.into()), "{all}");
    let now = one.ragpod("query", &passages).ok().says("The Zorgon moved, and lives elsewhere.");
    assert!(!now.out.contains("lives there"), "{now}");
}

/// A folder that is gone, or a disk that is not mounted, is no wish to forget what came from it.
#[test]
fn an_empty_source_is_not_pruned_unasked() {
    let _host = shared();
    let one = Instance::create("e2e-eng-gone", &[("a.md", "The mill stands still.\n")]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    sh(&format!("rm -r {}", one.folder())).ok();
    one.ragpod("ingest", &["--prune"])
        .code(1)
        .says("no file is left in /data/projects, so its documents stay")
        .says("ragpod ingest e2e-eng-gone --path /data/projects --prune --yes");
    assert_eq!(one.status()["documents"]["processed"], 1);
    one.ragpod("ingest", &["--yes"]).code(2);
    one.ragpod("ingest", &["--path", "/data/projects", "--prune", "--yes"]).ok().says("1 removed");
    assert_eq!(one.status()["documents"]["processed"], 0);
}
