//! A PostgreSQL database: connections to read and to write, transactions that run again when they met another, migrations.
//!
//! **In**: closures over [`Work`], which stay synchronous: each runs on a thread that may block, and waits there for each statement.
//! **Out**: their results, once they are committed.
//!
//! **Guarantees.** A transaction is done, undone, or [`DbError::Unknown`]: the server went away while it was asked to commit. One that
//! the server undid because it met another one (serialization, deadlock, a key that somebody else was just given) runs again, up to
//! [`RUNS`] times; so does one whose connection was lost before it was asked to commit. Nobody waits for a connection longer than
//! [`LONGEST_WAIT`]. The isolation is READ COMMITTED: whoever decides by what a row says locks it first.
//!
//! **On a crash** of this process the server undoes what was not committed; one that hangs in the middle of a transaction loses it after
//! [`IDLE_IN_TRANSACTION`], so that it does not keep its locks.
//!
//! Must never know: the meaning of the tables.

pub(crate) mod session;
mod tls;
mod url;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::sqlite::ended;
use crate::task::Verdict;
use crate::work::{Engine, Work};
use crate::{DbError, Purpose, Task};
use session::{Failure, Session};

/// Connections that write, and as many that read: PostgreSQL groups the commits of those that write at the same time.
const CONNECTIONS: usize = 16;
/// How many connections read lists at most.
const LISTS: usize = CONNECTIONS / 2;
/// How long somebody waits for a connection.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a new connection may take.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);
/// How often a transaction runs at most.
const RUNS: u32 = 8;
/// How many of these are at the same time as others. What was undone as often as that queues up with its like, so that among many that lock
/// the same rows in different orders each run but the first ones gets through; a deadlock takes the server a second to notice.
const RUNS_BESIDE_OTHERS: u32 = 2;
/// What the server allows a session: to wait for a lock, and to do nothing in a transaction.
const LOCK_TIMEOUT: &str = "10s";
const IDLE_IN_TRANSACTION: &str = "30s";

/// The tables of a database, version by version.
#[derive(Debug, Clone, Copy)]
pub struct PostgresSchema {
    /// What takes a database from version `n` to `n + 1`; the list only ever grows.
    pub migrations: &'static [&'static str],
    /// The oldest version that a program must know to work with the tables of the newest.
    pub readable_from: u64,
}

/// A handle to one database; clones share its connections.
#[derive(Clone)]
pub struct Postgres {
    writers: Pool,
    readers: Pool,
    /// Whoever reads a list.
    pub(super) lists: Arc<Semaphore>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Postgres")
    }
}

/// What became of one run of a transaction.
enum Ran {
    /// It is over. `Ok`: what the closure made stands.
    Over(Result<(), DbError>),
    /// The server undid it, and it may go better next time; else this is how it ended.
    Again(Result<(), DbError>),
}

/// One run of a closure: how often it ran, this time included, decides whether another is worth it.
type Turn = fn(Session, &Task, u32) -> Ran;

