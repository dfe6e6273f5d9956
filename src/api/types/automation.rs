//! Active rules, and the results of requests to them.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Download, Upload};
use crate::portal_downloads::{DeliveryExplanation, InboxStatus};
use crate::watch::{DryRun, Explanation, RuleStatus};

/// An active rule.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Automation {
    /// Uploads what lands in a folder.
    Upload(Box<UploadAutomation>),
    /// Downloads what arrives in portals.
    Download(Box<DownloadAutomation>),
}

/// An active upload rule: its status and configuration.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UploadAutomation {
    /// Its status.
    #[serde(flatten)]
    pub status: RuleStatus,
    /// Its configuration; absent while a removed rule is still ending.
    #[serde(flatten)]
    pub rule: Option<AutomationRule>,
    /// What is wrong with the current rules file, while the previous rules stay active.
    pub rules_problem: Option<String>,
}

/// The configuration of a rule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AutomationRule {
    /// When it creates packages, in words.
    pub schedule: String,
    /// The next of these times, in the rule's time zone.
    pub next_schedules: Vec<String>,
    /// When the currently open window of its schedule closes.
    pub open_until: Option<String>,
    /// `link`, `email` or `portal`.
    pub kind: &'static str,
    /// Whether it is enabled in the rules file.
    pub enabled: bool,
    /// Priority of its uploads.
    pub priority: i32,
    /// What becomes one package: `file`, `folder` or `batch`.
    pub package: &'static str,
    /// The file that it is in: the rules file, or one that this includes.
    pub file: String,
    /// The line where it begins in its file.
    pub line: u32,
}

/// An active download rule: its status and configuration.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DownloadAutomation {
    /// Its status.
    #[serde(flatten)]
    pub status: InboxStatus,
    /// `download`.
    pub kind: &'static str,
    /// Subdomains of its portals; absent for all portals of the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portals: Option<Vec<String>>,
    /// Only packages finalized at or after this time; `null` for the time of its first start.
    pub since: Option<Timestamp>,
    /// Seconds between polls of the inbox.
    pub poll_seconds: u64,
    /// Whether each package gets its own folder.
    pub package_folder: bool,
    /// Whether packages are put in a subfolder named after their portal.
    pub portal_folder: bool,
    /// What happens to a package in the cloud after the download: `keep` or `delete`.
    pub after: &'static str,
    /// Whether it is enabled in the rules file.
    pub enabled: bool,
    /// Priority of its downloads.
    pub priority: i32,
    /// The file that it is in: the rules file, or one that this includes.
    pub file: String,
    /// The line where it begins in its file.
    pub line: u32,
    /// Its downloads that are not complete.
    pub waiting_count: u64,
    /// Packages that it has received.
    pub received: u64,
    /// What is wrong with the current rules file, while the previous rules stay active.
    pub rules_problem: Option<String>,
}

/// The explanation for a file or a package.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Explained {
    /// For a file.
    Path(Explanation),
    /// For a package.
    Package(ExplainedPackage),
}

/// The explanation for a package received through a portal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExplainedPackage {
    /// Its id in the cloud.
    pub package: String,
    /// The rule that downloads or has downloaded it.
    pub rule: Option<String>,
    /// The tests of each download rule.
    pub rules: Vec<DeliveryExplanation>,
}

/// The transfers of a rule.
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

/// All active rules.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Automations {
    /// In file order.
    pub automations: Vec<Automation>,
    /// What is wrong with the current rules file, while the previous rules stay active.
    pub rules_problem: Option<String>,
}

/// The rules were loaded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Loaded {
    /// How many.
    pub rules: usize,
}

/// Rules that are paused until they are resumed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PausedRules {
    /// Their names.
    pub paused: Vec<String>,
}

/// Rules that were resumed.
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

/// What a download rule would download.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryFetch {
    /// The rule.
    pub rule: String,
    /// The folder it downloads into.
    pub into: PathBuf,
    /// Why the inbox cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<String>,
    /// The packages it would download.
    pub packages: Vec<WaitingPackage>,
}

