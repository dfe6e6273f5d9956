//! Downloads as types: requests ([`DownloadSpec`]), their current status ([`Download`]), their files.

use std::path::PathBuf;

use jiff::Timestamp;
use masv_platform::PathBeneath;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use masv_protocol::{FileId, PackageId, TeamId};

use super::{DownloadId, Filter, Problem, RemotePackage, State, Totals};

/// Everything needed to download one package.
#[derive(Debug, Clone)]
pub struct DownloadSpec {
    /// Base URL of the cloud that has it.
    pub api: String,
    /// What authorises reading it.
    pub source: DownloadSource,
    /// The destination folder, absolute.
    pub destination: PathBuf,
    /// The folder below which it may be written, if there is one: no link is followed beneath. Otherwise links in the
    /// destination's path are followed.
    pub root: Option<PathBuf>,
    /// Whether it is put in a subfolder named after its portal.
    pub portal_folder: bool,
    /// Whether it gets its own folder there, named after the package.
    pub package_folder: bool,
    /// The ids of the wanted files in the cloud; empty for all.
    pub chosen: Vec<FileId>,
    /// Whether existing files are replaced.
    pub overwrite: bool,
    /// Who owns what is written.
    pub owner: Owner,
    /// Higher priorities go first.
    pub priority: i32,
    /// The rule that created it.
    pub rule: Option<String>,
    /// Whether the package is removed from the cloud once all of it is on disk.
    pub remove_package: bool,
}

impl DownloadSpec {
    /// All of a package, into its own folder below `destination`; nothing is replaced.
    #[must_use]
    pub fn new(api: String, source: DownloadSource, destination: PathBuf) -> Self {
        Self {
            api,
            source,
            destination,
            root: None,
            portal_folder: false,
            package_folder: true,
            chosen: Vec::new(),
            overwrite: false,
            owner: Owner::default(),
            priority: 0,
            rule: None,
            remove_package: false,
        }
    }
}

impl DownloadSpec {
    /// The destination as it is to be opened.
    #[must_use]
    pub fn place(&self) -> PathBeneath {
        match &self.root {
            None => PathBeneath::new(&*self.destination, ""),
            Some(root) => PathBeneath::within(root, &self.destination)
                .unwrap_or_else(|| PathBeneath::without_links(&self.destination)),
        }
    }
}

/// What authorises reading a package.
#[derive(Debug, Clone)]
pub enum DownloadSource {
    /// A link.
    Link {
        /// Its id in the cloud.
        id: String,
        /// The secret in its URL.
        secret: SecretString,
        /// The password for the recipient.
        password: Option<SecretString>,
    },
    /// It was received through a portal: the team's key or session authorises.
    Inbox(Delivered),
}

/// A package received through a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The team that owns the portal.
    pub team: TeamId,
    /// The portal's subdomain.
    pub portal: String,
    /// The package's id in the cloud.
    pub package: PackageId,
    /// Name of the package.
    pub name: String,
}

/// The owner of files; by default the agent's user and group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user id.
    pub uid: Option<u32>,
    /// Numeric group id.
    pub gid: Option<u32>,
}

/// A download as the database knows it.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its id.
    pub id: DownloadId,
    /// The request.
    pub spec: DownloadSpec,
    /// Its state; never idle.
    pub state: State,
    /// Why it is in [`State::Error`].
    pub problem: Option<Problem>,
    /// Name of the package, once known.
    pub name: Option<String>,
    /// The package and its token, once known.
    pub package: Option<RemotePackage>,
    /// Whether its files are known.
    pub listed: bool,
    /// Files and bytes, and how many of them are on disk.
    pub totals: Totals,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its files became known.
    pub started_at: Option<Timestamp>,
    /// When everything was on disk.
    pub completed_at: Option<Timestamp>,
}

/// State of one file of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DownloadFileState {
    /// Not started.
    Waiting,
    /// Started.
    Receiving,
    /// Completely on disk.
    Done,
    /// The same file already existed.
    Skipped,
    /// It cannot be downloaded; its error says why.
    Error,
}

/// A file of a package, as it is to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// Its id in the cloud.
    pub remote_id: FileId,
    /// Its path below the destination, sanitised.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified_ns: Option<i64>,
}

/// One file of a download as the database knows it.
#[derive(Debug, Clone)]
pub struct DownloadFile {
    /// Its number in the download, from 0.
    pub number: u32,
    /// The file to download.
    pub wanted: WantedFile,
    /// The storage's ETag, once a part was requested.
    pub etag: Option<String>,
    /// Size of each part except the last, in bytes, once started.
    pub part_size: Option<u64>,
    /// Its state.
    pub state: DownloadFileState,
    /// Bytes on disk.
    pub bytes_done: u64,
    /// BLAKE3 hash of the received file in hexadecimal, once it is complete.
    pub checksum: Option<String>,
    /// Why it is in [`DownloadFileState::Error`].
    pub problem: Option<Problem>,
}

/// A part that is on disk, flushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPart {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// The part's share of the file's BLAKE3 tree (see `transfer::tree`).
    pub tree: Vec<u8>,
}

/// Which downloads [`Store::downloads`](crate::store::Store::downloads) lists.
pub type DownloadFilter = Filter<DownloadId>;
