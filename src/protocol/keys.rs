//! API keys of a team: the hub's own calls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{KeyId, KeyRole, Open, Secret, Time, lenient};

words! {
    /// Whether a key may be used.
    pub enum KeyState ["state of a key"] {
        /// It may, until it expires.
        Active = "active",
        /// It may not, until it is made active again.
        Inactive = "inactive",
    }
}

/// `POST /v1/teams/{team}/api_keys`: makes a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewKey {
    /// What it is for: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its role; sender by default.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub role: Option<KeyRole>,
    /// When it expires; [`Time::UNSET`] or absent means never.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether it is active; the default is active.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
}

/// `PUT /v1/api_keys/{key}`, or `PUT /v1/teams/{team}/api_keys/{key}`: changes a key; omitted properties stay as they are. The response is the [`Key`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangeKey {
    /// What it is for: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its role.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub role: Option<KeyRole>,
    /// When it expires; [`Time::UNSET`] means never.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether the key is active.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
}

impl ChangeKey {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.role.is_none() && self.expiry.is_none() && self.state.is_none()
    }
}

/// The response to [`NewKey`], the only one that contains the key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    /// The server's id.
    pub id: KeyId,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Its role.
    pub role: Open<KeyRole>,
    /// The key itself.
    pub key: Secret,
    /// The same, under the name that clients of the service expect.
    pub api_key: Secret,
    /// When it expires; unset means never.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether the key is active.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<KeyState>>,
}

impl CreatedKey {
    /// The response for a new key.
    #[must_use]
    pub fn new(made: Key, key: Secret) -> Self {
        let Key { id, name, role, expiry, state, .. } = made;
        Self { id, name, role, api_key: key.clone(), key, expiry, state }
    }
}

/// A key in the list of `GET /v1/teams/{team}/api_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// The server's id.
    pub id: KeyId,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Its role.
    pub role: Open<KeyRole>,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When it expires; unset means never.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether the key is active.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<KeyState>>,
    /// When it was last used, to the minute; unset means never.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_used_at: Time,
}
