//! The documentation is what the code gives. Generated files (`docs/reference`, `docs/units`) are
//! compared with it: `RAGPOD_UPDATE_DOCS=1 cargo test --test docs` writes them anew. Of the pages
//! that people write, the links, the commands and the words that ragpod says are looked up.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod docs {
    pub mod commands;
    pub mod pages;
}

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use camino::Utf8Path;
use clap::CommandFactory;
use ragpod::cli::Cli;
use ragpod::manifest::{self, reference};
use ragpod::render::{Target, render};

use docs::commands::{self, Shown};
use docs::pages::{self, Page};

fn current(file: &str, text: &str) {
    let path = Path::new("docs").join(file);
    if std::env::var_os("RAGPOD_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "{} is not what the code gives: RAGPOD_UPDATE_DOCS=1 cargo test --test docs",
        path.display()
    );
}

#[test]
fn the_manifest() {
    current("reference/manifest.md", &reference::markdown());
}

#[test]
fn the_schema() {
    let mut text = serde_json::to_string_pretty(&reference::schema()).unwrap();
    text.push('\n');
    current("reference/manifest.schema.json", &text);
}

#[test]
fn the_commands() {
    let mut command = Cli::command().term_width(90);
    command.build();
    let mut text = String::from(
        "# The commands\n\nWhat `ragpod help` and `ragpod help COMMAND` print, without the options that all have; the manual pages say the \
         same.\n",
    );
    tell(&mut text, &mut command, "ragpod");
    current("reference/commands.md", &text);
}

fn tell(text: &mut String, command: &mut clap::Command, name: &str) {
    let mut help = command.clone().bin_name(name).term_width(90).render_help().to_string();
    // The options of all verbs stand once, at the top.
    if name != "ragpod" {
        help.truncate(help.find("\nGlobal options:").unwrap_or(help.len()));
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if !after.is_empty() {
            let _ = write!(help, "\n{after}\n");
        }
    }
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end());
    let verbs: Vec<String> = command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .collect();
    for verb in verbs {
        let verb_name = format!("{name} {verb}");
        tell(text, command.find_subcommand_mut(&verb).unwrap(), &verb_name);
    }
}

/// The units of the example are those of its manifest, and no others lie there.
#[test]
fn the_example_units() {
    let text = std::fs::read_to_string("docs/units/notes.toml").unwrap();
    let instance = manifest::parse(&text, "notes.toml", Utf8Path::new("/home/you"))
        .unwrap_or_else(|problems| panic!("{}", manifest::Problem::into_error(&problems)));
    let units = render(&instance, &Target::default()).unwrap();
    let mut wanted = BTreeSet::from(["notes.toml".to_owned()]);
    for (file, text) in units.iter() {
        current(&format!("units/{file}"), text);
        wanted.insert(file.to_owned());
    }
    let there: BTreeSet<String> = std::fs::read_dir("docs/units")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, wanted, "remove what the manifest does not give");
}

/// Manifests, or parts of them, that pages show are right.
#[test]
fn manifests_that_are_shown() {
    let mut seen = 0;
    for page in pages::written() {
        for block in page.blocks("toml") {
            seen += 1;
            // A part: what is missing is added.
            let mut text = block.clone();
            for (section, lines) in
                [("[instance]", "name = \"notes\""), ("[[source]]", "path = \"~/notes\"")]
            {
                if !text.contains(section) {
                    let _ = write!(text, "\n{section}\n{lines}\n");
                }
            }
            if let Err(problems) = manifest::parse(&text, &page.path, Utf8Path::new("/home/you")) {
                panic!("{}: {}", page.path, manifest::Problem::into_error(&problems));
            }
        }
    }
    assert!(seen >= 4, "only {seen}");
}

