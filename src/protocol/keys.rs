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
    /// What it may do; a sender's where it is left out.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub role: Option<KeyRole>,
    /// Until when it holds; [`Time::UNSET`], or left out, is until it is removed.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether it may be used; active where it is left out.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
}

/// `PUT /v1/api_keys/{key}`, or `PUT /v1/teams/{team}/api_keys/{key}`: changes a key; what is left out stays. Answered with the [`Key`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangeKey {
    /// What it is for: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub role: Option<KeyRole>,
    /// Until when it holds; [`Time::UNSET`] is until it is removed.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether it may be used.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
}

impl ChangeKey {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.role.is_none() && self.expiry.is_none() && self.state.is_none()
    }
}

/// The answer to [`NewKey`], the only one that tells the key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    /// The server's id.
    pub id: KeyId,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// What it may do.
    pub role: Open<KeyRole>,
    /// The key itself.
    pub key: Secret,
    /// The same, under the name that clients of the service expect.
    pub api_key: Secret,
    /// Until when it holds; unset is until it is removed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether it may be used.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<KeyState>>,
}

impl CreatedKey {
    /// The answer for a key that was made.
    #[must_use]
    pub fn new(made: Key, key: Secret) -> Self {
        let Key { id, name, role, expiry, state, .. } = made;
        Self { id, name, role, api_key: key.clone(), key, expiry, state }
    }
}

/// A key in the answer of `GET /v1/teams/{team}/api_keys`, a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// The server's id.
    pub id: KeyId,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// What it may do.
    pub role: Open<KeyRole>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// Until when it holds; unset is until it is removed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether it may be used.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<KeyState>>,
    /// When it was used last, to the minute; unset is never.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_used_at: Time,
}
