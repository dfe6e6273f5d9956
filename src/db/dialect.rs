//! What differs between the engines in the text of a statement. Pure.
//!
//! Statements are written for both: SQLite's numbered parameters, and only what both understand. What has no common form is a method
//! of [`Work`] here, and nowhere else.

use std::fmt::Write;

use crate::work::{Engine, Work};
use crate::{DbError, values};

/// The statement with PostgreSQL's parameters: `?1` becomes `$1`; a bare `?` is the one after the largest so far, as in SQLite.
pub(crate) fn numbered(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 8);
    let mut largest = 0_u32;
    let mut quote = None;
    let mut rest = sql.chars().peekable();
    while let Some(letter) = rest.next() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '?') => {
                let mut number = 0_u32;
                while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(digit);
                    rest.next();
                }
                let number = if number == 0 { largest + 1 } else { number };
                largest = largest.max(number);
                let _ = write!(text, "${number}");
                continue;
            }
            _ => {}
        }
        text.push(letter);
    }
    text
}

impl Work<'_> {
    /// Whether this changes what several processes may change at the same time.
    fn is_shared_change(&self) -> bool {
        matches!(&self.0, Engine::Postgres(session) if session.changes())
    }

    /// At the end of a `SELECT`, in a transaction: nobody else changes the row that it finds until this one is over. SQLite has one
    /// writer anyway.
    #[must_use]
    pub fn for_change(&self) -> &'static str {
        if self.is_shared_change() { " FOR NO KEY UPDATE" } else { "" }
    }

    /// The same of one table of several in the statement.
    #[must_use]
    pub fn for_change_of(&self, table: &str) -> String {
        if self.is_shared_change() { format!(" FOR NO KEY UPDATE OF {table}") } else { String::new() }
    }

    /// At the end of a `SELECT` of rows to be claimed: those that somebody else is claiming are passed over.
    #[must_use]
    pub fn passing_over_locked(&self) -> &'static str {
        if self.is_shared_change() { " FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// One more condition for the row with a long text that an index has only by its digest: `column` is `value`.
    #[must_use]
    pub fn by_digest(&self, column: &str, value: &str) -> String {
        match &self.0 {
            Engine::Sqlite(_) => String::new(),
            Engine::Postgres(_) => format!(" AND md5({column}) = md5({value})"),
        }
    }

    /// Until this transaction is over, no other one is behind this call with the same name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn alone(&self, name: &str) -> Result<(), DbError> {
        if self.is_shared_change() {
            self.run("SELECT pg_advisory_xact_lock(hashtext(?1))", values![name])?;
        }
        Ok(())
    }

    /// Has the rows that a table numbers itself go on after the largest number that is there, which SQLite does anyway.
    ///
    /// # Errors
    /// Those of the database.
    pub fn number_on(&self, table: &str, column: &str) -> Result<(), DbError> {
        if self.is_shared_change() {
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 0) + 1, false) FROM {table}"
            );
            self.value::<i64>(&sql, values![])?;
        }
        Ok(())
    }

    /// The clock that all who share the database go by: milliseconds since 1970. `own` is that of this process.
    ///
    /// # Errors
    /// Those of the database.
    pub fn clock(&self, own: jiff::Timestamp) -> Result<jiff::Timestamp, DbError> {
        match &self.0 {
            Engine::Sqlite(_) => Ok(own),
            Engine::Postgres(_) => {
                self.value("SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)", values![])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A statement means the same to both engines: its parameters, and nothing that only looks like one.
    #[test]
    fn parameters_get_the_numbers_that_sqlite_gives_them() {
        assert_eq!(numbered("SELECT ?2, ?1 FROM t WHERE a = ?12"), "SELECT $2, $1 FROM t WHERE a = $12");
        assert_eq!(numbered("a = ? AND b IN (?, ?)"), "a = $1 AND b IN ($2, $3)");
        assert_eq!(numbered("a = ?3 AND b = ?"), "a = $3 AND b = $4");
        assert_eq!(numbered("a = 'who?' || \"?1\" || ?1"), "a = 'who?' || \"?1\" || $1");
        assert_eq!(numbered("a = 'it''s ?' AND b = ?"), "a = 'it''s ?' AND b = $1");
    }
}
