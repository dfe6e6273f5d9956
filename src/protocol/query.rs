//! Queries of lists: which entries, in which order, which page. Documented by the service: values of a list are joined by commas
//! in one key; servers read repeated keys, too.

use schemars::JsonSchema;

use crate::{PackageState, Time};

/// Pairs of a query, ready to be escaped into an address.
type Pairs = Vec<(&'static str, String)>;

fn push(pairs: &mut Pairs, name: &'static str, value: Option<impl ToString>) {
    pairs.extend(value.map(|value| (name, value.to_string())));
}

fn join<T: ToString>(values: &[T]) -> Option<String> {
    let words: Vec<String> = values.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(","))
}

/// Which packages `GET /v1.1/teams/{team}/packages` (sent) and `GET /v1.1/teams/{team}/inbox` (received) are to list.
///
/// ```
/// use masv_protocol::{PackageQuery, PackageState};
///
/// let states = vec![PackageState::New, PackageState::Finalized];
/// let query = PackageQuery { status: states, limit: Some(10), ..PackageQuery::default() };
/// assert_eq!(query.pairs(), [("limit", "10".to_owned()), ("status", "new,finalized".to_owned())]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct PackageQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries of a page, at most 100.
    pub limit: Option<u64>,
    /// The field to sort by, with `-` in front for the other way round; newest first where it is left out.
    pub sort: Option<String>,
    /// Only those in one of these states; all where it is empty.
    pub status: Vec<PackageState>,
    /// Only those whose name contains this.
    pub name: Option<String>,
    /// Only those whose sender contains this.
    pub sender: Option<String>,
    /// Only those that were finalized at this time or later.
    #[schemars(rename = "finalized_at_start")]
    pub finalized_from: Option<Time>,
}

impl PackageQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Pairs::new();
        push(&mut pairs, "page", self.page);
        push(&mut pairs, "limit", self.limit);
        push(&mut pairs, "sort", self.sort.as_ref());
        push(&mut pairs, "status", join(&self.status));
        push(&mut pairs, "name", self.name.as_ref());
        push(&mut pairs, "sender", self.sender.as_ref());
        push(&mut pairs, "finalized_at_start", self.finalized_from);
        pairs
    }
}

/// Which page of a list that can be neither filtered nor sorted, such as `GET /v1.1/teams/{team}/activities`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct PageQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries of a page, at most 100.
    pub limit: Option<u64>,
}

impl PageQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Pairs::new();
        push(&mut pairs, "page", self.page);
        push(&mut pairs, "limit", self.limit);
        pairs
    }
}

/// Which portals `GET /v1.1/teams/{team}/portals` is to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct PortalQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries of a page, at most 100.
    pub limit: Option<u64>,
    /// The field to sort by, with `-` in front for the other way round; newest first where it is left out.
    pub sort: Option<String>,
    /// Only those whose name contains this.
    pub name: Option<String>,
}

impl PortalQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Pairs::new();
        push(&mut pairs, "page", self.page);
        push(&mut pairs, "limit", self.limit);
        push(&mut pairs, "sort", self.sort.as_ref());
        push(&mut pairs, "name", self.name.as_ref());
        pairs
    }
}

/// Which changes `GET /v1/teams/{team}/audit` is to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct AuditQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries of a page, at most 100.
    pub limit: Option<u64>,
    /// Only those of whose actor this is a part.
    pub actor: Option<String>,
    /// Only these actions; all where it is empty.
    pub action: Vec<String>,
    /// Only those at this time or later.
    #[schemars(rename = "created_at_start")]
    pub from: Option<Time>,
}

impl AuditQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Pairs::new();
        push(&mut pairs, "page", self.page);
        push(&mut pairs, "limit", self.limit);
        push(&mut pairs, "actor", self.actor.as_ref());
        push(&mut pairs, "action", join(&self.action));
        push(&mut pairs, "created_at_start", self.from);
        pairs
    }
}
