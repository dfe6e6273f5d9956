//! The agent's memory, opened at the start and closed at the end.
//!
//! **In**: the data directory. **Out**: the [`Store`]. Blocks.
//!
//! **Guarantees.** An agent that has lost its memory does not begin anew by itself: everything that is in the watched folders
//! would be sent once more. After a clean stop the database's file is complete without the log beside it.

use std::path::Path;
use std::time::Duration;

use super::AgentError;
use crate::store::{Store, StoreError};
use masv_db::DbError;

const FILE: &str = "agent.db";
/// What a used data directory contains.
const TRACES: [&str; 3] = ["agent.db-wal", "agent.json", "hub"];
/// How long to wait for readers when the agent stops.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks that a data directory which was used before has its database, before anything in it is changed.
///
/// # Errors
/// [`AgentError::MemoryLost`]; [`AgentError::Store`] when the database cannot be read.
pub(super) fn refuse_if_lost(data_dir: &Path) -> Result<(), AgentError> {
    let traces: Vec<&str> = TRACES.into_iter().filter(|name| is_there(&data_dir.join(name))).collect();
    if traces.is_empty() || !Store::is_empty(&data_dir.join(FILE))? {
        return Ok(());
    }
    Err(AgentError::MemoryLost { data_dir: data_dir.to_owned(), traces: traces.join(", ") })
}

/// Whether a non-empty file or a folder exists.
fn is_there(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir() || found.len() > 0)
}

/// Opens the database.
pub(super) async fn open(data_dir: &Path) -> Result<Store, AgentError> {
    let path = data_dir.join(FILE);
    let opened = tokio::task::spawn_blocking(move || Store::open(&path)).await;
    Ok(opened.unwrap_or(Err(StoreError::Database(DbError::Closed)))?)
}

/// Makes the database file complete by itself. Being unable to do so is not a failure: the log beside it has the rest.
pub(super) async fn close(store: &Store) {
    match tokio::time::timeout(PATIENCE, store.checkpoint()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the database is complete only with agent.db-wal beside it"
        ),
        Err(_) => tracing::warn!("the database is complete only with agent.db-wal beside it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent whose database was truncated, removed, or copied without its log began anew and sent everything again.
    #[test]
    fn a_used_data_directory_without_its_database_is_refused() {
        for (trace, is_folder) in [("agent.db-wal", false), ("agent.json", false), ("hub", true)] {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join(trace);
            assert!(refuse_if_lost(folder.path()).is_ok(), "a new data directory");
            if is_folder {
                std::fs::create_dir(&place).unwrap()
            } else {
                std::fs::write(&place, "x").unwrap()
            }
            let refused = |what: &str| match refuse_if_lost(folder.path()) {
                Err(error @ AgentError::MemoryLost { .. }) => {
                    assert!(error.to_string().contains(trace) && error.hint().is_some(), "{error}");
                }
                other => panic!("{what}: {other:?}"),
            };
            refused("missing");
            std::fs::write(folder.path().join(FILE), "").unwrap();
            refused("without bytes");
            std::fs::remove_file(folder.path().join(FILE)).unwrap();
            drop(Store::open(&folder.path().join(FILE)).unwrap());
            assert!(refuse_if_lost(folder.path()).is_ok(), "it is there");
        }
    }
}
