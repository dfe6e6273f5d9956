//! The chores of the hub: packages that are over go into the trash and out of it days later, ones that were given up too, what is old
//! is forgotten, what a crash left in the storage is swept up, and the storage is looked through for what is missing. Of all this only
//! what the clock and the database can be trusted with ([`super::caution`]), and by one process at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::caution::{Allowed, Clock, ClockWatch, Kept, may_delete};
use super::retry::{Failure, Policy};
use super::sweep::{empty_trash, sweep_disk};
use super::sweep_bucket::sweep_bucket;
use super::{JobError, check, due, turn};
use crate::clock::{after, before, days, now};
use crate::context::Context;
use crate::records::jobs::{self, Chore, Claim};
use crate::records::moments::{self, Moment};
use crate::records::notices::{self, Notice};
use crate::records::{packages, retention};

/// How often it is looked for packages that are over, and how soon again when nothing may be removed now.
const ROUND: Duration = Duration::from_secs(10 * 60);
/// How often the storage on the disk is swept.
const DISK_ROUND: Duration = Duration::from_secs(60 * 60);
/// How often the bucket is listed, which costs money and time.
const BUCKET_ROUND: Duration = Duration::from_secs(6 * 60 * 60);
/// How often missing content is looked for; also at each start.
const CHECK_ROUND: Duration = days(1);
/// Anything younger than this in the storage may still be arriving.
pub(crate) const ARRIVES: Duration = Duration::from_secs(2 * 60 * 60);
/// How many packages are processed at once.
const AT_ONCE: u32 = 100;
/// A failed task is retried earlier than it would be due, and never given up.
const POLICY: Policy = Policy { most_attempts: 5 };

/// Why nothing, or not everything, is removed now, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub(crate) enum Waiting {
    /// The clock has jumped: for this many more minutes.
    Clock { minutes: u64 },
    /// A backup was restored: until then, milliseconds since 1970.
    Restored { until: i64 },
}

/// What is remembered of the clock from chore to chore.
pub(crate) struct Watch {
    /// The start of the steady clock.
    started: Instant,
    clock: ClockWatch,
}

impl Default for Watch {
    fn default() -> Self {
        Self { started: Instant::now(), clock: ClockWatch::default() }
    }
}

/// Runs tasks until `ended`.
pub(super) async fn run(context: Arc<Context>, ended: CancellationToken) {
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            () = work_off(&context, &mut watch) => {}
            () = ended.cancelled() => return,
        }
        if !due(&context.chore_due, &ended).await {
            return;
        }
    }
}

/// Runs tasks until none is due.
pub(crate) async fn work_off(context: &Context, watch: &mut Watch) {
    loop {
        let done = match jobs::claim_chore(&context.database).await {
            Ok(Some((chore, claim))) => one(context, watch, chore, claim).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            return tracing::error!(reason = %JobError::from(error), "cannot look for chores");
        }
    }
}

async fn one(
    context: &Context,
    watch: &mut Watch,
    chore: Chore,
    mut claim: Claim,
) -> Result<(), crate::records::Error> {
    let database = &context.database;
    match turn::hold(database, &mut claim, attempt(context, watch, chore)).await {
        None => {
            tracing::warn!(chore = chore.as_str(), "another process does this chore now");
            Ok(())
        }
        Some(Ok(next)) => jobs::done_until(database, claim, next).await,
        Some(Err(error)) => {
            let chore = chore.as_str();
            tracing::error!(chore, reason = %error, "the storage could not be cleaned up, trying again later");
            let failure = Failure::passing(&error);
            let now = now();
            let again = POLICY.next(claim.attempt, &failure, now).unwrap_or_else(|| after(now, DISK_ROUND));
            jobs::failed(database, claim, Some(again), failure.reason).await
        }
    }
}

/// Does a chore, as far as that is allowed now; when it comes again.
async fn attempt(context: &Context, watch: &mut Watch, chore: Chore) -> Result<Timestamp, JobError> {
    let now = now();
    let allowed = allowed(context, watch, now, watch.started.elapsed()).await?;
    let everything = allowed == Allowed::Everything;
    let pause = match chore {
        Chore::Expire => {
            if !matches!(allowed, Allowed::Nothing(_)) {
                expire(context).await?;
                retention::forget(&context.database, context.config.visit_life, now).await?;
            }
            if everything {
                remove_abandoned(context).await?;
                purge(context).await?;
            }
            ROUND
        }
        Chore::SweepDisk if everything => {
            sweep_disk(context, ARRIVES, now).await?;
            empty_trash(context, now).await?;
            DISK_ROUND
        }
        Chore::SweepBucket if everything => {
            if let Some(bucket) = &context.storage.bucket {
                sweep_bucket(context, bucket, context.config.orphans_after, now).await?;
            }
            BUCKET_ROUND
        }
        Chore::SweepDisk | Chore::SweepBucket => ROUND,
        Chore::Check => {
            check::look(context).await?;
            CHECK_ROUND
        }
    };
    Ok(after(now, pause))
}

