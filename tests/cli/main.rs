//! The built program in a home of its own: everything that needs neither Podman nor a bus.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use assert_cmd::Command;
use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use ragpod::cli::Cli;
use serde_json::Value;
use tempfile::TempDir;

/// A home with a folder `notes`, and nothing of the surroundings.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(TempDir::new().unwrap());
        std::fs::create_dir(home.path().join("notes")).unwrap();
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ragpod(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("ragpod").unwrap();
        command.env_clear().env("HOME", self.path()).env("PATH", "/nowhere").args(args);
        command
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.ragpod(args).assert().success().get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, args: &[&str], code: i32) -> String {
        let output = self.ragpod(args).assert().code(code).get_output().clone();
        assert_eq!(output.stdout, b"", "data on stdout beside an error");
        String::from_utf8(output.stderr).unwrap()
    }

    fn manifest(&self, name: &str) -> std::path::PathBuf {
        self.path().join(format!(".config/ragpod/instances/{name}.toml"))
    }
}

#[test]
fn create_then_render() {
    let home = Home::new();
    home.ok(&["create", "demo", "--source", "~/notes:**/*.md"]);
    let text = std::fs::read_to_string(home.manifest("demo")).unwrap();
    insta::assert_snapshot!("manifest", text);
    let units = home.ok(&["render", "demo"]);
    for file in [
        "# hybridrag-demo.pod\n",
        "# hybridrag-demo.network\n",
        "# hybridrag-demo-postgres.container\n",
        "# hybridrag-demo-app.container\n",
        "# hybridrag-demo-postgres.volume\n",
        "# hybridrag-demo-engine.volume\n",
    ] {
        assert!(units.contains(file), "no {file} in {units}");
    }
    assert_eq!(home.ok(&["generate", "demo"]), units);
    home.ok(&["render", "demo", "--output", home.path().join("out").to_str().unwrap()]);
    assert_eq!(std::fs::read_dir(home.path().join("out")).unwrap().count(), 6);
    let json: Value = serde_json::from_str(&home.ok(&["render", "demo", "--json"])).unwrap();
    assert_eq!(json["units"].as_object().unwrap().len(), 6);
    let old = home.fails(&["render", "demo", "--podman", "4.9"], 2);
    for said in ["Podman 4.9.0 is too old", "5.0", "Debian 13", "RHEL", "--podman 5.4"] {
        assert!(old.contains(said), "no {said:?} in {old}");
    }
    home.fails(&["render", "demo", "--podman", "five"], 2);
}

/// A second line in any field would be a line of a unit.
#[test]
fn render_refuses_a_second_line_in_every_field() {
    let home = Home::new();
    home.ok(&["create", "line", "--provider", "openai", "--source", "~/notes"]);
    let manifest = home.manifest("line");
    let good = "[instance]\nname = \"line\"\n[provider]\nkind = \"openai\"\n\
        base_url = \"https://h.example/v1\"\nllm_model = \"a\"\nembedding_model = \"b\"\n\
        ca_file = \"/ca\"\napi_key = { secret = \"k\" }\n[postgres]\ndatabase = \"d\"\n\
        user = \"u\"\nmemory = \"2G\"\nimage = \"localhost/a:1\"\n[engine]\nmemory = \"2G\"\n\
        image = \"localhost/b:1\"\n[[source]]\npath = \"/s\"\nname = \"n\"\npattern = \"*\"\n\
        [egress]\nmode = \"allow\"\nallow = [\"h.example:443\"]\n[hardening]\n\
        writable_root = [\"app\"]\n[backup]\n\
        recipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"\n[schedule]\ningest = \"daily\"\n[env]\nX = \"x\"\n";
    std::fs::write(&manifest, good).unwrap();
    home.ok(&["render", "line"]);
    let mut section = "";
    let mut refused = 0;
    for line in good.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let key = line.split_once(' ').unwrap().0;
        let (before, quote) = line.split_at(line.rfind('"').unwrap());
        let worse = format!("{before}\\n[Service]\\nExecStartPre=/bin/false{quote}");
        std::fs::write(&manifest, good.replace(line, &worse)).unwrap();
        let said = home.fails(&["render", "line"], 2);
        assert!(said.contains(&format!("{section}.{key}: ")), "{section}.{key}: {said}");
        refused += 1;
    }
    assert_eq!(refused, 22);
}

