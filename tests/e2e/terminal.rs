//! What ragpod does on a terminal: `terminal.py` is at the keyboard.

use serde_json::{Value, json};

use crate::host::{run, run_with, shared, wait};
use crate::{host::Instance, standin};

/// Runs ragpod on a terminal; gives what `terminal.py` prints.
#[track_caller]
pub fn at_terminal(steps: &Value, args: &[&str]) -> Value {
    let place = "ragpod-e2e/terminal.py";
    let write = "mkdir -p ragpod-e2e; cat > ragpod-e2e/terminal.py";
    run_with(&["bash", "-euc", write], include_bytes!("terminal.py")).ok();
    let steps = steps.to_string();
    let ran = run(&[&["python3", place, &steps, "ragpod"], args].concat()).ok().json();
    assert_eq!(ran["missing"], Value::Null, "{}", ran["screen"].as_str().unwrap_or_default());
    ran
}

const TEXT: &str = "# Codes\n\nThe launch code of the red team is marmalade.\n";

#[test]
fn a_prompt_with_history_modes_and_sources() {
    let _host = shared();
    let one = Instance::create("e2e-eng-talk", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let ran = at_terminal(
        &json!([
            ["expect", "hybrid> "],
            ["type", ":sources on\r"],
            ["expect", "hybrid> "],
            ["type", ":mode naive\r"],
            ["expect", "naive> "],
            ["type", "What is the launch code?\r"],
            ["expect", "marmalade"],
            ["expect", "/data/projects/a.md"],
            ["expect", "naive> "],
            ["type", ":mode no\r"],
            ["expect", "one of local"],
            // Ctrl-C on a line that is not sent forgets it.
            ["expect", "naive> "],
            ["type", "half a question"],
            ["expect", "half a question"],
            // Python hears a signal only once it waits for the next key.
            ["sleep", "0.5"],
            ["type", "\u{3}"],
            ["expect", "naive> "],
            ["type", "\u{4}"],
        ]),
        &["interactive", "e2e-eng-talk"],
    );
    assert_eq!(ran["code"], 0, "{ran}");
    // The next session knows what was asked: two lines up.
    let again = at_terminal(
        &json!([
            ["expect", "hybrid> "],
            ["type", "\u{1b}[A\u{1b}[A"],
            ["expect", "What is the launch code?"],
            ["type", "\r"],
            ["expect", "marmalade"],
            ["expect", "hybrid> "],
            ["type", ":quit\r"],
        ]),
        &["interactive", "e2e-eng-talk"],
    );
    assert_eq!(again["code"], 0, "{again}");
}

#[test]
fn answers_come_word_by_word_and_can_be_given_up() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let options =
        standin::options_with_model("openai-compatible", "http://api.test/v1", "slow-word");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let one = Instance::create_with("e2e-eng-word", &[("a.md", TEXT)], &options);
    one.up();
    one.ragpod("ingest", &[]).ok();
    let ran = at_terminal(
        &json!([["expect", "The stand-in"], ["expect", "marmalade"], ["expect", "a.md"]]),
        &["query", "e2e-eng-word", "What is the launch code of the red team?", "--sources"],
    );
    assert_eq!(ran["code"], 0, "{ran}");
    let times: Vec<f64> =
        ran["times"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
    assert!(times[1] - times[0] > 1.0, "the words came at once: {ran}");
    // Elsewhere than on a terminal the answer comes as a whole.
    let whole = one.ragpod("query", &["What is the launch code of the blue team?"]).ok();
    assert!(whole.out.starts_with("The stand-in says:"), "{whole}");

    let before = standin::requests();
    let ran = at_terminal(
        &json!([
            ["expect", "hybrid> "],
            ["type", "What is the launch code of the green team?\r"],
            ["expect", "The stand-in"],
            ["type", "\u{3}"],
            ["expect", "(given up)"],
            ["expect", "hybrid> "],
            ["type", "\u{4}"],
        ]),
        &["interactive", "e2e-eng-word"],
    );
    assert_eq!(ran["code"], 0, "{ran}");
    assert!(standin::since(&before).contains("/v1/chat/completions"));
    cut("slow-word", &before);

    // Ctrl-C in a question that is asked by itself.
    let before = standin::requests();
    let ran = at_terminal(
        &json!([["expect", "The stand-in"], ["type", "\u{3}"]]),
        &["query", "e2e-eng-word", "What is the launch code of the black team?"],
    );
    assert_ne!(ran["code"], 0, "{ran}");
    assert!(!ran["screen"].as_str().unwrap().contains("marmalade"), "{ran}");
    cut("slow-word", &before);
    // Whoever kills it cuts the stream as well.
    let before = standin::requests();
    let ran = at_terminal(
        &json!([["expect", "The stand-in"], ["signal", "9"]]),
        &["query", "e2e-eng-word", "What is the launch code of the white team?"],
    );
    assert_eq!(ran["code"], -9, "{ran}");
    cut("slow-word", &before);
    assert!(one.ask("What is the launch code?")["answer"].is_string());
}

/// The provider saw that nobody wanted the rest of a model's stream.
#[track_caller]
fn cut(model: &str, before: &str) {
    let line = format!("cut {model}");
    wait("the stream is cut", 10, || standin::since(before).lines().any(|l| l == line));
}
