//! Runs its part of the outbox: packages that nobody will complete are removed from the cloud, however long that takes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::retry::{Verdict, backoff, decide};
use crate::cloud::{Cloud, PackageAccess};
use crate::store::{Errand, ErrandKind, Outgoing, Store, StoreError};

/// Errands taken from the outbox at once.
const BATCH: u32 = 32;
/// How often the outbox is looked at for errands whose next try has come.
const LOOK: Duration = Duration::from_secs(15);
/// An errand that fails is not tried more often than this.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// Runs errands until `stop`.
pub(super) async fn run(store: Store, cloud: Cloud, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        if let Err(error) = run_due(&store, &cloud).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be run; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn run_due(store: &Store, cloud: &Cloud) -> Result<(), StoreError> {
    let due = store.errands_due(ErrandKind::RemovePackage, Timestamp::now(), BATCH).await?;
    for Outgoing { id, errand, attempts, .. } in due {
        let Errand::RemovePackage { package_id, token } = &errand else { continue };
        let token = token.clone().into();
        match cloud.remove_package(PackageAccess { id: package_id, token: &token }).await {
            Ok(()) => store.errand_done(id).await?,
            Err(error) => match decide(&error, attempts + 1) {
                Verdict::Done => store.errand_done(id).await?,
                Verdict::Never => {
                    tracing::warn!(package = %package_id, "the cloud keeps a package that was given up: {error}");
                    store.errand_done(id).await?;
                }
                _ => {
                    let wait = backoff(attempts + 1, fastrand::f64()).max(SHORTEST_WAIT);
                    store.errand_failed(id, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).await?;
                }
            },
        }
    }
    Ok(())
}
