//! The parts of a built rule: what it sends, when, to whom, and what follows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use masv_protocol::EmailAddress;
use secrecy::SecretString;
use url::Url;

use super::move_target::MoveTarget;
use super::pattern::Patterns;
use super::recipients::Recipient;
use super::schedule::Moments;
use super::template::Template;

/// What makes an item ready once all its files are settled.
#[derive(Debug, Clone)]
pub enum Ready {
    /// No further condition.
    Settled,
    /// A marker file beside it or in a folder around it; see [`Ready::markers_of`].
    Marker {
        /// The marker's name, which is also what is appended to the name of a single file.
        name: String,
    },
    /// A checksum list that contains the files; they are ready when all listed files exist and match.
    Manifest {
        /// Which files are checksum lists.
        patterns: Patterns,
        /// Whether files that are not in any list are sent with a folder whose lists are complete; otherwise they wait.
        sends_unlisted: bool,
    },
}

/// What goes into one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Each file.
    File,
    /// Each top-level entry of the watched folder, folder or loose file.
    Folder,
    /// Everything that becomes ready together.
    Batch,
}

impl Per {
    /// `file`, `folder` or `batch`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Batch => "batch",
        }
    }
}

/// How files are collected into packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packaging {
    /// What goes into one package.
    pub per: Per,
    /// Folder and batch: the package is created once nothing new has arrived for this long.
    pub quiet: Duration,
    /// Batch: a package is created at most this long after its first ready file, whatever else arrives.
    pub max_wait: Duration,
    /// Minimum number of files in a package; fewer wait for more.
    pub min_files: u64,
    /// Maximum number of files in a package; more begin another one. Never splits a package `per: folder`.
    pub max_files: u64,
    /// Maximum size of a package in bytes; more begins another one. A single larger file is its own package.
    pub max_bytes: Option<u64>,
}

/// What kind of upload and for whom.
#[derive(Debug, Clone)]
pub enum UploadKind {
    /// A package whose link is mailed to these addresses.
    Email {
        /// Recipients, at least one.
        emails: Vec<Recipient>,
    },
    /// A package with a shareable link.
    Link,
    /// A delivery to a portal.
    Portal {
        /// The portal's subdomain.
        subdomain: String,
        /// E-mail address of the sender.
        sender: EmailAddress,
        /// Values for the portal's form, rendered for every package.
        metadata: BTreeMap<String, Template>,
    },
}

impl UploadKind {
    /// `email`, `link` or `portal`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::Link => "link",
            Self::Portal { .. } => "portal",
        }
    }
}

/// The settings of a rule's uploads.
#[derive(Debug, Clone)]
pub struct UploadTemplate {
    /// Kind and recipients.
    pub kind: UploadKind,
    /// Name of the package.
    pub name: Template,
    /// Message to the recipients.
    pub description: Option<Template>,
    /// Password for the download, or the portal's access code.
    pub password: Option<SecretString>,
    /// Days until the cloud removes the package.
    pub delete_after: Option<u32>,
    /// How many times it may be downloaded.
    pub download_limit: Option<u64>,
    /// Name of its tag.
    pub tag: Option<String>,
    /// Id of its tag.
    pub tag_id: Option<String>,
    /// Team to send as; not needed if the session has one team, or if `cloud.team` is set.
    pub team_id: Option<String>,
    /// Teamspace for the package.
    pub teamspace_id: Option<String>,
    /// Keep the package without an expiry.
    pub unlimited_storage: bool,
    /// The checksum list of what was sent that is added to the package.
    pub manifest: Option<SentList>,
    /// Size of a chunk (part) in bytes; defaults to the agent's setting.
    pub chunk_size: Option<u64>,
}

/// Kind of a checksum list that is added to packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentList {
    /// ASC MHL.
    AscMhl,
    /// Lines of `md5sum`.
    Md5,
}

/// When a package is finalized.
#[derive(Debug, Clone)]
pub enum Finalize {
    /// When everything is uploaded.
    Auto,
    /// On request.
    Manual,
    /// The package stays open and accepts new items of its rule and group until the first condition holds.
    Open(FinalizeWhen),
}

/// The conditions that close an open package; the first that holds does. At least one is given.
#[derive(Debug, Clone, Default)]
pub struct FinalizeWhen {
    /// Nothing new has arrived for this long.
    pub quiet: Option<Duration>,
    /// A moment has come.
    pub at: Option<Moments>,
    /// A file with this name is in the watched folder.
    pub marker: Option<String>,
    /// It has this many files.
    pub files: Option<u64>,
    /// It has reached this size.
    pub bytes: Option<u64>,
}

