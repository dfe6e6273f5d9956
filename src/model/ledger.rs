//! What is known of each path below a watched folder.

use std::path::PathBuf;

use jiff::Timestamp;
use masv_platform::FileIdentity;
use serde::{Deserialize, Serialize};

use super::UploadId;

/// What the ledger says of a path below a watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Path relative to the watched folder.
    pub path: PathBuf,
    /// What the file was like when the entry was made.
    pub identity: FileIdentity,
    /// What became of it.
    pub outcome: Outcome,
    /// The upload it went into.
    pub upload: Option<UploadId>,
    /// When the entry was made or last changed.
    pub at: Timestamp,
    /// BLAKE3 of the content, hexadecimal, once the cloud has it; not known of what was never sent.
    pub checksum: Option<String>,
    /// Whether the upload that claimed it has failed, and not because its files could not be read: with this content it will
    /// not succeed by itself.
    pub failed: bool,
}

/// What became of a file below a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It belongs to an upload that is not complete.
    Claimed,
    /// The cloud has confirmed the package it is in.
    Sent,
    /// It was there before the rule's first start, or somebody said that it counts as sent.
    Skipped,
    /// Its upload was removed before it was complete: it is sent again only when somebody asks.
    Cancelled,
}
