//! Portals: as senders use them, and as their team looks after them.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::packages::{GivenTag, NewPackage, created};
use crate::Hub;
use crate::error::Refusal;
use crate::http::auth;
use crate::http::auth::From;
use crate::http::wire::{JsonBody, addresses, flag, integer, new_id, now, parse_time, text};
use crate::keys::attempt_limiter::guess;
use crate::keys::passwords;
use crate::records::listing;
use crate::records::listing::Asked;
use crate::records::packages;
use crate::records::portal_form;
use crate::records::portal_form::Field;
use crate::records::portals;
use crate::records::portals::Portal;
use crate::records::restrictions::Restrictions;

pub(super) async fn find(State(hub): State<Hub>, Path(subdomain): Path<String>) -> Result<Json<Value>, Refusal> {
    let portal = hub.database().read(move |connection| portals::find_by_subdomain(connection, &subdomain)).await?;
    let portal = portal.ok_or_else(|| Refusal::not_found("portal"))?;
    Ok(Json(portal.public_json()))
}

pub(super) async fn create_package(
    State(hub): State<Hub>,
    Path(portal): Path<String>,
    From(from): From,
    JsonBody(given): JsonBody<NewPackage>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let portal = hub.database().read(move |connection| portals::get(connection, &portal)).await?;
    if !portal.is_open(now()) {
        return Err(Refusal::forbidden("the portal is closed"));
    }
    if let Some(stored) = portal.access_code_hash.clone() {
        let code = given.access_code.clone().or_else(|| given.password.clone()).unwrap_or_default();
        if code.is_empty() {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "access_code_required", "the portal asks for a code"));
        }
        if !guess(&hub, &format!("portal {}", portal.subdomain), from, code, stored).await? {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "access_code_wrong", "the access code is wrong"));
        }
    }
    let sender = given.sender.clone().unwrap_or_default();
    if sender.parse::<lettre::Address>().is_err() {
        return Err(Refusal::invalid("sender must be a mail address"));
    }
    portal_form::check_answers(&portal.fields, &given.custom_metadata)?;
    // Who may receive, how long and behind which password is the portal's to say, not the sender's.
    let allowed = NewPackage { recipients: portal.recipients.clone(), password: None, ..given };
    let mut package = allowed.prepare(portal.team_id.clone(), sender).await?;
    package.portal_id = Some(portal.id.clone());
    package.password_hash = portal.download_password_hash.clone();
    package.expiry_days = portal.expiry_days;
    package.unlimited_storage = portal.unlimited_storage;
    package.access_limit = None;
    package.tag_id = portal.tag_id.clone();
    let package =
        hub.database().write(move |connection| packages::insert(connection, &package).map(|()| package)).await?;
    hub.wake_outbox();
    Ok(created(&hub, &package))
}

/// What a team says of a portal; what it does not say stays as it was.
#[derive(Deserialize)]
pub(super) struct GivenPortal {
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    subdomain: Option<String>,
    #[serde(default, deserialize_with = "text")]
    message: Option<String>,
    #[serde(default, deserialize_with = "some_addresses")]
    recipients: Option<Vec<String>>,
    #[serde(default, deserialize_with = "flag")]
    active: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    expiry_enabled: Option<bool>,
    /// When it closes by itself.
    #[serde(default, deserialize_with = "text")]
    expiry: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    has_access_code: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    access_code: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    has_download_password: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    download_password: Option<String>,
    /// Days; 0 is the hub's default, -1 for ever.
    #[serde(default, deserialize_with = "integer")]
    custom_expiry_days: Option<i64>,
    /// What senders are asked to fill in.
    #[serde(default, alias = "custom_metadata_fields")]
    metadata_fields: Option<Vec<Field>>,
    #[serde(default)]
    tag: Value,
    /// The restrictions, and whatever else there is.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn some_addresses<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    addresses(deserializer).map(Some)
}

