//! Rights to one package: by its access token, through a link, or as its team.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{ErrorKind, PACKAGE_TOKEN_HEADER, PackageId, Role};

use super::credentials::{are_given, no_right, who};
use super::team::caller_in;
use super::{ClientAddress, Gate, Refusal, header_text, id};
use crate::Hub;
use crate::clock::now;
use crate::keys::tokens::{Bearer, PackageToken};
use crate::records::accounts::{self, Caller};
use crate::records::api_keys::{self, NoCaller};
use crate::records::audit::Authority;
use crate::records::downloads::Reader;
use crate::records::links;
use crate::records::moments::{self, Moment};
use crate::records::packages::{self, Package};

/// The team on whose authority a token of the package was issued; none for a stranger's. Refuses an expired or revoked one.
async fn team_of_token(hub: &Hub, package: &PackageId, token: PackageToken) -> Result<Option<Caller>, Refusal> {
    let ended = || Refusal::unauthorized("the package token has expired or was revoked");
    let found = packages::get(hub.database(), package.clone()).await?;
    let holds = match token.epoch {
        Some(epoch) => epoch == found.epoch,
        None => {
            let until = moments::get(hub.database(), Moment::OldTokensEnd).await?;
            found.epoch == 0 && until.is_some_and(|until| now() < until)
        }
    };
    if !holds {
        return Err(ended());
    }
    match token.bearer {
        Bearer::Sender => Ok(None),
        Bearer::Member(None) => {
            let name = format!("member, for {}", found.sender);
            let (team_id, email, role) = (found.team_id, String::new(), Role::Sender);
            Ok(Some(Caller { team_id, email, name, role, key: None, account: None }))
        }
        Bearer::Member(Some(person)) => {
            let member = accounts::member(hub.database(), found.team_id.clone(), person).await?;
            let (account, role) = member.ok_or_else(ended)?;
            let (name, role) = (account.email.clone(), role.into());
            let (email, account) = (account.email, Some(account.id));
            Ok(Some(Caller { team_id: found.team_id, email, name, role, key: None, account }))
        }
        Bearer::Key(key) => match api_keys::caller_of_id(hub.database(), key).await? {
            Ok(caller) if caller.team_id == found.team_id => Ok(Some(caller)),
            Ok(_) => Err(ended()),
            Err(NoCaller::Unknown) => {
                Err(Refusal::unauthorized("the API key that the package token was issued to was removed"))
            }
            Err(none) => Err(no_right(none)),
        },
    }
}

/// The right by which the caller may change `package`: its access token, or its team.
async fn authority(hub: &Hub, parts: &Parts, package: &PackageId) -> Result<Authority, Refusal> {
    let team = match header_text(&parts.headers, PACKAGE_TOKEN_HEADER) {
        Some(token) => {
            let token = hub.context.keys.read_package_token(package, token, now()).ok_or_else(wrong_token)?;
            team_of_token(hub, package, token).await?
        }
        None => Some(of_its_team(hub, parts, package).await?),
    };
    Ok(Authority { team, address: ClientAddress::of(parts) })
}

/// The caller, as a member of the package's team. Others learn nothing about the package.
async fn of_its_team(hub: &Hub, parts: &Parts, package: &PackageId) -> Result<Caller, Refusal> {
    if !are_given(parts) {
        return Err(token_needed());
    }
    // Who calls comes first: without a right, a package that is there is answered as one that is not.
    who(hub, parts).await?;
    let found = packages::get(hub.database(), package.clone()).await?;
    match caller_in(hub, parts, found.team_id).await {
        Err(refusal) if refusal.kind == ErrorKind::Forbidden => Err(Refusal::not_found("package")),
        other => other,
    }
}

pub(super) fn wrong_token() -> Refusal {
    Refusal::unauthorized("the package token is wrong")
}

pub(super) fn token_needed() -> Refusal {
    Refusal::unauthorized("a package token is required")
}

/// The package, for those who may share it.
pub(super) async fn owned(hub: &Hub, parts: &Parts, package: PackageId) -> Result<(Package, Authority), Refusal> {
    let authority = authority(hub, parts, &package).await?;
    let package = packages::get(hub.database(), package).await?;
    authority.check_owner(&package)?;
    Ok((package, authority))
}

/// Only those who may change the route's package may call: holders of its access token, and its team.
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

/// Only those who may share the route's package may call: not someone who sends it to a portal.
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

/// Only those who may read the route's package may call.
pub(crate) struct PackageReader {
    pub hub: Hub,
    pub package: PackageId,
    /// Who it is: by a visit of a link, or of its team; absent: its sender.
    pub reader: Option<Reader>,
}

/// Somebody of the package's team, as a reader.
fn member(caller: &Caller) -> Reader {
    let id = match (&caller.key, &caller.account) {
        (Some(key), _) => format!("key.{key}"),
        (None, Some(account)) => format!("person.{account}"),
        (None, None) => "operator".to_owned(),
    };
    Reader::Member { id, name: caller.name.clone() }
}

impl FromRequestParts<Gate> for PackageReader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let (hub, package) = (gate.0.clone(), id::<PackageId>(parts).await?);
        let reader = match header_text(&parts.headers, PACKAGE_TOKEN_HEADER) {
            Some(token) => match hub.context.keys.read_package_token(&package, token, now()) {
                Some(token) => team_of_token(&hub, &package, token).await?.as_ref().map(member),
                None => {
                    let visit = hub.context.keys.visit(token, now()).filter(|visit| visit.package == package);
                    let visit =
                        visit.ok_or_else(|| Refusal::unauthorized("the package token is wrong or has expired"))?;
                    links::check_visit(hub.database(), visit.clone()).await?;
                    Some(Reader::Visitor(visit))
                }
            },
            None => Some(member(&of_its_team(&hub, parts, &package).await?)),
        };
        Ok(Self { hub, package, reader })
    }
}
