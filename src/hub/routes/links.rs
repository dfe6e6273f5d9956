//! Links: made by the sender, opened by whoever has one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use rusqlite::{Connection, OptionalExtension, params};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::packages::{self, Package};
use super::{Body, LINK_PASSWORD, text_header};
use crate::hub::error::Refusal;
use crate::hub::serve::App;
use crate::hub::{Hub, mail, new_id, now, secrets, wire_time};

/// A link as its row says.
pub(in crate::hub) struct Link {
    pub id: String,
    pub secret: String,
    pub package: String,
    password_hash: Option<String>,
    opened: i64,
}

impl Link {
    /// The address to give away.
    pub(in crate::hub) fn url(&self, public_url: &str) -> String {
        format!("{public_url}/{}?secret={}", self.id, self.secret)
    }
}

fn find(connection: &Connection, id: &str) -> Result<Link, Refusal> {
    connection
        .prepare_cached("SELECT id, secret, package_id, password_hash, opened FROM link WHERE id = ?1")?
        .query_row([id], |row| {
            Ok(Link {
                id: row.get(0)?,
                secret: row.get(1)?,
                package: row.get(2)?,
                password_hash: row.get(3)?,
                opened: row.get(4)?,
            })
        })
        .optional()?
        .ok_or_else(|| Refusal::not_found("link"))
}

/// Writes a new link.
pub(super) fn insert(
    connection: &Connection,
    package: &str,
    email: &str,
    password_hash: Option<&str>,
) -> Result<Link, Refusal> {
    let (id, secret) = (new_id(), secrets::random()?);
    connection
        .prepare_cached(
            "INSERT INTO link (id, package_id, secret, email, password_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![id, package, secret, email, password_hash, now()])?;
    find(connection, &id)
}

#[derive(Deserialize)]
pub(super) struct NewLink {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    password: Option<SecretString>,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(package): Path<String>,
    headers: HeaderMap,
    Body(new): Body<NewLink>,
) -> Result<impl IntoResponse, Refusal> {
    let token = packages::token(&headers)?;
    let password_hash = packages::hashed(new.password).await?;
    let public_url = app.public_url.clone();
    let write = move |connection: &Connection| {
        let package = packages::owned(connection, &package, &token)?;
        let email = new.email.unwrap_or_default();
        let link = insert(connection, &package.id, &email, password_hash.as_deref())?;
        let url = link.url(&public_url);
        if !email.is_empty() && !package.is_open() {
            mail::write(connection, &package, &email, &url)?;
        }
        Ok::<_, Refusal>(json!({
            "id": link.id, "download_secret": link.secret, "url": url, "email": email,
            "active": !package.is_open(), "expiry": wire_time(package.expires_at),
            "access_limit": package.access_limit.unwrap_or(0), "password_protected": password_hash.is_some(),
        }))
    };
    let answer = app.hub.inner.database.write(write).await?;
    app.hub.inner.mail.notify_one();
    Ok((StatusCode::CREATED, Json(answer)))
}

#[derive(Deserialize)]
pub(super) struct Opening {
    #[serde(default)]
    secret: String,
}

pub(super) async fn open(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(opening): Query<Opening>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let password = text_header(&headers, &LINK_PASSWORD).map(str::to_owned);
    let (link, package) = check(&app.hub, &id, &opening.secret, password).await?;
    let counted = link.id.clone();
    let limit = package.access_limit;
    let count = move |connection: &Connection| {
        let changed = connection
            .prepare_cached("UPDATE link SET opened = opened + 1 WHERE id = ?1 AND (?2 IS NULL OR opened < ?2)")?
            .execute(params![counted, limit])?;
        if changed == 0 { Err(limit_reached()) } else { Ok(()) }
    };
    app.hub.inner.database.write(count).await?;
    Ok(Json(json!({
        "id": link.id, "package_id": package.id, "name": package.name, "package_name": package.name,
        "description": package.description, "sender_email": package.sender, "package_size": package.size,
        "total_files": package.files, "expiry": wire_time(package.expires_at), "active": true,
        "access_limit": limit.unwrap_or(0), "package_token": read_token(&app.hub, &package.id),
    })))
}

fn limit_reached() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "this link has been opened as often as it may be")
}

/// The link and its package, if it may be opened: the right secret, a finalized package, not expired, the right
/// password.
pub(in crate::hub) async fn check(
    hub: &Hub,
    id: &str,
    secret: &str,
    password: Option<String>,
) -> Result<(Link, Package), Refusal> {
    let (id, secret) = (id.to_owned(), secret.to_owned());
    let read = move |connection: &Connection| {
        let link = find(connection, &id)?;
        // A wrong secret is told like a link that does not exist.
        if !secrets::equal(link.secret.as_bytes(), secret.as_bytes()) {
            return Err(Refusal::not_found("link"));
        }
        let package = packages::find(connection, &link.package)?;
        if package.is_open() {
            return Err(Refusal::new(StatusCode::CONFLICT, "this package is not complete yet; try again later"));
        }
        if package.is_expired() {
            return Err(Refusal::new(StatusCode::GONE, "this package has expired"));
        }
        if package.access_limit.is_some_and(|limit| link.opened >= limit) {
            return Err(limit_reached());
        }
        Ok((link, package))
    };
    let (link, package) = hub.inner.database.read(read).await?;
    for hash in [&link.password_hash, &package.password_hash].into_iter().flatten() {
        let (given, hash) = (password.clone().unwrap_or_default(), hash.clone());
        let right = tokio::task::spawn_blocking(move || secrets::is_password(&given, &hash)).await;
        if !right.map_err(|error| Refusal::internal(&error))? {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this link needs its password"));
        }
    }
    Ok((link, package))
}

/// What lets its holder list and download a package, for as long as an address lives.
fn read_token(hub: &Hub, package: &str) -> String {
    hub.inner.signer.query(&format!("READ {package}"))
}

/// Checks that `token` may read the package: the one of an opened link, or the package's own.
pub(super) fn reader(connection: &Connection, hub: &Hub, package: &str, token: &str) -> Result<(), Refusal> {
    let opened = token.strip_prefix("expires=").and_then(|rest| rest.split_once("&signature="));
    if let Some((expires, signature)) = opened {
        let expires = expires.parse::<i64>().unwrap_or_default();
        let fits = hub.inner.signer.allows(&format!("READ {package}"), expires, signature);
        return if fits && expires > now() {
            Ok(())
        } else {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "open the link again"))
        };
    }
    packages::owned(connection, package, token).map(drop)
}
