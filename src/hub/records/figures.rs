//! How much there is of what, for the hub's metrics: numbers alone, no names.

use jiff::Timestamp;
use masv_db::{Database, Row, Work, values};

use super::Error;
use crate::clock::now;

/// How many, and how many bytes of content they have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub count: u64,
    pub bytes: u64,
}

/// Deliveries that are owed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    /// They are to be made, now or again later.
    pub pending: u64,
    /// They were given up.
    pub given_up: u64,
    /// Since when the longest due one is, milliseconds.
    pub oldest_due: Option<i64>,
}

impl Owed {
    /// How long the longest due one has been due, seconds.
    pub(crate) fn lag(&self, now: Timestamp) -> f64 {
        let late = self.oldest_due.map_or(0, |due| now.as_millisecond().saturating_sub(due).max(0));
        std::time::Duration::from_millis(late.unsigned_abs()).as_secs_f64()
    }
}

/// What a hub has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Packages by their state, without those in the trash.
    pub packages: Vec<(String, Amount)>,
    /// Packages in the trash.
    pub trash: Amount,
    /// Bytes that count against quotas, announced ones too.
    pub reserved: u64,
    pub mails: Owed,
    pub calls: Owed,
    /// Contents that are to be removed from the storage.
    pub removals: u64,
    /// Downloads that are not complete, and those that are.
    pub started: u64,
    pub complete: u64,
}

/// Counts all of it.
pub(crate) async fn all(database: &Database) -> Result<Figures, Error> {
    let counting = database.query(|work| {
        let amount = |row: &Row<'_>, first: usize| Ok(Amount { count: row.get(first)?, bytes: row.get(first + 1)? });
        let sql = "SELECT state, count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM package WHERE removed = 0 GROUP BY state";
        let packages = work.all(sql, values![], |row| Ok((row.get(0)?, amount(row, 1)?)))?;
        let sql = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM package WHERE trashed_at IS NOT NULL";
        let trash = work.one(sql, values![], |row| amount(row, 0))?.unwrap_or_default();
        let sql = "SELECT CAST(coalesce(sum(reserved), 0) AS BIGINT) FROM package WHERE removed = 0 AND state != 'expired'";
        let reserved = work.value(sql, values![])?;
        let sql = "SELECT count(*) FROM job WHERE kind != 'chore'";
        let removals = work.value(sql, values![])?;
        let sql = "SELECT count(*) - count(finished_at), count(finished_at) FROM download";
        let (started, complete) = work.one(sql, values![], |row| Ok((row.get(0)?, row.get(1)?)))?.unwrap_or_default();
        // A mail without a time waits for its package, unless it was tried.
        let mails = owed(work, "mail", "sent_at IS NULL AND attempts > 0")?;
        let calls = owed(work, "webhook_call", "1 = 1")?;
        Ok::<_, Error>(Figures { packages, trash, reserved, mails, calls, removals, started, complete })
    });
    counting.await
}

/// What is owed by a table; those without a time to do it that satisfy `abandoned` were given up.
fn owed(work: &Work<'_>, table: &str, abandoned: &str) -> Result<Owed, Error> {
    let sql = format!(
        "SELECT count(due_at), count(*) FILTER (WHERE due_at IS NULL AND {abandoned}), min(CASE WHEN due_at <= ?1 THEN due_at END)
         FROM {table}"
    );
    let read = |row: &Row<'_>| Ok(Owed { pending: row.get(0)?, given_up: row.get(1)?, oldest_due: row.get(2)? });
    Ok(work.one(&sql, values![now()], read)?.unwrap_or_default())
}
