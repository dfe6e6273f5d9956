//! The audit log: who changed what, written in the transaction of the change itself.
//!
//! It tells what was done to people, keys, portals, webhooks, links and kept packages, and who tried to sign in; what becomes of
//! packages otherwise is in the activities. It never holds a secret.

use std::net::IpAddr;

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::{now, time};
use crate::records::listing::{Asked, Conditions};

/// Who does something, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// The team that it concerns; absent: the whole hub.
    pub team: Option<String>,
    /// A mail address, a key's name, or `operator`.
    pub name: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Notes that `action` was done to `subject`, as people call it.
    pub(crate) fn note(&self, connection: &Connection, action: &str, subject: &str) -> Result<(), Refusal> {
        let address = self.address.map(|address| address.to_string());
        connection
            .prepare_cached(
                "INSERT INTO audit (team_id, at, actor, address, action, subject) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![self.team, now(), self.name, address, action, subject])?;
        Ok(())
    }
}

/// A page of what concerns a team (and, for who runs the hub, of what concerns all), and how much there is.
pub(crate) fn list(
    connection: &Connection,
    team: &str,
    of_all: bool,
    asked: &Asked,
) -> Result<(i64, Vec<Value>), Refusal> {
    let mut conditions = Conditions::default();
    let whose = if of_all { "(team_id = ? OR team_id IS NULL)" } else { "team_id = ?" };
    conditions.add(whose, team.to_owned());
    conditions.one_of("action", asked.all("action"));
    conditions.contains("actor", asked, "actor");
    conditions.contains("subject", asked, "subject");
    conditions.between("at", asked, "created_at");
    let text = conditions.text();
    let total = connection
        .prepare(&format!("SELECT count(*) FROM audit {text}"))?
        .query_row(rusqlite::params_from_iter(&conditions.values), |row| row.get(0))?;
    let (limit, before) = asked.page();
    let mut statement = connection.prepare(&format!(
        "SELECT number, at, actor, address, action, subject FROM audit {text} ORDER BY number DESC LIMIT {limit} OFFSET {before}"
    ))?;
    let rows = statement.query_map(rusqlite::params_from_iter(&conditions.values), |row| {
        Ok(json!({
            "id": row.get::<_, i64>(0)?.to_string(),
            "created_at": time(Some(row.get(1)?)),
            "actor": row.get::<_, String>(2)?,
            "address": row.get::<_, Option<String>>(3)?,
            "action": row.get::<_, String>(4)?,
            "subject": row.get::<_, String>(5)?,
        }))
    })?;
    Ok((total, rows.collect::<Result<_, _>>()?))
}

/// Forgets what is from before a time, and all but the `most` that are newest.
pub(crate) fn forget(connection: &Connection, before: i64, most: i64) -> Result<(), Refusal> {
    let older = "DELETE FROM audit WHERE at < ?1 OR number <= (SELECT max(number) FROM audit) - ?2";
    connection.prepare_cached(older)?.execute([before, most])?;
    Ok(())
}