#[test]
fn a_provider_with_a_gateway() {
    let home = Home::new();
    home.ok(&["create", "work", "--provider", "openai", "--source", "~/notes"]);
    let units = home.ok(&["render", "work"]);
    assert!(units.contains("# hybridrag-work-egress.container\n"), "{units}");
    assert!(units.contains("api.openai.com:443"), "{units}");
}

#[test]
fn create_refuses() {
    let home = Home::new();
    for name in ["A", "a_b", "my-app", ""] {
        assert!(home.fails(&["create", name], 2).contains("NAME"), "{name}");
    }
    assert!(home.fails(&["create", "a", "--source", "~/none"], 2).contains("none"));
    assert!(home.fails(&["create", "a", "--provider", "chatgpt"], 2).contains("openai"));
    assert!(home.fails(&["create", "a", "--set", "postgres.memroy=2G"], 2).contains("memory"));
    assert!(home.fails(&["create", "a", "--set", "postgres.memory=lots"], 2).contains("memory"));
    assert!(!home.path().join(".config").exists(), "something was written");
    home.ok(&["create", "a"]);
    let taken = home.fails(&["create", "a"], 2);
    assert!(taken.contains("already") && taken.contains("--force"), "{taken}");
    home.ok(&["create", "a", "--force", "--set", "postgres.memory=2G"]);
    assert!(std::fs::read_to_string(home.manifest("a")).unwrap().contains("2G"));
}

#[test]
fn errors_have_a_cause_a_hint_and_a_code() {
    let home = Home::new();
    home.ok(&["create", "demo"]);
    let text = home.fails(&["render", "demp"], 4);
    assert!(text.contains("error: there is no instance demp"), "{text}");
    assert!(text.contains("hint: did you mean demo?"), "{text}");
    let json: Value = serde_json::from_str(&home.fails(&["render", "demp", "--json"], 4)).unwrap();
    assert_eq!(json["error"]["kind"], "no-instance");
    assert!(!json["error"]["hints"].as_array().unwrap().is_empty());

    std::fs::write(home.manifest("demo"), "[instance]\nname = \"demo\"\nautostrat = true\n")
        .unwrap();
    let text = home.fails(&["render", "demo"], 2);
    assert!(text.contains("demo.toml:3:1"), "{text}");
    assert!(text.contains("autostart"), "{text}");

    // No Podman in PATH, no bus: the host is not able.
    std::fs::write(home.manifest("demo"), "[instance]\nname = \"demo\"\n").unwrap();
    assert!(home.fails(&["up", "demo"], 3).contains("odman"));
    assert!(home.fails(&["list"], 3).contains("XDG_RUNTIME_DIR"));
    assert!(home.fails(&["audit"], 3).contains("odman"));
    assert!(home.fails(&["audit", "demp"], 4).contains("did you mean demo?"));
    home.fails(&["query", "demo", ""], 2);
    assert!(home.fails(&["query", "demo", "what", "is", "it"], 2).contains("into quotes"));
    assert!(home.fails(&["query", "demo"], 2).contains("the question is missing"));
    assert!(home.fails(&["query", "De_mo", "what is it?"], 2).contains("NAME"));
    assert!(home.fails(&["query", "--on", "demo", "demo", "what is it?"], 2).contains("no name"));
    home.fails(&["query", "--on", "demo", "--all", "what is it?"], 2);
    home.fails(&["query", "--on", "De_mo", "what is it?"], 2);
    home.fails(&["no-such-verb"], 2);
}

