//! The face of the database for rooms that name no engine: statements with values, rows that are read into types.
//!
//! **In**: the text of a statement, its values in order. **Out**: what a reader made of each row.
//!
//! A closure that changes something is `Fn`: it must be able to run again, as PostgreSQL demands that undoes one of two
//! transactions which met. So it takes nothing out of what it captured, and does nothing but database work. In PostgreSQL a
//! statement that failed ends the whole transaction: a closure that goes on all the same is undone.
//!
//! Must never know: the meaning of the tables.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::DbError;
use crate::postgres::session::{self, Session};
use crate::value::{FromValue, Value};

/// Gives a value to SQLite.
struct Bound<'a>(&'a Value<'a>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A row of an answer.
pub struct Row<'a>(Answer<'a>);

enum Answer<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, DbError> {
        let row = match &self.0 {
            Answer::Sqlite(row) => row,
            Answer::Postgres(row) => return session::value(row, column).map_err(|error| unreadable(column, error)),
        };
        Ok(match row.get_ref(column)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => return Err(unreadable(column, format!("{number} is not a whole number"))),
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|error| unreadable(column, error))?;
                Value::Text(Cow::Borrowed(text))
            }
            ValueRef::Blob(bytes) => Value::Blob(Cow::Borrowed(bytes)),
        })
    }

    /// The value of a column, from 0.
    ///
    /// # Errors
    /// [`DbError::Value`] if it is of another type.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, DbError> {
        T::from_value(self.value(column)?).map_err(|problem| unreadable(column, problem))
    }

    /// The text of a column as a type that takes every text, such as an id.
    ///
    /// # Errors
    /// [`DbError::Value`] if it is not a string.
    pub fn text<T: From<String>>(&self, column: usize) -> Result<T, DbError> {
        self.get::<String>(column).map(T::from)
    }

    /// The same of a column that may be empty.
    ///
    /// # Errors
    /// [`DbError::Value`] if it is not a string.
    pub fn maybe_text<T: From<String>>(&self, column: usize) -> Result<Option<T>, DbError> {
        Ok(self.get::<Option<String>>(column)?.map(T::from))
    }

    /// The text of a column as a type that takes some texts only, such as a state.
    ///
    /// # Errors
    /// [`DbError::Value`] if it is another string.
    pub fn word<T: FromStr<Err: Display>>(&self, column: usize) -> Result<T, DbError> {
        self.get::<String>(column)?.parse().map_err(|error| unreadable(column, error))
    }
}

fn unreadable(column: usize, problem: impl Display) -> DbError {
    DbError::Value { column, problem: problem.to_string() }
}

/// Whether more rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// The next one.
    On,
    /// No more.
    Enough,
}

type Reader<'a> = dyn FnMut(&Row<'_>) -> Result<Going, DbError> + 'a;

/// What runs statements inside a transaction.
pub struct Work<'a>(pub(crate) Engine<'a>);

pub(crate) enum Engine<'a> {
    Sqlite(&'a Connection),
    Postgres(&'a Session),
}

impl Work<'_> {
    /// Runs a statement that changes rows; how many it changed.
    ///
    /// # Errors
    /// Those of the database.
    pub fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, DbError> {
        match self.0 {
            Engine::Sqlite(connection) => {
                Ok(connection.prepare_cached(sql)?.execute(params_from_iter(values.iter().map(Bound)))?)
            }
            Engine::Postgres(session) => session.run(sql, values),
        }
    }

    /// Has the database read a statement, without running it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn prepare(&self, sql: &str) -> Result<(), DbError> {
        match self.0 {
            Engine::Sqlite(connection) => Ok(connection.prepare_cached(sql).map(drop)?),
            Engine::Postgres(session) => session.prepare(sql),
        }
    }

    /// The first row of an answer, if there is one.
    ///
    /// # Errors
    /// Those of the database, and those of `read`.
    pub fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        let (mut read, mut found) = (Some(read), None);
        self.rows(sql, values, &mut |row| {
            if let Some(read) = read.take() {
                found = Some(read(row)?);
            }
            Ok(Going::Enough)
        })?;
        Ok(found)
    }

    /// The only value of an answer that always has one: a count, a sum, whether there is something.
    ///
    /// # Errors
    /// Those of the database; [`DbError::NoRow`], [`DbError::Value`].
    pub fn value<T: FromValue>(&self, sql: &str, values: &[Value<'_>]) -> Result<T, DbError> {
        self.one(sql, values, |row| row.get(0))?.ok_or(DbError::NoRow)
    }

    /// All rows of an answer.
    ///
    /// # Errors
    /// Those of the database, and those of `read`.
    pub fn all<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Goes through an answer row by row, without keeping it.
    ///
    /// # Errors
    /// Those of the database, and those of `read`, which end it.
    pub fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        self.rows(sql, values, &mut |row| read(row).map(|()| Going::On))
    }

    /// The same for every type of what is read, so that it is compiled once.
    fn rows(&self, sql: &str, values: &[Value<'_>], read: &mut Reader<'_>) -> Result<(), DbError> {
        match self.0 {
            Engine::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(params_from_iter(values.iter().map(Bound)))?;
                while let Some(row) = rows.next()? {
                    if read(&Row(Answer::Sqlite(row)))? == Going::Enough {
                        break;
                    }
                }
                Ok(())
            }
            Engine::Postgres(session) => session.each(sql, values, &mut |row| read(&Row(Answer::Postgres(row)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{Database, values};

    const SCHEMA: &[&str] = &["CREATE TABLE thing (id TEXT PRIMARY KEY, size INTEGER, at INTEGER, bytes BLOB)"];

    #[derive(Debug, PartialEq)]
    struct Id(String);

    impl From<String> for Id {
        fn from(text: String) -> Self {
            Self(text)
        }
    }

    #[tokio::test]
    async fn values_come_back_as_the_types_that_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), SCHEMA).unwrap();
        let at = Timestamp::from_millisecond(1_700_000_000_120).unwrap();
        let put = database.transact(move |work| {
            let add = "INSERT INTO thing VALUES (?1, ?2, ?3, ?4)";
            assert_eq!(work.run(add, values!["a", 7_u64, at, [1_u8, 2]])?, 1);
            work.run(add, values!["b", None::<u64>, u64::MAX, None::<Vec<u8>>])
        });
        put.await.unwrap();
        let read = database.query(|work| {
            let sizes: Vec<Option<u64>> =
                work.all("SELECT size FROM thing ORDER BY id", values![], |row| row.get(0))?;
            assert_eq!(sizes, [Some(7), None]);
            assert_eq!(work.value::<i64>("SELECT count(*) FROM thing", values![])?, 2);
            assert!(work.one("SELECT id FROM thing WHERE id = ?1", values!["c"], |row| row.text::<Id>(0))?.is_none());
            assert!(matches!(work.value::<u64>("SELECT id FROM thing", values![]), Err(DbError::Value { .. })));
            let last: Timestamp = work.value("SELECT at FROM thing WHERE id = 'b'", values![])?;
            assert_eq!(last, Timestamp::MAX);
            work.one("SELECT id, at, bytes FROM thing WHERE id = ?1", values!["a"], |row| {
                Ok((row.text::<Id>(0)?, row.get::<Timestamp>(1)?, row.get::<[u8; 2]>(2)?))
            })
        });
        let found = read.await.unwrap();
        assert_eq!(found, Some((Id("a".into()), at, [1, 2])));
    }
}
