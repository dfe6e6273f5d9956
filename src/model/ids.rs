//! Identifiers as separate types, so that an upload's id cannot be passed where a package's is expected.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, greater than every id created earlier by this machine's clock.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id! {
    /// Identifies one upload of this agent: a version 7 UUID, so that ids sort by creation time.
    UploadId
}

id! {
    /// Identifies one download of this agent: a version 7 UUID, so that ids sort by creation time.
    DownloadId
}

/// A transfer in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferId {
    /// To a cloud.
    Upload(UploadId),
    /// From a cloud.
    Download(DownloadId),
}

impl fmt::Display for TransferId {
    /// `upload` or `download`, and the id.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(id) => write!(formatter, "upload {id}"),
            Self::Download(id) => write!(formatter, "download {id}"),
        }
    }
}

impl From<UploadId> for TransferId {
    fn from(id: UploadId) -> Self {
        Self::Upload(id)
    }
}

impl From<DownloadId> for TransferId {
    fn from(id: DownloadId) -> Self {
        Self::Download(id)
    }
}
