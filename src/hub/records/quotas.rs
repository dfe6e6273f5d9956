//! How much teams have stored, and how much they may.
//!
//! What counts is what files have, or were announced with: a file that was let in can be sent to its end. The sums are
//! kept by the database's triggers.

use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::format;
use crate::records::files::FileRow;

/// When a sender whose team's quota is full may ask again: somebody may have removed something.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// No team may have more, quota or not: what files are announced with is summed up in 64 bits, and whoever may announce files must
/// not be able to make that sum impossible for all.
const MOST: u64 = 1 << 60;

/// What the team of a package may have, and what it has.
fn limits(connection: &Connection, package: &str) -> Result<(u64, u64), Refusal> {
    let mut statement = connection
        .prepare_cached("SELECT quota, used FROM team WHERE id = (SELECT team_id FROM package WHERE id = ?1)")?;
    let (quota, used): (Option<i64>, i64) = statement.query_row([package], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((quota.map_or(MOST, i64::unsigned_abs).min(MOST), used.unsigned_abs()))
}

fn full(quota: u64, wanted: u64) -> Refusal {
    let message = format!(
        "the team's quota of {} is full: this would make {} of it; remove packages, or ask who runs the hub for more",
        format::bytes(quota),
        format::bytes(wanted),
    );
    let refusal = Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "quota_exceeded", message);
    Refusal { retry_after: Some(ASK_AGAIN), ..refusal }
}

/// Refuses what has just been written when it goes beyond the quota of the package's team.
pub(crate) fn check(connection: &Connection, package: &str) -> Result<(), Refusal> {
    let (quota, used) = limits(connection, package)?;
    if used > quota { Err(full(quota, used)) } else { Ok(()) }
}

/// Refuses `stored` bytes of a file that was announced with less, when the difference goes beyond the quota.
pub(crate) fn check_excess(
    connection: &Connection,
    package: &str,
    file: &FileRow,
    stored: impl FnOnce() -> Result<u64, Refusal>,
) -> Result<(), Refusal> {
    let (quota, used) = limits(connection, package)?;
    let excess = stored()?.saturating_sub(file.size);
    let wanted = used.saturating_add(excess);
    if excess > 0 && wanted > quota { Err(full(quota, wanted)) } else { Ok(()) }
}

/// How much a team has, as the protocol shows it: `packages` that are not over, `stored` bytes of files that are there in full,
/// `used` bytes that count against the `quota` (`null`: no limit).
pub(crate) fn usage(connection: &Connection, team: &str) -> Result<Value, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT name, used, quota,
            (SELECT count(*) FROM package WHERE team_id = team.id AND state != 'expired'),
            (SELECT coalesce(sum(size), 0) FROM package WHERE team_id = team.id AND state != 'expired')
         FROM team WHERE id = ?1",
    )?;
    let found = statement.query_row([team], |row| {
        Ok(json!({
            "id": team, "name": row.get::<_, String>(0)?, "used": row.get::<_, i64>(1)?,
            "quota": row.get::<_, Option<i64>>(2)?, "packages": row.get::<_, i64>(3)?, "stored": row.get::<_, i64>(4)?,
        }))
    });
    found.optional()?.ok_or_else(|| Refusal::not_found("team"))
}

/// Sets how many bytes a team may have stored; `None` takes the limit away. What is there already stays.
pub(crate) fn set(connection: &Connection, team: &str, quota: Option<u64>) -> Result<(), Refusal> {
    let bytes = quota.map(|quota| i64::try_from(quota).unwrap_or(i64::MAX));
    connection.prepare_cached("UPDATE team SET quota = ?2 WHERE id = ?1")?.execute(params![team, bytes])?;
    Ok(())
}
