//! Packages: creating, finalizing, listing, expiry.
//!
//! Documented by the service: creating a package for a team and for a portal, finalizing (`POST /v1/packages/{package}/finalize`,
//! an [`Empty`](crate::Empty) request, answered by a [`Package`]), removing (`DELETE /v1/packages/{package}`), lists, expiry. Its
//! documentation leaves open `custom_expiry_days`, `unlimited_storage`, `tag` and `teamspace_id` of a new package, and
//! `access_code` and `custom_metadata` of one for a portal; they are known from its clients.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::words::words;
use crate::{
    EmailAddress, Open, PackageId, PortalId, Secret, Tag, TagChoice, TagId, TeamId, TeamspaceId, Time, lenient,
};

words! {
    /// The state of a package.
    pub enum PackageState ["state of a package"] {
        /// It is being filled.
        New = "new",
        /// It is complete, and its recipients were notified.
        Finalized = "finalized",
        /// It expired, and its content was deleted.
        Expired = "expired",
        /// The service has it, but it cannot be downloaded. A hub has no such packages.
        Archived = "archived",
    }
}

/// `POST /v1/teams/{team}/packages`: creates a package of a team.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewPackage {
    /// Name; `Untitled` if it is missing or blank.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Message to the recipients.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The sender; the caller's own address by default.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Who receives a link by e-mail when it is finalized; empty for links only.
    #[serde(deserialize_with = "lenient::addresses")]
    pub recipients: Vec<EmailAddress>,
    /// Password for the recipients; none if it is empty.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How many times each link may be used; 0 is unlimited.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub access_limit: Option<u64>,
    /// Days from finalizing until it is deleted; 0 for the server's default, a negative number for never.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub custom_expiry_days: Option<i64>,
    /// Whether it is kept until it is deleted by hand.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub unlimited_storage: Option<bool>,
    /// Its tag.
    #[serde(deserialize_with = "lenient::tag", skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagChoice>,
    /// The same by its id alone, as a package says it.
    #[serde(deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub tag_id: Option<TagId>,
    /// The teamspace that it belongs to: the service's; a hub has none and refuses it.
    #[serde(deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub teamspace_id: Option<TeamspaceId>,
    /// Whether `access_limit` counts; it does where this is left out.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub access_limit_enabled: Option<bool>,
    /// Any metadata of the sender's: an object.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub custom_metadata: Value,
}

/// `POST /v1/portals/{portal}/packages`: creates a package for a portal. No sign-in; who receives it, and until when, is the
/// determined by the portal.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewPortalPackage {
    /// Name; `Untitled` if it is missing or blank.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Message to the recipients.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The sender's e-mail address. Required.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub sender: Option<EmailAddress>,
    /// The portal's access code, if it requires one.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub access_code: Option<Secret>,
    /// The access code as some clients send it.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The sender's values for [`PublicPortal::metadata_fields`](crate::PublicPortal), by name: an object.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub custom_metadata: Value,
}

impl NewPortalPackage {
    /// The access code that was given, under either name.
    #[must_use]
    pub fn code(&self) -> Option<&Secret> {
        self.access_code.as_ref().or(self.password.as_ref())
    }
}

/// `PUT /v1/packages/{package}/expiry`: changes when a package expires. Exactly one of the two; the response is a [`Package`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PackageExpiry {
    /// Whether it is kept until it is deleted by hand.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub unlimited_storage: Option<bool>,
    /// When it expires.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
}

/// `PUT /v1/packages/{package}`: changes a package; omitted properties stay as they are. The response is the [`Package`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangePackage {
    /// Name.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Message to the recipients.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who gets a link by mail when it is finalized; only until then.
    #[serde(deserialize_with = "lenient::some_addresses", skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<EmailAddress>>,
    /// What recipients must type; an empty one takes it away. Links with a password of their own keep that.
    #[serde(deserialize_with = "lenient::text_secret", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How often each link that is made from now on may be used; 0 is any number.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub access_limit: Option<u64>,
    /// Its tag.
    #[serde(deserialize_with = "lenient::tag", skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagChoice>,
    /// The same by its id alone, as a package says it.
    #[serde(deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub tag_id: Option<TagId>,
    /// Who sends it; not of what came through a portal.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Until when it is kept; [`Time::UNSET`] changes nothing.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether it is kept until somebody deletes it.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub unlimited_storage: Option<bool>,
    /// Any metadata of the sender's: an object.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub custom_metadata: Value,
}

/// What the sender of a package filled in: `GET /v1/packages/{package}/metadata`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackageMetadata {
    /// The same as [`Package::form_data_id`].
    #[serde(default, deserialize_with = "lenient::plain")]
    pub id: String,
    /// The package.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
    /// The portal whose form it is.
    #[serde(default, deserialize_with = "lenient::id")]
    pub portal_id: Option<PortalId>,
    /// One by one, in the order of the form.
    #[serde(default, deserialize_with = "lenient::field")]
    pub fields: Vec<FilledIn>,
    /// The same as [`Package::custom_metadata`].
    #[serde(default)]
    pub custom_metadata: Value,
}

