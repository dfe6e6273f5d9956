//! What can go wrong with the database itself.

use std::path::PathBuf;

/// What can go wrong with the database itself.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file could not be opened or prepared.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A newer program wrote this database.
    #[error(
        "the database {} is of version {found}, this program knows up to {known}: start the newer program, or \
         restore the copy it made before it upgraded", path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The file's version.
        found: usize,
        /// The newest version this program knows.
        known: usize,
    },
    /// The copy before a migration could not be made.
    #[error("cannot copy the database to {} before upgrading it", path.display())]
    Copy {
        /// Where the copy was to go.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The requested copy could not be made.
    #[error("cannot copy the database to {}: {problem}", path.display())]
    Backup {
        /// Where the copy was to go.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A write ended by a bug of ours; it left nothing behind.
    #[error("a change of the database ended unexpectedly")]
    Panicked,
    /// A row has something else than it must; the database was changed by something else, or by a newer program.
    #[error("the database has an unexpected value in column {column} of an answer: {problem}")]
    Value {
        /// Which, from 0.
        column: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// An answer that always has a row had none.
    #[error("the database gave no row where there always is one")]
    NoRow,
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] rusqlite::Error),
    /// PostgreSQL refused a statement.
    #[error("the database refused a statement")]
    Refused(#[source] tokio_postgres::Error),
    /// The URL of a PostgreSQL database cannot be used.
    #[error("the URL of the database cannot be used: {0}")]
    Url(String),
    /// A newer program has changed the tables so that this one cannot use them.
    #[error(
        "the database is of version {found} and needs a program that knows {readable_from}, this one knows {known}: start a newer one"
    )]
    TooNew {
        /// The version of the tables.
        found: u64,
        /// The oldest version a program must know.
        readable_from: u64,
        /// What this one knows.
        known: u64,
    },
    /// The database server cannot be reached, or does not accept us. Nothing has happened.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// It takes no changes for now. Nothing has happened.
    #[error("the database takes no changes for now")]
    ReadOnly,
    /// All connections to the database server were in use for too long. Nothing has happened.
    #[error("all connections to the database are in use")]
    Crowded,
    /// The database server went away while it was saving: perhaps the change is saved, perhaps not.
    #[error("the database did not say whether it has saved: {0}")]
    Unknown(String),
    /// The group's commit failed (full disk, read-only file system): nothing of it was kept.
    #[error("the database could not save: {0}")]
    Commit(String),
    /// Somebody reads what was before the last changes: they stay in the log beside the database.
    #[error("the database is being read")]
    Busy,
    /// The writer has stopped; the process is ending.
    #[error("the database is closed")]
    Closed,
    /// The linked version of SQLite can lose data.
    #[error("SQLite {0} is linked, at least 3.51.3 is needed")]
    OldSqlite(&'static str),
}

impl DbError {
    /// Whether the change may have been saved all the same: what it would need then must stay.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}