/// A package waiting in the inbox.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WaitingPackage {
    /// Its id in the cloud.
    pub package: String,
    /// Its name.
    pub name: String,
    /// The portal that it came through.
    pub portal: String,
}

/// Entries removed from a rule's records.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Forgotten {
    /// How many.
    pub forgotten: u64,
}

/// Files marked as sent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Marked {
    /// How many.
    pub marked: u64,
}

/// A download rule to add to the rules file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPortalDownload {
    /// Its name; the id is derived from it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The portal whose packages are downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
    /// The packages of all portals of the team, instead.
    #[serde(default)]
    pub all_portals: bool,
    /// The team that owns the portals, if there are several teams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The folder that packages are saved to, absolute.
    #[schemars(regex(pattern = "^/"))]
    pub dst_folder: PathBuf,
    /// Whether each package gets its own folder.
    #[serde(default = "yes")]
    pub create_package_folder: bool,
    /// Whether packages are put in a subfolder named after their portal.
    #[serde(default)]
    pub create_portal_subfolder: bool,
    /// Only packages finalized at or after this time; by default, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_time: Option<String>,
    /// Whether it is enabled.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Priority of its downloads.
    #[serde(default)]
    pub download_priority: i32,
}

/// An upload rule to add to the rules file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUploadAutomation {
    /// Its name; the id is derived from it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The folder to watch, absolute.
    #[schemars(regex(pattern = "^/"))]
    pub watch_folder: PathBuf,
    /// Create it if it is missing.
    #[serde(default)]
    pub create_folder: bool,
    /// What becomes one package: `file`, `folder` or `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// How long a file must stay unchanged to count as complete, such as `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
    /// E-mail addresses of the recipients; without any, each package gets a link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The portal to deliver to, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
    /// For a portal: the sender's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Name of the packages; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// Message to the recipients; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_description: Option<String>,
    /// A file with the password for recipients, or with the portal's access code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Days until a package is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<u32>,
    /// How many times a package may be downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// Tag by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_name: Option<String>,
    /// The team to send as, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// Priority of its uploads.
    #[serde(default)]
    pub upload_priority: i32,
    /// What happens to sent files: `keep`, `delete`, or `{"complete": {"move": FOLDER}}`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
    /// Whether it is enabled.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// Changes to a rule in the rules file; absent fields stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationChange {
    /// Whether it is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Priority of its future transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// For a download rule: the portal whose packages are downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal_subdomain: Option<String>,
    /// For a download rule: the folder that packages are saved to, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst_folder: Option<PathBuf>,
    /// For a download rule: whether each package gets its own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_package_folder: Option<bool>,
    /// For a download rule: whether packages are put in a subfolder named after their portal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_portal_subfolder: Option<bool>,
    /// For a download rule: only packages finalized at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_time: Option<String>,
}

/// The response to an added automation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AutomationAdded {
    /// Its id: the name of the rule.
    pub automation_id: String,
}

/// The rules file as a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesText {
    /// Its path on the agent's machine.
    pub path: String,
    /// Its text; a placeholder such as `<kept secret 1>` stands for each secret in it.
    pub text: String,
    /// What this version is recognised by.
    pub version: String,
}

/// A text to save as the rules file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRulesText {
    /// The text; placeholders become the secrets again that they stand for.
    pub text: String,
    /// The version that it was made from.
    pub version: String,
}

/// A text to check.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesToCheck {
    /// The text of a rules file.
    pub text: String,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesChecked {
    /// How many rules the text has; 0 if it has errors.
    pub rules: usize,
    /// What is wrong, in the order of the text.
    pub problems: Vec<RuleProblem>,
}

/// Something that is wrong with a rules file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleProblem {
    /// `error`: it cannot be saved; `warning`: it probably does not do what was intended.
    pub severity: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The key, like `rules[0].upload.emails[1]`.
    pub key: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}
