//! The one writer: what waits for it is written in one transaction.

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::DbError;

/// How many writes may share one commit.
const LARGEST_GROUP: usize = 1024;

/// One write: runs inside the group's transaction, or is told why there is none; responds to its caller with the outcome of the commit.
pub(super) type Job = Box<dyn FnOnce(Result<&Connection, &str>) -> Answer + Send>;
/// Tells the caller of a [`Job`] its result, given how the commit ended.
pub(super) type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the writer is told.
pub(super) enum Order {
    /// Write.
    Write(Job),
    /// Move what is in the log into the database file, after all that was told before.
    Checkpoint(oneshot::Sender<Result<(), DbError>>),
}

pub(super) fn in_savepoint<T, E: From<DbError>>(
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
    let mut answers: Vec<Answer> = Vec::new();
    let mut other = None;
    let committed = (|| {
        let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                // Another program has locked it, or it cannot be written: the database is there all the same.
                answers.push(first(Err(&error.to_string())));
                return Err(error);
            }
        };
        answers.push(first(Ok(&transaction)));
        while answers.len() < LARGEST_GROUP {
            match orders.try_recv() {
                Ok(Order::Write(next)) => answers.push(next(Ok(&transaction))),
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
