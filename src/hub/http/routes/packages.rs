//! Making, closing and removing packages.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use masv_protocol::{
    ChangePackage, EmailAddress, Empty, FilledIn, IDEMPOTENCY_HEADER, Package, PackageExpiry, PackageId,
    PackageMetadata, PackageState, PackageWithToken, Secret, SetMetadata, TagChoice, TeamId, Time,
};
use serde_json::{Map, Value};

use crate::Hub;
use crate::clock::{after, days, now};
use crate::http::access::{PackageOwner, PackageWriter, TeamMember};
use crate::http::fields::NO_CONNECTIONS;
use crate::http::json_body::{JsonBody, PACKAGE_BODY};
use crate::http::rates::{self, Place};
use crate::http::refusal::Refusal;
use crate::jobs::removal;
use crate::keys::passwords;
use crate::keys::tokens::Bearer;
use crate::records::packages::{self, Change, NewPackage};
use crate::records::{portal_form, portals};

/// The longest name, bytes.
const LONGEST_NAME: usize = 1024;
/// Longest key of a call that may be repeated, in bytes.
const LONGEST_KEY: usize = 200;
/// The maximum size of a package's metadata besides its message, in bytes.
const LARGEST_METADATA: usize = 64 << 10;
/// The longest message, bytes.
const LONGEST_DESCRIPTION: usize = 64 << 10;
/// Days for which a package token issued to a key or person of the team is valid.
const TOKEN_DAYS: u64 = 90;
/// Days for which one issued to a sender to a portal is valid.
const STRANGERS_TOKEN_DAYS: u64 = 30;
/// The maximum number of recipients.
pub(super) const MOST_RECIPIENTS: usize = 200;

/// Without line breaks, which have no place in a subject line or a file name.
fn in_one_line(text: &str) -> String {
    text.replace(|one: char| one.is_control() || matches!(one, '\u{2028}' | '\u{2029}'), " ").trim().to_owned()
}

/// The name of a package.
fn title(given: &str) -> Result<String, Refusal> {
    let name = Some(in_one_line(given)).filter(|name| !name.is_empty()).unwrap_or_else(|| "Untitled".to_owned());
    if name.len() > LONGEST_NAME {
        return Err(Refusal::invalid(format!("name has more than {LONGEST_NAME} bytes")));
    }
    Ok(name)
}

/// The message to the recipients of a package.
fn message(given: String) -> Result<String, Refusal> {
    if given.len() > LONGEST_DESCRIPTION {
        return Err(Refusal::invalid(format!("description has more than {LONGEST_DESCRIPTION} bytes")));
    }
    Ok(given)
}

/// Who sends a package, as people read it.
fn sender(given: &str) -> Result<String, Refusal> {
    let sender = in_one_line(given);
    if sender.len() > LONGEST_NAME {
        return Err(Refusal::invalid(format!("sender has more than {LONGEST_NAME} bytes")));
    }
    Ok(sender)
}

/// Refuses what would make the lists of the team large.
fn check_metadata(given: &Value) -> Result<(), Refusal> {
    if given.to_string().len() > LARGEST_METADATA {
        return Err(Refusal::invalid(format!("custom_metadata is longer than {LARGEST_METADATA} bytes")));
    }
    Ok(())
}

/// How often a link may be used; none if 0 is given, or if uses are not counted.
fn limit(given: Option<u64>, enabled: Option<bool>) -> Option<u64> {
    given.filter(|limit| *limit > 0 && enabled != Some(false))
}

