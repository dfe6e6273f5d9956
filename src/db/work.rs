//! The face of the database for rooms that name no engine: statements with values, rows that are read into types.
//!
//! **In**: the text of a statement, its values in order. **Out**: what a reader made of each row.
//!
//! A closure that changes something is `Fn`: it must be able to run again, as an engine demands that undoes one of two
//! transactions which met. So it takes nothing out of what it captured, and does nothing but database work.
//!
//! Must never know: the meaning of the tables.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{Database, DbError};

/// A value as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// None.
    Null,
    /// A whole number; flags are 0 and 1, times are milliseconds since 1970.
    Integer(i64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
}

/// What can be given to a statement.
pub trait ToValue {
    /// As the database has it.
    fn to_value(&self) -> Value<'_>;
}

/// What can be read from a row.
pub trait FromValue: Sized {
    /// What the database has, or why it is not such a value.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_value(value: Value<'_>) -> Result<Self, String>;
}

/// The values of a statement, in order: `values![id, 7, name]`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::ToValue::to_value(&$value)),*] };
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl ToValue for Value<'_> {
    fn to_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Blob(bytes) => Value::Blob(Cow::Borrowed(bytes)),
        }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self))
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self))
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(Cow::Borrowed(self))
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(Cow::Borrowed(self))
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(*self)
    }
}

impl ToValue for u32 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(i64::from(*self))
    }
}

/// A number too large for the database becomes the largest possible.
impl ToValue for u64 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(i64::from(*self))
    }
}

impl ToValue for Timestamp {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(self.as_millisecond())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Ok(number),
            other => Err(format!("{other:?} is not a whole number")),
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        let number = i64::from_value(value)?;
        Self::try_from(number).map_err(|_| format!("{number} is negative"))
    }
}

impl FromValue for u32 {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        let number = i64::from_value(value)?;
        Self::try_from(number).map_err(|_| format!("{number} is not a number of 32 bits"))
    }
}

impl FromValue for bool {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for String {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(text.into_owned()),
            other => Err(format!("{other:?} is not a string")),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        match value {
            Value::Blob(bytes) => Ok(bytes.into_owned()),
            _ => Err("not bytes".to_owned()),
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        Vec::from_value(value)?.try_into().map_err(|_| format!("not {N} bytes"))
    }
}

/// A time out of range becomes the last, or the first, possible.
impl FromValue for Timestamp {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        let number = i64::from_value(value)?;
        let bound = if number > 0 { Self::MAX } else { Self::MIN };
        Ok(Self::from_millisecond(number).unwrap_or(bound))
    }
}

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
pub struct Row<'a>(&'a rusqlite::Row<'a>);

impl Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, DbError> {
        Ok(match self.0.get_ref(column)? {
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

/// What runs statements inside a transaction.
pub struct Work<'a>(&'a Connection);

impl Work<'_> {
    /// Runs a statement that changes rows; how many it changed.
    ///
    /// # Errors
    /// [`DbError::Statement`].
    pub fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, DbError> {
        Ok(self.0.prepare_cached(sql)?.execute(params_from_iter(values.iter().map(Bound)))?)
    }

    /// The first row of an answer, if there is one.
    ///
    /// # Errors
    /// [`DbError::Statement`], and those of `read`.
    pub fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnOnce(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row(params_from_iter(values.iter().map(Bound)), |row| Ok(read(&Row(row))));
        found.optional()?.transpose()
    }

    /// The only value of an answer that always has one: a count, a sum, whether there is something.
    ///
    /// # Errors
    /// [`DbError::Statement`], [`DbError::Value`].
    pub fn value<T: FromValue>(&self, sql: &str, values: &[Value<'_>]) -> Result<T, DbError> {
        let found = self.one(sql, values, |row| row.get(0))?;
        found.ok_or_else(|| DbError::Statement(rusqlite::Error::QueryReturnedNoRows))
    }

    /// All rows of an answer.
    ///
    /// # Errors
    /// [`DbError::Statement`], and those of `read`.
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
    /// [`DbError::Statement`], and those of `read`, which end it.
    pub fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values.iter().map(Bound)))?;
        while let Some(row) = rows.next()? {
            read(&Row(row))?;
        }
        Ok(())
    }
}

impl Database {
    /// Runs `work` on what is committed, without changing anything.
    ///
    /// # Errors
    /// `work`'s own, or [`DbError::Closed`].
    pub async fn query<T, E>(&self, work: impl Fn(&Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.read(move |connection| work(&Work(connection))).await
    }

    /// Runs `work` inside a transaction and returns its result once that is on disk, as [`Database::write`] does. `work` may
    /// be run more than once; what a run that is undone did has not happened.
    ///
    /// # Errors
    /// `work`'s own, or [`DbError::Commit`], [`DbError::Closed`].
    pub async fn transact<T, E>(&self, work: impl Fn(&Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.write(move |connection| work(&Work(connection))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
