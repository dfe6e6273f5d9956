//! Retention: old records are removed, so that a hub that runs for years does not grow without bound.

use std::time::Duration;

use jiff::Timestamp;
use masv_db::{Database, values};

use super::ids::first_id;
use super::{Error, activity, audit, counters, packages};
use crate::clock::{before, days};

/// Days that activities, the audit log, failed deliveries, and what is known of expired packages are kept.
const REMEMBERED: u64 = 400;
/// Packages that are forgotten in one transaction: all files of each go with it, and others write meanwhile.
const FORGOTTEN_AT_ONCE: u32 = 1;
/// Days for which a call may be repeated.
const REPEATABLE: u64 = 7;
/// The maximum number of activities and audit log entries: repeated sign-ins must not fill the disk.
const MOST_REMEMBERED: i64 = 1_000_000;

/// Removes old records, and visits of links older than `visit_life`. `now` has been found to be a time that can be trusted.
pub(crate) async fn forget(database: &Database, visit_life: Duration, now: Timestamp) -> Result<(), Error> {
    let old = before(now, days(REMEMBERED));
    let forgetting = database.transact(move |work| {
        activity::forget(work, old, MOST_REMEMBERED)?;
        audit::forget(work, old, MOST_REMEMBERED)?;
        work.run("DELETE FROM link_visit WHERE created_at < ?1", values![before(now, visit_life)])?;
        counters::forget(work)?;
        work.run("DELETE FROM repeatable WHERE at < ?1", values![before(now, days(REPEATABLE))])?;
        // Ids begin with their time: those of calls given up long ago sort before one made then.
        work.run("DELETE FROM webhook_call WHERE due_at IS NULL AND id < ?1", values![first_id(old)])?;
        Ok::<_, Error>(())
    });
    forgetting.await?;
    while packages::forget_expired(database, old, FORGOTTEN_AT_ONCE).await? > 0 {}
    Ok(())
}

/// Whether the database answers.
pub(crate) async fn check(database: &Database) -> Result<(), Error> {
    database.query(|work| Ok::<_, Error>(work.value::<i64>("SELECT 1", values![]).map(drop)?)).await
}
