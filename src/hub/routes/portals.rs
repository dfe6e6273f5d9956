//! Portals as senders use them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::packages::{NewPackage, created};
use crate::hub::error::Refusal;
use crate::hub::wire::JsonBody;
use crate::hub::{Hub, packages, passwords, portals};

pub(super) async fn find(State(hub): State<Hub>, Path(subdomain): Path<String>) -> Result<Json<Value>, Refusal> {
    let portal = hub.database().read(move |connection| portals::find_by_subdomain(connection, &subdomain)).await?;
    let portal = portal.ok_or_else(|| Refusal::not_found("portal"))?;
    Ok(Json(portal.public_json()))
}

pub(super) async fn create_package(
    State(hub): State<Hub>,
    Path(portal): Path<String>,
    _headers: HeaderMap,
    JsonBody(given): JsonBody<NewPackage>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let portal = hub.database().read(move |connection| portals::get(connection, &portal)).await?;
    if !portal.active {
        return Err(Refusal::forbidden("the portal is closed"));
    }
    if let Some(stored) = portal.access_code_hash.clone() {
        let code = given.access_code.clone().or_else(|| given.password.clone()).unwrap_or_default();
        if code.is_empty() {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "access_code_required", "the portal asks for a code"));
        }
        if !passwords::matches(code, stored).await? {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "access_code_wrong", "the access code is wrong"));
        }
    }
    let sender = given.sender.clone().unwrap_or_default();
    if sender.parse::<lettre::Address>().is_err() {
        return Err(Refusal::invalid("sender must be a mail address"));
    }
    // Who may receive, how long and behind which password is the portal's to say, not the sender's.
    let allowed = NewPackage { recipients: portal.recipients.clone(), password: None, ..given };
    let mut package = allowed.prepare(portal.team_id.clone(), sender).await?;
    package.portal_id = Some(portal.id.clone());
    package.password_hash = portal.download_password_hash.clone();
    package.expiry_days = portal.expiry_days;
    package.unlimited_storage = false;
    package.access_limit = None;
    package.tag_id = portal.tag_id.clone();
    let package =
        hub.database().write(move |connection| packages::insert(connection, &package).map(|()| package)).await?;
    hub.shared.outbox.notify_one();
    Ok(created(&hub, &package))
}
