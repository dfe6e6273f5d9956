//! Paged lists: conditions, order and window as parts of a statement.
//!
//! Only column names from the source become part of a statement; all input is passed as values.

use jiff::Timestamp;
use masv_db::{DbError, Row, Value, Work};

use super::Error;

/// Which stretch of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// How many entries.
    pub limit: u64,
    /// How many come before it.
    pub offset: u64,
    /// The field to sort by, as requested.
    pub sort: Option<Sort>,
}

/// The order of a list, by the name of a field of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort {
    pub field: String,
    pub descending: bool,
}

/// A stretch of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// A part of a list, and the total number of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed<T> {
    pub total: u64,
    pub entries: Vec<T>,
}

impl Window {
    /// The `ORDER BY`, among these fields and their columns; the first is the default, newest first.
    pub(crate) fn order(&self, columns: &[(&str, &str)]) -> String {
        let asked = self.sort.as_ref();
        let known = asked.and_then(|sort| {
            let (_, column) = columns.iter().find(|(field, _)| *field == sort.field)?;
            Some((*column, sort.descending))
        });
        let usual = columns.first().map_or("id", |(_, column)| *column);
        let (column, descending) = known.unwrap_or((usual, true));
        let way = if descending { "DESC" } else { "ASC" };
        format!("ORDER BY {column} {way}, id {way}")
    }
}

/// Conditions of a statement and their values, in order.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    text: String,
    values: Vec<Value<'static>>,
}

impl Conditions {
    /// Adds a condition with one `?` and its value.
    pub(crate) fn add(&mut self, condition: &str, value: Value<'static>) {
        self.add_all(condition, [value]);
    }

    /// Adds a condition with a `?` for each of these values.
    pub(crate) fn add_all(&mut self, condition: &str, values: impl IntoIterator<Item = Value<'static>>) {
        self.text.push_str(if self.text.is_empty() { "WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.values.extend(values);
    }

    /// Adds that `column` is this text.
    pub(crate) fn is(&mut self, column: &str, value: &str) {
        self.add(&format!("{column} = ?"), text(value));
    }

    /// Adds that `column` is one of `values`, if there are any.
    pub(crate) fn one_of<T: ToString>(&mut self, column: &str, values: &[T]) {
        if let Some((_, rest)) = values.split_first() {
            let marks = ", ?".repeat(rest.len());
            let values = values.iter().map(|value| text(&value.to_string()));
            self.add_all(&format!("{column} IN (?{marks})"), values);
        }
    }

    /// Adds that the text in `column` contains this one, if there is one.
    pub(crate) fn contains(&mut self, column: &str, part: Option<&String>) {
        if let Some(part) = part {
            self.add(&format!("instr(lower({column}), lower(?)) > 0"), text(part));
        }
    }

    /// Adds that the time in `column` is within a span.
    pub(crate) fn within(&mut self, column: &str, span: Span) {
        for (end, comparison) in [(span.from, ">="), (span.until, "<=")] {
            if let Some(end) = end {
                self.add(&format!("{column} {comparison} ?"), Value::Integer(end.as_millisecond()));
            }
        }
    }

    /// The entries of `table` that fulfil it all.
    pub(crate) fn list<T>(
        &self,
        work: &Work<'_>,
        (columns, table): (&str, &str),
        order: &str,
        window: &Window,
        read: impl FnMut(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Listed<T>, Error> {
        let (conditions, Window { limit, offset, .. }) = (&self.text, window);
        let total: u64 = work.value(&format!("SELECT count(*) FROM {table} {conditions}"), &self.values)?;
        // No more than there are: whoever goes through all in their order, to find few, is done when these are found.
        let limit = (*limit).min(total.saturating_sub(*offset));
        if limit == 0 {
            return Ok(Listed { total, entries: Vec::new() });
        }
        // Not a text of its own for each page: statements are kept prepared by their texts.
        let sql = format!("SELECT {columns} FROM {table} {conditions} {order} LIMIT ? OFFSET ?");
        let mut values = self.values.clone();
        values.extend([limit, *offset].map(|number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))));
        Ok(Listed { total, entries: work.all(&sql, &values, read)? })
    }
}

fn text(value: &str) -> Value<'static> {
    Value::Text(value.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_columns_become_part_of_a_statement() {
        let columns = [("created_at", "created_at"), ("name", "lower(name)")];
        let order = |field: &str, descending| {
            let sort = Some(Sort { field: field.to_owned(), descending });
            Window { limit: 1, offset: 0, sort }.order(&columns)
        };
        assert_eq!(Window { limit: 1, offset: 0, sort: None }.order(&columns), "ORDER BY created_at DESC, id DESC");
        assert_eq!(order("name", false), "ORDER BY lower(name) ASC, id ASC");
        assert_eq!(order("name", true), "ORDER BY lower(name) DESC, id DESC");
        assert_eq!(order("name;DROP", false), "ORDER BY created_at DESC, id DESC");
    }

    #[test]
    fn conditions_join_and_keep_their_values_apart() {
        let mut conditions = Conditions::default();
        conditions.one_of::<String>("state", &[]);
        assert_eq!(conditions.text, "");
        conditions.one_of("state", &["new", "x' OR 1"]);
        conditions.contains("name", Some(&"a%b".to_owned()));
        conditions.within("created_at", Span { from: Some(Timestamp::UNIX_EPOCH), until: None });
        assert_eq!(conditions.text, "WHERE state IN (?, ?) AND instr(lower(name), lower(?)) > 0 AND created_at >= ?");
        assert_eq!(conditions.values.len(), 4);
    }
}
