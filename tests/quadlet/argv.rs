//! What systemd and Podman make of a line: systemd.syntax(7), systemd.service(5), encoding/csv.
//!
//! The one decoder of all tests: those of the encoders have it read what they wrote, those of the
//! generators what the generators made of it. It knows nothing of how anything was encoded.

/// What systemd puts in for `%t`, `%N` and `%n`, the only specifiers that a generator writes. A
/// value in which one of them was resolved is no longer what was asked for.
const SPECIFIERS: &[(char, &str)] = &[('t', "<%t>"), ('N', "<%N>"), ('n', "<%n>")];

/// The words of an `ExecStart=` value, as the program gets them: quotes and C escapes resolved,
/// `%%` and `$$` reduced. `None` when systemd would refuse it, end the command or expand a
/// variable.
pub fn of_exec(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if chars.peek().is_none() {
            return Some(words);
        }
        let mut word = String::new();
        let mut quote = None;
        let mut quoted = false;
        loop {
            match (chars.next(), quote) {
                (None, None) => break,
                (None, Some(_)) => return None,
                (Some('\\'), _) => word.push(escape(&mut chars)?),
                (Some(c @ ('"' | '\'')), None) => {
                    quote = Some(c);
                    quoted = true;
                }
                (Some(c), Some(q)) if c == q => quote = None,
                (Some(c), None) if c.is_ascii_whitespace() => break,
                (Some(c), _) => word.push(c),
            }
        }
        // systemd ends a command there.
        if word == ";" && !quoted {
            return None;
        }
        words.push(expand(&word)?);
    }
}

fn escape(chars: &mut impl Iterator<Item = char>) -> Option<char> {
    Some(match chars.next()? {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        's' => ' ',
        c @ ('\\' | '"' | '\'') => c,
        // A byte: above 0x7f the generator and systemd differ in what they make of it.
        'x' => number(chars, 2).filter(char::is_ascii)?,
        'u' => number(chars, 4)?,
        'U' => number(chars, 8)?,
        _ => return None,
    })
}

fn number(chars: &mut impl Iterator<Item = char>, digits: usize) -> Option<char> {
    let hex: String = chars.take(digits).collect();
    char::from_u32(u32::from_str_radix(&hex, 16).ok()?)
}

/// `%` and `$` as systemd resolves them in a word of a command.
pub fn expand(word: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '%' => match chars.next()? {
                '%' => out.push('%'),
                c => out.push_str(SPECIFIERS.iter().find(|(s, _)| *s == c)?.1),
            },
            '$' if chars.next_if_eq(&'$').is_some() => out.push('$'),
            '$' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// The fields of a record as encoding/csv of Go reads them.
pub fn of_csv(record: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let (text, after) = rest.split_once('"')?;
                field.push_str(text);
                rest = after;
                let Some(after) = rest.strip_prefix('"') else { break };
                field.push('"');
                rest = after;
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            rest = &rest[end..];
            // A quote in the middle of an unquoted field is an error to it.
            if field.contains('"') {
                return None;
            }
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return rest.is_empty().then_some(fields),
        }
    }
}
