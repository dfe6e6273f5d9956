//! Rights to one link.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{ErrorKind, LinkId, PACKAGE_TOKEN_HEADER};

use super::credentials::{are_given, who};
use super::package::{owned, token_needed, wrong_token};
use super::{Gate, Refusal, header_text, id};
use crate::Hub;
use crate::records::audit::Authority;
use crate::records::links::{self, Link};
use crate::records::packages::Package;

/// The response for a link that does not exist: the same as for another team's.
async fn nothing(hub: &Hub, parts: &Parts) -> Refusal {
    if header_text(&parts.headers, PACKAGE_TOKEN_HEADER).is_some() {
        return wrong_token();
    }
    if !are_given(parts) {
        return token_needed();
    }
    who(hub, parts).await.err().unwrap_or_else(|| Refusal::not_found("link"))
}

/// Only those who may share the package of the route's link may call.
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
        let Some((link, package)) = found else { return Err(nothing(&hub, parts).await) };
        match owned(&hub, parts, package.id).await {
            Ok((package, authority)) => Ok(Self { hub, link, package, authority }),
            Err(refusal) if refusal.kind == ErrorKind::NotFound => Err(Refusal::not_found("link")),
            Err(refusal) => Err(refusal),
        }
    }
}
