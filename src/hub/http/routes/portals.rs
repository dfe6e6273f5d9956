//! Portals: as senders use them, and as their team administers them.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use masv_protocol::{
    self as protocol, ErrorKind, NewPortalPackage, PackageWithToken, Page, PortalSettings, PublicPortal, Secret, Time,
};

use super::packages::{created, distinct, named};
use super::{MOST_LISTED, brand};
use crate::clock::now;
use crate::http::access::{
    ClientAddress, OpenPortal, PortalAdmin, PortalMember, Public, PublicBase, TeamAdmin, TeamMember,
};
use crate::http::guesses;
use crate::http::json_body::{JsonBody, StrangersBody};
use crate::http::query::{self, ListQuery, page};
use crate::http::rates::{self, Place};
use crate::http::refusal::Refusal;
use crate::keys::passwords;
use crate::keys::tokens::Bearer;
use crate::records::listing::Listed;
use crate::records::packages::{self, NewPackage};
use crate::records::portal_form;
use crate::records::portals::{self, Filter, Portal};

/// What `custom_expiry_days` can be.
const CUSTOM_DAYS: std::ops::RangeInclusive<i64> = -1..=65_535;
/// The maximum size of the metadata of a stranger's package besides its message, in bytes.
const LARGEST_METADATA: usize = 16 << 10;

/// A portal as its senders see it.
pub(super) async fn find(Public(hub): Public, Path(subdomain): Path<String>) -> Result<Json<PublicPortal>, Refusal> {
    let portal = portals::find_by_subdomain(hub.database(), subdomain).await?;
    let portal = portal.ok_or_else(|| Refusal::not_found("portal"))?;
    Ok(Json(portal.public_message(now())))
}

pub(super) async fn create_package(
    OpenPortal { hub, portal }: OpenPortal,
    ClientAddress(address): ClientAddress,
    StrangersBody(given, ..): StrangersBody<NewPortalPackage>,
) -> Result<(StatusCode, Json<PackageWithToken>), Refusal> {
    if let Some(stored) = portal.access_code_hash.clone() {
        let Some(code) = given.code().map(|code| code.expose().to_owned()) else {
            return Err(Refusal::new(ErrorKind::AccessCodeRequired, "the portal requires an access code"));
        };
        let what = format!("portal {}", portal.subdomain);
        if !guesses::is_right(&hub, &what, address, code, Some(stored)).await? {
            return Err(Refusal::new(ErrorKind::AccessCodeWrong, "the access code is wrong"));
        }
    }
    let sender = given.sender.ok_or_else(|| Refusal::invalid("sender must be an e-mail address"))?;
    portal_form::check_answers(&portal.fields, &given.custom_metadata)?;
    check_metadata(&given.custom_metadata)?;
    rates::check(&hub, "begun", Place::Portal(&portal.id), address).await?;
    // Recipients, expiry and password are determined by the portal, not by the sender.
    let new = NewPackage {
        portal_id: Some(portal.id.clone()),
        sender: sender.into_string(),
        recipients: portal.recipients,
        cc_recipients: portal.cc_recipients,
        sends_receipt: portal.sends_receipts,
        password_hash: portal.download_password_hash,
        expiry_days: portal.expiry_days,
        unlimited_storage: portal.unlimited_storage,
        tag: portal.tag_id.map(protocol::TagChoice::Id),
        metadata: given.custom_metadata,
        ..named(portal.team_id, given.name.as_deref(), given.description)?
    };
    let package = packages::create(hub.database(), new).await?;
    hub.context.wake_outbox();
    Ok(created(&hub, &package, &Bearer::Sender))
}

/// Refuses what would make the lists of the team large.
fn check_metadata(given: &serde_json::Value) -> Result<(), Refusal> {
    if given.to_string().len() > LARGEST_METADATA {
        return Err(Refusal::invalid(format!("custom_metadata is longer than {LARGEST_METADATA} bytes")));
    }
    Ok(())
}

/// The new hash of a secret: `wanted` says whether there should be one.
async fn secret(
    what: &str,
    wanted: Option<bool>,
    given: Option<&Secret>,
    known: Option<String>,
) -> Result<Option<String>, Refusal> {
    match (wanted, given) {
        (Some(false), _) => Ok(None),
        (_, Some(given)) => Ok(passwords::hash_given(Some(given.expose())).await?),
        (Some(true), None) if known.is_none() => Err(Refusal::invalid(format!("{what} is missing"))),
        (_, None) => Ok(known),
    }
}

/// The new time at which a portal closes automatically.
fn closes_at(portal: &Portal, given: &PortalSettings) -> Result<Option<jiff::Timestamp>, Refusal> {
    match (given.expiry_enabled, given.expiry) {
        (Some(false), _) => Ok(None),
        (_, Some(expiry)) => Ok(Time::timestamp(expiry)),
        (Some(true), None) if portal.closes_at.is_none() => Err(Refusal::invalid("expiry is missing")),
        (_, None) => Ok(portal.closes_at),
    }
}

