//! What can go wrong in the hub: setting it up ([`HubError`]), and answering a request ([`Refusal`]).

use std::path::PathBuf;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::db::DbError;

/// A hub that can not be set up or go on.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A folder of its data can not be made or read.
    #[error("the hub cannot use {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its database failed.
    #[error("the hub's database cannot be used")]
    Database(#[from] DbError),
    /// The system gives no randomness, or a password can not be hashed.
    #[error("the hub cannot make secrets: {0}")]
    Secrets(String),
    /// It can not listen.
    #[error("the hub cannot listen")]
    Listen(#[source] std::io::Error),
}

/// Why a request is not done. What a client sees of it is the status and the message; what went wrong inside goes
/// into the log only.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// For the storage's own clients, which read XML.
    storage_code: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), storage_code: None }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A refusal of the storage, as S3 words it.
    pub(super) fn storage(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), storage_code: Some(code) }
    }

    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the hub cannot do this now; its log says why")
    }

    /// What a person is told.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Self::internal(&error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Some(code) = self.storage_code {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message></Error>",
                quick_xml::escape::escape(&self.message)
            );
            return (self.status, [(header::CONTENT_TYPE, "application/xml")], body).into_response();
        }
        let code = self.status.as_u16();
        let kind = self.status.canonical_reason().unwrap_or("error");
        let errors = json!([{ "code": code, "msg": self.message, "type": kind }]);
        (self.status, Json(json!({ "code": code, "message": self.message, "errors": errors }))).into_response()
    }
}
