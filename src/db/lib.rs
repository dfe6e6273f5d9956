//! A SQLite database as the rooms use it: one writer that groups commits, several readers, migrations.
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
//! Numbered parameters are written `?1`: SQLite takes `$1` for a name and counts names as they appear.
//!
//! Why one writer: SQLite allows one at a time anyway. A thread that owns the only writing connection needs no
//! busy-waiting, and while one commit waits for the disk the next writes gather and share the next one: a
//! thousand small transactions a second cost a few dozen flushes.

mod wal;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use masv_platform::{Folder, FolderError, PathBeneath, put_copy};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use wal::lost_commits;
pub use work::{FromValue, Row, ToValue, Value, Work};

/// The oldest SQLite whose write-ahead log can be trusted with two connections
/// (<https://sqlite.org/wal.html#walresetbug>).
const OLDEST_SQLITE: i32 = 3_051_003;
/// How many writes may wait for the writer before their callers wait too.
const WRITE_QUEUE: usize = 4096;
/// How many writes may share one commit.
const LARGEST_GROUP: usize = 1024;
/// Pages that are copied at once: four megabytes.
const BACKUP_PAGES: std::ffi::c_int = 1024;
/// Reading connections; more than the cores gain nothing.
const READERS: usize = 4;
/// SQLite's virtual machine is asked after so many instructions how far it has come.
const STEP: u16 = 1_000;

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

/// One write: runs inside the group's transaction; responds to its caller with the outcome of the commit.
type Job = Box<dyn FnOnce(&Connection) -> Answer + Send>;
/// Tells the caller of a [`Job`] its result, given how the commit ended.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the writer is told.
enum Order {
    /// Write.
    Write(Job),
    /// Move what is in the log into the database file, after all that was told before.
    Checkpoint(oneshot::Sender<Result<(), DbError>>),
}

/// A handle to one database file; clones share it.
#[derive(Clone)]
pub struct Database {
    writer: mpsc::Sender<Order>,
    readers: Arc<Readers>,
    steps: Arc<AtomicU64>,
}

struct Readers {
    /// As many as there are permits left.
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A borrowed reading connection; it is returned whatever happens to the reader.
struct Lent {
    connection: Option<Connection>,
    readers: Arc<Readers>,
    /// Given back after the connection is.
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    async fn lend(self: Arc<Self>) -> Result<Lent, DbError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| DbError::Closed)?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Lent { connection, readers: self, _permit: permit })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Database")
    }
}

impl Database {
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
            steps,
        })
    }

    /// How many instructions SQLite has carried out since the database was opened, in thousands: what the statements cost,
    /// whatever else the machine does. One that reads a whole table shows here.
    #[must_use]
    pub fn thousand_steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether the database at `path` is of the version that these migrations lead to, or does not exist yet: [`Database::open`]
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
        let (reply, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let outcome = in_savepoint(connection, work);
            Box::new(move |commit| {
                let outcome = match commit {
                    Ok(()) => outcome,
                    Err(reason) => outcome.and(Err(E::from(DbError::Commit(reason)))),
                };
                // A cancelled caller does not wait for the result; the write is still valid.
                let _ = reply.send(outcome);
            })
        });
        self.writer.send(Order::Write(job)).await.map_err(|_| DbError::Closed)?;
        result.await.map_err(|_| DbError::Closed)?
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
        let lent = Arc::clone(&self.readers).lend().await?;
        // The thread gives the connection back, not the caller: callers are cancelled as they please.
        let read = tokio::task::spawn_blocking(move || {
            let Some(connection) = &lent.connection else { return Ok(Err(DbError::Closed.into())) };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(connection)))
        });
        let outcome = read.await.map_err(|_| DbError::Closed)?;
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Copies what `connection` sees into a new file.
fn copy(connection: &Connection, target: &PathBeneath) -> Result<(), String> {
    let database = Path::new(connection.path().ok_or("it is not in a file")?);
    let told = |error: FolderError| error.to_string();
    let (folder, name) =
        Folder::open(target.root()).and_then(|root| root.parent_of(target.relative())).map_err(told)?;
    let private = Folder::open(database.parent().unwrap_or(Path::new("."))).map_err(told)?;
    // SQLite takes an empty file for a new database.
    let (draft, file) = private.create_unique("backup-", ".new", 0o600).map_err(told)?;
    let outcome = draw(connection, &private.path().join(&draft))
        .and_then(|()| put_copy(&file, &folder, &name).map(drop).map_err(told));
    let _ = private.remove_file(&draft);
    outcome
}

