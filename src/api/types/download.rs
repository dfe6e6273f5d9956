//! Downloads, and orders for them.

use std::ops::Deref;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::standing::Times;
use super::{Standing, exposed};
use crate::engine::Live;
use crate::model;
use crate::model::DownloadId;
use crate::model::{DownloadFileState, Problem};

/// A download as the interface shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Download {
    /// Its id.
    pub id: DownloadId,
    /// What it has in common with uploads; never idle.
    #[serde(flatten)]
    pub standing: Standing,
    /// Name of the package, once known.
    pub name: Option<String>,
    /// Where the package comes from, without what opens it.
    pub source: String,
    /// The folder it goes into; bytes that are no UTF-8 are shown as `�`.
    pub dst_folder: String,
    /// Whether it gets a folder of its own in there.
    pub create_package_folder: bool,
    /// The cloud's id of the package, once known.
    pub package_id: Option<String>,
    /// Its files, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<DownloadedFile>>,
}

impl Download {
    /// The download as the store and the engine know it.
    #[must_use]
    pub fn new(download: model::Download, live: Option<Live>) -> Self {
        let times =
            Times { created: download.created_at, started: download.started_at, completed: download.completed_at };
        let spec = download.spec;
        let source = match &spec.source {
            model::DownloadSource::Link { id, .. } => format!("{}/{id}", spec.api),
            model::DownloadSource::Inbox(delivered) => format!("{} (portal {})", spec.api, delivered.portal),
        };
        Self {
            id: download.id,
            standing: Standing::new(
                download.state,
                download.problem,
                spec.priority,
                spec.rule,
                download.totals,
                times,
                live,
            ),
            name: download.name,
            source,
            dst_folder: spec.destination.to_string_lossy().into_owned(),
            create_package_folder: spec.package_folder,
            package_id: download.package.map(|package| package.id.into_string()),
            files: None,
        }
    }
}

impl Deref for Download {
    type Target = Standing;

    fn deref(&self) -> &Standing {
        &self.standing
    }
}

/// A file of a download as the interface shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DownloadedFile {
    /// Its number in the download.
    pub id: u32,
    /// The cloud's id, as `file_ids` takes it.
    pub file_id: String,
    /// Its path below the destination.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Bytes on the disk.
    pub progress: u64,
    /// Where it stands.
    pub state: DownloadFileState,
    /// BLAKE3, hexadecimal, once it was received.
    pub checksum: Option<String>,
    /// Why it can not be had.
    pub error: Option<Problem>,
}

impl From<model::DownloadFile> for DownloadedFile {
    fn from(file: model::DownloadFile) -> Self {
        Self {
            id: file.number,
            file_id: file.wanted.remote_id.into_string(),
            path: file.wanted.path,
            size: file.wanted.size,
            progress: file.bytes_done,
            state: file.state,
            checksum: file.checksum,
            error: file.problem,
        }
    }
}

/// An order for a download.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct NewDownload {
    /// The link.
    pub url: String,
    /// The folder it goes into, absolute; made where it is missing.
    pub dst_folder: PathBuf,
    /// What the link asks for.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// Whether the package gets a folder of its own in there.
    #[serde(default = "yes")]
    pub create_package_folder: bool,
    /// The cloud's ids of the wanted files; absent for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_ids: Vec<String>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Replace files that are there already.
    #[serde(default)]
    pub overwrite: bool,
    /// Number of the user who owns what is written; absent for the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number of the group that owns what is written; absent for the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

fn yes() -> bool {
    true
}

/// The answer to an order for a download.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DownloadStarted {
    /// Its id.
    pub download_id: DownloadId,
}

/// What to change of a download.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DownloadChange {
    /// Higher goes first.
    pub priority: i32,
}
