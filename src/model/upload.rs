//! An upload as requested ([`UploadSpec`]) and its current status ([`Upload`]), its files, parts and links.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use masv_platform::{FileIdentity, PathBeneath};
use masv_protocol::{FileId, MultipartId, PackagePath, TeamId};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::source_files::SourceFiles;
use super::{Filter, Problem, RemotePackage, State, Totals, UploadId};

/// Everything needed to create one upload: what a command, a REST call and a rule all come down to.
#[derive(Debug, Clone)]
pub struct UploadSpec {
    /// Who gets it, and how.
    pub destination: Destination,
    /// Name of the package.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// The password for the recipients.
    pub password: Option<SecretString>,
    /// Options of the link and of the package's lifetime.
    pub options: PackageOptions,
    /// The team to send as; `None` for the session's team (portals need none).
    pub team_id: Option<TeamId>,
    /// Part size in bytes; `None` for the agent's setting.
    pub chunk_size: Option<u64>,
    /// Higher priorities go first.
    pub priority: i32,
    /// Whether the package is finalized automatically once everything is uploaded.
    pub auto_finalize: bool,
    /// The rule that created it.
    pub rule: Option<String>,
    /// What is sent.
    pub files: SourceFiles,
}

/// Who gets a package.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Each address is e-mailed a link.
    Email {
        /// Addresses.
        recipients: Vec<String>,
    },
    /// Anyone who has the link.
    Link,
    /// A portal's owners.
    Portal {
        /// The portal's name in the cloud.
        subdomain: String,
        /// The sender's e-mail address.
        sender: String,
        /// The portal's access code, if it asks for one.
        access_code: Option<SecretString>,
        /// Values for the portal's form.
        metadata: BTreeMap<String, String>,
    },
}

impl Destination {
    /// Which of the three it is.
    #[must_use]
    pub fn kind(&self) -> UploadKind {
        match self {
            Self::Email { .. } => UploadKind::Email,
            Self::Link => UploadKind::Link,
            Self::Portal { .. } => UploadKind::Portal,
        }
    }
}

/// Options of a package sent by link or e-mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageOptions {
    /// Days until the package is deleted.
    pub delete_after: Option<u32>,
    /// How many times it may be downloaded.
    pub download_limit: Option<u64>,
    /// Name of a tag; created if there is none with that name.
    pub tag_name: Option<String>,
    /// Id of a tag.
    pub tag_id: Option<String>,
    /// The teamspace it belongs to.
    pub teamspace_id: Option<String>,
    /// Whether it is kept until it is deleted by hand.
    pub unlimited_storage: bool,
    /// The checksum list of what was sent that is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<SentList>,
}

/// Kind of a checksum list that is added to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SentList {
    /// A generation of an ASC MHL history, with XXH64, and its chain.
    AscMhl,
    /// Lines as `md5sum` writes them.
    Md5,
}

/// A file to send, as it was when it was found complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path in the package.
    pub path: PackagePath,
    /// Its path on this machine.
    pub source: PathBeneath,
    /// Its identity when it was chosen.
    pub identity: FileIdentity,
    /// Id of the user who owned it then, if known: a file that replaces it must belong to the same user.
    pub owner: Option<u32>,
    /// Its path relative to the rule's folder, for uploads created by a rule: the ledger's key.
    pub claim: Option<PathBuf>,
    /// BLAKE3 hash, in hexadecimal, of the content that was compared with checksum lists: nothing else is sent.
    pub verified: Option<String>,
    /// It is still being written, and sent meanwhile: bytes before its end that are left alone.
    pub guard: Option<u64>,
}

/// How far the writing of a file is that was begun to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Growth {
    /// It was complete when it was chosen, as most files.
    #[default]
    Whole,
    /// It is being written. Whole parts are sent that end before the last `guard` bytes.
    Growing {
        /// Bytes.
        guard: u64,
    },
    /// It is complete. What was sent before it was is compared with it before it is finalized.
    Unproven,
}

