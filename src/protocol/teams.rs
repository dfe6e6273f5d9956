//! Teams, what their members and keys may do, and how much they may store.
//!
//! All calls except the list of teams in [`SignedIn`](crate::SignedIn) are the hub's own; a team's limits are documented by the service.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::words;
use crate::{Open, TeamId, lenient};

words! {
    /// A caller's role in a team; each role includes the earlier ones.
    pub enum Role ["role"] {
        /// Sends and sees packages.
        Sender = "sender" | "member",
        /// Also manages people, keys, portals and webhooks.
        Admin = "admin",
        /// Also appoints and removes owners.
        Owner = "owner",
        /// The operator, who has the hub's data: everything, in every team. Cannot be granted.
        Operator = "operator",
    }
}

words! {
    /// The role of a person in a team.
    pub enum MemberRole ["role of a person"] {
        /// Sends and sees packages.
        Sender = "sender" | "member",
        /// Also manages people, keys, portals and webhooks.
        Admin = "admin",
        /// Also appoints and removes owners.
        Owner = "owner",
    }
}

words! {
    /// The role of an API key.
    pub enum KeyRole ["role of a key"] {
        /// Sends and sees packages.
        Sender = "sender" | "member",
        /// Also manages people, keys, portals and webhooks.
        Admin = "admin",
    }
}

impl From<MemberRole> for Role {
    fn from(role: MemberRole) -> Self {
        match role {
            MemberRole::Sender => Self::Sender,
            MemberRole::Admin => Self::Admin,
            MemberRole::Owner => Self::Owner,
        }
    }
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Sender => Self::Sender,
            KeyRole::Admin => Self::Admin,
        }
    }
}

/// A team: in the responses to `GET /v1/teams` and to signing in with the caller's role, in that to `POST /v1/teams` without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Team {
    /// The server's id.
    pub id: TeamId,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The caller's role in it.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub role: Option<Open<Role>>,
    /// Its subdomain.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// Days that its packages are kept where their sender does not say; 0 is until somebody deletes them.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub custom_expiry_default: Option<u64>,
    /// Whether senders may say how long a package is kept.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub custom_expiry_enabled: Option<bool>,
    /// How often links may be used where their sender does not say; 0 is any number.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub download_limit_default: Option<u64>,
    /// Whether senders may say how often links may be used.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub download_limit_enabled: Option<bool>,
    /// The most recipients of a package.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub max_email_recipients: Option<u64>,
}

impl Team {
    /// A team of which nothing else is said.
    #[must_use]
    pub fn new(id: TeamId, name: String) -> Self {
        Self {
            id,
            name,
            role: None,
            subdomain: None,
            custom_expiry_default: None,
            custom_expiry_enabled: None,
            download_limit_default: None,
            download_limit_enabled: None,
            max_email_recipients: None,
        }
    }
}

/// `POST /v1/teams`: creates a team.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewTeam {
    /// Display name: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `GET /v1/teams/{team}/usage`: how much a team has stored. All sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamUsage {
    /// The team.
    pub id: TeamId,
    /// Display name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// What counts towards the quota: stored and announced.
    #[serde(default, deserialize_with = "lenient::field")]
    pub used: u64,
    /// The maximum; `null` if there is no limit.
    #[serde(default, deserialize_with = "lenient::field")]
    pub quota: Option<u64>,
    /// How many packages there are.
    #[serde(default, deserialize_with = "lenient::field")]
    pub packages: u64,
    /// The total size of finalized files.
    #[serde(default, deserialize_with = "lenient::field")]
    pub stored: u64,
}

/// `GET /v1/teams/{team}/brand`: how the pages of a team's links look. Empty fields are as usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TeamBrand {
    /// The colour of buttons, as `#rrggbb`.
    #[serde(deserialize_with = "lenient::plain")]
    pub primary_color: String,
    /// The address of a picture.
    #[serde(deserialize_with = "lenient::plain")]
    pub logo_url: String,
    /// The address of a picture.
    #[serde(deserialize_with = "lenient::plain")]
    pub background_url: String,
}

/// `PUT /v1/teams/{team}/brand`: omitted fields stay as they are, empty ones are removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetBrand {
    /// The colour of buttons, as `#rrggbb` or `#rgb`.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub primary_color: Option<String>,
    /// The http or https address of a picture, up to 2,048 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub logo_url: Option<String>,
    /// The http or https address of a picture, up to 2,048 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub background_url: Option<String>,
}

/// How much a team may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Any amount; `null` on the wire.
    Unlimited,
    /// This many bytes.
    Bytes(u64),
}

impl Quota {
    /// The limit in bytes, if there is one.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl From<Option<u64>> for Quota {
    fn from(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Unlimited, Self::Bytes)
    }
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes().serialize(serializer)
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "null"], "minimum": 0, "description": "Bytes; null is any amount" })
    }
}

/// `PUT /v1/teams/{team}/quota`: sets how much a team may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetQuota {
    /// The new limit; a request without it changes nothing and is refused.
    #[serde(deserialize_with = "given_quota", skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

fn given_quota<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quota>, D::Error> {
    lenient::number(deserializer).map(|bytes| Some(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_is_null_is_not_one_that_is_left_out() {
        let read = |text: &str| serde_json::from_str::<SetQuota>(text).unwrap().quota;
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"quota":null}"#), Some(Quota::Unlimited));
        assert_eq!(read(r#"{"quota":"5"}"#), Some(Quota::Bytes(5)));
        let written = |quota| serde_json::to_string(&SetQuota { quota }).unwrap();
        assert_eq!(written(None), "{}");
        assert_eq!(written(Some(Quota::Unlimited)), r#"{"quota":null}"#);
        assert_eq!(written(Some(Quota::Bytes(5))), r#"{"quota":5}"#);
    }

    #[test]
    fn roles_are_in_order() {
        assert!(Role::Sender < Role::Admin && Role::Admin < Role::Owner && Role::Owner < Role::Operator);
        assert!("operator".parse::<MemberRole>().is_err() && "owner".parse::<KeyRole>().is_err());
    }
}
