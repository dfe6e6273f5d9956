//! Settings that are changed at run time and persist across restarts, each with its key in the database.
//!
//! These are the agent's internal values: the local API has its own types, so that one can change
//! without the other. A field that an older agent did not store reads as "not set".

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A setting as stored.
pub trait Setting: Serialize + DeserializeOwned + Send + 'static {
    /// Its key in the database; never changed.
    const KEY: &'static str;
}

/// Parts in flight at once; 0: as many as bring more. `None` leaves it to what the agent was started with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptWorkers {
    /// Across all uploads.
    #[serde(rename = "workers")]
    pub uploads: Option<usize>,
    /// Across all downloads.
    #[serde(rename = "download_workers")]
    pub downloads: Option<usize>,
}

impl Setting for KeptWorkers {
    const KEY: &'static str = "workers";
}

/// Transfers that run at once; the others are queued. `None` for the value the agent was started with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptFifo {
    /// Uploads at once.
    #[serde(rename = "active_upload_count")]
    pub uploads: Option<usize>,
    /// Downloads at once.
    #[serde(rename = "active_download_count")]
    pub downloads: Option<usize>,
}

impl Setting for KeptFifo {
    const KEY: &'static str = "fifo_mode";
}

/// Files being read at once, across all uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOpenFiles {
    /// How many.
    pub open_files: usize,
}

impl Setting for KeptOpenFiles {
    const KEY: &'static str = "open_files";
}

/// Parts being read at once from each file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDiskReaders {
    /// How many.
    pub disk_readers: usize,
}

impl Setting for KeptDiskReaders {
    const KEY: &'static str = "disk_readers";
}

/// The clouds, by name, that refuse a file of another size than it was announced with: to them no file is sent while it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptExactSizes {
    /// Their names.
    pub clouds: HashSet<String>,
}

impl Setting for KeptExactSizes {
    const KEY: &'static str = "exact_sizes";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_agent_kept_is_read() {
        let kept: KeptWorkers = serde_json::from_str(r#"{"workers":6}"#).unwrap();
        assert_eq!(kept, KeptWorkers { uploads: Some(6), downloads: None });
        let kept: KeptFifo = serde_json::from_str(r#"{"active_upload_count":1,"active_download_count":2}"#).unwrap();
        assert_eq!(kept, KeptFifo { uploads: Some(1), downloads: Some(2) });
        let kept: KeptOpenFiles = serde_json::from_str(r#"{"open_files":3}"#).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), r#"{"open_files":3}"#);
    }
}