impl Postgres {
    /// Connects to the database at `url` (`postgres://user@host/name`), with this password if the URL has none, and makes or upgrades
    /// its tables.
    ///
    /// # Errors
    /// [`DbError::Url`], [`DbError::Unreachable`], [`DbError::TooNew`], and what a migration fails with: nothing is changed then.
    pub async fn connect(url: &str, password: Option<&str>, schema: &PostgresSchema) -> Result<Self, DbError> {
        let (mut config, tls) = url::read(url)?;
        if let Some(password) = password.filter(|_| config.get_password().is_none()) {
            config.password(password);
        }
        let pool = |session: String| {
            let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_config(config.clone(), tls.clone(), how);
            Pool::builder(manager)
                .max_size(CONNECTIONS)
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(LONGEST_WAIT))
                .create_timeout(Some(LONGEST_CONNECT))
                .post_create(Hook::async_fn(move |client, _| {
                    let session = session.clone();
                    Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
                }))
                .build()
                .map_err(|error| DbError::Url(error.to_string()))
        };
        let writers = pool(format!(
            "SET lock_timeout = '{LOCK_TIMEOUT}'; SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}';
             SET synchronous_commit = on"
        ))?;
        let readers = pool("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY".to_owned())?;
        let database = Self { writers, readers, lists: Arc::new(Semaphore::new(LISTS)) };
        database.migrate(schema).await?;
        Ok(database)
    }

    /// Runs `task`, again where that is worth it. `Ok`: the result that it kept in its last run stands.
    pub(crate) async fn run(&self, purpose: Purpose, mut task: Task) -> Result<(), DbError> {
        let (pool, turn): (_, Turn) = match purpose {
            Purpose::Read => (&self.readers, on_what_is_committed),
            Purpose::Change => (&self.writers, in_transaction),
        };
        let mut runs = 0;
        loop {
            runs += 1;
            let client = lend(pool).await?;
            let handle = Handle::current();
            // The thread ends the transaction, not the caller: callers are cancelled as they please.
            let running = tokio::task::spawn_blocking(move || {
                let ran = turn(Session::new(client, handle, purpose == Purpose::Change), &task, runs);
                (task, ran)
            });
            let (again, ran) = ended(running.await)?;
            match ran {
                Ran::Over(outcome) => return outcome,
                Ran::Again(outcome) if runs >= RUNS => return outcome,
                Ran::Again(_) => task = again,
            }
            pause(runs).await;
        }
    }

    /// Whether changes are saved: the server is there, and neither a standby nor read-only.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_writable(&self) -> Result<(), DbError> {
        let client = lend(&self.writers).await?;
        let row = client
            .query_one("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'", &[])
            .await
            .map_err(|error| DbError::Unreachable(session::told(&error)))?;
        match row.try_get::<_, bool>(0) {
            Ok(false) => Ok(()),
            _ => Err(DbError::Unreachable("it is read-only".to_owned())),
        }
    }

    async fn migrate(&self, schema: &PostgresSchema) -> Result<(), DbError> {
        let mut client = lend(&self.writers).await?;
        let known = schema.migrations.len() as u64;
        let transaction = client.transaction().await.map_err(DbError::Refused)?;
        // One of several that start at the same time; the others find it done.
        transaction
            .batch_execute(
                "SELECT pg_advisory_xact_lock(7203416); SET LOCAL lock_timeout = '5s';
                 CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL, readable_from BIGINT NOT NULL)",
            )
            .await
            .map_err(DbError::Refused)?;
        let found = transaction
            .query_opt("SELECT version, readable_from FROM schema_version", &[])
            .await
            .map_err(DbError::Refused)?;
        let found = found.map(|row| (row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1).unsigned_abs()));
        if let Some((version, readable_from)) = found.filter(|(version, _)| *version > known) {
            if readable_from > known {
                return Err(DbError::TooNew { found: version, readable_from, known });
            }
            return Ok(());
        }
        let version = found.map_or(0, |(version, _)| version);
        for migration in schema.migrations.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
            transaction.batch_execute(migration).await.map_err(DbError::Refused)?;
        }
        if version < known {
            let (known, from) = (known.cast_signed(), schema.readable_from.cast_signed());
            let set = "DELETE FROM schema_version";
            transaction.batch_execute(set).await.map_err(DbError::Refused)?;
            let put = "INSERT INTO schema_version (version, readable_from) VALUES ($1, $2)";
            transaction.execute(put, &[&known, &from]).await.map_err(DbError::Refused)?;
        }
        transaction.commit().await.map_err(DbError::Refused)
    }
}

async fn lend(pool: &Pool) -> Result<Object, DbError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => DbError::Crowded,
        PoolError::Timeout(_) => DbError::Unreachable("it does not answer".to_owned()),
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            DbError::Unreachable(session::told(&error))
        }
        other => DbError::Unreachable(other.to_string()),
    })
}

/// A little longer after each run, and never as long as another's.
async fn pause(runs: u32) {
    let most = 4_u64 << runs.min(8);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=most))).await;
}

fn on_what_is_committed(session: Session, task: &Task, _runs: u32) -> Ran {
    let verdict = task(&Work(Engine::Postgres(&session)));
    match (verdict, session.failure()) {
        (Verdict::Undo, Some(Failure::Lost)) => Ran::Again(Ok(())),
        _ => Ran::Over(Ok(())),
    }
}

fn in_transaction(session: Session, task: &Task, runs: u32) -> Ran {
    if let Err(error) = session.begin(runs > RUNS_BESIDE_OTHERS) {
        // It has not begun: a connection that was lost while nobody used it.
        session.discard();
        return Ran::Again(Err(error));
    }
    let ended = catch_unwind(AssertUnwindSafe(|| task(&Work(Engine::Postgres(&session)))));
    let failure = session.failure();
    if matches!(ended, Ok(Verdict::Keep)) && failure.is_none() {
        let committed = session.commit();
        let is_worth_it = session.failure().is_some_and(|failure| failure.is_worth_another_run(runs));
        return match committed {
            Ok(()) => Ran::Over(Ok(())),
            Err(error) => {
                session.discard();
                if is_worth_it { Ran::Again(Err(error)) } else { Ran::Over(Err(error)) }
            }
        };
    }
    session.roll_back();
    let outcome = match ended {
        Ok(Verdict::Undo) => Ok(()),
        // A closure that goes on after a statement that failed would be told of success, and nothing was saved.
        Ok(Verdict::Keep) => Err(DbError::Commit("a statement of it failed".to_owned())),
        Err(_) => Err(DbError::Panicked),
    };
    match failure {
        Some(failure) if failure.is_worth_another_run(runs) => Ran::Again(outcome),
        _ => Ran::Over(outcome),
    }
}

#[cfg(test)]
mod tests;
