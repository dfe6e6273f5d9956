//! Queries of lists: which entries, in which order, which page. Documented by the service: multiple values are joined by commas
//! in one key; servers read repeated keys, too.

use schemars::JsonSchema;

use crate::{PackageState, TagId, Time};

/// Pairs of a query, ready to be escaped into an address; what is not asked for is left out.
struct Pairs(Vec<(&'static str, String)>);

impl Pairs {
    /// Begins with what every list has.
    fn page(page: Option<u64>, limit: Option<u64>) -> Self {
        Self(Vec::new()).and("page", page).and("limit", limit)
    }

    fn and(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    fn and_one_of(self, name: &'static str, values: &[impl ToString]) -> Self {
        let words: Vec<String> = values.iter().map(ToString::to_string).collect();
        self.and(name, (!words.is_empty()).then(|| words.join(",")))
    }
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
    /// Entries per page, at most 100.
    pub limit: Option<u64>,
    /// The field to sort by, with a `-` prefix to reverse; newest first by default.
    pub sort: Option<String>,
    /// Only those in one of these states; all if empty.
    pub status: Vec<PackageState>,
    /// Only those whose name contains this.
    pub name: Option<String>,
    /// Only those whose sender contains this.
    pub sender: Option<String>,
    /// Only those with one of these tags; all where it is empty.
    pub tags: Vec<TagId>,
    /// Only those that came through this portal, by id, name or name in addresses.
    pub portal: Option<String>,
    /// Only those that are kept longer than the server's packages usually are, or only the others.
    pub extra_storage: Option<bool>,
    /// Only those that were made at this time or later.
    #[schemars(rename = "created_at_start")]
    pub created_from: Option<Time>,
    /// Only those that were made at this time or earlier.
    #[schemars(rename = "created_at_end")]
    pub created_until: Option<Time>,
    /// Only those that were finalized at this time or later.
    #[schemars(rename = "finalized_at_start")]
    pub finalized_from: Option<Time>,
    /// Only those that were finalized at this time or earlier.
    #[schemars(rename = "finalized_at_end")]
    pub finalized_until: Option<Time>,
    /// Only those that are deleted at this time or later.
    #[schemars(rename = "expiry_start")]
    pub expires_from: Option<Time>,
    /// Only those that are deleted at this time or earlier.
    #[schemars(rename = "expiry_end")]
    pub expires_until: Option<Time>,
}

impl PackageQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        Pairs::page(self.page, self.limit)
            .and("sort", self.sort.as_ref())
            .and_one_of("status", &self.status)
            .and("name", self.name.as_ref())
            .and("sender", self.sender.as_ref())
            .and_one_of("tags", &self.tags)
            .and("portal", self.portal.as_ref())
            .and("extra_storage", self.extra_storage)
            .and("created_at_start", self.created_from)
            .and("created_at_end", self.created_until)
            .and("finalized_at_start", self.finalized_from)
            .and("finalized_at_end", self.finalized_until)
            .and("expiry_start", self.expires_from)
            .and("expiry_end", self.expires_until)
            .0
    }
}

/// Which packages `GET /v1/teams/{team}/packages`, which has no pages, is to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct AllPackagesQuery {
    /// Whether with those that are expired; they are in it where this is left out.
    pub expired: Option<bool>,
    /// Whether with those that are finalized; they are in it where this is left out.
    pub finalized: Option<bool>,
    /// Whether with those that are being filled.
    pub new: Option<bool>,
    /// Whether with those that are archived.
    pub archived: Option<bool>,
}

/// The page of a list that can be neither filtered nor sorted, such as `GET /v1.1/teams/{team}/activities`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct PageQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries per page, at most 100.
    pub limit: Option<u64>,
}

impl PageQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        Pairs::page(self.page, self.limit).0
    }
}

/// Which portals `GET /v1.1/teams/{team}/portals` is to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct PortalQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries per page, at most 100.
    pub limit: Option<u64>,
    /// The field to sort by, with a `-` prefix to reverse; newest first by default.
    pub sort: Option<String>,
    /// Only those whose name contains this.
    pub name: Option<String>,
    /// Only those whose name in addresses contains this.
    pub subdomain: Option<String>,
    /// Only those with one of these tags; all where it is empty.
    pub tags: Vec<TagId>,
}

impl PortalQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        Pairs::page(self.page, self.limit)
            .and("sort", self.sort.as_ref())
            .and("name", self.name.as_ref())
            .and("subdomain", self.subdomain.as_ref())
            .and_one_of("tags", &self.tags)
            .0
    }
}

/// Which changes `GET /v1/teams/{team}/audit` is to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(default)]
pub struct AuditQuery {
    /// Which page, from 1.
    pub page: Option<u64>,
    /// Entries per page, at most 100.
    pub limit: Option<u64>,
    /// Only entries whose actor contains this.
    pub actor: Option<String>,
    /// Only these actions; all if empty.
    pub action: Vec<String>,
    /// Only those at this time or later.
    #[schemars(rename = "created_at_start")]
    pub from: Option<Time>,
}

impl AuditQuery {
    /// As pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        Pairs::page(self.page, self.limit)
            .and("actor", self.actor.as_ref())
            .and_one_of("action", &self.action)
            .and("created_at_start", self.from)
            .0
    }
}
