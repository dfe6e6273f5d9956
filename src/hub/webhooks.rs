//! Webhooks of a team: whom to call when something happens to a package.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::error::Refusal;
use super::packages::Package;
use super::wire::{new_id, now};

/// Puts a call to every webhook of the package's team that wants `event` into the outbox.
pub(super) fn announce(connection: &Connection, package: &Package, event: &str) -> Result<(), Refusal> {
    let mut statement =
        connection.prepare_cached("SELECT id, events, extras FROM webhook WHERE team_id = ?1 AND active")?;
    let hooks: Vec<(String, String, String)> = statement
        .query_map([&package.team_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (hook, events, extras) in hooks {
        let events: Vec<String> = serde_json::from_str(&events).unwrap_or_default();
        if !events.iter().any(|wanted| wanted == event) {
            continue;
        }
        let mut body = json!({});
        if let Ok(Value::Object(extras)) = serde_json::from_str(&extras) {
            body = Value::Object(extras);
        }
        body["event_type"] = event.into();
        body["object"] = package.json();
        connection
            .prepare_cached("INSERT INTO webhook_call (id, webhook_id, body, due_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![new_id()?, hook, body.to_string(), now()])?;
    }
    Ok(())
}
