//! Rights to objects that a route names without their team: a tag, a webhook. Members of other teams do not learn that it exists.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{ErrorKind, TagId, TeamId, WebhookId};

use super::team::{caller_in, check_admin};
use super::{ClientAddress, Gate, Refusal, id};
use crate::Hub;
use crate::records::audit::Actor;
use crate::records::{tags, webhooks};

/// The caller, as an admin of the team that has `what`.
async fn admin(hub: &Hub, parts: &Parts, team: Option<TeamId>, what: &str) -> Result<(TeamId, Actor), Refusal> {
    // Unknown callers are told that first, whether or not the object exists.
    let team = match team {
        Some(team) => team,
        None => {
            super::credentials::who(hub, parts).await?;
            return Err(Refusal::not_found(what));
        }
    };
    let caller = match caller_in(hub, parts, team.clone()).await {
        Err(refusal) if refusal.kind == ErrorKind::Forbidden => return Err(Refusal::not_found(what)),
        other => other?,
    };
    check_admin(&caller)?;
    Ok((team, caller.at(ClientAddress::of(parts))))
}

/// Only those who may administer the team of the route's tag may call.
pub(crate) struct TagAdmin {
    pub hub: Hub,
    pub tag: TagId,
    pub by: Actor,
}

impl FromRequestParts<Gate> for TagAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let (hub, tag) = (gate.0.clone(), id::<TagId>(parts).await?);
        let team = tags::team_of(hub.database(), tag.clone()).await?;
        let (_, by) = admin(&hub, parts, team, "tag").await?;
        Ok(Self { hub, tag, by })
    }
}

/// Only those who may administer the team of the route's webhook may call.
pub(crate) struct WebhookAdmin {
    pub hub: Hub,
    pub team: TeamId,
    pub hook: WebhookId,
    pub by: Actor,
}

impl FromRequestParts<Gate> for WebhookAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let (hub, hook) = (gate.0.clone(), id::<WebhookId>(parts).await?);
        let team = webhooks::team_of(hub.database(), hook.clone()).await?;
        let (team, by) = admin(&hub, parts, team, "webhook").await?;
        Ok(Self { hub, team, hook, by })
    }
}
