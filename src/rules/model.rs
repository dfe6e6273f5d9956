//! The built model: what a valid rules file means, with nothing left to parse, look up or default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use masv_platform::PathBeneath;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::diagnostics::Diagnostic;
use super::matching::Matcher;
use super::own_hub::OwnHub;
use super::schedule::Schedule;
use super::settings::{
    After, Existing, Finalize, Growing, HardLinks, Notify, OnChange, OnGone, Packaging, Poll, Ready, Symlinks,
    UploadTemplate,
};
use super::template::Template;

/// Everything a valid file means.
#[derive(Debug, Clone)]
pub struct RuleSet {
    /// The upload rules in file order, including disabled ones. Where watched folders overlap, the first match wins.
    pub rules: Vec<Arc<Rule>>,
    /// The download rules in file order, including disabled ones.
    pub downloads: Vec<Arc<DownloadRule>>,
    /// The cloud to send to; `None` means the embedded hub.
    pub cloud: Option<Cloud>,
    /// How the embedded hub is reached and sends mail; the default where the file does not say.
    pub hub: OwnHub,
    /// The zone of the file: its `timezone`, otherwise the system's.
    pub time_zone: TimeZone,
    /// What is valid but probably not intended.
    pub warnings: Vec<Diagnostic>,
    /// The file this was read from.
    pub path: PathBuf,
    /// The files that hold its secrets, absolute.
    pub secret_files: Vec<PathBuf>,
    /// The other files that it was read from, absolute.
    pub files: Vec<PathBuf>,
    /// The folders in which such files are looked for, absolute.
    pub folders: Vec<PathBuf>,
}

impl RuleSet {
    /// No rules at all: an agent without a rules file.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            rules: Vec::new(),
            downloads: Vec::new(),
            cloud: None,
            hub: OwnHub::default(),
            time_zone: TimeZone::system(),
            warnings: Vec::new(),
            path: PathBuf::new(),
            secret_files: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
        }
    }

    /// The files that belong to the rules, besides the rules file: never sent, and never replaced. A folder of rules is one as a
    /// whole, for its next file is there before it is read, unless something else is in it.
    #[must_use]
    pub fn own_files(&self) -> Vec<PathBuf> {
        let places = self.rules.iter().map(|rule| &rule.watch).chain(self.downloads.iter().map(|rule| &rule.into));
        let places: Vec<&PathBuf> = places.chain([&self.path]).collect();
        let folders = self.folders.iter().filter(|folder| !places.iter().any(|place| place.starts_with(folder)));
        self.secret_files.iter().chain(&self.files).chain(folders).cloned().collect()
    }

    /// The files and folders, besides the rules file, of which a change may change the rules.
    #[must_use]
    pub fn read_from(&self) -> Vec<PathBuf> {
        self.files.iter().chain(&self.folders).cloned().collect()
    }

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

/// The cloud to send to, and its credentials.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Base URL without a version in its path.
    pub url: Url,
    /// API key; not needed with a user session, or if only portals are used.
    pub api_key: Option<SecretString>,
    /// Team id; not needed if the key or session has only one team.
    pub team: Option<String>,
}

impl PartialEq for Cloud {
    fn eq(&self, other: &Self) -> bool {
        let key = |cloud: &Self| cloud.api_key.as_ref().map(|key| key.expose_secret().to_owned());
        self.url == other.url && self.team == other.team && key(self) == key(other)
    }
}

impl Eq for Cloud {}