#[test]
fn engines_that_are_not_our_own() {
    let home = Home::new();
    let set = |key: &str, value: &str| format!("engine.{key}={value}");
    let options = [
        set("profile", "custom"),
        set("image", "localhost/mine:1"),
        set("commands.query", r#"["mine", "ask", "{text}"]"#),
        set("commands.serve", r#"["mine", "serve"]"#),
    ];
    let options: Vec<&str> = options.iter().flat_map(|o| ["--set", o.as_str()]).collect();
    home.ok(&[&["create", "own"], &options[..]].concat());
    let units = home.ok(&["render", "own"]);
    assert!(units.contains("Entrypoint=mine\nExec=\"serve\"\n"), "{units}");
    assert!(units.contains("HealthCmd=none\n") && !units.contains("{text}"), "{units}");

    let bad = r#"engine.commands.query=["mine", "--text={text}"]"#;
    let error = home.fails(&[&["create", "bad"], &options[..], &["--set", bad]].concat(), 2);
    assert!(error.contains("an argument of its own"), "{error}");
    let error = home.fails(&["create", "up", "--set", "engine.profile=hybridrag"], 2);
    assert!(error.contains("[provider]"), "{error}");

    let error = home.fails(&["image", "build", "--engine-context", "/nowhere"], 1);
    assert!(error.contains("/nowhere"), "{error}");
    let folder = home.path().to_str().unwrap();
    let error = home.fails(&["image", "build", "--engine-context", folder], 2);
    assert!(error.contains("no hybridrag.py") && error.contains("git clone"), "{error}");
}

#[test]
fn secrets_are_never_in_a_manifest() {
    let home = Home::new();
    std::fs::write(
        home.path().join("env"),
        "OPENAI_API_KEY=sk-planted-value\nLLM_MODEL=gpt-4.1-mini\n",
    )
    .unwrap();
    // The secret needs Podman to go to, and there is none: nothing is written.
    let file = home.path().join("env");
    let text = home
        .fails(&["create", "a", "--provider", "openai", "--env-file", file.to_str().unwrap()], 3);
    assert!(!text.contains("sk-planted-value"), "{text}");
    assert!(!home.manifest("a").exists());
}

#[test]
fn what_clients_of_the_protocol_take() {
    let home = Home::new();
    home.ok(&["create", "notes"]);
    home.ok(&["create", "work"]);
    let json = |args: &[&str]| -> Value { serde_json::from_str(&home.ok(args)).unwrap() };
    let claude = json(&["mcp-config", "notes"]);
    let server = &claude["mcpServers"]["ragpod-notes"];
    assert!(Path::new(server["command"].as_str().unwrap()).is_absolute(), "{claude}");
    assert!(Path::new(server["command"].as_str().unwrap()).exists(), "{claude}");
    assert_eq!(server["args"], serde_json::json!(["mcp", "notes"]));
    assert!(server.get("env").is_none(), "{claude}");
    let vscode = json(&["mcp-config", "notes", "work", "--read-only", "--client", "vscode"]);
    let server = &vscode["servers"]["ragpod-notes_work"];
    assert_eq!(server["type"], "stdio");
    assert_eq!(server["args"], serde_json::json!(["mcp", "notes", "work", "--read-only"]));
    let codex = home.ok(&["mcp-config", "notes", "--client", "codex"]);
    assert!(codex.starts_with("[mcp_servers.ragpod-notes]\n"), "{codex}");
    // A client that passes nothing on must find the same manifests.
    let elsewhere = home.path().join("elsewhere");
    std::fs::rename(home.path().join(".config"), &elsewhere).unwrap();
    let output = home
        .ragpod(&["mcp-config", "notes"])
        .env("XDG_CONFIG_HOME", &elsewhere)
        .assert()
        .success()
        .get_output()
        .clone();
    let moved: Value = serde_json::from_slice(&output.stdout).unwrap();
    let env = &moved["mcpServers"]["ragpod-notes"]["env"];
    assert_eq!(*env, serde_json::json!({ "XDG_CONFIG_HOME": elsewhere }));

    assert!(home.fails(&["mcp-config", "nobody"], 4).contains("there is no instance nobody"));
    assert!(home.fails(&["mcp", "nobody"], 4).contains("there is no instance nobody"));
    home.fails(&["mcp"], 2);
    home.fails(&["mcp-config", "notes", "--client", "emacs"], 2);
}

/// `make install` and the packages make both anew, so what counts is that nothing is left out.
#[test]
fn completions_and_manual_pages() {
    let home = Home::new();
    let mut command = Cli::command();
    command.build();
    let mut pages = BTreeSet::from(["ragpod.1".to_owned(), "ragpod.toml.5".to_owned()]);
    verbs(&command, "ragpod", &mut pages);
    assert!(pages.contains("ragpod-image-build.1"), "{pages:?}");

    let dir = home.path().join("man");
    home.ok(&["man", dir.to_str().unwrap()]);
    let written: BTreeSet<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, pages);
    for page in &pages {
        let text = std::fs::read_to_string(dir.join(page)).unwrap();
        let title = page.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        assert!(text.contains(&format!(".TH {title}")), "{page}");
    }
    assert!(!dir.join("ragpod-scheduled.1").exists(), "what systemd runs has a page for people");
    // Where man(1) looks, each section has a folder.
    home.ok(&["man", home.path().join("share/man1").to_str().unwrap()]);
    assert!(home.path().join("share/man5/ragpod.toml.5").exists());
    assert!(home.ok(&["man"]).contains(".TH ragpod 1"));

    for shell in Shell::value_variants() {
        let script = home.ok(&["completions", &shell.to_string()]);
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let name = verb.get_name();
            assert!(script.contains(name), "{shell} does not complete {name}");
            for long in verb.get_opts().filter_map(clap::Arg::get_long) {
                assert!(script.contains(long), "{shell} does not complete {name} --{long}");
            }
        }
    }
}

