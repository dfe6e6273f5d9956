//! Types of values: what a valid one is, in words and as JSON Schema.

use serde_json::{Value, json};

/// What kind of value a key has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Texts,
    Boolean,
    Whole {
        least: i64,
        most: Option<i64>,
    },
    Duration,
    Size,
    Secret,
    Template,
    /// Text of a certain form: what it is, and a pattern that valid ones match. Not stricter than the reader.
    Like(&'static str, &'static str),
    Choice(&'static [&'static str]),
    /// Has its own definition in the schema.
    Defined(&'static str),
    /// One of several types, distinguished by the reader.
    Either(&'static [Shape]),
    ListOf(&'static Shape),
    /// A mapping from any name to templates.
    Templates,
}

/// The words as alternatives: `one`, `two` or `three`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

impl Shape {
    /// What a valid value is, to follow "expected".
    pub(super) fn words(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Texts => "a string or a list of strings".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Whole { least, most: None } => format!("a whole number from {least}"),
            Self::Whole { least, most: Some(most) } if least == most => format!("{least}"),
            Self::Whole { least, most: Some(most) } => format!("a whole number from {least} to {most}"),
            Self::Duration => "a duration".to_owned(),
            Self::Size => "a size".to_owned(),
            Self::Secret => "text or { file: PATH }".to_owned(),
            Self::Template => "a template".to_owned(),
            Self::Like(what, _) => (*what).to_owned(),
            Self::Choice(words) => one_of(words),
            Self::Defined(_) | Self::Templates => "a mapping".to_owned(),
            Self::Either(shapes) => shapes.iter().map(Self::words).collect::<Vec<_>>().join(", or "),
            Self::ListOf(shape) => match shape {
                Self::Defined(_) => "a list of mappings".to_owned(),
                Self::Text => "a list of strings".to_owned(),
                Self::Like(what, _) => format!("a list, each one {what}"),
                shape => format!("a list, each one {}", shape.words()),
            },
        }
    }

    /// The JSON Schema of a valid value.
    pub(super) fn schema(&self) -> Value {
        let variable = json!({ "type": "string", "pattern": r"\$\{" });
        match self {
            Self::Text | Self::Template => json!({ "type": ["string", "number", "boolean"] }),
            Self::Like(_, pattern) => json!({ "anyOf": [{ "type": "string", "pattern": pattern }, variable] }),
            Self::Texts => json!({ "anyOf": [Self::Text.schema(), { "type": "array", "items": Self::Text.schema() }] }),
            Self::Boolean => json!({ "anyOf": [{ "type": "boolean" }, variable] }),
            Self::Whole { least, most } => {
                let mut number = json!({ "type": "integer", "minimum": least });
                if let (Some(most), Some(object)) = (most, number.as_object_mut()) {
                    object.insert("maximum".to_owned(), json!(most));
                }
                json!({ "anyOf": [number, variable] })
            }
            Self::Duration => json!({ "anyOf": [
                { "type": "string", "pattern": r"^\s*([0-9.]+\s*[A-Za-z]+[\s,]*)+$|^0$" }, { "const": 0 }, variable
            ] }),
            Self::Size => json!({ "anyOf": [
                { "type": "string", "pattern": r"^\s*[0-9][0-9._]*\s*[A-Za-z]*\s*$" },
                { "type": "integer", "minimum": 0 },
                variable
            ] }),
            Self::Secret => json!({ "anyOf": [
                Self::Text.schema(),
                {
                    "type": "object",
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false
                }
            ] }),
            Self::Choice(words) => json!({ "anyOf": [{ "enum": words }, variable] }),
            Self::Defined(name) => json!({ "$ref": format!("#/$defs/{name}") }),
            Self::Either(shapes) => json!({ "anyOf": shapes.iter().map(Self::schema).collect::<Vec<_>>() }),
            Self::ListOf(shape) => json!({ "type": "array", "items": shape.schema() }),
            Self::Templates => json!({ "type": "object", "additionalProperties": Self::Text.schema() }),
        }
    }
}
