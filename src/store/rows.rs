//! How rows become types and back: numbers, times, paths and JSON, in one place.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Row, ToSql, types};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::model::{DownloadId, UploadId};
use masv_platform::FileIdentity;

/// The condition that the name is the sixth parameter, or that the id ends with it.
pub(super) const NAMED: &str = "AND (name = ?6 OR substr(id, -length(?6)) = lower(?6))";

macro_rules! id_column {
    ($name:ident) => {
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<types::ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }

        impl types::FromSql for $name {
            fn column_result(value: types::ValueRef<'_>) -> types::FromSqlResult<Self> {
                Self::from_str(value.as_str()?).map_err(|_| types::FromSqlError::InvalidType)
            }
        }
    };
}

id_column!(UploadId);
id_column!(DownloadId);

/// SQLite knows signed integers only; every size and inode number fits by its bits.
pub(super) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// The inverse of [`signed`].
pub(super) fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

pub(super) fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The word that serde writes for a plain enum value, as columns keep it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(super) fn from_word<T: DeserializeOwned>(word: String, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| StoreError::Unreadable(what))
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable(what))
}

/// Reads the columns size, mtime_ns, ctime_ns, device, inode, the first of them at `first`.
pub(super) fn identity(row: &Row<'_>, first: usize) -> rusqlite::Result<FileIdentity> {
    Ok(FileIdentity {
        size: unsigned(row.get(first)?),
        mtime_ns: row.get(first + 1)?,
        ctime_ns: row.get(first + 2)?,
        device: unsigned(row.get(first + 3)?),
        inode: unsigned(row.get(first + 4)?),
    })
}
