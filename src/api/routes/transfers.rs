//! What uploads and downloads have in common: listing, showing, pausing, resuming and removing.

use std::fmt::Display;
use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::Done;
use super::super::types::{Paused, Removed, Resumed, Transfers};
use super::{NoFields, Query};
use crate::model::{Filter, State};

/// The maximum number of entries in a page.
const LARGEST_PAGE: u32 = 1_000;

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

/// A list, with the id of each entry.
pub(super) type Listed<S> = Vec<(<S as Side>::Id, <S as Side>::View)>;

/// One of the two directions, as these routes see it.
pub(super) trait Side: 'static {
    type Id: FromStr + Display + Copy + Send + Sync;
    type View: Serialize + JsonSchema + Send;
    /// `upload` or `download`.
    const NAME: &'static str;

    fn view(state: &ApiState, id: Self::Id) -> impl Future<Output = Result<Self::View, ApiError>> + Send;
    /// A view with a page of its files, after a number.
    fn with_files(
        state: &ApiState,
        id: Self::Id,
        after: Option<u32>,
        limit: u32,
    ) -> impl Future<Output = Result<Self::View, ApiError>> + Send;
    fn list(state: &ApiState, filter: Filter<Self::Id>) -> impl Future<Output = Result<Listed<Self>, ApiError>> + Send;
    fn pause(state: &ApiState, id: Self::Id) -> impl Future<Output = Result<(), ApiError>> + Send;
    fn resume(state: &ApiState, id: Self::Id) -> impl Future<Output = Result<(), ApiError>> + Send;
    fn remove(state: &ApiState, id: Self::Id) -> impl Future<Output = Result<(), ApiError>> + Send;
}

pub(super) fn parse_id<S: Side>(text: &str) -> Result<S::Id, ApiError> {
    let name = S::NAME;
    text.parse().map_err(|_| {
        ApiError::new(StatusCode::NOT_FOUND, format!("there is no {name} {text}"))
            .hint(format!("`masv {name} ls` lists the {name}s"))
    })
}

/// Comma-separated states; `all` and nothing mean all.
fn parse_states(text: &str) -> Result<Vec<State>, ApiError> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "all");
    words
        .map(|word| {
            serde_json::from_value(Value::String(word.to_owned())).map_err(|_| {
                ApiError::bad(format!("{word:?} is not a valid state"))
                    .hint(format!("the states are {}", STATES.join(", ")))
            })
        })
        .collect()
}

/// The words for states that a query may have.
const STATES: [&str; 5] = ["transferring", "paused", "idle", "complete", "error"];

fn states_schema(_: &mut SchemaGenerator) -> Schema {
    let words: Vec<&str> = STATES.into_iter().chain(["all"]).collect();
    json_schema!({ "type": "array", "items": { "type": "string", "enum": words } })
}

fn some_states_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = states_schema(generator);
    schema.insert("minItems".to_owned(), 1.into());
    schema
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Listing {
    /// Only those in one of these states.
    #[serde(default)]
    #[schemars(schema_with = "states_schema")]
    states: String,
    rule: Option<String>,
    /// Only those whose name or rule contains this.
    #[serde(default)]
    search: String,
    /// Only those with exactly this name, or whose id ends with this.
    #[serde(default)]
    named: String,
    /// Only those created at or after this time.
    since: Option<Timestamp>,
    /// Only those created before this time.
    until: Option<Timestamp>,
    limit: Option<u32>,
    /// The `cursor` of the page before.
    #[schemars(with = "Option<uuid::Uuid>")]
    cursor: Option<String>,
}

