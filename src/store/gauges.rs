//! How much of what there is: for monitoring.

use jiff::Timestamp;

use super::rows::{from_word, time, unsigned};
use super::{Store, StoreError};
use crate::model::State;

/// The state of the store in numbers.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Uploads in each state that occurs.
    pub uploads: Vec<(State, u64)>,
    /// Downloads in each state that occurs.
    pub downloads: Vec<(State, u64)>,
    /// When the oldest upload that is to run was made.
    pub oldest_upload: Option<Timestamp>,
    /// When the oldest download that is to run was made.
    pub oldest_download: Option<Timestamp>,
    /// Bytes of files that uploads which are to run have still to send.
    pub bytes_to_send: u64,
    /// Things to do outside that wait, and when the oldest was written.
    pub errands: u64,
    /// See [`Self::errands`].
    pub oldest_errand: Option<Timestamp>,
    /// Bytes of the database file.
    pub database_bytes: u64,
}

impl Store {
    /// Counts what there is.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn gauges(&self) -> Result<Gauges, StoreError> {
        self.read(|connection| {
            let counts = |table: &'static str| {
                let mut statement =
                    connection.prepare_cached(&format!("SELECT state, count(*) FROM {table} GROUP BY state"))?;
                let mut rows = statement.query([])?;
                let mut counts = Vec::new();
                while let Some(row) = rows.next()? {
                    counts.push((from_word(row.get(0)?, "state")?, unsigned(row.get(1)?)));
                }
                Ok::<_, StoreError>(counts)
            };
            let (oldest_upload, left): (Option<i64>, i64) = connection.query_row(
                "SELECT min(created_at), coalesce(sum(bytes - bytes_done), 0) FROM upload WHERE state = ?1",
                [State::Transferring.as_str()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let oldest_download: Option<i64> = connection.query_row(
                "SELECT min(created_at) FROM download WHERE state = ?1",
                [State::Transferring.as_str()],
                |row| row.get(0),
            )?;
            let (errands, oldest_errand): (i64, Option<i64>) =
                connection.query_row("SELECT count(*), min(created_at) FROM outbox", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            Ok(Gauges {
                uploads: counts("upload")?,
                downloads: counts("download")?,
                oldest_upload: oldest_upload.map(time),
                oldest_download: oldest_download.map(time),
                bytes_to_send: unsigned(left),
                errands: unsigned(errands),
                oldest_errand: oldest_errand.map(time),
                database_bytes: unsigned(pages.saturating_mul(page)),
            })
        })
        .await
    }
}