#[test]
fn links() {
    let mut bad = Vec::new();
    let mut seen = 0;
    for page in pages::all() {
        for link in page.links() {
            seen += 1;
            if let Err(why) = page.follow(&link) {
                bad.push(format!("{}: {link}: {why}", page.path));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(seen > 60, "only {seen}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = Page::read("docs/README.md");
    let links: BTreeSet<String> =
        index.links().into_iter().map(|l| l.split('#').next().unwrap().to_owned()).collect();
    for page in pages::all() {
        if let Some(name) = page.path.strip_prefix("docs/").filter(|n| *n != "README.md") {
            assert!(links.contains(name), "{name} is not in docs/README.md");
        }
    }
}

/// Each command that a page shows is one that the command line takes: verb, options and values.
#[test]
fn commands_that_are_shown() {
    let mut bad = Vec::new();
    let mut seen = BTreeSet::new();
    for page in pages::written() {
        for Shown { line, whole } in commands::of(&page) {
            if let Err(why) = commands::taken(&line, whole) {
                bad.push(format!("{}: {line}: {why}", page.path));
            }
            seen.insert(line);
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(seen.len() > 100, "only {}", seen.len());
}

#[test]
fn what_is_wrong_with_a_command_is_seen() {
    for (line, whole) in [
        ("ragpod frobnicate notes", false),
        ("ragpod up --frobnicate notes", false),
        ("ragpod create notes --provider frobnicator", true),
        ("ragpod clone notes", true),
        ("ragpod provider frobnicate notes", false),
        ("ragpod query notes 'why' --mode frobnicating", true),
    ] {
        assert!(commands::taken(line, whole).is_err(), "{line}");
    }
    for (line, whole) in [
        ("ragpod clone", false),
        ("ragpod rm NAME…", true),
        ("ragpod query --on notes,work \"…\"", true),
        ("ragpod up NAME --timeout 15min", true),
        ("ragpod mcp NAME", true),
    ] {
        assert_eq!(commands::taken(line, whole), Ok(()), "{line}");
    }
}

/// Every verb that people type is shown somewhere beside the reference.
#[test]
fn no_verb_is_forgotten() {
    let shown: BTreeSet<String> = pages::written()
        .iter()
        .flat_map(commands::of)
        .flat_map(|s| s.line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        assert!(name == "help" || shown.contains(name), "no page shows `ragpod {name}`");
    }
}

/// What troubleshooting.md has people look for is what ragpod says.
#[test]
fn words_that_are_looked_for() {
    let page = Page::read("docs/troubleshooting.md");
    let sources = pages::sources();
    let mut bad = Vec::new();
    let mut seen = 0;
    for cell in page.first_cells() {
        // What another program says is told to be that.
        if cell.contains("(systemctl)") {
            continue;
        }
        for said in pages::inline(&cell).filter(|s| s.contains(' ') && !commands::is_command(s)) {
            seen += 1;
            let missing = pages::fragments(&said).find(|part| !sources.contains(part));
            if let Some(part) = missing {
                bad.push(format!("{said:?}: nothing says {part:?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(seen > 40, "only {seen}");
}

/// Each check of doctor and of audit is explained, and nothing else is.
#[test]
fn checks_are_explained() {
    let doctor = pages::check_ids("src/host/checks.rs", "src/host/checks");
    let page = Page::read("docs/troubleshooting.md");
    assert_eq!(page.ids_below("## Each check of doctor"), doctor);
    let audit = pages::check_ids("src/ops/audit/mod.rs", "src/ops/audit");
    let page = Page::read("docs/security.md");
    assert_eq!(page.ids_below("## How it is proved"), audit);
}

/// Each module has its line, and each file of `ops`, which has most of them.
#[test]
fn modules_have_a_room() {
    let text = std::fs::read_to_string("ARCHITECTURE.md").unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    for dir in ["src", "src/ops"] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let module = name.trim_end_matches(".rs");
            let named = |row: &&&str| {
                row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{module}`")))
            };
            assert!(
                ["main", "lib", "mod"].contains(&module) || rows.iter().any(|row| named(&row)),
                "ARCHITECTURE.md has no line for {dir}/{name}"
            );
        }
    }
}
