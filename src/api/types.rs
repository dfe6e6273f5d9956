//! The wire types of the local API, both ways: the server writes what the command line reads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::base::{DownloadId, UploadId};
use crate::store::{self, Activity, DownloadFileState, FileState, Link, Order, Problem, State, UploadKind};
use crate::transfer::Live;

/// An answer that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The HTTP status, or a code of the documented product.
    pub code: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Bad fields by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// An upload as the interface shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Its kind.
    pub kind: UploadKind,
    /// Where it stands.
    pub state: State,
    /// What it does now, while it transfers.
    pub activity: Option<Activity>,
    /// Name of the package.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// The cloud's id of the package.
    pub package_id: Option<String>,
    /// The sending team.
    pub team_id: Option<String>,
    /// The rule that made it.
    pub rule: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Bytes confirmed by the storage.
    pub progress: u64,
    /// Bytes on their way, not confirmed yet.
    pub in_flight: u64,
    /// Files in it.
    pub file_count: u64,
    /// Files that the cloud has whole.
    pub files_done: u64,
    /// Bytes a second, a moving average.
    pub speed_bps: u64,
    /// Time left at this speed.
    pub eta_seconds: Option<u64>,
    /// Bytes of a part, as ordered; absent takes the agent's setting.
    pub chunk_size: Option<u64>,
    /// Finalized by itself when all is uploaded.
    pub auto_finalize: bool,
    /// Links made so far.
    pub links: Vec<Link>,
    /// Why it failed, or what it waits for.
    pub error: Option<Problem>,
    /// Failed tries of what is being retried.
    pub attempts: u32,
    /// When the next try is made.
    pub next_retry_at: Option<Timestamp>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When its package was made.
    pub started_at: Option<Timestamp>,
    /// When everything was uploaded.
    pub idle_at: Option<Timestamp>,
    /// When it was finalized.
    pub completed_at: Option<Timestamp>,
    /// Its files, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<File>>,
}

impl Upload {
    /// The upload as the store and the engine know it.
    #[must_use]
    pub fn new(upload: store::Upload, live: Option<Live>) -> Self {
        let transferring = upload.state == State::Transferring;
        let live = live.filter(|_| transferring);
        let waiting = live.as_ref().and_then(|live| live.reason.clone()).map(Problem::retrying);
        Self {
            kind: upload.kind(),
            activity: transferring.then(|| live.as_ref().map_or(Activity::Queued, |live| live.activity)),
            package_id: upload.package.as_ref().map(|package| package.id.clone()),
            size: upload.totals.bytes,
            progress: upload.totals.bytes_done,
            in_flight: live.as_ref().map_or(0, |live| live.in_flight),
            file_count: upload.totals.files,
            files_done: upload.totals.files_done,
            speed_bps: live.as_ref().map_or(0, |live| live.speed_bps),
            eta_seconds: live.as_ref().and_then(|live| live.eta).map(|eta| eta.as_secs()),
            error: upload.problem.or(waiting),
            attempts: live.as_ref().map_or(0, |live| live.attempts),
            next_retry_at: live.and_then(|live| live.next_retry_at),
            id: upload.id,
            state: upload.state,
            name: upload.name,
            description: upload.description,
            priority: upload.priority,
            team_id: upload.team_id,
            rule: upload.rule,
            chunk_size: upload.chunk_size,
            auto_finalize: upload.auto_finalize,
            links: upload.links,
            created_at: upload.created_at,
            started_at: upload.started_at,
            idle_at: upload.idle_at,
            completed_at: upload.completed_at,
            files: None,
        }
    }
}

/// A file of an upload as the interface shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct File {
    /// Its number in the upload.
    pub id: u32,
    /// Its path in the package.
    pub path: String,
    /// Where it is on this machine; bytes that are no UTF-8 are shown as `�`.
    pub source: String,
    /// Bytes.
    pub size: u64,
    /// Bytes confirmed by the storage.
    pub progress: u64,
    /// Where it stands.
    pub state: FileState,
    /// BLAKE3, hexadecimal, once it was sent.
    pub checksum: Option<String>,
    /// Why it can not be sent.
    pub error: Option<Problem>,
}