/// A field of a form with what was filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilledIn {
    /// Its key in `custom_metadata`.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Its label.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub label: String,
    /// What was filled in.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub value: String,
}

/// `PUT /v1/packages/{package}/metadata`: replaces what the sender filled in. One of both.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetMetadata {
    /// An object, by the names of the fields.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub custom_metadata: Value,
    /// The same one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FilledIn>>,
}

/// A package, without any secret. A server sends all fields unless noted; a client can rely only on the id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// The server's id.
    pub id: PackageId,
    /// The team that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub team_id: Option<TeamId>,
    /// The portal that it was received through.
    #[serde(default, deserialize_with = "lenient::id")]
    pub portal_id: Option<PortalId>,
    /// Its state. [`Package::state`] reads either name.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<PackageState>>,
    /// The same, under its other name.
    #[serde(default, deserialize_with = "lenient::field")]
    pub status: Option<Open<PackageState>>,
    /// Name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Message to the recipients.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub description: String,
    /// E-mail address of the sender; empty if it is not known; not validated.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub sender: String,
    /// E-mail addresses, not validated again.
    #[serde(default, deserialize_with = "lenient::field")]
    pub recipients: Vec<String>,
    /// Total size of its finalized files, in bytes.
    #[serde(default, deserialize_with = "lenient::field")]
    pub size: u64,
    /// How many files it has.
    #[serde(default, deserialize_with = "lenient::field")]
    pub total_files: u64,
    /// The name of the portal that it came through, also when that was removed; for its team only. The hub's own.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub portal_name: Option<String>,
    /// How many times all of it was downloaded, to the last byte; for its team only. The hub's own.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// How many times each link may be used; 0 is unlimited.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_limit: u64,
    /// Whether its links require a password.
    #[serde(default, deserialize_with = "lenient::field")]
    pub password_protected: bool,
    /// Whether it is kept until it is deleted by hand.
    #[serde(default, deserialize_with = "lenient::field")]
    pub unlimited_storage: bool,
    /// Its tag.
    #[serde(default, deserialize_with = "lenient::id")]
    pub tag_id: Option<TagId>,
    /// Its teamspace.
    #[serde(default, deserialize_with = "lenient::id")]
    pub teamspace_id: Option<TeamspaceId>,
    /// The sender's metadata: an object, or `null`.
    #[serde(default)]
    pub custom_metadata: Value,
    /// By which `GET /v1/packages/{package}/metadata` is known to have something to tell; empty where its sender filled in nothing.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub form_data_id: String,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When it was last modified.
    #[serde(default, deserialize_with = "lenient::time")]
    pub updated_at: Time,
    /// When it was finalized.
    #[serde(default, deserialize_with = "lenient::time")]
    pub finalized_at: Time,
    /// When it will be deleted.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Its tag by name: only in the lists and the page of a team.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Its portal by name: only in the lists and the page of a team.
    #[serde(default, deserialize_with = "portal", skip_serializing_if = "Option::is_none")]
    pub portal: Option<PortalSummary>,
    /// The subdomain of its portal, as sent by some servers. Ours send [`Package::portal`].
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
}

impl Package {
    /// Its state, if the server reports it.
    #[must_use]
    pub fn state(&self) -> Option<&Open<PackageState>> {
        self.state.as_ref().or(self.status.as_ref())
    }

    /// Whether the server reports this state.
    #[must_use]
    pub fn is_in(&self, state: PackageState) -> bool {
        self.state().is_some_and(|known| *known == state)
    }

    /// The portal that it was received through, under either name.
    #[must_use]
    pub fn came_through(&self) -> Option<&PortalId> {
        self.portal_id.as_ref().or_else(|| self.portal.as_ref().map(|portal| &portal.id))
    }

    /// The subdomain of its portal, under either name.
    #[must_use]
    pub fn subdomain(&self) -> Option<&str> {
        let of_summary = self.portal.as_ref().and_then(|portal| portal.subdomain.as_deref());
        self.portal_subdomain.as_deref().or(of_summary).filter(|name| !name.is_empty())
    }

    /// When it was finalized, or the closest time that the server reports.
    #[must_use]
    pub fn arrived_at(&self) -> Option<Timestamp> {
        [self.finalized_at, self.updated_at, self.created_at].into_iter().find_map(Time::plausible)
    }
}

/// The portal of a package by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortalSummary {
    /// The server's id.
    pub id: PortalId,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Its subdomain.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
}

/// A portal by name, or only its id.
fn portal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PortalSummary>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let by_id = match &value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    };
    let by_id = by_id.map(|id| PortalSummary { id: id.into(), name: String::new(), subdomain: None });
    Ok(by_id.or_else(|| serde_json::from_value(value).ok()))
}

/// A package and its token: the responses to [`NewPackage`] and [`NewPortalPackage`], and that of
/// `GET /v1.1/teams/{team}/packages/{package}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PackageWithToken {
    /// The package.
    #[serde(flatten)]
    pub package: Package,
    /// Authorises every call about it, in [`PACKAGE_TOKEN_HEADER`](crate::PACKAGE_TOKEN_HEADER).
    pub access_token: Secret,
}
