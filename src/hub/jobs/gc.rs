//! Garbage collection: packages that are over are emptied, ones that were given up are removed, what is old is forgotten, and
//! what a crash left in the storage is swept up. All of it only while the clock and the database can be trusted ([`super::caution`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::caution::{Allowed, ClockWatch, is_too_much, may_delete};
use super::sweep::{empty_trash, sweep_disk};
use super::{JobError, removal};
use crate::clock::{before, days, now};
use crate::context::Context;
use crate::records::moments::{self, Moment};
use crate::records::{files, is_id, packages, retention};
use crate::storage::{Bucket, Found, Next};

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

/// What is remembered from round to round.
struct Rounds {
    /// The clock that never jumps begins here.
    started: Instant,
    clock: ClockWatch,
    bucket_swept: Option<Instant>,
}

/// Collects until `ended`.
pub(super) async fn run(context: Arc<Context>, ended: CancellationToken) {
    let mut rounds = Rounds { started: Instant::now(), clock: ClockWatch::default(), bucket_swept: None };
    loop {
        tokio::select! {
            outcome = round(&context, &mut rounds) => if let Err(error) = outcome {
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

async fn round(context: &Context, rounds: &mut Rounds) -> Result<(), JobError> {
    let now = now();
    let allowed = allowed(context, rounds, now, rounds.started.elapsed()).await?;
    if matches!(allowed, Allowed::Nothing(_)) {
        return Ok(());
    }
    expire(context).await?;
    retention::forget(&context.database, context.config.visit_life).await?;
    if matches!(allowed, Allowed::WhatIsOver(_)) {
        return Ok(());
    }
    remove_abandoned(context).await?;
    sweep_disk(context, ARRIVES, now).await?;
    empty_trash(context, now).await?;
    if let Some(bucket) = &context.storage.bucket
        && rounds.bucket_swept.is_none_or(|at| at.elapsed() >= BUCKET_ROUND)
    {
        sweep_bucket(context, bucket, context.config.orphans_after).await?;
        rounds.bucket_swept = Some(Instant::now());
    }
    Ok(())
}

/// What may be removed in this round; a time that is trusted is written down.
async fn allowed(
    context: &Context,
    rounds: &mut Rounds,
    now: Timestamp,
    running: Duration,
) -> Result<Allowed, JobError> {
    let database = &context.database;
    let last_seen = moments::get(database, Moment::LastSeen).await?;
    let mut restored = moments::get(database, Moment::Restored).await?;
    let doubted_for = rounds.clock.look(last_seen, now, running);
    if doubted_for.is_none() {
        moments::set(database, Moment::LastSeen, now).await?;
        if restored.is_some_and(|restored| restored > now) {
            tracing::warn!(?restored, "the clock was ahead when the backup was restored: it counts as restored now");
            moments::set(database, Moment::Restored, now).await?;
            restored = Some(now);
        }
    }
    let allowed = may_delete(doubted_for, restored, now);
    match allowed {
        Allowed::Nothing(left) => tracing::warn!(
            %now, last_seen = last_seen.map(tracing::field::display), minutes = left.as_secs().div_ceil(60),
            "the clock is hours away from where it was last: nothing expires and nothing is removed until it has been steady for an hour"
        ),
        Allowed::WhatIsOver(until) => {
            tracing::info!(%until, "a backup was restored: nothing that the database does not know is removed until then");
        }
        Allowed::Everything => {}
    }
    Ok(allowed)
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

/// Removes from the bucket what is older than `age` and no row knows: objects, and uploads that are not complete. Nothing, where
/// that is so much that the database must be wrong.
async fn sweep_bucket(context: &Context, bucket: &Bucket, age: Duration) -> Result<(), JobError> {
    let old = before(now(), age);
    let mut next: Option<Next> = None;
    let (mut all, mut orphans) = (0, Vec::new());
    loop {
        let page = bucket.objects("", next, PAGE).await?;
        all += page.found.len();
        let unknown = unknown(context, page.found, old).await?;
        orphans.extend(unknown.into_iter().map(|found| (found.package, found.file)));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if is_too_much(orphans.len(), all) {
        tracing::error!(
            ?bucket,
            unknown = orphans.len(),
            files = all,
            "the database does not know so many of the files in the bucket that they are left where they are: restore the backup that \
             belongs to this bucket, or remove them if they are not needed"
        );
        return Ok(());
    }
    for orphans in orphans.chunks(PAGE) {
        tracing::info!(?bucket, removed = orphans.len(), "files removed from the bucket that nothing points to");
        bucket.remove(orphans).await?;
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;

    use super::super::caution::STEADY;
    use super::*;
    use crate::clock::after;
    use crate::records::teams;
    use crate::{Hub, HubConfig};

    const HOUR: Duration = Duration::from_secs(60 * 60);

    async fn hub(folder: &Path) -> Hub {
        let hub = Hub::open(HubConfig::new(folder.join("hub"))).await.unwrap();
        teams::create(hub.database(), "Team".into(), None).await.unwrap();
        hub
    }

    fn rounds() -> Rounds {
        Rounds { started: Instant::now(), clock: ClockWatch::default(), bucket_swept: None }
    }

    /// Parts of a package that no row knows, three hours old.
    fn orphans(folder: &Path, count: usize) -> Vec<PathBuf> {
        let package = folder.join("hub/storage/01M85VJ3Y0Q8ZK2T4W6X7B9CDE");
        fs::create_dir_all(&package).unwrap();
        let orphan = |number: usize| {
            let path = package.join(format!("01M85VJ3Y0Q8ZK2T4W6X7B9CDF.{number}.0000000000000000"));
            fs::write(&path, "part").unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - HOUR * 3).unwrap();
            path
        };
        (1..=count).map(orphan).collect()
    }

    fn trashed(folder: &Path) -> usize {
        walkdir::WalkDir::new(folder.join("hub/storage/trash"))
            .into_iter()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_type().is_file()))
            .count()
    }

    /// What the database did not know was removed for good within a second of a start.
    #[tokio::test]
    async fn what_no_row_knows_goes_into_the_trash_and_out_of_it_days_later() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path()).await;
        let orphans = orphans(folder.path(), 3);
        round(&hub.context, &mut rounds()).await.unwrap();
        assert!(orphans.iter().all(|orphan| !orphan.exists()));
        assert_eq!(trashed(folder.path()), 3);
        empty_trash(&hub.context, after(now(), days(6))).await.unwrap();
        assert_eq!(trashed(folder.path()), 3);
        empty_trash(&hub.context, after(now(), days(9))).await.unwrap();
        assert_eq!(trashed(folder.path()), 0);
    }

    #[tokio::test]
    async fn more_than_can_be_leftovers_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path()).await;
        let orphans = orphans(folder.path(), 21);
        round(&hub.context, &mut rounds()).await.unwrap();
        assert!(orphans.iter().all(|orphan| orphan.exists()));
        assert_eq!(trashed(folder.path()), 0);
    }

    #[tokio::test]
    async fn nothing_is_swept_while_a_restored_backup_may_be_the_wrong_one() {
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("backup.db");
        let first = hub(folder.path()).await;
        crate::back_up(&folder.path().join("hub"), &backup).await.unwrap();
        drop(first);
        fs::rename(folder.path().join("hub"), folder.path().join("hub.broken")).unwrap();
        crate::restore(&backup, &folder.path().join("hub")).await.unwrap();
        let hub = Hub::open(HubConfig::new(folder.path().join("hub"))).await.unwrap();
        let orphans = orphans(folder.path(), 1);
        round(&hub.context, &mut rounds()).await.unwrap();
        assert!(orphans[0].exists());
        // It was long ago; or, by a clock that was ahead, has not been yet.
        moments::set(hub.database(), Moment::Restored, after(now(), days(100))).await.unwrap();
        round(&hub.context, &mut rounds()).await.unwrap();
        assert!(orphans[0].exists());
        assert!(moments::get(hub.database(), Moment::Restored).await.unwrap().unwrap() <= now());
        moments::set(hub.database(), Moment::Restored, before(now(), days(2))).await.unwrap();
        round(&hub.context, &mut rounds()).await.unwrap();
        assert!(!orphans[0].exists());
    }

    /// A hub that was started weeks ahead for some seconds removed what was to be kept.
    #[tokio::test]
    async fn nothing_is_removed_while_the_clock_is_in_doubt_over_restarts_too() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path()).await;
        let orphans = orphans(folder.path(), 1);
        moments::set(hub.database(), Moment::LastSeen, before(now(), days(30))).await.unwrap();
        for _ in 0..2 {
            round(&hub.context, &mut rounds()).await.unwrap();
            assert!(orphans[0].exists());
        }
        let mut rounds = rounds();
        for (running, expected) in [(Duration::ZERO, Allowed::Nothing(STEADY)), (STEADY, Allowed::Everything)] {
            let found = allowed(&hub.context, &mut rounds, after(now(), running), running).await.unwrap();
            assert_eq!(found, expected);
        }
    }
}