/// A package of a team with the given name and message, and nothing else set.
pub(super) fn named(team_id: TeamId, name: Option<&str>, description: Option<String>) -> Result<NewPackage, Refusal> {
    let name = title(name.unwrap_or_default())?;
    let description = message(description.unwrap_or_default())?;
    Ok(NewPackage {
        team_id,
        portal_id: None,
        name,
        description,
        sender: String::new(),
        recipients: Vec::new(),
        cc_recipients: Vec::new(),
        sends_receipt: true,
        password_hash: None,
        access_limit: None,
        expiry_days: None,
        unlimited_storage: false,
        tag: None,
        metadata: Value::Null,
        key: None,
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

/// A token of a package in this epoch.
pub(super) fn token(hub: &Hub, (package, epoch): (&PackageId, i64), bearer: &Bearer) -> Secret {
    let life = if *bearer == Bearer::Sender { STRANGERS_TOKEN_DAYS } else { TOKEN_DAYS };
    // To the end of a day: one token a day for each who asks, however often.
    let end = after(now(), days(life));
    let of_day = days(1).as_secs() - end.as_second().unsigned_abs() % days(1).as_secs();
    let end = after(end, Duration::from_secs(of_day));
    hub.context.keys.package_token(package, bearer, epoch, end).into()
}

/// The response for a new package: with the token that every further call needs.
pub(super) fn created(hub: &Hub, package: &packages::Package, bearer: &Bearer) -> (StatusCode, Json<PackageWithToken>) {
    let access_token = token(hub, (&package.id, package.epoch), bearer);
    (StatusCode::CREATED, Json(PackageWithToken { package: package.message(), access_token }))
}

/// By which a call is known that may be repeated, if its caller gives something.
pub(super) fn repetition(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(given) = headers.get(IDEMPOTENCY_HEADER) else { return Ok(None) };
    let key = given.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let invalid = || Refusal::invalid(format!("{IDEMPOTENCY_HEADER} is not 1 to {LONGEST_KEY} printable characters"));
    key.map(|key| Some(key.to_owned())).ok_or_else(invalid)
}

pub(super) async fn create(
    TeamMember(team): TeamMember,
    headers: HeaderMap,
    JsonBody(given, ..): JsonBody<masv_protocol::NewPackage, PACKAGE_BODY>,
) -> Result<(StatusCode, Json<PackageWithToken>), Refusal> {
    let days = given.custom_expiry_days;
    let key = repetition(&headers)?;
    check_metadata(&given.custom_metadata)?;
    let new = NewPackage {
        sender: sender(&given.sender.unwrap_or_else(|| team.caller.sender()))?,
        recipients: distinct(given.recipients)?,
        password_hash: passwords::hash_given(given.password.as_ref().map(Secret::expose)).await?,
        access_limit: limit(given.access_limit, given.access_limit_enabled),
        expiry_days: days.and_then(|days| u64::try_from(days).ok()).filter(|days| *days > 0),
        unlimited_storage: given.unlimited_storage.unwrap_or_default() || days.is_some_and(i64::is_negative),
        tag: given.tag.or(given.tag_id.map(TagChoice::Id)),
        metadata: given.custom_metadata,
        key,
        ..named(team.id(), given.name.as_deref(), given.description)?
    };
    let package = packages::create(team.hub.database(), new).await?;
    team.hub.context.wake_outbox();
    Ok(created(&team.hub, &package, &team.bearer()))
}

pub(super) async fn finalize(
    PackageWriter { hub, package, authority }: PackageWriter,
) -> Result<Json<Package>, Refusal> {
    if authority.team.is_none() {
        let found = packages::get(hub.database(), package.clone()).await?;
        // Not the portal: that can be removed, and what was received stays received.
        if found.received && found.state == PackageState::New {
            let place = found.portal_id.as_ref().map_or(Place::Removed(&found.team_id), Place::Portal);
            rates::check(&hub, "finalized", place, authority.address).await?;
        }
    }
    let package = packages::finalize(hub.database(), package, hub.context.config.default_expiry_days).await?;
    hub.context.wake_outbox();
    tracing::info!(package = %package.id, files = package.file_count, bytes = package.size, "package finalized");
    Ok(Json(package.message()))
}

pub(super) async fn remove(PackageWriter { hub, package, authority }: PackageWriter) -> Result<StatusCode, Refusal> {
    packages::delete_by(hub.database(), package.clone(), authority).await?;
    tracing::info!(%package, trash_days = hub.context.config.trash_days, "package removed");
    removal::unless_kept(&hub.context, package).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn set_expiry(
    PackageWriter { hub, package, authority }: PackageWriter,
    JsonBody(given, ..): JsonBody<PackageExpiry>,
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

/// Changes a package; omitted properties stay as they are.
pub(super) async fn change(
    PackageWriter { hub, package, authority }: PackageWriter,
    JsonBody(given, ..): JsonBody<ChangePackage, PACKAGE_BODY>,
) -> Result<Json<Package>, Refusal> {
    let password_hash = match &given.password {
        Some(password) => Some(passwords::hash_given(Some(password.expose())).await?),
        None => None,
    };
    let kept_until = match (given.unlimited_storage, given.expiry.and_then(Time::timestamp)) {
        (Some(true), None) => Some(None),
        (Some(true), Some(_)) => {
            return Err(Refusal::invalid("unlimited_storage and expiry exclude each other"));
        }
        (_, Some(expiry)) => Some(Some(expiry)),
        (_, None) => None,
    };
    check_metadata(&given.custom_metadata)?;
    let change = Change {
        name: given.name.as_deref().map(title).transpose()?,
        description: given.description.map(message).transpose()?,
        recipients: given.recipients.map(distinct).transpose()?,
        password_hash,
        access_limit: given.access_limit.map(|given| limit(Some(given), None)),
        tag: given.tag.or(given.tag_id.map(TagChoice::Id)),
        sender: given.sender.as_deref().map(sender).transpose()?,
        expires_at: kept_until,
        metadata: Some(given.custom_metadata).filter(|metadata| !metadata.is_null()),
    };
    Ok(Json(packages::change(hub.database(), package, change, authority).await?.message()))
}

/// What the sender filled in.
pub(super) async fn metadata(
    PackageWriter { hub, package, .. }: PackageWriter,
) -> Result<Json<PackageMetadata>, Refusal> {
    let package = packages::get(hub.database(), package).await?;
    Ok(Json(told(&hub, package).await?))
}

async fn told(hub: &Hub, package: packages::Package) -> Result<PackageMetadata, Refusal> {
    let portal = match package.portal_id.clone() {
        Some(portal) => portals::find(hub.database(), portal).await?,
        None => None,
    };
    let fields = portal.map(|portal| portal.fields).unwrap_or_default();
    let one = |answer: portal_form::Answer| FilledIn { name: answer.name, label: answer.label, value: answer.value };
    Ok(PackageMetadata {
        id: package.form_data_id(),
        fields: portal_form::answers(&fields, &package.metadata).into_iter().map(one).collect(),
        package_id: Some(package.id),
        portal_id: package.portal_id,
        custom_metadata: package.metadata,
    })
}

/// Replaces what the sender filled in.
pub(super) async fn set_metadata(
    PackageWriter { hub, package, authority }: PackageWriter,
    JsonBody(given, ..): JsonBody<SetMetadata, PACKAGE_BODY>,
) -> Result<Json<PackageMetadata>, Refusal> {
    let metadata = match (given.custom_metadata, given.fields) {
        (Value::Null, Some(fields)) => {
            let one = |field: FilledIn| (field.name, Value::String(field.value));
            Value::Object(fields.into_iter().map(one).collect::<Map<_, _>>())
        }
        (Value::Null, None) => {
            return Err(Refusal::invalid("custom_metadata is missing: an object, by names of fields"));
        }
        (metadata, None) => metadata,
        (_, Some(_)) => return Err(Refusal::invalid("custom_metadata and fields exclude each other")),
    };
    check_metadata(&metadata)?;
    let change = Change { metadata: Some(metadata), ..Change::default() };
    let package = packages::change(hub.database(), package, change, authority).await?;
    Ok(Json(told(&hub, package).await?))
}

/// Deliveries to other clouds are none of the hub's.
pub(super) async fn transfer(_: PackageWriter) -> Refusal {
    Refusal::invalid(format!("a package cannot be transferred: {NO_CONNECTIONS}"))
}

/// Revokes all issued tokens of a package, including the caller's.
pub(super) async fn end_tokens(PackageOwner { hub, package, authority }: PackageOwner) -> Result<StatusCode, Refusal> {
    packages::end_tokens(hub.database(), package, authority).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deliveries of a package to other clouds: there are none.
pub(super) async fn transfers(_: PackageWriter) -> Json<Vec<Empty>> {
    Json(Vec::new())
}