/// What happens if a sent file reappears with different content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// It is sent in a new package.
    NewPackage,
    /// It goes into the open package if there is one, otherwise into a new one.
    Append,
    /// It is not sent.
    Ignore,
}

/// What happens if a file of a package disappears before it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGone {
    /// The others are sent without it after a while.
    SendRest,
    /// The package waits until it is back, or until a user decides.
    Wait,
}

/// What happens to a file while it is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growing {
    /// It is sent once it is complete.
    Wait,
    /// It is sent meanwhile.
    Send {
        /// From so many bytes on.
        least: u64,
        /// So many bytes before its end are left alone.
        guard: u64,
    },
}

/// What happens to files that exist when the rule first starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They are sent.
    Send,
    /// They count as sent.
    Skip,
}

/// What happens to source files.
#[derive(Debug, Clone)]
pub struct After {
    /// Once the cloud has confirmed their package.
    pub complete: AfterComplete,
    /// Once their package has failed for good.
    pub error: AfterError,
}

/// What happens to source files of a complete package.
#[derive(Debug, Clone)]
pub enum AfterComplete {
    /// They are kept.
    Keep,
    /// They are deleted.
    Delete,
    /// They are moved to the folder.
    Move(MoveTarget),
}

/// What happens to source files of a failed package.
#[derive(Debug, Clone)]
pub enum AfterError {
    /// They are kept.
    Keep,
    /// They are moved to the folder.
    Move(MoveTarget),
}

/// The events that can be notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotifyEvent {
    /// `package.created`: a package was created from files of the folder.
    PackageCreated,
    /// `upload.idle`: everything is uploaded, and the upload has to be finalized.
    UploadIdle,
    /// `upload.complete`: the cloud has confirmed the package.
    UploadComplete,
    /// `upload.error`: an upload has failed for good.
    UploadError,
    /// `download.created`: a package that arrived in a portal will be downloaded.
    DownloadCreated,
    /// `download.complete`: the whole package is on disk.
    DownloadComplete,
    /// `download.error`: a download has failed for good.
    DownloadError,
    /// `rule.error`: the rule cannot work, for instance because its folder is missing.
    RuleError,
}

impl NotifyEvent {
    /// All events, in the order of a transfer's life.
    pub const ALL: [Self; 8] = [
        Self::PackageCreated,
        Self::UploadIdle,
        Self::UploadComplete,
        Self::UploadError,
        Self::DownloadCreated,
        Self::DownloadComplete,
        Self::DownloadError,
        Self::RuleError,
    ];

    /// The name used in the file, in webhooks and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PackageCreated => "package.created",
            Self::UploadIdle => "upload.idle",
            Self::UploadComplete => "upload.complete",
            Self::UploadError => "upload.error",
            Self::DownloadCreated => "download.created",
            Self::DownloadComplete => "download.complete",
            Self::DownloadError => "download.error",
            Self::RuleError => "rule.error",
        }
    }
}

/// A receiver of notifications.
#[derive(Debug, Clone)]
pub struct Notify {
    /// How.
    pub target: NotifyTarget,
    /// Which events; all by default.
    pub events: Vec<NotifyEvent>,
}

/// How a receiver is notified.
#[derive(Clone)]
pub enum NotifyTarget {
    /// A POST to this URL. The path and query of such URLs are often secret: never log them.
    Webhook {
        /// The URL.
        url: Url,
        /// Key for signing; without one the request is not signed.
        secret: Option<SecretString>,
    },
    /// A program is run; no shell is involved.
    Exec {
        /// The program, looked up in PATH if it has no slash.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

impl fmt::Debug for NotifyTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { url, .. } => {
                write!(formatter, "Webhook({}://{}/...)", url.scheme(), url.host_str().unwrap_or("?"))
            }
            Self::Exec { program, .. } => write!(formatter, "Exec({program:?}, ...)"),
        }
    }
}

/// How changes are noticed besides the full scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// Native events, and polling if the file system has none.
    Auto,
    /// A scan of the whole folder at this interval.
    Every(Duration),
}

/// Which files with several names (hard links) are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardLinks {
    /// Those that nobody can have planted who cannot read them.
    Own,
    /// All.
    All,
}

/// Whether to follow symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// Never.
    Skip,
    /// Only those whose target is inside the watched folder.
    Within,
}
