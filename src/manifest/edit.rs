//! A manifest's text with a few values exchanged; everything else, comments too, stays as it is.

use toml_edit::{DocumentMut, value};

use crate::model::Name;

/// The text with another instance's name; `None` when it is no TOML, or has no `[instance]`.
#[must_use]
pub fn renamed(text: &str, name: &Name) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let entry = document.get_mut("instance")?.as_table_like_mut()?.get_mut("name")?;
    put(entry, name.as_str());
    Some(document.to_string())
}

/// The text with other folders for its sources: `place` gives another path for a path as it is
/// written, or leaves it. `None` when it is no TOML.
#[must_use]
pub fn with_sources(
    text: &str,
    mut place: impl FnMut(usize, &str) -> Option<String>,
) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let exchange = |index: usize,
                    entry: &mut toml_edit::Item,
                    place: &mut dyn FnMut(usize, &str) -> Option<String>| {
        let Some(path) = entry.as_str().map(str::to_owned) else { return };
        if let Some(other) = place(index, &path) {
            put(entry, &other);
        }
    };
    match document.get_mut("source") {
        Some(toml_edit::Item::ArrayOfTables(tables)) => {
            for (index, table) in tables.iter_mut().enumerate() {
                if let Some(entry) = table.get_mut("path") {
                    exchange(index, entry, &mut place);
                }
            }
        }
        Some(toml_edit::Item::Value(toml_edit::Value::Array(tables))) => {
            for (index, table) in tables.iter_mut().enumerate() {
                let Some(table) = table.as_inline_table_mut() else { continue };
                let Some(path) = table.get("path").and_then(|p| p.as_str()) else { continue };
                if let Some(other) = place(index, path) {
                    table.insert("path", other.into());
                }
            }
        }
        _ => {}
    }
    Some(document.to_string())
}

/// Another text in a value's place, with the comment beside it.
fn put(entry: &mut toml_edit::Item, text: &str) {
    let decor = entry.as_value().map(|old| old.decor().clone());
    *entry = value(text);
    if let (Some(new), Some(decor)) = (entry.as_value_mut(), decor) {
        *new.decor_mut() = decor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_alone_is_exchanged() {
        let text = "# mine\n[instance]\nname = 'old'   # that one\nautostart = false\n\n[env]\nX = \"old\"\n";
        let new = renamed(text, &"new".parse().unwrap()).unwrap();
        assert_eq!(new, text.replace("'old'", "\"new\""));
        let inline = "instance = { name = \"old\" }\n";
        let new = renamed(inline, &"new".parse().unwrap()).unwrap();
        assert_eq!(new, inline.replace("old", "new"));
        assert_eq!(renamed("[instance", &"new".parse().unwrap()), None);
        assert_eq!(renamed("", &"new".parse().unwrap()), None);
    }

    #[test]
    fn sources_get_other_folders() {
        let text =
            "[[source]]\npath = \"~/a\" # first\npattern = \"*.md\"\n[[source]]\npath = \"/b\"\n";
        let place = |i: usize, p: &str| (p == "/b").then(|| format!("/else/{i}"));
        assert_eq!(with_sources(text, place).unwrap(), text.replace("/b", "/else/1"));
        let inline = "source = [{ path = \"/b\" }, { path = \"/c\" }]\n";
        assert_eq!(with_sources(inline, place).unwrap(), inline.replace("/b", "/else/0"));
        assert_eq!(with_sources("x = 1\n", place).unwrap(), "x = 1\n");
    }
}
