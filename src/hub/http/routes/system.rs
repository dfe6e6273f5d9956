//! Facts about the hub itself.

use std::time::{Duration, Instant};

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

/// How long the answer to whether it can work is good, and how long that may take.
const READY: Duration = Duration::from_secs(2);

/// Whether the hub can work: its database saves changes, and its bucket, if it has one, answers. For load balancers.
pub(super) async fn ready(Public(hub): Public) -> Result<Json<Health>, Refusal> {
    // One looks, and the others wait for what it sees: strangers may ask, too.
    let mut last = hub.server.readiness.lock().await;
    let known = last.as_ref().filter(|(at, _)| at.elapsed() < READY).map(|(_, outcome)| outcome.clone());
    let outcome = match known {
        Some(outcome) => outcome,
        None => {
            let looked = tokio::time::timeout(READY, look(&hub)).await;
            let outcome = looked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            *last = Some((Instant::now(), outcome.clone()));
            outcome
        }
    };
    outcome.map(|()| Json(Health::ok())).map_err(|problem| Refusal::internal(&problem))
}

async fn look(hub: &Hub) -> Result<(), String> {
    hub.database().check_writable().await.map_err(|error| error.to_string())?;
    match &hub.context.storage.bucket {
        Some(bucket) => bucket.check().await.map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// Findings for the operator, in words that reveal nothing about the content to strangers.
async fn problems(hub: &Hub) -> Result<Vec<String>, Refusal> {
    let findings = findings::all(hub.database()).await?;
    let mut codes: Vec<String> = findings.iter().map(|finding| finding.code.to_owned()).collect();
    codes.dedup();
    Ok(codes)
}
