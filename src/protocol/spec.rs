//! What a server reports about itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BatchLimits, lenient};

/// `GET /v1/system/packages/spec`: the limits of files and parts. Documented by the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// The maximum number of parts of a file.
    pub max_chunk_count: u64,
    /// The maximum size of a part, in bytes.
    pub max_chunk_size: u64,
    /// The minimum size of each part except the last, in bytes.
    pub min_chunk_size: u64,
    /// What it takes in one batch; absent where it knows no batches, as the service.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub batches: Option<BatchLimits>,
    /// Whether clients should confirm what they have downloaded: [`ConfirmDownload`](crate::ConfirmDownload).
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "std::ops::Not::not")]
    pub confirm_downloads: bool,
    /// Whether a file may be announced without its size, to be told when it is finalized: a file that is still being written.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "std::ops::Not::not")]
    pub growing_files: bool,
}

impl Default for Limits {
    /// The limits of S3, which the service is built on.
    fn default() -> Self {
        Self {
            max_chunk_count: 10_000,
            max_chunk_size: 5 << 30,
            min_chunk_size: 5 << 20,
            batches: None,
            confirm_downloads: false,
            growing_files: false,
        }
    }
}

/// `GET /healthz`: whether a hub is healthy. The hub's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`; an unhealthy hub responds with an error instead.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub status: String,
    /// What whoever runs the hub must look at, as words for programs; absent where all is well.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Health {
    /// The response of a healthy hub.
    #[must_use]
    pub fn ok() -> Self {
        Self { status: "ok".to_owned(), problems: Vec::new() }
    }
}

/// An object without fields: the request that finalizes a package, and the response to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}
