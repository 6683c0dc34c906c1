//! `[[source]]`: which folders can be mounted, and where.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::path::expand;
use super::problem::{At, Log};
use super::raw::RawSource;
use super::resolve::parsed;
use crate::model::{FIRST_SOURCE, MORE_SOURCES, Source, Text};

pub(super) fn resolve(raw: &[RawSource], home: &Utf8Path, log: &Log<'_>) -> Option<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    let mut names = BTreeSet::new();
    let mut good = true;
    for (index, raw) in raw.iter().enumerate() {
        let path = path(raw, home, log);
        let pattern = pattern(raw, log);
        let mount = match &path {
            _ if index == 0 => first_mount(raw, log),
            Ok(path) => mount(raw, path, &mut names, log),
            Err(()) => Err(()),
        };
        let (Ok(path), Ok(pattern), Ok(mount)) = (path, pattern, mount) else {
            good = false;
            continue;
        };
        if sources.iter().any(|s| s.path == path) {
            let at = raw.path.as_ref().map_or(raw.at, |p| p.at);
            log.add(at, "source.path", format!("{path} is listed twice"), None);
            good = false;
            continue;
        }
        sources.push(Source { path, pattern, mount });
    }
    good.then_some(sources)
}

fn path(raw: &RawSource, home: &Utf8Path, log: &Log<'_>) -> Result<Utf8PathBuf, ()> {
    const KEY: &str = "source.path";
    let Some(field) = &raw.path else {
        if raw.present.contains("path") {
            return Err(());
        }
        let hint = "write path = \"/folder\" under [[source]]".to_owned();
        log.add(raw.at, KEY, "it is missing", Some(hint));
        return Err(());
    };
    expand(field, KEY, home, log)
}

fn pattern(raw: &RawSource, log: &Log<'_>) -> Result<Option<Text>, ()> {
    const KEY: &str = "source.pattern";
    let pattern = parsed::<Text>(raw.pattern.as_ref(), KEY, log)?;
    if let (Some(pattern), Some(field)) = (&pattern, &raw.pattern) {
        if pattern.as_str().starts_with('/') {
            let hint = "a pattern is relative to its source: **/*.md".to_owned();
            log.add(field.at, KEY, "it begins with /", Some(hint));
            return Err(());
        }
        if pattern.as_str().split('/').any(|part| part == "..") {
            log.add(field.at, KEY, "it leaves its source with ..", None);
            return Err(());
        }
        if let Some(open) = unclosed(pattern.as_str()) {
            let hint = BRACKETS.to_owned();
            log.add(field.at, KEY, format!("its '{open}' is not closed"), Some(hint));
            return Err(());
        }
    }
    Ok(pattern)
}

/// What to say of such a glob.
pub(crate) const BRACKETS: &str =
    "write it like *.{md,txt} or [a-c]*.md; a bracket itself is [[] or [{]";

/// The bracket that a glob opens and does not close. The engine would take it as a character, and
/// find nothing.
pub(crate) fn unclosed(pattern: &str) -> Option<char> {
    let mut rest = pattern;
    let mut braces = 0_usize;
    while let Some(at) = rest.find(['[', '{', '}']) {
        let (_, from) = rest.split_at(at);
        rest = from.get(1..).unwrap_or_default();
        match from.chars().next() {
            // A set has at least one character, which may be the one that ends it.
            Some('[') => {
                let end = rest.char_indices().skip(1).find(|(_, c)| *c == ']');
                let Some((end, _)) = end else { return Some('[') };
                rest = rest.get(end..).unwrap_or_default();
            }
            Some('{') => braces += 1,
            _ => braces = braces.saturating_sub(1),
        }
    }
    (braces > 0).then_some('{')
}

fn first_mount(raw: &RawSource, log: &Log<'_>) -> Result<Utf8PathBuf, ()> {
    if let Some(name) = &raw.name {
        check_name(name, log)?;
    }
    Ok(FIRST_SOURCE.into())
}

fn mount(
    raw: &RawSource,
    path: &Utf8Path,
    names: &mut BTreeSet<String>,
    log: &Log<'_>,
) -> Result<Utf8PathBuf, ()> {
    let name = match &raw.name {
        Some(name) => check_name(name, log)?,
        None => default_name(path),
    };
    let hint = || Some("give it a name of its own: name = \"notes\"".to_owned());
    if name.is_empty() {
        let message = format!("no folder name can be made of {path}");
        log.add(raw.at, "source.name", message, hint());
        return Err(());
    }
    if !names.insert(name.clone()) {
        let at = raw.name.as_ref().map_or(raw.at, |n| n.at);
        let message = format!("two sources would be mounted at {MORE_SOURCES}/{name}");
        log.add(at, "source.name", message, hint());
        return Err(());
    }
    Ok(Utf8Path::new(MORE_SOURCES).join(name))
}

fn check_name(name: &At<String>, log: &Log<'_>) -> Result<String, ()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    let text = name.value.as_str();
    if text.is_empty() || text.len() > 64 || !text.chars().all(good) || text.starts_with('.') {
        let message = format!(
            "{text:?} is no folder name: 1 to 64 of a-z, 0-9, '-', '.', '_', not first '.'"
        );
        log.add(name.at, "source.name", message, None);
        return Err(());
    }
    Ok(text.to_owned())
}

/// The last component as `[a-z0-9-._]`: everything else becomes `-`.
fn default_name(path: &Utf8Path) -> String {
    let mut name = String::new();
    for c in path.file_name().unwrap_or_default().chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c) {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(64);
    name.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_that_are_not_closed() {
        for good in ["**/*.md", "*.{md,txt}", "[a-c]*", "[]]x", "[!]]", "a]b}", "{a,{b,c}}", "[{]x"]
        {
            assert_eq!(unclosed(good), None, "{good}");
        }
        for bad in ["[a", "x[", "[]", "ü[ü"] {
            assert_eq!(unclosed(bad), Some('['), "{bad}");
        }
        for bad in ["*.{md,txt", "{a,{b}", "[a]{"] {
            assert_eq!(unclosed(bad), Some('{'), "{bad}");
        }
    }
}
