//! The reference as a JSON schema, for editors.

use serde_json::{Map, Value, json};

use super::{ENTRIES, ENV, Entry, Form};

/// A JSON schema (draft 2020-12) of the manifest: what an editor can know while one types. What
/// one key means for another is left to `ragpod` itself.
#[must_use]
pub fn schema() -> Value {
    let mut tables: Map<String, Value> = Map::new();
    for entry in ENTRIES {
        let mut place = &mut tables;
        let mut path = entry.key.split('.').peekable();
        while let Some(name) = path.next() {
            let slot = place.entry(name).or_insert_with(object);
            if path.peek().is_none() {
                // A table's own entry comes before those of its keys.
                if entry.form != Form::Table {
                    *slot = value(entry);
                }
                slot["description"] = entry.about.into();
            }
            let Some(inner) = slot.get_mut("properties").and_then(Value::as_object_mut) else {
                break;
            };
            place = inner;
        }
    }
    if let Some(source) = tables.remove("source") {
        tables.insert("source".to_owned(), json!({ "type": "array", "items": source }));
    }
    let env = json!({
        "type": "object",
        "description": ENV,
        "additionalProperties": { "type": "string" },
    });
    tables.insert("env".to_owned(), env);
    require(&mut tables, "/instance", "name");
    require(&mut tables, "/source/items", "path");
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ragpod.toml",
        "type": "object",
        "additionalProperties": false,
        "required": ["instance"],
        "properties": tables,
    })
}

fn require(tables: &mut Map<String, Value>, place: &str, key: &str) {
    let mut whole = Value::Object(std::mem::take(tables));
    if let Some(table) = whole.pointer_mut(place) {
        table["required"] = json!([key]);
    }
    if let Value::Object(whole) = whole {
        *tables = whole;
    }
}

fn object() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

fn value(entry: &Entry) -> Value {
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    match entry.form {
        Form::Text => json!({ "type": "string" }),
        Form::Bool => json!({ "type": "boolean" }),
        Form::Number(most) => json!({ "type": "integer", "minimum": 1, "maximum": most }),
        Form::Word(words) => json!({ "enum": words }),
        Form::List => texts(),
        Form::Words(words) => json!({ "type": "array", "items": { "enum": words } }),
        Form::Secret => json!({
            "type": "object",
            "properties": { "secret": { "type": "string" } },
            "required": ["secret"],
            "additionalProperties": false,
        }),
        Form::Table => object(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_tables_and_their_keys() {
        let schema = schema();
        let at = |place: &str| schema.pointer(place).cloned().unwrap_or_default();
        assert_eq!(at("/properties/instance/required"), json!(["name"]));
        assert_eq!(at("/properties/source/items/properties/path/type"), "string");
        assert_eq!(at("/properties/provider/properties/kind/enum/2"), "azure");
        let query = "/properties/engine/properties/commands/properties/query/items/type";
        assert_eq!(at(query), "string");
        assert_eq!(at("/properties/engine/properties/commands/additionalProperties"), false);
    }
}
