//! Who makes a call: the headers that authorise, and signing in and out as a person.
//!
//! Documented by the service: `POST /v1/auth` and all headers except that of a link's password, which is known from its clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, Team, TeamId, UserId, lenient};

/// The header of a team's API key.
pub const API_KEY_HEADER: &str = "X-API-KEY";

/// The header with a key by which a hub knows a call again, so that one repeated for want of an answer makes nothing twice. The hub's own.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";
/// The header of the session of a person, see [`SignedIn::token`].
pub const USER_TOKEN_HEADER: &str = "X-User-Token";
/// The header with the token for one package: full access with [`PackageWithToken::access_token`](crate::PackageWithToken),
/// reading with [`OpenedLink::package_token`](crate::OpenedLink).
pub const PACKAGE_TOKEN_HEADER: &str = "X-Package-Token";
/// The header of the password of a link that has one.
pub const LINK_PASSWORD_HEADER: &str = "X-Link-Password";

/// `POST /v1/auth`: signs in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Credentials {
    /// E-mail address, as it was typed: a wrong one is refused like a wrong password.
    pub email: String,
    /// Password.
    pub password: Secret,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { email: String::new(), password: Secret::new("") }
    }
}

/// `PUT /v1/auth`: a signed-in person sets a new password. All their other sessions end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangePassword {
    /// The current password. Required.
    pub password: Secret,
    /// The new one. Required.
    pub new_password: Secret,
}

impl Default for ChangePassword {
    fn default() -> Self {
        Self { password: Secret::new(""), new_password: Secret::new("") }
    }
}

/// The response to [`Credentials`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignedIn {
    /// Authorises team calls for some days, or until `DELETE /v1/auth`, in [`USER_TOKEN_HEADER`].
    pub token: Secret,
    /// Who it is.
    pub user: User,
    /// The teams that the person belongs to.
    #[serde(default)]
    pub teams: Vec<Team>,
}

/// `GET /v1/auth`: who is signed in. The hub's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoIsSignedIn {
    /// Who it is.
    pub user: User,
    /// The teams that the person belongs to.
    #[serde(default)]
    pub teams: Vec<Team>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The server's id.
    pub id: UserId,
    /// E-mail address, not validated again.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// Display name; may be empty.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// The kind of account; a hub has one kind only.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The time zone of the person.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The team that the person works for if none is chosen.
    #[serde(default, deserialize_with = "lenient::id", skip_serializing_if = "Option::is_none")]
    pub preferred_team_id: Option<TeamId>,
}
