//! The units of an instance, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Quadlet files by name, with the text of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitSet(BTreeMap<String, String>);

impl UnitSet {
    /// A set of files.
    #[must_use]
    pub fn new(files: BTreeMap<String, String>) -> Self {
        Self(files)
    }

    /// The files in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The files' names in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The text of a file.
    #[must_use]
    pub fn get(&self, file: &str) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The SHA-256 of a file's text, in hexadecimal.
    #[must_use]
    pub fn hash(&self, file: &str) -> Option<String> {
        self.get(file).map(|text| hex(&Sha256::digest(text.as_bytes())))
    }

    /// The files by name.
    #[must_use]
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The SHA-256 of each file's text, in hexadecimal, by the file's name.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(f, text)| (f.clone(), hex(&Sha256::digest(text)))).collect()
    }

    /// The SHA-256 of the whole: of every name and every text.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, text) in &self.0 {
            // Lengths first, so that no two sets have the same bytes.
            for part in [name, text] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hex(&hasher.finalize())
    }
}

impl IntoIterator for UnitSet {
    type Item = (String, String);
    type IntoIter = std::collections::btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(String, String)> for UnitSet {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
