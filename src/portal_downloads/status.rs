//! The status of a download rule.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// The state of a download rule. The words are those of upload rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InboxState {
    /// It has not polled yet.
    #[default]
    Starting,
    /// It polls the inbox.
    Polling,
    /// The inbox cannot be read; [`InboxStatus::reason`] says why. It retries automatically.
    Offline,
    /// It was paused: it does not poll.
    Paused,
    /// The rules file disables it.
    Disabled,
}

/// The last successful poll of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastLook {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, milliseconds.
    pub milliseconds: u64,
    /// Packages that the cloud listed.
    pub packages: u64,
    /// Whether it covered the whole inbox.
    pub whole: bool,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "InboxError")]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// Where: `cloud`, `account`, `store`, `queue`, or `download` for its downloads.
    pub code: &'static str,
    /// What, for people.
    pub message: String,
    /// Whether it is resolved.
    pub over: bool,
}

/// The status of a download rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct InboxStatus {
    /// The rule.
    pub name: String,
    /// The folder that packages are saved to.
    pub into: PathBuf,
    /// Its state.
    pub state: InboxState,
    /// Why it is offline.
    pub reason: Option<String>,
    /// The last successful poll.
    pub last_look: Option<LastLook>,
    /// When it polls next.
    pub next_look: Option<Timestamp>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// How many of its downloads have failed; those that failed for a transient reason are retried automatically.
    pub failed_downloads: u64,
    /// How many downloads it has created since the agent started.
    pub made: u64,
}
