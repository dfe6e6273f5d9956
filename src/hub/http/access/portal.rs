//! Rights to one portal, as a member of its team.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{ErrorKind, PortalId};

use super::credentials::who;
use super::team::{caller_in, check_admin};
use super::{ClientAddress, Gate, Refusal, id};
use crate::Hub;
use crate::clock::now;
use crate::records::accounts::Caller;
use crate::records::audit::Actor;
use crate::records::portals::{self, Portal};

async fn portal_and_caller(parts: &mut Parts, gate: &Gate) -> Result<(Portal, Caller), Refusal> {
    let id = id::<PortalId>(parts).await?;
    // Who calls comes first, and who is of another team is answered as if there were no such portal.
    who(&gate.0, parts).await?;
    let portal = portals::get(gate.0.database(), id).await?;
    match caller_in(&gate.0, parts, portal.team_id.clone()).await {
        Ok(caller) => Ok((portal, caller)),
        Err(refusal) if refusal.kind == ErrorKind::Forbidden => Err(Refusal::not_found("portal")),
        Err(refusal) => Err(refusal),
    }
}

/// Anyone sending to the route's portal may call while it is open. What a portal requires in the body is checked with the body.
pub(crate) struct OpenPortal {
    pub hub: Hub,
    pub portal: Portal,
}

impl FromRequestParts<Gate> for OpenPortal {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let portal = portals::get(gate.0.database(), id::<PortalId>(parts).await?).await?;
        if !portal.is_open(now()) {
            return Err(Refusal::forbidden("the portal is closed"));
        }
        Ok(Self { hub: gate.0.clone(), portal })
    }
}

/// Everybody of the team of the route's portal may call.
pub(crate) struct PortalMember {
    pub portal: Portal,
}

impl FromRequestParts<Gate> for PortalMember {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let (portal, _) = portal_and_caller(parts, gate).await?;
        Ok(Self { portal })
    }
}

/// Only those who may administer the team of the route's portal may call.
pub(crate) struct PortalAdmin {
    pub hub: Hub,
    pub portal: Portal,
    pub by: Actor,
}

impl FromRequestParts<Gate> for PortalAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let (portal, caller) = portal_and_caller(parts, gate).await?;
        check_admin(&caller)?;
        Ok(Self { hub: gate.0.clone(), portal, by: caller.at(ClientAddress::of(parts)) })
    }
}
