//! How values look on the wire, and readers that take every plausible spelling of a foreign client.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::Refusal;

/// The largest JSON body, bytes: the list of 10,000 parts takes a tenth of it.
const LARGEST_BODY: usize = 8 << 20;
/// How long a JSON body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(60);
/// How the protocol writes a time that is not set.
pub(crate) const NO_TIME: &str = "0001-01-01T00:00:00.000Z";

/// Milliseconds since 1970, now.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A time in milliseconds since 1970 as the protocol writes it.
pub(crate) fn time(milliseconds: Option<i64>) -> String {
    milliseconds
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .map_or_else(|| NO_TIME.to_owned(), |time| format!("{time:.3}"))
}

/// A time as the protocol and its clients write it, in milliseconds since 1970: RFC 3339, without a zone (then in UTC), or a day
/// alone; `None` for what is not set or no time.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    if text.starts_with("0001-01-01") {
        return None;
    }
    let spellings = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
    spellings.iter().find_map(|text| text.parse::<Timestamp>().ok()).map(|time| time.as_millisecond())
}

/// A new id: an upper-case ULID.
pub(crate) fn new_id() -> Result<String, Refusal> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Refusal::internal(&error))?;
    let milliseconds = u64::try_from(now()).unwrap_or_default();
    Ok(ulid::Ulid::from_parts(milliseconds, u128::from_be_bytes(random)).to_string())
}

/// Whether `text` has the shape of an id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// A JSON body, whatever its content type; an empty one and `null` count as `{}`.
pub(crate) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Refusal> {
        let reading = to_bytes(request.into_body(), LARGEST_BODY);
        let bytes = tokio::time::timeout(BODY_LIMIT, reading)
            .await
            .map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long"))?
            .map_err(|_| {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is cut short or too long")
            })?;
        let text: &[u8] = match bytes.trim_ascii() {
            b"" | b"null" => b"{}",
            // A list would be taken for the fields in their order.
            text if text.starts_with(b"[") => return Err(Refusal::invalid("the body must be a JSON object")),
            text => text,
        };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| Refusal::invalid(format!("the body is not valid: {error}")))
    }
}

/// A whole number, or one written as a string; absent for `null` and `""`.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let invalid = |value: &Value| serde::de::Error::custom(format!("{value} is not a whole number"));
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
        .map(|text| {
            text.trim().parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is not a whole number")))
        })
        .transpose()
}

/// A string, a number written as one, or nothing.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        value => Err(serde::de::Error::custom(format!("{value} is not a text"))),
    }
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

/// Mail addresses: a list of texts or of objects with `email`, or one text with commas.
pub(crate) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let one = |value: &Value| value.as_str().or_else(|| value.get("email")?.as_str()).map(str::to_owned);
    let list = match Value::deserialize(deserializer)? {
        Value::Null => Vec::new(),
        Value::String(text) => text.split(',').map(str::to_owned).collect(),
        Value::Array(values) => values
            .iter()
            .map(|value| one(value).ok_or_else(|| serde::de::Error::custom(format!("{value} is not an address"))))
            .collect::<Result<_, _>>()?,
        value => return Err(serde::de::Error::custom(format!("{value} is not a list of addresses"))),
    };
    Ok(list.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect())
}

/// All values of `key` in a query, whether it is repeated or its values are joined by commas.
pub(crate) fn query_values(query: &[(String, String)], key: &str) -> Vec<String> {
    let bracketed = format!("{key}[]");
    query
        .iter()
        .filter(|(name, _)| name == key || *name == bracketed)
        .flat_map(|(_, value)| value.split(','))
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        assert_eq!(time(Some(1_700_000_000_120)), "2023-11-14T22:13:20.120Z");
        assert_eq!(time(None), NO_TIME);
        assert_eq!(parse_time("2023-11-14T22:13:20.120Z"), Some(1_700_000_000_120));
        assert_eq!(parse_time("2023-11-14T23:13:20.12+01:00"), Some(1_700_000_000_120));
        assert_eq!(parse_time("2023-11-14T22:13:20.120499"), Some(1_700_000_000_120));
        assert_eq!(parse_time("2023-11-14"), Some(1_699_920_000_000));
        assert_eq!(parse_time(NO_TIME), None);
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn ids_are_upper_case_ulids() {
        assert!(is_id(&new_id().unwrap()));
        assert!(!is_id("favicon.ico"));
    }

    #[test]
    fn numbers_and_addresses_come_in_many_spellings() {
        #[derive(Deserialize)]
        struct Given {
            #[serde(default, deserialize_with = "number")]
            size: Option<u64>,
            #[serde(default, deserialize_with = "addresses")]
            to: Vec<String>,
        }
        let read = |text: &str| serde_json::from_str::<Given>(text);
        assert_eq!(read(r#"{"size":"12"}"#).unwrap().size, Some(12));
        assert_eq!(read(r#"{"size":12}"#).unwrap().size, Some(12));
        assert_eq!(read(r#"{"size":null}"#).unwrap().size, None);
        assert!(read(r#"{"size":-1}"#).is_err());
        assert!(read(r#"{"size":1.5}"#).is_err());
        assert_eq!(read(r#"{"to":["a@b",{"email":"c@d"}]}"#).unwrap().to, ["a@b", "c@d"]);
        assert_eq!(read(r#"{"to":"a@b, c@d"}"#).unwrap().to, ["a@b", "c@d"]);
    }

    #[test]
    fn query_lists_are_repeated_or_joined() {
        let query =
            |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<(String, String)>>();
        for text in ["status=new,finalized", "status=new&status=finalized", "status[]=new&status[]=finalized"] {
            assert_eq!(query_values(&query(text), "status"), ["new", "finalized"]);
        }
    }
}