/// The hash that a secret has from now on: `wanted` says whether there is to be one.
async fn secret(
    what: &str,
    wanted: Option<bool>,
    given: Option<&str>,
    known: Option<String>,
) -> Result<Option<String>, Refusal> {
    let given = given.filter(|given| !given.is_empty());
    match (wanted, given) {
        (Some(false), _) => Ok(None),
        (_, Some(given)) => passwords::hash_given(Some(given)).await,
        (Some(true), None) if known.is_none() => Err(Refusal::invalid(format!("{what} is missing"))),
        (_, None) => Ok(known),
    }
}

/// What the service's portals can ask for and ours can not: taken for granted and not done, it would let in who is not meant.
const NOT_HELD: [&str; 4] = [
    "user_authentication_required",
    "download_user_authentication_required",
    "package_name_format_enabled",
    "terms_of_service_enabled",
];

impl GivenPortal {
    fn closes_at(&self, known: Option<i64>) -> Result<Option<i64>, Refusal> {
        let given = self.expiry.as_deref().filter(|given| !given.is_empty());
        match (self.expiry_enabled, given) {
            (Some(false), _) => Ok(None),
            (_, Some(given)) if given.starts_with("0001-01-01") => Ok(None),
            (_, Some(given)) => {
                parse_time(given).map(Some).ok_or_else(|| Refusal::invalid(format!("expiry is {given:?}, no time")))
            }
            (Some(true), None) if known.is_none() => Err(Refusal::invalid("expiry is missing")),
            (_, None) => Ok(known),
        }
    }

    fn refuse_what_is_not_held(&self) -> Result<(), Refusal> {
        let asked = NOT_HELD.into_iter().find(|name| self.rest.get(*name) == Some(&Value::Bool(true)));
        let private = self.rest.get("access_level").is_some_and(|level| level == "private").then_some("access_level");
        match asked.or(private) {
            Some(name) => Err(Refusal::invalid(format!("{name} is nothing that this hub's portals can do"))),
            None => Ok(()),
        }
    }

    async fn apply(&self, portal: &mut Portal) -> Result<(), Refusal> {
        if let Some(subdomain) = &self.subdomain {
            portal.subdomain = subdomain.to_lowercase();
        }
        if !portals::is_subdomain(&portal.subdomain) {
            return Err(Refusal::invalid("subdomain must be lower-case letters, digits and inner hyphens, at most 63"));
        }
        if let Some(name) = &self.name {
            portal.name = name.clone();
        }
        if portal.name.is_empty() || portal.name.len() > 255 {
            return Err(Refusal::invalid("name must have 1 to 255 bytes"));
        }
        if let Some(message) = &self.message {
            portal.message = message.clone();
        }
        if let Some(recipients) = &self.recipients {
            if let Some(bad) = recipients.iter().find(|one| one.parse::<lettre::Address>().is_err()) {
                return Err(Refusal::invalid(format!("{bad:?} is not a mail address")));
            }
            portal.recipients = recipients.clone();
        }
        portal.active = self.active.unwrap_or(portal.active);
        portal.closes_at = self.closes_at(portal.closes_at)?;
        self.refuse_what_is_not_held()?;
        let code = portal.access_code_hash.take();
        portal.access_code_hash =
            secret("access_code", self.has_access_code, self.access_code.as_deref(), code).await?;
        let password = portal.download_password_hash.take();
        let given = self.download_password.as_deref();
        portal.download_password_hash =
            secret("download_password", self.has_download_password, given, password).await?;
        if let Some(days) = self.custom_expiry_days {
            portal.unlimited_storage = days < 0;
            portal.expiry_days = u64::try_from(days).ok().filter(|days| *days > 0);
        }
        if let Some(given) = &self.metadata_fields {
            portal_form::check(given)?;
            portal.fields = given.clone();
        }
        let mut restrictions = serde_json::to_value(&portal.restrictions).unwrap_or_default();
        if let Value::Object(restrictions) = &mut restrictions {
            let known: Vec<String> = restrictions.keys().cloned().collect();
            for key in known {
                if let Some(given) = self.rest.get(&key).filter(|given| !given.is_null()) {
                    restrictions.insert(key, given.clone());
                }
            }
        }
        portal.restrictions = serde_json::from_value::<Restrictions>(restrictions)
            .map_err(|error| Refusal::invalid(format!("the restrictions are not valid: {error}")))?;
        portal.updated_at = now();
        Ok(())
    }
}