impl From<store::File> for File {
    fn from(file: store::File) -> Self {
        Self {
            id: file.number,
            path: file.path.to_string(),
            source: file.source.to_string_lossy().into_owned(),
            size: file.identity.size,
            progress: file.bytes_done,
            state: file.state,
            checksum: file.checksum,
            error: file.problem,
        }
    }
}

/// The answer to a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transfers {
    /// Newest first.
    pub transfers: Vec<Upload>,
    /// Give it as `cursor` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

fn exposed<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose_secret()),
        None => serializer.serialize_none(),
    }
}

/// A download as the interface shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Download {
    /// Its id.
    pub id: DownloadId,
    /// Where it stands; never idle.
    pub state: State,
    /// What it does now, while it transfers.
    pub activity: Option<Activity>,
    /// Name of the package, once known.
    pub name: Option<String>,
    /// Where the package comes from, without what opens it.
    pub source: String,
    /// The folder it goes into; bytes that are no UTF-8 are shown as `�`.
    pub dst_folder: String,
    /// Whether it gets a folder of its own in there.
    pub create_package_folder: bool,
    /// Higher goes first.
    pub priority: i32,
    /// The cloud's id of the package, once known.
    pub package_id: Option<String>,
    /// The rule that made it.
    pub rule: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Bytes on the disk.
    pub progress: u64,
    /// Bytes on their way, not flushed yet.
    pub in_flight: u64,
    /// Files in it.
    pub file_count: u64,
    /// Files in their places.
    pub files_done: u64,
    /// Bytes a second, a moving average.
    pub speed_bps: u64,
    /// Time left at this speed.
    pub eta_seconds: Option<u64>,
    /// Why it failed, or what it waits for.
    pub error: Option<Problem>,
    /// Failed tries of what is being retried.
    pub attempts: u32,
    /// When the next try is made.
    pub next_retry_at: Option<Timestamp>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When its files became known.
    pub started_at: Option<Timestamp>,
    /// When all was on the disk.
    pub completed_at: Option<Timestamp>,
    /// Its files, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<DownloadedFile>>,
}

impl Download {
    /// The download as the store and the engine know it.
    #[must_use]
    pub fn new(download: store::Download, live: Option<Live>) -> Self {
        let transferring = download.state == State::Transferring;
        let live = live.filter(|_| transferring);
        let waiting = live.as_ref().and_then(|live| live.reason.clone()).map(Problem::retrying);
        let source = match &download.spec.source {
            store::DownloadSource::Link { id, .. } => format!("{}/{id}", download.spec.api),
            store::DownloadSource::Package(_) => download.spec.api.clone(),
        };
        Self {
            id: download.id,
            state: download.state,
            activity: transferring.then(|| live.as_ref().map_or(Activity::Queued, |live| live.activity)),
            name: download.name,
            source,
            dst_folder: download.spec.destination.to_string_lossy().into_owned(),
            create_package_folder: download.spec.package_folder,
            priority: download.spec.priority,
            package_id: download.package.map(|package| package.id),
            rule: download.spec.rule,
            size: download.totals.bytes,
            progress: download.totals.bytes_done,
            in_flight: live.as_ref().map_or(0, |live| live.in_flight),
            file_count: download.totals.files,
            files_done: download.totals.files_done,
            speed_bps: live.as_ref().map_or(0, |live| live.speed_bps),
            eta_seconds: live.as_ref().and_then(|live| live.eta).map(|eta| eta.as_secs()),
            error: download.problem.or(waiting),
            attempts: live.as_ref().map_or(0, |live| live.attempts),
            next_retry_at: live.and_then(|live| live.next_retry_at),
            created_at: download.created_at,
            started_at: download.started_at,
            completed_at: download.completed_at,
            files: None,
        }
    }
}

/// A file of a download as the interface shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Why it can not be had.
    pub error: Option<Problem>,
}

impl From<store::DownloadFile> for DownloadedFile {
    fn from(file: store::DownloadFile) -> Self {
        Self {
            id: file.number,
            file_id: file.wanted.remote_id,
            path: file.wanted.path,
            size: file.wanted.size,
            progress: file.bytes_done,
            state: file.state,
            error: file.problem,
        }
    }
}

