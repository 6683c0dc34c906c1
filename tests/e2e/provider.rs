//! `provider test` and `reindex`.

use serde_json::Value;

use crate::host::{Instance, run, run_with, sh, shared};
use crate::standin;

const TEXT: &str = "# Codes\n\nThe launch code of the red team is marmalade.\n";

/// What came of each of the two checks: status, detail, cure.
fn checks(one: &Instance, code: i32) -> [(String, String, String); 2] {
    let report = run(&["ragpod", "provider", "test", &one.name, "--json"]).code(code).json();
    [0, 1].map(|i| {
        let text = |key: &str| report["checks"][i][key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("detail"), text("fix"))
    })
}

fn edit(one: &Instance, sed: &str) {
    sh(&format!("sed -i '{sed}' ~/.config/ragpod/instances/{}.toml", one.name)).ok();
    one.up();
}

#[test]
fn each_fault_of_a_provider_has_a_message_of_its_own() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let mut options = standin::options("azure", "http://api.test/");
    options.extend(["--set".into(), "provider.api_key={ secret = \"api-key\" }".into()]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let one = Instance::create_with("e2e-eng-prov", &[("a.md", TEXT)], &options);
    let key = b"right-one";
    run_with(&["ragpod", "secret", "set", &one.name, "api-key"], key).ok();
    run(&["ragpod", "provider", "test", &one.name]).code(4);
    one.up();
    let before = standin::requests();
    for (status, detail, _) in checks(&one, 0) {
        assert_eq!(status, "pass", "{detail}");
    }
    let asked = standin::since_with(&before, key);
    assert_eq!(asked.lines().count(), 2, "{asked}");
    assert!(asked.contains("/openai/deployments/vectors/embeddings?api-version="), "{asked}");

    let rotate = ["ragpod", "secret", "rotate", &one.name, "api-key"];
    run_with(&rotate, b"wrong\n").ok();
    for (status, detail, fix) in checks(&one, 1) {
        assert_eq!(status, "fail");
        assert!(detail.contains("refuses the key (401): nobody knows that key"), "{detail}");
        assert_eq!(fix, "store the right key: `ragpod secret rotate e2e-eng-prov api-key`");
    }
    run_with(&rotate, key).ok();

    edit(&one, "s/llm_model = .*/llm_model = \"gpt-nope\"/");
    let [embedding, completion] = checks(&one, 1);
    assert_eq!((embedding.0.as_str(), completion.0.as_str()), ("pass", "fail"));
    assert!(completion.1.contains("has no model gpt-nope (404)"), "{}", completion.1);
    run(&["ragpod", "provider", "test", &one.name]).code(1).says("cure: ").says("gpt-nope");

    edit(&one, "s/llm_model = .*/llm_model = \"chat\"/; s/api.test/no-such-name.test/");
    let [embedding, _] = checks(&one, 1);
    assert!(embedding.1.contains("the gateway cannot reach no-such-name.test"), "{}", embedding.1);

    edit(&one, "s/no-such-name.test/api.test/");
    run(&["systemctl", "--user", "stop", "hybridrag-e2e-eng-prov-egress.service"]).ok();
    let [embedding, _] = checks(&one, 1);
    assert!(embedding.1.contains("the gateway does not answer"), "{}", embedding.1);
    assert!(embedding.2.contains("ragpod logs e2e-eng-prov egress"), "{}", embedding.2);
}

/// An instance whose model behaves as the first part of its name says.
fn moody(name: &str, model: &str, more: &[&str]) -> Option<Instance> {
    if !standin::ready() {
        return None;
    }
    let options = standin::options_with_model("openai-compatible", "http://api.test/v1", model);
    let options: Vec<&str> =
        options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let one = Instance::create_with(name, &[("a.md", TEXT)], &options);
    one.up();
    Some(one)
}

#[test]
fn a_provider_that_is_busy_is_asked_again_by_an_ingest_and_not_by_the_test() {
    let _host = shared();
    let Some(one) = moody("e2e-eng-busy", "busy-eng", &[]) else { return };
    let [embedding, completion] = checks(&one, 1);
    assert_eq!((embedding.0.as_str(), completion.0.as_str()), ("pass", "fail"));
    assert!(completion.1.contains("too many requests (429): not so fast"), "{}", completion.1);
    // Each request that is refused is granted the second time.
    let made = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&made["new"], &made["documents"]["failed"]), (&1.into(), &0.into()), "{made}");
    let answer = one.ask("What is the launch code of the red team?");
    assert!(answer["answer"].as_str().unwrap().contains("marmalade"), "{answer}");
}

