//! The built model: what a valid rules file means, with nothing left to parse, look up or default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

use super::diagnostics::Diagnostic;
use super::matching::Matcher;
use super::pattern::Patterns;
use super::schedule::{Moments, Schedule};
use super::template::Template;

/// Everything a valid file means.
#[derive(Debug, Clone)]
pub struct RuleSet {
    /// The upload rules in file order, disabled ones too. Where watch folders overlap, the first match wins.
    pub rules: Vec<Arc<Rule>>,
    /// The download rules in file order, disabled ones too.
    pub downloads: Vec<Arc<DownloadRule>>,
    /// The cloud to send to; `None` means the embedded hub.
    pub cloud: Option<Cloud>,
    /// The zone of the file: its `timezone`, otherwise the system's.
    pub time_zone: TimeZone,
    /// What is valid but hardly meant.
    pub warnings: Vec<Diagnostic>,
    /// The file this was read from.
    pub path: PathBuf,
}

impl RuleSet {
    /// The upload rule of that name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The download rule of that name.
    #[must_use]
    pub fn download(&self, name: &str) -> Option<&Arc<DownloadRule>> {
        self.downloads.iter().find(|rule| rule.name == name)
    }
}

/// Which cloud to send to and as whom.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Base URL without a version in its path.
    pub url: Url,
    /// API key; absent where a user session or only portals are used.
    pub api_key: Option<SecretString>,
    /// Team id; absent where the key or session has one team.
    pub team: Option<String>,
}

/// Digest of everything a rule means: its keys after defaults, variables and secret files were put in, the upload
/// template it names, the time zone and the folder it is relative to. Two rules with equal digests are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleDigest(pub(super) [u8; 32]);

impl fmt::Display for RuleDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// One upload automation. Equal when its digest is equal, so that a reload changes only what differs.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique id, `[a-z0-9-]`.
    pub name: String,
    /// The folder, absolute.
    pub watch: PathBuf,
    /// Make the folder where it is missing.
    pub create: bool,
    /// Descend into sub-folders.
    pub recursive: bool,
    /// Send hidden names (those that start with a dot) too.
    pub hidden: bool,
    /// Send names of unfinished files (`*.tmp`, `*.part`, ...) too.
    pub temporary: bool,
    /// Smallest file sent, bytes.
    pub min_size: Option<u64>,
    /// Largest file sent, bytes.
    pub max_size: Option<u64>,
    /// How long a file must not change, by our own observations, to be whole.
    pub settle: Duration,
    /// What, beyond being settled, makes an item ready.
    pub ready: Ready,
    /// What becomes one package.
    pub package: Packaging,
    /// Batch only: items whose rendered value is equal go into one package.
    pub group_by: Option<Template>,
    /// When packages may be made; knows its own time zone.
    pub schedule: Schedule,
    /// What kind of upload, with which name and settings.
    pub upload: UploadTemplate,
    /// When a package is closed for good.
    pub finalize: Finalize,
    /// Priority of the uploads made; higher goes first.
    pub priority: i32,
    /// What to do when a file already sent comes back with other content.
    pub on_change: OnChange,
    /// Send a file that appears again unchanged.
    pub resend: bool,
    /// What to do with files that were there at the rule's very first start.
    pub existing: Existing,
    /// What happens to source files once their package is complete, or failed.
    pub after: After,
    /// Who is told of what.
    pub notify: Vec<Notify>,
    /// How changes are noticed besides the full scans.
    pub poll: Poll,
    /// A full scan at least this often.
    pub rescan: Duration,
    /// Whether the rule runs at all.
    pub enabled: bool,
    /// Whether symbolic links are followed.
    pub symlinks: Symlinks,
    /// The zone of `now` and `date` in templates, and of the schedule.
    pub time_zone: TimeZone,
    /// Environment variables that templates may read as `env.NAME`.
    pub template_env: Arc<BTreeMap<String, String>>,
    /// Folder of the rules file; relative move targets start there.
    pub base: PathBuf,
    /// Equal digest, same rule.
    pub digest: RuleDigest,
    /// Line of the rule in its file, from 1.
    pub line: u32,
    pub(super) matcher: Matcher,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Rule {}

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
        emails: Vec<String>,
    },
    /// A package with a shareable link.
    Link,
    /// A delivery into a portal.
    Portal {
        /// The portal's subdomain.
        subdomain: String,
        /// E-mail address the delivery comes from.
        sender: String,
        /// Values of the portal's form, rendered for every package.
        metadata: BTreeMap<String, Template>,
        /// Access code of the portal, where it asks for one.
        access_code: Option<SecretString>,
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
    /// Password that opens the download (e-mail, link) or the portal.
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

/// A folder to move files into; each file keeps its path relative to the watch folder below it.
#[derive(Debug, Clone)]
pub struct MoveTarget {
    /// Renders to the folder.
    pub template: Template,
    pub(super) base: PathBuf,
    pub(super) home: Option<PathBuf>,
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
    /// `rule.error`: the rule can not work, for instance because its folder is missing.
    RuleError,
}

impl NotifyEvent {
    /// All events, in the order of an upload's life.
    pub const ALL: [Self; 5] =
        [Self::PackageCreated, Self::UploadIdle, Self::UploadComplete, Self::UploadError, Self::RuleError];

    /// The name used in the file, in webhooks and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PackageCreated => "package.created",
            Self::UploadIdle => "upload.idle",
            Self::UploadComplete => "upload.complete",
            Self::UploadError => "upload.error",
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

/// One download automation: what arrives in portals is downloaded into a folder.
#[derive(Debug, Clone)]
pub struct DownloadRule {
    /// Unique id, `[a-z0-9-]`.
    pub name: String,
    /// Which portals.
    pub portals: Portals,
    /// The folder, absolute.
    pub into: PathBuf,
    /// Give every package a folder of its own.
    pub package_folder: bool,
    /// Only packages finalized at or after this time; absent is from the rule's first start on.
    pub since: Option<Timestamp>,
    /// Priority of the downloads made; higher goes first.
    pub priority: i32,
    /// Who is told of what.
    pub notify: Vec<Notify>,
    /// Whether the rule runs at all.
    pub enabled: bool,
    /// Equal digest, same rule.
    pub digest: RuleDigest,
    /// Line of the rule in its file, from 1.
    pub line: u32,
}

impl PartialEq for DownloadRule {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for DownloadRule {}

/// Which portals a download rule follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Portals {
    /// All portals of the team.
    All,
    /// Those with these subdomains.
    Subdomains(Vec<String>),
}
