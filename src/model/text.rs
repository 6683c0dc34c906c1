//! Checked texts: what may stand in a manifest's values.

use std::fmt;
use std::str::FromStr;

/// A text that any program can be given: not empty, no control character, at most 4,096 bytes.
/// How it is written into a unit is the affair of `render::encode`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It has no character.
    #[error("it is empty")]
    Empty,
    /// It is longer than this many bytes.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// It holds a control character.
    #[error("it contains the control character {0:?}")]
    Control(char),
    /// It holds a character that this kind of text cannot have.
    #[error("{0:?} cannot be part of it; {1}")]
    BadCharacter(char, &'static str),
    /// Another rule, in words.
    #[error("{0}")]
    Rule(String),
}

impl FromStr for Text {
    type Err = TextError;

    fn from_str(s: &str) -> Result<Self, TextError> {
        if s.is_empty() {
            return Err(TextError::Empty);
        }
        if s.len() > 4096 {
            return Err(TextError::TooLong(4096));
        }
        if let Some(c) = s.chars().find(|c| c.is_control()) {
            return Err(TextError::Control(c));
        }
        Ok(Self(s.to_owned()))
    }
}

impl Text {
    /// One of ragpod's own, which needs no check.
    pub(super) fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvName(String);

impl FromStr for EnvName {
    type Err = TextError;

    fn from_str(s: &str) -> Result<Self, TextError> {
        const RULE: &str = "a variable's name has letters, digits and '_' and begins with no digit";
        let first = s.chars().next().ok_or(TextError::Empty)?;
        if s.len() > 128 {
            return Err(TextError::TooLong(128));
        }
        if let Some(c) = s.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_')) {
            return Err(TextError::BadCharacter(c, RULE));
        }
        if first.is_ascii_digit() {
            return Err(TextError::BadCharacter(first, RULE));
        }
        Ok(Self(s.to_owned()))
    }
}

impl EnvName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A PostgreSQL role or database name: `[a-z_][a-z0-9_]{0,62}`, so that it means the same quoted and
/// unquoted, and fits NAMEDATALEN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgIdent(String);

impl FromStr for PgIdent {
    type Err = TextError;

    fn from_str(s: &str) -> Result<Self, TextError> {
        const RULE: &str =
            "a database or role name has letters a-z, digits and '_' and begins with no digit";
        let first = s.chars().next().ok_or(TextError::Empty)?;
        if s.len() > 63 {
            return Err(TextError::TooLong(63));
        }
        if let Some(c) =
            s.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_'))
        {
            return Err(TextError::BadCharacter(c, RULE));
        }
        if first.is_ascii_digit() {
            return Err(TextError::BadCharacter(first, RULE));
        }
        if s.starts_with("pg_") || ["postgres", "template0", "template1"].contains(&s) {
            return Err(TextError::Rule(format!("{s:?} is PostgreSQL's own")));
        }
        Ok(Self(s.to_owned()))
    }
}

impl PgIdent {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PgIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An amount of memory in bytes, written as a number with an optional K, M, G or T (powers of
/// 1,024, as in systemd.resource-control(5)). At least 64 MiB: less kills what runs in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

impl Bytes {
    /// The amount in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = TextError;

    fn from_str(s: &str) -> Result<Self, TextError> {
        let bad =
            || TextError::Rule(format!("{s:?} is no amount of memory; write it like 512M or 2G"));
        let digits = s.trim_end_matches(['K', 'M', 'G', 'T']);
        let shift = match &s[digits.len()..] {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(bad()),
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad());
        }
        let bytes = digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(1 << shift))
            .filter(|n| *n <= 1 << 50)
            .ok_or_else(bad)?;
        if bytes < 64 << 20 {
            return Err(TextError::Rule(format!(
                "{s:?} is less than 64M, with which nothing would run"
            )));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes {
    /// As systemd reads it: the largest unit that divides it evenly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert!("a %\"$;' ü".parse::<Text>().is_ok());
        for bad in ["", "a\nb", "a\0b", "a\u{85}b", &"x".repeat(4097)] {
            assert!(bad.parse::<Text>().is_err());
        }
    }

    #[test]
    fn identifiers() {
        assert!("hybrid_rag2".parse::<PgIdent>().is_ok());
        for bad in ["", "A", "1a", "a-b", "postgres", "pg_x", "a\"", &"x".repeat(64)] {
            assert!(bad.parse::<PgIdent>().is_err(), "{bad}");
        }
        assert!("TOP_K".parse::<EnvName>().is_ok());
        for bad in ["", "1A", "A-B", "A=B", "A\n"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory() {
        assert_eq!("2G".parse::<Bytes>().unwrap().bytes(), 2 << 30);
        assert_eq!("2048M".parse::<Bytes>().unwrap().to_string(), "2G");
        assert_eq!("134217729".parse::<Bytes>().unwrap().to_string(), "134217729");
        for bad in
            ["", "G", "1.5G", "-1G", "2g", "2GB", "2 G", "1M", "99999999T", "18446744073709551616"]
        {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }
}