#[test]
fn what_a_broken_provider_kept_out_is_listed_and_taken_up_by_the_next_ingest() {
    let _host = shared();
    // Its patience with 500 is tens of seconds: a minute in all.
    let Some(one) = moody("e2e-eng-down", "down-eng", &[]) else { return };
    let [embedding, completion] = checks(&one, 1);
    assert_eq!(embedding.0, "pass", "{}", embedding.1);
    assert!(completion.1.contains("answered 500"), "{}", completion.1);
    assert!(completion.1.contains("an inner gear is broken"), "{}", completion.1);
    one.ragpod("ingest", &[])
        .code(1)
        .says("failed: /data/projects/a.md: ")
        .says("an inner gear is broken")
        .says("documents: 0 processed, 1 failed, 0 pending");
    assert_eq!(one.status()["documents"]["failed"], 1);
    edit(&one, "s/down-eng/chat/");
    let made = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&made["new"], &made["documents"]["failed"]), (&1.into(), &0.into()), "{made}");
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let _host = shared();
    let Some(one) = moody("e2e-eng-torn", "torn-eng", &[]) else { return };
    let [_, completion] = checks(&one, 1);
    assert_eq!(completion.0, "fail", "{}", completion.1);
    edit(&one, "s/torn-eng/chat/");
    one.ragpod("ingest", &[]).ok();
    edit(&one, "s/llm_model = .*/llm_model = \"torn-eng\"/");
    // A keyword's answer breaks off already; what streams does so in the middle.
    let ran = crate::terminal::at_terminal(
        &serde_json::json!([["expect", "api.test"]]),
        &["query", &one.name, "What is the launch code?", "--mode", "naive"],
    );
    assert_eq!(ran["code"], 1, "{ran}");
    assert!(ran["screen"].as_str().unwrap().contains("broke off"), "{ran}");
    one.ragpod("query", &["What is the launch code?", "--mode", "naive"]).code(1);
}

#[test]
fn a_closed_gateway_is_named_with_what_opens_it() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    // A manifest whose list lacks the provider is refused before anything is made.
    let options = standin::options("openai-compatible", "http://api.test/v1");
    let mut create = vec!["ragpod", "create", "e2e-eng-shut"];
    create.extend(options.iter().map(String::as_str));
    create.extend(["--set", "egress.allow=[\"other.test:80\"]"]);
    run(&create).code(2).tells("egress.allow: api.test:80 is missing");

    // So the engine is told of another provider than the gateway is.
    let Some(one) = moody("e2e-eng-shut", "chat", &[]) else { return };
    let before = standin::requests();
    let ran = one.ragpod(
        "exec",
        &[
            "--",
            "env",
            "API_BASE=http://other.test/v1",
            "HYBRIDRAG_SOCKET=/tmp/nobody.sock",
            "python",
            "hybridrag.py",
            "--in-process",
            "provider",
            "test",
            "--json",
        ],
    );
    let report = ran.code(1).json();
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["status"], "fail", "{report}");
        let told = check["detail"].as_str().unwrap();
        assert!(told.contains("the gateway does not let the engine reach other.test"), "{report}");
        assert!(check["fix"].as_str().unwrap().contains("[egress] allow"), "{report}");
    }
    assert!(!standin::since(&before).contains(" other.test "), "it was asked");
    checks(&one, 0);
}

#[test]
fn a_key_that_the_provider_repeats_is_told_nowhere() {
    let _host = shared();
    let key = "echo-d34db33f-is-a-secret";
    let options = ["--set", "provider.api_key={ secret = \"api-key\" }"];
    if !standin::ready() {
        return;
    }
    let made = standin::options("openai-compatible", "http://api.test/v1");
    let all: Vec<&str> = made.iter().map(String::as_str).chain(options).collect();
    let one = Instance::create_with("e2e-eng-echo", &[("a.md", TEXT)], &all);
    run_with(&["ragpod", "secret", "set", &one.name, "api-key"], key.as_bytes()).ok();
    one.up();
    let mut told = String::new();
    for ran in [
        run(&["ragpod", "provider", "test", &one.name]),
        one.ragpod("ingest", &[]),
        one.ragpod("ingest", &["--json"]),
        one.ragpod("query", &["What is the launch code?"]),
        one.ragpod("logs", &["-n", "200"]),
    ] {
        told.push_str(&format!("{ran}"));
    }
    let sql = "select error_msg from lightrag_doc_status";
    told.push_str(&one.ragpod("psql", &["--", "-Atc", sql]).ok().out);
    assert!(told.contains("Incorrect API key provided: ***"), "{told}");
    assert!(!told.contains("d34db33f"), "{told}");
}

#[test]
fn the_built_in_provider_needs_no_host() {
    let _host = shared();
    let one = Instance::create("e2e-eng-off", &[("a.md", TEXT)]);
    one.up();
    let [embedding, completion] = checks(&one, 0);
    assert_eq!((embedding.0.as_str(), completion.0.as_str()), ("pass", "skip"));
    assert!(embedding.1.contains("384 dimensions"), "{}", embedding.1);
}

/// What the database has of each index, by its workspace.
fn workspaces(one: &Instance) -> String {
    let sql = "select workspace, count(*) from lightrag_doc_status group by 1 order by 1";
    one.ragpod("psql", &["--", "-Atc", sql]).ok().out.trim().to_owned()
}

