//! Making, closing and removing packages.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::Hub;
use crate::error::Refusal;
use crate::http::auth;
use crate::http::auth::From;
use crate::http::wire::{JsonBody, addresses, flag, integer, new_id, now, number, text};
use crate::keys::passwords;
use crate::records::packages;
use crate::records::packages::Package;

/// The longest name, bytes.
const LONGEST_NAME: usize = 1024;
/// The longest message, bytes.
const LONGEST_DESCRIPTION: usize = 64 << 10;
/// The most recipients.
const MOST_RECIPIENTS: usize = 200;

#[derive(Deserialize)]
pub(super) struct NewPackage {
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub sender: Option<String>,
    #[serde(default, deserialize_with = "addresses")]
    pub recipients: Vec<String>,
    #[serde(default, deserialize_with = "text")]
    pub password: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub access_code: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub access_limit: Option<u64>,
    /// Days; 0 is the hub's default, less for ever.
    #[serde(default, deserialize_with = "integer")]
    pub custom_expiry_days: Option<i64>,
    #[serde(default, deserialize_with = "flag")]
    pub unlimited_storage: Option<bool>,
    #[serde(default)]
    pub tag: Value,
    #[serde(default, deserialize_with = "text")]
    pub teamspace_id: Option<String>,
    #[serde(default)]
    pub custom_metadata: Value,
}

/// A tag as it may be given: by id, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenTag {
    pub id: Option<String>,
    pub name: Option<String>,
}

impl GivenTag {
    pub(super) fn read(value: &Value) -> Self {
        let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Self {
            id: field("id").map(str::to_owned),
            name: field("name").or_else(|| value.as_str()).map(str::to_owned).filter(|text| !text.is_empty()),
        }
    }

    /// Whether any tag is meant.
    pub(super) fn is_given(&self) -> bool {
        self.id.is_some() || self.name.is_some()
    }

    /// The team's tag that is meant; one that is given by a new name is made.
    pub(super) fn resolve(&self, connection: &rusqlite::Connection, team: &str) -> Result<Option<String>, Refusal> {
        use rusqlite::OptionalExtension;
        if let Some(id) = &self.id {
            let known: Option<String> = connection
                .prepare_cached("SELECT id FROM tag WHERE id = ?1 AND team_id = ?2")?
                .query_row([id.as_str(), team], |row| row.get(0))
                .optional()?;
            return known.map(Some).ok_or_else(|| Refusal::invalid("there is no tag of this id"));
        }
        match &self.name {
            Some(name) => crate::records::tags::make_sure(connection, team, name).map(Some),
            None => Ok(None),
        }
    }
}

impl NewPackage {
    /// The package that is asked for, of this team.
    pub(super) async fn prepare(&self, team_id: String, sender: String) -> Result<Package, Refusal> {
        // Line breaks have no place in a subject line or a file name.
        let name = self.name.as_deref().unwrap_or_default().replace(char::is_control, " ");
        let name = Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("Untitled");
        let description = self.description.clone().unwrap_or_default();
        if name.len() > LONGEST_NAME || description.len() > LONGEST_DESCRIPTION {
            return Err(Refusal::invalid("the name or the description is too long"));
        }
        if self.recipients.len() > MOST_RECIPIENTS {
            return Err(Refusal::invalid(format!("a package has at most {MOST_RECIPIENTS} recipients")));
        }
        let mut recipients: Vec<String> = Vec::new();
        for recipient in &self.recipients {
            if recipient.parse::<lettre::Address>().is_err() {
                return Err(Refusal::invalid(format!("{recipient:?} is not a mail address")));
            }
            if !recipients.iter().any(|known| known.eq_ignore_ascii_case(recipient)) {
                recipients.push(recipient.clone());
            }
        }
        let created_at = now();
        Ok(Package {
            id: new_id()?,
            team_id,
            portal_id: None,
            state: "new".to_owned(),
            name: name.to_owned(),
            description,
            sender,
            recipients,
            password_hash: passwords::hash_given(self.password.as_deref()).await?,
            access_limit: self.access_limit.filter(|limit| *limit > 0),
            expiry_days: self.custom_expiry_days.and_then(|days| u64::try_from(days).ok()).filter(|days| *days > 0),
            unlimited_storage: self.unlimited_storage.unwrap_or_default()
                || self.custom_expiry_days.is_some_and(i64::is_negative),
            tag_id: None,
            teamspace_id: self.teamspace_id.clone(),
            metadata: self.custom_metadata.clone(),
            size: 0,
            file_count: 0,
            created_at,
            updated_at: created_at,
            finalized_at: None,
            expires_at: None,
        })
    }
}

/// A new package as its sender is answered: with the token that every further call needs.
pub(super) fn created(hub: &Hub, package: &Package) -> (StatusCode, Json<Value>) {
    let mut answer = package.json();
    answer["access_token"] = hub.keys().package_token(&package.id).into();
    (StatusCode::CREATED, Json(answer))
}

pub(super) async fn create(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<NewPackage>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let caller = auth::team(&hub, &headers, &team).await?;
    let sender = given.sender.clone().unwrap_or(caller.email);
    let mut package = given.prepare(caller.team_id, sender).await?;
    let tag = GivenTag::read(&given.tag);
    let package = hub
        .database()
        .write(move |connection| {
            package.tag_id = tag.resolve(connection, &package.team_id)?;
            packages::insert(connection, &package)?;
            Ok::<_, Refusal>(package)
        })
        .await?;
    hub.wake_outbox();
    Ok(created(&hub, &package))
}

pub(super) async fn finalize(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    auth::full(&hub, &headers, &package).await?;
    let default_expiry = hub.config().default_expiry_days;
    let package =
        hub.database().write(move |connection| packages::finalize(connection, &package, now(), default_expiry)).await?;
    hub.wake_outbox();
    tracing::info!(package = package.id, files = package.file_count, bytes = package.size, "package finalized");
    Ok(Json(package.json()))
}

pub(super) async fn remove(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    From(from): From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let authority = auth::full(&hub, &headers, &package).await?;
    let id = package.clone();
    let uploads = hub
        .database()
        .write(move |connection| {
            let package = packages::get(connection, &id)?;
            authority.at(&package, from).note(connection, "package.removed", &format!("{id} ({})", package.name))?;
            packages::delete(connection, &id)
        })
        .await?;
    tracing::info!(package, "package removed");
    // Waited for: who administers a hub in a process of its own ends with the answer.
    hub.storage().remove_package(&package, &uploads).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Deliveries of a package to other clouds: there are none.
pub(super) async fn transfers(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    auth::full(&hub, &headers, &package).await?;
    Ok(Json(Vec::new()))
}
