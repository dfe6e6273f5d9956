//! The parts of a built rule: what it sends, when, to whom, and what follows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use masv_protocol::EmailAddress;
use secrecy::SecretString;
use url::Url;

use super::move_target::MoveTarget;
use super::pattern::Patterns;
use super::schedule::Moments;
use super::template::Template;

/// What makes an item ready once all its files are settled.
#[derive(Debug, Clone)]
pub enum Ready {
    /// Nothing more.
    Settled,
    /// A marker file beside it or in a folder around it; see [`Ready::markers_of`].
    Marker {
        /// The marker's name, which is also what is appended to the name of a single file.
        name: String,
    },
    /// A checksum list that names the files; they are ready when all listed files exist.
    Manifest {
        /// Which files are checksum lists.
        patterns: Patterns,
        /// Files that no list names are sent with a folder whose lists are complete; otherwise they wait.
        sends_unlisted: bool,
    },
}

/// What one package is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Each file.
    File,
    /// Each top-level entry of the watch folder, folder or loose file.
    Folder,
    /// Everything that gets ready together.
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

/// How files are gathered into packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packaging {
    /// What one package is made of.
    pub per: Per,
    /// Folder and batch: nothing new for this long closes the gathering.
    pub quiet: Duration,
    /// Batch: a package is made at most this long after its first ready file, whatever else arrives.
    pub max_wait: Duration,
    /// Fewest files of a package; fewer wait for more.
    pub min_files: u64,
    /// Most files of a package; more begin another one. Never splits what is `per: folder`.
    pub max_files: u64,
    /// Most bytes of a package; more begin another one. A single larger file is a package of its own.
    pub max_bytes: Option<u64>,
}

/// What kind of upload and for whom.
#[derive(Debug, Clone)]
pub enum UploadKind {
    /// A package whose link is mailed to these addresses.
    Email {
        /// Recipients, at least one.
        emails: Vec<EmailAddress>,
    },
    /// A package with a shareable link.
    Link,
    /// A delivery into a portal.
    Portal {
        /// The portal's subdomain.
        subdomain: String,
        /// E-mail address the delivery comes from.
        sender: EmailAddress,
        /// Values of the portal's form, rendered for every package.
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

/// The settings of the uploads a rule makes.
#[derive(Debug, Clone)]
pub struct UploadTemplate {
    /// Kind and recipients.
    pub kind: UploadKind,
    /// Name of the package.
    pub name: Template,
    /// Text for the recipients.
    pub description: Option<Template>,
    /// Password that opens the download; of a portal its access code.
    pub password: Option<SecretString>,
    /// Days until the cloud removes the package.
    pub delete_after: Option<u32>,
    /// How often it may be downloaded.
    pub download_limit: Option<u64>,
    /// Name of the tag it gets.
    pub tag: Option<String>,
    /// Id of the tag it gets.
    pub tag_id: Option<String>,
    /// Team to send as; absent where the session has one team, or `cloud.team` names it.
    pub team_id: Option<String>,
    /// Teamspace the package is put in.
    pub teamspace_id: Option<String>,
    /// Keep the package without an expiry.
    pub unlimited_storage: bool,
    /// Bytes of a chunk; absent is the agent's own setting.
    pub chunk_size: Option<u64>,
}

/// When a package is closed for good.
#[derive(Debug, Clone)]
pub enum Finalize {
    /// When all is uploaded.
    Auto,
    /// When somebody says so.
    Manual,
    /// The package stays open and takes new items of its rule and group until the first condition holds.
    Open(FinalizeWhen),
}

/// The conditions that close an open package; the first that holds does. At least one is given.
#[derive(Debug, Clone, Default)]
pub struct FinalizeWhen {
    /// Nothing new for this long.
    pub quiet: Option<Duration>,
    /// A moment has come.
    pub at: Option<Moments>,
    /// A file of this name lies in the watch folder.
    pub marker: Option<String>,
    /// So many files are in it.
    pub files: Option<u64>,
    /// So many bytes are in it.
    pub bytes: Option<u64>,
}

/// A file already sent comes back with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// It is sent in a new package.
    NewPackage,
    /// It goes into the open package, where there is one; otherwise into a new one.
    Append,
    /// It is not sent.
    Ignore,
}

/// A file of a package vanishes before it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGone {
    /// The others are sent without it after a while.
    SendRest,
    /// The package waits until it is back, or until somebody decides.
    Wait,
}

/// Files that are there at the rule's very first start.
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
    /// They stay.
    Keep,
    /// They are deleted.
    Delete,
    /// They are moved into the folder.
    Move(MoveTarget),
}

/// What happens to source files of a failed package.
#[derive(Debug, Clone)]
pub enum AfterError {
    /// They stay.
    Keep,
    /// They are moved into the folder.
    Move(MoveTarget),
}

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotifyEvent {
    /// `package.created`: a package was made from files of the folder.
    PackageCreated,
    /// `upload.idle`: all is uploaded, somebody has to finalize.
    UploadIdle,
    /// `upload.complete`: the cloud has confirmed the package.
    UploadComplete,
    /// `upload.error`: an upload has failed for good.
    UploadError,
    /// `download.created`: a package that came through a portal is to be fetched.
    DownloadCreated,
    /// `download.complete`: all of it is on the disk.
    DownloadComplete,
    /// `download.error`: a download has failed for good.
    DownloadError,
    /// `rule.error`: the rule can not work, for instance because its folder is missing.
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

/// One who is told.
#[derive(Debug, Clone)]
pub struct Notify {
    /// How.
    pub target: NotifyTarget,
    /// Of what; all events where the file names none.
    pub events: Vec<NotifyEvent>,
}

/// How somebody is told.
#[derive(Clone)]
pub enum NotifyTarget {
    /// A POST to this URL. The path and query of such URLs are often secret: never log them.
    Webhook {
        /// Where to.
        url: Url,
        /// Key of the signature; without one the request is not signed.
        secret: Option<SecretString>,
    },
    /// A program is run; no shell is involved.
    Exec {
        /// The program, looked up in PATH where it has no slash.
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
    /// Native events, and polling where the file system has none.
    Auto,
    /// A look at the whole folder at this interval.
    Every(Duration),
}

/// Whether symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// Never.
    Skip,
    /// Those whose target stays inside the watch folder.
    Within,
}
