//! The agent itself: settings, status, checks; signing in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::super::about::Limitation;
use crate::engine::LinkFigures;
use masv_protocol::{Team, User};

/// Credentials to sign in with.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Login {
    /// E-mail address.
    pub email: String,
    /// Password.
    #[schemars(with = "String")]
    pub password: SecretString,
}

/// Who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SignedIn {
    /// The user; `null` if the agent is authorised by an API key.
    pub user: Option<User>,
    /// The teams that the user belongs to, or that the key acts for.
    pub teams: Vec<Team>,
}

/// The teams of the signed-in user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Teams {
    /// The entries.
    pub teams: Vec<Team>,
}

/// More workers, or open files or readers, than this do not help.
pub(in crate::api) const MOST_WORKERS: usize = 256;
/// More transfers at once than this only cost memory.
pub(in crate::api) const MOST_TRANSFERS: usize = 1_000;

/// How many parts may be in flight at once. An order changes what it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Parts at once, across all uploads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_WORKERS))]
    pub workers: Option<usize>,
    /// Parts at once, across all downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_WORKERS))]
    pub download_workers: Option<usize>,
    /// Whether the number for uploads is found: as many as bring more. An order of `true` counts more than a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<bool>,
    /// The same for downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_auto: Option<bool>,
}

/// How many transfers run at once; the others are queued. A request changes the fields that it contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FifoMode {
    /// Whether the number is limited. `true` without counts means one; `false` restores the
    /// defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Uploads at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_TRANSFERS))]
    pub active_upload_count: Option<usize>,
    /// Downloads at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_TRANSFERS))]
    pub active_download_count: Option<usize>,
}

/// How many files may be read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenFiles {
    /// Files being read at once, across all uploads.
    #[schemars(range(min = 1, max = MOST_WORKERS))]
    pub open_files: usize,
}

/// How many parts may be read at once from the same file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskReaders {
    /// Parts being read at once from each file system.
    #[schemars(range(min = 1, max = MOST_WORKERS))]
    pub disk_readers: usize,
}

/// Facts about the agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// The program's version.
    pub version: String,
    /// The name of its machine.
    #[serde(default)]
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// Its data directory.
    pub data_dir: String,
    /// The cloud it sends to.
    pub cloud: String,
    /// Whether that is the embedded hub.
    pub embedded_hub: bool,
    /// The limitations of its deliveries.
    #[serde(default)]
    pub limitations: Vec<Limitation>,
    /// Whether calls for a team are authorised.
    pub signed_in: bool,
    /// The rules file.
    pub rules_file: Option<String>,
    /// What is wrong with the current rules file, while the previous rules stay active.
    #[serde(default)]
    pub rules_problem: Option<String>,
    /// The number of active rules.
    pub rules: usize,
    /// Uploads by state.
    pub uploads: BTreeMap<String, u64>,
    /// What was found of the way to the cloud, for each direction.
    #[serde(default)]
    pub links: Vec<TransferLink>,
}

/// What was found of the way to the cloud in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransferLink {
    /// `upload` or `download`.
    pub direction: String,
    /// Maximum number of parts in flight now.
    pub workers: usize,
    /// Parts in flight.
    pub busy: usize,
    /// The shortest way to the cloud and back lately, in milliseconds; `null` before it is known.
    pub round_trip_ms: Option<f64>,
    /// Bytes a second when all workers were at work last; 0 before that is known.
    pub goodput_bps: u64,
    /// What limits the speed: `work` (there is not more to do), `search` (more workers are being tried), `capacity` (more workers
    /// bring nothing), `workers` (the number that is set), `throttling` (the cloud asks for fewer requests) or `losses`
    /// (connections break).
    pub limited_by: String,
}

impl TransferLink {
    /// As the engine of a direction tells it.
    pub(in crate::api) fn of(direction: &str, link: LinkFigures) -> Self {
        Self {
            direction: direction.to_owned(),
            workers: link.workers,
            busy: link.busy,
            round_trip_ms: link.round_trip.map(|trip| trip.as_secs_f64() * 1e3),
            goodput_bps: link.goodput,
            limited_by: link.limited_by.as_str().to_owned(),
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Everything is fine.
    Green,
    /// It works, but needs attention.
    Amber,
    /// It does not work.
    Red,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What.
    pub name: String,
    /// Its status.
    pub grade: Grade,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// All checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Examination {
    /// The entries.
    pub checks: Vec<Check>,
}
