//! The response to a failed request: the one place where the errors of the hub become a status and a body.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use masv_db::DbError;
use masv_protocol::{ErrorBody, ErrorKind};

use crate::context::NoBucket;
use crate::keys::KeysError;
use crate::records::Error;
use crate::storage::S3Error;

/// When a sender whose team's quota is full may retry: something may have been removed.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// When to retry a request that failed because of an internal error.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// A request that is not done.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    /// A stable word for programs.
    pub kind: ErrorKind,
    /// A sentence for people, without secrets.
    pub message: String,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { status: status(kind), kind, message: message.into(), retry_after: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthorized, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} not found"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Something of ours failed: the log says what, the client only that it may try again.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        let refusal = Self::new(ErrorKind::Internal, "the hub could not do this at the moment: try again");
        Self { retry_after: Some(TRY_AGAIN), ..refusal }
    }
}

/// The status that goes with each kind of error.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid | ErrorKind::PackageEmpty | ErrorKind::InvalidPart | ErrorKind::InvalidSize => {
            StatusCode::BAD_REQUEST
        }
        ErrorKind::Unauthorized
        | ErrorKind::PasswordRequired
        | ErrorKind::PasswordWrong
        | ErrorKind::AccessCodeRequired
        | ErrorKind::AccessCodeWrong => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden | ErrorKind::LimitReached | ErrorKind::Restricted => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Timeout => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Expired | ErrorKind::ContentMissing => StatusCode::GONE,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::TooManyGuesses | ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Internal => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotFound(_) => ErrorKind::NotFound,
            Error::Invalid(_) => ErrorKind::Invalid,
            Error::Conflict(_) => ErrorKind::Conflict,
            Error::Forbidden(_) => ErrorKind::Forbidden,
            Error::PackageEmpty => ErrorKind::PackageEmpty,
            Error::InvalidPart(_) => ErrorKind::InvalidPart,
            Error::InvalidSize { .. } | Error::BeyondAnnounced { .. } => ErrorKind::InvalidSize,
            Error::Restricted(_) => ErrorKind::Restricted,
            Error::LinkExpired => ErrorKind::Expired,
            Error::LimitReached => ErrorKind::LimitReached,
            Error::QuotaExceeded { .. } => {
                let refusal = Self::new(ErrorKind::QuotaExceeded, error.to_string());
                return Self { retry_after: Some(ASK_AGAIN), ..refusal };
            }
            Error::InFlight => {
                return Self { retry_after: Some(TRY_AGAIN), ..Self::new(ErrorKind::Internal, error.to_string()) };
            }
            Error::TooOften(wait) => {
                let refusal = Self::new(ErrorKind::RateLimited, error.to_string());
                return Self { retry_after: Some(*wait), ..refusal };
            }
            Error::Random(_) => return Self::internal(&error),
            Error::Database(error) => return internal_of(error),
        };
        Self::new(kind, error.to_string())
    }
}

/// The database failed: the log says with what, and why.
fn internal_of(error: &DbError) -> Refusal {
    if matches!(error, DbError::ReadOnly) {
        let why = "the hub is being moved and takes no changes: try again later, perhaps at its new address";
        return Refusal { retry_after: Some(ASK_AGAIN), ..Refusal::new(ErrorKind::Internal, why) };
    }
    match std::error::Error::source(error) {
        Some(source) => Refusal::internal(&format!("{error}: {source}")),
        None => Refusal::internal(error),
    }
}

impl From<KeysError> for Refusal {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::TooLong | KeysError::TooShort(_) => Self::invalid(error.to_string()),
            KeysError::TooManyAttempts(wait) => {
                Self { retry_after: Some(wait), ..Self::new(ErrorKind::TooManyGuesses, error.to_string()) }
            }
            KeysError::Busy => {
                Self { retry_after: Some(TRY_AGAIN), ..Self::new(ErrorKind::Internal, error.to_string()) }
            }
            KeysError::Failed(_) => Self::internal(&error),
        }
    }
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        Self::internal(&error)
    }
}

impl From<NoBucket> for Refusal {
    fn from(error: NoBucket) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ErrorBody::new(self.status.as_u16(), self.kind, self.message);
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(self.kind);
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: hundreds of sign-ins at once: beyond the queue the answer is 503 with a time to wait.
    #[test]
    fn whoever_finds_the_threads_that_hash_busy_is_told_when_to_come_back() {
        let answer = Refusal::from(KeysError::Busy).into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "5");
    }
}
