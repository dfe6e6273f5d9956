//! Links: making, changing, opening.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Hub;
use crate::error::Refusal;
use crate::http::auth;
use crate::http::auth::{Authority, From, owners_only};
use crate::http::wire::{JsonBody, flag, new_id, now, number, parse_time, text, time};
use crate::jobs::mail;
use crate::keys::attempt_limiter::guess;
use crate::keys::passwords;
use crate::keys::tokens::Visit;
use crate::records::activity;
use crate::records::activity::Event;
use crate::records::links;
use crate::records::links::Link;
use crate::records::packages;
use crate::records::packages::Package;

/// The most links of a package.
const MOST_LINKS: usize = 1000;

#[derive(Deserialize)]
pub(super) struct GivenLink {
    #[serde(default, deserialize_with = "text")]
    email: Option<String>,
    #[serde(default, deserialize_with = "text")]
    password: Option<String>,
    #[serde(default, deserialize_with = "number")]
    access_limit: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    expiry: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    active: Option<bool>,
}

impl GivenLink {
    /// Takes over what is given; an empty password, a limit of 0 and the time that is none take away.
    async fn apply(&self, link: &mut Link) -> Result<(), Refusal> {
        if let Some(password) = &self.password {
            link.password_hash = passwords::hash_given(Some(password)).await?;
        }
        if let Some(limit) = self.access_limit {
            link.access_limit = Some(limit).filter(|limit| *limit > 0);
        }
        if let Some(expiry) = self.expiry.as_deref().filter(|expiry| !expiry.is_empty()) {
            link.expires_at = parse_time(expiry);
            if link.expires_at.is_none() && expiry != crate::http::wire::NO_TIME {
                return Err(Refusal::invalid("expiry is not a time"));
            }
        }
        link.active = self.active.unwrap_or(link.active);
        Ok(())
    }
}

pub(super) async fn create(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenLink>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (package, authority) = owned(&hub, &headers, package).await?;
    let email = given.email.clone().filter(|email| !email.is_empty());
    if email.as_ref().is_some_and(|email| email.parse::<lettre::Address>().is_err()) {
        return Err(Refusal::invalid("email is not a mail address"));
    }
    let mut link = Link::new(&package, email, None, now())?;
    given.apply(&mut link).await?;
    let (link, package) = hub
        .database()
        .write(move |connection| {
            let package = packages::get(connection, &package.id)?;
            if !matches!(package.state.as_str(), "new" | "finalized") {
                return Err(Refusal::conflict(format!("the package is {}", package.state)));
            }
            if links::list(connection, &package.id)?.len() >= MOST_LINKS {
                return Err(Refusal::conflict(format!("a package has at most {MOST_LINKS} links")));
            }
            links::insert(connection, &link)?;
            if let Some(email) = &link.email {
                let due_at = (package.state == "finalized").then(now);
                mail::owe_link(connection, &link, email, due_at)?;
            }
            authority.at(&package, from).note(connection, "link.added", &named(&link, &package))?;
            activity::add(connection, &package, Event::LinkMade, link.email.as_deref().unwrap_or_default())?;
            Ok::<_, Refusal>((link, package))
        })
        .await?;
    hub.wake_outbox();
    Ok((StatusCode::CREATED, Json(link.json(&package, hub.keys(), &hub.base(&headers)))))
}

