//! Webhooks of a team: what a server calls when something happens to a package. Documented by the service, but for removing and
//! changing one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::words::words;
use crate::{Open, Package, PortalId, Secret, TeamId, Time, WebhookId, lenient};

words! {
    /// What a webhook can be called for.
    pub enum WebhookEvent ["event"] {
        /// A package was made.
        PackageCreated = "package.created",
        /// A package was finalized.
        PackageFinalized = "package.finalized",
    }
}

words! {
    /// How a webhook is called.
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

/// `POST /v1/teams/{team}/custom_webhooks` makes a webhook, `PUT /v1/custom_webhooks/{webhook}` changes one; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookSettings {
    /// Name for people.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address that is called, `http` or `https`.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How it is called.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub method: Option<WebhookMethod>,
    /// What it is called for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<WebhookEvent>>,
    /// Headers that are sent with a call; their values are often secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// Fields that every call has beside those of [`WebhookCall`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_extras: Option<Map<String, Value>>,
    /// Whether it is called.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// A webhook: in the answers to [`WebhookSettings`] and in the list of `GET /v1/teams/{team}/custom_webhooks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    /// The server's id.
    pub id: WebhookId,
    /// The team that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub team_id: Option<TeamId>,
    /// Name for people.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The address that is called.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub url: String,
    /// How it is called.
    #[serde(default, deserialize_with = "lenient::field")]
    pub method: Option<Open<WebhookMethod>>,
    /// What it is called for.
    #[serde(default, deserialize_with = "lenient::field")]
    pub events: Vec<Open<WebhookEvent>>,
    /// The names of the headers that are sent; their values are not told.
    #[serde(default, deserialize_with = "lenient::field")]
    pub header_names: Vec<String>,
    /// Fields that every call has beside those of [`WebhookCall`].
    #[serde(default, deserialize_with = "lenient::field")]
    pub body_extras: Map<String, Value>,
    /// The portals that it is attached to, and called for; absent: it is called for every package of the team.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub portals: Option<Vec<PortalId>>,
    /// Whether it is called.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
}

/// The body of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookCall {
    /// What happened.
    pub event_type: Open<WebhookEvent>,
    /// What it happened to.
    pub object: Package,
    /// The fields that the webhook was given.
    #[serde(flatten)]
    extras: Map<String, Value>,
}

impl WebhookCall {
    /// A call with the fields of its webhook; those of the protocol take precedence over fields of the same name.
    #[must_use]
    pub fn new(event: WebhookEvent, object: Package, mut extras: Map<String, Value>) -> Self {
        extras.retain(|name, _| !matches!(name.as_str(), "event_type" | "object"));
        Self { event_type: event.into(), object, extras }
    }

    /// The fields that the webhook was given.
    #[must_use]
    pub fn extras(&self) -> &Map<String, Value> {
        &self.extras
    }
}
