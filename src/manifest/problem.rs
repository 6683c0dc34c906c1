//! What is wrong with a manifest, and where.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use crate::error::{Error, Kind};

/// One thing that is wrong with a manifest or an env file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the person named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The dotted key, such as `postgres.memory`; empty when it is about the file's syntax.
    pub key: String,
    /// What is wrong; never holds a secret's value.
    pub message: String,
    /// What was expected, or what to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    /// `FILE:LINE:COLUMN: KEY: MESSAGE; HINT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl Problem {
    /// All problems of one file as the error that a person sees: each is one cause.
    #[must_use]
    pub fn into_error(problems: &[Problem]) -> Error {
        let file = problems.first().map_or("the manifest", |p| p.file.as_str());
        let count = match problems.len() {
            1 => "a problem".to_owned(),
            n => format!("{n} problems"),
        };
        let error = Error::new(Kind::Manifest, format!("{file} has {count}"));
        problems.iter().fold(error, |error, problem| error.cause(problem.to_string()))
    }
}

/// Collects the problems of one text. Shared by all who read it, so that every problem is found.
pub(super) struct Log<'t> {
    file: &'t str,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Log<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, problems: RefCell::new(Vec::new()) }
    }

    /// Notes a problem at a byte offset of the text.
    pub(super) fn add(
        &self,
        at: usize,
        key: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let (line, column) = self.position(at);
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            line,
            column,
            key: key.to_owned(),
            message: message.into(),
            hint,
        });
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// What was found, in the order of the text.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| (p.line, p.column));
        problems
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    /// The value.
    pub value: T,
    /// The byte offset of its first character.
    pub at: usize,
}

impl<T> At<T> {
    pub(super) fn new(value: T, span: &Range<usize>) -> Self {
        Self { value, at: span.start }
    }
}
