//! Moments of the hub's own life that outlive the process: when the clock was trusted last, when a backup was restored.

use jiff::Timestamp;
use masv_db::{Database, values};

use super::Error;

/// Which moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The last time that the clock was seen and trusted.
    LastSeen,
    /// When the database was restored from a backup.
    Restored,
}

impl Moment {
    const fn as_str(self) -> &'static str {
        match self {
            Self::LastSeen => "last_seen",
            Self::Restored => "restored",
        }
    }
}

/// When that was, if it ever was.
pub(crate) async fn get(database: &Database, moment: Moment) -> Result<Option<Timestamp>, Error> {
    let getting = database.query(move |work| {
        Ok::<_, Error>(work.one("SELECT at FROM moment WHERE name = ?1", values![moment.as_str()], |row| row.get(0))?)
    });
    getting.await
}

/// Writes down that it was at this time.
pub(crate) async fn set(database: &Database, moment: Moment, at: Timestamp) -> Result<(), Error> {
    let setting = database.transact(move |work| {
        let sql = "INSERT INTO moment (name, at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = excluded.at";
        work.run(sql, values![moment.as_str(), at])?;
        Ok::<_, Error>(())
    });
    setting.await
}
