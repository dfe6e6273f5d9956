//! What transfers of both directions have in common: states, problems, how much is done, which of them are listed.

use jiff::Timestamp;
use masv_protocol::{PackageId, TeamId};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// State of an upload. These five words are a public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waiting for its turn, being sent, retried or finalized; see [`Activity`].
    Transferring,
    /// Somebody paused it.
    Paused,
    /// All is uploaded; it waits for somebody to finalize it.
    Idle,
    /// Finalized: the recipients have it.
    Complete,
    /// It can not go on by itself; the error says why and what to do.
    Error,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Transferring, Self::Paused, Self::Idle, Self::Complete, Self::Error];

    /// The word that the interface and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transferring => "transferring",
            Self::Paused => "paused",
            Self::Idle => "idle",
            Self::Complete => "complete",
            Self::Error => "error",
        }
    }
}

/// What a transferring upload or download does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Waits for its turn.
    Queued,
    /// The package is being made.
    Creating,
    /// The link is being opened and the package listed.
    Opening,
    /// Parts are on their way.
    Sending,
    /// Parts are on their way here.
    Receiving,
    /// Waits for the next try after a failure.
    Retrying,
    /// Everything is sent and is being checked.
    Verifying,
    /// The package is being closed.
    Finalizing,
}

/// Why something can not go on, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A stable word for programs, such as `source_changed`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// Whether resuming can help without changing anything else.
    pub retryable: bool,
    /// What a person can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// What a transfer waits for that tries again by itself.
    #[must_use]
    pub fn retrying(message: String) -> Self {
        Self { code: "retrying".to_owned(), message, retryable: true, hint: None }
    }
}

/// A package in a cloud and the right to fill or read it.
#[derive(Debug, Clone)]
pub struct RemotePackage {
    /// The name of the cloud that has it; `None` for the agent's own, whichever that is.
    pub cloud: Option<String>,
    /// The team there that it belongs to, where one does.
    pub team: Option<TeamId>,
    /// The cloud's id.
    pub id: PackageId,
    /// Authorises every call about this package.
    pub token: SecretString,
}

/// Whose turn it is before whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Higher goes first.
    pub priority: i32,
    /// Within a priority smaller goes first; 0 where nobody has moved it.
    pub rank: i64,
}

/// How much there is and how much of it is confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files in the upload.
    pub files: u64,
    /// Files the cloud has whole.
    pub files_done: u64,
    /// Bytes in the upload.
    pub bytes: u64,
    /// Bytes the storage has confirmed.
    pub bytes_done: u64,
}

/// Which transfers of a direction are listed, newest first.
#[derive(Debug, Clone)]
pub struct Filter<Id> {
    /// Only those in one of these states; empty for all.
    pub states: Vec<State>,
    /// Only those that this rule made.
    pub rule: Option<String>,
    /// Only those made before this one.
    pub before: Option<Id>,
    /// Only those ordered at or after this time.
    pub since: Option<Timestamp>,
    /// Only those with this in their name or their rule's, whatever the case of ASCII letters; empty for all.
    pub search: String,
    /// At most so many; 0 for all.
    pub limit: u32,
}

impl<Id> Default for Filter<Id> {
    /// All of them.
    fn default() -> Self {
        Self { states: Vec::new(), rule: None, before: None, since: None, search: String::new(), limit: 0 }
    }
}
