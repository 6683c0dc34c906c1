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
