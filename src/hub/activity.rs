//! What happened to packages, for the people of their team to read later.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::error::Refusal;
use super::packages::Package;
use super::wire::{now, time};

/// Notes that `event` happened to `package`.
pub(super) fn add(
    connection: &Connection,
    package: &Package,
    event: &str,
    actor: &str,
    detail: &Value,
) -> Result<(), Refusal> {
    let mut detail = detail.clone();
    detail["package_name"] = package.name.as_str().into();
    let mut statement = connection.prepare_cached(
        "INSERT INTO activity (team_id, at, event, package_id, actor, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![package.team_id, now(), event, package.id, actor, detail.to_string()])?;
    Ok(())
}

/// A page of a team's activities, newest first, and how many there are.
pub(super) fn list(connection: &Connection, team: &str, limit: u32, offset: u64) -> Result<(u64, Vec<Value>), Refusal> {
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM activity WHERE team_id = ?1")?
        .query_row([team], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(
        "SELECT number, at, event, package_id, actor, detail FROM activity WHERE team_id = ?1
         ORDER BY number DESC LIMIT ?2 OFFSET ?3",
    )?;
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![team, limit, offset], |row| {
        let number: i64 = row.get(0)?;
        let detail: String = row.get(5)?;
        Ok(json!({
            "id": number.to_string(),
            "created_at": time(Some(row.get(1)?)),
            "event_type": row.get::<_, String>(2)?,
            "package_id": row.get::<_, Option<String>>(3)?,
            "actor": row.get::<_, String>(4)?,
            "details": serde_json::from_str::<Value>(&detail).unwrap_or_default(),
        }))
    })?;
    Ok((u64::try_from(total).unwrap_or_default(), rows.collect::<Result<_, _>>()?))
}
