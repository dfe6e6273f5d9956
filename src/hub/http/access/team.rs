//! Rights within a team.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{ErrorKind, KeyId, Role, TeamId};

use super::credentials::{Who, who};
use super::{ClientAddress, Gate, Refusal, id};
use crate::Hub;
use crate::keys::tokens::Bearer;
use crate::records::accounts::{self, Caller};
use crate::records::api_keys;
use crate::records::audit::Actor;
use crate::records::teams;

/// A caller who belongs to a team, or runs the hub.
pub(crate) struct InTeam {
    pub hub: Hub,
    pub caller: Caller,
    address: Option<IpAddr>,
}

impl InTeam {
    /// The team.
    pub(crate) fn id(&self) -> TeamId {
        self.caller.team_id.clone()
    }

    /// The caller as the audit log has it.
    pub(crate) fn by(&self) -> Actor {
        self.caller.at(self.address)
    }

    /// To whom the caller's token of a package was issued.
    pub(crate) fn bearer(&self) -> Bearer {
        match &self.caller.key {
            Some(key) => Bearer::Key(key.clone()),
            None => Bearer::Member(self.caller.account.clone()),
        }
    }

    async fn of_route(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let team: TeamId = id(parts).await?;
        let caller = caller_in(&gate.0, parts, team).await?;
        Ok(Self { hub: gate.0.clone(), caller, address: ClientAddress::of(parts) })
    }
}

/// The caller, as a member of this team.
pub(super) async fn caller_in(hub: &Hub, parts: &Parts, team: TeamId) -> Result<Caller, Refusal> {
    match who(hub, parts).await? {
        Who::Operator => {
            if !teams::exists(hub.database(), team.clone()).await? {
                return Err(Refusal::not_found("team"));
            }
            let name = Role::Operator.to_string();
            Ok(Caller { team_id: team, email: String::new(), name, role: Role::Operator, key: None, account: None })
        }
        Who::Key(caller) if caller.team_id == team => Ok(caller),
        Who::Key(_) => Err(Refusal::forbidden("the API key belongs to another team")),
        Who::Person(account) => {
            let role = accounts::find_role(hub.database(), team.clone(), account.id.clone()).await?;
            let role = role.ok_or_else(|| Refusal::forbidden("you are not a member of this team"))?;
            Ok(Caller {
                team_id: team,
                name: account.email.clone(),
                email: account.email,
                role: role.into(),
                key: None,
                account: Some(account.id),
            })
        }
    }
}

/// Refuses callers who may not administer a team.
pub(super) fn check_admin(caller: &Caller) -> Result<(), Refusal> {
    if caller.role < Role::Admin {
        return Err(Refusal::forbidden("only an admin of the team may do this"));
    }
    Ok(())
}

/// Everybody of the route's team may call.
pub(crate) struct TeamMember(pub InTeam);

impl FromRequestParts<Gate> for TeamMember {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        InTeam::of_route(parts, gate).await.map(Self)
    }
}

/// Only those who may administer the route's team may call.
pub(crate) struct TeamAdmin(pub InTeam);

impl FromRequestParts<Gate> for TeamAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let team = InTeam::of_route(parts, gate).await?;
        check_admin(&team.caller)?;
        Ok(Self(team))
    }
}

/// Only those who may administer the team of the route's key may call.
pub(crate) struct KeyAdmin {
    pub team: InTeam,
    pub key: KeyId,
}

impl FromRequestParts<Gate> for KeyAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        // Who calls comes first, and a key of another team is answered as one that is not there.
        who(&gate.0, parts).await?;
        let key: KeyId = id(parts).await?;
        let missing = || Refusal::not_found("key");
        let team = api_keys::team_of(gate.0.database(), key.clone()).await?.ok_or_else(missing)?;
        let caller = caller_in(&gate.0, parts, team).await;
        let caller =
            caller.map_err(|refusal| if refusal.kind == ErrorKind::Forbidden { missing() } else { refusal })?;
        check_admin(&caller)?;
        let team = InTeam { hub: gate.0.clone(), caller, address: ClientAddress::of(parts) };
        Ok(Self { team, key })
    }
}

/// Only the operator may call, about the route's team.
pub(crate) struct TeamOperator(pub InTeam);

impl FromRequestParts<Gate> for TeamOperator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let team = InTeam::of_route(parts, gate).await?;
        if team.caller.role < Role::Operator {
            return Err(Refusal::forbidden("only the operator of the hub may set a quota"));
        }
        Ok(Self(team))
    }
}
