//! Identifiers as separate types, so that a file's id cannot be passed where a package's is expected.
//!
//! **Guarantees.** An id is kept exactly as its server wrote it and never interpreted: those of the service and of the hub are
//! upper-case ULIDs, those of other implementations may be anything. A server that sends a JSON number is understood.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient;

macro_rules! ids {
    ($($(#[$about:meta])* $name:ident)+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id with this text.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Its text, owned.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                lenient::required_text(deserializer).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }

            fn inline_schema() -> bool {
                true
            }
        }
    )+};
}

ids! {
    /// A team.
    TeamId
    /// A person.
    UserId
    /// An API key; not the key itself, which is a secret.
    KeyId
    /// A package.
    PackageId
    /// A file of a package.
    FileId
    /// The storage's multipart upload of one file; an S3 `UploadId`.
    MultipartId
    /// A link to a package.
    LinkId
    /// A portal.
    PortalId
    /// A tag of a team.
    TagId
    /// A teamspace, by which the service groups packages of a team.
    TeamspaceId
    /// A webhook of a team.
    WebhookId
    /// One of a team's activities.
    ActivityId
    /// A step of an activity.
    ActivityEventId
    /// An entry of the audit log.
    AuditEntryId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_string_and_may_be_sent_as_a_number() {
        let id: PackageId = serde_json::from_str(r#""01M85VJ3Y0Q8ZK2T4W6X7B9CDE""#).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""01M85VJ3Y0Q8ZK2T4W6X7B9CDE""#);
        assert_eq!(serde_json::from_str::<FileId>("7").unwrap(), "7");
        for bad in ["null", "true", "[]", "{}"] {
            assert!(serde_json::from_str::<TeamId>(bad).is_err(), "{bad}");
        }
    }
}
