//! The document under construction: operations, and the schemas that they refer to.

use std::collections::BTreeSet;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::plain::plain;

/// The path of named schemas in the document.
const SCHEMAS: &str = "/components/schemas";

/// Operations, and the schemas that they refer to.
#[derive(Debug, Default)]
pub struct Document {
    paths: Map<String, Value>,
    /// The schemas of all types so far.
    pub schemas: Schemas,
}

impl Document {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the documentation of the call with this method and path.
    pub fn insert(&mut self, method: &str, path: &str, operation: Operation) {
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        item[method.to_lowercase()] = operation.finish();
    }

    /// The document. `head` is everything except the paths and the schemas: `info`, `servers`, `security`, `components.securitySchemes`.
    #[must_use]
    pub fn finish(self, mut head: Value) -> Value {
        head["openapi"] = json!("3.1.0");
        head["paths"] = Value::Object(self.paths);
        head["components"]["schemas"] = Value::Object(self.schemas.finish());
        plain(&mut head);
        head
    }
}

/// Schemas by name. Inputs and responses are kept apart: a field with a default may be absent from the
/// one and is always in the other.
#[derive(Debug)]
pub struct Schemas {
    taken: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
        };
        let taken = settings().with(|settings| settings.inline_subschemas = true).for_deserialize();
        Self { taken: taken.into_generator(), answered: settings().for_serialize().into_generator() }
    }
}

impl Schemas {
    /// The complete schema of a call's input.
    pub fn taken<T: JsonSchema>(&mut self) -> Schema {
        self.taken.subschema_for::<T>()
    }

    /// The schema of a call's response; its parts are stored by name.
    pub fn answered<T: JsonSchema>(&mut self) -> Schema {
        self.answered.subschema_for::<T>()
    }

    fn finish(mut self) -> Map<String, Value> {
        self.answered.take_definitions(true)
    }
}

/// The documentation of one call.
#[derive(Debug)]
pub struct Operation {
    told: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    /// A call by its path, with an operation id and a heading. `about` is a sentence, with more after a line break.
    #[must_use]
    pub fn new(path: &str, id: &str, tag: &str, about: &str) -> Self {
        let (summary, more) = about.split_once('\n').unwrap_or((about, ""));
        let mut told = Map::from_iter([
            ("operationId".to_owned(), json!(id)),
            ("tags".to_owned(), json!([tag])),
            ("summary".to_owned(), json!(summary)),
        ]);
        if !more.is_empty() {
            told.insert("description".to_owned(), json!(more.trim()));
        }
        let holes = path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
        let parameters =
            holes.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        Self { told, parameters: parameters.collect(), responses: Map::new() }
    }

    /// Sets a property of it, such as `security`.
    pub fn set(&mut self, field: &str, value: Value) {
        self.told.insert(field.to_owned(), value);
    }

    /// A header that it reads.
    pub fn header(&mut self, name: &str, kind: &str, required: bool, about: &str) {
        self.header_of(name, json!({ "type": kind }), required, about);
    }

    /// A header whose value has a schema.
    pub fn header_of(&mut self, name: &str, schema: Value, required: bool, about: &str) {
        let mut header = json!({ "name": name, "in": "header", "schema": schema, "description": about });
        if required {
            header["required"] = json!(true);
        }
        self.parameters.push(header);
    }

    /// The query parameters: the fields of `T`. Values of a list are joined by commas in one key.
    pub fn query<T: JsonSchema>(&mut self, schemas: &mut Schemas) {
        let schema = schemas.taken::<T>().to_value();
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            without_null(&mut property);
            let about = property.as_object_mut().and_then(|property| property.remove("description"));
            // An omitted field has no value, whatever its default in Rust.
            if let Some(property) =
                property.as_object_mut().filter(|property| property.get("default") != Some(&json!(false)))
            {
                property.remove("default");
            }
            let mut parameter = json!({ "name": name, "in": "query", "schema": property });
            if property["type"] == "array" {
                parameter["style"] = json!("form");
                parameter["explode"] = json!(false);
            }
            if let Some(about) = about {
                parameter["description"] = about;
            }
            if required.contains(name.as_str()) {
                parameter["required"] = json!(true);
            }
            self.parameters.push(parameter);
        }
    }

    /// The JSON body that it accepts.
    pub fn takes(&mut self, schema: Schema) {
        self.takes_as("application/json", schema.to_value());
    }

    /// A body of another content type that it accepts.
    pub fn takes_as(&mut self, kind: &str, schema: Value) {
        self.set("requestBody", json!({ "content": { kind: { "schema": schema } }, "required": true }));
    }

    /// The response with this status.
    pub fn answers(&mut self, status: u16, content: Option<(&str, Value)>) {
        let about = match status {
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            204 => "No content",
            206 => "Partial content",
            _ => "Answer",
        };
        self.respond(&status.to_string(), about, content);
    }

    /// The error response.
    pub fn fails_with<E: JsonSchema>(&mut self, schemas: &mut Schemas) {
        let schema = schemas.answered::<E>().to_value();
        self.fails_in("application/json", schema);
    }

    /// The same with another content type.
    pub fn fails_in(&mut self, kind: &str, schema: Value) {
        self.respond("default", "No success", Some((kind, schema)));
    }

    /// The response to what the schemas allow and the call refuses: `when` says what that is.
    pub fn refuses<E: JsonSchema>(&mut self, status: u16, when: &str, schemas: &mut Schemas) {
        let schema = schemas.answered::<E>().to_value();
        self.respond(&status.to_string(), when, Some(("application/json", schema)));
    }

    /// Whether this status is described already.
    #[must_use]
    pub fn has_response(&self, status: u16) -> bool {
        self.responses.contains_key(&status.to_string())
    }

    fn respond(&mut self, status: &str, about: &str, content: Option<(&str, Value)>) {
        let mut response = json!({ "description": about });
        if let Some((kind, schema)) = content {
            response["content"] = json!({ kind: { "schema": schema } });
        }
        self.responses.insert(status.to_owned(), response);
    }

    fn finish(mut self) -> Value {
        if !self.parameters.is_empty() {
            self.told.insert("parameters".to_owned(), Value::Array(self.parameters));
        }
        self.told.insert("responses".to_owned(), Value::Object(self.responses));
        Value::Object(self.told)
    }
}

/// A query has no `null`: what has no value is not there.
fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array() {
        let kinds: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
        schema["type"] = if let [kind] = kinds[..] { kind.clone() } else { json!(kinds) };
    }
}
