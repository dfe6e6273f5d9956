//! Checks of a document: the rules of OpenAPI 3.1 that client generators rely on, and our own.

use std::collections::BTreeSet;

use serde_json::Value;

/// The problems of `document`, one line each.
#[must_use]
pub fn problems(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if document["openapi"] != "3.1.0"
        || !document["info"]["title"].is_string()
        || !document["info"]["version"].is_string()
    {
        found.push("openapi, info.title or info.version is missing".to_owned());
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let call = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap_or_default();
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                found.push(format!("{call}: {id:?} is not a good name of a function"));
            }
            if !ids.insert(id) {
                found.push(format!("{call}: the id {id} is another call's, too"));
            }
            parameters(&call, path, operation, &mut found);
            responses(&call, operation, &mut found);
        }
    }
    schemas(document, document, &mut found);
    let names: BTreeSet<&str> =
        document["components"]["schemas"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for name in &names {
        let base = name.trim_end_matches(|character: char| character.is_ascii_digit());
        if base != *name && names.contains(base) {
            found.push(format!("{name}: two types are called {base}"));
        }
    }
    found
}

fn parameters(call: &str, path: &str, operation: &Value, found: &mut Vec<String>) {
    let holes: BTreeSet<&str> = path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}')).collect();
    let mut told = BTreeSet::new();
    let mut names = BTreeSet::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, place) =
            (parameter["name"].as_str().unwrap_or_default(), parameter["in"].as_str().unwrap_or_default());
        if place == "path" && parameter["required"] == true {
            told.insert(name);
        }
        if !matches!(place, "path" | "query" | "header")
            || !parameter["schema"].is_object()
            || !names.insert((name, place))
        {
            found.push(format!("{call}: the parameter {name} has no place or no schema, or is there twice"));
        }
    }
    if holes != told {
        found.push(format!("{call}: the path has {holes:?}, the parameters {told:?}"));
    }
}

fn responses(call: &str, operation: &Value, found: &mut Vec<String>) {
    let all = operation["responses"].as_object();
    if all.is_none_or(|all| !all.keys().any(|status| status.starts_with('2'))) {
        found.push(format!("{call}: no good answer"));
    }
    for (status, response) in all.into_iter().flatten() {
        let known = status == "default" || status.parse::<u16>().is_ok_and(|status| (100..600).contains(&status));
        if !known || !response["description"].is_string() {
            found.push(format!("{call}: the answer {status} is not one, or is not described"));
        }
    }
}

/// Every reference resolves, and every schema is in the form that generators understand.
fn schemas(document: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| schemas(document, value, found)),
        Value::Object(object) => {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str)
                && reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)).is_none()
            {
                found.push(format!("{reference} leads nowhere"));
            }
            let constant = |choice: &Value| choice.get("const").is_some_and(Value::is_string);
            if object.get("oneOf").and_then(Value::as_array).is_some_and(|choices| choices.iter().all(constant)) {
                found.push(format!("a choice of words is not an enumeration: {value}"));
            }
            if object.get("schema") == Some(&Value::Bool(true)) {
                found.push("a schema is `true`".to_owned());
            }
            object.values().for_each(|value| schemas(document, value, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Case: a schema of the same name with a number behind it is found, and so is a call without a name of its own.
    #[test]
    fn what_a_generator_stumbles_over_is_found() {
        let call = |id: &str| json!({ "operationId": id, "responses": { "200": { "description": "OK" } } });
        let good = json!({
            "openapi": "3.1.0", "info": { "title": "t", "version": "1" },
            "paths": { "/a": { "get": call("get_a") } }, "components": { "schemas": { "A": {} } },
        });
        assert_eq!(problems(&good), Vec::<String>::new());
        let broken = |pointer: &str, value: Value| {
            let mut document = good.clone();
            *document.pointer_mut(pointer).unwrap() = value;
            problems(&document).len()
        };
        for (pointer, value) in [
            ("/openapi", json!("3.0.0")),
            ("/paths", json!({ "/a": { "get": call("a"), "post": call("a") } })),
            ("/paths", json!({ "/a": { "get": call("get_a-b") } })),
            ("/paths", json!({ "/a/{id}": { "get": call("get_a") } })),
            ("/paths/~1a/get/responses", json!({ "default": { "description": "No success" } })),
            ("/paths/~1a/get/responses/200", json!({ "description": "OK", "content": { "x": { "schema": true } } })),
            ("/components/schemas", json!({ "A": { "$ref": "#/components/schemas/B" } })),
            ("/components/schemas", json!({ "A": {}, "A2": {} })),
            ("/components/schemas/A", json!({ "oneOf": [{ "const": "a" }] })),
        ] {
            assert_eq!(broken(pointer, value.clone()), 1, "{pointer} {value}");
        }
    }
}
