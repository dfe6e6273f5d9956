//! A SQLite database: one writer that groups commits, several readers, migrations.
//!
//! **In**: closures over a connection. **Out**: their results, once they are on disk.
//!
//! **Guarantees.** A write's result is handed out only after the transaction it was part of is committed with
//! `synchronous=FULL`, so what was acknowledged survives a power cut. A write that fails leaves nothing behind
//! and does not disturb the others of its group (each runs in a savepoint). Reads see only committed data.
//!
//! **On a crash** the file is in the state of the last commit (write-ahead log); a copy is made before a migration.
//!
//! Must never know: the meaning of the tables.
//!
//! Why one writer: SQLite allows one at a time anyway. A thread that owns the only writing connection needs no
//! busy-waiting, and while one commit waits for the disk the next writes gather and share the next one: a
//! thousand small transactions a second cost a few dozen flushes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use masv_platform::PathBeneath;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinError;

use crate::DbError;
use crate::copy::copy;
use crate::open::{connect, count_steps, migrate, restrict_to_owner};
use crate::readers::Readers;
use crate::task::Made;
use crate::writer::{Change, Job, Order, write_loop};

/// The oldest SQLite whose write-ahead log can be trusted with two connections
/// (<https://sqlite.org/wal.html#walresetbug>).
pub(super) const OLDEST_SQLITE: i32 = 3_051_003;
/// How many writes may wait for the writer before their callers wait too.
const WRITE_QUEUE: usize = 4096;
/// Reading connections; more than the cores gain nothing.
pub(super) const READERS: usize = 4;
/// How many of them read lists at most: the others are for those who send and receive, for whom an answer is a matter of a moment.
const LISTS: usize = READERS / 2;

/// A handle to one database file; clones share it.
#[derive(Clone)]
pub struct Sqlite {
    writer: mpsc::Sender<Order>,
    readers: Arc<Readers>,
    /// Whoever reads a list.
    pub(super) lists: Arc<Semaphore>,
    steps: Arc<AtomicU64>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sqlite")
    }
}

