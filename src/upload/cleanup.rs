//! Processes its part of the outbox: packages that will never be completed are removed from the cloud, however long that takes.
//! An errand ends when the cloud has removed the package, or reports that there is none; nothing else ends it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::queue::Shared;
use crate::engine::handle::Common;
use crate::engine::retry::{RetryDecision, Tries, backoff};
use crate::model::DueSpan;
use crate::store::{Errand, ErrandKind, Outgoing, StoreError};
use masv_client::PackageAccess;

/// Errands taken from the outbox at once.
const BATCH: u32 = 32;
/// How often the outbox is checked for errands that are due again.
const LOOK: Duration = Duration::from_secs(15);
/// An errand that fails is not tried more often than this.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
/// A refused errand is retried after this, and then ever more rarely.
const REFUSED_WAIT: Duration = Duration::from_secs(3600);
/// None is put off for longer, whatever the cloud says.
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Runs errands until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut changes = shared.store.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ran = run_due(&shared) => if let Err(error) = ran {
                tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be run; trying again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(until_next(&shared).await) => {}
        }
    }
}

/// How long until the next errand is due, or the next check.
async fn until_next(shared: &Shared) -> Duration {
    let now = Timestamp::now();
    let next = shared.store.next_errand(ErrandKind::RemovePackage, now).await.ok().flatten();
    next.map_or(LOOK, |due_at| DueSpan::at(now, LONGEST_REFUSED_WAIT).wait_for(due_at).min(LOOK))
}

async fn run_due(shared: &Shared) -> Result<(), StoreError> {
    let Common { store, clouds, circuits, .. } = &**shared;
    let due = DueSpan::at(Timestamp::now(), LONGEST_REFUSED_WAIT);
    let due = store.errands_due(ErrandKind::RemovePackage, due, BATCH).await?;
    for Outgoing { id, errand, attempts, .. } in due {
        let Errand::RemovePackage { cloud, team, package_id, token } = &errand else { continue };
        let cloud = match clouds.of_package(cloud.as_deref(), team.as_ref()) {
            Ok(cloud) => cloud,
            // It waits until the agent is configured with that cloud again.
            Err(_) => {
                store.errand_failed(id, SignedDuration::try_from(REFUSED_WAIT).unwrap_or(SignedDuration::MAX)).await?;
                continue;
            }
        };
        let (host, token) = (cloud.base().authority(), token.clone().into());
        // While the cloud is unavailable, all of them together call it no more often than one would, and those for other clouds continue.
        if !circuits.may_call(host) {
            let wait = circuits.away_for(host).unwrap_or_default().clamp(SHORTEST_WAIT, LONGEST_REFUSED_WAIT);
            store.errand_failed(id, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).await?;
            continue;
        }
        let outcome = cloud.remove_package(PackageAccess { id: package_id, token: &token }).await;
        circuits.learn(host, outcome.as_ref().err());
        let Err(error) = outcome else {
            store.errand_done(id).await?;
            continue;
        };
        let wait = match Tries::default().failed(&error) {
            RetryDecision::Done => {
                store.errand_done(id).await?;
                continue;
            }
            RetryDecision::Later(wait) => {
                let wait = wait.unwrap_or_else(|| backoff(attempts + 1, fastrand::f64()));
                wait.clamp(SHORTEST_WAIT, LONGEST_REFUSED_WAIT)
            }
            _ => {
                tracing::warn!(package = %package_id, "the cloud still has a cancelled package: {error}");
                REFUSED_WAIT.saturating_mul(1 << attempts.min(10)).min(LONGEST_REFUSED_WAIT)
            }
        };
        store.errand_failed(id, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).await?;
    }
    Ok(())
}
