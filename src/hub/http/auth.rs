//! Who is calling, and what that caller may do.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::Hub;
use crate::error::Refusal;
use crate::http::wire::now;
use crate::keys::tokens::Visit;
use crate::records::accounts;
use crate::records::accounts::{Account, Caller, Role};
use crate::records::audit::Actor;
use crate::records::packages;
use crate::records::packages::Package;

/// The header of an API key.
pub(crate) const API_KEY: &str = "x-api-key";
/// The header of a session.
pub(crate) const USER_TOKEN: &str = "x-user-token";
/// The header of a package's token.
pub(crate) const PACKAGE_TOKEN: &str = "x-package-token";
/// The header of a link's password.
pub(crate) const LINK_PASSWORD: &str = "x-link-password";

/// The value of a header, if it is there and text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|value| !value.is_empty())
}

/// The caller of a team call.
pub(crate) async fn team(hub: &Hub, headers: &HeaderMap, team: &str) -> Result<Caller, Refusal> {
    let team = team.to_owned();
    match who(hub, headers).await? {
        Who::Operator => {
            let id = team.clone();
            if !hub.database().read(move |connection| accounts::is_team(connection, &id)).await? {
                return Err(Refusal::not_found("team"));
            }
            Ok(Caller { team_id: team, email: String::new(), name: "operator".to_owned(), role: Role::Operator })
        }
        Who::Key(caller) if caller.team_id == team => Ok(caller),
        Who::Key(_) => Err(Refusal::forbidden("the API key belongs to another team")),
        Who::Person(account) => {
            let (id, of) = (account.id.clone(), team.clone());
            let role = hub.database().read(move |connection| accounts::role_in(connection, &of, &id)).await?;
            let role = role.ok_or_else(|| Refusal::forbidden("you are not a member of this team"))?;
            Ok(Caller { team_id: team, name: account.email.clone(), email: account.email, role })
        }
    }
}

/// Who shows a key, a session or an operator's token.
pub(crate) enum Who {
    Operator,
    Key(Caller),
    Person(Account),
}

/// Who is calling, whatever the team.
pub(crate) async fn who(hub: &Hub, headers: &HeaderMap) -> Result<Who, Refusal> {
    if let Some(key) = header(headers, API_KEY).map(str::to_owned) {
        let caller = hub.database().read(move |connection| accounts::caller_of_key(connection, &key)).await?;
        return caller.map(Who::Key).ok_or_else(|| Refusal::unauthorized("the API key is not known"));
    }
    let Some(session) = header(headers, USER_TOKEN).map(str::to_owned) else {
        return Err(Refusal::unauthorized("an API key or a session is needed"));
    };
    if hub.keys().is_operator_token(&session, now() / 1000) {
        return Ok(Who::Operator);
    }
    let account =
        hub.database().read(move |connection| accounts::account_of_session(connection, &session, now())).await?;
    account.map(Who::Person).ok_or_else(|| Refusal::unauthorized("the session is over or not known"))
}

/// The caller of a team call that changes how the team works.
pub(crate) async fn team_admin(hub: &Hub, headers: &HeaderMap, of: &str) -> Result<Caller, Refusal> {
    let caller = team(hub, headers, of).await?;
    if caller.role < Role::Admin {
        return Err(Refusal::forbidden("only an admin of the team may do this"));
    }
    Ok(caller)
}

/// By what right a package is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Its access token: for a package of a portal, anybody may have made it.
    Token,
    /// Its team.
    Team(Caller),
}

impl Authority {
    /// Who has it, for the audit log.
    pub(crate) fn at(&self, package: &Package, address: Option<IpAddr>) -> Actor {
        match self {
            Self::Team(caller) => caller.at(address),
            Self::Token => {
                Actor { team: Some(package.team_id.clone()), name: format!("sender {}", package.sender), address }
            }
        }
    }
}

/// Lets pass who may change `package`: its access token, or its team. A token costs no query.
pub(crate) async fn full(hub: &Hub, headers: &HeaderMap, package: &str) -> Result<Authority, Refusal> {
    match header(headers, PACKAGE_TOKEN) {
        Some(token) if hub.keys().is_package_token(package, token) => Ok(Authority::Token),
        Some(_) => Err(Refusal::unauthorized("the package token is wrong")),
        None => by_team(hub, headers, package).await.map(Authority::Team),
    }
}

/// Refuses what a stranger who sends to a portal must not decide: who gets the package, and for how long.
pub(crate) fn owners_only(authority: &Authority, package: &Package) -> Result<(), Refusal> {
    if *authority == Authority::Token && package.portal_id.is_some() {
        return Err(Refusal::forbidden("only the portal's team may do this"));
    }
    Ok(())
}

/// Where a request comes from, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct From(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self(None)))
    }
}

/// How a package may be read.
pub(crate) enum Reader {
    /// By its sender or its team.
    Owner,
    /// Through a link.
    Visitor(Visit),
}

/// Lets pass who may read `package`.
pub(crate) async fn reader(hub: &Hub, headers: &HeaderMap, package: &str) -> Result<Reader, Refusal> {
    match header(headers, PACKAGE_TOKEN) {
        Some(token) if hub.keys().is_package_token(package, token) => Ok(Reader::Owner),
        Some(token) => match hub.keys().visit(token, now() / 1000) {
            Some(visit) if visit.package == package => Ok(Reader::Visitor(visit)),
            _ => Err(Refusal::unauthorized("the package token is wrong or too old")),
        },
        None => by_team(hub, headers, package).await.map(|_| Reader::Owner),
    }
}

async fn by_team(hub: &Hub, headers: &HeaderMap, package: &str) -> Result<Caller, Refusal> {
    if header(headers, API_KEY).is_none() && header(headers, USER_TOKEN).is_none() {
        return Err(Refusal::unauthorized("a package token is needed"));
    }
    let id = package.to_owned();
    let found: Option<Package> = hub.database().read(move |connection| packages::find(connection, &id)).await?;
    let found = found.ok_or_else(|| Refusal::not_found("package"))?;
    match team(hub, headers, &found.team_id).await {
        Err(refusal) if refusal.kind == "forbidden" => Err(Refusal::not_found("package")),
        other => other,
    }
}