/// A portal as its team sees it, with the address of its page.
fn shown(hub: &Hub, headers: &HeaderMap, portal: &Portal) -> Value {
    let mut shown = portal.json();
    shown["url"] = format!("{}/portals/{}", hub.base(headers), portal.subdomain).into();
    shown
}

pub(super) async fn list(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    auth::team(&hub, &headers, &team).await?;
    let asked = Asked::new(query.as_deref());
    let (total, portals) = hub.database().read(move |connection| portals::list(connection, &team, &asked)).await?;
    Ok(Json(listing::page(total, portals.iter().map(|portal| shown(&hub, &headers, portal)).collect())))
}

pub(super) async fn create(
    State(hub): State<Hub>,
    Path(team): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenPortal>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let caller = auth::team_admin(&hub, &headers, &team).await?;
    let mut portal = Portal {
        id: new_id()?,
        team_id: caller.team_id.clone(),
        subdomain: String::new(),
        name: String::new(),
        message: String::new(),
        recipients: Vec::new(),
        active: true,
        closes_at: None,
        access_code_hash: None,
        download_password_hash: None,
        expiry_days: None,
        unlimited_storage: false,
        tag_id: None,
        restrictions: Restrictions::default(),
        fields: Vec::new(),
        created_at: now(),
        updated_at: now(),
    };
    given.apply(&mut portal).await?;
    let tag = GivenTag::read(&given.tag);
    let portal = hub
        .database()
        .write(move |connection| {
            portal.tag_id = tag.resolve(connection, &portal.team_id)?;
            portals::insert(connection, &portal)?;
            caller.at(from).note(connection, "portal.added", &portal.subdomain)?;
            Ok::<_, Refusal>(portal)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(shown(&hub, &headers, &portal))))
}

pub(super) async fn show(
    State(hub): State<Hub>,
    Path(portal): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let portal = hub.database().read(move |connection| portals::get(connection, &portal)).await?;
    auth::team(&hub, &headers, &portal.team_id).await?;
    Ok(Json(shown(&hub, &headers, &portal)))
}

pub(super) async fn update(
    State(hub): State<Hub>,
    Path(portal): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenPortal>,
) -> Result<Json<Value>, Refusal> {
    let mut portal = hub.database().read(move |connection| portals::get(connection, &portal)).await?;
    let caller = auth::team_admin(&hub, &headers, &portal.team_id).await?;
    given.apply(&mut portal).await?;
    let tag = Some(GivenTag::read(&given.tag)).filter(GivenTag::is_given);
    let portal = hub
        .database()
        .write(move |connection| {
            if let Some(tag) = tag {
                portal.tag_id = tag.resolve(connection, &portal.team_id)?;
            }
            match portals::find_by_subdomain(connection, &portal.subdomain)? {
                Some(other) if other.id != portal.id => return Err(Refusal::conflict("this subdomain is taken")),
                _ => portals::update(connection, &portal)?,
            }
            caller.at(from).note(connection, "portal.changed", &portal.subdomain)?;
            Ok(portal)
        })
        .await?;
    Ok(Json(shown(&hub, &headers, &portal)))
}

pub(super) async fn remove(
    State(hub): State<Hub>,
    Path(portal): Path<String>,
    From(from): From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let portal = hub.database().read(move |connection| portals::get(connection, &portal)).await?;
    let caller = auth::team_admin(&hub, &headers, &portal.team_id).await?;
    hub.database()
        .write(move |connection| {
            portals::delete(connection, &portal.id)?;
            caller.at(from).note(connection, "portal.removed", &portal.subdomain)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
