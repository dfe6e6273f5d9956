//! Links to packages: creating, changing, opening.
//!
//! Documented by the service: creating (`POST /v1/packages/{package}/links`), listing, and opening (`GET /v1/links/{link}?secret=`).
//! If opening fails, the status is 401 for a wrong or missing password, 403 beyond the limit, 404 for an unknown link or a
//! wrong secret, 410 if it has expired.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EmailAddress, LinkId, PackageId, Secret, SecretUrl, Time, lenient};

/// `POST /v1/packages/{package}/links` creates a link, `PUT /v1/links/{link}` changes one; omitted fields default to the package's, or stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LinkSettings {
    /// Who receives it by e-mail; cannot be changed.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// Its own password; an empty one removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How many times it may be used; 0 is unlimited.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub access_limit: Option<u64>,
    /// Whether `access_limit` counts; it does where this is left out.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub access_limit_enabled: Option<bool>,
    /// When it expires; [`Time::UNSET`] means with its package.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether it is active.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

impl LinkSettings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { email, password, access_limit, access_limit_enabled, expiry, active } = self;
        let unlimited = access_limit.is_none() && access_limit_enabled.is_none();
        email.is_none() && password.is_none() && unlimited && expiry.is_none() && active.is_none()
    }
}

/// A link as the owner of its package sees it: in the responses to [`LinkSettings`], of `GET /v1.1/links/{link}`, and in the list of
/// `GET /v1/packages/{package}/links`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The server's id.
    pub id: LinkId,
    /// The package that it leads to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
    /// Who received it by e-mail; empty for no one.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// Its secret.
    pub download_secret: Secret,
    /// The URL to share, which contains the secret. The service does not send it: [`Link::address`] returns it.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretUrl>,
    /// When it expires, if known.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// How many times it may be used; 0 is unlimited.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_limit: u64,
    /// How many times it was used.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_count: u64,
    /// Whether it is active.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// Whether it requires a password.
    #[serde(default, deserialize_with = "lenient::field")]
    pub has_password: bool,
    /// The same, under its other name.
    #[serde(default, deserialize_with = "lenient::field")]
    pub password_protected: bool,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When it was first opened. The hub's own, as the next two.
    #[serde(default, deserialize_with = "lenient::time")]
    pub opened_at: Time,
    /// How many times all files were downloaded through it, to the last byte.
    #[serde(default, deserialize_with = "lenient::field")]
    pub downloads: u64,
    /// When they last were.
    #[serde(default, deserialize_with = "lenient::time")]
    pub downloaded_at: Time,
}

impl Link {
    /// The URL to share: the server's, or one below `base`, where links of the service are opened.
    ///
    /// ```
    /// let link: masv_protocol::Link = serde_json::from_str(r#"{"id":"L","download_secret":"s"}"#)?;
    /// assert_eq!(link.address("https://get.massive.io").expose(), "https://get.massive.io/L?secret=s");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn address(&self, base: &str) -> SecretUrl {
        let below = || SecretUrl::new(format!("{base}/{}?secret={}", self.id, self.download_secret.expose()));
        self.url.clone().unwrap_or_else(below)
    }
}

/// The query of `GET /v1/links/{link}`, which opens a link; its password goes into
/// [`LINK_PASSWORD_HEADER`](crate::LINK_PASSWORD_HEADER).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LinkQuery {
    /// Its secret: [`Link::download_secret`].
    pub secret: Secret,
}

impl Default for LinkQuery {
    fn default() -> Self {
        Self { secret: Secret::new("") }
    }
}

/// An opened link: the token to read its package.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OpenedLink {
    /// The link, if the server repeats it.
    #[serde(default, deserialize_with = "lenient::id")]
    pub id: Option<LinkId>,
    /// Name of the package.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    /// Message to the recipients.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub description: String,
    /// The package.
    pub package_id: PackageId,
    /// Name of the package, under its other name.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub package_name: String,
    /// Authorises reading the package for a while, in [`PACKAGE_TOKEN_HEADER`](crate::PACKAGE_TOKEN_HEADER).
    pub package_token: Secret,
    /// Bytes of the package.
    #[serde(default, deserialize_with = "lenient::field")]
    pub package_size: u64,
    /// How many files it has.
    #[serde(default, deserialize_with = "lenient::field")]
    pub total_files: u64,
    /// E-mail address of the sender; may be empty.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub sender_email: String,
    /// Who received the link by e-mail; empty for no one.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// When the link expires.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// How many times the link may be used; 0 is unlimited.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_limit: u64,
    /// How many times it was used.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_count: u64,
    /// Whether it is active.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// When the link was created.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When the package was finalized.
    #[serde(default, deserialize_with = "lenient::time")]
    pub finalized_at: Time,
}
