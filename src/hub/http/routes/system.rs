//! What the hub says of itself.

use axum::Json;
use masv_protocol::{Health, Limits};

use super::files::limits;
use crate::http::access::Public;
use crate::http::refusal::Refusal;
use crate::records::retention;

/// What files may be made of.
pub(super) async fn spec(Public(hub): Public) -> Json<Limits> {
    Json(limits(&hub))
}

/// Whether the hub can work: its database answers.
pub(super) async fn health(Public(hub): Public) -> Result<Json<Health>, Refusal> {
    retention::check(hub.database()).await?;
    Ok(Json(Health::ok()))
}
