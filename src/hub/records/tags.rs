//! Tags: names that a team gives its packages.

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::http::wire::new_id;

/// The team's tag of that name, made if there is none.
pub(crate) fn make_sure(connection: &Connection, team: &str, name: &str) -> Result<String, Refusal> {
    let known: Option<String> = connection
        .prepare_cached("SELECT id FROM tag WHERE team_id = ?1 AND name = ?2")?
        .query_row([team, name], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = new_id()?;
    connection.prepare_cached("INSERT INTO tag (id, team_id, name) VALUES (?1, ?2, ?3)")?.execute([&id, team, name])?;
    Ok(id)
}

/// A team's tags, by name.
pub(crate) fn list(connection: &Connection, team: &str) -> Result<Vec<Value>, Refusal> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM tag WHERE team_id = ?1 ORDER BY name")?;
    let rows = statement
        .query_map([team], |row| Ok(json!({ "id": row.get::<_, String>(0)?, "name": row.get::<_, String>(1)? })))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
