//! An upload as it is ordered ([`UploadSpec`]) and as it stands ([`Upload`]), its files, parts and links.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use masv_platform::{FileIdentity, PathBeneath};
use masv_protocol::{FileId, MultipartId, PackagePath, TeamId};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Filter, Problem, RemotePackage, State, Totals, UploadId};

/// Everything needed to make one upload: what a command, a REST call and a rule all boil down to.
#[derive(Debug, Clone)]
pub struct UploadSpec {
    /// Who gets it, and how.
    pub destination: Destination,
    /// Name of the package.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// What the recipients must type to open it.
    pub password: Option<SecretString>,
    /// Options of the link and of the package's life.
    pub options: PackageOptions,
    /// The team that sends; `None` leaves it to the session (portals need none).
    pub team_id: Option<TeamId>,
    /// Bytes of a part; `None` takes the agent's setting.
    pub chunk_size: Option<u64>,
    /// Higher goes first.
    pub priority: i32,
    /// Whether the package is finalized by itself when all is uploaded.
    pub auto_finalize: bool,
    /// The rule that made it.
    pub rule: Option<String>,
    /// What is sent.
    pub files: Vec<SourceFile>,
}

/// Who gets a package.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Each address is mailed a link.
    Email {
        /// Addresses.
        recipients: Vec<String>,
    },
    /// Whoever has the link.
    Link,
    /// A portal's owners.
    Portal {
        /// The portal's name in the cloud.
        subdomain: String,
        /// The sender's mail address.
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

/// Options of a package that is sent by link or mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageOptions {
    /// Days until the package is deleted.
    pub delete_after: Option<u32>,
    /// How often it may be downloaded.
    pub download_limit: Option<u64>,
    /// Name of a tag, made when there is none of that name.
    pub tag_name: Option<String>,
    /// Id of a tag.
    pub tag_id: Option<String>,
    /// The teamspace it belongs to.
    pub teamspace_id: Option<String>,
    /// Whether it is kept until somebody deletes it.
    pub unlimited_storage: bool,
}

/// A file to send, as it was when it was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it goes in the package.
    pub path: PackagePath,
    /// Where it is on this machine.
    pub source: PathBeneath,
    /// What it was like when it was chosen.
    pub identity: FileIdentity,
    /// Id of the user who owned it then, where that is known: a file that takes its place must be that user's too.
    pub owner: Option<u32>,
    /// Its path relative to the rule's folder, for uploads that a rule makes: the ledger's key.
    pub claim: Option<PathBuf>,
}

/// Kind of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadKind {
    /// To mail addresses.
    Email,
    /// To whoever has the link.
    Link,
    /// Into a portal.
    Portal,
}

/// State of one file of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Not begun.
    Waiting,
    /// Begun.
    Sending,
    /// The cloud has it whole.
    Done,
    /// It can not be sent; its error says why.
    Error,
    /// It vanished before it was sent.
    Gone,
    /// It vanished, and somebody had the others sent without it.
    LeftOut,
}

/// A link to a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The cloud's id of the link.
    pub id: String,
    /// The address to give away.
    pub url: String,
    /// The address it was mailed to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// An upload as the database knows it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Its place among uploads of equal priority; smaller goes first.
    pub position: i64,
    /// Who gets it.
    pub destination: Destination,
    /// Name of the package.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// What the recipients must type.
    pub password: Option<SecretString>,
    /// Options of the package.
    pub options: PackageOptions,
    /// The sending team.
    pub team_id: Option<TeamId>,
    /// Bytes of a part, as ordered.
    pub chunk_size: Option<u64>,
    /// Higher goes first.
    pub priority: i32,
    /// Finalized by itself when all is uploaded.
    pub auto_finalize: bool,
    /// The rule that made it.
    pub rule: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Whether the package may have been finalized already, so that nothing can be added to it.
    pub closing: bool,
    /// Why it is in [`State::Error`].
    pub problem: Option<Problem>,
    /// The cloud's package, once made.
    pub package: Option<RemotePackage>,
    /// Links made so far.
    pub links: Vec<Link>,
    /// Files and bytes, and how many of them the cloud has confirmed.
    pub totals: Totals,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When its package was made.
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
    /// Where it goes in the package.
    pub path: PackagePath,
    /// Where it is on this machine.
    pub source: PathBeneath,
    /// What it was like when it was chosen.
    pub identity: FileIdentity,
    /// Id of the user who owned it then, where that is known.
    pub owner: Option<u32>,
    /// Where it stands.
    pub state: FileState,
    /// The cloud's side of it, once begun.
    pub remote: Option<RemoteFile>,
    /// Bytes the storage has confirmed.
    pub bytes_done: u64,
    /// BLAKE3 of the content, hexadecimal, once it was sent.
    pub checksum: Option<String>,
    /// Why it is in [`FileState::Error`] or [`FileState::Gone`].
    pub problem: Option<Problem>,
}

/// A file begun in the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// The cloud's id of the file.
    pub id: FileId,
    /// The storage's id of the multipart upload.
    pub multipart_id: MultipartId,
    /// Bytes of each part but the last.
    pub chunk_size: u64,
}

/// A part that the storage has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// The storage's tag of it, verbatim.
    pub etag: String,
    /// The part's share of the file's BLAKE3 tree (see `transfer::tree`).
    pub tree: Vec<u8>,
}

/// Which uploads [`Store::uploads`](super::Store::uploads) lists.
pub type UploadFilter = Filter<UploadId>;