pub(super) async fn list<S: Side>(
    Extract(state): Extract<ApiState>,
    Query(listing): Query<Listing>,
) -> Answer<Transfers<S::View>> {
    let before = listing.cursor.as_deref().map(S::Id::from_str).transpose();
    let limit = listing.limit.map_or(0, |limit| limit.clamp(1, LARGEST_PAGE));
    let filter = Filter {
        states: parse_states(&listing.states)?,
        rule: listing.rule,
        before: before.map_err(|_| ApiError::bad("the cursor is not valid: use one returned by a list"))?,
        since: listing.since,
        search: listing.search,
        named: listing.named,
        until: listing.until,
        limit,
    };
    let found = S::list(&state, filter).await?;
    let full = limit > 0 && found.len() == limit as usize;
    let cursor = found.last().filter(|_| full).map(|(id, _)| id.to_string());
    Ok(Json(Transfers { transfers: found.into_iter().map(|(_, view)| view).collect(), cursor }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Looking {
    #[serde(default)]
    files: bool,
    limit: Option<u32>,
    cursor: Option<u32>,
}

pub(super) async fn show<S: Side>(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Query(looking): Query<Looking>,
) -> Answer<S::View> {
    let id = parse_id::<S>(&id)?;
    if looking.files {
        let limit = looking.limit.unwrap_or(LARGEST_PAGE).clamp(1, LARGEST_PAGE);
        return S::with_files(&state, id, looking.cursor, limit).await.map(Json);
    }
    S::view(&state, id).await.map(Json)
}

pub(super) async fn pause<S: Side>(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    _: NoFields,
) -> Answer<S::View> {
    let id = parse_id::<S>(&id)?;
    S::pause(&state, id).await?;
    S::view(&state, id).await.map(Json)
}

pub(super) async fn resume<S: Side>(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    _: NoFields,
) -> Answer<S::View> {
    let id = parse_id::<S>(&id)?;
    S::resume(&state, id).await?;
    S::view(&state, id).await.map(Json)
}

pub(super) async fn remove<S: Side>(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
) -> Result<Done, ApiError> {
    S::remove(&state, parse_id::<S>(&id)?).await?;
    Ok(Done)
}

async fn ids<S: Side>(state: &ApiState, states: Vec<State>) -> Result<Vec<S::Id>, ApiError> {
    let filter = Filter { states, ..Filter::default() };
    Ok(S::list(state, filter).await?.into_iter().map(|(id, _)| id).collect())
}

pub(super) async fn pause_all<S: Side>(Extract(state): Extract<ApiState>, _: NoFields) -> Answer<Paused> {
    let mut paused = 0;
    for id in ids::<S>(&state, vec![State::Transferring]).await? {
        // A transfer that just ended needs no pause.
        paused += u64::from(S::pause(&state, id).await.is_ok());
    }
    Ok(Json(Paused { paused }))
}

pub(super) async fn resume_all<S: Side>(Extract(state): Extract<ApiState>, _: NoFields) -> Answer<Resumed> {
    let mut resumed = 0;
    for id in ids::<S>(&state, vec![State::Paused, State::Error]).await? {
        resumed += u64::from(S::resume(&state, id).await.is_ok());
    }
    Ok(Json(Resumed { resumed }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Removing {
    /// Those in one of these states; required, because `all` is never assumed.
    #[schemars(schema_with = "some_states_schema", required)]
    states: Option<String>,
}

impl Removing {
    /// The given states; empty means all, which only the word `all` selects, not a stray comma.
    fn states(self) -> Result<Vec<State>, ApiError> {
        let text = self.states.unwrap_or_default();
        let named = parse_states(&text)?;
        if named.is_empty() && !text.split(',').any(|word| word.trim() == "all") {
            return Err(ApiError::bad("states: give the states to remove")
                .hint("for instance ?states=complete,error, or ?states=all"));
        }
        Ok(named)
    }
}

pub(super) async fn remove_many<S: Side>(
    Extract(state): Extract<ApiState>,
    Query(removing): Query<Removing>,
) -> Answer<Removed> {
    let mut removed = 0;
    for id in ids::<S>(&state, removing.states()?).await? {
        removed += u64::from(S::remove(&state, id).await.is_ok());
    }
    Ok(Json(Removed { removed }))
}