/// Digest of everything a rule means: its keys after defaults, variables and secret files were put in, the upload
/// template it refers to, the time zone and the folder it is relative to. Two rules with equal digests are the same.
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
    /// Create the folder if it is missing.
    pub create: bool,
    /// Include subfolders.
    pub recursive: bool,
    /// Also send hidden names (those that start with a dot).
    pub hidden: bool,
    /// Also send names of unfinished files (`*.tmp`, `*.part`, ...).
    pub temporary: bool,
    /// Minimum size of a file, in bytes.
    pub min_size: Option<u64>,
    /// Maximum size of a file, in bytes.
    pub max_size: Option<u64>,
    /// How long a file must stay unchanged, by our own observations, to count as complete.
    pub settle: Duration,
    /// The same for a file whose writers cannot be detected; differs from `settle` only if the
    /// rule does not set it.
    pub settle_unseen: Duration,
    /// What happens to a file while it is being written.
    pub growing: Growing,
    /// What makes an item ready, besides being settled.
    pub ready: Ready,
    /// What becomes one package.
    pub package: Packaging,
    /// Batch only: items with equal rendered values go into one package.
    pub group_by: Option<Template>,
    /// When packages may be created; knows its own time zone.
    pub schedule: Schedule,
    /// What kind of upload, with which name and settings.
    pub upload: UploadTemplate,
    /// When a package is finalized.
    pub finalize: Finalize,
    /// Priority of its uploads; higher priorities go first.
    pub priority: i32,
    /// What to do if a sent file reappears with different content.
    pub on_change: OnChange,
    /// What to do if a file of a package disappears before it was sent.
    pub on_gone: OnGone,
    /// Send a file again if it reappears unchanged.
    pub resend: bool,
    /// What to do with files that exist when the rule first starts.
    pub existing: Existing,
    /// What happens to source files once their package is complete, or failed.
    pub after: After,
    /// Notifications: who, and of which events.
    pub notify: Vec<Notify>,
    /// How changes are noticed besides the full scans.
    pub poll: Poll,
    /// Maximum time between full scans.
    pub rescan: Duration,
    /// Whether the rule is enabled.
    pub enabled: bool,
    /// Whether to follow symbolic links.
    pub symlinks: Symlinks,
    /// Which files with several names are sent.
    pub hard_links: HardLinks,
    /// Whether no link is followed on the way to what it names either.
    pub confined: bool,
    /// The zone of `now` and `date` in templates, and of the schedule.
    pub time_zone: TimeZone,
    /// Environment variables that templates may read as `env.NAME`.
    pub template_env: Arc<BTreeMap<String, String>>,
    /// Folder of the rules file; relative move targets start there.
    pub base: PathBuf,
    /// Equal digest, same rule.
    pub digest: RuleDigest,
    /// The file that it is in, absolute.
    pub file: PathBuf,
    /// Line of the rule in its file, from 1.
    pub line: u32,
    pub(super) matcher: Matcher,
}

impl Rule {
    /// The watched folder as it is to be opened.
    #[must_use]
    pub fn place(&self) -> PathBeneath {
        match self.confined {
            true => PathBeneath::without_links(&self.watch),
            false => PathBeneath::new(&*self.watch, ""),
        }
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Rule {}

/// One download automation: what arrives in portals is downloaded into a folder.
#[derive(Debug, Clone)]
pub struct DownloadRule {
    /// Unique id, `[a-z0-9-]`.
    pub name: String,
    /// Which portals.
    pub portals: Portals,
    /// The team that owns them; not needed if the key or session has only one team.
    pub team: Option<String>,
    /// The folder, absolute.
    pub into: PathBuf,
    /// Whether no link is followed on the way to the folder.
    pub confined: bool,
    /// Give each package its own folder.
    pub package_folder: bool,
    /// Put packages in a subfolder named after their portal.
    pub portal_folder: bool,
    /// Only packages finalized at or after this time; defaults to the rule's first start.
    pub since: Option<Timestamp>,
    /// Priority of its downloads; higher priorities go first.
    pub priority: i32,
    /// How often the inbox is polled.
    pub poll: Duration,
    /// Remove a package from the cloud once the whole package is on disk.
    pub remove_package: bool,
    /// Notifications: who, and of which events.
    pub notify: Vec<Notify>,
    /// Whether the rule is enabled.
    pub enabled: bool,
    /// Equal digest, same rule.
    pub digest: RuleDigest,
    /// The file that it is in, absolute.
    pub file: PathBuf,
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
