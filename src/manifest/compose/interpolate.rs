//! `$VAR`, `${VAR}` and its forms with a default, an error or a replacement, as compose has them.

/// A text with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    pub text: String,
    /// The variables that it names, whether or not they are set.
    pub named: Vec<String>,
    /// Those of them that are not set, and have no default.
    pub unset: Vec<String>,
}

/// How deep defaults may lie in each other.
const DEEPEST: usize = 8;
/// No value is longer.
const LONGEST: usize = 64 << 10;

/// Replaces the variables of a text.
///
/// # Errors
/// What is wrong with it; never a value.
pub(super) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, String> {
    let mut out = Expanded::default();
    out.text = replace(text, lookup, &mut out.named, &mut out.unset, 0)?;
    if out.text.len() > LONGEST {
        return Err("its value is longer than 64 KiB".to_owned());
    }
    Ok(out)
}

fn replace(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    named: &mut Vec<String>,
    unset: &mut Vec<String>,
    depth: usize,
) -> Result<String, String> {
    if depth > DEEPEST {
        return Err("its defaults lie too deep in each other".to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing(after).ok_or("a ${ in it is not closed")?;
            let inner = &after[..end];
            rest = &after[end + 1..];
            let name_end = name_length(inner);
            let (name, operator) = inner.split_at(name_end);
            if name.is_empty() {
                return Err("what follows a ${ in it is no variable's name".to_owned());
            }
            named.push(name.to_owned());
            let value = lookup(name);
            let full = value.clone().filter(|v| !v.is_empty());
            let mut other = |word: &str| replace(word, lookup, named, unset, depth + 1);
            let form = [":-", ":?", ":+", "-", "?", "+"]
                .into_iter()
                .find_map(|form| Some((form, operator.strip_prefix(form)?)));
            let text = match form {
                None if operator.is_empty() => {
                    if value.is_none() {
                        unset.push(name.to_owned());
                    }
                    value.unwrap_or_default()
                }
                None => return Err(format!("what follows ${{{name} is not understood")),
                Some((":-", word)) => full.map_or_else(|| other(word), Ok)?,
                Some(("-", word)) => value.map_or_else(|| other(word), Ok)?,
                Some((":+", word)) => full.map_or(Ok(String::new()), |_| other(word))?,
                Some(("+", word)) => value.map_or(Ok(String::new()), |_| other(word))?,
                Some((form, _)) => {
                    let found = if form == ":?" { full } else { value };
                    found.ok_or_else(|| format!("it needs {name}, which is not set"))?
                }
            };
            out.push_str(&text);
        } else {
            let end = name_length(rest);
            if end == 0 {
                return Err("a $ in it begins no variable; write $$ for a dollar sign".to_owned());
            }
            let (name, after) = rest.split_at(end);
            rest = after;
            named.push(name.to_owned());
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => unset.push(name.to_owned()),
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// How long the variable's name is that a text begins with.
fn name_length(text: &str) -> usize {
    let good = |(i, c): (usize, char)| {
        c.is_ascii_alphabetic() || c == '_' || (i > 0 && c.is_ascii_digit())
    };
    text.char_indices().find(|at| !good(*at)).map_or(text.len(), |(i, _)| i)
}

/// Where the brace is that closes the one before this text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        match c {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(i),
            '}' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_compose_has_it() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "E" => Some(String::new()),
            "D" => Some("$A".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("$A-${A}.$$A", Ok("a-a.$A")),
            ("${N:-x}${E:-x}${E-x}${A:-x}", Ok("xxa")),
            ("${N:-${A}b}/${N-${M:-z}}", Ok("ab/z")),
            ("${A:+y}${E:+y}${E+y}${N+y}", Ok("yy")),
            ("${A:?no}", Ok("a")),
            // What a variable holds is not looked at again.
            ("$D", Ok("$A")),
            ("${N}", Ok("")),
            ("${N:?no}", Err("it needs N, which is not set")),
            ("${E:?no}", Err("it needs E, which is not set")),
            ("a$", Err("a $ in it begins no variable; write $$ for a dollar sign")),
            ("${A", Err("a ${ in it is not closed")),
            ("${}", Err("what follows a ${ in it is no variable's name")),
            ("${A!}", Err("what follows ${A is not understood")),
        ] {
            let got = expand(text, &lookup).map(|e| e.text);
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "{text}");
        }
        assert_eq!(expand("$N ${M:-x}", &lookup).unwrap().unset, ["N"]);
        assert_eq!(expand("$N ${M:-x}", &lookup).unwrap().named, ["N", "M"]);
        let deep = format!("{}x{}", "${N:-".repeat(30), "}".repeat(30));
        assert!(expand(&deep, &lookup).is_err());
    }
}
