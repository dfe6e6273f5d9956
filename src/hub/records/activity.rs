//! What happened to packages, for the people of their team to read later.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::{now, time};
use crate::records::listing::{Asked, Conditions};
use crate::records::packages::Package;

/// What can happen to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Created,
    Finalized,
    Deleted,
    Expired,
    LinkMade,
    Downloaded,
}

impl Event {
    /// Our word for it, and the protocol's: a kind of activity and the state it is in.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Created => ("package.created", "package_upload_to_masv", "pending"),
            Self::Finalized => ("package.finalized", "package_upload_to_masv", "complete"),
            Self::Deleted => ("package.deleted", "package_upload_to_masv", "cancelled"),
            Self::Expired => ("package.expired", "package_upload_to_masv", "complete"),
            Self::LinkMade => ("link.created", "link_generation", "pending"),
            Self::Downloaded => ("package.downloaded", "package_download_from_masv", "started"),
        }
    }
}

/// Notes that `event` happened to `package`, by the hand of `actor` (a mail address, empty when unknown).
pub(crate) fn add(connection: &Connection, package: &Package, event: Event, actor: &str) -> Result<(), Refusal> {
    let (event, kind, state) = event.words();
    let mut statement = connection.prepare_cached(
        "INSERT INTO activity (team_id, at, event, kind, state, package_id, package, portal_id, actor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let Package { team_id, id, name, portal_id, .. } = package;
    statement.execute(params![team_id, now(), event, kind, state, id, name, portal_id, actor])?;
    Ok(())
}

/// A page of a team's activities, and how many there are in all.
pub(crate) fn list(connection: &Connection, team: &str, asked: &Asked) -> Result<(i64, Vec<Value>), Refusal> {
    let mut conditions = Conditions::default();
    conditions.add("team_id = ?", team.to_owned());
    conditions.one_of("kind", asked.all("activity_types"));
    conditions.one_of("state", asked.all("activity_states"));
    conditions.one_of("portal_id", asked.all("portals"));
    conditions.one_of("package_id", asked.all("package_id"));
    conditions.between("at", asked, "created_at");
    let order = asked.order(&[("created_at", "number")]);
    let text = conditions.text();
    let total = connection
        .prepare(&format!("SELECT count(*) FROM activity {text}"))?
        .query_row(rusqlite::params_from_iter(&conditions.values), |row| row.get(0))?;
    let (limit, before) = asked.page();
    let mut statement =
        connection.prepare(&format!("SELECT {COLUMNS} FROM activity {text} {order} LIMIT {limit} OFFSET {before}"))?;
    let rows = statement.query_map(rusqlite::params_from_iter(&conditions.values), shown)?;
    Ok((total, rows.collect::<Result<_, _>>()?))
}

/// An activity of a team.
pub(crate) fn get(connection: &Connection, team: &str, id: &str) -> Result<Value, Refusal> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM activity WHERE team_id = ?1 AND number = ?2"))?;
    let found = statement.query_row(params![team, id.parse::<i64>().unwrap_or_default()], shown).optional()?;
    found.ok_or_else(|| Refusal::not_found("activity"))
}

const COLUMNS: &str = "number AS id, at, event, kind, state, package_id, package, portal_id, actor";

/// As the protocol shows it.
fn shown(row: &rusqlite::Row<'_>) -> rusqlite::Result<Value> {
    let number: i64 = row.get(0)?;
    Ok(json!({
        "id": number.to_string(),
        "created_at": time(Some(row.get(1)?)),
        "event_type": row.get::<_, String>(2)?,
        "activity_type": row.get::<_, String>(3)?,
        "state": row.get::<_, String>(4)?,
        "package_id": row.get::<_, String>(5)?,
        "package_name": row.get::<_, String>(6)?,
        "portal_id": row.get::<_, Option<String>>(7)?,
        "actor": row.get::<_, String>(8)?,
    }))
}

/// Forgets what is from before a time, and all but the `most` that are newest.
pub(crate) fn forget(connection: &Connection, before: i64, most: i64) -> Result<(), Refusal> {
    let older = "DELETE FROM activity WHERE at < ?1 OR number <= (SELECT max(number) FROM activity) - ?2";
    connection.prepare_cached(older)?.execute([before, most])?;
    Ok(())
}
