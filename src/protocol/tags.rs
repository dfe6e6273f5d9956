//! Tags: names that a team gives to its packages. Documented by the service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TagId, TeamId, Time, lenient};

/// A tag: in the responses to `GET` (a list) and `POST /v1/teams/{team}/tags`, and in a package. `DELETE /v1/tags/{tag}` removes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tag {
    /// The server's id.
    pub id: TagId,
    /// The name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The team that it belongs to.
    #[serde(default, deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub team_id: Option<TeamId>,
    /// Whether it can be given; a hub removes a tag at once.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it was last modified.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
}

/// `POST /v1/teams/{team}/tags`: creates a tag, unless there is one with this name.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewTag {
    /// The name: 1 to 255 bytes.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The tag for a package or a portal: `{"id": "…"}`, or `{"name": "…"}`, which creates one if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagChoice {
    /// The team's tag with this id.
    Id(TagId),
    /// The team's tag with this name.
    Name(String),
}