/// A file that is sent while it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrowingFile {
    /// Relative to its rule's folder.
    pub claim: PathBuf,
    /// The upload it is in.
    pub upload: UploadId,
    /// As it was seen last when something of it was sent.
    pub identity: FileIdentity,
    /// Bytes of it that the storage has confirmed.
    pub bytes_done: u64,
}

/// Kind of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadKind {
    /// To e-mail addresses.
    Email,
    /// To anyone who has the link.
    Link,
    /// To a portal.
    Portal,
}

/// State of one file of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Not started.
    Waiting,
    /// Started.
    Sending,
    /// The cloud has it completely.
    Done,
    /// It cannot be sent; its error says why.
    Error,
    /// It disappeared before it was sent.
    Gone,
    /// It disappeared, and the others were sent without it on request.
    LeftOut,
}

/// A link to a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The link's id in the cloud.
    pub id: String,
    /// The URL to share.
    pub url: String,
    /// The address it was e-mailed to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// An upload as the database knows it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Its position among uploads of equal priority; smaller goes first.
    pub position: i64,
    /// Who gets it.
    pub destination: Destination,
    /// Name of the package.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// The password for the recipients.
    pub password: Option<SecretString>,
    /// Options of the package.
    pub options: PackageOptions,
    /// The sending team.
    pub team_id: Option<TeamId>,
    /// The requested part size in bytes.
    pub chunk_size: Option<u64>,
    /// Higher priorities go first.
    pub priority: i32,
    /// Finalized automatically once everything is uploaded.
    pub auto_finalize: bool,
    /// The rule that created it.
    pub rule: Option<String>,
    /// Its state.
    pub state: State,
    /// Whether the package may already be finalized, so that nothing can be added to it.
    pub closing: bool,
    /// Why it is in [`State::Error`].
    pub problem: Option<Problem>,
    /// The cloud's package, once created.
    pub package: Option<RemotePackage>,
    /// Links created so far.
    pub links: Vec<Link>,
    /// Files and bytes, and how many of them the cloud has confirmed.
    pub totals: Totals,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its package was created.
    pub started_at: Option<Timestamp>,
    /// When everything was uploaded.
    pub idle_at: Option<Timestamp>,
    /// When it was finalized.
    pub completed_at: Option<Timestamp>,
}

impl Upload {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> UploadKind {
        self.destination.kind()
    }
}

/// One file of an upload as the database knows it.
#[derive(Debug, Clone)]
pub struct File {
    /// Its number in the upload, from 0.
    pub number: u32,
    /// Its path in the package.
    pub path: PackagePath,
    /// Its path on this machine.
    pub source: PathBeneath,
    /// Its identity when it was chosen.
    pub identity: FileIdentity,
    /// Id of the user who owned it then, if known.
    pub owner: Option<u32>,
    /// BLAKE3 hash, in hexadecimal, of the content that was compared with checksum lists: nothing else is sent.
    pub verified: Option<String>,
    /// Whether it is, or was, sent while it is written.
    pub growth: Growth,
    /// Its state.
    pub state: FileState,
    /// The cloud's side of it, once started.
    pub remote: Option<RemoteFile>,
    /// Bytes the storage has confirmed.
    pub bytes_done: u64,
    /// BLAKE3 hash of the content in hexadecimal, once it was sent.
    pub checksum: Option<String>,
    /// Why it is in [`FileState::Error`] or [`FileState::Gone`].
    pub problem: Option<Problem>,
}

/// A file started in the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// The cloud's id of the file.
    pub id: FileId,
    /// The storage's id of the multipart upload.
    pub multipart_id: MultipartId,
    /// Size of each part except the last, in bytes.
    pub chunk_size: u64,
}

/// A part that the storage has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Its ETag from the storage, verbatim.
    pub etag: String,
    /// The part's share of the file's BLAKE3 tree (see `transfer::tree`).
    pub tree: Vec<u8>,
}

/// Which uploads [`Store::uploads`](crate::store::Store::uploads) lists.
pub type UploadFilter = Filter<UploadId>;
