//! Deserializers that accept every plausible variant of other clients and servers.
//!
//! Those that end in `Option` are for requests: an invalid value is an error, because its sender must know. [`field`] is
//! for responses: what cannot be understood counts as absent.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{EmailAddress, Secret, TagChoice, Time};

/// An optional field of a response: anything that is not understood becomes the default.
pub(crate) fn field<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A string in a response; a number becomes its digits, and anything else the empty string.
pub(crate) fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(as_text(Value::deserialize(deserializer)?).ok().flatten().unwrap_or_default())
}

/// An id in a response, which may be absent; the empty string counts as absent.
pub(crate) fn id<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = as_text(Value::deserialize(deserializer)?).ok().flatten();
    Ok(text.filter(|text| !text.is_empty()).map(T::from))
}

/// A time in a response, or of a file's last modification: RFC 3339, or milliseconds or seconds since 1970. Anything else is unset.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    Ok(as_time(&Value::deserialize(deserializer)?).unwrap_or_default())
}

/// The modification time of an announced file; anything but a time is absent.
pub(crate) fn modified<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    Ok(as_time(&Value::deserialize(deserializer)?).filter(|time| !time.is_unset()))
}

/// A required whole number, or one written as a string; 0 for `null`.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer).map(Option::unwrap_or_default)
}

/// A string, or a number instead of the string; never absent.
pub(crate) fn required_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer)?.ok_or_else(|| Error::custom("null is not a string"))
}

/// A string, a number instead of one, or nothing.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    as_text(Value::deserialize(deserializer)?).map_err(Error::custom)
}

/// A whole number, or one written as a string; absent for `null` and `""`.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let invalid = |value: &Value| Error::custom(format!("{value} is not a whole number"));
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| invalid(&Value::String(text))),
        value => value.as_u64().map(Some).ok_or_else(|| invalid(&value)),
    }
}

/// A whole number of any sign, or one written as a string; absent for `null` and `""`.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let given = text(deserializer)?.filter(|text| !text.trim().is_empty());
    given
        .map(|text| text.trim().parse().map_err(|_| Error::custom(format!("{text:?} is not a whole number"))))
        .transpose()
}

/// `true`, `"true"`, `1`, `"1"`; anything else is false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::Bool(flag) => Some(flag),
        Value::Number(number) => Some(number.as_u64() == Some(1)),
        Value::String(text) => Some(matches!(text.as_str(), "true" | "1")),
        _ => Some(false),
    })
}

/// A value written as a string; absent for `null` and `""`.
pub(crate) fn word<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let given = text(deserializer)?.filter(|text| !text.trim().is_empty());
    given.map(|text| text.trim().parse().map_err(Error::custom)).transpose()
}

/// A password or a code; absent for `null` and `""`.
pub(crate) fn word_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(text(deserializer)?.filter(|text| !text.is_empty()).map(Secret::from))
}

/// A password that an empty one takes away; absent for `null`.
pub(crate) fn text_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(text(deserializer)?.map(Secret::from))
}

/// Mail addresses: a list of texts or of objects with `email`, or one text with commas.
pub(crate) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EmailAddress>, D::Error> {
    some_addresses(deserializer).map(Option::unwrap_or_default)
}

/// The same if an empty list differs from an absent one; absent for `null`.
pub(crate) fn some_addresses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<EmailAddress>>, D::Error> {
    let one = |value: &Value| value.as_str().or_else(|| value.get("email")?.as_str()).map(str::to_owned);
    let list = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => text.split(',').map(str::to_owned).collect(),
        Value::Array(values) => values
            .iter()
            .map(|value| one(value).ok_or_else(|| Error::custom(format!("{value} is not a valid mail address"))))
            .collect::<Result<Vec<_>, _>>()?,
        value => return Err(Error::custom(format!("{value} is not a list of mail addresses"))),
    };
    let given = list.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    given.map(|text| text.parse().map_err(Error::custom)).collect::<Result<_, _>>().map(Some)
}

