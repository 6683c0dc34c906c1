//! The askama filters of the classes, and the strict escaper behind them.

// What the attribute makes: public items without docs of their own, inlined at all costs.
#![allow(missing_docs, clippy::inline_always)]

use std::fmt::{self, Write};

use askama::filters::Escaper;
use askama::{Result, Values, filter_fn};

use super::encode::{IsBare, IsLine, IsRaw, IsWords};

/// `Environment={{ x|words }}`.
#[filter_fn]
pub fn words<T: IsWords>(value: &T, _: &dyn Values) -> Result<String> {
    Ok(value.words().to_owned())
}

/// `DropCapability={{ x|bare }}`.
#[filter_fn]
pub fn bare<T: IsBare>(value: &T, _: &dyn Values) -> Result<String> {
    Ok(value.bare().to_owned())
}

/// `Image={{ x|raw }}`.
#[filter_fn]
pub fn raw<T: IsRaw>(value: &T, _: &dyn Values) -> Result<String> {
    Ok(value.raw().to_owned())
}

/// `Description={{ x|line }}`.
#[filter_fn]
pub fn line<T: IsLine>(value: &T, _: &dyn Values) -> Result<String> {
    Ok(value.line().to_owned())
}

/// The escaper of all unit templates: it changes nothing and refuses every control character, so
/// that no value can begin a line of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strict;

impl Escaper for Strict {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        if string.chars().any(char::is_control) {
            return Err(fmt::Error);
        }
        dest.write_str(string)
    }
}
