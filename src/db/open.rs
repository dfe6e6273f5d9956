//! Opening a database file: its modes, and the migrations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::DbError;

/// Bytes of pages that a reading connection keeps: the system keeps them as well, once for all connections.
const READ_CACHE: i32 = 512 << 10;
/// SQLite's virtual machine is asked after so many instructions how far it has come.
const STEP: u16 = 1_000;

pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(128);
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        // Negative: not in pages, but in KiB.
        connection.pragma_update(None, "cache_size", -READ_CACHE / 1024)?;
    } else {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // On Apple's systems a plain fsync ends in the disk's cache; elsewhere these two mean nothing.
        connection.pragma_update(None, "fullfsync", "ON")?;
        connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
    }
    Ok(connection)
}

/// Counts what is done over a connection.
pub(super) fn count_steps(connection: &mut Connection, steps: Arc<AtomicU64>) -> rusqlite::Result<()> {
    let count = move || {
        steps.fetch_add(1, Ordering::Relaxed);
        false // Go on.
    };
    connection.progress_handler(STEP.into(), Some(count))
}

pub(super) fn restrict_to_owner(path: &Path) {
    // Best effort: the folder is closed to others already; some file systems know no modes.
    let _ = masv_platform::close_to_others(path);
}

pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), DbError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > migrations.len() {
        return Err(DbError::Newer { path: path.to_owned(), found, known: migrations.len() });
    }
    if found == migrations.len() {
        return Ok(());
    }
    if found > 0 {
        connection.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
        let mut copy = path.as_os_str().to_owned();
        copy.push(format!(".v{found}.bak"));
        let copy = PathBuf::from(copy);
        std::fs::copy(path, &copy).map_err(|source| DbError::Copy { path: copy, source })?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in &migrations[found..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(migrations.len()).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}
