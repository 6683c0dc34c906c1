//! The built program in a home of its own: everything that needs neither Podman nor a bus.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use assert_cmd::Command;
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
    assert!(home.fails(&["render", "demo", "--podman", "4.9"], 2).contains("5.0"));
    home.fails(&["render", "demo", "--podman", "five"], 2);
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
    home.fails(&["no-such-verb"], 2);
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
fn completions_and_manual_pages() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.ok(&["completions", shell]).contains("ragpod"));
    }
    let dir = home.path().join("man");
    home.ok(&["man", dir.to_str().unwrap()]);
    for page in ["ragpod.1", "ragpod-up.1", "ragpod-image-build.1"] {
        assert!(dir.join(page).exists(), "{page}");
    }
    assert!(home.ok(&["man"]).contains(".TH ragpod 1"));
}

#[test]
fn help_fits_a_screen() {
    let home = Home::new();
    let top = home.ok(&["--help"]);
    assert!(top.lines().count() <= 56, "{}", top.lines().count());
    for verb in ["create", "up", "down", "ingest", "query", "logs", "exec", "rm", "audit"] {
        let help = home.ok(&[verb, "--help"]);
        assert!(help.contains("Examples:"), "{verb}");
        assert!(help.lines().count() <= 50, "{verb}: {}", help.lines().count());
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
    home.fails(&["create", "demo", "--env-file", "/no/such/.env"], 1);
    assert!(!home.manifest("demo").exists());

    // Lines as Windows ends them are lines like others.
    std::fs::write(&file, b"TOP_K=40\r\nPOSTGRES_DB=\"specstory\"\r\n").unwrap();
    home.ok(&["create", "demo", "--env-file", file.to_str().unwrap()]);
    let text = std::fs::read_to_string(home.manifest("demo")).unwrap();
    assert!(
        text.contains("TOP_K = \"40\"\n") && text.contains("database = \"specstory\"\n"),
        "{text}"
    );
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