fn verbs(command: &clap::Command, name: &str, pages: &mut BTreeSet<String>) {
    let shown = |verb: &&clap::Command| verb.get_name() != "help" && !verb.is_hide_set();
    for verb in command.get_subcommands().filter(shown) {
        let name = format!("{name}-{}", verb.get_name());
        pages.insert(format!("{name}.1"));
        verbs(verb, &name, pages);
    }
}

#[test]
fn help_fits_a_screen() {
    let home = Home::new();
    let top = home.ok(&["--help"]);
    // A line for each verb, and what one needs besides.
    assert!(top.lines().count() <= 66, "{}", top.lines().count());
    each_help(&home, &ragpod::cli::Cli::command(), &[]);
}

/// Of every verb that does something: an example, on one screen.
fn each_help(home: &Home, command: &clap::Command, path: &[&str]) {
    let shown = |verb: &&clap::Command| verb.get_name() != "help" && !verb.is_hide_set();
    for verb in command.get_subcommands().filter(shown) {
        let path = [path, &[verb.get_name()]].concat();
        let help = home.ok(&[&path[..], &["--help"]].concat());
        let lines = help.lines().count();
        assert!(lines <= 40, "{path:?}: {lines}");
        let group = verb.get_subcommands().next().is_some();
        assert!(group || help.contains("\nExample"), "{path:?} has no example");
        each_help(home, verb, &path);
    }
}

