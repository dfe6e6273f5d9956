//! The status of a transfer: what uploads and downloads have in common.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Live;
use crate::model::{Activity, Problem, State, Totals};

/// The status of a transfer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// The current activity, while it is transferring.
    pub activity: Option<Activity>,
    /// Higher priorities go first.
    pub priority: i32,
    /// The rule that created it.
    pub rule: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Bytes confirmed by the storage, or on disk.
    pub progress: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Files in it.
    pub file_count: u64,
    /// Files that have arrived completely.
    pub files_done: u64,
    /// Bytes per second, a moving average.
    pub speed_bps: u64,
    /// Time left at this speed.
    pub eta_seconds: Option<u64>,
    /// Why it failed, or what it is waiting for.
    pub error: Option<Problem>,
    /// Failed attempts of what is being retried.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_retry_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its package was created, or its files became known.
    pub started_at: Option<Timestamp>,
    /// When it was finalized, or all files were on disk.
    pub completed_at: Option<Timestamp>,
}

/// When it was created, started and completed.
pub(super) struct Times {
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
}

impl Standing {
    /// Combines the stored state with the engine's current progress.
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
        let grows = live.as_ref().is_some_and(|live| live.activity == Activity::Growing);
        let waiting = if grows { Problem::growing } else { Problem::retrying };
        let waiting = live.as_ref().and_then(|live| live.reason.clone()).map(waiting);
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
