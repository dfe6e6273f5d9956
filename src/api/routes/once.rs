//! Requests that are carried out once, however often they are repeated: the header `Idempotency-Key`.
//!
//! **In**: the header and the parsed request. **Out**: the key with a digest of the request, or why the header is not a valid key.
//!
//! A caller that has lost the response repeats the request with the same key. The digest covers the parsed request: the formatting of its
//! JSON does not matter.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::super::error::ApiError;
use super::super::openapi::{Input, Operation, Schemas};
use super::super::types::ErrorBody;
use crate::model::OrderKey;

/// The header.
const NAME: &str = "idempotency-key";
/// Its longest value, characters.
const LONGEST: usize = 255;

/// What the header says, if it is there.
pub(super) struct Once(Option<String>);

impl Once {
    /// The key of this order to this call.
    pub(super) fn of(self, call: &str, order: &impl Serialize) -> Result<Option<OrderKey>, ApiError> {
        let Some(key) = self.0 else { return Ok(None) };
        let unreadable =
            |error: serde_json::Error| ApiError::bad(format!("cannot compute the digest of the request: {error}"));
        let said = serde_json::to_vec(order).map_err(unreadable)?;
        let mut digest = blake3::Hasher::new();
        digest.update(call.as_bytes()).update(b"\0").update(&said);
        Ok(Some(OrderKey { key, digest: *digest.finalize().as_bytes() }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let mut values = parts.headers.get_all(NAME).iter();
        let (value, more) = (values.next(), values.next());
        let Some(value) = value else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default().trim().trim_matches('"');
        let valid = (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !valid || more.is_some() {
            let message = format!("Idempotency-Key: one key of 1 to {LONGEST} visible ASCII characters is expected");
            return Err(ApiError::bad(message).hint("such as a UUID, a new one for each order").into_response());
        }
        Ok(Self(Some(key.to_owned())))
    }
}

impl Input for Once {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.refuses::<ErrorBody>(422, "If the Idempotency-Key was used for a different request.", schemas);
        let about = "A unique key, such as a UUID: a request repeated with the same key is carried out once, and answered with the \
                     upload that it created. Kept for 30 days. The same key with a different request is refused (422).";
        let key = json!({ "type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!#-~]+$" });
        operation.header_of("Idempotency-Key", key, false, about);
    }
}
