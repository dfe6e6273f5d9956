//! JSON bodies of requests: bounded in bytes, depth and number of values before anything is made of them.
//!
//! 64 KiB are enough for nearly every call. Some may need more, see the constants here: each says why.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use serde_json::Value;

use super::access::{ClientAddress, Gate};
use super::bodies::{Held, Sender};
use super::fields::{self, Fields};
use super::refusal::Refusal;

/// The largest body of nearly every call, in bytes.
const USUAL: usize = 64 << 10;
/// Of a package of the team: a message of 64 KiB, whose letters may be written as escapes, 200 addresses and what is kept with it.
pub(crate) const PACKAGE_BODY: usize = 512 << 10;
/// Of a file that is finalized: 10,000 parts, each with its number and its ETag.
pub(crate) const PARTS_BODY: usize = 2 << 20;
/// Of a batch of files: a thousand files of usual names take a third of it.
pub(crate) const BATCH_BODY: usize = 1 << 20;
/// How deeply values may be nested.
const DEEPEST: usize = 32;
/// The maximum number of values in a body, and in one that lists parts or files: ten for each part.
const MOST_VALUES: usize = 10_000;
const MOST_VALUES_WITH_PARTS: usize = 100_000;
/// The maximum length of an error message, in characters: it repeats what was sent.
const LONGEST_PROBLEM: usize = 300;

/// A JSON body of a caller with a right, whatever its content type; an empty one and `null` count as `{}`. It counts against what
/// the hub holds as long as this lives: take it out with `JsonBody(given, ..)`.
pub(crate) struct JsonBody<T, const LARGEST: usize = USUAL>(pub T, #[expect(dead_code, reason = "held")] pub Held);

/// The same for an unauthorised caller.
pub(crate) struct StrangersBody<T>(pub T, #[expect(dead_code, reason = "held")] pub Held);

impl<T: Fields, const LARGEST: usize> FromRequest<Gate> for JsonBody<T, LARGEST> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, gate: &Gate) -> Result<Self, Refusal> {
        let sender = Sender::Known(address(&request));
        read(request, gate, sender, LARGEST).await.map(|(given, held)| Self(given, held))
    }
}

impl<T: Fields> FromRequest<Gate> for StrangersBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, gate: &Gate) -> Result<Self, Refusal> {
        let sender = Sender::Stranger(address(&request));
        read(request, gate, sender, USUAL).await.map(|(given, held)| Self(given, held))
    }
}

fn address(request: &Request<Body>) -> Option<std::net::IpAddr> {
    request.extensions().get::<ClientAddress>().and_then(|address| address.0)
}

async fn read<T: Fields>(
    request: Request<Body>,
    gate: &Gate,
    sender: Sender,
    largest: usize,
) -> Result<(T, Held), Refusal> {
    let (head, body) = request.into_parts();
    let (bytes, held) = gate.bodies().read(sender, &head.headers, body, largest).await?;
    let most = if matches!(largest, PARTS_BODY | BATCH_BODY) { MOST_VALUES_WITH_PARTS } else { MOST_VALUES };
    Ok((parse(&bytes, most)?, held))
}

fn parse<T: Fields>(bytes: &[u8], most_values: usize) -> Result<T, Refusal> {
    let invalid = |error: serde_json::Error| {
        let problem: String = error.to_string().chars().take(LONGEST_PROBLEM).collect();
        Refusal::invalid(format!("the body is not valid: {problem}"))
    };
    let text: &[u8] = match bytes.trim_ascii() {
        b"" | b"null" => b"{}",
        text => text,
    };
    check_shape(text, most_values)?;
    let value: Value = serde_json::from_slice(text).map_err(invalid)?;
    // A list would be accepted as the fields in order.
    let Some(given) = value.as_object() else {
        return Err(Refusal::invalid("the body must be a JSON object"));
    };
    fields::check::<T>(given)?;
    // From the value, not from the text: errors in a field have no line and column.
    serde_json::from_value(value).map_err(invalid)
}

/// Refuses what would take many times its own length in memory.
fn check_shape(text: &[u8], most_values: usize) -> Result<(), Refusal> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => (depth, values) = (depth + 1, values + 1),
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, b',') => values += 1,
            _ => {}
        }
        if depth > DEEPEST {
            return Err(Refusal::invalid(format!(
                "the body is not valid: values are nested more than {DEEPEST} levels deep"
            )));
        }
        if values > most_values {
            return Err(Refusal::invalid(format!("the body is not valid: it has more than {most_values} values")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use masv_protocol::{FinalizeFile, NewPackage, NewTag};

    use super::*;

    fn read<T: Fields>(text: &str) -> Result<T, Refusal> {
        parse(text.as_bytes(), MOST_VALUES)
    }

    #[test]
    fn an_empty_body_is_an_empty_object_and_nothing_else_is_one() {
        for empty in ["", " ", "null", "{}"] {
            assert!(read::<NewTag>(empty).is_ok(), "{empty:?}");
        }
        for bad in ["[]", "7", "{", "\"x\""] {
            assert!(read::<NewTag>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_says_what_is_wrong_and_not_where_in_the_text() {
        let refusal = read::<NewPackage>(r#"{"recipients": ["x@y..z"]}"#).map(drop).unwrap_err();
        assert_eq!(refusal.message, "the body is not valid: \"x@y..z\" is not a valid mail address");
        let long = format!(r#"{{"recipients": ["{}@y..z"]}}"#, "x".repeat(10_000));
        assert!(read::<NewPackage>(&long).map(drop).unwrap_err().message.len() < 400);
    }

    /// Two dozen bodies of 8 MiB that were nothing but small values took a gibibyte.
    #[test]
    fn a_body_has_bounds_in_depth_and_number_of_values() {
        let deep = |depth: usize| format!(r#"{{"custom_metadata":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(read::<NewPackage>(&deep(DEEPEST - 1)).is_ok());
        assert!(read::<NewPackage>(&deep(DEEPEST)).is_err() && read::<NewPackage>(&deep(30_000)).is_err());
        let many = |values: usize| format!(r#"{{"custom_metadata":[{}0]}}"#, "0,".repeat(values));
        assert!(read::<NewPackage>(&many(MOST_VALUES - 2)).is_ok());
        assert!(read::<NewPackage>(&many(MOST_VALUES)).is_err());
        let quoted = format!(r#"{{"description":"{}\"[[[["}}"#, "[,".repeat(20_000));
        assert!(read::<NewPackage>(&quoted).is_ok(), "what stands in a text is no value");
    }

    #[test]
    fn the_parts_of_the_largest_file_fit_however_they_are_written() {
        let part = |number: usize| {
            format!(
                r#"{{ "partNumber": "{number}", "etag": "\"{}\"", "size": 5368709120, "md5": "x" }}"#,
                "a".repeat(32)
            )
        };
        let parts: Vec<String> = (1..=10_000).map(part).collect();
        let text = format!(r#"{{"size":1,"chunk_extras":[{}]}}"#, parts.join(", "));
        assert!(text.len() < PARTS_BODY);
        let given: FinalizeFile = parse(text.as_bytes(), MOST_VALUES_WITH_PARTS).unwrap();
        assert_eq!(given.chunk_extras.len(), 10_000);
    }
}
