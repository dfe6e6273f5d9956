//! Rewrites schemas in the form that client generators understand. Their meaning does not change.

use serde_json::{Map, Value, json};

/// Keywords whose value is a schema.
const SCHEMAS: [&str; 3] = ["schema", "items", "contentSchema"];

/// Rewrites every schema in `value`: `true` becomes `{}`, and a choice of words becomes an `enum`.
pub(crate) fn plain(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(plain),
        Value::Object(object) => {
            for keyword in SCHEMAS {
                if let Some(schema) = object.get_mut(keyword) {
                    anything(schema);
                }
            }
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.values_mut().for_each(anything);
            }
            words(object);
            bounds(object);
            object.values_mut().for_each(plain);
        }
        _ => {}
    }
}

fn anything(schema: &mut Value) {
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
}

/// `oneOf` of constant strings, each with its description, as one `enum` with one description.
fn words(schema: &mut Map<String, Value>) {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let Some(choices) = choices.iter().map(choice).collect::<Option<Vec<_>>>() else { return };
    let all: Vec<&str> = choices.iter().flat_map(|(words, _)| words.iter().copied()).collect();
    let told = choices.iter().filter_map(|(words, about)| Some(format!("* `{}`: {}", words.join("`, `"), (*about)?)));
    let told = told.collect::<Vec<_>>().join("\n");
    let about = schema.get("description").and_then(Value::as_str);
    let about = about.into_iter().chain((!told.is_empty()).then_some(told.as_str())).collect::<Vec<_>>().join("\n\n");
    let all = json!(all);
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), all);
    if !about.is_empty() {
        schema.insert("description".to_owned(), json!(about));
    }
}

/// 32-bit numbers get explicit bounds, which few generators derive from the format.
fn bounds(schema: &mut Map<String, Value>) {
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        _ => return,
    };
    schema.entry("minimum").or_insert_with(|| json!(least));
    schema.entry("maximum").or_insert_with(|| json!(most));
}

fn choice(schema: &Value) -> Option<(Vec<&str>, Option<&str>)> {
    let about = schema.get("description").and_then(Value::as_str);
    let words = match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(word), _) => vec![word.as_str()?],
        (None, Some(words)) => words.iter().map(Value::as_str).collect::<Option<_>>()?,
        (None, None) => return None,
    };
    Some((words, about))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: a choice of words is `type: string` with `enum`, not a `oneOf` of constants.
    #[test]
    fn a_choice_of_words_is_an_enumeration() {
        let mut schema = json!({
            "description": "Kind.",
            "oneOf": [
                { "type": "string", "const": "email", "description": "By mail." },
                { "type": "string", "enum": ["link", "portal"] },
            ],
        });
        plain(&mut schema);
        let about = "Kind.\n\n* `email`: By mail.";
        assert_eq!(schema, json!({ "type": "string", "enum": ["email", "link", "portal"], "description": about }));
    }

    #[test]
    fn a_choice_of_anything_else_stays() {
        for schema in [
            json!({ "oneOf": [{ "type": "string", "const": "a" }, { "type": "object" }] }),
            json!({ "oneOf": [{ "const": 1 }] }),
            json!({ "anyOf": [{ "$ref": "#/x" }, { "type": "null" }], "additionalProperties": true }),
        ] {
            let mut same = schema.clone();
            plain(&mut same);
            assert_eq!(same, schema);
        }
    }

    /// Case: a number has the bounds that the API has.
    #[test]
    fn numbers_say_their_bounds() {
        let mut schema = json!({ "type": "integer", "format": "uint32", "minimum": 1 });
        plain(&mut schema);
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(4_294_967_295_u32)));
    }

    /// Case: a schema that takes anything is `{}`, not `true`.
    #[test]
    fn what_accepts_anything_is_an_empty_schema() {
        let mut schema = json!({ "properties": { "data": true, "list": { "items": true } } });
        plain(&mut schema);
        assert_eq!(schema, json!({ "properties": { "data": {}, "list": { "items": {} } } }));
    }
}
