//! Downloads, and requests for them.

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

/// A download as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Download {
    /// Its id.
    pub id: DownloadId,
    /// The fields in common with uploads; never idle.
    #[serde(flatten)]
    pub standing: Standing,
    /// Name of the package, once known.
    pub name: Option<String>,
    /// Where the package comes from, without the secret of the link.
    pub source: String,
    /// The destination folder; bytes that are not valid UTF-8 are shown as `�`.
    pub dst_folder: String,
    /// Whether it gets its own folder in the destination.
    pub create_package_folder: bool,
    /// The package's id in the cloud, once known.
    pub package_id: Option<String>,
    /// Its files, if requested.
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

/// A file of a download as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DownloadedFile {
    /// Its number in the download.
    pub id: u32,
    /// Its id in the cloud, as accepted by `file_ids`.
    pub file_id: String,
    /// Its path below the destination.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Bytes on disk.
    pub progress: u64,
    /// Its state.
    pub state: DownloadFileState,
    /// BLAKE3 hash in hexadecimal, once it was received.
    pub checksum: Option<String>,
    /// Why it cannot be downloaded.
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

/// A request for a download.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct NewDownload {
    /// The link.
    #[schemars(url)]
    pub url: String,
    /// The destination folder, absolute; created if it is missing.
    #[schemars(regex(pattern = "^/"))]
    pub dst_folder: PathBuf,
    /// The link's password.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// Whether the package gets its own folder in the destination.
    #[serde(default = "yes")]
    pub create_package_folder: bool,
    /// The ids of the wanted files in the cloud; absent for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_ids: Vec<String>,
    /// Higher priorities go first.
    #[serde(default)]
    pub priority: i32,
    /// Replace existing files.
    #[serde(default)]
    pub overwrite: bool,
    /// Numeric user id of the owner of the files; absent for the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Numeric group id of the files; absent for the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

fn yes() -> bool {
    true
}

/// The response to a request for a download.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DownloadStarted {
    /// Its id.
    pub download_id: DownloadId,
}

/// Changes to a download.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DownloadChange {
    /// Higher priorities go first.
    pub priority: i32,
}