pub(super) async fn list(
    State(hub): State<Hub>,
    Path(package): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, Refusal> {
    let (package, _) = owned(&hub, &headers, package).await?;
    let id = package.id.clone();
    let links = hub.database().read(move |connection| links::list(connection, &id)).await?;
    let base = hub.base(&headers);
    Ok(Json(links.iter().map(|link| link.json(&package, hub.keys(), &base)).collect()))
}

/// What a link is called in the audit log.
fn named(link: &Link, package: &Package) -> String {
    match &link.email {
        Some(email) => format!("{} of {} for {email}", link.id, package.name),
        None => format!("{} of {}", link.id, package.name),
    }
}

/// A link as its owner sees it.
pub(super) async fn show(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (link, package, _) = owned_link(&hub, &headers, link).await?;
    Ok(Json(link.json(&package, hub.keys(), &hub.base(&headers))))
}

pub(super) async fn update(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    From(from): From,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GivenLink>,
) -> Result<Json<Value>, Refusal> {
    let (mut link, package, authority) = owned_link(&hub, &headers, link).await?;
    given.apply(&mut link).await?;
    let (link, package) = hub
        .database()
        .write(move |connection| {
            links::update(connection, &link)?;
            authority.at(&package, from).note(connection, "link.changed", &named(&link, &package))?;
            let found = links::find(connection, &link.id)?;
            found.ok_or_else(|| Refusal::not_found("link"))
        })
        .await?;
    Ok(Json(link.json(&package, hub.keys(), &hub.base(&headers))))
}

pub(super) async fn update_of_package(
    state: State<Hub>,
    Path((_, link)): Path<(String, String)>,
    from: From,
    headers: HeaderMap,
    body: JsonBody<GivenLink>,
) -> Result<Json<Value>, Refusal> {
    update(state, Path(link), from, headers, body).await
}

pub(super) async fn remove(
    State(hub): State<Hub>,
    Path(link): Path<String>,
    From(from): From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let (link, package, authority) = owned_link(&hub, &headers, link).await?;
    hub.database()
        .write(move |connection| {
            links::delete(connection, &link.id)?;
            authority.at(&package, from).note(connection, "link.removed", &named(&link, &package))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_of_package(
    state: State<Hub>,
    Path((_, link)): Path<(String, String)>,
    from: From,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    remove(state, Path(link), from, headers).await
}

/// A package that the caller may give to others.
async fn owned(hub: &Hub, headers: &HeaderMap, package: String) -> Result<(Package, Authority), Refusal> {
    let authority: Authority = auth::full(hub, headers, &package).await?;
    let package = hub.database().read(move |connection| packages::get(connection, &package)).await?;
    owners_only(&authority, &package)?;
    Ok((package, authority))
}

/// A link of a package that the caller may give to others.
async fn owned_link(hub: &Hub, headers: &HeaderMap, link: String) -> Result<(Link, Package, Authority), Refusal> {
    let found = hub.database().read(move |connection| links::find(connection, &link)).await?;
    // Who has no right to a link must not learn that it is there.
    let (link, package) = found.ok_or_else(|| Refusal::unauthorized("the package token is wrong"))?;
    let (package, authority) = owned(hub, headers, package.id).await?;
    Ok((link, package, authority))
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
    From(from): From,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let (link, package) = find(&hub, &link, &given.secret).await?;
    let password = auth::header(&headers, auth::LINK_PASSWORD).map(str::to_owned);
    check_password(&hub, &link, &package, from, password).await?;
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
pub(crate) async fn find(hub: &Hub, link: &str, secret: &str) -> Result<(Link, Package), Refusal> {
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
pub(crate) async fn check_password(
    hub: &Hub,
    link: &Link,
    package: &Package,
    from: Option<IpAddr>,
    given: Option<String>,
) -> Result<(), Refusal> {
    let Some(stored) = link.required_password(package) else { return Ok(()) };
    let refused = |kind, message| Err(Refusal::new(StatusCode::UNAUTHORIZED, kind, message));
    let Some(given) = given else { return refused("password_required", "this link needs a password") };
    if guess(hub, &format!("link {}", link.id), from, given, stored.to_owned()).await? {
        Ok(())
    } else {
        refused("password_wrong", "the password is wrong")
    }
}

/// A new visit of a link.
pub(crate) fn visit(hub: &Hub, link: &Link, package: &Package) -> Result<Visit, Refusal> {
    let life = i64::try_from(hub.config().visit_life.as_secs()).unwrap_or(i64::MAX);
    Ok(Visit {
        package: package.id.clone(),
        link: link.id.clone(),
        visit: new_id()?,
        expires: (now() / 1000).saturating_add(life),
    })
}
