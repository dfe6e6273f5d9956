//! Errors as the API reports them: `{"code", "message", "hint"?, "fields"?}`.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::types::ErrorBody;
use crate::engine::QueueError;
use crate::model::TransferId;
use crate::portal_downloads::InboxError;
use crate::store::StoreError;
use crate::watch::WatchError;
use masv_client::CloudError;

/// The MASV Agent's code for calls that require a session.
const NO_SESSION: u32 = 262_146;

/// An error response.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let code = u32::from(status.as_u16());
        Self { status, body: ErrorBody { code, message: message.into(), hint: None, fields: BTreeMap::new() } }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Several bad fields at once, each with its problem.
    pub(super) fn fields(fields: BTreeMap<String, String>) -> Self {
        let message: Vec<String> = fields.iter().map(|(field, problem)| format!("{field}: {problem}")).collect();
        let mut error = Self::bad(message.join("; "));
        error.body.fields = fields;
        error
    }

    /// The same, with what is wrong by field or position.
    pub(super) fn with_fields(mut self, fields: BTreeMap<String, String>) -> Self {
        self.body.fields = fields;
        self
    }

    pub(super) fn no_session() -> Self {
        let mut error = Self::new(StatusCode::UNAUTHORIZED, "session is nil").hint("sign in with `masv user login`");
        error.body.code = NO_SESSION;
        error
    }

    fn other_order() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "this Idempotency-Key was already used for a different request")
            .hint("use a new key for each request, and the same key only to repeat a request unchanged")
    }

    fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a call of the local API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the agent cannot do this at the moment")
            .hint("see its log for the reason")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match &error {
            QueueError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            QueueError::WrongState { id, state, .. } => {
                Self::new(StatusCode::CONFLICT, error.to_string()).hint(works_now(*id, state))
            }
            QueueError::AlreadyClaimed { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            QueueError::OtherOrder => Self::other_order(),
            QueueError::Invalid(_) => Self::bad(error.to_string()),
            QueueError::Cloud(cloud) => Self::from(cloud.clone()),
            QueueError::Store(store) => Self::internal(store),
        }
    }
}

/// What can be done with a transfer in this state.
fn works_now(id: TransferId, state: &str) -> &'static str {
    match state {
        "transferring" if is_download(id) => "it can be paused or removed",
        "paused" if is_download(id) => "it can be resumed or removed",
        "error" if is_download(id) => "it can be resumed once the cause is fixed, or removed",
        _ if is_download(id) => "it can be removed from the list; its files are kept",
        "transferring" => "it can be paused, finalized or removed, and files can be added",
        "paused" => "it can be resumed or removed, and files can be added",
        "idle" => "it can be finalized or removed, and files can be added",
        "error" => "it can be resumed once the cause is fixed, or removed, and files can be added",
        "finalizing" => "no more files can be added: start another upload",
        _ => "it can be given another link, or removed from the list",
    }
}

fn is_download(id: TransferId) -> bool {
    matches!(id, TransferId::Download(_))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            StoreError::WrongState { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            StoreError::OtherOrder => Self::other_order(),
            _ => Self::internal(&error),
        }
    }
}

impl From<CloudError> for ApiError {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::NotSignedIn => Self::no_session(),
            CloudError::NoTeam { .. } => Self::bad(error.to_string()).hint("choose one with --team-id"),
            CloudError::Refused { status, .. } => {
                // The cloud's refusals are passed on; its own failures become 502.
                let status = StatusCode::from_u16(status).ok().filter(StatusCode::is_client_error);
                Self::new(status.unwrap_or(StatusCode::BAD_GATEWAY), error.to_string())
            }
            CloudError::Unreachable { .. } | CloudError::Garbled { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                    .hint("try again when the cloud can be reached")
            }
            CloudError::Elsewhere { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            CloudError::Setup { .. } => Self::internal(&error),
        }
    }
}

impl From<InboxError> for ApiError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::NoSuchRule(_) => {
                Self::new(StatusCode::NOT_FOUND, error.to_string()).hint("`masv rule ls` lists the rules")
            }
            InboxError::Disabled(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            InboxError::Cloud(error) => Self::from(error),
            InboxError::Store(error) => Self::from(error),
        }
    }
}

impl From<WatchError> for ApiError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::NoSuchRule(_) => {
                Self::new(StatusCode::NOT_FOUND, error.to_string()).hint("`masv rule ls` lists the rules")
            }
            WatchError::NotWatched(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            WatchError::Disabled(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            WatchError::Store(error) => Self::from(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: a call without a session is answered with the vendor's code for that, 262146.
    #[test]
    fn without_a_session_the_code_is_the_one_that_scripts_know() {
        let refused = ApiError::no_session();
        assert_eq!((refused.status, refused.body.code), (StatusCode::UNAUTHORIZED, 262_146));
        assert_eq!(ApiError::bad("x").body.code, 400);
    }
}
