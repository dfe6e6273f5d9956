//! Links to packages: making, changing, opening.
//!
//! Documented by the service: making (`POST /v1/packages/{package}/links`), listing, and opening (`GET /v1/links/{link}?secret=`).
//! The status of an opening that fails is 401 for a wrong or missing password, 403 beyond the limit, 404 for an unknown link or a
//! wrong secret, 410 when it has expired.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EmailAddress, LinkId, PackageId, Secret, SecretUrl, Time, lenient};

/// `POST /v1/packages/{package}/links` makes a link, `PUT /v1/links/{link}` changes one; what is left out is the package's, or stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LinkSettings {
    /// Who gets it by mail; cannot be changed.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// A password of its own; an empty one takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// How often it may be used; 0 is any number.
    #[serde(deserialize_with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub access_limit: Option<u64>,
    /// Whether `access_limit` counts; it does where this is left out.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub access_limit_enabled: Option<bool>,
    /// Until when it opens; [`Time::UNSET`] is as long as its package is there.
    #[serde(deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Time>,
    /// Whether it opens.
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

/// A link as the owner of its package sees it: in the answers to [`LinkSettings`], of `GET /v1.1/links/{link}`, and in the list of
/// `GET /v1/packages/{package}/links`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The server's id.
    pub id: LinkId,
    /// The package that it leads to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
    /// Who got it by mail; empty for nobody.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// What opens it.
    pub download_secret: Secret,
    /// The address to give away, which holds the secret. The service does not say it: [`Link::address`] does.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretUrl>,
    /// Until when it opens, as far as that is known.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// How often it may be used; 0 is any number.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_limit: u64,
    /// How often it was used.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_count: u64,
    /// Whether it opens.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// Whether it asks for a password.
    #[serde(default, deserialize_with = "lenient::field")]
    pub has_password: bool,
    /// The same under its other name.
    #[serde(default, deserialize_with = "lenient::field")]
    pub password_protected: bool,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
}

impl Link {
    /// The address to give away: the server's, or that below `base`, where links of the service are opened.
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
    /// What opens it: [`Link::download_secret`].
    pub secret: Secret,
}

impl Default for LinkQuery {
    fn default() -> Self {
        Self { secret: Secret::new("") }
    }
}

/// A link that was opened: the right to read its package.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OpenedLink {
    /// The link, where its server says it again.
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
    /// Mail address of who sent it; may be empty.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub sender_email: String,
    /// Who got the link by mail; empty for nobody.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub email: String,
    /// Until when the link opens.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expiry: Time,
    /// How often the link may be used; 0 is any number.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_limit: u64,
    /// How often it was used.
    #[serde(default, deserialize_with = "lenient::field")]
    pub access_count: u64,
    /// Whether it opens.
    #[serde(default, deserialize_with = "lenient::field")]
    pub active: bool,
    /// When the link was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When the package was finalized.
    #[serde(default, deserialize_with = "lenient::time")]
    pub finalized_at: Time,
}
