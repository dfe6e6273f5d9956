//! API keys of a team: the hub's own calls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{KeyId, KeyRole, Open, Secret, Time, lenient};

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
}

impl CreatedKey {
    /// The answer for a key that was made.
    #[must_use]
    pub fn new(id: KeyId, name: String, role: KeyRole, key: Secret) -> Self {
        Self { id, name, role: role.into(), api_key: key.clone(), key }
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
}
