//! Keeps the hub's house: packages that are over are emptied, ones that were given up are removed, and what a crash
//! left in the storage is swept up.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::Hub;
use crate::error::Refusal;
use crate::http::objects;
use crate::http::wire::{is_id, now};
use crate::records::packages;
use crate::records::packages::DAY;
use crate::records::{activity, audit, files};
use crate::storage::Disk;

/// How often the house is kept.
const ROUND: Duration = Duration::from_secs(10 * 60);
/// What is younger than this in the storage may still be arriving.
const ARRIVES: Duration = Duration::from_secs(2 * 60 * 60);
/// How often the bucket is listed, which costs money and time.
const BUCKET_ROUND: Duration = Duration::from_secs(6 * 60 * 60);
/// How many packages are taken at once.
const AT_ONCE: u32 = 100;
/// Days that activities, the audit log and failed deliveries are kept.
const REMEMBERED: i64 = 400;
/// The most activities, and entries of the audit log, that are kept: whoever signs in again and again must not fill the disk.
const MOST_REMEMBERED: i64 = 1_000_000;

/// Keeps the house until `ended`.
pub(crate) async fn keep(hub: Hub, ended: CancellationToken) {
    let mut bucket_swept: Option<Instant> = None;
    loop {
        let round = async {
            expire(&hub).await?;
            remove_abandoned(&hub).await?;
            forget(&hub).await?;
            sweep(&hub, ARRIVES).await?;
            if let Some(bucket) = &hub.storage().bucket
                && bucket_swept.is_none_or(|at| at.elapsed() >= BUCKET_ROUND)
            {
                objects::sweep(&hub, bucket, hub.config().orphans_after).await?;
                bucket_swept = Some(Instant::now());
            }
            Ok::<_, Refusal>(())
        };
        tokio::select! {
            outcome = round => if let Err(refusal) = outcome {
                tracing::error!(reason = refusal.message, "the storage could not be kept in order, trying again later");
            },
            () = ended.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = ended.cancelled() => return,
        }
    }
}

/// Empties the packages that are over.
pub(crate) async fn expire(hub: &Hub) -> Result<(), Refusal> {
    loop {
        let over = hub.database().read(|connection| packages::over(connection, now(), AT_ONCE)).await?;
        if over.is_empty() {
            return Ok(());
        }
        for package in over {
            let id = package.clone();
            let uploads = hub.database().write(move |connection| packages::expire(connection, &id, now())).await?;
            tracing::info!(package, "package expired");
            hub.storage().remove_package(&package, &uploads).await;
        }
    }
}

/// Removes the packages that were begun and never closed.
async fn remove_abandoned(hub: &Hub) -> Result<(), Refusal> {
    let Some(days) = hub.config().abandoned_after_days else { return Ok(()) };
    let before = now().saturating_sub(i64::from(days).saturating_mul(DAY));
    loop {
        let given_up = hub.database().read(move |connection| packages::abandoned(connection, before, AT_ONCE)).await?;
        if given_up.is_empty() {
            return Ok(());
        }
        for package in given_up {
            let id = package.clone();
            let uploads = hub.database().write(move |connection| packages::delete(connection, &id)).await?;
            tracing::info!(package, days, "package removed that was never finalized");
            hub.storage().remove_package(&package, &uploads).await;
        }
    }
}

async fn forget(hub: &Hub) -> Result<(), Refusal> {
    let visits = now().saturating_sub(i64::try_from(hub.config().visit_life.as_millis()).unwrap_or(i64::MAX));
    let old = now().saturating_sub(REMEMBERED * DAY);
    hub.database()
        .write(move |connection| {
            activity::forget(connection, old, MOST_REMEMBERED)?;
            audit::forget(connection, old, MOST_REMEMBERED)?;
            connection.execute("DELETE FROM link_visit WHERE created_at < ?1", [visits])?;
            // Ids begin with their time: those of calls given up long ago sort before one made then.
            let before = ulid::Ulid::from_parts(u64::try_from(old).unwrap_or_default(), 0).to_string();
            connection.execute("DELETE FROM webhook_call WHERE due_at IS NULL AND id < ?1", [before])?;
            Ok::<_, Refusal>(())
        })
        .await
}

/// Removes what is in the storage, older than `age`, that no row knows.
pub(crate) async fn sweep(hub: &Hub, age: Duration) -> Result<(), Refusal> {
    let disk = hub.storage().disk.clone();
    let listing = tokio::task::spawn_blocking(move || disk.packages());
    let folders =
        listing.await.map_err(|error| Refusal::internal(&error))?.map_err(|error| Refusal::internal(&error))?;
    for package in folders.into_iter().filter(|name| is_id(name)) {
        let (id, disk) = (package.clone(), hub.storage().disk.clone());
        let known = hub.database().read(move |connection| known(connection, &id)).await?;
        let sweeping = tokio::task::spawn_blocking(move || match known {
            Some(known) => disk.sweep(&package, &known, age).map(|removed| (package, removed)),
            None => disk.sweep(&package, &HashSet::new(), age).map(|removed| {
                disk.remove_empty(&package);
                (package, removed)
            }),
        });
        match sweeping.await.map_err(|error| Refusal::internal(&error))? {
            Ok((_, 0)) => {}
            Ok((package, removed)) => tracing::info!(package, removed, "parts removed that nothing points to"),
            Err(error) => tracing::warn!(%error, "cannot sweep a folder of the storage"),
        }
    }
    Ok(())
}

/// The names in a package's folder that are needed; `None` when there is no such package any more.
fn known(connection: &Connection, package: &str) -> Result<Option<HashSet<String>>, Refusal> {
    if packages::find(connection, package)?.is_none() {
        return Ok(None);
    }
    let parts = files::places(connection, package)?;
    Ok(Some(parts.into_iter().map(|(part, place)| Disk::file_name(&part.file, part.number, &place)).collect()))
}
