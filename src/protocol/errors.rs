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
        /// The request makes no sense (400).
        Invalid = "invalid",
        /// The package has no files, and cannot be finalized (400).
        PackageEmpty = "package_empty",
        /// The parts that were listed are not those that were sent (400).
        InvalidPart = "invalid_part",
        /// The parts together are not as large as the file (400).
        InvalidSize = "invalid_size",
        /// No or a wrong key, token, session or mail address (401).
        Unauthorized = "unauthorized",
        /// The link asks for a password (401).
        PasswordRequired = "password_required",
        /// The password of the link is wrong (401).
        PasswordWrong = "password_wrong",
        /// The portal asks for an access code (401).
        AccessCodeRequired = "access_code_required",
        /// The access code of the portal is wrong (401).
        AccessCodeWrong = "access_code_wrong",
        /// The caller may not do this (403).
        Forbidden = "forbidden",
        /// The link has been used as often as it may be (403).
        LimitReached = "limit_reached",
        /// The portal does not accept this file or package (403).
        Restricted = "restricted",
        /// There is no such thing, or the caller must not know of it (404).
        NotFound = "not_found",
        /// The route does not have this method (405).
        MethodNotAllowed = "method_not_allowed",
        /// The body took too long (408).
        Timeout = "timeout",
        /// The state of things does not allow it (409).
        Conflict = "conflict",
        /// It was there, and is no longer (410).
        Expired = "expired",
        /// The server has lost the content (410).
        ContentMissing = "content_missing",
        /// The body is too long (413).
        TooLarge = "too_large",
        /// Too many wrong passwords; `Retry-After` says how long to wait (429).
        TooManyGuesses = "too_many_guesses",
        /// More than the caller may have done in an hour, or at a time; `Retry-After` says how long to wait (429).
        RateLimited = "rate_limited",
        /// The server cannot do it now, and may be asked again after `Retry-After` (503).
        Internal = "internal",
        /// The server's storage is full (507).
        StorageFull = "storage_full",
        /// The team has stored as much as it may (507).
        QuotaExceeded = "quota_exceeded",
    }
}

/// The body of every answer that is not good.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorBody {
    /// A hub says the HTTP status; the service has codes of its own.
    #[serde(deserialize_with = "lenient::field")]
    pub code: Option<ErrorCode>,
    /// A sentence for people, without secrets.
    #[serde(deserialize_with = "lenient::plain")]
    pub message: String,
    /// What is wrong, one by one.
    #[serde(deserialize_with = "lenient::field")]
    pub errors: Vec<ErrorDetail>,
}

/// One thing that is wrong.
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

/// A server's code of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ErrorCode {
    /// A number, of a hub the HTTP status.
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
    /// The body of an answer with this HTTP status.
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

    /// What is wrong, in the most exact words that there are; empty where the server does not say.
    #[must_use]
    pub fn reason(&self) -> String {
        let details: Vec<&str> =
            self.errors.iter().map(|detail| detail.message.as_str()).filter(|detail| !detail.is_empty()).collect();
        if details.is_empty() { self.message.clone() } else { details.join("; ") }
    }

    /// Why the request was refused, if it is a reason that we know.
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
