//! Portals, which accept files from anyone: as senders see them, and as their team administers them.
//!
//! Documented by the service, except for `metadata_fields`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    EmailAddress, MetadataField, PortalId, RestrictionSettings, Restrictions, Secret, TagChoice, TagId, TeamId, Time,
    WebhookId, lenient,
};

/// `POST /v1/teams/{team}/portals` creates a portal, `PUT /v1/portals/{portal}` changes one; omitted fields stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PortalSettings {
    /// Display name: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its subdomain: lower-case letters, digits and inner hyphens, at most 63.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// The message on its page.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who receives what is sent.
    #[serde(deserialize_with = "lenient::some_addresses", skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<EmailAddress>>,
    /// Who is told of what is sent by mail, without a link to it.
    #[serde(deserialize_with = "lenient::some_addresses", skip_serializing_if = "Option::is_none")]
    pub cc_recipients: Option<Vec<EmailAddress>>,
    /// Whether senders get no receipt by mail.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub disable_upload_receipt: Option<bool>,
    /// Whether it accepts packages; a new one does not where this is left out.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Whether it closes automatically; `false` removes the time.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub expiry_enabled: Option<bool>,
    /// When it closes automatically; [`Time::UNSET`] removes the time.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether senders need a code; `false` removes it.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub has_access_code: Option<bool>,
    /// The code for senders.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub access_code: Option<Secret>,
    /// Whether recipients need a password; `false` removes it.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub has_download_password: Option<bool>,
    /// The password for recipients.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub download_password: Option<Secret>,
    /// Days until packages are deleted; 0 for the server's default, a negative number for never.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub custom_expiry_days: Option<i64>,
    /// The form for senders.
    #[serde(alias = "custom_metadata_fields", skip_serializing_if = "Option::is_none")]
    pub metadata_fields: Option<Vec<MetadataField>>,
    /// The tag of packages received through it.
    #[serde(deserialize_with = "lenient::tag", skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagChoice>,
    /// The same by its id alone, as a portal says it.
    #[serde(deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub tag_id: Option<TagId>,
    /// The colour of the buttons of its page, `#rgb` or `#rrggbb`; an empty one takes it away.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub primary_color: Option<String>,
    /// The address of a picture above its page's name, `http` or `https`; an empty one takes it away.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub logo_url: Option<String>,
    /// The address of a picture behind its page, `http` or `https`; an empty one takes it away.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub background_url: Option<String>,
    /// The webhooks of the team that are called for what comes through it. One that is attached to a portal is called for
    /// nothing else.
    #[serde(deserialize_with = "attached", skip_serializing_if = "Option::is_none")]
    pub custom_webhooks: Option<Vec<AttachedWebhook>>,
    /// What it accepts.
    #[serde(flatten)]
    pub restrictions: RestrictionSettings,
}

impl PortalSettings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        serde_json::to_value(self).is_ok_and(|body| body.as_object().is_some_and(serde_json::Map::is_empty))
    }
}

/// A webhook that is attached to a portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttachedWebhook {
    /// The webhook's id.
    pub id: WebhookId,
}

/// Webhooks by id: a list of ids, or of objects with `id`; absent for `null`.
fn attached<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<AttachedWebhook>>, D::Error> {
    let one = |value: Value| match &value {
        Value::String(id) if !id.is_empty() => Ok(AttachedWebhook { id: id.as_str().into() }),
        _ => serde_json::from_value(value)
            .map_err(|_| serde::de::Error::custom("each of custom_webhooks must have the id of a webhook of the team")),
    };
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Array(values) => values.into_iter().map(one).collect::<Result<_, _>>().map(Some),
        _ => Err(serde::de::Error::custom("custom_webhooks must be a list")),
    }
}

/// A portal as its senders see it: `GET /v1/subdomains/portals/{subdomain}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicPortal {
    /// The server's id.
    pub id: PortalId,
    /// Its subdomain.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub subdomain: String,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The message on its page.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub message: String,
    /// Whether it accepts packages now.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// Whether it closes automatically.
    #[serde(default, deserialize_with = "lenient::field")]
    pub expiry_enabled: bool,
    /// When it closes automatically.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether senders need a code.
    #[serde(default, deserialize_with = "lenient::field")]
    pub has_access_code: bool,
    /// Whether recipients need a password.
    #[serde(default, deserialize_with = "lenient::field")]
    pub has_download_password: bool,
    /// The form for senders.
    #[serde(default, deserialize_with = "lenient::field")]
    pub metadata_fields: Vec<MetadataField>,
    /// The colour of the buttons of its page; empty for the usual one.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub primary_color: String,
    /// The address of a picture above its page's name; empty for none.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub logo_url: String,
    /// The address of a picture behind its page; empty for none.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub background_url: String,
    /// What it accepts.
    #[serde(flatten)]
    pub restrictions: Restrictions,
}

/// A portal as its team sees it: in the responses to [`PortalSettings`], of `GET /v1.1/portals/{portal}`, in the pages of
/// `GET /v1.1/teams/{team}/portals`, and in the list of `GET /v1/teams/{team}/portals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Portal {
    /// The fields that senders see, too.
    #[serde(flatten)]
    pub public: PublicPortal,
    /// The team that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub team_id: Option<TeamId>,
    /// E-mail addresses of those who receive what is sent, not validated again.
    #[serde(default, deserialize_with = "lenient::field")]
    pub recipients: Vec<String>,
    /// Mail addresses of who is told of what is sent, without a link to it.
    #[serde(default, deserialize_with = "lenient::field")]
    pub cc_recipients: Vec<String>,
    /// Whether senders get no receipt by mail.
    #[serde(default, deserialize_with = "lenient::field")]
    pub disable_upload_receipt: bool,
    /// The webhooks that are called for what comes through it.
    #[serde(default, deserialize_with = "lenient::field")]
    pub custom_webhooks: Vec<AttachedWebhook>,
    /// Days until packages are deleted; 0 for the server's default, -1 for never.
    #[serde(default, deserialize_with = "lenient::field")]
    pub custom_expiry_days: i64,
    /// The tag of packages received through it.
    #[serde(default, deserialize_with = "lenient::id")]
    pub tag_id: Option<TagId>,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When it was last modified.
    #[serde(default, deserialize_with = "lenient::time")]
    pub updated_at: Time,
    /// The URL of its page, which the service does not send.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
