//! The folders of the agent's machine, as somebody sees them who chooses what to send.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is in a folder, or the folders to begin at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FolderListing {
    /// The folder; absent for the folders to begin at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The folder above it, if the caller may see that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Folders first, each kind by name.
    pub entries: Vec<FolderEntry>,
    /// How many entries more there are than are listed.
    pub more: u64,
    /// Entries that cannot be chosen: links, devices, names that are not valid UTF-8, what belongs to the agent itself.
    pub skipped: u64,
}

/// A file or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FolderEntry {
    /// Its name.
    pub name: String,
    /// Its absolute path.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was last modified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<Timestamp>,
}
