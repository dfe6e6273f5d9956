//! Uploads that are looked for: one, some, how many.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::{COLUMNS, upload};
use crate::model::{State, Upload, UploadFilter, UploadId};
use crate::store::rows::{NAMED, from_word, json, unsigned, word};
use crate::store::{Store, StoreError};

/// The upload, or [`StoreError::NotFound`].
pub(in crate::store) fn find(connection: &Connection, id: UploadId) -> Result<Upload, StoreError> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM upload WHERE id = ?1"))?
        .query_row([id], |row| Ok(upload(row)))
        .optional()?
        .ok_or(StoreError::NotFound(id.into()))?
}

impl Store {
    /// One upload.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn upload(&self, id: UploadId) -> Result<Upload, StoreError> {
        self.read(move |connection| find(connection, id)).await
    }

    /// The uploads that `filter` lets through, newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn uploads(&self, filter: UploadFilter) -> Result<Vec<Upload>, StoreError> {
        self.read(move |connection| {
            let states: Vec<String> = filter.states.iter().map(word).collect();
            // Only what is asked for stands there: a condition that holds of everything keeps SQLite from using an index.
            let of_state = if states.is_empty() { "" } else { "AND state IN (SELECT value FROM json_each(?1))" };
            let of_rule = if filter.rule.is_some() { "AND rule = ?2" } else { "" };
            let made_since = if filter.since.is_some() { "AND created_at >= ?4" } else { "" };
            let named = if filter.named.is_empty() { "" } else { NAMED };
            let made_until = if filter.until.is_some() { "AND created_at < ?7" } else { "" };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM upload WHERE (?3 IS NULL OR id < ?3) {of_state} {of_rule} {made_since} {made_until} \
                 AND instr(lower(name || ' ' || coalesce(rule, '')), lower(?5)) > 0 {named} \
                 ORDER BY id DESC LIMIT ?8"
            ))?;
            let [since, until] = [filter.since, filter.until].map(|time| time.map(|time| time.as_millisecond()));
            let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
            let mut rows = statement.query(params![
                json(&states),
                filter.rule,
                filter.before,
                since,
                filter.search,
                filter.named,
                until,
                limit
            ])?;
            let mut uploads = Vec::new();
            while let Some(row) = rows.next()? {
                uploads.push(upload(row)?);
            }
            Ok(uploads)
        })
        .await
    }

    /// How many uploads of a rule have failed, and the newest of them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn uploads_failed(&self, rule: &str) -> Result<(u64, Option<Upload>), StoreError> {
        let rule = rule.to_owned();
        self.read(move |connection| {
            let failed = "FROM upload WHERE state = 'error' AND rule = ?1";
            let count: i64 = connection
                .prepare_cached(&format!("SELECT count(*) {failed}"))?
                .query_row([&rule], |row| row.get(0))?;
            let newest = connection
                .prepare_cached(&format!("SELECT {COLUMNS} {failed} ORDER BY id DESC LIMIT 1"))?
                .query_row([&rule], |row| Ok(upload(row)))
                .optional()?
                .transpose()?;
            Ok((unsigned(count), newest))
        })
        .await
    }

    /// How many uploads are in each state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn upload_counts(&self) -> Result<Vec<(State, u64)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT state, count(*) FROM upload GROUP BY state")?;
            let mut rows = statement.query([])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push((from_word(row.get(0)?, "upload.state")?, unsigned(row.get(1)?)));
            }
            Ok(counts)
        })
        .await
    }
}
