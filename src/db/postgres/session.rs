//! One connection while a closure uses it: statements that are waited for, values in and out, and what kind of failure it was.

use std::cell::Cell;
use std::error::Error as _;

use bytes::BytesMut;
use deadpool_postgres::{ClientWrapper, Object};
use futures_util::{TryStreamExt, pin_mut};
use tokio::runtime::Handle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Statement};

use crate::DbError;
use crate::dialect::numbered;
use crate::value::Value;
use crate::work::Going;

/// How many statements are kept prepared on a connection: lists with many conditions have many texts.
const MOST_PREPARED: usize = 500;

/// Why a statement failed, by what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It met another transaction.
    Met,
    /// Somebody else was just given the same key: what is there now decides, if the closure asks again.
    Taken,
    /// The connection is lost, or the server goes away.
    Lost,
    /// It would fail again.
    Other,
}

impl Failure {
    fn of(error: &Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            return if error.is_closed() || is_io(error) { Self::Lost } else { Self::Other };
        };
        let state = refusal.code();
        if *state == SqlState::T_R_SERIALIZATION_FAILURE
            || *state == SqlState::T_R_DEADLOCK_DETECTED
            || *state == SqlState::LOCK_NOT_AVAILABLE
        {
            Self::Met
        } else if *state == SqlState::UNIQUE_VIOLATION || *state == SqlState::FOREIGN_KEY_VIOLATION {
            // What a foreign key leads to was just removed: the closure finds that it is gone.
            Self::Taken
        } else if ["08", "57", "25P03", "25006"].iter().any(|class| state.code().starts_with(class)) {
            Self::Lost
        } else {
            Self::Other
        }
    }

    /// Whether the transaction may go better in another run after this many.
    pub(super) fn is_worth_another_run(self, runs: u32) -> bool {
        match self {
            Self::Met | Self::Lost => true,
            Self::Taken => runs <= 2,
            Self::Other => false,
        }
    }
}

fn is_io(error: &Error) -> bool {
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

/// What an error of the server says to people.
pub(super) fn told(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(refusal), _) => refusal.message().to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}

/// A connection that one closure uses.
pub(crate) struct Session {
    client: Object,
    handle: Handle,
    changes: bool,
    failure: Cell<Option<Failure>>,
}

impl Session {
    pub(super) fn new(client: Object, handle: Handle, changes: bool) -> Self {
        Self { client, handle, changes, failure: Cell::new(None) }
    }

    /// Whether it is in a transaction that changes something.
    pub(crate) fn changes(&self) -> bool {
        self.changes
    }

    /// How the first statement that failed did.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.get()
    }

    fn noted(&self, error: Error) -> DbError {
        let failure = Failure::of(&error);
        self.failure.set(self.failure.get().or(Some(failure)));
        match failure {
            Failure::Lost => DbError::Unreachable(told(&error)),
            _ => DbError::Refused(error),
        }
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Error> {
        let client: &ClientWrapper = &self.client;
        if client.statement_cache.size() >= MOST_PREPARED {
            client.statement_cache.clear();
        }
        client.prepare_cached(&numbered(sql)).await
    }

    pub(crate) fn prepare(&self, sql: &str) -> Result<(), DbError> {
        self.handle.block_on(self.prepared(sql)).map(drop).map_err(|error| self.noted(error))
    }

    pub(crate) fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, DbError> {
        let running = async {
            let statement = self.prepared(sql).await?;
            self.client.execute_raw(&statement, values.iter().map(Bound)).await
        };
        let changed = self.handle.block_on(running).map_err(|error| self.noted(error))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(crate) fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: &mut dyn FnMut(&tokio_postgres::Row) -> Result<Going, DbError>,
    ) -> Result<(), DbError> {
        let asking = async {
            let statement = self.prepared(sql).await?;
            self.client.query_raw(&statement, values.iter().map(Bound)).await
        };
        let rows = self.handle.block_on(asking).map_err(|error| self.noted(error))?;
        pin_mut!(rows);
        // To the end, even if the first row is enough: the server may fail after it.
        let mut going = Going::On;
        while let Some(row) = self.handle.block_on(rows.try_next()).map_err(|error| self.noted(error))? {
            if going == Going::On {
                going = read(&row)?;
            }
        }
        Ok(())
    }

    /// Begins a transaction; `queued`: once no other one that was begun so is left.
    pub(super) fn begin(&self, queued: bool) -> Result<(), DbError> {
        let begin = if queued { "BEGIN; SELECT pg_advisory_xact_lock(7203416, 1)" } else { "BEGIN" };
        self.handle.block_on(self.client.batch_execute(begin)).map_err(|error| self.noted(error))
    }

    /// Asks the server to keep it. Whoever is not answered does not know.
    pub(super) fn commit(&self) -> Result<(), DbError> {
        self.handle.block_on(self.client.batch_execute("COMMIT")).map_err(|error| {
            let failure = Failure::of(&error);
            if failure == Failure::Lost || error.as_db_error().is_none() {
                // Not to be run again: it may be there.
                self.failure.set(Some(Failure::Other));
                return DbError::Unknown(told(&error));
            }
            self.noted(error)
        })
    }

    /// Undoes it; the connection is closed where that is not possible.
    pub(super) fn roll_back(self) {
        if self.handle.block_on(self.client.batch_execute("ROLLBACK")).is_err() {
            self.discard();
        }
    }

    /// Closes the connection, in whatever state it is.
    pub(super) fn discard(self) {
        drop(Object::take(self.client));
    }
}

/// Gives a value to PostgreSQL as the type that it has inferred for the parameter.
#[derive(Debug)]
struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self.0, wanted) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Integer(number), &Type::BOOL) => (*number != 0).to_sql(wanted, out),
            (Value::Integer(number), &Type::INT4) => i32::try_from(*number)?.to_sql(wanted, out),
            (Value::Integer(number), &Type::INT2) => i16::try_from(*number)?.to_sql(wanted, out),
            (Value::Integer(number), &Type::INT8) => number.to_sql(wanted, out),
            (Value::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::UNKNOWN | &Type::NAME) => {
                // PostgreSQL has no such letter in its texts.
                if text.contains('\0') {
                    text.replace('\0', "\u{fffd}").to_sql(wanted, out)
                } else {
                    text.to_sql(wanted, out)
                }
            }
            (Value::Blob(bytes), &Type::BYTEA) => bytes.as_ref().to_sql(wanted, out),
            (value, wanted) => Err(format!("{value:?} is given where {wanted} is wanted").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column as bytes, whatever its type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The value of a column of a row.
pub(crate) fn value(
    row: &tokio_postgres::Row,
    column: usize,
) -> Result<Value<'_>, Box<dyn std::error::Error + Sync + Send>> {
    let Raw(Some(raw)) = row.try_get(column)? else { return Ok(Value::Null) };
    let kind = row.columns().get(column).map_or(Type::UNKNOWN, |column| column.type_().clone());
    Ok(match kind {
        Type::INT8 => Value::Integer(i64::from_sql(&kind, raw)?),
        Type::INT4 => Value::Integer(i32::from_sql(&kind, raw)?.into()),
        Type::INT2 => Value::Integer(i16::from_sql(&kind, raw)?.into()),
        Type::BOOL => Value::Integer(bool::from_sql(&kind, raw)?.into()),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => Value::Text(std::str::from_utf8(raw)?.into()),
        Type::BYTEA => Value::Blob(raw.into()),
        other => return Err(format!("{other} is not a type of ours").into()),
    })
}
