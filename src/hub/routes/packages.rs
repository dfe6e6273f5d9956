//! Packages: made, finalized, removed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use rusqlite::{Connection, OptionalExtension, params};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, PACKAGE_TOKEN, accounts, files, links, text_header};
use crate::hub::error::Refusal;
use crate::hub::serve::App;
use crate::hub::{Hub, mail, new_id, now, secrets, wire_time};

/// How long a package is kept when nobody says.
const DEFAULT_DAYS: i64 = 10;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A package as its row says.
pub(in crate::hub) struct Package {
    pub id: String,
    pub name: String,
    pub description: String,
    pub sender: String,
    pub recipients: Vec<String>,
    pub portal: Option<String>,
    pub password_hash: Option<String>,
    pub access_limit: Option<i64>,
    pub expires_at: Option<i64>,
    pub state: String,
    pub size: i64,
    pub files: i64,
    pub created_at: i64,
    pub finalized_at: Option<i64>,
    token_hash: Vec<u8>,
}

impl Package {
    pub(in crate::hub) fn is_open(&self) -> bool {
        self.state == "new"
    }

    pub(in crate::hub) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= now())
    }

    fn wire(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "description": self.description, "sender": self.sender,
            "recipients": self.recipients, "state": self.state, "size": self.size, "total_files": self.files,
            "access_limit": self.access_limit.unwrap_or(0), "created_at": wire_time(Some(self.created_at)),
            "finalized_at": wire_time(self.finalized_at), "expiry": wire_time(self.expires_at),
            "unlimited_storage": self.expires_at.is_none(), "password_protected": self.password_hash.is_some(),
        })
    }
}

pub(in crate::hub) fn find(connection: &Connection, id: &str) -> Result<Package, Refusal> {
    connection
        .prepare_cached(
            "SELECT id, name, description, sender, recipients, portal_id, password_hash, access_limit, expires_at, \
             state, size, files, created_at, finalized_at, token_hash FROM package WHERE id = ?1",
        )?
        .query_row([id], |row| {
            let recipients: String = row.get(4)?;
            Ok(Package {
                id: row.get(0)?,
                name: row.get(1)?,
                description: row.get(2)?,
                sender: row.get(3)?,
                recipients: serde_json::from_str(&recipients).unwrap_or_default(),
                portal: row.get(5)?,
                password_hash: row.get(6)?,
                access_limit: row.get(7)?,
                expires_at: row.get(8)?,
                state: row.get(9)?,
                size: row.get(10)?,
                files: row.get(11)?,
                created_at: row.get(12)?,
                finalized_at: row.get(13)?,
                token_hash: row.get(14)?,
            })
        })
        .optional()?
        .ok_or_else(|| Refusal::not_found("package"))
}

/// The package, if the request's token is the one of its creation.
pub(super) fn owned(connection: &Connection, id: &str, token: &str) -> Result<Package, Refusal> {
    let package = find(connection, id)?;
    if secrets::equal(&package.token_hash, &secrets::digest(token)) {
        Ok(package)
    } else {
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "this needs the package's token"))
    }
}

/// The same, if files can still be added.
pub(super) fn open(connection: &Connection, id: &str, token: &str) -> Result<Package, Refusal> {
    let package = owned(connection, id, token)?;
    if package.is_open() {
        Ok(package)
    } else {
        Err(Refusal::new(StatusCode::CONFLICT, format!("the package is already {}", package.state)))
    }
}

pub(super) fn token(headers: &HeaderMap) -> Result<String, Refusal> {
    text_header(headers, &PACKAGE_TOKEN)
        .map(str::to_owned)
        .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "this needs the package's token"))
}

pub(super) async fn limits() -> Json<Value> {
    Json(json!({ "max_chunk_count": 10_000, "max_chunk_size": 5_368_709_120_u64, "min_chunk_size": 5_242_880 }))
}

#[derive(Deserialize)]
pub(super) struct NewPackage {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    password: Option<SecretString>,
    #[serde(default)]
    access_limit: Option<i64>,
    #[serde(default)]
    custom_expiry_days: Option<i64>,
    #[serde(default)]
    unlimited_storage: bool,
    #[serde(default)]
    sender: Option<String>,
}

/// What is written of a new package, whoever makes it.
pub(super) struct Fresh<'a> {
    pub team: &'a str,
    pub portal: Option<&'a str>,
    pub name: &'a str,
    pub description: &'a str,
    pub sender: &'a str,
    pub recipients: &'a [String],
    pub metadata: &'a Value,
    pub password_hash: Option<&'a str>,
    pub access_limit: Option<i64>,
    pub expires_at: Option<i64>,
}

