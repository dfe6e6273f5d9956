//! How much teams have stored, and how much they may.
//!
//! What counts is what files have, or were announced with: a file that was let in can be sent to its end. The sums are
//! kept by the database's triggers.

use axum::http::StatusCode;
use rusqlite::{Connection, params};

use super::error::{HubError, Refusal};
use super::files::FileRow;
use super::{Hub, accounts, units};

/// When a sender whose team's quota is full may ask again: somebody may have removed something.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// How much a team has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamUsage {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Packages that are not expired.
    pub packages: u64,
    /// Bytes of files that are there in full.
    pub stored: u64,
    /// Bytes that count against the quota: what files have, or were announced with.
    pub used: u64,
    /// The most bytes that it may have; absent: no limit.
    pub quota: Option<u64>,
}

/// Quota and use of the team of a package; nothing where there is no quota.
fn limits(connection: &Connection, package: &str) -> Result<Option<(u64, u64)>, Refusal> {
    let mut statement = connection
        .prepare_cached("SELECT quota, used FROM team WHERE id = (SELECT team_id FROM package WHERE id = ?1)")?;
    let (quota, used): (Option<i64>, i64) = statement.query_row([package], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(quota.map(|quota| (quota.unsigned_abs(), used.unsigned_abs())))
}

fn full(quota: u64, wanted: u64) -> Refusal {
    let message = format!(
        "the team's quota of {} is full: this would make {} of it; remove packages, or ask who runs the hub for more",
        units::bytes(quota),
        units::bytes(wanted),
    );
    let refusal = Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "quota_exceeded", message);
    Refusal { retry_after: Some(ASK_AGAIN), ..refusal }
}

/// Refuses what has just been written when it goes beyond the quota of the package's team.
pub(super) fn check(connection: &Connection, package: &str) -> Result<(), Refusal> {
    match limits(connection, package)? {
        Some((quota, used)) if used > quota => Err(full(quota, used)),
        _ => Ok(()),
    }
}

/// Refuses `stored` bytes of a file that was announced with less, when the difference goes beyond the quota.
pub(super) fn check_excess(
    connection: &Connection,
    package: &str,
    file: &FileRow,
    stored: impl FnOnce() -> Result<u64, Refusal>,
) -> Result<(), Refusal> {
    let Some((quota, used)) = limits(connection, package)? else { return Ok(()) };
    let excess = stored()?.saturating_sub(file.size);
    let wanted = used.saturating_add(excess);
    if excess > 0 && wanted > quota { Err(full(quota, wanted)) } else { Ok(()) }
}

fn usage(connection: &Connection) -> Result<Vec<TeamUsage>, Refusal> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, used, quota,
            (SELECT count(*) FROM package WHERE team_id = team.id AND state != 'expired'),
            (SELECT coalesce(sum(size), 0) FROM package WHERE team_id = team.id AND state != 'expired')
         FROM team ORDER BY name",
    )?;
    let bytes = |value: i64| value.unsigned_abs();
    let rows = statement.query_map([], |row| {
        Ok(TeamUsage {
            id: row.get(0)?,
            name: row.get(1)?,
            used: bytes(row.get(2)?),
            quota: row.get::<_, Option<i64>>(3)?.map(bytes),
            packages: bytes(row.get(4)?),
            stored: bytes(row.get(5)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Hub {
    /// How much each team has stored, by name.
    ///
    /// # Errors
    /// [`HubError::Database`].
    pub async fn usage(&self) -> Result<Vec<TeamUsage>, HubError> {
        Ok(self.database().read(usage).await?)
    }

    /// Sets how many bytes a team may have stored; `None` takes the limit away. What is there already stays.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for the team, [`HubError::Database`].
    pub async fn set_quota(&self, team: &str, quota: Option<u64>) -> Result<(), HubError> {
        let name = team.to_owned();
        let bytes = quota.map(|quota| i64::try_from(quota).unwrap_or(i64::MAX));
        let set = self.database().write(move |connection| {
            let Some(team) = accounts::team_by_name(connection, &name)? else { return Ok(0) };
            Ok::<_, Refusal>(connection.execute("UPDATE team SET quota = ?2 WHERE id = ?1", params![team, bytes])?)
        });
        match set.await? {
            0 => Err(HubError::NotFound { what: "team", name: team.to_owned() }),
            _ => Ok(()),
        }
    }
}
