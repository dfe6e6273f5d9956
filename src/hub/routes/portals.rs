//! Portals: anybody who knows one may send a package to its owners.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Body;
use super::packages::{self, Fresh};
use crate::hub::error::Refusal;
use crate::hub::secrets;
use crate::hub::serve::App;

pub(super) async fn find(State(app): State<Arc<App>>, Path(subdomain): Path<String>) -> Result<Json<Value>, Refusal> {
    let read = move |connection: &Connection| {
        connection
            .prepare_cached("SELECT id, name, access_code_hash IS NOT NULL FROM portal WHERE subdomain = ?1")?
            .query_row([&subdomain], |row| {
                let (id, name, has_code): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(json!({
                    "id": id, "name": name, "subdomain": subdomain, "active": true,
                    "has_access_code": has_code, "has_download_password": false,
                }))
            })
            .optional()?
            .ok_or_else(|| Refusal::not_found("portal"))
    };
    Ok(Json(app.hub.inner.database.read(read).await?))
}

#[derive(Deserialize)]
pub(super) struct NewPackage {
    name: String,
    sender: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    access_code: Option<String>,
    #[serde(default, alias = "metadata")]
    custom_metadata: Value,
}

struct Portal {
    team: String,
    recipients: Vec<String>,
    code_hash: Option<String>,
}

fn portal(connection: &Connection, id: &str) -> Result<Portal, Refusal> {
    connection
        .prepare_cached("SELECT team_id, recipients, access_code_hash FROM portal WHERE id = ?1")?
        .query_row([id], |row| {
            let recipients: String = row.get(1)?;
            Ok(Portal {
                team: row.get(0)?,
                recipients: serde_json::from_str(&recipients).unwrap_or_default(),
                code_hash: row.get(2)?,
            })
        })
        .optional()?
        .ok_or_else(|| Refusal::not_found("portal"))
}

pub(super) async fn create_package(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(new): Body<NewPackage>,
) -> Result<impl IntoResponse, Refusal> {
    if new.name.trim().is_empty() || !new.sender.contains('@') {
        return Err(Refusal::bad("a package for a portal needs a name and its sender's mail address"));
    }
    let database = &app.hub.inner.database;
    let portal_id = id.clone();
    let Portal { team, recipients, code_hash } =
        database.read(move |connection| portal(connection, &portal_id)).await?;
    if let Some(hash) = code_hash {
        let given = new.access_code.clone().unwrap_or_default();
        let right = tokio::task::spawn_blocking(move || secrets::is_password(&given, &hash)).await;
        if !right.map_err(|error| Refusal::internal(&error))? {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this portal needs its access code"));
        }
    }
    let answer = database
        .write(move |connection| {
            let fresh = Fresh {
                team: &team,
                portal: Some(&id),
                name: &new.name,
                description: new.description.as_deref().unwrap_or_default(),
                sender: &new.sender,
                recipients: &recipients,
                metadata: &new.custom_metadata,
                password_hash: None,
                access_limit: None,
                expires_at: packages::expiry(None, false),
            };
            packages::insert(connection, &fresh)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(answer)))
}
