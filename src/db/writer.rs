//! The one writer: what waits for it is written in one transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::DbError;
use crate::task::Verdict;

/// How many writes may share one commit.
const LARGEST_GROUP: usize = 1024;

/// What changes something, inside the group's transaction.
pub(super) type Change = Box<dyn FnOnce(&Connection) -> Verdict + Send>;

/// One write, and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<(), DbError>>,
}

/// A write that was done in a transaction that is not committed yet.
struct Done {
    ended: Result<Verdict, DbError>,
    reply: oneshot::Sender<Result<(), DbError>>,
}

impl Job {
    fn run(self, connection: &Connection) -> Done {
        Done { ended: in_savepoint(connection, self.change), reply: self.reply }
    }
}

impl Done {
    /// Tells the caller, given how the commit ended. What a change that failed says stands whether or not the others are kept.
    fn tell(self, committed: &Result<(), String>) {
        let told = match (self.ended, committed) {
            (Ok(Verdict::Keep), Err(reason)) => Err(DbError::Commit(reason.clone())),
            (ended, _) => ended.map(drop),
        };
        // A cancelled caller does not wait for the result; the write is still valid.
        let _ = self.reply.send(told);
    }
}

/// What the writer is told.
pub(super) enum Order {
    /// Write.
    Write(Job),
    /// Move what is in the log into the database file, after all that was told before.
    Checkpoint(oneshot::Sender<Result<(), DbError>>),
}

/// Runs a change so that it leaves nothing behind if it fails. `Ok`: its own result stands.
fn in_savepoint(connection: &Connection, change: Change) -> Result<Verdict, DbError> {
    let statement = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    statement("SAVEPOINT job")?;
    // The writer serves everybody: one bad change must not end it.
    let ended = catch_unwind(AssertUnwindSafe(|| change(connection))).map_err(|_| DbError::Panicked);
    let end = match ended {
        Ok(Verdict::Keep) => statement("RELEASE job"),
        _ => statement("ROLLBACK TO job").and_then(|()| statement("RELEASE job")),
    };
    match (ended, end) {
        (Ok(Verdict::Keep), Err(error)) => Err(error.into()),
        (ended, _) => ended,
    }
}

/// Accepts jobs until every handle is gone: all waiting writes go into one transaction.
pub(super) fn write_loop(connection: &mut Connection, mut orders: mpsc::Receiver<Order>) {
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
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            // Another program has locked it, or it cannot be written: the database is there all the same.
            let _ = first.reply.send(Err(DbError::Commit(error.to_string())));
            return None;
        }
    };
    let mut group = vec![first.run(&transaction)];
    let mut other = None;
    while group.len() < LARGEST_GROUP {
        match orders.try_recv() {
            Ok(Order::Write(next)) => group.push(next.run(&transaction)),
            Ok(next) => {
                other = Some(next);
                break;
            }
            Err(_) => break,
        }
    }
    let committed = transaction.commit().map_err(|error| error.to_string());
    for done in group {
        done.tell(&committed);
    }
    other
}

fn checkpoint(connection: &Connection) -> Result<(), DbError> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy { Err(DbError::Busy) } else { Ok(()) }
}
