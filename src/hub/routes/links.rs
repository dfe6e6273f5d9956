//! Making and opening links.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::hub::error::Refusal;
use crate::hub::links::{self, Link};
use crate::hub::packages::{self, Package};
use crate::hub::sign::Visit;
use crate::hub::wire::{JsonBody, new_id, now, text, time};
use crate::hub::{Hub, auth, passwords};

#[derive(Deserialize)]
pub(super) struct GivenLink {
    #[serde(default, deserialize_with = "text")]
    email: Option<String>,
    #[serde(default, deserialize_with = "text")]
    password: Option<String>,
}

pub(super) async fn create(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenLink>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    auth::full(&hub, &headers, &package).await?;
    let email = given.email.filter(|email| !email.is_empty());
    let password_hash = passwords::hash_given(given.password.as_deref()).await?;
    let (link, package) = hub
        .database()
        .write(move |connection| {
            let package = packages::get(connection, &package)?;
            let link = Link::new(&package, email, password_hash, now())?;
            links::insert(connection, &link)?;
            Ok::<_, Refusal>((link, package))
        })
        .await?;
    let base = hub.base(&headers);
    Ok((StatusCode::CREATED, Json(link.json(&package, hub.keys(), &base))))
}

#[derive(Deserialize)]
pub(super) struct Secret {
    #[serde(default)]
    secret: String,
}

pub(super) async fn open(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    Query(given): Query<Secret>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (link, package) = find(&hub, &link, &given.secret).await?;
    let password = auth::header(&headers, auth::LINK_PASSWORD).map(str::to_owned);
    check_password(&link, &package, password).await?;
    let visit = visit(&hub, &link, &package)?;
    Ok(Json(json!({
        "id": link.id,
        "name": package.name,
        "description": package.description,
        "package_id": package.id,
        "package_name": package.name,
        "package_token": hub.keys().visit_token(&visit),
        "package_size": package.size,
        "total_files": package.file_count,
        "sender_email": package.sender,
        "email": link.email.as_deref().unwrap_or_default(),
        "expiry": time(link.expiry(&package)),
        "access_limit": link.access_limit.unwrap_or_default(),
        "access_count": link.access_count,
        "active": link.active,
        "created_at": time(Some(link.created_at)),
        "finalized_at": time(package.finalized_at),
    })))
}

/// The link that `secret` opens, if it still does.
pub(in crate::hub) async fn find(hub: &Hub, link: &str, secret: &str) -> Result<(Link, Package), Refusal> {
    if !hub.keys().is_link_secret(link, secret) {
        return Err(Refusal::not_found("link"));
    }
    let id = link.to_owned();
    let found = hub.database().read(move |connection| links::find(connection, &id)).await?;
    let (link, package) = found.ok_or_else(|| Refusal::not_found("link"))?;
    match links::closed(&link, &package, now()) {
        Some(refusal) => Err(refusal),
        None => Ok((link, package)),
    }
}

/// Refuses a missing or wrong password.
pub(in crate::hub) async fn check_password(
    link: &Link,
    package: &Package,
    given: Option<String>,
) -> Result<(), Refusal> {
    let Some(stored) = link.required_password(package) else { return Ok(()) };
    let refused = |kind, message| Err(Refusal::new(StatusCode::UNAUTHORIZED, kind, message));
    let Some(given) = given else { return refused("password_required", "this link needs a password") };
    if passwords::matches(given, stored.to_owned()).await? {
        Ok(())
    } else {
        refused("password_wrong", "the password is wrong")
    }
}

/// A new visit of a link.
pub(in crate::hub) fn visit(hub: &Hub, link: &Link, package: &Package) -> Result<Visit, Refusal> {
    let life = i64::try_from(hub.config().visit_life.as_secs()).unwrap_or(i64::MAX);
    Ok(Visit {
        package: package.id.clone(),
        link: link.id.clone(),
        visit: new_id()?,
        expires: (now() / 1000).saturating_add(life),
    })
}
