//! Rights to one portal, as somebody of its team.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::PortalId;

use super::team::{caller_in, check_admin};
use super::{ClientAddress, Gate, Refusal, id};
use crate::Hub;
use crate::records::accounts::Caller;
use crate::records::audit::Actor;
use crate::records::portals::{self, Portal};

async fn portal_and_caller(parts: &mut Parts, gate: &Gate) -> Result<(Portal, Caller), Refusal> {
    let portal = portals::get(gate.0.database(), id::<PortalId>(parts).await?).await?;
    let caller = caller_in(&gate.0, parts, portal.team_id.clone()).await?;
    Ok((portal, caller))
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

/// Only who may change how the team of the route's portal works may call.
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
