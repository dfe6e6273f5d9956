//! Databases as the rooms use them.
//!
//! [`Sqlite`] is a file: one writer that groups commits, several readers. [`Database`] is that or PostgreSQL behind one face: closures
//! over [`Work`], which name no engine. The text of the statements is the same for both; what differs is in `dialect`.
//!
//! **In**: closures. **Out**: their results, once they are saved.
//!
//! **Guarantees.** What was acknowledged survives a power cut of the machine that has the database. What failed has left nothing
//! behind, unless the error is [`DbError::Unknown`]: then nobody knows, and both must be possible to whoever asked.
//!
//! **On a crash** the database is in the state of the last commit.
//!
//! Must never know: the meaning of the tables.
//!
//! Numbered parameters are written `?1`: SQLite takes `$1` for a name and counts names as they appear.

mod copy;
mod dialect;
mod error;
mod open;
mod postgres;
mod readers;
#[doc(hidden)]
pub mod scratch;
mod sqlite;
mod task;
mod value;
mod wal;
mod work;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use error::DbError;
pub use postgres::{Postgres, PostgresSchema};
pub use sqlite::Sqlite;
pub use value::{FromValue, ToValue, Value};
pub use wal::lost_commits;
pub use work::{Row, Work};

use futures_util::future::BoxFuture;
use rusqlite::Connection;
use task::{Made, Verdict};
use tokio::sync::Semaphore;
use work::Engine;

/// What runs in a transaction of either engine, perhaps more than once, and keeps its result itself.
type Task = Box<dyn Fn(&Work<'_>) -> Verdict + Send>;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To look at what is committed.
    Read,
    /// To change something.
    Change,
}

/// A handle to a database of either engine; clones share it.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file.
    Sqlite(Sqlite),
    /// A server.
    Postgres(Postgres),
    /// One of these that takes no changes.
    ReadOnly(Arc<Database>),
}

impl Database {
    /// Opens the database file at `path`; see [`Sqlite::open`].
    ///
    /// # Errors
    /// See [`Sqlite::open`].
    pub fn open(path: &Path, migrations: &[&str]) -> Result<Self, DbError> {
        Sqlite::open(path, migrations).map(Self::Sqlite)
    }

    /// Connects to the PostgreSQL database at `url`; see [`Postgres::connect`].
    ///
    /// # Errors
    /// See [`Postgres::connect`].
    pub async fn connect(url: &str, password: Option<&str>, schema: &PostgresSchema) -> Result<Self, DbError> {
        Postgres::connect(url, password, schema).await.map(Self::Postgres)
    }

    /// Whether changes can be saved now.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_writable(&self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(_) => self.query(|work| work.value::<i64>("SELECT 1", values![]).map(drop)).await,
            Self::Postgres(postgres) => postgres.check_writable().await,
            Self::ReadOnly(_) => Err(DbError::ReadOnly),
        }
    }

    /// The same database, which takes no changes through this handle and its clones.
    #[must_use]
    pub fn read_only(self) -> Self {
        match self {
            Self::ReadOnly(_) => self,
            other => Self::ReadOnly(Arc::new(other)),
        }
    }

    /// Whether it takes no changes.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::ReadOnly(_))
    }

    /// Runs `work` on what is committed, without changing anything.
    ///
    /// # Errors
    /// `work`'s own; [`DbError::Closed`], [`DbError::Unreachable`], [`DbError::Crowded`].
    pub async fn query<T, E>(&self, work: impl Fn(&Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let made = Made::new();
        let place = made.place();
        let ended = self.run(Purpose::Read, Box::new(move |on| place.keep(work(on)))).await;
        made.take(ended)
    }

    /// The same of a list, which may take a while: as many at a time as leave others room.
    ///
    /// # Errors
    /// See [`Database::query`].
    pub async fn list<T, E>(&self, work: impl Fn(&Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let turn = Arc::clone(self.lists()).acquire_owned().await.map_err(|_| DbError::Closed)?;
        // The thread that reads gives the turn back, not the caller: callers are cancelled as they please.
        let held = move |on: &Work<'_>| {
            let _held = &turn;
            work(on)
        };
        self.query(held).await
    }

    fn lists(&self) -> &Arc<Semaphore> {
        match self {
            Self::Sqlite(sqlite) => &sqlite.lists,
            Self::Postgres(postgres) => &postgres.lists,
            Self::ReadOnly(database) => database.lists(),
        }
    }

    /// Runs `work` inside a transaction and returns its result once that is saved. An `Err` undoes what `work` did. `work` may be
    /// run more than once; what a run that is undone did has not happened.
    ///
    /// # Errors
    /// `work`'s own; [`DbError::Commit`], [`DbError::Closed`], [`DbError::Unreachable`], [`DbError::Crowded`]: nothing has happened;
    /// [`DbError::Unknown`]: perhaps it has.
    pub async fn transact<T, E>(&self, work: impl Fn(&Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let made = Made::new();
        let place = made.place();
        let ended = self.run(Purpose::Change, Box::new(move |on| place.keep(work(on)))).await;
        made.take(ended)
    }

    /// Boxed, so that no caller has a copy of it.
    fn run(&self, purpose: Purpose, task: Task) -> BoxFuture<'_, Result<(), DbError>> {
        match self {
            Self::Sqlite(sqlite) => {
                let work = Box::new(move |connection: &Connection| task(&Work(Engine::Sqlite(connection))));
                match purpose {
                    Purpose::Read => sqlite.look(work),
                    Purpose::Change => sqlite.change(work),
                }
            }
            Self::Postgres(postgres) => Box::pin(postgres.run(purpose, task)),
            Self::ReadOnly(database) => match purpose {
                Purpose::Read => database.run(purpose, task),
                Purpose::Change => Box::pin(std::future::ready(Err(DbError::ReadOnly))),
            },
        }
    }

    /// Whether other processes may use it at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
            Self::ReadOnly(database) => database.is_shared(),
        }
    }
}

#[cfg(test)]
mod tests;