/// A tag: an object with `id` or `name` (the id takes precedence), or just its name. Anything else is absent.
pub(crate) fn tag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TagChoice>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = field("name").or_else(|| value.as_str().filter(|text| !text.is_empty()));
    Ok(field("id").map(|id| TagChoice::Id(id.into())).or_else(|| name.map(|name| TagChoice::Name(name.to_owned()))))
}

fn as_text(value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        value => Err(format!("{value} is not a string")),
    }
}

fn as_time(value: &Value) -> Option<Time> {
    match value {
        Value::String(text) => text.parse().ok().or_else(|| Some(Time::from_number(text.trim().parse().ok()?))),
        Value::Number(number) => number.as_i64().map(Time::from_number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Given {
        #[serde(deserialize_with = "number")]
        size: Option<u64>,
        #[serde(deserialize_with = "integer")]
        days: Option<i64>,
        #[serde(deserialize_with = "addresses")]
        to: Vec<EmailAddress>,
        #[serde(deserialize_with = "flag")]
        on: Option<bool>,
        #[serde(deserialize_with = "tag")]
        tag: Option<TagChoice>,
        #[serde(deserialize_with = "modified")]
        at: Option<Time>,
        #[serde(deserialize_with = "field")]
        any: u64,
    }

    fn read(value: Value) -> Result<Given, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn numbers_come_as_texts_and_texts_as_numbers() {
        assert_eq!(read(json!({ "size": "12", "days": " -1 " })).unwrap().size, Some(12));
        assert_eq!(read(json!({ "size": 12, "days": -1 })).unwrap().days, Some(-1));
        assert_eq!(read(json!({ "size": null, "days": "" })).unwrap().size, None);
        for bad in [json!({ "size": -1 }), json!({ "size": 1.5 }), json!({ "size": "x" }), json!({ "days": true })] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_come_in_many_forms_and_are_checked() {
        let to = |value: Value| {
            read(json!({ "to": value })).map(|given| given.to.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let both: Vec<String> = vec!["a@b".into(), "c@d".into()];
        assert_eq!(to(json!(["a@b", { "email": "c@d" }])).unwrap(), both);
        assert_eq!(to(json!("a@b, c@d,")).unwrap(), both);
        assert_eq!(to(Value::Null).unwrap(), Vec::<String>::new());
        let error = to(json!(["x@y..z"])).unwrap_err().to_string();
        assert_eq!(error, "\"x@y..z\" is not a valid mail address");
        assert!(to(json!([1])).is_err() && to(json!({})).is_err());
    }

    #[test]
    fn flags_tags_and_times_come_in_many_forms() {
        for (value, on) in [(json!(true), true), (json!("1"), true), (json!(0), false), (json!("no"), false)] {
            assert_eq!(read(json!({ "on": value })).unwrap().on, Some(on));
        }
        let tag = |value: Value| read(json!({ "tag": value })).unwrap().tag;
        assert_eq!(tag(json!("t")), Some(TagChoice::Name("t".into())));
        assert_eq!(tag(json!({ "id": "T", "name": "t" })), Some(TagChoice::Id("T".into())));
        assert_eq!((tag(json!({})), tag(json!({ "id": "" })), tag(json!(1))), (None, None, None));
        let at = |value: Value| read(json!({ "at": value })).unwrap().at.and_then(Time::as_millisecond);
        for value in
            [json!("2023-11-14T22:13:20Z"), json!(1_700_000_000_000_i64), json!(1_700_000_000), json!("1700000000000")]
        {
            assert_eq!(at(value.clone()), Some(1_700_000_000_000), "{value}");
        }
        assert_eq!((at(Value::Null), at(json!("soon"))), (None, None));
    }

    #[test]
    fn a_field_that_is_not_understood_is_absent() {
        assert_eq!(read(json!({ "any": { "x": 1 } })).unwrap().any, 0);
        assert_eq!(read(json!({ "any": 7 })).unwrap().any, 7);
    }
}
