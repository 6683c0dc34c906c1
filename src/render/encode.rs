//! Encoding: how a value is written so that Podman's generator and then systemd read exactly it.
//!
//! A line of a unit is read by the generator's file parser, by the generator according to the
//! key's class, and, as a part of `ExecStart=`, by systemd, which resolves quotes, `%` and `$`.
//! The classes are Podman's (`pkg/systemd/parser`, `pkg/systemd/quadlet`):
//!
//! | class | keys | how they are read |
//! |---|---|---|
//! | [`Words`] | `Environment Label Mount Secret PodmanArgs Exec Options` | split at blanks, quotes removed, C escapes resolved |
//! | [`Bare`] | `DropCapability AddCapability Sysctl LogOpt`, `[Install]` | split, quotes removed, backslash literal |
//! | [`Raw`] | `Image *Name Volume Network HealthCmd Tmpfs User …` | as it stands |
//! | [`Line`] | `Description` | as it stands, by systemd only |
//!
//! Each class is a type that only its encoder makes, and templates print values of these types
//! through the filter of the class: a value that was not encoded, or was encoded for another class,
//! does not compile. [`Plain`] is what needs no encoding in any of them.
//!
//! ```
//! use ragpod::render::encode::{IsWords, Plain, Words};
//!
//! fn environment(word: &impl IsWords) -> String {
//!     format!("Environment={}", word.words())
//! }
//! let word = Words::pair("env.A", "A", "100 %").unwrap();
//! assert_eq!(environment(&word), "Environment=\"A=100 %%\"");
//! environment(&Plain::one("instance.name", "a").unwrap());
//! ```
//!
//! What was encoded for a key that is read as it stands is no word:
//!
//! ```compile_fail,E0277
//! # use ragpod::render::encode::{IsWords, Raw};
//! # fn environment(word: &impl IsWords) -> String { word.words().to_owned() }
//! environment(&Raw::one("engine.image", "a/b:1").unwrap());
//! ```
//!
//! And what was not encoded at all is nothing:
//!
//! ```compile_fail,E0277
//! # use ragpod::render::encode::IsWords;
//! # fn environment(word: &impl IsWords) -> String { word.words().to_owned() }
//! environment(&"A=100 %".to_owned());
//! ```

use std::fmt::{self, Write as _};

use crate::error::{Error, Kind};

/// Why a value cannot be written into a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The manifest's key that holds it.
    pub field: String,
    /// What stands in the way.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::new(Kind::Manifest, "a value cannot be written into a unit")
            .cause(refused.to_string())
    }
}

fn refuse<T>(field: &str, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { field: field.to_owned(), why: why.into() })
}

/// Words, each in double quotes: any text but NUL, C1 controls and the empty word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(String);

/// Words without blanks, quotes or backslashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bare(String);

/// A value that is read as it stands, and then as a part of `ExecStart=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(String);

/// A value of systemd's own that is read as it stands, but for `%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(String);

impl Words {
    /// One word, which the program gets as it is. `field` names the manifest's key in a refusal.
    pub fn one(field: &str, word: &str) -> Result<Self, Refused> {
        // The generator takes an empty word for the end of the line, systemd a lone `;` for the
        // end of the command.
        if word.is_empty() {
            return refuse(field, "it is empty");
        }
        if word == ";" {
            return refuse(field, "a lone ';' would end the command");
        }
        let mut out = String::with_capacity(word.len() + 2);
        out.push('"');
        for c in word.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '%' => out.push_str("%%"),
                '$' => out.push_str("$$"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\0' | '\u{80}'..='\u{9f}' => {
                    return refuse(field, format!("it contains the control character {c:?}"));
                }
                c if c.is_ascii_control() => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\x{:02x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(Self(out))
    }

    /// A word `NAME=VALUE`, as `Environment=` and `Label=` have it.
    pub fn pair(field: &str, name: &str, value: &str) -> Result<Self, Refused> {
        if name.is_empty() || name.contains('=') {
            return refuse(field, format!("{name:?} cannot stand before '='"));
        }
        Self::one(field, &format!("{name}={value}"))
    }

    /// A word of comma-separated values, as `Mount=` and `Secret=` have it: a value with a comma or
    /// a quote is quoted as encoding/csv of Go reads it.
    pub fn csv(field: &str, values: &[&str]) -> Result<Self, Refused> {
        let quoted = values.iter().map(|value| {
            if value.contains(['"', ',', '\n', '\r']) || value.starts_with(' ') {
                format!("\"{}\"", value.replace('"', "\"\""))
            } else {
                (*value).to_owned()
            }
        });
        Self::one(field, &quoted.collect::<Vec<_>>().join(","))
    }
}

impl Bare {
    /// One word of plain characters.
    pub fn one(field: &str, word: &str) -> Result<Self, Refused> {
        if word.is_empty() {
            return refuse(field, "it is empty");
        }
        match word.chars().find(|c| c.is_whitespace() || c.is_control() || "\"'\\;#".contains(*c)) {
            Some(c) => refuse(field, format!("{c:?} cannot be written there")),
            None => Ok(Self(percent_and_dollar(word))),
        }
    }
}

impl Raw {
    /// A value that neither begins nor ends with a blank or a quote.
    pub fn one(field: &str, value: &str) -> Result<Self, Refused> {
        plain_line(field, value)?;
        // Podman before 5.8.2 strips quotes at either end.
        if value.starts_with('"') || value.ends_with('"') {
            return refuse(field, "it begins or ends with a quote");
        }
        Ok(Self(percent_and_dollar(value)))
    }