/// Writes what `connection` sees to a file of our own.
fn draw(connection: &Connection, path: &Path) -> Result<(), String> {
    let copied = (|| {
        let mut target = Connection::open(path)?;
        {
            // A reader sees one moment, however long it takes.
            let moment = connection.unchecked_transaction()?;
            moment.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            rusqlite::backup::Backup::new(&moment, &mut target)?.run_to_completion(
                BACKUP_PAGES,
                Duration::ZERO,
                None,
            )?;
        }
        // One self-contained file: no log beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        let sound: String = target.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(sound)
    })();
    match copied {
        Ok(sound) if sound == "ok" => Ok(()),
        Ok(problem) => Err(format!("the copy is damaged: {problem}")),
        Err(error) => Err(error.to_string()),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(128);
    if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
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
fn count_steps(connection: &mut Connection, steps: Arc<AtomicU64>) -> rusqlite::Result<()> {
    let count = move || {
        steps.fetch_add(1, Ordering::Relaxed);
        false // Go on.
    };
    connection.progress_handler(STEP.into(), Some(count))
}

fn restrict_to_owner(path: &Path) {
    // Best effort: the folder is closed to others already; some file systems know no modes.
    let _ = masv_platform::close_to_others(path);
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), DbError> {
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

fn in_savepoint<T, E: From<DbError>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let statement = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    statement("SAVEPOINT job").map_err(DbError::from)?;
    // The writer serves everybody: one bad change must not end it.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(connection)));
    let outcome = outcome.unwrap_or_else(|_| Err(E::from(DbError::Panicked)));
    let end = match &outcome {
        Ok(_) => statement("RELEASE job"),
        Err(_) => statement("ROLLBACK TO job").and_then(|()| statement("RELEASE job")),
    };
    match end {
        Ok(()) => outcome,
        Err(error) => outcome.and(Err(E::from(DbError::from(error)))),
    }
}

/// Accepts jobs until every handle is gone: all waiting writes go into one transaction.
fn write_loop(connection: &mut Connection, mut orders: mpsc::Receiver<Order>) {
    while let Some(first) = orders.blocking_recv() {
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Write(job) => next = write_group(connection, job, &mut orders),
                // Whoever asked may have gone away.
                Order::Checkpoint(reply) => drop(reply.send(checkpoint(connection))),
            }
        }
    }
}

/// Writes a job and those that wait in one transaction; returns what came after them and is none.
fn write_group(connection: &mut Connection, first: Job, orders: &mut mpsc::Receiver<Order>) -> Option<Order> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut other = None;
    let committed = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        answers.push(first(&transaction));
        while answers.len() < LARGEST_GROUP {
            match orders.try_recv() {
                Ok(Order::Write(next)) => answers.push(next(&transaction)),
                Ok(next) => {
                    other = Some(next);
                    break;
                }
                Err(_) => break,
            }
        }
        transaction.commit()
    })()
    .map_err(|error: rusqlite::Error| error.to_string());
    for answer in answers {
        answer(committed.clone());
    }
    other
}

