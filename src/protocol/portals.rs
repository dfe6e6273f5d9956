//! Portals, where anybody may send files to: as senders see them, and as their team looks after them.
//!
//! Documented by the service, but for `metadata_fields`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    EmailAddress, MetadataField, PortalId, RestrictionSettings, Restrictions, Secret, TagChoice, TagId, TeamId, Time,
    lenient,
};

/// `POST /v1/teams/{team}/portals` makes a portal, `PUT /v1/portals/{portal}` changes one; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PortalSettings {
    /// Name for people: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its name in addresses: lower-case letters, digits and inner hyphens, at most 63.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// What its page says.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who receives what is sent.
    #[serde(deserialize_with = "lenient::some_addresses", skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<EmailAddress>>,
    /// Whether it accepts packages.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Whether it closes by itself; `false` takes the time away.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub expiry_enabled: Option<bool>,
    /// When it closes by itself; [`Time::UNSET`] takes the time away.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether senders must know a code; `false` takes it away.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub has_access_code: Option<bool>,
    /// The code that senders must know.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub access_code: Option<Secret>,
    /// Whether recipients must know a password; `false` takes it away.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub has_download_password: Option<bool>,
    /// The password that recipients must know.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub download_password: Option<Secret>,
    /// Days until packages are deleted; 0 is the server's default, a negative number is never.
    #[serde(deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub custom_expiry_days: Option<i64>,
    /// What senders are asked to fill in.
    #[serde(alias = "custom_metadata_fields", skip_serializing_if = "Option::is_none")]
    pub metadata_fields: Option<Vec<MetadataField>>,
    /// The tag of packages that come through it.
    #[serde(deserialize_with = "lenient::tag", skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagChoice>,
    /// What it accepts.
    #[serde(flatten)]
    pub restrictions: RestrictionSettings,
    /// What a hub cannot do.
    #[serde(flatten)]
    pub unsupported: UnsupportedPortalSettings,
}

impl PortalSettings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        serde_json::to_value(self).is_ok_and(|body| body.as_object().is_some_and(serde_json::Map::is_empty))
    }
}

/// What the service's portals can ask for and a hub's cannot. Accepted and not done, it would let in who is not meant: a server
/// that cannot do it must refuse it, see [`UnsupportedPortalSettings::requested`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UnsupportedPortalSettings {
    /// Whether senders must sign in.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub user_authentication_required: Option<bool>,
    /// Whether recipients must sign in.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub download_user_authentication_required: Option<bool>,
    /// Whether names of packages follow a pattern.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub package_name_format_enabled: Option<bool>,
    /// Whether senders must agree to terms.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub terms_of_service_enabled: Option<bool>,
    /// Who may open the portal's page; `private` is for members of the team only.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub access_level: Option<String>,
}

impl UnsupportedPortalSettings {
    /// The name of the first of these settings that is asked for.
    #[must_use]
    pub fn requested(&self) -> Option<&'static str> {
        let flags = [
            ("user_authentication_required", self.user_authentication_required),
            ("download_user_authentication_required", self.download_user_authentication_required),
            ("package_name_format_enabled", self.package_name_format_enabled),
            ("terms_of_service_enabled", self.terms_of_service_enabled),
        ];
        let flag = flags.into_iter().find(|(_, asked)| *asked == Some(true)).map(|(name, _)| name);
        flag.or_else(|| (self.access_level.as_deref() == Some("private")).then_some("access_level"))
    }
}

/// A portal as its senders see it: `GET /v1/subdomains/portals/{subdomain}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicPortal {
    /// The server's id.
    pub id: PortalId,
    /// Its name in addresses.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub subdomain: String,
    /// Name for people.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// What its page says.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub message: String,
    /// Whether it accepts packages now.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// Whether it closes by itself.
    #[serde(default, deserialize_with = "lenient::field")]
    pub expiry_enabled: bool,
    /// When it closes by itself.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether senders must know a code.
    #[serde(default, deserialize_with = "lenient::field")]
    pub has_access_code: bool,
    /// Whether recipients must know a password.
    #[serde(default, deserialize_with = "lenient::field")]
    pub has_download_password: bool,
    /// What senders are asked to fill in.
    #[serde(default, deserialize_with = "lenient::field")]
    pub metadata_fields: Vec<MetadataField>,
    /// What it accepts.
    #[serde(flatten)]
    pub restrictions: Restrictions,
}

/// A portal as its team sees it: in the answers to [`PortalSettings`], of `GET /v1.1/portals/{portal}`, and in the pages of
/// `GET /v1.1/teams/{team}/portals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Portal {
    /// What its senders see, too.
    #[serde(flatten)]
    pub public: PublicPortal,
    /// The team that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub team_id: Option<TeamId>,
    /// Mail addresses of who receives what is sent, not checked again.
    #[serde(default, deserialize_with = "lenient::field")]
    pub recipients: Vec<String>,
    /// Days until packages are deleted; 0 is the server's default, -1 is never.
    #[serde(default, deserialize_with = "lenient::field")]
    pub custom_expiry_days: i64,
    /// The tag of packages that come through it.
    #[serde(default, deserialize_with = "lenient::id")]
    pub tag_id: Option<TagId>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When it was last changed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub updated_at: Time,
    /// The address of its page, which the service does not say.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