    /// A command as a JSON array, as `HealthCmd=` reads it. Two words at least, because Podman
    /// takes a single one for a shell command.
    pub fn command(field: &str, words: &[&str]) -> Result<Self, Refused> {
        if words.len() < 2 {
            return refuse(field, "a command of a single word would be given to a shell");
        }
        let json = serde_json::Value::from(words.to_vec()).to_string();
        Self::one(field, &json)
    }
}

impl Line {
    /// A line of plain text.
    pub fn one(field: &str, value: &str) -> Result<Self, Refused> {
        plain_line(field, value)?;
        Ok(Self(value.replace('%', "%%")))
    }
}

/// What every value that is read as it stands must be.
fn plain_line(field: &str, value: &str) -> Result<(), Refused> {
    if value.is_empty() {
        // An empty value clears the key's earlier ones.
        return refuse(field, "it is empty");
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        return refuse(field, format!("it contains the control character {c:?}"));
    }
    if value.trim() != value {
        return refuse(field, "it begins or ends with a blank");
    }
    if value.ends_with('\\') {
        return refuse(field, "it ends in a backslash, which would join the next line");
    }
    Ok(())
}

fn percent_and_dollar(value: &str) -> String {
    value.replace('%', "%%").replace('$', "$$")
}

/// What the filter `words` prints.
pub trait IsWords {
    /// The encoded text.
    fn words(&self) -> &str;
}

/// What the filter `bare` prints.
pub trait IsBare {
    /// The encoded text.
    fn bare(&self) -> &str;
}

/// What the filter `raw` prints.
pub trait IsRaw {
    /// The encoded text.
    fn raw(&self) -> &str;
}

/// What the filter `line` prints.
pub trait IsLine {
    /// The encoded text.
    fn line(&self) -> &str;
}

/// A name of ragpod's own: letters, digits, `-` and `.` only, the same in every class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain(String);

impl Plain {
    /// A plain name.
    pub fn one(field: &str, name: &str) -> Result<Self, Refused> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if name.is_empty() || !name.chars().all(plain) {
            return refuse(field, format!("{name:?} is no plain name"));
        }
        Ok(Self(name.to_owned()))
    }
}

macro_rules! by_reference {
    ($($trait:ident $method:ident),*) => { $(
        // In a loop, a template has references.
        impl<T: $trait> $trait for &T {
            fn $method(&self) -> &str {
                (**self).$method()
            }
        }
    )* };
}
by_reference!(IsWords words, IsBare bare, IsRaw raw, IsLine line);

macro_rules! encoded {
    ($($type:ident: $trait:ident $method:ident),* $(,)?) => { $(
        impl $trait for $type {
            fn $method(&self) -> &str {
                &self.0
            }
        }
    )* };
}
encoded!(
    Words: IsWords words,
    Bare: IsBare bare,
    Raw: IsRaw raw,
    Line: IsLine line,
    Plain: IsWords words,
    Plain: IsBare bare,
    Plain: IsRaw raw,
    Plain: IsLine line,
);