fn checkpoint(connection: &Connection) -> Result<(), DbError> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy { Err(DbError::Busy) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &[&str] = &["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"];

    fn count(connection: &Connection) -> Result<i64, DbError> {
        Ok(connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?)
    }

    async fn add(database: &Database, text: &'static str) -> Result<usize, DbError> {
        database.write(move |c| Ok(c.execute("INSERT INTO note (text) VALUES (?1)", [text])?)).await
    }

    /// A clean stop used to leave all of it in the log, and a copy of the file alone was an empty database.
    #[tokio::test]
    async fn after_a_checkpoint_the_file_alone_has_everything() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("t.db"), folder.path().join("copy.db"));
        assert!(Database::is_empty(&path).unwrap());
        let database = Database::open(&path, SCHEMA).unwrap();
        let (added, checkpoint) = tokio::join!(add(&database, "kept"), database.checkpoint());
        assert_eq!(added.unwrap(), 1);
        checkpoint.unwrap();
        std::fs::copy(&path, &copy).unwrap();
        assert!(!Database::is_empty(&copy).unwrap());
        let copied = Database::open(&copy, SCHEMA).unwrap();
        assert_eq!(copied.read(count).await.unwrap(), 1);
        assert_eq!(add(&database, "and on").await.unwrap(), 1);
        std::fs::write(&copy, "").unwrap();
        assert!(Database::is_empty(&copy).unwrap());
        std::fs::write(&copy, "no database at all, but long enough to be taken for one".repeat(20)).unwrap();
        assert!(Database::is_empty(&copy).is_err());
    }

    #[tokio::test]
    async fn the_work_that_statements_make_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        let count_to = |most: u32| {
            database.read(move |c| {
                let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i) FROM n";
                Ok::<u32, DbError>(c.query_row(sql, [most], |row| row.get(0))?)
            })
        };
        let before = database.thousand_steps();
        count_to(10).await.unwrap();
        let little = database.thousand_steps() - before;
        count_to(10_000).await.unwrap();
        let much = database.thousand_steps() - before - little;
        assert!(little <= 1 && much >= 50, "{little} and {much}");
    }

    #[tokio::test]
    async fn a_failed_write_leaves_nothing_and_disturbs_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        let failing = database.write(|c| {
            c.execute("INSERT INTO note (text) VALUES ('gone')", [])?;
            c.execute("INSERT INTO nowhere VALUES (1)", [])?;
            Ok::<_, DbError>(())
        });
        let (failed, kept) = tokio::join!(failing, add(&database, "kept"));
        assert!(matches!(failed, Err(DbError::Statement(_))));
        assert_eq!(kept.unwrap(), 1);
        assert_eq!(database.read(count).await.unwrap(), 1);
    }

    /// A reader that is cancelled (a client that hangs up, a rule that is stopped) does not take its connection with it.
    #[tokio::test]
    async fn readers_that_are_cancelled_leave_their_connections_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        for _ in 0..3 * READERS {
            let (go_on, wait) = std::sync::mpsc::channel::<()>();
            let slow = database.read(move |connection| {
                let _ = wait.recv();
                count(connection)
            });
            let cancelled = tokio::time::timeout(Duration::from_millis(2), slow).await;
            assert!(cancelled.is_err(), "it was not cancelled while it read");
            drop(go_on);
        }
        let readers = (0..4 * READERS).map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.read(count).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert_eq!(reader.await.unwrap().unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn many_writers_at_once_all_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        let writers: Vec<_> = (0..500)
            .map(|_| {
                let database = database.clone();
                tokio::spawn(async move { add(&database, "x").await })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        assert_eq!(database.read(count).await.unwrap(), 500);
    }

    #[tokio::test]
    async fn an_older_database_is_copied_then_upgraded_and_a_newer_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        add(&Database::open(&path, SCHEMA).unwrap(), "old").await.unwrap();
        let upgraded = [SCHEMA[0], "ALTER TABLE note ADD COLUMN colour TEXT"];
        let database = Database::open(&path, &upgraded).unwrap();
        assert_eq!(database.read(count).await.unwrap(), 1);
        assert!(folder.path().join("t.db.v1.bak").exists());
        drop(database);
        assert!(matches!(Database::open(&path, SCHEMA), Err(DbError::Newer { found: 2, known: 1, .. })));
    }

    #[tokio::test]
    async fn a_copy_is_of_one_moment_while_others_write_and_never_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        // Enough that a copy takes several steps.
        let fill = |c: &Connection| {
            let mut statement = c.prepare_cached("INSERT INTO note (text) VALUES (?1)")?;
            (0..4000).try_for_each(|_| statement.execute(["x".repeat(4000)]).map(drop))?;
            Ok::<_, DbError>(())
        };
        database.write(fill).await.unwrap();
        let path = folder.path().join("copy.db");
        let (copied, written) =
            tokio::join!(database.backup(PathBeneath::new(folder.path(), path.file_name().unwrap())), async {
                for _ in 0..20 {
                    database.write(fill).await?;
                }
                Ok::<_, DbError>(())
            });
        copied.unwrap();
        written.unwrap();
        let copy = Database::open(&path, SCHEMA).unwrap();
        let there = copy.read(count).await.unwrap();
        assert!(there > 0 && there % 4000 == 0, "{there}");
        assert!(matches!(
            database.backup(PathBeneath::new(folder.path(), path.file_name().unwrap())).await,
            Err(DbError::Backup { .. })
        ));
        assert_eq!(copy.read(count).await.unwrap(), there, "the file that was there is left alone");
    }

    #[tokio::test]
    async fn a_change_that_panics_ends_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        let panicking = database.write(|c| {
            c.execute("INSERT INTO note (text) VALUES ('gone')", [])?;
            if count(c)? > 0 {
                panic!("a bug");
            }
            Ok::<_, DbError>(())
        });
        let (panicked, kept) = tokio::join!(panicking, add(&database, "kept"));
        assert!(matches!(panicked, Err(DbError::Panicked)));
        assert_eq!((kept.unwrap(), database.read(count).await.unwrap()), (1, 1));
    }

    #[test]
    fn the_linked_sqlite_is_one_that_loses_nothing() {
        assert!(rusqlite::version_number() >= OLDEST_SQLITE);
    }
}
