//! How much teams have stored, and how much they may.
//!
//! What counts is what files have, or were announced with: a file that was let in can be sent to its end, and to no more. The sums are
//! maintained by the database's triggers.

use masv_db::{Database, Work, values};
use masv_protocol::{PackageId, Quota, TeamId, TeamUsage};

use super::audit::Actor;
use super::files::FileRow;
use super::{Error, OrNotFound};
use crate::format;

/// The limit for every team, with or without a quota: announced sizes are summed in 64 bits, and whoever may announce files must
/// not be able to make that sum impossible for all.
const MOST: u64 = 1 << 60;

/// The quota of a package's team, and its use.
fn limits(work: &Work<'_>, package: &PackageId) -> Result<(u64, u64), Error> {
    let sql = "SELECT quota, used FROM team WHERE id = (SELECT team_id FROM package WHERE id = ?1)";
    let found = work.one(sql, values![package.as_str()], |row| Ok((row.get::<Option<u64>>(0)?, row.get::<i64>(1)?)))?;
    let (quota, used) = found.or_not_found("package")?;
    Ok((quota.unwrap_or(MOST).min(MOST), used.unsigned_abs()))
}

/// Refuses what was just written if it exceeds the quota of the package's team.
pub(super) fn check(work: &Work<'_>, package: &PackageId) -> Result<(), Error> {
    let (quota, used) = limits(work, package)?;
    if used > quota { Err(Error::QuotaExceeded { quota, wanted: used }) } else { Ok(()) }
}

/// How many more bytes the team of a package may store.
pub(super) fn left(work: &Work<'_>, package: &PackageId) -> Result<u64, Error> {
    let (quota, used) = limits(work, package)?;
    Ok(quota.saturating_sub(used))
}

/// The refusal of this many more bytes.
pub(super) fn exceeded(work: &Work<'_>, package: &PackageId, more: u64) -> Result<Error, Error> {
    let (quota, used) = limits(work, package)?;
    Ok(Error::QuotaExceeded { quota, wanted: used.saturating_add(more) })
}

/// Refuses `stored` bytes of a file that was announced with less, when the difference goes beyond the quota.
pub(super) fn check_excess(
    work: &Work<'_>,
    package: &PackageId,
    file: &FileRow,
    stored: impl FnOnce() -> Result<u64, Error>,
) -> Result<(), Error> {
    let (quota, used) = limits(work, package)?;
    let excess = stored()?.saturating_sub(file.size);
    let wanted = used.saturating_add(excess);
    if excess > 0 && wanted > quota { Err(Error::QuotaExceeded { quota, wanted }) } else { Ok(()) }
}

/// How much a team has: `packages` that are not over, `stored` bytes of files that are there in full, `used` bytes that count
/// against the `quota`.
fn usage_in(work: &Work<'_>, team: &TeamId) -> Result<TeamUsage, Error> {
    let sql = "SELECT name, used, quota,
            (SELECT count(*) FROM package WHERE team_id = team.id AND state != 'expired' AND removed = 0),
            (SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM package WHERE team_id = team.id AND state != 'expired' AND removed = 0)
         FROM team WHERE id = ?1";
    let found = work.one(sql, values![team.as_str()], |row| {
        Ok(TeamUsage {
            id: team.clone(),
            name: row.get(0)?,
            used: row.get(1)?,
            quota: row.get(2)?,
            packages: row.get(3)?,
            stored: row.get(4)?,
        })
    })?;
    found.or_not_found("team")
}

/// How much a team has, and how much it may.
pub(crate) async fn usage(database: &Database, team: TeamId) -> Result<TeamUsage, Error> {
    database.query(move |work| usage_in(work, &team)).await
}

/// Sets a team's quota in bytes. Stored files are kept.
pub(crate) async fn set(database: &Database, team: TeamId, quota: Quota, by: Actor) -> Result<TeamUsage, Error> {
    let setting = database.transact(move |work| {
        work.run("UPDATE team SET quota = ?2 WHERE id = ?1", values![team.as_str(), quota.bytes()])?;
        let shown = quota.bytes().map_or_else(|| "none".to_owned(), format::bytes);
        by.note(work, "team.changed", &format!("quota {shown}"))?;
        usage_in(work, &team)
    });
    setting.await
}
