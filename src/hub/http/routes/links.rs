//! Links: making, changing, opening.

use std::net::IpAddr;

use axum::Json;
use axum::http::{HeaderMap, Method, StatusCode};
use masv_protocol::{
    self as protocol, ErrorKind, LINK_PASSWORD_HEADER, LinkId, LinkQuery, LinkSettings, OpenedLink, Time,
};

use super::packages::repetition;
use crate::Hub;
use crate::clock::{after, now};
use crate::http::access::{Id, LinkOwner, PackageOwner, Public, PublicBase, header_text};
use crate::http::guesses;
use crate::http::json_body::JsonBody;
use crate::http::query::Asked;
use crate::http::refusal::Refusal;
use crate::keys::passwords;
use crate::keys::tokens::Visit;
use crate::records::downloads::{self, Origin};
use crate::records::links::{self, Link};
use crate::records::new_id;
use crate::records::packages::{Package, protocol_time};

/// Applies the given fields; an empty password, a limit of 0 and an unset time remove them.
async fn apply(given: &LinkSettings, link: &mut Link) -> Result<(), Refusal> {
    if let Some(password) = &given.password {
        link.password_hash = passwords::hash_given(Some(password.expose())).await?;
    }
    if let Some(limit) = given.access_limit {
        link.access_limit = Some(limit).filter(|limit| *limit > 0);
    }
    if given.access_limit_enabled == Some(false) {
        link.access_limit = None;
    }
    if let Some(expiry) = given.expiry {
        link.expires_at = Time::timestamp(expiry);
    }
    link.active = given.active.unwrap_or(link.active);
    Ok(())
}

/// A link as its package's owner sees it; it contains the secret.
fn message(hub: &Hub, link: &Link, package: &Package, base: &str) -> protocol::Link {
    let has_password = link.required_password(package).is_some();
    protocol::Link {
        id: link.id.clone(),
        package_id: Some(link.package_id.clone()),
        email: link.recipient().to_owned(),
        download_secret: hub.context.keys.link_secret(&link.id).into(),
        url: Some(hub.context.link_address(base, &link.id).into()),
        expiry: protocol_time(link.expiry(package)),
        access_limit: link.access_limit.unwrap_or_default(),
        access_count: link.access_count,
        active: link.active,
        has_password,
        password_protected: has_password,
        created_at: link.created_at.into(),
        opened_at: protocol_time(link.opened_at),
        downloads: link.downloads,
        downloaded_at: protocol_time(link.downloaded_at),
    }
}

pub(super) async fn create(
    PackageOwner { hub, package, authority }: PackageOwner,
    PublicBase(base): PublicBase,
    headers: HeaderMap,
    JsonBody(given, ..): JsonBody<LinkSettings>,
) -> Result<(StatusCode, Json<protocol::Link>), Refusal> {
    let key = repetition(&headers)?;
    let mut link = Link::new(&package, given.email.clone(), now())?;
    apply(&given, &mut link).await?;
    let (link, package) = links::create(hub.database(), link, key, authority).await?;
    hub.context.wake_outbox();
    Ok((StatusCode::CREATED, Json(message(&hub, &link, &package, &base))))
}

pub(super) async fn list(
    PackageOwner { hub, package, .. }: PackageOwner,
    PublicBase(base): PublicBase,
) -> Result<Json<Vec<protocol::Link>>, Refusal> {
    let links = links::list(hub.database(), package.id.clone()).await?;
    Ok(Json(links.iter().map(|link| message(&hub, link, &package, &base)).collect()))
}

/// A link as its owner sees it.
pub(super) async fn show(owner: LinkOwner, PublicBase(base): PublicBase) -> Json<protocol::Link> {
    Json(message(&owner.hub, &owner.link, &owner.package, &base))
}

pub(super) async fn update(
    LinkOwner { hub, mut link, authority, .. }: LinkOwner,
    PublicBase(base): PublicBase,
    JsonBody(given, ..): JsonBody<LinkSettings>,
) -> Result<Json<protocol::Link>, Refusal> {
    if given.email.as_ref().is_some_and(|given| link.email.as_ref().is_none_or(|known| !known.is_same_mailbox(given))) {
        return Err(Refusal::invalid("email: whom a link was made for cannot be changed; make another link"));
    }
    apply(&given, &mut link).await?;
    let (link, package) = links::update(hub.database(), link, authority).await?;
    Ok(Json(message(&hub, &link, &package, &base)))
}

