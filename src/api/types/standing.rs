//! How a transfer stands: what uploads and downloads show alike.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Live;
use crate::model::{Activity, Problem, State, Totals};

/// How a transfer stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// What it does now, while it transfers.
    pub activity: Option<Activity>,
    /// Higher goes first.
    pub priority: i32,
    /// The rule that made it.
    pub rule: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Bytes that the storage has confirmed, or that are on the disk.
    pub progress: u64,
    /// Bytes on their way.
    pub in_flight: u64,
    /// Files in it.
    pub file_count: u64,
    /// Files that have arrived whole.
    pub files_done: u64,
    /// Bytes a second, a moving average.
    pub speed_bps: u64,
    /// Time left at this speed.
    pub eta_seconds: Option<u64>,
    /// Why it failed, or what it waits for.
    pub error: Option<Problem>,
    /// Failed tries of what is being retried.
    pub attempts: u32,
    /// When the next try is made.
    pub next_retry_at: Option<Timestamp>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When its package was made, or its files became known.
    pub started_at: Option<Timestamp>,
    /// When it was finalized, or all was on the disk.
    pub completed_at: Option<Timestamp>,
}

/// When it was ordered, begun, done.
pub(super) struct Times {
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
}

impl Standing {
    /// What the store says, and the engine of this moment.
    pub(super) fn new(
        state: State,
        problem: Option<Problem>,
        priority: i32,
        rule: Option<String>,
        totals: Totals,
        times: Times,
        live: Option<Live>,
    ) -> Self {
        let transferring = state == State::Transferring;
        let live = live.filter(|_| transferring);
        let waiting = live.as_ref().and_then(|live| live.reason.clone()).map(Problem::retrying);
        Self {
            state,
            activity: transferring.then(|| live.as_ref().map_or(Activity::Queued, |live| live.activity)),
            priority,
            rule,
            size: totals.bytes,
            progress: totals.bytes_done,
            in_flight: live.as_ref().map_or(0, |live| live.in_flight),
            file_count: totals.files,
            files_done: totals.files_done,
            speed_bps: live.as_ref().map_or(0, |live| live.speed_bps),
            eta_seconds: live.as_ref().and_then(|live| live.eta).map(|eta| eta.as_secs()),
            error: problem.or(waiting),
            attempts: live.as_ref().map_or(0, |live| live.attempts),
            next_retry_at: live.and_then(|live| live.next_retry_at),
            created_at: times.created,
            started_at: times.started,
            completed_at: times.completed,
        }
    }
}
