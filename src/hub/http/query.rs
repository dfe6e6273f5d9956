//! Queries of lists, as clients write them.
//!
//! A list declares its filters; any other, or a value that is not valid, is refused: whoever requests part of a list must not get
//! all of it.

use std::marker::PhantomData;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use masv_protocol::{Page, Time};
use serde::de::DeserializeOwned;

use super::fields::NO_TEAMSPACES;
use super::refusal::Refusal;
use crate::records::listing::{Listed, Sort, Span, Window};
use crate::records::{packages, portals};

/// The query of a request. What cannot be read is refused as everything else is.
pub(crate) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(asked)| Self(asked)).map_err(|_| Refusal::invalid("the query of the address is not valid"))
    }
}

/// The maximum number of records in a page.
const MOST: u64 = 100;
/// The default number of records per page.
const USUAL: u64 = 50;
/// What some clients add to bypass caches.
const AGAINST_CACHES: &str = "_";

/// A list that can be requested.
pub(crate) trait List {
    /// Its filters; those that end in `_` have a `start` and an `end`.
    const FILTERS: &'static [&'static str];
    /// Filters that the hub cannot do, and why.
    const REFUSED: &'static [(&'static str, &'static str)] = &[];
    /// The keys by which it can be sorted.
    const SORTS: &'static [(&'static str, &'static str)] = &[];
}

/// Packages of a team, in pages.
pub(crate) enum Packages {}

impl List for Packages {
    const FILTERS: &'static [&'static str] = &[
        "status",
        "state",
        "name",
        "sender",
        "tags",
        "portal",
        "subdomain",
        "extra_storage",
        "created_at_",
        "finalized_at_",
        "expiry_",
    ];
    const REFUSED: &'static [(&'static str, &'static str)] =
        &[("teamspaces", NO_TEAMSPACES), ("teamspace_id", NO_TEAMSPACES)];
    const SORTS: &'static [(&'static str, &'static str)] = packages::ORDERS;
}

/// Packages of a team as the service listed them before there were pages.
pub(crate) enum AllPackages {}

impl List for AllPackages {
    const FILTERS: &'static [&'static str] = &["expired", "finalized", "new", "archived"];
}

/// Portals of a team, in pages.
pub(crate) enum Portals {}

impl List for Portals {
    const FILTERS: &'static [&'static str] = &["name", "subdomain", "tags"];
    const REFUSED: &'static [(&'static str, &'static str)] = &[("teamspaces", NO_TEAMSPACES)];
    const SORTS: &'static [(&'static str, &'static str)] = portals::ORDERS;
}

/// A list without pages.
pub(crate) enum NoFilters {}

impl List for NoFilters {
    const FILTERS: &'static [&'static str] = &[];
}

/// Activities of a team.
pub(crate) enum Activities {}

impl List for Activities {
    const FILTERS: &'static [&'static str] =
        &["activity_types", "activity_states", "portals", "package_id", "created_at_"];
    const REFUSED: &'static [(&'static str, &'static str)] = &[("teamspaces", NO_TEAMSPACES)];
    const SORTS: &'static [(&'static str, &'static str)] = crate::records::activity::ORDERS;
}

/// The audit log of a team.
pub(crate) enum Audit {}

impl List for Audit {
    const FILTERS: &'static [&'static str] = &["action", "actor", "subject", "created_at_"];
    const SORTS: &'static [(&'static str, &'static str)] = crate::records::audit::ORDERS;
}

/// A query as it came: names may be repeated, values joined by commas.
pub(crate) struct ListQuery<L>(Vec<(String, String)>, PhantomData<L>);

impl<L: List, S: Sync> FromRequestParts<S> for ListQuery<L> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

fn invalid(key: &str, problem: impl std::fmt::Display) -> Refusal {
    Refusal::invalid(format!("{key}: {problem}"))
}

impl<L: List> ListQuery<L> {
    fn read(query: &str) -> Result<Self, Refusal> {
        let given: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, _) in given.iter().filter(|(_, value)| !value.trim().is_empty()) {
            Self::check(name.strip_suffix("[]").unwrap_or(name))?;
        }
        Ok(Self(given, PhantomData))
    }

    fn check(name: &str) -> Result<(), Refusal> {
        if let Some((_, why)) = L::REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(invalid(name, why));
        }
        let known = |filter: &str| match filter.strip_suffix('_') {
            Some(_) => name.strip_prefix(filter).is_some_and(|end| matches!(end, "start" | "end")),
            None => name == filter,
        };
        let of_every_list = matches!(name, "page" | "limit" | "sort" | AGAINST_CACHES);
        if of_every_list || L::FILTERS.iter().any(|filter| known(filter)) {
            return Ok(());
        }
        let filters = Self::filters().join(", ");
        let use_instead = if filters.is_empty() { "it has none".to_owned() } else { format!("use {filters}") };
        Err(Refusal::invalid(format!("{name} is not a filter of this list: {use_instead}")))
    }

    /// The names of all filters, as they are written.
    pub(crate) fn filters() -> Vec<String> {
        let written = |filter: &&str| match filter.strip_suffix('_') {
            Some(_) => vec![format!("{filter}start"), format!("{filter}end")],
            None => vec![(*filter).to_owned()],
        };
        L::FILTERS.iter().flat_map(written).collect()
    }

    /// The value of `key`, if present and not empty.
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

    /// The same, as words of a vocabulary.
    pub(crate) fn words<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Vec<T>, Refusal> {
        self.all(key).iter().map(|word| word.parse().map_err(|error| invalid(key, error))).collect()
    }

    /// Whether `key` is `true`, if it is given.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.one(key) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(invalid(key, format_args!("{other:?} is neither true nor false"))),
        }
    }

    /// The time between `{key}_start` and `{key}_end`.
    pub(crate) fn span(&self, key: &str) -> Result<Span, Refusal> {
        let end = |name: &str| {
            let key = format!("{key}_{name}");
            let given = self.one(&key).map(|value| value.parse::<Time>().map_err(|error| invalid(&key, error)));
            Ok::<_, Refusal>(given.transpose()?.and_then(Time::timestamp))
        };
        Ok(Span { from: end("start")?, until: end("end")? })
    }

    /// Which part of the list is requested. The first page is 1.
    pub(crate) fn window(&self) -> Result<Window, Refusal> {
        let number = |key| {
            let given = self.one(key).map(|value| value.parse::<u64>());
            given.transpose().map_err(|_| invalid(key, "must be a whole number"))
        };
        let limit = number("limit")?.unwrap_or(USUAL).clamp(1, MOST);
        let before = (number("page")?.unwrap_or(1).max(1) - 1).saturating_mul(limit);
        let sort = self.one("sort").map(|sort| match sort.strip_prefix('-') {
            Some(field) => Sort { field: field.to_owned(), descending: true },
            None => Sort { field: sort.to_owned(), descending: false },
        });
        if let Some(unknown) = sort.as_ref().filter(|sort| !L::SORTS.iter().any(|(field, _)| *field == sort.field)) {
            let fields: Vec<&str> = L::SORTS.iter().map(|(field, _)| *field).collect();
            return Err(invalid("sort", format_args!("{:?} is none of {}", unknown.field, fields.join(", "))));
        }
        // The database uses signed integers.
        Ok(Window { limit, offset: before.min(i64::MAX.unsigned_abs()), sort })
    }
}

