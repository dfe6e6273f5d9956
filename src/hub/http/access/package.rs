//! Rights to one package: by its access token, through a link, or as its team.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{ErrorKind, PACKAGE_TOKEN_HEADER, PackageId, Role};

use super::credentials::are_given;
use super::team::caller_in;
use super::{ClientAddress, Gate, Refusal, header_text, id};
use crate::Hub;
use crate::clock::now;
use crate::keys::tokens::{Bearer, Visit};
use crate::records::accounts::Caller;
use crate::records::api_keys;
use crate::records::audit::Authority;
use crate::records::packages::{self, Package};

/// The team that the bearer of a token of the package belongs to; none for the sender. A token that was given to a key ends with
/// that.
async fn team_of_bearer(hub: &Hub, package: &PackageId, bearer: Bearer) -> Result<Option<Caller>, Refusal> {
    match bearer {
        Bearer::Sender => Ok(None),
        Bearer::Member => {
            let found = packages::get(hub.database(), package.clone()).await?;
            let name = format!("member, for {}", found.sender);
            Ok(Some(Caller { team_id: found.team_id, email: String::new(), name, role: Role::Sender, key: None }))
        }
        Bearer::Key(key) => {
            let caller = api_keys::caller_of_id(hub.database(), key).await?;
            caller
                .map(Some)
                .ok_or_else(|| Refusal::unauthorized("the API key that the package token was given to was removed"))
        }
    }
}

/// By what right the caller may change `package`: its access token, or its team.
async fn authority(hub: &Hub, parts: &Parts, package: &PackageId) -> Result<Authority, Refusal> {
    let team = match header_text(&parts.headers, PACKAGE_TOKEN_HEADER) {
        Some(token) => {
            let bearer = hub.context.keys.package_bearer(package, token);
            let bearer = bearer.ok_or_else(|| Refusal::unauthorized("the package token is wrong"))?;
            team_of_bearer(hub, package, bearer).await?
        }
        None => Some(of_its_team(hub, parts, package).await?),
    };
    Ok(Authority { team, address: ClientAddress::of(parts) })
}

/// The caller, as somebody of the package's team. Who is not learns nothing of the package.
async fn of_its_team(hub: &Hub, parts: &Parts, package: &PackageId) -> Result<Caller, Refusal> {
    if !are_given(parts) {
        return Err(Refusal::unauthorized("a package token is needed"));
    }
    let found = packages::get(hub.database(), package.clone()).await?;
    match caller_in(hub, parts, found.team_id).await {
        Err(refusal) if refusal.kind == ErrorKind::Forbidden => Err(Refusal::not_found("package")),
        other => other,
    }
}

/// The package, for who may give it to others.
pub(super) async fn owned(hub: &Hub, parts: &Parts, package: PackageId) -> Result<(Package, Authority), Refusal> {
    let authority = authority(hub, parts, &package).await?;
    let package = packages::get(hub.database(), package).await?;
    authority.check_owner(&package)?;
    Ok((package, authority))
}

/// Only who may change the route's package may call: who has its access token, and its team.
pub(crate) struct PackageWriter {
    pub hub: Hub,
    pub package: PackageId,
    pub authority: Authority,
}

impl FromRequestParts<Gate> for PackageWriter {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let package: PackageId = id(parts).await?;
        let authority = authority(&gate.0, parts, &package).await?;
        Ok(Self { hub: gate.0.clone(), package, authority })
    }
}

/// Only who may give the route's package to others may call: not a stranger who sends it to a portal.
pub(crate) struct PackageOwner {
    pub hub: Hub,
    pub package: Package,
    pub authority: Authority,
}

impl FromRequestParts<Gate> for PackageOwner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let package: PackageId = id(parts).await?;
        let (package, authority) = owned(&gate.0, parts, package).await?;
        Ok(Self { hub: gate.0.clone(), package, authority })
    }
}

/// Only who may read the route's package may call.
pub(crate) struct PackageReader {
    pub hub: Hub,
    pub package: PackageId,
    /// The visit of a link by which it is read; absent: by its sender or its team.
    pub visit: Option<Visit>,
}

impl FromRequestParts<Gate> for PackageReader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let (hub, package) = (gate.0.clone(), id::<PackageId>(parts).await?);
        let visit = match header_text(&parts.headers, PACKAGE_TOKEN_HEADER) {
            Some(token) => match hub.context.keys.package_bearer(&package, token) {
                Some(bearer) => team_of_bearer(&hub, &package, bearer).await.map(|_| None)?,
                None => {
                    let visit = hub.context.keys.visit(token, now()).filter(|visit| visit.package == package);
                    Some(visit.ok_or_else(|| Refusal::unauthorized("the package token is wrong or too old"))?)
                }
            },
            None => of_its_team(&hub, parts, &package).await.map(|_| None)?,
        };
        Ok(Self { hub, package, visit })
    }
}
