//! What a portal asks its senders to fill in, beside the files: reel numbers, projects, rights.
//!
//! The names of a field's properties are the protocol's for the fields of a portal's form; `visibility` is `required` or
//! `optional`. What else a sender gives is kept as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Refusal;

/// The most fields of a portal.
const MOST_FIELDS: usize = 50;
/// The longest name or label, bytes.
const LONGEST_NAME: usize = 100;
/// The most choices of a field.
const MOST_OPTIONS: usize = 200;
/// The longest answers together, bytes of JSON.
const LONGEST_ANSWERS: usize = 64 << 10;

/// Something to fill in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    /// Its key in `custom_metadata`.
    pub name: String,
    /// What people read; empty: the name.
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub visibility: Visibility,
    #[serde(rename = "type", default)]
    pub kind: Kind,
    /// What can be chosen, of a dropdown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Whether a field must be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Visibility {
    #[default]
    Optional,
    Required,
}

/// How a field is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    ShortText,
    LongText,
    Dropdown,
    Number,
    Date,
}

/// What a sender filled in, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    pub label: String,
    pub value: String,
}

impl Field {
    /// What people read.
    pub(crate) fn label(&self) -> &str {
        if self.label.is_empty() { &self.name } else { &self.label }
    }
}

/// Refuses fields that nobody could fill in.
pub(crate) fn check(fields: &[Field]) -> Result<(), Refusal> {
    if fields.len() > MOST_FIELDS {
        return Err(Refusal::invalid(format!("a portal has at most {MOST_FIELDS} metadata_fields")));
    }
    for (index, field) in fields.iter().enumerate() {
        let invalid = |what: &str| Refusal::invalid(format!("metadata_fields: {:?} {what}", field.name));
        let too_long = |text: &String| text.len() > LONGEST_NAME || text.chars().any(char::is_control);
        if field.name.trim().is_empty() || too_long(&field.name) || too_long(&field.label) {
            return Err(invalid("needs a name of 1 to 100 bytes, and a label no longer than that"));
        }
        if fields[..index].iter().any(|other| other.name == field.name) {
            return Err(invalid("is there twice"));
        }
        if (field.kind == Kind::Dropdown) == field.options.is_empty() {
            return Err(invalid("has options exactly if it is a dropdown"));
        }
        if field.options.len() > MOST_OPTIONS
            || field.options.iter().any(|option| option.is_empty() || too_long(option))
        {
            return Err(invalid("has an option that is empty or too long, or too many options"));
        }
    }
    Ok(())
}

/// Refuses what a sender filled in where something is missing or none of the choices: the message names every such field.
pub(crate) fn check_answers(fields: &[Field], given: &Value) -> Result<(), Refusal> {
    if !matches!(given, Value::Null | Value::Object(_)) {
        return Err(Refusal::invalid("custom_metadata must be an object"));
    }
    if given.to_string().len() > LONGEST_ANSWERS {
        return Err(Refusal::invalid(format!("custom_metadata has more than {LONGEST_ANSWERS} bytes")));
    }
    let problems: Vec<String> = fields.iter().filter_map(|field| problem(field, given)).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(format!("custom_metadata: {}", problems.join("; "))))
    }
}

fn problem(field: &Field, given: &Value) -> Option<String> {
    let name = &field.name;
    let Some(text) = answer(field, given) else {
        return (field.visibility == Visibility::Required).then(|| format!("{name} is required"));
    };
    match field.kind {
        Kind::Dropdown if !field.options.contains(&text) => {
            Some(format!("{name} must be one of {}", field.options.join(", ")))
        }
        Kind::Number if text.parse::<f64>().is_err() => Some(format!("{name} must be a number")),
        Kind::Date if text.parse::<jiff::civil::Date>().is_err() => Some(format!("{name} must be a date, YYYY-MM-DD")),
        _ => None,
    }
}

/// What was filled in as text; `None` when nothing was.
fn answer(field: &Field, given: &Value) -> Option<String> {
    let text = match given.get(&field.name)? {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// What a sender filled in of `fields`, in their order, then whatever else was given.
pub(crate) fn answers(fields: &[Field], given: &Value) -> Vec<Answer> {
    let asked = fields
        .iter()
        .filter_map(|field| Some(Answer { label: field.label().to_owned(), value: answer(field, given)? }));
    let others = given.as_object().into_iter().flatten().filter(|(name, _)| !fields.iter().any(|f| f.name == **name));
    let others = others.filter_map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (!value.is_empty()).then(|| Answer { label: name.clone(), value })
    });
    asked.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Vec<Field> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn fields_are_checked_when_the_portal_is_set_up() {
        for bad in [
            json!([{ "name": " " }]),
            json!([{ "name": "a" }, { "name": "a" }]),
            json!([{ "name": "a", "type": "dropdown" }]),
            json!([{ "name": "a", "options": ["x"] }]),
            json!([{ "name": "a", "type": "dropdown", "options": [""] }]),
        ] {
            assert!(check(&fields(bad.clone())).is_err(), "{bad}");
        }
        assert!(
            check(&fields(json!([{ "name": "a", "type": "dropdown", "options": ["x"] }, { "name": "b" }]))).is_ok()
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_all_at_once() {
        let fields = fields(json!([
            { "name": "reel", "visibility": "required" },
            { "name": "camera", "type": "dropdown", "options": ["A", "B"] },
            { "name": "day", "type": "number" },
            { "name": "shot", "type": "date" },
        ]));
        let message = |given: Value| check_answers(&fields, &given).unwrap_err().message;
        assert_eq!(message(Value::Null), "custom_metadata: reel is required");
        assert_eq!(
            message(json!({ "reel": " ", "camera": "C", "day": "x", "shot": "1.2.26" })),
            "custom_metadata: reel is required; camera must be one of A, B; day must be a number; shot must be a date, \
             YYYY-MM-DD"
        );
        assert!(check_answers(&fields, &json!({ "reel": "A1", "day": 3, "shot": "2026-02-01", "more": [1] })).is_ok());
        assert!(check_answers(&[], &json!("text")).is_err());
    }

    #[test]
    fn answers_are_read_in_the_order_of_the_fields() {
        let fields = fields(json!([{ "name": "b", "label": "Bee" }, { "name": "a" }]));
        let read: Vec<String> = answers(&fields, &json!({ "a": 1, "b": "x", "z": "y", "n": "" }))
            .into_iter()
            .map(|answer| format!("{}={}", answer.label, answer.value))
            .collect();
        assert_eq!(read, ["Bee=x", "a=1", "z=y"]);
    }
}
