//! The people of a team.
//!
//! Documented by the service: the list, `GET /v1/teams/{team}/members`. Adding, changing and removing
//! (`DELETE /v1/teams/{team}/members/{member}`) are the hub's own; there a member is identified by id or e-mail address.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EmailAddress, MemberRole, Open, Secret, SecretUrl, Time, UserId, lenient};

/// `POST /v1/teams/{team}/members`: adds a person.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewMember {
    /// E-mail address to sign in with; its case does not matter. Required.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// Display name.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Password: required for a new account, refused for an existing one.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The person's role; sender by default.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub role: Option<MemberRole>,
}

/// `PUT /v1/teams/{team}/members/{member}`: changes a person; omitted fields stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangeMember {
    /// Display name.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new password, which ends all sessions of the person.
    #[serde(deserialize_with = "lenient::word_secret", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The person's role.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub role: Option<MemberRole>,
}

impl ChangeMember {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.password.is_none() && self.role.is_none()
    }
}

/// `POST /v1/teams/{team}/members/{member}/invitation`: what became of it. The hub's own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// Who is invited.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// The address where the person chooses a password, once; whoever has it can.
    pub url: SecretUrl,
    /// Until when.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// Whether the mail with it was accepted for delivery.
    #[serde(default, deserialize_with = "lenient::field")]
    pub mailed: bool,
    /// Why it was not.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `POST /v1/invitations`: chooses the password of whoever was invited; the response is the [`User`](crate::User). The hub's own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AcceptInvitation {
    /// What the address of the invitation ends with. Required.
    pub token: Secret,
    /// The password. Required.
    pub new_password: Secret,
}

impl Default for AcceptInvitation {
    fn default() -> Self {
        Self { token: Secret::new(""), new_password: Secret::new("") }
    }
}

/// A person of a team: in the responses to [`NewMember`] and [`ChangeMember`], and in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// The server's id.
    pub id: UserId,
    /// The account, where a server has ids for memberships of their own; a hub says the same id twice.
    #[serde(default, deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Mail address, not checked again.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// Display name; may be empty.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The person's role; some servers do not say.
    #[serde(default, deserialize_with = "lenient::field")]
    pub role: Option<Open<MemberRole>>,
    /// When the account was created; only in the list.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
}
