//! Errands outside this machine that must be run until they are done: they are written in the transaction of the
//! change that makes them necessary, so neither a crash nor an offline cloud forgets one.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::rows::{from_json, json};
use super::{Store, StoreError, now};

/// Something to do outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Errand {
    /// Remove a package that nobody will complete from the cloud.
    RemovePackage {
        /// The cloud's id.
        package_id: String,
        /// Its access token.
        token: String,
    },
}

impl Errand {
    fn kind(&self) -> &'static str {
        match self {
            Self::RemovePackage { .. } => "remove_package",
        }
    }
}

/// An errand waiting to be run.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its number.
    pub id: i64,
    /// What to do.
    pub errand: Errand,
    /// How often it was tried.
    pub attempts: u32,
}

/// Writes an errand into the transaction that makes it necessary.
pub(super) fn post(connection: &Connection, errand: &Errand) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO outbox (kind, body, due_at, created_at) VALUES (?1, ?2, ?3, ?3)")?
        .execute(params![errand.kind(), json(errand), now()])?;
    Ok(())
}

impl Store {
    /// The errands that are due at `now`, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn errands_due(&self, now: Timestamp, limit: u32) -> Result<Vec<Outgoing>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, body, attempts FROM outbox WHERE due_at <= ?1 ORDER BY id LIMIT ?2")?;
            let mut rows = statement.query(params![now.as_millisecond(), limit])?;
            let mut errands = Vec::new();
            while let Some(row) = rows.next()? {
                errands.push(Outgoing {
                    id: row.get(0)?,
                    errand: from_json(&row.get::<_, String>(1)?, "outbox.body")?,
                    attempts: row.get(2)?,
                });
            }
            Ok(errands)
        })
        .await
    }

    /// The errand is done, or can never be.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn errand_done(&self, id: i64) -> Result<(), StoreError> {
        self.change(move |connection| {
            connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
        .await
    }

    /// The errand failed and is tried again after `wait`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn errand_failed(&self, id: i64, wait: SignedDuration) -> Result<(), StoreError> {
        self.change(move |connection| {
            let due =
                Timestamp::now().as_millisecond().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            connection
                .prepare_cached("UPDATE outbox SET attempts = attempts + 1, due_at = ?2 WHERE id = ?1")?
                .execute(params![id, due])?;
            Ok(())
        })
        .await
    }
}
