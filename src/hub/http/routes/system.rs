//! Facts about the hub itself.

use axum::Json;
use masv_protocol::{Health, Limits};

use super::files::limits;
use crate::Hub;
use crate::http::access::Public;
use crate::http::refusal::Refusal;
use crate::jobs::findings;
use crate::records::retention;

/// The limits of files and parts.
pub(super) async fn spec(Public(hub): Public) -> Json<Limits> {
    Json(limits(&hub))
}

/// Whether the hub is healthy: its database responds.
pub(super) async fn health(Public(hub): Public) -> Result<Json<Health>, Refusal> {
    retention::check(hub.database()).await?;
    Ok(Json(Health { problems: problems(&hub).await?, ..Health::ok() }))
}

/// Findings for the operator, in words that reveal nothing about the content to strangers.
async fn problems(hub: &Hub) -> Result<Vec<String>, Refusal> {
    let findings = findings::all(hub.database()).await?;
    let mut codes: Vec<String> = findings.iter().map(|finding| finding.code.to_owned()).collect();
    codes.dedup();
    Ok(codes)
}
