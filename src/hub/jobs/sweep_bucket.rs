//! Sweeps what no row knows out of the bucket, once it has been unknown for days: a bucket has no trash. Nothing, where it is so much
//! that the database must be wrong.

use std::time::Duration;

use jiff::Timestamp;

use super::JobError;
use super::caution::is_too_much;
use super::sweep::{Unknown, confirmed};
use crate::clock::{before, days};
use crate::context::Context;
use crate::records::notices::{self, Notice};
use crate::records::orphans::{self, Orphan};
use crate::records::{files, is_id};
use crate::storage::{Bucket, Found};

/// How many objects of the bucket are checked at once.
const PAGE: usize = 1000;

/// Looks for what is older than `age` and no row knows: objects, and uploads that are not complete.
pub(crate) async fn survey_bucket(
    context: &Context,
    bucket: &Bucket,
    age: Duration,
    now: Timestamp,
) -> Result<(Unknown, Vec<Orphan>), JobError> {
    let old = before(now, age);
    let (mut found, mut all) = (Vec::new(), 0);
    let mut next = None;
    loop {
        let page = bucket.objects("", next, PAGE).await?;
        all += page.found.len();
        found.extend(unknown(context, page.found, old).await?);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    loop {
        let page = bucket.uploads("", next).await?;
        all += page.found.len();
        found.extend(unknown(context, page.found, old).await?);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let first = found.first().map(|orphan| orphan.package.as_str().to_owned());
    Ok((Unknown { unknown: found.len(), all, first }, found))
}

/// Notes what is older than `age` and no row knows, and removes what has been so for as long as the trash keeps.
pub(super) async fn sweep_bucket(
    context: &Context,
    bucket: &Bucket,
    age: Duration,
    now: Timestamp,
) -> Result<(), JobError> {
    if bucket.owner(&context.hub_id).await? != context.hub_id {
        tracing::error!(?bucket, "the bucket belongs to another hub: nothing in it is removed");
        return Ok(());
    }
    let (found, orphans) = survey_bucket(context, bucket, age, now).await?;
    if is_too_much(found.unknown, found.all, confirmed(context, now).await?.bucket) {
        tracing::error!(
            ?bucket,
            unknown = found.unknown,
            files = found.all,
            first = found.first,
            "the database does not know so many of the files in the bucket that they are left where they are: restore the backup that \
             belongs to this bucket, or confirm with `masv hub sweep --confirm` that they are removed when they have been unknown for days"
        );
        return Ok(notices::set(&context.database, Notice::BucketRefused, &found).await?);
    }
    notices::clear(&context.database, Notice::BucketRefused).await?;
    let kept_since = before(now, days(context.config.trash_days.into()));
    for orphans in orphans.chunks(PAGE) {
        let due = orphans::seen(&context.database, orphans.to_vec(), now, kept_since).await?;
        remove(context, bucket, due, before(now, age)).await?;
    }
    Ok(orphans::forget_unseen(&context.database, now).await?)
}

/// Removes those that are still unknown.
pub(crate) async fn remove(
    context: &Context,
    bucket: &Bucket,
    orphans: Vec<Orphan>,
    old: Timestamp,
) -> Result<(), JobError> {
    if orphans.is_empty() {
        return Ok(());
    }
    let found = orphans.into_iter().map(|Orphan { package, file, upload }| Found {
        package,
        file,
        upload,
        since: Some(old),
        size: None,
        etag: String::new(),
    });
    let orphans = unknown(context, found.collect(), old).await?;
    let (uploads, objects): (Vec<_>, Vec<_>) = orphans.iter().partition(|orphan| orphan.upload.is_some());
    let objects: Vec<_> = objects.into_iter().map(|orphan| (orphan.package.clone(), orphan.file.clone())).collect();
    if !objects.is_empty() {
        tracing::info!(?bucket, removed = objects.len(), "files removed from the bucket that nothing points to");
        bucket.remove(&objects).await?;
    }
    for Orphan { package, file, upload } in uploads {
        if let Some(upload) = upload {
            tracing::info!(?bucket, %package, %file, "upload in the bucket given up that nothing points to");
            bucket.abort(package, file, upload).await?;
        }
    }
    Ok(orphans::removed(&context.database, orphans).await?)
}

/// Which of these are from before `old` and in no row. Keys that are not ours are left alone.
async fn unknown(context: &Context, found: Vec<Found>, old: Timestamp) -> Result<Vec<Orphan>, JobError> {
    let ours = |found: &Found| is_id(found.package.as_str()) && is_id(found.file.as_str());
    let old: Vec<Found> =
        found.into_iter().filter(|found| ours(found) && found.since.is_some_and(|since| since <= old)).collect();
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let known = files::in_bucket(&context.database, old.iter().map(|found| found.file.clone()).collect()).await?;
    let unknown = old.into_iter().zip(known).filter(|(found, known)| match (known, &found.upload) {
        (None, _) => true,
        (Some(_), None) => false,
        // Started, with its first part not requested yet; or currently being sent.
        (Some(known), Some(id)) => known.finalized || known.upload.as_ref().is_some_and(|upload| upload != id),
    });
    Ok(unknown.map(|(found, _)| Orphan { package: found.package, file: found.file, upload: found.upload }).collect())
}
