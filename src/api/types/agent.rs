//! The agent itself: settings, how it stands, what was looked at; signing in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::super::about::Limitation;
use crate::engine::LinkFigures;
use masv_protocol::{Team, User};

/// Who signs in.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Login {
    /// Mail address.
    pub email: String,
    /// Password.
    #[schemars(with = "String")]
    pub password: SecretString,
}

/// Who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SignedIn {
    /// The person; `null` where an API key authorises the agent.
    pub user: Option<User>,
    /// The teams the person belongs to, or the key acts for.
    pub teams: Vec<Team>,
}

/// The teams of who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Teams {
    /// One after the other.
    pub teams: Vec<Team>,
}

/// More workers, and open files or readers for them, than this help nobody.
pub(in crate::api) const MOST_WORKERS: usize = 256;
/// More transfers at once than this only take memory.
pub(in crate::api) const MOST_TRANSFERS: usize = 1_000;

/// How many parts may be on their way at once. An order changes what it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Parts at once, over all uploads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_WORKERS))]
    pub workers: Option<usize>,
    /// Parts at once, over all downloads.
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

/// How many transfers are worked on at once; the others wait for their turn. An order changes what it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FifoMode {
    /// Whether fewer are worked on at once than usual. An order of `true` without counts means one; `false` means as many as
    /// usual.
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
    /// Files being read at once, over all uploads.
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

/// The agent about itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Of the program.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// Where it keeps its state.
    pub data_dir: String,
    /// The cloud it sends to.
    pub cloud: String,
    /// Whether that is the hub in its own process.
    pub embedded_hub: bool,
    /// What its deliveries do not reach.
    #[serde(default)]
    pub limitations: Vec<Limitation>,
    /// Whether team calls are authorised.
    pub signed_in: bool,
    /// The rules file.
    pub rules_file: Option<String>,
    /// What is wrong with the rules file that is there now; the rules before go on.
    #[serde(default)]
    pub rules_problem: Option<String>,
    /// Rules at work.
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
    /// Parts that may be on their way at once now.
    pub workers: usize,
    /// Parts that are on their way.
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

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Green,
    /// It works, and somebody should look.
    Amber,
    /// It does not work.
    Red,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it stands.
    pub grade: Grade,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Examination {
    /// One after the other.
    pub checks: Vec<Check>,
}