/// Sends the mail with a link once more.
pub(super) async fn mail_again(LinkOwner { hub, link, authority, .. }: LinkOwner) -> Result<StatusCode, Refusal> {
    links::mail_again(hub.database(), link.id, authority).await?;
    hub.context.wake_outbox();
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(LinkOwner { hub, link, authority, .. }: LinkOwner) -> Result<StatusCode, Refusal> {
    links::delete(hub.database(), link.id, authority).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Opens a link, for callers with its secret and password.
pub(super) async fn open(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Asked(given): Asked<LinkQuery>,
    origin: Origin,
    method: Method,
    headers: HeaderMap,
) -> Result<Json<OpenedLink>, Refusal> {
    let (link, package) = find(&hub, link, given.secret.expose()).await?;
    let password = header_text(&headers, LINK_PASSWORD_HEADER).map(str::to_owned);
    check_password(&hub, &link, &package, origin.address, password).await?;
    if method != Method::HEAD {
        note_opened(&hub, &link.id, origin).await;
    }
    let visit = visit(&hub, &link, &package)?;
    Ok(Json(OpenedLink {
        id: Some(link.id.clone()),
        name: package.name.clone(),
        description: package.description.clone(),
        package_id: package.id.clone(),
        package_token: hub.context.keys.visit_token(&visit).into(),
        package_size: package.size,
        total_files: package.file_count,
        sender_email: package.sender.clone(),
        email: link.recipient().to_owned(),
        expiry: protocol_time(link.expiry(&package)),
        access_limit: link.access_limit.unwrap_or_default(),
        access_count: link.access_count,
        active: link.active,
        created_at: link.created_at.into(),
        finalized_at: protocol_time(package.finalized_at),
        package_name: package.name,
    }))
}

/// The link that `secret` opens, if it still does.
pub(crate) async fn find(hub: &Hub, link: LinkId, secret: &str) -> Result<(Link, Package), Refusal> {
    if !hub.context.keys.is_link_secret(&link, secret) {
        return Err(Refusal::not_found("link"));
    }
    let found = links::find(hub.database(), link).await?;
    let (link, package) = found.ok_or_else(|| Refusal::not_found("link"))?;
    link.check_open(&package, now())?;
    Ok((link, package))
}

/// Refuses a missing or wrong password.
pub(crate) async fn check_password(
    hub: &Hub,
    link: &Link,
    package: &Package,
    address: Option<IpAddr>,
    given: Option<String>,
) -> Result<(), Refusal> {
    let Some(stored) = link.required_password(package) else { return Ok(()) };
    let Some(given) = given else {
        return Err(Refusal::new(ErrorKind::PasswordRequired, "this link requires a password"));
    };
    let what = format!("link {}", link.id);
    if guesses::is_right(hub, &what, address, given, Some(stored.to_owned())).await? {
        Ok(())
    } else {
        Err(Refusal::new(ErrorKind::PasswordWrong, "the password is wrong"))
    }
}

/// Notes that a link was opened. Whoever opens it need not wait for another time because that cannot be noted.
pub(crate) async fn note_opened(hub: &Hub, link: &LinkId, origin: Origin) {
    if hub.is_read_only() {
        return;
    }
    match downloads::opened(hub.database(), link.clone(), origin).await {
        Ok(()) => hub.context.call_due.notify_one(),
        Err(error) => tracing::error!(%error, %link, "cannot note that a link was opened"),
    }
}

/// A new visit of a link.
pub(crate) fn visit(hub: &Hub, link: &Link, package: &Package) -> Result<Visit, Refusal> {
    let now = now();
    Ok(Visit {
        package: package.id.clone(),
        link: link.id.clone(),
        visit: new_id(now)?,
        expires: after(now, hub.context.config.visit_life),
        epoch: link.epoch,
    })
}
