//! Rights to one link.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::LinkId;

use super::package::owned;
use super::{Gate, Refusal, id};
use crate::Hub;
use crate::records::audit::Authority;
use crate::records::links::{self, Link};
use crate::records::packages::Package;

/// Only who may give the package of the route's link to others may call.
pub(crate) struct LinkOwner {
    pub hub: Hub,
    pub link: Link,
    pub package: Package,
    pub authority: Authority,
}

impl FromRequestParts<Gate> for LinkOwner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Refusal> {
        let hub = gate.0.clone();
        let found = links::find(hub.database(), id::<LinkId>(parts).await?).await?;
        // Who has no right to a link must not learn that it is there.
        let (link, package) = found.ok_or_else(|| Refusal::unauthorized("the package token is wrong"))?;
        let (package, authority) = owned(&hub, parts, package.id).await?;
        Ok(Self { hub, link, package, authority })
    }
}