/// The answer to a list of downloads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DownloadList {
    /// Newest first.
    pub transfers: Vec<Download>,
    /// Give it as `cursor` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// An order for a download.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NewDownload {
    /// The link.
    pub url: String,
    /// The folder it goes into, absolute; made where it is missing.
    pub dst_folder: PathBuf,
    /// What the link asks for.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
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
}

fn yes() -> bool {
    true
}

/// The answer to an order for a download.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DownloadStarted {
    /// Its id.
    pub download_id: DownloadId,
}

/// What to change of a download.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadChange {
    /// Higher goes first.
    pub priority: i32,
}

/// What all orders for an upload have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Common {
    /// Absolute paths of files and folders.
    pub paths: Vec<PathBuf>,
    /// Name of the package; the first path's where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// Message to the recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_description: Option<String>,
    /// What recipients must type; of a portal its access code.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub password: Option<SecretString>,
    /// Bytes of a part: a number, or `64MB`, `64MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<Size>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Whether it is finalized by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_finalize: Option<bool>,
    /// Globs of what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// An order for an upload by link or mail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NewUpload {
    /// What all orders have.
    #[serde(flatten)]
    pub common: Common,
    /// The sending team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// Addresses to mail; absent makes a link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Days until the package is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<u32>,
    /// How often it may be downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// Tag by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_name: Option<String>,
    /// Tag by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_id: Option<String>,
    /// Teamspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teamspace_id: Option<String>,
    /// Kept until somebody deletes it.
    #[serde(default)]
    pub unlimited_storage: bool,
}

/// An order for an upload into a portal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NewPortalUpload {
    /// What all orders have.
    #[serde(flatten)]
    pub common: Common,
    /// The portal's name.
    pub subdomain: String,
    /// The sender's mail address.
    pub sender: String,
    /// Values for the portal's form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The answer to an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Started {
    /// Its id.
    pub upload_id: UploadId,
    /// The link, where it is a link upload and the cloud could be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Files to add.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MoreFiles {
    /// Absolute paths of files and folders.
    pub paths: Vec<PathBuf>,
    /// Globs of what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// What to change of an upload.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Its place among equals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whether it is finalized by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_finalize: Option<bool>,
}

/// A link to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NewLink {
    /// What recipients must type.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub password: Option<SecretString>,
    /// Mailed to this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// How many were changed or removed by an order for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    #[serde(alias = "paused", alias = "resumed", alias = "removed")]
    pub removed: u64,
}

/// Who signs in.
#[derive(Debug, Deserialize)]
pub struct Login {
    /// Mail address.
    pub email: String,
    /// Password.
    pub password: SecretString,
}

/// How many parts may be on their way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Parts at once, over all uploads.
    pub workers: usize,
}

/// How many uploads are worked on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FifoMode {
    /// Uploads at once; the others wait for their turn.
    pub active_upload_count: usize,
}

/// The agent about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// Of the program.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// Where it keeps its state.
    pub data_dir: String,
    /// The cloud it sends to.
    pub cloud: String,
    /// Whether that is the hub in its own process.
    pub embedded_hub: bool,
    /// Whether team calls are authorised.
    pub signed_in: bool,
    /// The rules file.
    pub rules_file: Option<String>,
    /// Rules at work.
    pub rules: usize,
    /// Uploads by state.
    pub uploads: BTreeMap<String, u64>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Green,
    /// It works, and somebody should look.
    Amber,
    /// It does not work.
    Red,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it stands.
    pub grade: Grade,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// One after the other.
    pub checks: Vec<Check>,
}

/// A size in bytes, written as a number or as `64MB`, `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| {
            format!(
                "{text:?} is no size: write bytes, or a number with a unit such as 64MB (decimal) or 64MiB (binary)"
            )
        })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        let cases = [("64MB", 64_000_000), ("64MiB", 64 << 20), ("104857600", 104_857_600), ("1.5 GiB", 3 << 29)];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Size>().unwrap().0, bytes, "{text}");
        }
        assert!("much".parse::<Size>().unwrap_err().contains("64MiB"));
    }
}
