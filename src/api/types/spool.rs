//! Files that a browser sends to the agent, which sends them on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::UploadId;

/// Announces files that are to be received.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewSpool {
    /// The files.
    #[schemars(length(min = 1, max = 100_000))]
    pub files: Vec<NewSpoolFile>,
}

/// A file to be received.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSpoolFile {
    /// Its path in the package: relative, with `/` between names.
    #[schemars(length(min = 1, max = 4_096))]
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last modified, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 253_402_300_799_999_u64))]
    pub modified: Option<u64>,
}

/// What is being received.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Spooled {
    /// Its id, for `spool` of an upload, which will have the same id.
    pub id: UploadId,
    /// The files, without those that systems leave in folders.
    pub files: Vec<SpooledFile>,
}

/// A file that is being received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpooledFile {
    /// Its number in the spool.
    pub number: u32,
    /// Its path in the package.
    pub path: String,
    /// Bytes, as announced.
    pub size: u64,
    /// Bytes that are there; the next piece begins here.
    pub received: u64,
}
