//! The agent's database: uploads, downloads, their files and parts, the ledger of what was sent, settings, the event log.
//!
//! **In**: typed changes, each one transaction. **Out**: the same facts after any crash.
//!
//! **Guarantees.** An upload, its files, its ledger claims and its event are one transaction. No two unfinished
//! uploads claim the same path of one rule, and no content that was sent is claimed again. What a function
//! returned is on disk.
//!
//! Must never know: HTTP, the meaning of rules, or how files are sent.

mod deliveries;
mod downloads;
mod events;
mod files;
mod gauges;
mod growing;
mod history;
mod ledger;
mod ledger_pages;
mod order_keys;
mod outbox;
mod rows;
mod settings;
mod taken_away;
mod turns;
mod uploads;
mod watched_folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::model::TransferId;
use masv_db::Sqlite;
use masv_platform::PathBeneath;

pub use deliveries::{DeliveryCounts, DeliveryEntry, DeliveryOutcome};
pub use events::Event;
pub use gauges::Gauges;
pub use ledger::RuleRecord;
pub use ledger_pages::{LedgerAnswer, LedgerQuestion};
pub use masv_db::DbError;
pub use outbox::{Errand, ErrandKind, Outgoing, Telling};
pub use turns::OnlyWaiting;
pub use uploads::Order;
pub use watched_folder::{FilesHere, FolderEvidence, WatchedFolder};

/// The migrations of the agent's database, version by version; append only.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/store/0001_first.sql"),
    include_str!("../../migrations/store/0002_downloads.sql"),
    include_str!("../../migrations/store/0003_deliveries.sql"),
    include_str!("../../migrations/store/0004_clouds.sql"),
    include_str!("../../migrations/store/0005_folders.sql"),
    include_str!("../../migrations/store/0006_turns_and_content.sql"),
    include_str!("../../migrations/store/0007_roots.sql"),
    include_str!("../../migrations/store/0008_taken_away.sql"),
    include_str!("../../migrations/store/0009_by_what_is_asked.sql"),
    include_str!("../../migrations/store/0010_order_keys.sql"),
    include_str!("../../migrations/store/0011_verified.sql"),
    include_str!("../../migrations/store/0012_watched_folder.sql"),
    include_str!("../../migrations/store/0013_growing.sql"),
    include_str!("../../migrations/store/0014_taken_away_confined.sql"),
];

/// Why the store could not carry out a request.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such transfer.
    #[error("no {0}")]
    NotFound(TransferId),
    /// The transfer is in a state that does not allow it.
    #[error("{id} is {state}")]
    WrongState {
        /// The transfer.
        id: TransferId,
        /// Its current state, or `finalizing`.
        state: &'static str,
    },
    /// The ledger already has this content: it was sent, or belongs to an upload that is not complete.
    #[error("{} is already claimed", path.display())]
    AlreadyClaimed {
        /// Relative to the rule's folder.
        path: PathBuf,
    },
    /// The key was already used for a different request.
    #[error("the key was already used for a different request")]
    OtherOrder,
    /// The rule already has the package.
    #[error("the package {package} was taken already")]
    AlreadyDelivered {
        /// Its id in the cloud.
        package: String,
    },
    /// The database itself failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A row has an invalid value.
    #[error("the database contains something unreadable in {0}")]
    Unreadable(&'static str),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(DbError::Statement(error))
    }
}

/// A handle to the agent's database; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    database: Sqlite,
    changes: Arc<watch::Sender<i64>>,
}

impl Store {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// [`StoreError::Database`] if it cannot be opened or upgraded, or was written by a newer program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Sqlite::open(path, MIGRATIONS)?;
        Ok(Self { database, changes: Arc::new(watch::Sender::new(0)) })
    }

    /// Whether nothing was ever kept at `path`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the file cannot be read, or is not a database.
    pub fn is_empty(path: &Path) -> Result<bool, StoreError> {
        Ok(Sqlite::is_empty(path)?)
    }

    /// Makes the database's file complete by itself, without the log beside it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(self.database.checkpoint().await?)
    }

    /// Resolves when nothing can be saved any more.
    pub async fn closed(&self) {
        self.database.closed().await;
    }

    /// Writes a consistent copy of everything to `path`, which must not exist.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn backup(&self, path: PathBeneath) -> Result<(), StoreError> {
        Ok(self.database.backup(path).await?)
    }

    /// How many instructions the database has carried out since it was opened, in thousands.
    #[must_use]
    pub fn thousand_steps(&self) -> u64 {
        self.database.thousand_steps()
    }

    /// Counts up after every committed change that wrote an event: a waiter then reads from
    /// [`Store::events_after`] what it has not seen yet, and so misses nothing.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// Runs a change and, once it is on disk, wakes the waiters for events.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.database.write(work).await?;
        self.changes.send_modify(|count| *count += 1);
        Ok(result)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.database.read(work).await
    }
}

/// Now, as stored in the database.
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
