//! Moments of the hub's own life that outlive the process: when the clock was trusted last, when a backup was
//! restored, how long the clock has been in doubt.

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
    /// While the clock is in doubt: since when it has gone on steadily, not counting the time in which no process ran.
    DoubtedSince,
    /// While the clock is in doubt: the last time that it was seen.
    DoubtedLast,
    /// When package tokens of earlier versions expire.
    OldTokensEnd,
    /// Since when the hub is being moved to another database.
    Moving,
}

impl Moment {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::LastSeen => "last_seen",
            Self::Restored => "restored",
            Self::DoubtedSince => "doubted_since",
            Self::DoubtedLast => "doubted_last",
            Self::OldTokensEnd => "old_tokens_end",
            Self::Moving => "moving",
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

/// Records that it happened at this time.
pub(crate) async fn set(database: &Database, moment: Moment, at: Timestamp) -> Result<(), Error> {
    let setting = database.transact(move |work| {
        let sql = "INSERT INTO moment (name, at) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET at = excluded.at";
        work.run(sql, values![moment.as_str(), at])?;
        Ok::<_, Error>(())
    });
    setting.await
}

/// Forgets that it ever was.
pub(crate) async fn clear(database: &Database, moments: &'static [Moment]) -> Result<(), Error> {
    let clearing = database.transact(move |work| {
        for moment in moments {
            work.run("DELETE FROM moment WHERE name = ?1", values![moment.as_str()])?;
        }
        Ok::<_, Error>(())
    });
    clearing.await
}
