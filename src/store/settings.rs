//! Settings that are changed at run time and kept across restarts: each a JSON document under its own key.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::rows::from_json;
use super::{Store, StoreError};
use crate::model::Setting;

impl Store {
    /// The stored setting; `None` if there is none, or if it cannot be read (which is logged).
    ///
    /// # Errors
    /// Those of the database.
    pub async fn kept<S: Setting>(&self) -> Result<Option<S>, StoreError> {
        let value = self.setting(S::KEY).await?;
        Ok(value.and_then(|value| {
            serde_json::from_value(value)
                .inspect_err(
                    |error| tracing::warn!(key = S::KEY, %error, "a saved setting cannot be read; continuing without it"),
                )
                .ok()
        }))
    }

    /// Keeps the setting across restarts.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn keep<S: Setting>(&self, setting: &S) -> Result<(), StoreError> {
        let value = serde_json::to_value(setting).map_err(|_| StoreError::Unreadable("setting.value"))?;
        self.set_setting(S::KEY, Some(value)).await
    }

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
