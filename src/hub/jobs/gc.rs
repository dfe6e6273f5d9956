//! Garbage collection: packages that are over are emptied, ones that were given up are removed, what is old is forgotten, and
//! what a crash left in the storage is swept up.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use masv_protocol::PackageId;
use tokio_util::sync::CancellationToken;

use super::{JobError, removal};
use crate::clock::{before, days, now};
use crate::context::Context;
use crate::records::{files, is_id, packages, retention};
use crate::storage::{Bucket, Disk, Found, Next};

/// How often all of it is done.
const ROUND: Duration = Duration::from_secs(10 * 60);
/// What is younger than this in the storage may still be arriving.
const ARRIVES: Duration = Duration::from_secs(2 * 60 * 60);
/// How often the bucket is listed, which costs money and time.
const BUCKET_ROUND: Duration = Duration::from_secs(6 * 60 * 60);
/// How many packages are taken at once.
const AT_ONCE: u32 = 100;
/// How many objects of the bucket are looked at at once.
const PAGE: usize = 1000;

/// Collects until `ended`.
pub(super) async fn run(context: Arc<Context>, ended: CancellationToken) {
    let mut bucket_swept: Option<Instant> = None;
    loop {
        tokio::select! {
            outcome = round(&context, &mut bucket_swept) => if let Err(error) = outcome {
                tracing::error!(reason = %error, "the storage could not be kept in order, trying again later");
            },
            () = ended.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = ended.cancelled() => return,
        }
    }
}

async fn round(context: &Context, bucket_swept: &mut Option<Instant>) -> Result<(), JobError> {
    expire(context).await?;
    remove_abandoned(context).await?;
    retention::forget(&context.database, context.config.visit_life).await?;
    sweep_disk(context, ARRIVES).await?;
    if let Some(bucket) = &context.storage.bucket
        && bucket_swept.is_none_or(|at| at.elapsed() >= BUCKET_ROUND)
    {
        sweep_bucket(context, bucket, context.config.orphans_after).await?;
        *bucket_swept = Some(Instant::now());
    }
    Ok(())
}

/// Empties the packages that are over.
async fn expire(context: &Context) -> Result<(), JobError> {
    loop {
        let over = packages::over(&context.database, AT_ONCE).await?;
        if over.is_empty() {
            return Ok(());
        }
        for package in over {
            removal::expire_package(context, package).await?;
        }
    }
}

/// Removes the packages that were begun and never finalized.
async fn remove_abandoned(context: &Context) -> Result<(), JobError> {
    let Some(limit) = context.config.abandoned_after_days else { return Ok(()) };
    loop {
        let given_up = packages::abandoned(&context.database, days(limit.into()), AT_ONCE).await?;
        if given_up.is_empty() {
            return Ok(());
        }
        for package in given_up {
            removal::remove_abandoned(context, package, limit).await?;
        }
    }
}

/// Removes from the disk what is older than `age` and no row knows.
async fn sweep_disk(context: &Context, age: Duration) -> Result<(), JobError> {
    let disk = context.storage.disk.clone();
    let listing = tokio::task::spawn_blocking(move || disk.packages());
    let folders = listing.await.map_err(io::Error::other)??;
    for package in folders.into_iter().filter(|name| is_id(name)).map(PackageId::from) {
        let known = files::known_parts(&context.database, package.clone()).await?;
        let disk = context.storage.disk.clone();
        let sweeping = tokio::task::spawn_blocking(move || sweep_folder(&disk, &package, known.as_deref(), age));
        sweeping.await.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Sweeps the folder of a package; without known parts there is no such package any more. Blocks.
fn sweep_folder(disk: &Disk, package: &PackageId, known: Option<&[(crate::stored::PartName, String)]>, age: Duration) {
    let name = |(part, place): &(crate::stored::PartName, String)| Disk::file_name(&part.file, part.number, place);
    let names: HashSet<String> = known.unwrap_or_default().iter().map(name).collect();
    match disk.sweep(package, &names, age) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(%package, removed, "parts removed that nothing points to"),
        Err(error) => return tracing::warn!(%error, "cannot sweep a folder of the storage"),
    }
    if known.is_none() {
        disk.remove_empty(package);
    }
}

/// Removes from the bucket what is older than `age` and no row knows: objects, and uploads that are not complete.
async fn sweep_bucket(context: &Context, bucket: &Bucket, age: Duration) -> Result<(), JobError> {
    let old = before(now(), age);
    let mut next: Option<Next> = None;
    loop {
        let page = bucket.objects("", next, PAGE).await?;
        let unknown = unknown(context, page.found, old).await?;
        if !unknown.is_empty() {
            tracing::info!(?bucket, removed = unknown.len(), "files removed from the bucket that nothing points to");
            let files: Vec<_> = unknown.into_iter().map(|found| (found.package, found.file)).collect();
            bucket.remove(&files).await?;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    loop {
        let page = bucket.uploads("", next).await?;
        for Found { package, file, upload, .. } in unknown(context, page.found, old).await? {
            tracing::info!(?bucket, %package, %file, "upload in the bucket given up that nothing points to");
            if let Some(upload) = upload {
                bucket.abort(&package, &file, &upload).await?;
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// What of this is from before `old` and known to no row. A key that is not of our making is left alone.
async fn unknown(context: &Context, found: Vec<Found>, old: Timestamp) -> Result<Vec<Found>, JobError> {
    let ours = |found: &Found| is_id(found.package.as_str()) && is_id(found.file.as_str());
    let old: Vec<Found> =
        found.into_iter().filter(|found| ours(found) && found.since.is_some_and(|since| since <= old)).collect();
    if old.is_empty() {
        return Ok(old);
    }
    let known = files::in_bucket(&context.database, old.iter().map(|found| found.file.clone()).collect()).await?;
    let unknown = old.into_iter().zip(known).filter(|(found, known)| match (known, &found.upload) {
        (None, _) => true,
        (Some(_), None) => false,
        // Begun, and its first part not asked for yet; or the one that is being sent.
        (Some(known), Some(id)) => known.finalized || known.upload.as_ref().is_some_and(|upload| upload != id),
    });
    Ok(unknown.map(|(found, _)| found).collect())
}
