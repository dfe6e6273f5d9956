//! Rules at work, and what comes of orders to them.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Download, Upload};
use crate::portal_downloads::{DeliveryExplanation, InboxStatus};
use crate::watch::{DryRun, Explanation, RuleStatus};

/// A rule at work.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Automation {
    /// It sends what lands in a folder.
    Upload(Box<UploadAutomation>),
    /// It fetches what arrives in portals.
    Download(Box<DownloadAutomation>),
}

/// An upload rule at work: how it stands, and what it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UploadAutomation {
    /// How it stands.
    #[serde(flatten)]
    pub status: RuleStatus,
    /// What it is; absent while a rule that was taken out of the file still ends.
    #[serde(flatten)]
    pub rule: Option<AutomationRule>,
    /// What is wrong with the rules file that is there now; the rules before go on.
    pub rules_problem: Option<String>,
}

/// What a rule is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AutomationRule {
    /// When it makes packages, for people.
    pub schedule: String,
    /// The next of these times, with the rule's zone.
    pub next_schedules: Vec<String>,
    /// When the window of its schedule that is open now closes.
    pub open_until: Option<String>,
    /// `link`, `email` or `portal`.
    pub kind: &'static str,
    /// Whether the rules file lets it work.
    pub enabled: bool,
    /// Of the uploads it makes.
    pub priority: i32,
    /// What becomes one package: `file`, `folder` or `batch`.
    pub package: &'static str,
    /// Where it begins in the rules file.
    pub line: u32,
}

/// A download rule at work: how it stands, and what it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DownloadAutomation {
    /// How it stands.
    #[serde(flatten)]
    pub status: InboxStatus,
    /// `download`.
    pub kind: &'static str,
    /// Subdomains of the portals it follows; absent for all of the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portals: Option<Vec<String>>,
    /// Only packages finalized at or after this time; `null` is from its first start on.
    pub since: Option<Timestamp>,
    /// Seconds between looks at the inbox.
    pub poll_seconds: u64,
    /// Whether each package gets a folder of its own.
    pub package_folder: bool,
    /// Whether there is a folder of the portal's name around its packages.
    pub portal_folder: bool,
    /// What happens to a package in the cloud once it is here: `keep` or `delete`.
    pub after: &'static str,
    /// Whether the rules file lets it work.
    pub enabled: bool,
    /// Of the downloads it makes.
    pub priority: i32,
    /// Where it begins in the rules file.
    pub line: u32,
    /// Downloads of it that are not complete.
    pub waiting_count: u64,
    /// Packages that it has received.
    pub received: u64,
    /// What is wrong with the rules file that is there now; the rules before go on.
    pub rules_problem: Option<String>,
}

/// What rules make of a file or of a package.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Explained {
    /// Of a file.
    Path(Explanation),
    /// Of a package.
    Package(ExplainedPackage),
}

/// What rules make of a package that came through a portal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExplainedPackage {
    /// The cloud's id of it.
    pub package: String,
    /// The rule that fetches it, or has fetched it.
    pub rule: Option<String>,
    /// What each download rule makes of it.
    pub rules: Vec<DeliveryExplanation>,
}

/// What a rule has made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct History {
    /// Newest first.
    pub transfers: Vec<Transfer>,
}

/// An upload or a download.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Transfer {
    /// Of an upload rule.
    Upload(Box<Upload>),
    /// Of a download rule.
    Download(Box<Download>),
}

/// All rules at work.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Automations {
    /// In file order.
    pub automations: Vec<Automation>,
    /// What is wrong with the rules file that is there now; the rules before go on.
    pub rules_problem: Option<String>,
}

/// Rules were loaded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Loaded {
    /// How many.
    pub rules: usize,
}

/// Rules that make no packages until they are resumed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PausedRules {
    /// Their names.
    pub paused: Vec<String>,
}

/// Rules that go on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResumedRules {
    /// Their names.
    pub resumed: Vec<String>,
}

/// What rules would do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryRuns {
    /// Upload rules, in file order.
    pub rules: Vec<DryRun>,
    /// Download rules, in file order.
    pub downloads: Vec<DryFetch>,
}

/// What a download rule would fetch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryFetch {
    /// The rule.
    pub rule: String,
    /// The folder it fetches into.
    pub into: PathBuf,
    /// Why the inbox can not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<String>,
    /// What it would fetch.
    pub packages: Vec<WaitingPackage>,
}

/// A package that waits in the inbox.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WaitingPackage {
    /// The cloud's id of it.
    pub package: String,
    /// Its name.
    pub name: String,
    /// The portal that it came through.
    pub portal: String,
}

/// Entries of a rule's memory that were forgotten.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Forgotten {
    /// How many.
    pub forgotten: u64,
}

/// Files that count as sent from now on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Marked {
    /// How many.
    pub marked: u64,
}

/// A download rule to be written into the rules file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPortalDownload {
    /// Its name; the id is made of it.
    pub name: String,
    /// The portal whose packages are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
    /// The packages of all portals of the team, instead.
    #[serde(default)]
    pub all_portals: bool,
    /// The team that owns the portals, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The folder that packages go into, absolute.
    pub dst_folder: PathBuf,
    /// Whether each package gets a folder of its own.
    #[serde(default = "yes")]
    pub create_package_folder: bool,
    /// Whether there is a folder of the portal's name around its packages.
    #[serde(default)]
    pub create_portal_subfolder: bool,
    /// Only packages finalized at or after this time; absent is from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_time: Option<String>,
    /// Whether it works at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Priority of the downloads it makes.
    #[serde(default)]
    pub download_priority: i32,
}

/// An upload rule to be written into the rules file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUploadAutomation {
    /// Its name; the id is made of it.
    pub name: String,
    /// The folder that is watched, absolute.
    pub watch_folder: PathBuf,
    /// Make it where it is missing.
    #[serde(default)]
    pub create_folder: bool,
    /// What becomes one package: `file`, `folder` or `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// How long a file must not change to be whole, such as `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
    /// Addresses to mail; absent makes links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The portal to deliver to, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
    /// Of a portal: the sender's mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Name of the packages; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// Message to the recipients; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_description: Option<String>,
    /// A file that holds what recipients must type, or a portal's access code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Days until a package is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<u32>,
    /// How often a package may be downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// Tag by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_name: Option<String>,
    /// The team that sends, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// Priority of the uploads it makes.
    #[serde(default)]
    pub upload_priority: i32,
    /// What happens to files that were sent: `keep`, `delete`, or `{"complete": {"move": FOLDER}}`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
    /// Whether it works at all.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// What is to change of a rule in the rules file; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationChange {
    /// Whether it works at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Of the transfers that it makes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Of a download rule: the portal whose packages are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
    /// Of a download rule: the folder that packages go into, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst_folder: Option<PathBuf>,
    /// Of a download rule: whether each package gets a folder of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_package_folder: Option<bool>,
    /// Of a download rule: whether there is a folder of the portal's name around its packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_portal_subfolder: Option<bool>,
    /// Of a download rule: only packages finalized at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_time: Option<String>,
}

/// The answer to an automation that was added.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AutomationAdded {
    /// Its id: the name of the rule.
    pub automation_id: String,
}
