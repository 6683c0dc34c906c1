//! The encoders against a model of their readers: the generator, then systemd.

use proptest::prelude::*;

use super::super::encode::{Bare, IsBare, IsLine, IsRaw, IsWords, Line, Plain, Raw, Words};

#[path = "../../../tests/quadlet/argv.rs"]
mod argv;

/// Texts in which what is special is common.
fn nasty() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\"",
        "'",
        "\\",
        "%",
        "%%",
        "%n",
        "$",
        "$$",
        "$HOME",
        "${HOME}",
        ";",
        "#",
        " ",
        "\t",
        "\n",
        "\r",
        "=",
        ",",
        ":",
        "[",
        "]",
        "\\x41",
        "\\n",
        "é",
        "日",
        "🦀",
        "\u{1}",
        "\u{7f}",
        "[Service]",
        "ExecStartPre=",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
    ]);
    prop::collection::vec(
        prop_oneof![3 => special.prop_map(str::to_owned), 1 => any::<String>()],
        0..12,
    )
    .prop_map(|parts| parts.concat())
}

/// Such texts without control characters, as all checked texts are.
fn nasty_text() -> impl Strategy<Value = String> {
    nasty().prop_map(|text| text.chars().filter(|c| !c.is_control()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_word_is_read_as_it_was(text in nasty()) {
        match Words::one("f", &text) {
            Ok(encoded) => {
                let line = encoded.words();
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
                prop_assert!(line.ends_with('"'));
                prop_assert_eq!(argv::of_exec(line), Some(vec![text]));
            }
            Err(refused) => {
                prop_assert_eq!(refused.field, "f");
                let c1 = |c: char| c == '\0' || ('\u{80}'..='\u{9f}').contains(&c);
                prop_assert!(text.is_empty() || text == ";" || text.chars().any(c1), "{text:?}");
            }
        }
    }

    #[test]
    fn words_beside_each_other_stay_apart(a in nasty(), b in nasty()) {
        if let (Ok(x), Ok(y)) = (Words::one("f", &a), Words::one("f", &b)) {
            let line = format!("{} {}", x.words(), y.words());
            prop_assert_eq!(argv::of_exec(&line), Some(vec![a, b]));
        }
    }

    #[test]
    fn fields_of_a_mount_are_read_as_they_were(a in nasty_text(), b in nasty_text()) {
        let fields = [format!("source={a}"), format!("destination={b}")];
        let encoded = Words::csv("f", &[&fields[0], &fields[1]]).unwrap();
        let words = argv::of_exec(encoded.words()).unwrap();
        prop_assert_eq!(words.len(), 1);
        prop_assert_eq!(argv::of_csv(&words[0]), Some(fields.to_vec()));
    }

    #[test]
    fn a_raw_value_is_read_as_it_was(text in nasty()) {
        if let Ok(encoded) = Raw::one("f", &text) {
            let line = encoded.raw();
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert_eq!(line.trim(), line);
            prop_assert!(!line.ends_with('\\'));
            // Old versions strip quotes at either end: there are none.
            prop_assert_eq!(line.trim_matches('"'), line);
            prop_assert_eq!(argv::expand(line), Some(text));
        } else {
            let unfit = |t: &str| {
                t.is_empty() || t.contains(char::is_control) || t.trim() != t
                    || t.starts_with('"') || t.ends_with(['"', '\\'])
            };
            prop_assert!(unfit(&text), "{text:?}");
        }
    }

    #[test]
    fn a_command_is_read_as_it_was(words in prop::collection::vec(nasty(), 2..5)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Ok(encoded) = Raw::command("f", &words) {
            let json = argv::expand(encoded.raw()).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), words);
        }
    }

    #[test]
    fn a_bare_word_is_one_word(text in nasty()) {
        if let Ok(encoded) = Bare::one("f", &text) {
            prop_assert_eq!(argv::of_exec(encoded.bare()), Some(vec![text]));
        }
    }

    #[test]
    fn a_line_stays_one_line(text in nasty()) {
        if let Ok(encoded) = Line::one("f", &text) {
            prop_assert!(!encoded.line().contains(char::is_control));
            prop_assert_eq!(encoded.line().replace("%%", "%"), text);
        }
    }
}

#[test]
fn refusals_name_the_field() {
    let refused = Raw::one("engine.image", "a\nExecStartPre=/bin/false").unwrap_err();
    assert_eq!(refused.to_string(), "engine.image: it contains the control character '\\n'");
    let error: crate::error::Error = refused.into();
    assert_eq!(error.kind.exit_code(), 2);
    for bad in ["", " a", "a ", "\"a", "a\"", "a\\", "a\u{85}b", "a\0"] {
        assert!(Raw::one("f", bad).is_err(), "{bad:?}");
    }
    for bad in ["", "a b", "a\\", "a'b", "a;"] {
        assert!(Bare::one("f", bad).is_err(), "{bad:?}");
    }
    assert!(Raw::command("f", &["true"]).is_err());
    assert!(Words::pair("f", "", "x").is_err());
    assert!(Words::pair("f", "a=b", "x").is_err());
    assert!(Plain::one("f", "a%b").is_err());
}

/// The second line of defence, should a template print what was not encoded.
#[test]
fn the_escaper_refuses_what_could_begin_a_line() {
    use askama::filters::Escaper;
    let mut out = String::new();
    assert!(super::super::filters::Strict.write_escaped_str(&mut out, "a\nb").is_err());
    assert!(super::super::filters::Strict.write_escaped_str(&mut out, "a%b").is_ok());
    assert_eq!(out, "a%b");
}
