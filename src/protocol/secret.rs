//! What must not be printed: tokens, passwords, keys, and URLs that contain their authorisation.
//!
//! **Guarantees.** Neither type has a `Display`, and `Debug` shows no secret; callers that need it must ask for it with
//! [`Secret::expose`] or [`SecretUrl::expose`]. The memory of a [`Secret`] is overwritten when it is dropped.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lenient;

/// A token, a password or a key.
///
/// ```
/// let secret = masv_protocol::Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into().into())
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret itself, owned; the caller is responsible for not printing it.
    #[must_use]
    pub fn into_exposed(self) -> String {
        self.expose().to_owned()
    }

    /// Whether it is the empty string, by which some requests take a password away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl From<SecretString> for Secret {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

impl From<Secret> for SecretString {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl AsRef<SecretString> for Secret {
    fn as_ref(&self) -> &SecretString {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// A number becomes the string of its digits, because a client may send a numeric code.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lenient::required_text(deserializer).map(Self::from)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A URL whose query authorises anyone who has it: a presigned URL of the storage, or a link with its secret.
///
/// ```
/// let url = masv_protocol::SecretUrl::new("https://bucket.example/key?X-Amz-Signature=0a1b");
/// assert_eq!(format!("{url:?}"), "https://bucket.example/key?[redacted]");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL, which is not parsed here.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The whole address, owned.
    #[must_use]
    pub fn into_exposed(self) -> String {
        self.0
    }
}

impl fmt::Debug for SecretUrl {
    /// Without the parts that may contain a secret: user information, query and fragment.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let (open, rest) = self.0.split_at(end);
        let (scheme, place) = open.split_once("://").unwrap_or(("", open));
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let separator = if scheme.is_empty() { "" } else { "://" };
        write!(formatter, "{scheme}{separator}{host}{path}")?;
        match rest.chars().next() {
            Some(mark) => write!(formatter, "{mark}[redacted]"),
            None => Ok(()),
        }
    }
}

impl From<String> for SecretUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl JsonSchema for SecretUrl {
    fn schema_name() -> Cow<'static, str> {
        "SecretUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        for (url, shown) in [
            ("https://u:secret@h:1/p?secret=secret", "https://h:1/p?[redacted]"),
            ("https://h/p#secret", "https://h/p#[redacted]"),
            ("https://h?secret", "https://h?[redacted]"),
            ("/p?secret", "/p?[redacted]"),
            ("https://h/a@b", "https://h/a@b"),
        ] {
            assert_eq!(format!("{:?}", SecretUrl::new(url)), shown);
        }
    }

    #[test]
    fn a_code_of_digits_may_come_as_a_number() {
        assert_eq!(serde_json::from_str::<Secret>("1234").unwrap().expose(), "1234");
        assert_eq!(serde_json::to_string(&Secret::new("a")).unwrap(), r#""a""#);
    }
}
