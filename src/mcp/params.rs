//! What each tool is given: types whose JSON schemas and descriptions tell a model how to use it.

use rmcp::model::JsonObject;
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::model::Name;

/// How the engine searches. Its schema is a plain list of words, which every client understands.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Mode {
    Local,
    Global,
    #[default]
    Hybrid,
    Naive,
    Mix,
}

impl Mode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Mode::Local => "local",
            Mode::Global => "global",
            Mode::Hybrid => "hybrid",
            Mode::Naive => "naive",
            Mode::Mix => "mix",
        }
    }
}

/// `query`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[serde(default)]
    pub instance: Option<String>,
    /// The question, as a whole sentence in the language of the documents. At least three
    /// characters.
    pub question: String,
    /// How to search. hybrid, the default, is right for most questions; local looks at the entities
    /// that the question names, global at the relations between entities (themes, overviews), naive
    /// at passages alone, mix at the graph and passages together.
    #[serde(default)]
    pub mode: Mode,
}

/// `search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    #[serde(default)]
    pub instance: Option<String>,
    /// What to look for: a question or some words. At least three characters.
    pub query: String,
    /// How to search. hybrid, the default, is right for most questions; local looks at the entities
    /// that the question names, global at the relations between entities (themes, overviews), naive
    /// at passages alone, mix at the graph and passages together.
    #[serde(default)]
    pub mode: Mode,
    /// How many passages at most to look at; left out, about a dozen.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
}

/// `status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    #[serde(default)]
    pub instance: Option<String>,
}

/// `list_instances`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `ingest`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ingest {
    #[serde(default)]
    pub instance: Option<String>,
    /// Only this folder or file: a path on the user's machine below one of the instance's sources,
    /// or a path that the sources of an answer name. Left out, all sources are taken in.
    #[serde(default)]
    pub path: Option<String>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// A tool's arguments as its type.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage), in words that a model can act on.
pub(super) fn parse<T: DeserializeOwned>(tool: &str, arguments: Option<JsonObject>) -> Result<T> {
    serde_json::from_value(Value::Object(arguments.unwrap_or_default())).map_err(|e| {
        Error::usage(format!("the arguments of {tool} are wrong"))
            .cause(e.to_string())
            .hint(format!("call {tool} as its input schema says"))
    })
}

/// Says in a schema which instances there are; with only one, it need not be named.
pub(super) fn name_instances(schema: &mut JsonObject, names: &[Name]) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    if !properties.contains_key("instance") {
        return;
    }
    let one = names.len() == 1;
    let description = if one {
        "The instance; may be left out, there is only this one."
    } else {
        "The instance: a body of documents of its own. list_instances tells which there are."
    };
    properties.insert(
        "instance".into(),
        json!({ "type": "string", "enum": names, "description": description }),
    );
    if !one && let Value::Array(required) = schema.entry("required").or_insert(json!([])) {
        required.insert(0, json!("instance"));
    }
}

/// Takes Rust's widths of integers out of a schema: `"format": "uint64"` is none of JSON Schema's, and
/// clients warn their users of each.
pub(super) fn without_widths(schema: &mut JsonObject) {
    let is_width = |format: &Value| {
        format.as_str().is_some_and(|f| f.starts_with("uint") || f.starts_with("int"))
    };
    if schema.get("format").is_some_and(is_width) {
        schema.remove("format");
    }
    schema.values_mut().for_each(within);
}

/// The same in what is in a schema.
fn within(value: &mut Value) {
    match value {
        Value::Object(schema) => without_widths(schema),
        Value::Array(schemas) => schemas.iter_mut().for_each(within),
        _ => {}
    }
}

/// The instance that is meant.
///
/// # Errors
/// [`Kind::Usage`](crate::error::Kind::Usage) with the names that are served: what else there is on
/// the host is no affair of this client's.
pub(super) fn choose(names: &[Name], asked: Option<&str>) -> Result<Name> {
    let list = names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    match (asked, names) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Error::usage("several instances are served, and none was named")
            .hint(format!("set instance to one of: {list}"))),
        (Some(asked), _) => names.iter().find(|n| n.as_str() == asked).cloned().ok_or_else(|| {
            Error::usage(format!("no instance {asked:?} is served here"))
                .hint(format!("set instance to one of: {list}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|n| n.parse().unwrap()).collect()
    }

    #[test]
    fn the_instance_may_be_left_out_when_there_is_one() {
        let one = names(&["notes"]);
        assert_eq!(choose(&one, None).unwrap().as_str(), "notes");
        let two = names(&["notes", "work"]);
        assert_eq!(choose(&two, Some("work")).unwrap().as_str(), "work");
        for wrong in [choose(&two, None), choose(&two, Some("other")), choose(&one, Some("Work"))] {
            let e = wrong.unwrap_err();
            assert!(e.hints()[0].contains("one of: notes"), "{e:?}");
        }
    }

    #[test]
    fn arguments_that_are_wrong_are_told() {
        let of = |value: Value| parse::<Search>("search", value.as_object().cloned());
        assert_eq!(of(json!({"query": "what?", "mode": "mix"})).unwrap().mode.as_str(), "mix");
        for (wrong, told) in [
            (json!({}), "missing field `query`"),
            (json!({"query": 7}), "expected a string"),
            (json!({"query": "x", "mode": "magic"}), "unknown variant `magic`"),
            (json!({"query": "x", "limit": -1}), "invalid value"),
            (json!({"query": "x", "qeury": "y"}), "unknown field `qeury`"),
        ] {
            let e = of(wrong).unwrap_err();
            assert!(e.causes[0].contains(told), "{e:?}");
        }
        assert!(parse::<Nothing>("list_instances", None).is_ok());
    }

    fn properties<T: JsonSchema + 'static>() -> JsonObject {
        let mut schema = (*rmcp::handler::server::tool::schema_for_input::<T>().unwrap()).clone();
        name_instances(&mut schema, &names(&["a", "b"]));
        assert_eq!(schema["additionalProperties"], false);
        schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    #[test]
    fn every_parameter_is_described() {
        let mode = properties::<Query>()["mode"].clone();
        assert_eq!(mode["enum"], json!(["local", "global", "hybrid", "naive", "mix"]));
        for schema in [properties::<Query>(), properties::<Search>(), properties::<Ingest>()] {
            assert_eq!(schema["instance"]["enum"], json!(["a", "b"]));
            for (key, property) in schema {
                assert!(property["description"].is_string(), "{key}: {property}");
            }
        }
        assert!(properties::<Nothing>().is_empty());
    }
}