/// What may be removed now; a time that is trusted is written down.
async fn allowed(context: &Context, watch: &mut Watch, now: Timestamp, running: Duration) -> Result<Allowed, JobError> {
    let database = &context.database;
    let last_seen = moments::get(database, Moment::LastSeen).await?;
    let mut restored = moments::get(database, Moment::Restored).await?;
    let clock = watch.clock.look(Kept { last_seen, doubted: doubted(context).await? }, now, running);
    match clock {
        Clock::Doubted(steady) => {
            moments::set(database, Moment::DoubtedSince, before(now, steady)).await?;
            moments::set(database, Moment::DoubtedLast, now).await?;
        }
        Clock::Trusted => {
            moments::set(database, Moment::LastSeen, now).await?;
            moments::clear(database, &[Moment::DoubtedSince, Moment::DoubtedLast]).await?;
            if restored.is_some_and(|restored| restored > now) {
                tracing::warn!(
                    ?restored,
                    "the clock was ahead when the backup was restored: the restore is dated to now"
                );
                moments::set(database, Moment::Restored, now).await?;
                restored = Some(now);
            }
        }
    }
    let allowed = may_delete(clock, restored, now);
    match allowed {
        Allowed::Nothing(left) => {
            let minutes = left.as_secs().div_ceil(60);
            tracing::warn!(
                %now, last_seen = last_seen.map(tracing::field::display), minutes,
                "the clock has jumped by hours: nothing expires and nothing is removed until it has been steady for \
                 an hour, or `masv hub sweep --confirm` says that it is right"
            );
            notices::set(database, Notice::Waiting, &Waiting::Clock { minutes }).await?;
        }
        Allowed::WhatIsOver(until) => {
            tracing::info!(%until, "a backup was restored: nothing unknown to the database is removed until then");
            let waiting = Waiting::Restored { until: until.as_millisecond() };
            notices::set(database, Notice::Waiting, &waiting).await?;
        }
        Allowed::Everything => notices::clear(database, Notice::Waiting).await?,
    }
    Ok(allowed)
}

/// The doubt of the clock that a process before this one was in: for how long it had been steady, and when it was seen last.
async fn doubted(context: &Context) -> Result<Option<(Duration, Timestamp)>, JobError> {
    let since = moments::get(&context.database, Moment::DoubtedSince).await?;
    let last = moments::get(&context.database, Moment::DoubtedLast).await?;
    Ok(since.zip(last).map(|(since, last)| (Duration::try_from(last.duration_since(since)).unwrap_or_default(), last)))
}

/// Moves expired packages to the trash.
async fn expire(context: &Context) -> Result<(), JobError> {
    loop {
        let over = packages::over(&context.database, AT_ONCE).await?;
        if over.is_empty() {
            return Ok(());
        }
        for package in over {
            if packages::expire(&context.database, package.clone()).await? {
                tracing::info!(%package, "package expired");
            }
        }
    }
}

/// Moves packages that were started and never finalized to the trash.
async fn remove_abandoned(context: &Context) -> Result<(), JobError> {
    let own = context.config.abandoned_after_days.map(|limit| days(limit.into()));
    let of_portals = context.config.portal_abandoned_after;
    let of_portals = own.map_or(of_portals, |own| own.min(of_portals));
    for (received, age) in [(true, Some(of_portals)), (false, own)] {
        let Some(age) = age else { continue };
        loop {
            let given_up = packages::abandoned(&context.database, received, age, AT_ONCE).await?;
            if given_up.is_empty() {
                break;
            }
            for package in given_up {
                packages::give_up(&context.database, package.clone()).await?;
                tracing::info!(%package, hours = age.as_secs() / 3600, "removed a package that was never finalized");
            }
        }
    }
    Ok(())
}

