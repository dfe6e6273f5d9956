//! Downloads as types: as they are ordered ([`DownloadSpec`]), as they stand ([`Download`]), their files.

use std::path::PathBuf;

use jiff::Timestamp;
use masv_platform::PathBeneath;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use masv_protocol::{FileId, PackageId, TeamId};

use super::{DownloadId, Filter, Problem, RemotePackage, State, Totals};

/// Everything needed to fetch one package.
#[derive(Debug, Clone)]
pub struct DownloadSpec {
    /// Base URL of the cloud that has it.
    pub api: String,
    /// What gives the right to read it.
    pub source: DownloadSource,
    /// The folder it goes into, absolute.
    pub destination: PathBuf,
    /// The folder below which it may be written, if there is one: no link is followed beneath. Otherwise links in the
    /// destination's path are followed.
    pub root: Option<PathBuf>,
    /// Whether there is a folder of the portal's name around it.
    pub portal_folder: bool,
    /// Whether it gets a folder of its own in there, named as the package is.
    pub package_folder: bool,
    /// The cloud's ids of the wanted files; empty for all.
    pub chosen: Vec<FileId>,
    /// Whether files that are there already are replaced.
    pub overwrite: bool,
    /// Who owns what is written.
    pub owner: Owner,
    /// Higher goes first.
    pub priority: i32,
    /// The rule that made it.
    pub rule: Option<String>,
    /// Whether the package is removed from the cloud once all of it is on the disk.
    pub remove_package: bool,
}

impl DownloadSpec {
    /// All of a package, into a folder of its own below `destination`; nothing is replaced.
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

/// What gives the right to read a package.
#[derive(Debug, Clone)]
pub enum DownloadSource {
    /// A link.
    Link {
        /// The cloud's id of it.
        id: String,
        /// What its address holds besides.
        secret: SecretString,
        /// What the recipient must type.
        password: Option<SecretString>,
    },
    /// It came through a portal: the team's key or session gives the right.
    Inbox(Delivered),
}

/// A package that came through a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Whose portal it is.
    pub team: TeamId,
    /// The portal's subdomain.
    pub portal: String,
    /// The cloud's id of the package.
    pub package: PackageId,
    /// Name of the package.
    pub name: String,
}

/// Who owns files; the agent's user and group where it is not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// Number of the user.
    pub uid: Option<u32>,
    /// Number of the group.
    pub gid: Option<u32>,
}

/// A download as the database knows it.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its id.
    pub id: DownloadId,
    /// What was ordered.
    pub spec: DownloadSpec,
    /// Where it stands; never idle.
    pub state: State,
    /// Why it is in [`State::Error`].
    pub problem: Option<Problem>,
    /// Name of the package, once known.
    pub name: Option<String>,
    /// The package and the right to read it, once known.
    pub package: Option<RemotePackage>,
    /// Whether its files are known.
    pub listed: bool,
    /// Files and bytes, and how many of them are on the disk.
    pub totals: Totals,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When its files became known.
    pub started_at: Option<Timestamp>,
    /// When all was on the disk.
    pub completed_at: Option<Timestamp>,
}

/// State of one file of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DownloadFileState {
    /// Not begun.
    Waiting,
    /// Begun.
    Receiving,
    /// On the disk, whole.
    Done,
    /// The same file was there already.
    Skipped,
    /// It can not be had; its error says why.
    Error,
}

/// A file of a package, as it is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// The cloud's id.
    pub remote_id: FileId,
    /// Below the destination, made safe.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, nanoseconds since 1970.
    pub modified_ns: Option<i64>,
}

/// One file of a download as the database knows it.
#[derive(Debug, Clone)]
pub struct DownloadFile {
    /// Its number in the download, from 0.
    pub number: u32,
    /// What is to be fetched.
    pub wanted: WantedFile,
    /// The storage's tag, once a part was asked for.
    pub etag: Option<String>,
    /// Bytes of each part but the last, once begun.
    pub part_size: Option<u64>,
    /// Where it stands.
    pub state: DownloadFileState,
    /// Bytes on the disk.
    pub bytes_done: u64,
    /// BLAKE3 of what was received, hexadecimal, once it is whole.
    pub checksum: Option<String>,
    /// Why it is in [`DownloadFileState::Error`].
    pub problem: Option<Problem>,
}

/// A part that is on the disk, flushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPart {
    /// Its number in the file, from 1.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// The part's share of the file's BLAKE3 tree (see `transfer::tree`).
    pub tree: Vec<u8>,
}

/// Which downloads [`Store::downloads`](super::Store::downloads) lists.
pub type DownloadFilter = Filter<DownloadId>;
