//! The form of every error, for programs and for people:
//! `{"code": 404, "message": "…", "errors": [{"code": 404, "msg": "…", "type": "not_found"}]}`. Documented by the service; the
//! words of `type` are the hub's.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{Open, lenient};

words! {
    /// Why a request was refused, for programs.
    pub enum ErrorKind ["type of an error"] {
        /// The request is not valid (400).
        Invalid = "invalid",
        /// The package has no files, and cannot be finalized (400).
        PackageEmpty = "package_empty",
        /// The listed parts are not those that were sent (400).
        InvalidPart = "invalid_part",
        /// The total size of the parts differs from the size of the file (400).
        InvalidSize = "invalid_size",
        /// A missing or wrong key, token, session or e-mail address (401).
        Unauthorized = "unauthorized",
        /// The link requires a password (401).
        PasswordRequired = "password_required",
        /// The password of the link is wrong (401).
        PasswordWrong = "password_wrong",
        /// The portal requires an access code (401).
        AccessCodeRequired = "access_code_required",
        /// The access code of the portal is wrong (401).
        AccessCodeWrong = "access_code_wrong",
        /// The caller may not do this (403).
        Forbidden = "forbidden",
        /// The link has reached its download limit (403).
        LimitReached = "limit_reached",
        /// The portal does not accept this file or package (403).
        Restricted = "restricted",
        /// It does not exist, or the caller may not know about it (404).
        NotFound = "not_found",
        /// The route does not have this method (405).
        MethodNotAllowed = "method_not_allowed",
        /// The body took too long (408).
        Timeout = "timeout",
        /// The current state does not allow it (409).
        Conflict = "conflict",
        /// It existed, but no longer does (410).
        Expired = "expired",
        /// The server has lost the content (410).
        ContentMissing = "content_missing",
        /// The body is too long (413).
        TooLarge = "too_large",
        /// Too many wrong passwords; `Retry-After` says how long to wait (429).
        TooManyGuesses = "too_many_guesses",
        /// More than the caller may have done in an hour, or at a time; `Retry-After` says how long to wait (429).
        RateLimited = "rate_limited",
        /// The server cannot do it now; retry after `Retry-After` (503).
        Internal = "internal",
        /// The server's storage is full (507).
        StorageFull = "storage_full",
        /// The team's quota is used up (507).
        QuotaExceeded = "quota_exceeded",
    }
}

/// The body of every error response.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorBody {
    /// A hub gives the HTTP status; the service has its own codes.
    #[serde(deserialize_with = "lenient::field")]
    pub code: Option<ErrorCode>,
    /// A sentence for people, without secrets.
    #[serde(deserialize_with = "lenient::plain")]
    pub message: String,
    /// The individual problems.
    #[serde(deserialize_with = "lenient::field")]
    pub errors: Vec<ErrorDetail>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorDetail {
    /// See [`ErrorBody::code`].
    #[serde(deserialize_with = "lenient::field")]
    pub code: Option<ErrorCode>,
    /// A sentence for people.
    #[serde(rename = "msg", deserialize_with = "lenient::plain")]
    pub message: String,
    /// A word for programs.
    #[serde(rename = "type", deserialize_with = "lenient::field")]
    pub kind: Option<Open<ErrorKind>>,
}

/// A server's error code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ErrorCode {
    /// A number; from a hub, the HTTP status.
    Number(i64),
    /// A word.
    Word(String),
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Word(word) => word.fmt(formatter),
        }
    }
}

impl ErrorBody {
    /// The body of a response with this HTTP status.
    ///
    /// ```
    /// use masv_protocol::{ErrorBody, ErrorKind};
    ///
    /// let body = ErrorBody::new(404, ErrorKind::NotFound, "link not found");
    /// assert_eq!(
    ///     serde_json::to_string(&body)?,
    ///     r#"{"code":404,"message":"link not found","errors":[{"code":404,"msg":"link not found","type":"not_found"}]}"#
    /// );
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn new(status: u16, kind: ErrorKind, message: impl Into<String>) -> Self {
        let (code, message) = (Some(ErrorCode::Number(status.into())), message.into());
        let detail = ErrorDetail { code: code.clone(), message: message.clone(), kind: Some(kind.into()) };
        Self { code, message, errors: vec![detail] }
    }

    /// What is wrong, as exactly as possible; empty if the server does not say.
    #[must_use]
    pub fn reason(&self) -> String {
        let details: Vec<&str> =
            self.errors.iter().map(|detail| detail.message.as_str()).filter(|detail| !detail.is_empty()).collect();
        if details.is_empty() { self.message.clone() } else { details.join("; ") }
    }

    /// Why the request was refused, if the reason is known.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        self.errors.iter().find_map(|detail| detail.kind.as_ref()?.known().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_understood_in_every_form() {
        let read = |text: &str| serde_json::from_str::<ErrorBody>(text).unwrap();
        let full = read(r#"{"code":7,"message":"bad","errors":[{"code":1,"msg":"size is missing","type":"x"}]}"#);
        assert_eq!((full.reason().as_str(), full.kind()), ("size is missing", None));
        assert_eq!(full.code.unwrap().to_string(), "7");
        assert_eq!(read(r#"{"message":"no such portal","code":"E7","errors":null}"#).reason(), "no such portal");
        assert_eq!(read("{}").reason(), "");
        let body = ErrorBody::new(410, ErrorKind::Expired, "the link has expired");
        assert_eq!(read(&serde_json::to_string(&body).unwrap()), body);
        assert_eq!(body.kind(), Some(ErrorKind::Expired));
    }
}
