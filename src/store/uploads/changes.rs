//! What a person changes about an upload: its priority and order, its password, whether it is finalized by itself.

use rusqlite::{OptionalExtension, params};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json as object;

use super::row::StoredDestination;
use super::{find, require};
use crate::model::{Destination, State, UploadId};
use crate::store::rows::json;
use crate::store::{Store, StoreError, events};
use masv_protocol::TeamId;

/// Where an upload moves among those of equal priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Before all others.
    Top,
    /// One place forward.
    Up,
    /// One place back.
    Down,
    /// After all others.
    Bottom,
}

impl Store {
    /// Changes the priority.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_priority(&self, id: UploadId, priority: i32) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            connection
                .prepare_cached("UPDATE upload SET priority = ?2 WHERE id = ?1")?
                .execute(params![id, priority])?;
            events::record(
                connection,
                "upload.priority",
                Some(id),
                found.rule.as_deref(),
                &object!({ "priority": priority }),
            )
        })
        .await
    }

    /// Changes the password, of a portal the access code, of an upload whose package is not made. Returns its state.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] once the package is made.
    pub async fn set_password(&self, id: UploadId, password: SecretString) -> Result<State, StoreError> {
        self.change(move |connection| {
            let mut found = find(connection, id)?;
            if found.package.is_some() {
                return Err(StoreError::WrongState { id: id.into(), state: found.state.as_str() });
            }
            match &mut found.destination {
                Destination::Portal { access_code, .. } => {
                    *access_code = Some(password);
                    connection
                        .prepare_cached("UPDATE upload SET destination = ?2 WHERE id = ?1")?
                        .execute(params![id, json(&StoredDestination::from(&found.destination))])?;
                }
                Destination::Email { .. } | Destination::Link => {
                    connection
                        .prepare_cached("UPDATE upload SET password = ?2 WHERE id = ?1")?
                        .execute(params![id, password.expose_secret()])?;
                }
            }
            Ok(found.state)
        })
        .await
    }

    /// Rules name the teams that send: their uploads that have no package yet, and for which no team was named, are sent by these. Whether
    /// there are any.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn name_teams(&self, teams: Vec<(String, TeamId)>) -> Result<bool, StoreError> {
        self.change(move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE upload SET team_id = ?2 WHERE rule = ?1 AND team_id IS NULL AND package_id IS NULL",
            )?;
            let mut changed = 0;
            for (rule, team) in &teams {
                changed += statement.execute(params![rule, team.as_str()])?;
            }
            Ok(changed > 0)
        })
        .await
    }

    /// Whether it is finalized by itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongState`] when it is complete.
    pub async fn set_auto_finalize(&self, id: UploadId, auto_finalize: bool) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            require(&found, &[State::Transferring, State::Paused, State::Idle, State::Error])?;
            connection
                .prepare_cached("UPDATE upload SET auto_finalize = ?2 WHERE id = ?1")?
                .execute(params![id, auto_finalize])?;
            Ok(())
        })
        .await
    }

    /// Moves an upload among those of the same priority that are not complete.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_order(&self, id: UploadId, order: Order) -> Result<(), StoreError> {
        self.change(move |connection| {
            let found = find(connection, id)?;
            let mine: (i64, i64) = connection
                .prepare_cached("SELECT position, rank FROM upload WHERE id = ?1")?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let place = |id: UploadId, (position, rank): (i64, i64)| -> Result<(), StoreError> {
                connection
                    .prepare_cached("UPDATE upload SET position = ?2, rank = ?3 WHERE id = ?1")?
                    .execute(params![id, position, rank])?;
                Ok(())
            };
            let edge = |sql: &str| -> Result<(i64, i64), StoreError> {
                Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
            };
            let open = "state <> 'complete'";
            match order {
                Order::Top => {
                    let (first, rank) = edge("SELECT min(position), min(0, min(rank)) FROM upload")?;
                    place(id, (first - 1, rank - 1))?;
                }
                Order::Bottom => {
                    let (last, rank) = edge("SELECT max(position), max(0, max(rank)) FROM upload")?;
                    place(id, (last + 1, rank + 1))?;
                }
                Order::Up | Order::Down => {
                    let sql = if order == Order::Up {
                        format!("position < ?2 AND {open} ORDER BY position DESC LIMIT 1")
                    } else {
                        format!("position > ?2 AND {open} ORDER BY position LIMIT 1")
                    };
                    let neighbour: Option<(UploadId, (i64, i64))> = connection
                        .prepare_cached(&format!(
                            "SELECT id, position, rank FROM upload WHERE priority = ?1 AND {sql}"
                        ))?
                        .query_row(params![found.priority, found.position], |row| {
                            Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
                        })
                        .optional()?;
                    if let Some((other, theirs)) = neighbour {
                        place(other, mine)?;
                        place(id, theirs)?;
                    }
                }
            }
            events::record(connection, "upload.priority", Some(id), found.rule.as_deref(), &object!({ "order": order }))
        })
        .await
    }
}
