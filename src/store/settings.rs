//! Settings that are changed at run time and kept over restarts, as JSON by key.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::rows::from_json;
use super::{Store, StoreError};

impl Store {
    /// The value kept under `key`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn setting(&self, key: &'static str) -> Result<Option<Value>, StoreError> {
        self.read(move |connection| {
            let text: Option<String> = connection
                .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()?;
            text.map(|text| from_json(&text, "setting.value")).transpose()
        })
        .await
    }

    /// Keeps `value` under `key`; `None` removes it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_setting(&self, key: &'static str, value: Option<Value>) -> Result<(), StoreError> {
        self.change(move |connection| {
            match value {
                Some(value) => connection
                    .prepare_cached(
                        "INSERT INTO setting (key, value) VALUES (?1, ?2) \
                         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    )?
                    .execute(params![key, value.to_string()])?,
                None => connection.prepare_cached("DELETE FROM setting WHERE key = ?1")?.execute([key])?,
            };
            Ok(())
        })
        .await
    }
}
