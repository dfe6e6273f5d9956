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
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] rusqlite::Error),
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
