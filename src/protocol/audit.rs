//! The audit log of a team, who changed what: the hub's own call, `GET /v1/teams/{team}/audit`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AuditEntryId, Time, lenient};

/// A change, in the pages of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// The server's id.
    pub id: AuditEntryId,
    /// When it happened.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// Who did it: an e-mail address, `key` and its name, or `operator`.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub actor: String,
    /// The IP address that it came from; `null` on the hub's own machine.
    #[serde(default, deserialize_with = "lenient::field")]
    pub address: Option<String>,
    /// What was done, such as `user.added` or `portal.changed`.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub action: String,
    /// The object, for people to read; without secrets.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub subject: String,
}
