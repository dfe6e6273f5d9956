//! What can go wrong: for the operator ([`HubError`]) and for a client ([`Refusal`], on the wire).

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::storage::{S3ConfigError, S3Error};
use masv_db::DbError;

/// The hub can not start, go on, or do what its operator asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A file or folder of the data directory can not be used.
    #[error("cannot use {}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process serves this data.
    #[error("another hub serves the data in {}: stop it first", data_dir.display())]
    Served {
        /// Whose.
        data_dir: PathBuf,
    },
    /// The data is to be upgraded, and a hub of an older version serves it.
    #[error("a hub of an older version serves the data in {}: restart it with this version first", data_dir.display())]
    OlderServes {
        /// Whose.
        data_dir: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The network.
    #[error("cannot serve")]
    Serve(#[source] std::io::Error),
    /// The mail settings make no sense.
    #[error("the mail settings are not usable: {0}")]
    Mail(String),
    /// The certificate or its key can not be used.
    #[error("cannot use the TLS certificate {}", path.display())]
    Tls {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The setting of the bucket makes no sense.
    #[error(transparent)]
    BucketSetting(#[from] S3ConfigError),
    /// The bucket refuses us, so nobody could send or receive.
    #[error("the bucket {bucket} cannot be used: {problem}")]
    Bucket {
        /// Which.
        bucket: String,
        /// What it said, and what to do.
        problem: String,
    },
    /// What the operator asked for is not possible.
    #[error("{0}")]
    Invalid(String),
    /// There is nothing of that name.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Which was asked for.
        name: String,
    },
}

impl From<rusqlite::Error> for HubError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A request that is not done, as its client is told: status, and `{"code","message","errors":[{"code","msg","type"}]}`.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    /// A stable word for programs.
    pub kind: &'static str,
    /// A sentence for people, without secrets.
    pub message: String,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), retry_after: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} not found"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "expired", message)
    }

    /// Something of ours failed: the log says what, the client only that it may try again.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self {
            retry_after: Some(Duration::from_secs(5)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "internal", "the hub could not do this now, try again")
        }
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        match std::error::Error::source(&error) {
            Some(source) => Self::internal(&format!("{error}: {source}")),
            None => Self::internal(&error),
        }
    }
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        Self::internal(&error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        DbError::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.status.as_u16();
        let body = json!({
            "code": code,
            "message": self.message,
            "errors": [{ "code": code, "msg": self.message, "type": self.kind }],
        });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}
