//! What a team sees and decides of its packages.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use rusqlite::OptionalExtension;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Hub;
use crate::error::Refusal;
use crate::http::auth;
use crate::http::auth::{From, owners_only};
use crate::http::wire::{JsonBody, flag, now, parse_time, text, time};
use crate::records::listing;
use crate::records::listing::Asked;
use crate::records::packages;
use crate::records::packages::{Package, Which};
use crate::records::{activity, tags};

pub(super) async fn sent(
    state: State<Hub>,
    team: Path<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    list(state, team, query, headers, Which::Sent).await
}

pub(super) async fn inbox(
    state: State<Hub>,
    team: Path<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    list(state, team, query, headers, Which::Received).await
}

async fn list(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    which: Which,
) -> Result<Json<Value>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    let asked = Asked::new(query.as_deref());
    let (total, records) = hub
        .database()
        .read(move |connection| {
            let (total, packages) = packages::list(connection, &team, which, &asked)?;
            let records = packages.iter().map(|package| with_names(connection, package));
            Ok::<_, Refusal>((total, records.collect::<Result<Vec<_>, _>>()?))
        })
        .await?;
    Ok(Json(listing::page(total, records)))
}

/// A package with its tag, and the portal that it came through, by name.
fn with_names(connection: &rusqlite::Connection, package: &Package) -> Result<Value, Refusal> {
    let mut shown = package.json();
    if let Some(tag) = &package.tag_id {
        let mut statement = connection.prepare_cached("SELECT name FROM tag WHERE id = ?1")?;
        let name: Option<String> = statement.query_row([tag], |row| row.get(0)).optional()?;
        shown["tag"] = json!({ "id": tag, "name": name });
    }
    if let Some(portal) = &package.portal_id {
        let mut statement = connection.prepare_cached("SELECT name, subdomain FROM portal WHERE id = ?1")?;
        let names: Option<(String, String)> =
            statement.query_row([portal], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((name, subdomain)) = names {
            shown["portal"] = json!({ "id": portal, "name": name, "subdomain": subdomain });
        }
    }
    Ok(shown)
}

pub(super) async fn package(
    State(hub): State<Hub>,
    Path((team, package)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    let mut shown = hub
        .database()
        .read(move |connection| {
            let found = packages::get(connection, &package)?;
            if found.team_id != team {
                return Err(Refusal::not_found("package"));
            }
            with_names(connection, &found)
        })
        .await?;
    let token = shown["id"].as_str().map(|id| hub.keys().package_token(id));
    shown["access_token"] = json!(token);
    Ok(Json(shown))
}

#[derive(Deserialize)]
pub(super) struct GivenExpiry {
    #[serde(default, deserialize_with = "flag")]
    unlimited_storage: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    expiry: Option<String>,
}

pub(super) async fn set_expiry(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenExpiry>,
) -> Result<Json<Value>, Refusal> {
    let authority = auth::full(&hub, &headers, &package).await?;
    let expiry = given.expiry.as_deref().and_then(parse_time);
    let expires_at = match (given.unlimited_storage.unwrap_or_default(), expiry) {
        (true, None) => None,
        (false, Some(expiry)) => Some(expiry),
        (true, Some(_)) => return Err(Refusal::invalid("unlimited_storage and expiry exclude each other")),
        (false, None) => return Err(Refusal::invalid("expiry must be a time, or unlimited_storage true")),
    };
    let package = hub
        .database()
        .write(move |connection| {
            let before = packages::get(connection, &package)?;
            owners_only(&authority, &before)?;
            let package = packages::set_expiry(connection, &package, expires_at, now())?;
            let subject =
                format!("{} until {}", before.name, expires_at.map_or("for ever".to_owned(), |at| time(Some(at))));
            authority.at(&before, from).note(connection, "package.kept", &subject)?;
            Ok::<_, Refusal>(package)
        })
        .await?;
    Ok(Json(package.json()))
}

pub(super) async fn tags(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    Ok(Json(hub.database().read(move |connection| tags::list(connection, &team)).await?))
}

#[derive(Deserialize)]
pub(super) struct GivenTag {
    #[serde(default)]
    name: String,
}

pub(super) async fn create_tag(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenTag>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    auth::team(&hub, &headers, &team).await?;
    let name = given.name.trim().to_owned();
    if name.is_empty() || name.len() > 255 {
        return Err(Refusal::invalid("name must have 1 to 255 bytes"));
    }
    let shown = name.clone();
    let id = hub.database().write(move |connection| tags::make_sure(connection, &team, &name)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "name": shown }))))
}

/// What happened in the course of an activity: here, each is one thing that happened.
pub(super) async fn activity_events(
    State(hub): State<Hub>,
    Path((team, activity)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    let found = hub.database().read(move |connection| activity::get(connection, &team, &activity)).await?;
    Ok(Json(vec![found]))
}

/// Connections to other clouds: the hub has none, and clients that list them are to see that.
pub(super) async fn cloud_connections(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    Ok(Json(Vec::new()))
}

pub(super) async fn activities(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    let asked = Asked::new(query.as_deref());
    let (total, records) = hub.database().read(move |connection| activity::list(connection, &team, &asked)).await?;
    Ok(Json(listing::page(total, records)))
}
