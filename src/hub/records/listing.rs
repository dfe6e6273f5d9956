//! Lists in pages: what to show of them, in which order, as the query says.

use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use crate::http::wire::{parse_time, query_values};

/// The most records of a page.
const MOST: u64 = 100;
/// The records of a page whose size is not given.
const USUAL: u64 = 50;

/// A query as it came: names may be repeated.
pub(crate) struct Asked(Vec<(String, String)>);

impl Asked {
    /// Reads the query of an address.
    pub(crate) fn new(query: Option<&str>) -> Self {
        Self(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The value of `key`, if it is given and not empty.
    pub(crate) fn one(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// All values of `key`.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        query_values(&self.0, key)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.one(key)?.parse().ok()
    }

    /// How many records a page has, and how many come before it. The first page is 1.
    pub(crate) fn page(&self) -> (i64, i64) {
        let limit = self.number("limit").unwrap_or(USUAL).clamp(1, MOST);
        let before = (self.number("page").unwrap_or(1).max(1) - 1).saturating_mul(limit);
        (i64::try_from(limit).unwrap_or(1), i64::try_from(before).unwrap_or(i64::MAX))
    }

    /// The `ORDER BY` for `sort`, among these names and their columns; the first is the order of who does not say,
    /// newest first.
    pub(crate) fn order(&self, columns: &[(&str, &str)]) -> String {
        let asked = self.one("sort").unwrap_or_default();
        let (name, down) = match asked.strip_prefix('-') {
            Some(name) => (name, true),
            None => (asked, false),
        };
        let known = columns.iter().find(|(known, _)| *known == name);
        let (column, down) = match (known, columns.first()) {
            (Some((_, column)), _) => (*column, down),
            (None, Some((_, column))) => (*column, true),
            (None, None) => ("id", true),
        };
        let way = if down { "DESC" } else { "ASC" };
        format!("ORDER BY {column} {way}, id {way}")
    }
}

/// Conditions of a query and their values, in order.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    text: String,
    pub values: Vec<Sql>,
}

impl Conditions {
    /// Adds a condition with one `?` and its value.
    pub(crate) fn add(&mut self, condition: &str, value: impl Into<Sql>) {
        self.text.push_str(if self.text.is_empty() { "WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.values.push(value.into());
    }

    /// Adds that `column` is one of `values`, if there are any.
    pub(crate) fn one_of(&mut self, column: &str, values: Vec<String>) {
        if let Some((first, rest)) = values.split_first() {
            let marks = ", ?".repeat(rest.len());
            self.add(&format!("{column} IN (?{marks})"), first.clone());
            self.values.extend(rest.iter().cloned().map(Sql::from));
        }
    }

    /// Adds that the text in `column` contains what the query gives as `key`.
    pub(crate) fn contains(&mut self, column: &str, asked: &Asked, key: &str) {
        if let Some(part) = asked.one(key) {
            self.add(&format!("instr(lower({column}), lower(?)) > 0"), part.to_owned());
        }
    }

    /// Adds that the time in `column` lies between `{key}_start` and `{key}_end` of the query.
    pub(crate) fn between(&mut self, column: &str, asked: &Asked, key: &str) {
        for (end, comparison) in [("start", ">="), ("end", "<=")] {
            if let Some(time) = asked.one(&format!("{key}_{end}")).and_then(parse_time) {
                self.add(&format!("{column} {comparison} ?"), time);
            }
        }
    }

    /// The `WHERE` of it all, empty without conditions.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A page as the protocol shows it.
pub(crate) fn page(total: i64, records: Vec<Value>) -> Value {
    json!({ "metadata": { "total": total }, "records": records })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_at_one_and_have_bounds() {
        let page = |query| Asked::new(Some(query)).page();
        assert_eq!(page(""), (50, 0));
        assert_eq!(page("page=0&limit=10"), (10, 0));
        assert_eq!(page("page=3&limit=10"), (10, 20));
        assert_eq!(page("page=1&limit=0"), (1, 0));
        assert_eq!(page("limit=1000"), (100, 0));
        assert_eq!(page("page=18446744073709551615"), (50, i64::MAX));
        assert_eq!(page("page=x&limit=y"), (50, 0));
    }

    #[test]
    fn only_known_columns_become_part_of_a_statement() {
        let columns = [("created_at", "created_at"), ("name", "lower(name)")];
        let order = |query| Asked::new(Some(query)).order(&columns);
        assert_eq!(order(""), "ORDER BY created_at DESC, id DESC");
        assert_eq!(order("sort=name"), "ORDER BY lower(name) ASC, id ASC");
        assert_eq!(order("sort=-name"), "ORDER BY lower(name) DESC, id DESC");
        assert_eq!(order("sort=name;DROP"), "ORDER BY created_at DESC, id DESC");
    }

    #[test]
    fn conditions_join_and_keep_their_values_apart() {
        let mut conditions = Conditions::default();
        conditions.one_of("state", Vec::new());
        assert_eq!(conditions.text(), "");
        conditions.one_of("state", vec!["new".into(), "x' OR 1".into()]);
        conditions.contains("name", &Asked::new(Some("name=a%25b")), "name");
        conditions.between(
            "created_at",
            &Asked::new(Some("created_at_start=2026-01-02&created_at_end=x")),
            "created_at",
        );
        assert_eq!(conditions.text(), "WHERE state IN (?, ?) AND instr(lower(name), lower(?)) > 0 AND created_at >= ?");
        assert_eq!(conditions.values.len(), 4);
    }
}
