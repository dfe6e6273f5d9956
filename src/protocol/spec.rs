//! What a server says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BatchLimits, lenient};

/// `GET /v1/system/packages/spec`: what files may be made of. Documented by the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// The most parts of a file.
    pub max_chunk_count: u64,
    /// The most bytes of a part.
    pub max_chunk_size: u64,
    /// The fewest bytes of a part that is not the last.
    pub min_chunk_size: u64,
    /// What it takes in one batch; absent where it knows no batches, as the service.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "Option::is_none")]
    pub batches: Option<BatchLimits>,
}

impl Default for Limits {
    /// Those of S3, on which the service stands.
    fn default() -> Self {
        Self { max_chunk_count: 10_000, max_chunk_size: 5 << 30, min_chunk_size: 5 << 20, batches: None }
    }
}

/// `GET /healthz`: whether a hub can work. The hub's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`; a hub that cannot work answers with an error instead.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub status: String,
    /// What whoever runs the hub must look at, as words for programs; absent where all is well.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Health {
    /// The answer of a hub that can work.
    #[must_use]
    pub fn ok() -> Self {
        Self { status: "ok".to_owned(), problems: Vec::new() }
    }
}

/// An object without fields: the request that finalizes a package, and the answer to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}
