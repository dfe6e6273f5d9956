//! The event log: what happened, in the order it was committed, bounded in length.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::rows::{from_json, time};
use super::{Store, StoreError, now};
use crate::model::UploadId;

/// How many events are kept; a reader that was away longer reads the present state instead.
const KEPT: i64 = 100_000;
/// The log is trimmed after this many events.
const CUT_EVERY: i64 = 1_000;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Counts up without end; what SSE readers resume from.
    pub id: i64,
    /// When it was committed.
    pub at: Timestamp,
    /// A stable word such as `upload.complete`.
    pub kind: String,
    /// The upload it is about.
    pub upload: Option<UploadId>,
    /// The rule it is about.
    pub rule: Option<String>,
    /// More about it; depends on the kind.
    pub body: Value,
}

/// Writes an event in the transaction of the change that it reports.
pub(super) fn record(
    connection: &Connection,
    kind: &str,
    upload: Option<UploadId>,
    rule: Option<&str>,
    body: &Value,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO event (at, kind, upload_id, rule, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![now(), kind, upload, rule, body.to_string()])?;
    let id = connection.last_insert_rowid();
    if id % CUT_EVERY == 0 {
        connection.prepare_cached("DELETE FROM event WHERE id <= ?1")?.execute([id - KEPT])?;
    }
    Ok(())
}

impl Store {
    /// Up to `limit` events later than `id`, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn events_after(&self, id: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, at, kind, upload_id, rule, body FROM event WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = statement.query(params![id, limit])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(Event {
                    id: row.get(0)?,
                    at: time(row.get(1)?),
                    kind: row.get(2)?,
                    upload: row.get(3)?,
                    rule: row.get(4)?,
                    body: from_json(&row.get::<_, String>(5)?, "event.body")?,
                });
            }
            Ok(events)
        })
        .await
    }

    /// The ids of the oldest and the newest event that are kept; 1 and 0 when there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn event_range(&self) -> Result<(i64, i64), StoreError> {
        self.read(|connection| {
            let mut range =
                connection.prepare_cached("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM event")?;
            Ok(range.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
        .await
    }

    /// The newest event's id; 0 when there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn last_event(&self) -> Result<i64, StoreError> {
        self.read(
            |connection| Ok(connection.query_row("SELECT coalesce(max(id), 0) FROM event", [], |row| row.get(0))?),
        )
        .await
    }

    /// Writes an event on its own, for what changes no other row (a rule that fails, a webhook that was abandoned).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn record_event(&self, kind: &'static str, rule: Option<String>, body: Value) -> Result<(), StoreError> {
        self.change(move |connection| record(connection, kind, None, rule.as_deref(), &body)).await
    }
}