/// A stretch of a list as the protocol shows it.
pub(crate) fn page<T>(listed: Listed<T>) -> Page<T> {
    Page::new(listed.total, listed.entries)
}

#[cfg(test)]
mod tests {
    use masv_protocol::PackageState;

    use super::*;

    fn read(query: &str) -> ListQuery<Packages> {
        ListQuery::read(query).map_err(|refusal| refusal.message).unwrap()
    }

    #[test]
    fn pages_begin_at_one_and_have_bounds() {
        let page = |query| {
            let Window { limit, offset, .. } = read(query).window().map_err(|refusal| refusal.message).unwrap();
            (limit, offset)
        };
        assert_eq!(page(""), (50, 0));
        assert_eq!(page("page=0&limit=10"), (10, 0));
        assert_eq!(page("page=3&limit=10"), (10, 20));
        assert_eq!(page("page=1&limit=0"), (1, 0));
        assert_eq!(page("limit=1000"), (100, 0));
        assert_eq!(page("page=18446744073709551615"), (50, i64::MAX.unsigned_abs()));
        assert!(read("page=x").window().is_err() && read("limit=-1").window().is_err());
    }

    #[test]
    fn query_lists_are_repeated_or_joined() {
        for text in ["status=new,finalized", "status=new&status=finalized", "status[]=new&status[]=finalized"] {
            assert_eq!(read(text).all("status"), ["new", "finalized"]);
        }
    }

    #[test]
    fn a_span_may_be_open_at_either_end() {
        let span =
            read("created_at_start=2026-01-02&created_at_end=").span("created_at").map_err(|r| r.message).unwrap();
        assert_eq!(span.from.map(|from| from.to_string()).as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(span.until, None);
        let sort = read("sort=-name").window().map_err(|refusal| refusal.message).unwrap().sort;
        assert_eq!(sort, Some(Sort { field: "name".into(), descending: true }));
    }

    /// An unknown or unreadable filter was ignored, and the whole list was returned.
    #[test]
    fn what_does_not_narrow_a_list_is_refused_by_its_name() {
        let refused = |query: &str| ListQuery::<Packages>::read(query).map(drop).unwrap_err().message;
        assert!(refused("nam=x").starts_with("nam is not a filter of this list: use status"));
        assert_eq!(refused("teamspaces=S"), "teamspaces: this hub has no teamspaces");
        assert!(refused("created_at_from=2026-01-02").starts_with("created_at_from is not"));
        for harmless in ["teamspaces=", "_=17", "tags[]=a"] {
            read(harmless);
        }
        assert!(read("status=done").words::<PackageState>("status").is_err());
        assert!(read("created_at_end=soon").span("created_at").is_err());
        assert!(read("extra_storage=perhaps").flag("extra_storage").is_err());
        let sort = read("sort=colour").window().map(drop).unwrap_err().message;
        assert!(sort.starts_with("sort: \"colour\" is none of created_at, "), "{sort}");
    }

    /// The names of the service's documentation and public clients.
    #[test]
    fn every_documented_filter_is_held_or_refused_by_name() {
        fn check<L: List>(names: &[&str]) {
            let filters = ListQuery::<L>::filters();
            for name in names {
                let refused = L::REFUSED.iter().any(|(refused, _)| refused == name);
                assert!(
                    refused || matches!(*name, "page" | "limit" | "sort") || filters.iter().any(|f| f == name),
                    "{name}"
                );
            }
        }
        let packages = [
            "page",
            "limit",
            "sort",
            "status",
            "name",
            "sender",
            "tags",
            "created_at_start",
            "created_at_end",
            "teamspaces",
            "expiry_start",
            "expiry_end",
            "extra_storage",
            "portal",
        ];
        check::<Packages>(&packages);
        check::<AllPackages>(&["expired", "finalized", "new", "archived"]);
        check::<Portals>(&["page", "limit", "sort", "name", "subdomain", "tags", "teamspaces"]);
        check::<Activities>(&[
            "page",
            "limit",
            "sort",
            "activity_states",
            "activity_types",
            "portals",
            "package_id",
            "created_at_start",
            "created_at_end",
            "teamspaces",
        ]);
    }
}
