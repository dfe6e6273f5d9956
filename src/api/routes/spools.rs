//! Receiving files from a browser: announced, sent piece by piece, then ordered as an upload.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::guard::{INTENT, PIECES};
use super::super::openapi::{Created, Done, Input, Operation, Schemas};
use super::super::spool::{Refusal, Spool};
use super::super::types::{NewSpool, Spooled, SpooledFile};
use super::transfers::{Answer, parse_id};
use super::uploads::Uploads;
use super::{Body, Query};

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::new(StatusCode::NOT_FOUND, "nothing like this is being received"),
            Refusal::Elsewhere(received) => {
                Self::new(StatusCode::CONFLICT, format!("{received} bytes of the file are there: continue behind them"))
            }
            Refusal::Bad(field, problem) => Self::fields(BTreeMap::from([(field, problem)])),
            Refusal::Full(why) => Self::new(StatusCode::INSUFFICIENT_STORAGE, why)
                .hint("copy the files into a watched folder, or send them in smaller packages"),
            Refusal::Incomplete(why) => Self::new(StatusCode::CONFLICT, why),
            Refusal::Disk(error) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, format!("the agent cannot keep what it receives: {error}"))
            }
        }
    }
}

/// Runs what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    state: &ApiState,
    work: impl FnOnce(&Spool) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, ApiError> {
    let spool = state.spool.clone();
    let done = tokio::task::spawn_blocking(move || work(&spool)).await;
    let done = done.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(done?)
}

/// A piece of a file.
pub(super) struct Piece(Bytes);

impl FromRequest<ApiState> for Piece {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Response> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            ApiError::new(rejection.status(), "the piece cannot be read, or is larger than 32 MiB").into_response()
        })
    }
}

impl Input for Piece {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.header(INTENT, "string", true, "Any value: confirms that the request is intended.");
        operation.takes_as(PIECES, json!({ "type": "string", "format": "binary", "maxLength": 32 << 20 }));
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Where {
    /// Where the piece begins in the file: the bytes that are there.
    offset: u64,
}

pub(super) async fn begin(
    Extract(state): Extract<ApiState>,
    Body(new): Body<NewSpool>,
) -> Result<Created<Spooled>, ApiError> {
    blocking(&state, move |spool| spool.begin(&new)).await.map(Created)
}

pub(super) async fn show(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Answer<Spooled> {
    let id = parse_id::<Uploads>(&id)?;
    blocking(&state, move |spool| spool.show(id)).await.map(Json)
}

pub(super) async fn write(
    Extract(state): Extract<ApiState>,
    Path((id, number)): Path<(String, String)>,
    Query(Where { offset }): Query<Where>,
    Piece(bytes): Piece,
) -> Answer<SpooledFile> {
    let id = parse_id::<Uploads>(&id)?;
    let number = number.parse().map_err(|_| ApiError::from(Refusal::Unknown))?;
    blocking(&state, move |spool| spool.write(id, number, offset, &bytes)).await.map(Json)
}

pub(super) async fn remove(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Result<Done, ApiError> {
    let id = parse_id::<Uploads>(&id)?;
    blocking(&state, move |spool| spool.remove(id)).await.map(|()| Done)
}
