//! What is known about each path below a watched folder.

use std::path::PathBuf;

use jiff::Timestamp;
use masv_platform::FileIdentity;
use serde::{Deserialize, Serialize};

use super::UploadId;

/// The ledger's entry for a path below a watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Path relative to the watched folder.
    pub path: PathBuf,
    /// The file's identity when the entry was created.
    pub identity: FileIdentity,
    /// What became of it.
    pub outcome: Outcome,
    /// The upload it went into.
    pub upload: Option<UploadId>,
    /// When the entry was created or last changed.
    pub at: Timestamp,
    /// BLAKE3 hash of the content in hexadecimal, once the cloud has it; not known for files that were never sent.
    pub checksum: Option<String>,
    /// Whether the upload that claimed it has failed for a reason other than unreadable files: with this content it will
    /// not succeed without a change.
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
    /// It existed before the rule's first start, or was marked as sent.
    Skipped,
    /// Its upload was removed before it was complete: it is sent again only on request.
    Cancelled,
}
