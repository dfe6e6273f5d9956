//! What whoever runs the hub must know, as long as it is so: it outlives the process, and every process can tell it.

use jiff::Timestamp;
use masv_db::{Database, values};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::clock::now;

/// Which notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Nothing is removed: the clock is in doubt, or a backup was restored.
    Waiting,
    /// The sweep of the disk found so much unknown that it was not done.
    DiskRefused,
    /// The same in the bucket.
    BucketRefused,
    /// The operator has confirmed a sweep of that much.
    Confirmed,
    /// What the last look for missing content has found.
    Checked,
    /// Commits that the database has lost.
    Damaged,
}

impl Notice {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::DiskRefused => "disk_refused",
            Self::BucketRefused => "bucket_refused",
            Self::Confirmed => "confirmed",
            Self::Checked => "checked",
            Self::Damaged => "damaged",
        }
    }
}

/// What there is to be told, and since when; nothing when it is over, or was written by another version in other words.
pub(crate) async fn get<T: DeserializeOwned + Send + 'static>(
    database: &Database,
    notice: Notice,
) -> Result<Option<(Timestamp, T)>, Error> {
    let getting = database.query(move |work| {
        let read = |row: &masv_db::Row<'_>| Ok((row.get::<Timestamp>(0)?, row.get::<String>(1)?));
        Ok::<_, Error>(work.one("SELECT at, value FROM notice WHERE name = ?1", values![notice.as_str()], read)?)
    });
    let found = getting.await?;
    Ok(found.and_then(|(at, value)| Some((at, serde_json::from_str(&value).ok()?))))
}

/// Writes down that this is to be told.
pub(crate) async fn set(database: &Database, notice: Notice, value: &impl Serialize) -> Result<(), Error> {
    let value = serde_json::to_string(value).map_err(|error| Error::Invalid(error.to_string()))?;
    let setting = database.transact(move |work| {
        let sql = "INSERT INTO notice (name, at, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET at = excluded.at, value = excluded.value";
        work.run(sql, values![notice.as_str(), now(), value])?;
        Ok::<_, Error>(())
    });
    setting.await
}

/// Writes down that it is over.
pub(crate) async fn clear(database: &Database, notice: Notice) -> Result<(), Error> {
    let there = database.query(move |work| {
        let sql = "SELECT EXISTS (SELECT 1 FROM notice WHERE name = ?1)";
        Ok::<_, Error>(work.value::<bool>(sql, values![notice.as_str()])?)
    });
    if !there.await? {
        return Ok(());
    }
    let clearing = database.transact(move |work| {
        work.run("DELETE FROM notice WHERE name = ?1", values![notice.as_str()])?;
        Ok::<_, Error>(())
    });
    clearing.await
}
