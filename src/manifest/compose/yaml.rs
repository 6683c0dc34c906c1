//! YAML text → a tree that knows where each thing stands. Anchors, aliases and merge keys are
//! resolved here, within bounds: a few lines of aliases can stand for a billion values.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::super::problem::Problem;

/// No compose file is longer.
const LONGEST: usize = 1 << 20;
/// How many values a file may have when its aliases are resolved.
const MOST: usize = 20_000;
/// How deep values may lie in each other.
const DEEPEST: usize = 40;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
    /// The secret variable that its text comes from, if one does.
    pub secret: Option<String>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub line: usize,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The entries, if this is a map; else none.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, if this is a list; a single text is a list of one.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Text(_) => std::slice::from_ref(self),
            _ => &[],
        }
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// All texts in it, in their order.
    pub fn texts(&self) -> Vec<&str> {
        match &self.value {
            Value::Null => Vec::new(),
            Value::Text(text) => vec![text],
            Value::List(items) => items.iter().flat_map(Node::texts).collect(),
            Value::Map(entries) => entries.iter().flat_map(|(_, node)| node.texts()).collect(),
        }
    }

    /// How many values it is.
    fn size(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
            _ => 0,
        }
    }
}

/// Reads the one document of a file, which must be a map.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, Problem> {
    let reader = Reader { file, open: Vec::new(), done: None, anchors: HashMap::new(), left: MOST };
    reader.read(text)
}

/// A list or a map that is being read.
struct Open {
    node: Node,
    anchor: usize,
    /// The key of a map whose value comes next.
    key: Option<Key>,
}

struct Reader<'f> {
    file: &'f str,
    open: Vec<Open>,
    done: Option<Node>,
    anchors: HashMap<usize, Node>,
    left: usize,
}

impl Reader<'_> {
    fn problem(&self, at: &Marker, message: impl Into<String>, hint: Option<&str>) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: at.line(),
            column: at.col() + 1,
            key: String::new(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    fn read(mut self, text: &str) -> Result<Node, Problem> {
        let start = Marker::new(0, 1, 0);
        if text.len() > LONGEST {
            let message = format!("it has {} bytes; 1 MiB is the most", text.len());
            return Err(self.problem(&start, message, None));
        }
        let mut parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|e| {
                self.problem(e.marker(), format!("it is no YAML: {}", e.info()), None)
            })?;
            self.event(event, &span.start)?;
        }
        match self.done.take() {
            Some(node) if matches!(node.value, Value::Map(_)) => Ok(node),
            _ => Err(self.problem(
                &start,
                "it is no compose file: it has no keys",
                Some("it should have services: and under it the containers"),
            )),
        }
    }

    fn event(&mut self, event: Event<'_>, at: &Marker) -> Result<(), Problem> {
        let new = |value| Node { line: at.line(), value, secret: None };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text(tag.as_deref());
                self.known(tag.as_deref(), at)?;
                let null = plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_ref());
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                self.put(new(value), anchor, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.known(tag.as_deref(), at)?;
                self.begin(new(Value::List(Vec::new())), anchor, at)
            }
            Event::MappingStart(anchor, tag) => {
                self.known(tag.as_deref(), at)?;
                self.begin(new(Value::Map(Vec::new())), anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut ended) = self.open.pop() else { return Ok(()) };
                self.merge(&mut ended.node, at)?;
                self.put(ended.node, ended.anchor, at)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let mut node = node.clone();
                    node.line = at.line();
                    self.put(node, 0, at)
                }
                None => Err(self.problem(at, "an anchor stands for itself here", None)),
            },
            Event::DocumentStart(_) if self.done.is_some() => Err(self.problem(
                at,
                "a second document begins here",
                Some("a compose file has one; remove what is not it"),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses tags that change what a value means, such as `!reset`.
    fn known(&self, tag: Option<&Tag>, at: &Marker) -> Result<(), Problem> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() && !tag.suffix.is_empty() => Err(self.problem(
                at,
                format!("the tag {}{} is not understood", tag.handle, tag.suffix),
                Some("let compose resolve it: docker compose config > compose.resolved.yaml"),
            )),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize, at: &Marker) -> Result<(), Problem> {
        if self.open.len() >= DEEPEST {
            return Err(self.problem(at, "values lie too deep in each other here", None));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    /// Gives a value to the list or map that is open, or to the document.
    fn put(&mut self, node: Node, anchor: usize, at: &Marker) -> Result<(), Problem> {
        let size =
            if matches!(node.value, Value::List(_) | Value::Map(_)) { node.size() } else { 1 };
        let Some(left) = self.left.checked_sub(size) else {
            let message = format!("with its aliases it has more than {MOST} values");
            return Err(self.problem(at, message, None));
        };
        self.left = left;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.done = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some(key)) => entries.push((key, node)),
            (Value::Map(entries), None) => {
                let text = match node.value {
                    Value::Text(text) => text,
                    Value::Null => String::new(),
                    _ => return Err(self.problem(at, "a key must be a text", None)),
                };
                if let Some((first, _)) = entries.iter().find(|(k, _)| k.text == text) {
                    let message = format!("{text} was there before, on line {}", first.line);
                    return Err(self.problem(at, message, Some("keep one of the two")));
                }
                open.key = Some(Key { text, line: at.line() });
            }
            _ => {}
        }
        Ok(())
    }

    /// `<<: *base`: what the map itself has counts more, and earlier ones more than later.
    fn merge(&self, node: &mut Node, at: &Marker) -> Result<(), Problem> {
        let Value::Map(entries) = &mut node.value else { return Ok(()) };
        let Some(place) = entries.iter().position(|(k, _)| k.text == "<<") else { return Ok(()) };
        let (_, base) = entries.remove(place);
        let bases = match base.value {
            Value::List(items) => items,
            _ => vec![base],
        };
        for base in bases {
            let Value::Map(more) = base.value else {
                return Err(self.problem(at, "<< is given something that is no map", None));
            };
            for (key, value) in more {
                if !entries.iter().any(|(k, _)| k.text == key.text) {
                    entries.push((key, value));
                }
            }
        }
        Ok(())
    }
}