impl Sqlite {
    /// Opens the database at `path`, making it (readable by its owner only) or upgrading it where needed.
    ///
    /// `migrations[n]` takes a database of version `n` to version `n + 1`; the list only ever grows. Before an
    /// existing file is upgraded it is copied to `{path}.v{n}.bak`.
    ///
    /// # Errors
    /// See [`DbError`]; nothing is changed when one is returned, but that the copy may have been made.
    pub fn open(path: &Path, migrations: &[&str]) -> Result<Self, DbError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(DbError::OldSqlite(rusqlite::version()));
        }
        let open_error = |source| DbError::Open { path: path.to_owned(), source };
        let steps = Arc::<AtomicU64>::default();
        let mut connection = connect(path, OpenFlags::default()).map_err(open_error)?;
        restrict_to_owner(path);
        migrate(&mut connection, path, migrations)?;
        let mut idle = (0..READERS)
            .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX))
            .collect::<Result<Vec<_>, _>>()
            .map_err(open_error)?;
        for connection in idle.iter_mut().chain([&mut connection]) {
            count_steps(connection, Arc::clone(&steps)).map_err(open_error)?;
        }
        let (writer, jobs) = mpsc::channel(WRITE_QUEUE);
        std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || write_loop(&mut connection, jobs))
            .map_err(|error| DbError::Commit(error.to_string()))?;
        Ok(Self {
            writer,
            readers: Arc::new(Readers { idle: Mutex::new(idle), permits: Arc::new(Semaphore::new(READERS)) }),
            lists: Arc::new(Semaphore::new(LISTS)),
            steps,
        })
    }

    /// How many instructions SQLite has carried out since the database was opened, in thousands: what the statements cost,
    /// whatever else the machine does. One that reads a whole table shows here.
    #[must_use]
    pub fn thousand_steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether the database at `path` is of the version that these migrations lead to, or does not exist yet: [`Sqlite::open`]
    /// changes nothing that others who have it open rely on.
    ///
    /// # Errors
    /// [`DbError::Open`].
    pub fn is_current(path: &Path, migrations: &[&str]) -> Result<bool, DbError> {
        if !path.exists() {
            return Ok(true);
        }
        let open_error = |source| DbError::Open { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(open_error)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(open_error)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open_error)?;
        Ok(usize::try_from(found).is_ok_and(|found| found >= migrations.len()))
    }

    /// Whether nothing was ever written to the database at `path`, log and all: the file is missing, has no bytes, or no tables.
    ///
    /// # Errors
    /// [`DbError::Open`] when it cannot be read, or is not a database.
    pub fn is_empty(path: &Path) -> Result<bool, DbError> {
        // SQLite removes the log of a database without bytes.
        if std::fs::metadata(path).is_ok_and(|found| found.len() == 0) || !path.exists() {
            return Ok(true);
        }
        let open_error = |source| DbError::Open { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(open_error)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(open_error)?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(open_error)?;
        Ok(tables == 0)
    }

    /// Runs `work` inside a transaction and returns its result once that is on disk. An `Err` undoes what
    /// `work` did. `work` must be quick: every other writer waits for it.
    ///
    /// # Errors
    /// `work`'s own, or [`DbError::Commit`], [`DbError::Closed`].
    pub async fn write<T, E>(&self, work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let made = Made::new();
        let place = made.place();
        let ended = self.change(Box::new(move |connection| place.keep(work(connection)))).await;
        made.take(ended)
    }

    /// The same of a change that keeps its result itself. `Ok`: that stands.
    pub(crate) fn change(&self, change: Change) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(async move {
            let (reply, result) = oneshot::channel();
            self.writer.send(Order::Write(Job { change, reply })).await.map_err(|_| DbError::Closed)?;
            result.await.map_err(|_| DbError::Closed)?
        })
    }

    /// Moves what is in the log beside the database into the database file, which is complete by itself afterwards.
    ///
    /// # Errors
    /// [`DbError::Busy`] when somebody goes on reading what was before; [`DbError::Statement`], [`DbError::Closed`].
    pub async fn checkpoint(&self) -> Result<(), DbError> {
        let (reply, result) = oneshot::channel();
        self.writer.send(Order::Checkpoint(reply)).await.map_err(|_| DbError::Closed)?;
        result.await.map_err(|_| DbError::Closed)?
    }

    /// Resolves when the writer has ended, and nothing can be saved any more.
    pub async fn closed(&self) {
        self.writer.closed().await;
    }

    /// Writes a consistent copy of the whole database to `path`, which must not exist; readable by its owner only. Reading
    /// and writing continue meanwhile.
    ///
    /// SQLite writes into the database's own folder, which is closed to others; what others may have put at `path`, or on the
    /// way to it, is neither followed nor written to.
    ///
    /// # Errors
    /// [`DbError::Backup`]; the incomplete copy is then removed.
    pub async fn backup(&self, path: PathBeneath) -> Result<(), DbError> {
        let target = path.clone();
        let copied = self.read(move |connection| Ok::<_, DbError>(copy(connection, &target))).await?;
        copied.map_err(|problem| DbError::Backup { path: path.whole(), problem })
    }

    /// Runs `work` on a read-only connection, on a thread that may block.
    ///
    /// # Errors
    /// `work`'s own, or [`DbError::Closed`].
    pub async fn read<T, E>(&self, work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let made = Made::new();
        let place = made.place();
        let ended = self.look(Box::new(move |connection| place.keep(work(connection)))).await;
        made.take(ended)
    }

    /// The same of a look that keeps its result itself. `Ok`: that stands.
    pub(crate) fn look(&self, look: Change) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(async move {
            let lent = Arc::clone(&self.readers).lend().await?;
            // The thread gives the connection back, not the caller: callers are cancelled as they please.
            let read = tokio::task::spawn_blocking(move || {
                let connection = lent.connection.as_ref().ok_or(DbError::Closed)?;
                look(connection);
                Ok(())
            });
            ended(read.await)?
        })
    }
}

/// What a thread made, or its panic in the thread that waits for it.
pub(crate) fn ended<T>(joined: Result<T, JoinError>) -> Result<T, DbError> {
    joined.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => DbError::Closed,
    })
}