/// Each is refused as a whole: with its place, without its value, and nothing is made.
#[test]
fn env_files_that_are_refused() {
    let home = Home::new();
    let file = home.path().join("my.env");
    let long = [b"LLM_MODEL=x\nPOSTGRES_PASSWORD=".as_slice(), &vec![b'x'; 1 << 20]].concat();
    for (bytes, told) in [
        (b"TOP_K=1\nTOP_K=HUNTER2\n".as_slice(), "my.env:2:1: TOP_K: it was set before, on line 1"),
        (
            b"POSTGRES_PASSWORD=\"HUNTER2\n",
            "my.env:1:1: POSTGRES_PASSWORD: its quote is not closed",
        ),
        (b"POSTGRES_PASSWORD='HUNTER2\n", "its quote is not closed"),
        (b"A=1\nPOSTGRES_PASSWORD=HUNTER2\xff\n", "my.env:2:26: it is no UTF-8 text"),
        (b"POSTGRES_PASSWORD=HUNTER2\0\n", "has a control character"),
        (&long, "my.env:2:1: POSTGRES_PASSWORD: its value is longer than 64 KiB"),
        (b"HUNTER2\n", "there is no '='"),
        (b"HUNTER2 x=1\n", "no variable's name"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = home.fails(&["create", "demo", "--env-file", file.to_str().unwrap()], 2);
        assert!(error.contains(told), "no {told:?} in {error}");
        assert!(!error.contains("HUNTER2"), "{error}");
        assert!(!home.manifest("demo").exists());
    }
    let error = home.fails(&["create", "demo", "--env-file", "/no/such/.env"], 1);
    assert!(error.contains("name a file that is there"), "{error}");
    assert!(!home.manifest("demo").exists());

    // Lines as Windows ends them are lines like others.
    std::fs::write(&file, b"TOP_K=40\r\nPOSTGRES_DB=\"specstory\"\r\n").unwrap();
    home.ok(&["create", "demo", "--env-file", file.to_str().unwrap()]);
    let text = std::fs::read_to_string(home.manifest("demo")).unwrap();
    assert!(
        text.contains("TOP_K = \"40\"\n") && text.contains("database = \"specstory\"\n"),
        "{text}"
    );

    // What became of each is told, and which models nobody has named.
    std::fs::write(&file, b"AZURE_API_BASE=https://x.example/\nLLM_MODEL=mine\nTOP_K=9\n").unwrap();
    let made =
        home.ok(&["create", "demo", "--force", "--json", "--env-file", file.to_str().unwrap()]);
    for told in [
        "AZURE_API_BASE: taken into provider.base_url",
        "LLM_MODEL: taken into provider.llm_model",
        "TOP_K: passed on to the engine: env.TOP_K",
        "guessed provider.embedding_model = \\\"text-embedding-3-small\\\": these must be names",
    ] {
        assert!(made.contains(told), "no {told:?} in {made}");
    }
    assert!(!made.contains("guessed provider.llm_model"), "{made}");
    let args = ["create", "demo", "--force", "--json", "--set", "provider.llm_model=other"];
    let made = home.ok(&[&args[..], &["--env-file", file.to_str().unwrap()]].concat());
    assert!(made.contains("LLM_MODEL: not used: --set gives provider.llm_model"), "{made}");
}

#[test]
fn secrets_that_are_refused() {
    let home = Home::new();
    home.ok(&["create", "demo"]);
    let long = vec![b'x'; 1 << 20];
    for (value, told) in [
        (b"".as_slice(), "is empty"),
        (b"\n", "is empty"),
        (b"HUNTER2\nHUNTER2\n", "more than one line"),
        (b"HUNTER2\0HUNTER2", "a NUL byte"),
        (b"HUNTER2\xff", "not UTF-8"),
        (&long, "longer than 64 KiB"),
    ] {
        for verb in ["set", "rotate"] {
            let output = home
                .ragpod(&["secret", verb, "demo", "postgres-password"])
                .write_stdin(value)
                .assert()
                .code(2)
                .get_output()
                .clone();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(told), "no {told:?} in {error}");
            assert!(!error.contains("HUNTER2"), "{error}");
        }
    }
    let error = home.fails(&["secret", "rotate", "demo", "api-key", "--generate"], 2);
    assert!(error.contains("demo uses no secret api-key"), "{error}");
}
