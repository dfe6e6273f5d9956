//! What a download rule can tell about itself.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// What a download rule does. The words are those of upload rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InboxState {
    /// It has not looked yet.
    #[default]
    Starting,
    /// It looks again and again.
    Polling,
    /// The inbox can not be read; [`InboxStatus::reason`] says why. It tries again by itself.
    Offline,
    /// Somebody paused it: it does not look.
    Paused,
    /// The rules file disables it.
    Disabled,
}

/// The last look at the inbox that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastLook {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, milliseconds.
    pub milliseconds: u64,
    /// Packages that the cloud listed.
    pub packages: u64,
    /// Whether it went through the whole inbox.
    pub whole: bool,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "InboxError")]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// Where: `cloud`, `account`, `store`, `queue`, or `download` for what became of its downloads.
    pub code: &'static str,
    /// What, for a person.
    pub message: String,
    /// Whether it is over.
    pub over: bool,
}

/// All that a download rule can tell about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct InboxStatus {
    /// The rule.
    pub name: String,
    /// The folder that packages go into.
    pub into: PathBuf,
    /// What it does.
    pub state: InboxState,
    /// Why it is offline.
    pub reason: Option<String>,
    /// The last look that succeeded.
    pub last_look: Option<LastLook>,
    /// When it looks next.
    pub next_look: Option<Timestamp>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// How many downloads of it have failed; those that failed for a reason that can pass are tried again by themselves.
    pub failed_downloads: u64,
    /// How many downloads it has made since the agent started.
    pub made: u64,
}
