//! Engines of the user's own: their commands, their exit codes, and every argument as it was.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::host::{Instance, ragpod, run, run_with, sh, shared, wait};

const IMAGE: &str = "localhost/e2e-prof-engine:1";

/// Builds the image of an engine that is none of ragpod's, once.
fn image() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let build = r#"
            dir=$(mktemp -d); trap 'rm -r "$dir"' EXIT; cat > "$dir/my-engine"
            printf '%s\n' 'FROM localhost/ragpod/engine:latest' \
                'COPY --chmod=0755 my-engine /usr/local/bin/' \
                'CMD ["my-engine", "serve", "by the image"]' > "$dir/Containerfile"
            podman build --quiet --network=none --tag "$1" "$dir""#;
        let program = include_bytes!("custom/engine.py");
        run_with(&["bash", "-euc", build, "build", IMAGE], program).ok();
    });
}

const COMMANDS: &[(&str, &str)] = &[
    ("init", r#"["my-engine", "init"]"#),
    ("ingest", r#"["my-engine", "ingest", "{path}", "{pattern}"]"#),
    ("query", r#"["my-engine", "query", "{mode}", "{text}"]"#),
    ("status", r#"["my-engine", "status"]"#),
    ("interactive", r#"["my-engine", "interactive"]"#),
    ("mcp", r#"["my-engine", "interactive"]"#),
];

fn create(name: &str, files: &[(&str, &str)], commands: &[(&str, &str)]) -> Instance {
    image();
    let mut options = vec!["engine.profile=custom".to_owned(), format!("engine.image={IMAGE}")];
    options.extend(commands.iter().map(|(key, argv)| format!("engine.commands.{key}={argv}")));
    let options: Vec<&str> = options.iter().flat_map(|option| ["--set", option.as_str()]).collect();
    Instance::create_with(name, files, &options)
}

/// What the database has of the engine's, one JSON value a line.
fn rows(one: &Instance, question: &str) -> Vec<Value> {
    let ran = one.ragpod("psql", &["--", "-At", "-c", question]).ok();
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn its_commands_are_run_with_every_argument_as_it_was() {
    let _host = shared();
    let nasty_serve = r#"["my-engine", "serve", "; rm -rf / 100 % $HOME \"it's\" back\\slash"]"#;
    let mut commands = COMMANDS.to_vec();
    commands.push(("serve", nasty_serve));
    commands.push(("health", r#"["test", "-e", "/var/lib/hybridrag/ready"]"#));
    let files = [("a.md", "The ferry leaves at noon.\n"), ("b.txt", "not asked for\n")];
    let one = create("e2e-prof-own", &files, &commands);
    one.up();
    one.up().tells("nothing has changed");
    one.ragpod("exec", &["--", "cat", "/var/lib/hybridrag/ready"])
        .ok()
        .says(r#"; rm -rf / 100 % $HOME "it's" back\slash"#);

    let ran = one.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!(ran["profile"], "custom", "{ran}");
    assert_eq!(ran["runs"][0]["path"], "/data/projects", "{ran}");
    assert_eq!(ran["runs"][0]["output"], json!(["1 files by **/*.md"]), "{ran}");
    assert_eq!(ran["documents"], Value::Null, "{ran}");
    assert_eq!(rows(&one, "SELECT to_json(path) FROM note"), ["/data/projects/a.md"]);

    let nasty = [
        "; rm -rf /",
        "$(id) `id` $HOME %h ${HOME}",
        "'single' \"double\" back\\slash",
        "two\nlines\tand a tab",
        "--help",
        "-",
        "{path} {mode} {text}",
        "ü 🚢 * ?",
    ];
    for text in nasty {
        run(&["ragpod", "query", &one.name, "--mode", "mix", "--", text]).ok().says(text);
    }
    let heard = rows(&one, "SELECT words FROM heard ORDER BY id");
    let wanted: Vec<Value> = nasty
        .iter()
        .map(|text| json!(["/usr/local/bin/my-engine", "query", "mix", text]))
        .collect();
    assert_eq!(heard, wanted);

    let answer = one.ask("ferry");
    assert_eq!(answer["mode"], "hybrid", "{answer}");
    assert!(answer["answer"].as_str().unwrap().contains("leaves at noon"), "{answer}");
    assert_eq!(answer["sources"], json!([]), "{answer}");
    let all = ragpod(&["query", "--on", &one.name, "ferry", "--json"]).ok().json();
    assert!(all["answers"][0]["answer"].as_str().unwrap().contains("noon"), "{all}");

    // A secret is not replaced under its work, and Ctrl-C is a line on its standard input.
    let stopped = sh(&format!(
        "ragpod ingest {0} --pattern slow --json > ragpod-e2e/{0}.out 2> ragpod-e2e/{0}.err & pid=$!
         for _ in $(seq 100); do grep -q waiting ragpod-e2e/{0}.err && break; sleep 0.1; done
         rotate='secret rotate {0} postgres-password --generate --timeout 2s'
         ragpod $rotate 2> ragpod-e2e/{0}.rotate && exit 77
         grep -q 'still answering a question or ingesting' ragpod-e2e/{0}.rotate || exit 78
         kill -INT $pid; code=0; wait $pid || code=$?; cat ragpod-e2e/{0}.out; exit $code",
        one.name
    ))
    .code(130)
    .json();
    assert_eq!(stopped["interrupted"], true, "{stopped}");
    assert_eq!(stopped["runs"][0]["output"], json!(["waiting", "told to stop"]), "{stopped}");

    ragpod(&["secret", "rotate", &one.name, "postgres-password", "--generate"]).ok();
    one.ragpod("query", &["ferry"]).ok().says("leaves at noon");

    let talk = run_with(&["ragpod", "interactive", &one.name], b"hello; $(id)\n");
    talk.code(3).says("you said hello; $(id)");
    // Its own server speaks on the very streams of `ragpod mcp`.
    run_with(&["ragpod", "mcp", &one.name], b"{}\n").code(3).says("you said {}");
}

#[test]
fn its_exit_codes_are_passed_on() {
    let _host = shared();
    let one = create("e2e-prof-code", &[("a.md", "One.\n"), ("poison.md", "Two.\n")], COMMANDS);
    // Its image's own program, and no check.
    one.up();
    one.ragpod("exec", &["--", "cat", "/var/lib/hybridrag/ready"]).ok().says("by the image");
    one.ragpod("query", &["fail"]).code(9).tells("no answer today");
    let failed = one.ragpod("query", &["fail", "--json"]).code(9);
    assert!(failed.err.contains("\"error\"") && failed.err.contains("no answer today"), "{failed}");
    assert_eq!(failed.out, "");
    one.ragpod("ingest", &[]).code(7).says("2 files").says("a file was poisoned");
    one.ragpod("ingest", &["--path", &format!("{}/a.md", one.folder())])
        .ok()
        .says("/data/projects/a.md: exit code 0");
    one.ragpod("status", &[]).ok().says("its engine says (exit code 0)").says("2 notes");
    // A killed engine comes back, although nothing looks after its health.
    run(&["podman", "kill", "--signal", "KILL", "hybridrag-e2e-prof-code-app"]).ok();
    let asks = || one.ragpod("query", &["One"]);
    wait("its engine answers again", 30, || asks().code == 0);
    asks().ok().says("/data/projects/a.md One.");

    one.write(&[("c.md", "Three.\n")]);
    one.ragpod("ingest", &[]).code(7);
    let status = one.ragpod("status", &["--json"]).code(5).json();
    assert_eq!(status["instances"][0]["engine"]["output"], "3 notes\n", "{status}");
    assert_eq!(status["instances"][0]["state"], "running", "{status}");
}

#[test]
fn what_it_cannot_do_is_said() {
    let _host = shared();
    let one = create("e2e-prof-little", &[("a.md", "One.\n")], &[]);
    one.up().tells("its engine has no command for init");
    let manifest = "[engine.commands]";
    for (verb, args) in [("query", &["what?"][..]), ("ingest", &[]), ("interactive", &[])] {
        let ran = one.ragpod(verb, args).code(2).tells(manifest);
        assert!(ran.err.contains(&format!("{verb} = [\"my-engine\"")), "{ran}");
    }
    one.ragpod("query", &["what?", "--json"]).code(2).tells(manifest);
    one.ragpod("reindex", &["--yes"]).code(2).tells("has no reindex").tells("down e2e-prof-little");
    ragpod(&["provider", "test", &one.name]).code(2).tells("has no test of its provider");
    one.ragpod("status", &[]).ok();

    let manifest = "~/.config/ragpod/instances/e2e-prof-little.toml";
    let more = r#"ingest = ["true", "{path}"]\nquery = ["true", "{text}"]"#;
    sh(&format!("sed -i 's/^\\[provider\\]/[engine.commands]\\n{more}\\n&/' {manifest}")).ok();
    // Commands that only `podman exec` runs restart nothing.
    one.up().tells("nothing has changed");
    for option in ["--prune", "--dry-run", "--no-recursive"] {
        one.ragpod("ingest", &[option]).code(2).tells(&format!("has no {option}"));
    }
    one.ragpod("query", &["what?", "--sources"]).code(2).tells("has no --sources");
    one.ragpod("query", &["what?", "--context-only"]).code(2).tells("passages");
    one.ragpod("query", &["what?"]).ok();
    sh(&format!("sed -i 's/{{text}}/--text={{text}}/' {manifest}")).ok();
    one.ragpod("query", &["what?"]).code(2).tells("must be an argument of its own");
}
