//! Teams and their keys.

use axum::http::{HeaderMap, StatusCode};
use rusqlite::{Connection, OptionalExtension, params};

use super::{API_KEY, text_header};
use crate::hub::error::Refusal;
use crate::hub::{Hub, ProvisionPortal, new_id, now, secrets};

/// Makes sure of the team, its key and its portals; returns the team's id.
pub(in crate::hub) fn provision(
    connection: &Connection,
    team_name: &str,
    key_hash: &[u8],
    portals: &[(ProvisionPortal, Option<String>)],
) -> Result<String, crate::hub::HubError> {
    let run = || -> rusqlite::Result<String> {
        let known: Option<String> = connection
            .query_row("SELECT team_id FROM api_key WHERE hash = ?1", [key_hash], |row| row.get(0))
            .optional()?;
        let team = match known {
            Some(team) => team,
            None => {
                let team = new_id();
                connection.execute("INSERT INTO team (id, name) VALUES (?1, ?2)", params![team, team_name])?;
                connection.execute(
                    "INSERT INTO api_key (hash, team_id, created_at) VALUES (?1, ?2, ?3)",
                    params![key_hash, team, now()],
                )?;
                team
            }
        };
        for (portal, code) in portals {
            connection.execute(
                "INSERT INTO portal (id, team_id, subdomain, name, recipients, access_code_hash) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (subdomain) DO UPDATE SET \
                 name = excluded.name, recipients = excluded.recipients, access_code_hash = excluded.access_code_hash",
                params![
                    new_id(),
                    team,
                    portal.subdomain,
                    portal.name,
                    serde_json::json!(portal.recipients).to_string(),
                    code
                ],
            )?;
        }
        Ok(team)
    };
    Ok(run().map_err(crate::db::DbError::from)?)
}

/// Checks that the request may act for `team`.
pub(super) async fn authorise(hub: &Hub, team: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = || Refusal::new(StatusCode::UNAUTHORIZED, "this needs a valid API key");
    let key = text_header(headers, &API_KEY).ok_or_else(refused)?;
    let hash = secrets::digest(key);
    let found: Option<String> = hub
        .inner
        .database
        .read(move |connection| {
            Ok::<_, Refusal>(
                connection
                    .prepare_cached("SELECT team_id FROM api_key WHERE hash = ?1")?
                    .query_row([hash], |row| row.get(0))
                    .optional()?,
            )
        })
        .await?;
    match found {
        Some(own) if own == team => Ok(()),
        Some(_) => Err(Refusal::new(StatusCode::FORBIDDEN, "this key belongs to another team")),
        None => Err(refused()),
    }
}
