//! JSON bodies of requests.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use masv_protocol::ErrorKind;
use serde_json::Value;

use super::fields::{self, Fields};
use super::refusal::Refusal;

/// The largest JSON body, bytes: the list of 10,000 parts takes a tenth of it.
const LARGEST_BODY: usize = 8 << 20;
/// How long a JSON body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(60);

/// A JSON body, whatever its content type; an empty one and `null` count as `{}`.
pub(crate) struct JsonBody<T>(pub T);

impl<T: Fields, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Refusal> {
        let reading = to_bytes(request.into_body(), LARGEST_BODY);
        let bytes = tokio::time::timeout(BODY_LIMIT, reading)
            .await
            .map_err(|_| Refusal::new(ErrorKind::Timeout, "the body took too long"))?
            .map_err(|_| Refusal::new(ErrorKind::TooLarge, "the body is cut short or too long"))?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: Fields>(bytes: &[u8]) -> Result<T, Refusal> {
    let invalid = |error: serde_json::Error| Refusal::invalid(format!("the body is not valid: {error}"));
    let text: &[u8] = match bytes.trim_ascii() {
        b"" | b"null" => b"{}",
        text => text,
    };
    let value: Value = serde_json::from_slice(text).map_err(invalid)?;
    // A list would be taken for the fields in their order.
    let Some(given) = value.as_object() else {
        return Err(Refusal::invalid("the body must be a JSON object"));
    };
    fields::check::<T>(given)?;
    // From the value, not from the text: what is wrong with a field has no line and no column.
    serde_json::from_value(value).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use masv_protocol::{NewPackage, NewTag};

    use super::*;

    #[test]
    fn an_empty_body_is_an_empty_object_and_nothing_else_is_one() {
        for empty in ["", " ", "null", "{}"] {
            assert!(parse::<NewTag>(empty.as_bytes()).is_ok(), "{empty:?}");
        }
        for bad in ["[]", "7", "{", "\"x\""] {
            assert!(parse::<NewTag>(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_says_what_is_wrong_and_not_where_in_the_text() {
        let refusal = parse::<NewPackage>(br#"{"recipients": ["x@y..z"]}"#).map(drop).unwrap_err();
        assert_eq!(refusal.message, "the body is not valid: \"x@y..z\" is not a valid mail address");
    }
}