/// Applies the given fields except for the tag; omitted fields stay as they are.
async fn apply(given: PortalSettings, portal: &mut Portal) -> Result<(), Refusal> {
    portal.active = given.active.unwrap_or(portal.active);
    portal.closes_at = closes_at(portal, &given)?;
    let (wanted, code) = (given.has_access_code, given.access_code.as_ref());
    portal.access_code_hash = secret("access_code", wanted, code, portal.access_code_hash.take()).await?;
    let (wanted, password) = (given.has_download_password, given.download_password.as_ref());
    portal.download_password_hash =
        secret("download_password", wanted, password, portal.download_password_hash.take()).await?;
    if let Some(subdomain) = given.subdomain {
        portal.subdomain = subdomain.to_lowercase();
    }
    if !portals::is_subdomain(&portal.subdomain) {
        return Err(Refusal::invalid(
            "subdomain must consist of at most 63 lower-case letters, digits and inner hyphens",
        ));
    }
    portal.name = given.name.unwrap_or_else(|| std::mem::take(&mut portal.name));
    if portal.name.is_empty() || portal.name.len() > 255 {
        return Err(Refusal::invalid("name must have 1 to 255 bytes"));
    }
    portal.message = given.message.unwrap_or_else(|| std::mem::take(&mut portal.message));
    if let Some(recipients) = given.recipients {
        portal.recipients = distinct(recipients)?;
    }
    if let Some(copies) = given.cc_recipients {
        portal.cc_recipients = distinct(copies)?;
    }
    portal.sends_receipts = given.disable_upload_receipt.map_or(portal.sends_receipts, |disabled| !disabled);
    brand::apply((given.primary_color, given.logo_url, given.background_url), &mut portal.brand)?;
    if let Some(attached) = given.custom_webhooks {
        portal.webhooks = attached.into_iter().map(|hook| hook.id).collect();
    }
    if let Some(days) = given.custom_expiry_days {
        if !CUSTOM_DAYS.contains(&days) {
            return Err(Refusal::invalid("custom_expiry_days must be from -1 (never) to 65535"));
        }
        portal.unlimited_storage = days < 0;
        portal.expiry_days = u64::try_from(days).ok().filter(|days| *days > 0);
    }
    if let Some(fields) = given.metadata_fields {
        portal_form::check(&fields)?;
        portal.fields = fields;
    }
    given.restrictions.apply(&mut portal.restrictions);
    portal.updated_at = now();
    Ok(())
}

/// The tag that is chosen, under either name.
fn chosen_tag(given: &mut PortalSettings) -> Option<protocol::TagChoice> {
    given.tag.take().or_else(|| given.tag_id.take().map(protocol::TagChoice::Id))
}

/// A portal as its team sees it, with the address of its page.
fn message(base: &str, portal: &Portal) -> protocol::Portal {
    portal.message(now(), format!("{base}/portals/{}", portal.subdomain))
}

pub(super) async fn list(
    TeamMember(team): TeamMember,
    PublicBase(base): PublicBase,
    query: ListQuery<query::Portals>,
) -> Result<Json<Page<protocol::Portal>>, Refusal> {
    let filter = Filter { name: query.text("name"), subdomain: query.text("subdomain"), tags: query.all("tags") };
    let Listed { total, entries } = portals::list(team.hub.database(), team.id(), filter, query.window()?).await?;
    let entries = entries.iter().map(|portal| message(&base, portal)).collect();
    Ok(Json(page(Listed { total, entries })))
}

/// The same as the service lists them without pages.
pub(super) async fn all(
    TeamMember(team): TeamMember,
    PublicBase(base): PublicBase,
    _: ListQuery<query::NoFilters>,
) -> Result<Json<Vec<protocol::Portal>>, Refusal> {
    let all = portals::all(team.hub.database(), team.id(), MOST_LISTED).await?;
    Ok(Json(all.iter().map(|portal| message(&base, portal)).collect()))
}

pub(super) async fn create(
    TeamAdmin(team): TeamAdmin,
    PublicBase(base): PublicBase,
    JsonBody(mut given, ..): JsonBody<PortalSettings>,
) -> Result<(StatusCode, Json<protocol::Portal>), Refusal> {
    let tag = chosen_tag(&mut given);
    let mut portal = Portal::new(team.id())?;
    apply(given, &mut portal).await?;
    let portal = portals::create(team.hub.database(), portal, tag, team.by()).await?;
    Ok((StatusCode::CREATED, Json(message(&base, &portal))))
}

pub(super) async fn show(
    PortalMember { portal }: PortalMember,
    PublicBase(base): PublicBase,
) -> Json<protocol::Portal> {
    Json(message(&base, &portal))
}

pub(super) async fn update(
    PortalAdmin { hub, mut portal, by }: PortalAdmin,
    PublicBase(base): PublicBase,
    JsonBody(mut given, ..): JsonBody<PortalSettings>,
) -> Result<Json<protocol::Portal>, Refusal> {
    let tag = chosen_tag(&mut given);
    apply(given, &mut portal).await?;
    let portal = portals::update(hub.database(), portal, tag, by).await?;
    Ok(Json(message(&base, &portal)))
}

pub(super) async fn remove(PortalAdmin { hub, portal, by }: PortalAdmin) -> Result<StatusCode, Refusal> {
    portals::delete(hub.database(), portal, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
