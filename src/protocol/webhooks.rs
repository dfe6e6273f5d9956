//! Webhooks of a team: what a server calls when something happens to a package. Documented by the service, except for removing and
//! changing one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::words::words;
use crate::{Download, LinkId, Open, Package, PortalId, Secret, TeamId, Time, WebhookId, lenient};

words! {
    /// The events of webhooks.
    pub enum WebhookEvent ["event"] {
        /// A package was created.
        PackageCreated = "package.created",
        /// A package was finalized.
        PackageFinalized = "package.finalized",
        /// A link of a package was opened.
        PackageOpened = "package.opened",
        /// All files of a package were downloaded, to the last byte.
        PackageDownloaded = "package.downloaded",
    }
}

words! {
    /// The HTTP method of a webhook.
    #[derive(Default)]
    pub enum WebhookMethod ["method"] {
        /// With a POST.
        #[default]
        Post = "POST" | "post" | "Post",
        /// With a PUT.
        Put = "PUT" | "put" | "Put",
        /// With a PATCH.
        Patch = "PATCH" | "patch" | "Patch",
    }
}

/// `POST /v1/teams/{team}/custom_webhooks` makes a webhook, `PUT /v1/custom_webhooks/{webhook}` changes one; omitted properties stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookSettings {
    /// Display name.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The URL to call, `http` or `https`.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The HTTP method.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub method: Option<WebhookMethod>,
    /// The events it is called for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<WebhookEvent>>,
    /// Headers sent with a call; their values are often secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// Fields that every call has besides those of [`WebhookCall`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_extras: Option<Map<String, Value>>,
    /// Whether it is active.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// A webhook: in the responses to [`WebhookSettings`] and in the list of `GET /v1/teams/{team}/custom_webhooks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    /// The server's id.
    pub id: WebhookId,
    /// The team that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub team_id: Option<TeamId>,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The URL to call.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub url: String,
    /// The HTTP method.
    #[serde(default, deserialize_with = "lenient::field")]
    pub method: Option<Open<WebhookMethod>>,
    /// The events it is called for.
    #[serde(default, deserialize_with = "lenient::field")]
    pub events: Vec<Open<WebhookEvent>>,
    /// The names of the headers that are sent; their values are not returned.
    #[serde(default, deserialize_with = "lenient::field")]
    pub header_names: Vec<String>,
    /// Fields that every call has besides those of [`WebhookCall`].
    #[serde(default, deserialize_with = "lenient::field")]
    pub body_extras: Map<String, Value>,
    /// The portals that it is attached to, and called for; absent: it is called for every package of the team.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub portals: Option<Vec<PortalId>>,
    /// Whether it is active.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
}

/// By whom a link was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedBy {
    /// The link.
    pub link_id: LinkId,
    /// Whom it was sent to; empty for no one.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// The address that it was opened from; empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub address: String,
    /// When.
    #[serde(default, deserialize_with = "lenient::time")]
    pub opened_at: Time,
}

/// The body of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookCall {
    /// What happened.
    pub event_type: Open<WebhookEvent>,
    /// The package concerned.
    pub object: Package,
    /// Of `package.downloaded`: by whom, when, and from where.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub download: Option<Download>,
    /// Of `package.opened`: the link.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub opened: Option<OpenedBy>,
    /// The extra fields of the webhook.
    #[serde(flatten)]
    extras: Map<String, Value>,
}

impl WebhookCall {
    /// A call with the fields of its webhook; those of the protocol take precedence over fields of the same name.
    #[must_use]
    pub fn new(event: WebhookEvent, object: Package, mut extras: Map<String, Value>) -> Self {
        extras.retain(|name, _| !matches!(name.as_str(), "event_type" | "object" | "download" | "opened"));
        Self { event_type: event.into(), object, download: None, opened: None, extras }
    }

    /// The extra fields of the webhook.
    #[must_use]
    pub fn extras(&self) -> &Map<String, Value> {
        &self.extras
    }
}
