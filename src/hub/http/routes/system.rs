//! What the hub says of itself.

use axum::Json;
use masv_protocol::{Health, Limits};

use super::files::limits;
use crate::Hub;
use crate::http::access::Public;
use crate::http::refusal::Refusal;
use crate::jobs::findings;
use crate::records::retention;

/// What files may be made of.
pub(super) async fn spec(Public(hub): Public) -> Json<Limits> {
    Json(limits(&hub))
}

/// Whether the hub can work: its database answers.
pub(super) async fn health(Public(hub): Public) -> Result<Json<Health>, Refusal> {
    retention::check(hub.database()).await?;
    Ok(Json(Health { problems: problems(&hub).await?, ..Health::ok() }))
}

/// What whoever runs the hub must look at, in words that tell strangers nothing of what it holds.
async fn problems(hub: &Hub) -> Result<Vec<String>, Refusal> {
    let findings = findings::all(hub.database()).await?;
    let mut codes: Vec<String> = findings.iter().map(|finding| finding.code.to_owned()).collect();
    codes.dedup();
    Ok(codes)
}
