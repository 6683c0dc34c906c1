//! The reference as a manual page and as Markdown.

use std::fmt::Write as _;

use roff::{Inline, Roff, bold, italic, roman};

use super::{ENV, Entry, Form, tables};

/// How a form is called.
fn form(form: Form) -> String {
    let words = |words: &[&str]| words.join(", ");
    match form {
        Form::Text => "a text".to_owned(),
        Form::Bool => "true or false".to_owned(),
        Form::Number(most) => format!("a number from 1 to {most}"),
        Form::Word(list) => format!("one of {}", words(list)),
        Form::List => "a list of texts".to_owned(),
        Form::Words(list) => format!("a list of {}", words(list)),
        Form::Secret => "a reference to a secret".to_owned(),
        Form::Table => "a table".to_owned(),
    }
}

fn default(entry: &Entry) -> String {
    match entry.default {
        "" => "It must be there".to_owned(),
        default => format!("Default: {default}"),
    }
}

/// A table's heading: sources can be several.
fn heading(table: &str) -> String {
    if table == "source" { "[[source]]".to_owned() } else { format!("[{table}]") }
}

/// The text with code in it (within backticks) as parts of a line.
fn inlines(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

/// `ragpod.toml(5)`: see man-pages(7).
#[must_use]
pub fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["ragpod.toml", "5", "", concat!("ragpod ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]);
    page.text([roman("ragpod.toml - the manifest of an instance")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic("$XDG_CONFIG_HOME/ragpod/instances/NAME.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text(inlines(
        "A manifest says what an instance is; `ragpod create` writes one, and `ragpod up` makes it \
         true. It is TOML, holds no secret and is meant to be kept under version control. Unknown \
         keys, wrong types and impossible values are refused with file, line and column, all at \
         once, before anything is touched. A '~' at the start of a path is the home directory.",
    ));
    for (table, entries) in tables() {
        page.control("SH", [heading(table).as_str()]);
        for entry in entries {
            let key = entry.key.split_once('.').map_or(entry.key, |(_, key)| key);
            page.control("TP", []);
            page.text([bold(key), roman(format!(" = {}", entry.example))]);
            page.text(inlines(entry.about));
            page.control("br", []);
            page.text([italic(format!("{}. {}.", sentence(&form(entry.form)), default(entry)))]);
        }
    }
    page.control("SH", ["[env]"]);
    page.text(inlines(ENV));
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("ragpod"),
        roman("(1), "),
        bold("ragpod-create"),
        roman("(1), "),
        bold("ragpod-up"),
        roman("(1), "),
        bold("systemd.time"),
        roman("(7), "),
        bold("podman-systemd.unit"),
        roman("(5)"),
    ]);
    page.render()
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The same for a reader of the repository.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# The manifest\n\nEach instance has one, `~/.config/ragpod/instances/NAME.toml`. This page is \
         made from the program's own table of keys, as `ragpod.toml(5)` is.\n",
    );
    for (table, entries) in tables() {
        let _ = write!(
            out,
            "\n## `{}`\n\n| key | value | default | what it is |\n|---|---|---|---|\n",
            heading(table)
        );
        for entry in entries {
            let key = entry.key.split_once('.').map_or(entry.key, |(_, key)| key);
            let default = if entry.default.is_empty() { "must be there" } else { entry.default };
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(
                out,
                "| `{key}` | {}, such as `{}` | {} | {} |",
                form(entry.form),
                cell(entry.example),
                cell(default),
                cell(entry.about)
            );
        }
    }
    let _ = write!(out, "\n## `[env]`\n\n{ENV}\n");
    out
}
