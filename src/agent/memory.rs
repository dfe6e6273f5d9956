//! The agent's memory, opened at the start and closed at the end.
//!
//! **In**: the data directory. **Out**: the [`Store`]. Blocks.
//!
//! Beside the database is a mark: the number of the newest event that it had. A database that has not come that far is an older one,
//! put there in its place.
//!
//! **Guarantees.** An agent that has lost its memory does not begin anew by itself: everything that is in the watched folders
//! would be sent once more. One with an older memory says so. After a clean stop the database's file is complete without the log beside it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::AgentError;
use crate::store::{Store, StoreError};
use masv_db::DbError;

const FILE: &str = "agent.db";
/// The number of the newest event of the database, as text.
const MARK: &str = "agent.mark";
/// What a used data directory contains.
const TRACES: [&str; 4] = ["agent.db-wal", "agent.json", MARK, "hub"];
/// How often the mark is moved on, if there are new events.
const MARK_EVERY: Duration = Duration::from_secs(10);
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

/// How many events the database lacks that the data directory has seen: it is an older one, such as a copy that was restored. `None`
/// if it is not, or if that is not known.
pub(super) async fn missing(data_dir: &Path, store: &Store) -> Result<Option<u64>, StoreError> {
    let Some(mark) = read_mark(data_dir) else { return Ok(None) };
    let missing = mark.saturating_sub(store.last_event().await?);
    Ok(u64::try_from(missing).ok().filter(|missing| *missing > 0))
}

fn read_mark(data_dir: &Path) -> Option<i64> {
    std::fs::read_to_string(data_dir.join(MARK)).ok()?.trim().parse().ok()
}

/// Replaces the mark as a whole. Only what is in the database already may be written.
fn write_mark(data_dir: &Path, mark: i64) -> std::io::Result<()> {
    let mut temporary = tempfile::NamedTempFile::new_in(data_dir)?;
    writeln!(temporary, "{mark}")?;
    temporary.as_file().sync_all()?;
    temporary.persist(data_dir.join(MARK)).map_err(|error| error.error)?;
    Ok(())
}

/// Moves the mark on, until `stop`.
pub(super) async fn keep_mark(data_dir: PathBuf, store: Store, stop: CancellationToken) {
    let (mut kept, mut told) = (None, false);
    loop {
        if let Ok(newest) = store.last_event().await
            && kept != Some(newest)
        {
            match write_mark(&data_dir, newest) {
                Ok(()) => (kept, told) = (Some(newest), false),
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(%error, "{MARK} cannot be written: an older database would not be noticed");
                }
                Err(_) => {}
            }
        }
        if tokio::time::timeout(masv_platform::unless_hurried(MARK_EVERY), stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Makes the database file complete by itself. Being unable to do so is not a failure: the log beside it has the rest.
pub(super) async fn close(data_dir: &Path, store: &Store) {
    if let Ok(newest) = store.last_event().await
        && let Err(error) = write_mark(data_dir, newest)
    {
        tracing::warn!(%error, "{MARK} cannot be written: an older database would not be noticed");
    }
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

    /// "An older database beside a used data directory is told": the mark never lies ahead of a database that belongs to it.
    #[tokio::test]
    async fn an_older_database_lacks_events_that_the_mark_has_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let store = Store::open(&path).unwrap();
        let note = async |store: &Store| store.record_event("test", None, serde_json::json!({})).await.unwrap();
        note(&store).await;
        assert_eq!(missing(folder.path(), &store).await.unwrap(), None, "there is no mark yet");
        close(folder.path(), &store).await;
        assert_eq!(missing(folder.path(), &store).await.unwrap(), None, "it is of this moment");
        let copy = std::fs::read(&path).unwrap();
        note(&store).await;
        note(&store).await;
        assert_eq!(missing(folder.path(), &store).await.unwrap(), None, "a crash leaves the mark behind");
        let stop = CancellationToken::new();
        stop.cancel();
        keep_mark(folder.path().to_owned(), store.clone(), stop).await;
        close(folder.path(), &store).await;
        drop(store);
        std::fs::write(&path, copy).unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(missing(folder.path(), &store).await.unwrap(), Some(2));
        std::fs::write(folder.path().join(MARK), "damaged").unwrap();
        assert_eq!(missing(folder.path(), &store).await.unwrap(), None, "not known");
    }

    /// An agent whose database was truncated, removed, or copied without its log began anew and sent everything again.
    #[test]
    fn a_used_data_directory_without_its_database_is_refused() {
        for (trace, is_folder) in [("agent.db-wal", false), ("agent.json", false), (MARK, false), ("hub", true)] {
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