/// Permanently removes what has been in the trash for long enough.
async fn purge(context: &Context) -> Result<(), JobError> {
    // What has just been put there is to go at once where nothing is kept.
    let since = before(now(), days(context.config.trash_days.into()));
    loop {
        let trashed = packages::trashed_since(&context.database, since, AT_ONCE).await?;
        if trashed.is_empty() {
            return Ok(());
        }
        for package in trashed {
            packages::purge(&context.database, package, since).await?;
        }
        context.removal_due.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;

    use super::super::caution::STEADY;
    use super::super::sweep::{Confirmed, Unknown};
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

    /// Does all chores, by a process that has just started.
    async fn all_chores(hub: &Hub) {
        for chore in Chore::ALL {
            jobs::make_due(hub.database(), chore).await.unwrap();
        }
        work_off(&hub.context, &mut Watch::default()).await;
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

    /// Files unknown to the database were permanently removed within a second of a start.
    #[tokio::test]
    async fn what_no_row_knows_goes_into_the_trash_and_out_of_it_days_later() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path()).await;
        let orphans = orphans(folder.path(), 3);
        all_chores(&hub).await;
        assert!(orphans.iter().all(|orphan| !orphan.exists()));
        assert_eq!(trashed(folder.path()), 3);
        empty_trash(&hub.context, after(now(), days(6))).await.unwrap();
        assert_eq!(trashed(folder.path()), 3);
        empty_trash(&hub.context, after(now(), days(9))).await.unwrap();
        assert_eq!(trashed(folder.path()), 0);
    }

    /// Case: more than a few percent of the storage are unknown to the database: nothing is touched, and it is told.
    #[tokio::test]
    async fn more_than_can_be_leftovers_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path()).await;
        let orphans = orphans(folder.path(), 21);
        all_chores(&hub).await;
        assert!(orphans.iter().all(|orphan| orphan.exists()));
        assert_eq!(trashed(folder.path()), 0);
        let refused = notices::get::<Unknown>(hub.database(), Notice::DiskRefused).await.unwrap().unwrap().1;
        assert_eq!(
            (refused.unknown, refused.all, refused.first.as_deref()),
            (21, 21, Some("01M85VJ3Y0Q8ZK2T4W6X7B9CDE"))
        );
        // Fewer than the operator has confirmed, or a few more, go into the trash.
        notices::set(hub.database(), Notice::Confirmed, &Confirmed { disk: 21, bucket: 0 }).await.unwrap();
        all_chores(&hub).await;
        assert_eq!((orphans.iter().filter(|orphan| orphan.exists()).count(), trashed(folder.path())), (0, 21));
        assert_eq!(notices::get::<Unknown>(hub.database(), Notice::DiskRefused).await.unwrap(), None);
    }

    /// A hub whose start was less than hourly did not sweep before the first round of its process.
    #[tokio::test]
    async fn of_two_processes_over_one_database_each_chore_is_done_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let one = hub(folder.path()).await;
        let other = Hub::open(HubConfig::new(folder.path().join("hub"))).await.unwrap();
        orphans(folder.path(), 20);
        let (mut first, mut second) = (Watch::default(), Watch::default());
        tokio::join!(work_off(&one.context, &mut first), work_off(&other.context, &mut second));
        assert_eq!(trashed(folder.path()), 20);
        for database in [one.database(), other.database()] {
            assert_eq!(jobs::claim_chore(database).await.unwrap(), None, "all are done until their next time");
        }
    }

    /// Case: within hours of a restore nothing is swept, whatever clock the restore was written down by.
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
        all_chores(&hub).await;
        assert!(orphans[0].exists());
        // It was long ago; or, by a clock that was ahead, has not been yet.
        moments::set(hub.database(), Moment::Restored, after(now(), days(100))).await.unwrap();
        all_chores(&hub).await;
        assert!(orphans[0].exists());
        assert!(moments::get(hub.database(), Moment::Restored).await.unwrap().unwrap() <= now());
        moments::set(hub.database(), Moment::Restored, before(now(), days(2))).await.unwrap();
        all_chores(&hub).await;
        assert!(!orphans[0].exists());
    }

    /// A hub that was started for some seconds with its clock weeks ahead removed what should have been kept.
    #[tokio::test]
    async fn nothing_is_removed_while_the_clock_is_in_doubt_over_restarts_too() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(folder.path()).await;
        let orphans = orphans(folder.path(), 1);
        moments::set(hub.database(), Moment::LastSeen, before(now(), days(30))).await.unwrap();
        for _ in 0..2 {
            all_chores(&hub).await;
            assert!(orphans[0].exists());
        }
        let mut watch = Watch::default();
        let found = allowed(&hub.context, &mut watch, now(), Duration::ZERO).await.unwrap();
        assert!(matches!(found, Allowed::Nothing(left) if left <= STEADY));
        let found = allowed(&hub.context, &mut watch, after(now(), STEADY), STEADY).await.unwrap();
        assert_eq!(found, Allowed::Everything);
    }
}
