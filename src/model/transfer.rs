//! What transfers of both directions have in common: states, problems, progress, filters for lists.

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
    /// It was paused.
    Paused,
    /// Everything is uploaded; it waits to be finalized.
    Idle,
    /// Finalized: the recipients have it.
    Complete,
    /// It cannot continue without help; the error says why and what to do.
    Error,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Transferring, Self::Paused, Self::Idle, Self::Complete, Self::Error];

    /// The word used in the API and the database.
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

/// What a transferring upload or download is currently doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Queued.
    Queued,
    /// The package is being created.
    Creating,
    /// The link is being opened and the package listed.
    Opening,
    /// Parts are in flight.
    Sending,
    /// Parts are arriving.
    Receiving,
    /// A file of it is being written; what can be is sent.
    Growing,
    /// Waiting for the next attempt after a failure.
    Retrying,
    /// Everything is sent and is being verified.
    Verifying,
    /// The package is being finalized.
    Finalizing,
}

/// Why something cannot continue, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A stable word for programs, such as `source_changed`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// Whether resuming can help without changing anything else.
    pub retryable: bool,
    /// What the user can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// What a transfer is waiting for that retries automatically.
    #[must_use]
    pub fn retrying(message: String) -> Self {
        Self { code: "retrying".to_owned(), message, retryable: true, hint: None }
    }

    /// What a transfer is waiting for while nothing is wrong.
    #[must_use]
    pub fn growing(message: String) -> Self {
        Self { code: "growing".to_owned(), message, retryable: true, hint: None }
    }
}

/// A package in a cloud, and the token to fill or read it.
#[derive(Debug, Clone)]
pub struct RemotePackage {
    /// The name of the cloud that has it; `None` for the agent's own, whichever that is.
    pub cloud: Option<String>,
    /// The team there that it belongs to, if any.
    pub team: Option<TeamId>,
    /// Its id in the cloud.
    pub id: PackageId,
    /// Authorises every call about this package.
    pub token: SecretString,
}

/// The order in which transfers get their turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Higher priorities go first.
    pub priority: i32,
    /// Within a priority, smaller values go first; 0 unless it was moved.
    pub rank: i64,
}

/// How much there is, and how much of it is confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files in the upload.
    pub files: u64,
    /// Files that the cloud has completely.
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
    /// Only those created by this rule.
    pub rule: Option<String>,
    /// Only those created before this one.
    pub before: Option<Id>,
    /// Only those created at or after this time.
    pub since: Option<Timestamp>,
    /// Only those created before this time.
    pub until: Option<Timestamp>,
    /// Only those whose name or rule contains this, ignoring ASCII case; empty for all.
    pub search: String,
    /// Only those with this name, or an id that ends with it; empty for all.
    pub named: String,
    /// The maximum number; 0 for all.
    pub limit: u32,
}

impl<Id> Default for Filter<Id> {
    /// All of them.
    fn default() -> Self {
        Self {
            states: Vec::new(),
            rule: None,
            before: None,
            since: None,
            until: None,
            search: String::new(),
            named: String::new(),
            limit: 0,
        }
    }
}
