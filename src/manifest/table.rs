//! A table of the manifest, read key by key: each value of the right type and with its place.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::keys;
use super::problem::{At, Log};
use super::raw::{Field, Present};

/// What a value is, for "it is …".
pub(super) fn said(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A table that is read key by key. What was not asked for is unknown.
pub(super) struct Table<'a, 'i> {
    section: &'static str,
    pub(super) keys: Option<&'a DeTable<'i>>,
    /// Where it stands; 0 when it is missing.
    pub(super) at: usize,
    asked: BTreeSet<&'static str>,
    log: &'a Log<'a>,
}

impl<'a, 'i> Table<'a, 'i> {
    pub(super) fn new(
        section: &'static str,
        keys: Option<&'a DeTable<'i>>,
        at: usize,
        log: &'a Log<'a>,
    ) -> Self {
        Self { section, keys, at, asked: BTreeSet::new(), log }
    }

    /// A table of the document; none when it is missing or no table.
    pub(super) fn top(document: &'a DeTable<'i>, section: &'static str, log: &'a Log<'a>) -> Self {
        match document.get_key_value(section) {
            None => Self::new(section, None, 0, log),
            Some((key, value)) => match value.get_ref() {
                DeValue::Table(table) => Self::new(section, Some(table), key.span().start, log),
                other => {
                    let hint = format!("write it as a table: [{section}]");
                    let message = format!("it is {}", said(other));
                    log.add(value.span().start, section, message, Some(hint));
                    Self::new(section, None, key.span().start, log)
                }
            },
        }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a toml::Spanned<DeValue<'i>>> {
        self.asked.insert(key);
        self.keys?.get(key)
    }

    fn wrong(&self, key: &str, at: usize, found: &str, expected: &str) {
        let key = format!("{}.{key}", self.section);
        self.log.add(at, &key, format!("it is {found}; expected {expected}"), None);
    }

    pub(super) fn text(&mut self, key: &'static str, expected: &str) -> Field<String> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At::new(text.to_string(), &value.span())),
            other => {
                self.wrong(key, value.span().start, said(other), expected);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Field<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(b) => Some(At::new(*b, &value.span())),
            other => {
                self.wrong(key, value.span().start, said(other), "true or false, without quotes");
                None
            }
        }
    }

    pub(super) fn integer(&mut self, key: &'static str, expected: &str) -> Field<i64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok(),
            other => {
                self.wrong(key, value.span().start, said(other), expected);
                return None;
            }
        };
        if number.is_none() {
            self.wrong(key, value.span().start, "too large a number", expected);
        }
        Some(At::new(number?, &value.span()))
    }

    pub(super) fn texts(&mut self, key: &'static str, expected: &str) -> Field<Vec<At<String>>> {
        let value = self.get(key)?;
        let DeValue::Array(entries) = value.get_ref() else {
            self.wrong(key, value.span().start, said(value.get_ref()), expected);
            return None;
        };
        let mut texts = Vec::new();
        for entry in entries {
            match entry.get_ref() {
                DeValue::String(text) => texts.push(At::new(text.to_string(), &entry.span())),
                other => {
                    self.wrong(key, entry.span().start, said(other), expected);
                }
            }
        }
        Some(At::new(texts, &value.span()))
    }

    /// A table within this one; `section` is its dotted name.
    pub(super) fn table(&mut self, key: &'static str, section: &'static str) -> Option<Self> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Self::new(section, Some(table), value.span().start, self.log))
            }
            other => {
                let expected = format!("a table: [{section}]");
                self.wrong(key, value.span().start, said(other), &expected);
                None
            }
        }
    }

    /// `{ secret = "KEY" }`. Whatever else stands there may be the secret itself, and is not
    /// repeated.
    pub(super) fn secret(&mut self, key: &'static str) -> Field<String> {
        const EXPECTED: &str = "a reference, never the key itself: { secret = \"api-key\" }";
        let value = self.get(key)?;
        if let DeValue::Table(table) = value.get_ref()
            && let Some(name) = table.get("secret")
            && let DeValue::String(text) = name.get_ref()
            && table.len() == 1
        {
            return Some(At::new(text.to_string(), &name.span()));
        }
        self.wrong(key, value.span().start, said(value.get_ref()), EXPECTED);
        None
    }

    /// Reports what nobody asked for; the keys that were asked for and are there.
    pub(super) fn end(&self) -> Present {
        for (key, _) in self.keys.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(name) {
                self.log.add(
                    key.span().start,
                    &format!("{}.{name}", self.section),
                    "there is no such key",
                    Some(keys::suggest(self.section, name)),
                );
            }
        }
        let there = |key: &&'static str| self.keys.is_some_and(|keys| keys.contains_key(*key));
        self.asked.iter().copied().filter(there).collect()
    }
}