/// Writes a new package; returns what its maker is told.
pub(super) fn insert(connection: &Connection, fresh: &Fresh<'_>) -> Result<Value, Refusal> {
    let (id, token) = (new_id(), secrets::random()?);
    connection
        .prepare_cached(
            "INSERT INTO package (id, team_id, portal_id, token_hash, name, description, sender, recipients, metadata, \
             password_hash, access_limit, expires_at, state, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'new', ?13)",
        )?
        .execute(params![
            id,
            fresh.team,
            fresh.portal,
            secrets::digest(&token),
            fresh.name,
            fresh.description,
            fresh.sender,
            json!(fresh.recipients).to_string(),
            fresh.metadata.to_string(),
            fresh.password_hash,
            fresh.access_limit,
            fresh.expires_at,
            now()
        ])?;
    let mut answer = find(connection, &id)?.wire();
    answer["access_token"] = token.into();
    Ok(answer)
}

/// When a package made now expires.
pub(super) fn expiry(days: Option<i64>, unlimited: bool) -> Option<i64> {
    let days = days.filter(|days| *days > 0).unwrap_or(DEFAULT_DAYS);
    (!unlimited).then(|| now().saturating_add(days.saturating_mul(DAY_MS)))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(team): Path<String>,
    headers: HeaderMap,
    Body(new): Body<NewPackage>,
) -> Result<impl IntoResponse, Refusal> {
    accounts::authorise(&app.hub, &team, &headers).await?;
    if new.name.trim().is_empty() {
        return Err(Refusal::bad("the package needs a name"));
    }
    let password_hash = hashed(new.password.clone()).await?;
    let database = &app.hub.inner.database;
    let answer = database
        .write(move |connection| {
            insert(
                connection,
                &Fresh {
                    team: &team,
                    portal: None,
                    name: &new.name,
                    description: new.description.as_deref().unwrap_or_default(),
                    sender: new.sender.as_deref().unwrap_or_default(),
                    recipients: &new.recipients,
                    metadata: &Value::Null,
                    password_hash: password_hash.as_deref(),
                    access_limit: new.access_limit.filter(|limit| *limit > 0),
                    expires_at: expiry(new.custom_expiry_days, new.unlimited_storage),
                },
            )
        })
        .await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Hashes a password away from the async threads; an empty one is none.
pub(super) async fn hashed(password: Option<SecretString>) -> Result<Option<String>, Refusal> {
    use secrecy::ExposeSecret;
    let Some(password) = password.filter(|password| !password.expose_secret().is_empty()) else { return Ok(None) };
    let hash = tokio::task::spawn_blocking(move || secrets::hash_password(&password)).await;
    Ok(Some(hash.map_err(|error| Refusal::internal(&error))??))
}

pub(super) async fn finalize(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = token(&headers)?;
    let public_url = app.public_url.clone();
    let (answer, dropped) =
        app.hub.inner.database.write(move |connection| finalize_in(connection, &id, &token, &public_url)).await?;
    app.hub.inner.mail.notify_one();
    remove_stored_files(&app.hub, dropped).await;
    Ok(Json(answer))
}

type StoredFile = (String, String);

/// Closes the package, drops what was begun and never finished, and writes the mails. Doing it again changes nothing.
fn finalize_in(
    connection: &Connection,
    id: &str,
    token: &str,
    public_url: &str,
) -> Result<(Value, Vec<StoredFile>), Refusal> {
    let package = owned(connection, id, token)?;
    if !package.is_open() {
        return Ok((package.wire(), Vec::new()));
    }
    let dropped = files::drop_unfinished(connection, id)?;
    let (files, size) = files::totals(connection, id)?;
    if files == 0 {
        return Err(Refusal::bad("package must have at least 1 file"));
    }
    connection
        .prepare_cached(
            "UPDATE package SET state = 'finalized', files = ?2, size = ?3, finalized_at = ?4 WHERE id = ?1",
        )?
        .execute(params![id, files, size, now()])?;
    let package = find(connection, id)?;
    for recipient in &package.recipients {
        let link = links::insert(connection, id, recipient, None)?;
        mail::write(connection, &package, recipient, &link.url(public_url))?;
    }
    tracing::info!(package = id, files, bytes = size, "package finalized");
    Ok((package.wire(), dropped.into_iter().map(|file| (id.to_owned(), file)).collect()))
}

async fn remove_stored_files(hub: &Hub, files: Vec<StoredFile>) {
    if files.is_empty() {
        return;
    }
    let hub = hub.clone();
    let removal = tokio::task::spawn_blocking(move || {
        for (package, file) in files {
            if let Err(error) = hub.inner.disk.remove_file(&package, &file) {
                tracing::warn!(package, file, %error, "an unfinished file stays on disk");
            }
        }
    });
    // The answer does not depend on it.
    let _ = removal.await;
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let token = token(&headers)?;
    let removed = id.clone();
    app.hub
        .inner
        .database
        .write(move |connection| {
            owned(connection, &id, &token)?;
            connection.prepare_cached("DELETE FROM package WHERE id = ?1")?.execute([&id])?;
            Ok::<_, Refusal>(())
        })
        .await?;
    let hub = app.hub.clone();
    let removal = tokio::task::spawn_blocking(move || hub.inner.disk.remove_package(&removed)).await;
    match removal {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => Err(Refusal::internal(&error)),
        Err(error) => Err(Refusal::internal(&error)),
    }
}
