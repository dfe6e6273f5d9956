//! The form that a portal's senders fill in, besides the files: reel numbers, projects, rights.
//!
//! The names of a field's properties are the protocol's for the fields of a portal's form; `visibility` is `required` or
//! `optional`. Other values from a sender are stored unchanged.

use masv_protocol::{FieldKind, MetadataField, Visibility};
use serde_json::Value;

use super::Error;

/// The maximum number of fields of a portal.
const MOST_FIELDS: usize = 50;
/// The longest name or label, bytes.
const LONGEST_NAME: usize = 100;
/// The maximum number of choices of a field.
const MOST_OPTIONS: usize = 200;
/// Maximum total size of the values, in bytes of JSON.
const LONGEST_ANSWERS: usize = 64 << 10;

/// A sender's values, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The field's key.
    pub name: String,
    pub label: String,
    pub value: String,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid(message.into())
}

/// Refuses fields that could not be filled in.
pub(crate) fn check(fields: &[MetadataField]) -> Result<(), Error> {
    if fields.len() > MOST_FIELDS {
        return Err(invalid(format!("a portal has at most {MOST_FIELDS} metadata_fields")));
    }
    for (index, field) in fields.iter().enumerate() {
        let wrong = |what: &str| invalid(format!("metadata_fields: {:?} {what}", field.name));
        let too_long = |text: &String| text.len() > LONGEST_NAME || text.chars().any(char::is_control);
        if field.default_value.len() > LONGEST_ANSWERS {
            return Err(wrong("has a default_value that is too long"));
        }
        if field.name.trim().is_empty() || too_long(&field.name) || too_long(&field.label) {
            return Err(wrong("needs a name of 1 to 100 bytes, and a label no longer than that"));
        }
        if fields[..index].iter().any(|other| other.name == field.name) {
            return Err(wrong("occurs twice"));
        }
        if (field.kind == FieldKind::Dropdown) == field.options.is_empty() {
            return Err(wrong("must have options if, and only if, it is a dropdown"));
        }
        if field.options.len() > MOST_OPTIONS
            || field.options.iter().any(|option| option.is_empty() || too_long(option))
        {
            return Err(wrong("has an option that is empty or too long, or has too many options"));
        }
    }
    Ok(())
}

/// Refuses a sender's values if one is missing or not among the choices: the message names every such field.
pub(crate) fn check_answers(fields: &[MetadataField], given: &Value) -> Result<(), Error> {
    if !matches!(given, Value::Null | Value::Object(_)) {
        return Err(invalid("custom_metadata must be an object"));
    }
    if given.to_string().len() > LONGEST_ANSWERS {
        return Err(invalid(format!("custom_metadata has more than {LONGEST_ANSWERS} bytes")));
    }
    let problems: Vec<String> = fields.iter().filter_map(|field| problem(field, given)).collect();
    if problems.is_empty() { Ok(()) } else { Err(invalid(format!("custom_metadata: {}", problems.join("; ")))) }
}

fn problem(field: &MetadataField, given: &Value) -> Option<String> {
    let name = &field.name;
    let Some(text) = answer(field, given) else {
        return (field.visibility == Visibility::Required).then(|| format!("{name} is required"));
    };
    match field.kind {
        FieldKind::Dropdown if !field.options.contains(&text) => {
            Some(format!("{name} must be one of {}", field.options.join(", ")))
        }
        FieldKind::Number if text.parse::<f64>().is_err() => Some(format!("{name} must be a number")),
        FieldKind::Date if text.parse::<jiff::civil::Date>().is_err() => {
            Some(format!("{name} must be a date, YYYY-MM-DD"))
        }
        _ => None,
    }
}

/// A value as text; `None` if there is none.
fn answer(field: &MetadataField, given: &Value) -> Option<String> {
    let text = match given.get(&field.name)? {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A sender's values for `fields`, in their order, then any other values.
pub(crate) fn answers(fields: &[MetadataField], given: &Value) -> Vec<Answer> {
    let asked = fields.iter().filter_map(|field| {
        let value = answer(field, given)?;
        Some(Answer { name: field.name.clone(), label: field.label().to_owned(), value })
    });
    let others = given.as_object().into_iter().flatten().filter(|(name, _)| !fields.iter().any(|f| f.name == **name));
    let others = others.filter_map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (!value.is_empty()).then(|| Answer { name: name.clone(), label: name.clone(), value })
    });
    asked.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Vec<MetadataField> {
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
        let message = |given: Value| check_answers(&fields, &given).unwrap_err().to_string();
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