/// Whether a tag says that a plain value is a text: `!!str null`.
fn is_text(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Problem {
        parse(text, "c.yaml").unwrap_err()
    }

    #[test]
    fn anchors_and_merge_keys() {
        let node =
            parse("x: &x {a: 1, b: 2}\ny: &y {b: 3}\nz: {<<: [*y, *x], c: 4}\n", "c").unwrap();
        let z = node.get("z").unwrap();
        let of = |key| z.get(key).and_then(Node::text);
        assert_eq!((of("a"), of("b"), of("c"), of("<<")), (Some("1"), Some("3"), Some("4"), None));
        // Where an alias is used is where its value stands; what is in it stands where it was written.
        assert_eq!(z.line, 3);
        assert_eq!(z.entries().iter().find(|(k, _)| k.text == "a").unwrap().0.line, 1);
    }

    #[test]
    fn what_is_no_compose_file() {
        for (text, line, column, says) in [
            ("", 1, 1, "no keys"),
            ("just words", 1, 1, "no keys"),
            ("a: 1\nb: [1,\n", 3, 1, "no YAML"),
            ("a: 1\n\tb: 2\n", 1, 4, "no YAML"),
            ("a: 1\na: 2\n", 2, 1, "was there before, on line 1"),
            ("a: 1\n---\nb: 1\n", 2, 1, "second document"),
            ("a: &a [*a]\n", 1, 8, "stands for itself"),
            ("a: *b\n", 1, 4, "no YAML"),
            ("<<: 1\n", 2, 1, "no map"),
            ("? [a]\n: 1\n", 1, 5, "must be a text"),
            ("a: !reset null\n", 1, 4, "!reset"),
        ] {
            let p = refused(text);
            assert!(p.message.contains(says), "{text:?}: {p}");
            assert_eq!((p.line, p.column), (line, column), "{text:?}: {p}");
        }
    }

    #[test]
    fn a_billion_values_are_refused_at_once() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            let alias = format!("*a{}", n - 1);
            text += &format!("a{n}: &a{n} [{}]\n", vec![alias; 10].join(", "));
        }
        assert!(refused(&text).message.contains("more than 20000 values"));
        let deep = format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000));
        refused(&deep);
        let deep: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(refused(&deep).message.contains("deep"));
        assert!(refused(&"#".repeat(2 << 20)).message.contains("1 MiB"));
    }
}
