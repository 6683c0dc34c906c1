//! What must hold of any input, whoever made it up: the fuzzer, or the corpus that it left.
//!
//! Each function panics when it does not hold.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use camino::Utf8Path;
use ragpod::manifest::{self, New, Problem, env_file};
use ragpod::model::{Instance, Name, PodmanVersion};
use ragpod::render::{Target, render};

/// What is checked of an input.
pub type Check = fn(&[u8]);

/// The targets by name: each has a folder of that name in the corpus.
pub const TARGETS: &[(&str, Check)] =
    &[("manifest", manifest), ("env_file", env_file), ("arguments", arguments)];

const HOME: &str = "/home/user";

/// A manifest is either refused, each problem with its place, or can be rendered for every Podman.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match manifest::parse(text, "fuzz", Utf8Path::new(HOME)) {
        Ok(instance) => rendered(&instance),
        Err(problems) => told(&problems, text),
    }
}

/// An env file is either refused, or what it holds can be written into a manifest.
pub fn env_file(data: &[u8]) {
    let vars = match env_file::parse(data, "fuzz.env") {
        Ok(vars) => vars,
        Err(problems) => return told(&problems, &String::from_utf8_lossy(data)),
    };
    let split = env_file::split(vars);
    let mut new = named();
    for (key, value) in &split.settings {
        new.set_text(key, value);
    }
    for (name, value) in split.env {
        new.env(name, value);
    }
    if let Some(path) = split.source {
        new.source(path, None);
    }
    written(&new);
}

/// Lines as arguments of `create`: `--set` where there is a `=`, else `--source`. Whatever is taken
/// can be written into a manifest.
pub fn arguments(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut new = named();
    // 0x1e stands for a newline inside of an argument.
    for line in text.split('\n').take(64) {
        let argument = line.replace('\u{1e}', "\n");
        let taken = match argument.strip_prefix("source ") {
            Some(source) => new.source_arg(source),
            None => new.set_arg(&argument),
        };
        if let Err(error) = taken {
            assert_eq!(error.kind.exit_code(), 2, "{argument:?}: {error}");
            assert!(!error.hints().is_empty(), "{argument:?}: {error}");
        }
    }
    written(&new);
}

fn named() -> New {
    let name: Name = "fuzz".parse().expect("a name");
    New::named(name)
}

/// The new manifest is a manifest: its values may be wrong, but it is read as what was meant.
fn written(new: &New) {
    let text = manifest::template(new);
    match manifest::parse(&text, "fuzz.toml", Utf8Path::new(HOME)) {
        Ok(instance) => rendered(&instance),
        Err(problems) => {
            told(&problems, &text);
            let broken = problems.iter().find(|p| p.key.is_empty());
            // Too long, it is refused; but it is never what TOML cannot read.
            assert!(broken.is_none_or(|p| p.message.contains("1 MiB")), "{broken:?} in\n{text}");
        }
    }
}

pub fn told(problems: &[Problem], text: &str) {
    assert!(!problems.is_empty(), "refused, and nobody says why");
    let lines = text.matches('\n').count() + 1;
    for problem in problems {
        assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem:?}");
        assert!(!problem.message.is_empty(), "{problem:?}");
    }
    assert_eq!(Problem::into_error(problems).kind.exit_code(), 2);
}

/// What a manifest may say can be encoded, and begins no line of its own.
fn rendered(instance: &Instance) {
    for podman in [PodmanVersion::OLDEST, PodmanVersion::ASSUMED, PodmanVersion::new(6, 1, 0)] {
        let units = match render(instance, &Target { podman, ..Target::default() }) {
            Ok(units) => units,
            Err(error) => panic!("a checked manifest is refused: {error} {:?}", error.causes),
        };
        assert_eq!(units.len(), instance.parts().len());
        for (file, text) in units.iter() {
            let control = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(control, None, "{file}");
        }
    }
}