#[test]
fn another_model_is_refused_until_everything_is_indexed_anew() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let options = standin::options("openai-compatible", "http://api.test/v1");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let other = "# Money\n\nProperty levies are due at the town hall before the end of March.\n";
    let one = Instance::create_with("e2e-eng-again", &[("a.md", TEXT), ("b.md", other)], &options);
    one.up();
    one.ragpod("ingest", &[]).ok();
    assert_eq!(workspaces(&one), "default|2");

    let source = format!("{}:**/*.md", one.folder());
    run(&["ragpod", "create", &one.name, "--force", "--source", &source]).ok();
    // `up` does what the manifest says, and says what is left to do; again, too.
    for _ in 0..2 {
        one.up().tells("answers no question").tells("ragpod reindex e2e-eng-again");
    }
    let problem = one.status()["problem"].to_string();
    assert!(problem.contains("vectors (64 dimensions)"), "{problem}");
    one.ragpod("init", &[]).code(2).tells("vectors (64 dimensions)").tells("ragpod reindex");
    one.ragpod("ingest", &[]).code(2).tells("hint: go back").tells("ragpod reindex e2e-eng-again");
    one.ragpod("query", &["What is the launch code?"])
        .code(2)
        .tells("ragpod reindex e2e-eng-again");

    // Nobody is asked without a terminal; nothing happens without a yes.
    one.ragpod("reindex", &[]).code(2).tells("--yes");
    assert_eq!(workspaces(&one), "default|2");
    let made: Value = one.ragpod("reindex", &["--yes", "--json"]).ok().json();
    assert_eq!((&made["new"], &made["documents"]["processed"]), (&2.into(), &2.into()), "{made}");
    assert_eq!(workspaces(&one), "index2|2");
    assert!(one.ask("What is the launch code?")["answer"].to_string().contains("marmalade"));
    assert!(!one.up().err.contains("answers no question"));
    assert_eq!(one.status()["problem"], Value::Null);
    let same = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&same["unchanged"], &same["new"]), (&2.into(), &0.into()), "{same}");
    one.ragpod("restart", &[]).ok();
    assert!(
        one.ask("When must real estate taxes be paid?")["answer"].to_string().contains("March")
    );
}

#[test]
fn an_index_that_cannot_be_completed_leaves_the_old_one() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let one = Instance::create("e2e-eng-keep", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let source = format!("{}:**/*.md", one.folder());
    let options = standin::options_with_model("openai-compatible", "http://api.test/v1", "nope");
    let mut create = vec!["ragpod", "create", &one.name, "--force", "--source", &source];
    create.extend(options.iter().map(String::as_str));
    run(&create).ok();
    one.up();
    one.ragpod("reindex", &["--yes"])
        .code(1)
        .tells("the old one stays")
        .tells("has no model nope")
        .tells("ragpod provider test e2e-eng-keep");
    assert!(workspaces(&one).starts_with("default|1"), "{}", workspaces(&one));
    // Back to the old model: everything is as it was.
    run(&["ragpod", "create", &one.name, "--force", "--source", &source]).ok();
    one.up();
    assert!(one.ask("What is the launch code?")["answer"].to_string().contains("marmalade"));
    one.ragpod("reindex", &["--abandon"]).ok().tells("is removed");
    one.ragpod("reindex", &["--abandon"]).ok().tells("was not there");
    assert_eq!(workspaces(&one), "default|1");
}

#[test]
fn a_change_over_that_is_interrupted_is_told_as_it_is() {
    let _host = shared();
    let one = Instance::create("e2e-eng-over", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    // Both signals, once: the change over is waited for all the same. The engine is held up in it
    // by a lock that the test has on a row that nothing else writes.
    for signal in ["INT", "TERM"] {
        let script = format!(
            "cd ragpod-e2e; rm -f over.in over.err; mkfifo over.in
             ragpod psql {0} -- -q < over.in > /dev/null & lock=$!
             exec 9> over.in
             echo \"begin; select from ragpod_state where key = 'backend' for update;\" >&9
             sleep 1
             ragpod reindex {0} --yes > over.out 2> over.err 9>&- & pid=$!
             for _ in $(seq 600); do grep -q 'changing over' over.err && break; sleep 0.1; done
             sleep 0.5; kill -{signal} $pid
             for _ in $(seq 100); do grep -q 'stopped any more' over.err && break; sleep 0.1; done
             echo 'commit;' >&9; exec 9>&-
             code=0; wait $pid || code=$?
             wait $lock; cat over.err >&2; echo $code",
            one.name
        );
        let ran = sh(&script).ok();
        assert_eq!(ran.out.trim().lines().last(), Some("0"), "{ran}");
        ran.tells("cannot be stopped any more").tells("the new index is in use");
    }
    assert!(one.ask("What is the launch code?")["answer"].to_string().contains("marmalade"));
}
