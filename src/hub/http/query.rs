//! Queries of lists, as clients write them.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use masv_protocol::{Page, Time};

use crate::records::listing::{Listed, Sort, Span, Window};

/// The most records of a page.
const MOST: u64 = 100;
/// The records of a page whose size is not given.
const USUAL: u64 = 50;

/// A query as it came: names may be repeated, values joined by commas.
pub(crate) struct ListQuery(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

impl ListQuery {
    fn read(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The value of `key`, if it is given and not empty.
    pub(crate) fn one(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The same, owned.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.one(key).map(str::to_owned)
    }

    /// All values of `key`, whether it is repeated or its values are joined by commas.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        let bracketed = format!("{key}[]");
        self.0
            .iter()
            .filter(|(name, _)| name == key || *name == bracketed)
            .flat_map(|(_, value)| value.split(','))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// The time between `{key}_start` and `{key}_end`; what is not a time is not given.
    pub(crate) fn span(&self, key: &str) -> Span {
        let end = |name: &str| self.one(&format!("{key}_{name}"))?.parse::<Time>().ok()?.timestamp();
        Span { from: end("start"), until: end("end") }
    }

    /// Which stretch of the list is asked for. The first page is 1.
    pub(crate) fn window(&self) -> Window {
        let number = |key| self.one(key).and_then(|value| value.parse::<u64>().ok());
        let limit = number("limit").unwrap_or(USUAL).clamp(1, MOST);
        let before = (number("page").unwrap_or(1).max(1) - 1).saturating_mul(limit);
        let sort = self.one("sort").map(|sort| match sort.strip_prefix('-') {
            Some(field) => Sort { field: field.to_owned(), descending: true },
            None => Sort { field: sort.to_owned(), descending: false },
        });
        // What the database counts with has a sign.
        Window { limit, offset: before.min(i64::MAX.unsigned_abs()), sort }
    }
}

/// A stretch of a list as the protocol shows it.
pub(crate) fn page<T>(listed: Listed<T>) -> Page<T> {
    Page::new(listed.total, listed.entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_at_one_and_have_bounds() {
        let page = |query| {
            let Window { limit, offset, .. } = ListQuery::read(query).window();
            (limit, offset)
        };
        assert_eq!(page(""), (50, 0));
        assert_eq!(page("page=0&limit=10"), (10, 0));
        assert_eq!(page("page=3&limit=10"), (10, 20));
        assert_eq!(page("page=1&limit=0"), (1, 0));
        assert_eq!(page("limit=1000"), (100, 0));
        assert_eq!(page("page=18446744073709551615"), (50, i64::MAX.unsigned_abs()));
        assert_eq!(page("page=x&limit=y"), (50, 0));
    }

    #[test]
    fn query_lists_are_repeated_or_joined() {
        for text in ["status=new,finalized", "status=new&status=finalized", "status[]=new&status[]=finalized"] {
            assert_eq!(ListQuery::read(text).all("status"), ["new", "finalized"]);
        }
    }

    #[test]
    fn a_span_may_be_open_at_either_end() {
        let span = ListQuery::read("created_at_start=2026-01-02&created_at_end=x").span("created_at");
        assert_eq!(span.from.map(|from| from.to_string()).as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(span.until, None);
        let sort = ListQuery::read("sort=-name").window().sort;
        assert_eq!(sort, Some(Sort { field: "name".into(), descending: true }));
    }
}
