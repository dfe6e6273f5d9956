//! Making, closing and removing packages.

use axum::Json;
use axum::http::StatusCode;
use masv_protocol::{EmailAddress, Empty, Package, PackageExpiry, PackageWithToken, Secret, TeamId, Time};
use serde_json::Value;

use crate::Hub;
use crate::http::access::{PackageWriter, TeamMember};
use crate::http::json_body::JsonBody;
use crate::http::refusal::Refusal;
use crate::keys::passwords;
use crate::keys::tokens::Bearer;
use crate::records::packages::{self, NewPackage};

/// The longest name, bytes.
const LONGEST_NAME: usize = 1024;
/// The longest message, bytes.
const LONGEST_DESCRIPTION: usize = 64 << 10;
/// The most recipients.
const MOST_RECIPIENTS: usize = 200;

/// A package of a team with the name and message that were given, and nothing else set.
pub(super) fn named(team_id: TeamId, name: Option<&str>, description: Option<String>) -> Result<NewPackage, Refusal> {
    // Line breaks have no place in a subject line or a file name.
    let name = name.unwrap_or_default().replace(char::is_control, " ");
    let name = Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("Untitled").to_owned();
    let description = description.unwrap_or_default();
    if name.len() > LONGEST_NAME || description.len() > LONGEST_DESCRIPTION {
        return Err(Refusal::invalid("the name or the description is too long"));
    }
    Ok(NewPackage {
        team_id,
        portal_id: None,
        name,
        description,
        sender: String::new(),
        recipients: Vec::new(),
        password_hash: None,
        access_limit: None,
        expiry_days: None,
        unlimited_storage: false,
        tag: None,
        teamspace_id: None,
        metadata: Value::Null,
    })
}

/// Each mailbox once.
pub(super) fn distinct(given: Vec<EmailAddress>) -> Result<Vec<EmailAddress>, Refusal> {
    if given.len() > MOST_RECIPIENTS {
        return Err(Refusal::invalid(format!("a package has at most {MOST_RECIPIENTS} recipients")));
    }
    let mut recipients: Vec<EmailAddress> = Vec::new();
    for recipient in given {
        if !recipients.iter().any(|known| known.is_same_mailbox(&recipient)) {
            recipients.push(recipient);
        }
    }
    Ok(recipients)
}

/// A new package as its sender is answered: with the token that every further call needs.
pub(super) fn created(hub: &Hub, package: &packages::Package, bearer: &Bearer) -> (StatusCode, Json<PackageWithToken>) {
    let access_token = hub.context.keys.package_token(&package.id, bearer).into();
    (StatusCode::CREATED, Json(PackageWithToken { package: package.message(), access_token }))
}

pub(super) async fn create(
    TeamMember(team): TeamMember,
    JsonBody(given): JsonBody<masv_protocol::NewPackage>,
) -> Result<(StatusCode, Json<PackageWithToken>), Refusal> {
    let days = given.custom_expiry_days;
    let new = NewPackage {
        sender: given.sender.unwrap_or_else(|| team.caller.email.clone()),
        recipients: distinct(given.recipients)?,
        password_hash: passwords::hash_given(given.password.as_ref().map(Secret::expose)).await?,
        access_limit: given.access_limit.filter(|limit| *limit > 0),
        expiry_days: days.and_then(|days| u64::try_from(days).ok()).filter(|days| *days > 0),
        unlimited_storage: given.unlimited_storage.unwrap_or_default() || days.is_some_and(i64::is_negative),
        tag: given.tag,
        teamspace_id: given.teamspace_id,
        metadata: given.custom_metadata,
        ..named(team.id(), given.name.as_deref(), given.description)?
    };
    let package = packages::create(team.hub.database(), new).await?;
    team.hub.context.wake_outbox();
    Ok(created(&team.hub, &package, &team.caller.key.map_or(Bearer::Sender, Bearer::Key)))
}

pub(super) async fn finalize(PackageWriter { hub, package, .. }: PackageWriter) -> Result<Json<Package>, Refusal> {
    let package = packages::finalize(hub.database(), package, hub.context.config.default_expiry_days).await?;
    hub.context.wake_outbox();
    tracing::info!(package = %package.id, files = package.file_count, bytes = package.size, "package finalized");
    Ok(Json(package.message()))
}

pub(super) async fn remove(PackageWriter { hub, package, authority }: PackageWriter) -> Result<StatusCode, Refusal> {
    let uploads = packages::delete_by(hub.database(), package.clone(), authority).await?;
    tracing::info!(%package, "package removed");
    // Waited for: who administers a hub in a process of its own ends with the answer.
    hub.context.storage.remove_package(&package, &uploads).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn set_expiry(
    PackageWriter { hub, package, authority }: PackageWriter,
    JsonBody(given): JsonBody<PackageExpiry>,
) -> Result<Json<Package>, Refusal> {
    let expiry = given.expiry.and_then(Time::timestamp);
    let expires_at = match (given.unlimited_storage.unwrap_or_default(), expiry) {
        (true, None) => None,
        (false, Some(expiry)) => Some(expiry),
        (true, Some(_)) => return Err(Refusal::invalid("unlimited_storage and expiry exclude each other")),
        (false, None) => return Err(Refusal::invalid("expiry must be a time, or unlimited_storage true")),
    };
    let package = packages::set_expiry(hub.database(), package, expires_at, authority).await?;
    Ok(Json(package.message()))
}

/// Deliveries of a package to other clouds: there are none.
pub(super) async fn transfers(_: PackageWriter) -> Json<Vec<Empty>> {
    Json(Vec::new())
}
