//! What a running transfer is currently doing: in memory only, for display.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::counters::Counters;
use super::permits::Key;
use super::throughput::Meter;
use crate::model::{Activity, Turn};

/// After only waiting for this long, a transfer gives up its slot.
const GIVE_WAY: Duration = Duration::from_secs(2);

/// A snapshot of a running transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its activity.
    pub activity: Activity,
    /// Bytes in flight that the storage has not confirmed yet.
    pub in_flight: u64,
    /// Bytes per second, a moving average.
    pub speed_bps: u64,
    /// Time left at this speed.
    pub eta: Option<Duration>,
    /// Failed attempts of what is being retried.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_retry_at: Option<Timestamp>,
    /// Why it is retried.
    pub reason: Option<String>,
}

/// The running transfers' progress by id; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LiveTable<Id> {
    transfers: Arc<Mutex<HashMap<Id, Arc<LiveTransfer>>>>,
    tally: Arc<Counters>,
}

impl<Id> Default for LiveTable<Id> {
    fn default() -> Self {
        Self { transfers: Arc::default(), tally: Arc::default() }
    }
}

impl<Id: Key> LiveTable<Id> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<LiveTransfer>>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The initial progress of a transfer with `confirmed` bytes.
    pub(crate) fn transfer(&self, turn: Turn, confirmed: u64, total: u64) -> LiveTransfer {
        LiveTransfer::new(Arc::clone(&self.tally), turn, confirmed, total)
    }

    /// The direction's counters.
    pub(crate) fn tally(&self) -> &Arc<Counters> {
        &self.tally
    }

    pub(crate) fn insert(&self, id: Id, transfer: Arc<LiveTransfer>) {
        self.lock().insert(id, transfer);
    }

    pub(crate) fn remove(&self, id: Id) {
        self.lock().remove(&id);
    }

    pub(crate) fn ids(&self) -> Vec<Id> {
        self.lock().keys().copied().collect()
    }

    pub(crate) fn of(&self, id: Id) -> Option<Arc<LiveTransfer>> {
        self.lock().get(&id).cloned()
    }

    /// Updates every speed, and returns the transfers that are only waiting; called about once a second.
    pub(crate) fn tick(&self) -> Vec<(Id, WaitsFor)> {
        let transfers: Vec<_> = self.lock().iter().map(|(id, transfer)| (*id, Arc::clone(transfer))).collect();
        transfers.into_iter().filter_map(|(id, transfer)| Some((id, transfer.tick()?))).collect()
    }
}

/// One running transfer.
#[derive(Debug)]
pub(crate) struct LiveTransfer {
    tally: Arc<Counters>,
    started: Instant,
    turn: Mutex<Turn>,
    /// Parts in flight.
    sending: AtomicUsize,
    in_flight: AtomicU64,
    confirmed: AtomicU64,
    total: AtomicU64,
    phase: Mutex<Activity>,
    waits: Mutex<HashMap<u64, Wait>>,
    next_wait: AtomicU64,
    /// Counts all progress: bytes transferred, calls that succeed.
    moves: AtomicU64,
    waiting: Mutex<OnlyWaiting>,
    meter: Mutex<Meter>,
}

/// What a transfer is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WaitsFor {
    /// Something about a file of it.
    Source,
    /// The cloud, or permission there: other transfers to the same place are waiting for the same.
    Cloud,
}

/// Whether a transfer is only waiting, sampled once a second. Pure.
#[derive(Debug, Default)]
struct OnlyWaiting {
    moves: u64,
    /// Since when nothing has progressed while something waited.
    since: Option<Duration>,
    waits: Option<WaitsFor>,
}

impl OnlyWaiting {
    /// Samples at `now`: `moves` so far, and what is currently awaited. Once it is only waiting, it stays so until something
    /// progresses: attempts in between do not count as using the slot.
    fn look(&mut self, now: Duration, moves: u64, waits: Option<WaitsFor>) -> Option<WaitsFor> {
        if moves != self.moves {
            *self = Self { moves, ..Self::default() };
        }
        if let Some(waits) = waits {
            let since = *self.since.get_or_insert(now);
            if now.saturating_sub(since) >= GIVE_WAY {
                self.waits = Some(waits);
            }
        }
        self.waits
    }
}

#[derive(Debug, Clone)]
struct Wait {
    waits_for: WaitsFor,
    reason: String,
    attempts: u32,
    until: Timestamp,
}

/// Counts a part's bytes as they leave or arrive; what is not confirmed when this is dropped is subtracted again.
#[derive(Debug)]
pub(crate) struct InFlight {
    transfer: Arc<LiveTransfer>,
    counted: AtomicU64,
}

/// Shows that something is waiting for its next attempt, until this is dropped.
pub(crate) struct Waiting<'a> {
    transfer: &'a LiveTransfer,
    key: u64,
}

impl LiveTransfer {
    fn new(tally: Arc<Counters>, turn: Turn, confirmed: u64, total: u64) -> Self {
        Self {
            tally,
            started: Instant::now(),
            turn: Mutex::new(turn),
            sending: AtomicUsize::new(0),
            in_flight: AtomicU64::new(0),
            confirmed: AtomicU64::new(confirmed),
            total: AtomicU64::new(total),
            phase: Mutex::new(Activity::Queued),
            waits: Mutex::default(),
            next_wait: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            waiting: Mutex::default(),
            meter: Mutex::default(),
        }
    }

    /// The direction's counters.
    pub(crate) fn tally(&self) -> &Counters {
        &self.tally
    }

    pub(crate) fn turn(&self) -> Turn {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_turn(&self, turn: Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// Something has progressed.
    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_phase(&self, phase: Activity) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(crate) fn set_total(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn begin_part(self: &Arc<Self>) -> Arc<InFlight> {
        self.sending.fetch_add(1, Ordering::Relaxed);
        self.tally.part();
        Arc::new(InFlight { transfer: Arc::clone(self), counted: AtomicU64::new(0) })
    }

    pub(crate) fn confirm(&self, bytes: u64) {
        self.tally.confirmed(bytes);
        self.moved();
        self.confirmed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that are not confirmed.
    pub(crate) fn missing(&self) -> u64 {
        self.total.load(Ordering::Relaxed).saturating_sub(self.confirmed.load(Ordering::Relaxed))
    }

    /// Confirmed bytes that must be sent again.
    pub(crate) fn lose(&self, bytes: u64) {
        let _ = self
            .confirmed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |confirmed| Some(confirmed.saturating_sub(bytes)));
    }

    pub(crate) fn wait(&self, waits_for: WaitsFor, reason: String, attempts: u32, until: Timestamp) -> Waiting<'_> {
        let key = self.next_wait.fetch_add(1, Ordering::Relaxed);
        let wait = Wait { waits_for, reason, attempts, until };
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).insert(key, wait);
        Waiting { transfer: self, key }
    }

    fn tick(&self) -> Option<WaitsFor> {
        let (now, moves) = (self.started.elapsed(), self.moves.load(Ordering::Relaxed));
        let bytes = self.confirmed.load(Ordering::Relaxed) + self.in_flight.load(Ordering::Relaxed);
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).read(now, bytes);
        let waits = {
            let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.values().max_by_key(|wait| wait.waits_for == WaitsFor::Cloud).map(|wait| wait.waits_for)
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).look(now, moves, waits)
    }

    pub(crate) fn look(&self) -> Live {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let gone = self.confirmed.load(Ordering::Relaxed) + in_flight;
        let meter = *self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = {
            let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.values().min_by_key(|wait| wait.until).cloned()
        };
        // While other parts progress, the transfer is active, whatever one of them is waiting for.
        let retrying = wait.is_some() && self.sending.load(Ordering::Relaxed) == 0;
        // Nothing has failed: a file of it is being written.
        let growing = wait.as_ref().is_some_and(|wait| wait.waits_for == WaitsFor::Source && wait.attempts == 0);
        let waiting = if growing { Activity::Growing } else { Activity::Retrying };
        Live {
            activity: if retrying { waiting } else { phase },
            in_flight,
            speed_bps: meter.speed(),
            eta: meter.remaining(self.total.load(Ordering::Relaxed).saturating_sub(gone)),
            attempts: wait.as_ref().map_or(0, |wait| wait.attempts),
            next_retry_at: wait.as_ref().filter(|_| !growing).map(|wait| wait.until),
            reason: wait.map(|wait| wait.reason),
        }
    }
}

impl InFlight {
    pub(crate) fn add(&self, bytes: u64) {
        self.transfer.tally.moved(bytes);
        self.transfer.moved();
        self.counted.fetch_add(bytes, Ordering::Relaxed);
        self.transfer.in_flight.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that have left or arrived so far.
    pub(crate) fn so_far(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.transfer.in_flight.fetch_sub(self.counted.load(Ordering::Relaxed), Ordering::Relaxed);
        self.transfer.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.transfer.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown for a transfer, second by second, given its progress and whether it is waiting.
    fn told(seconds: &[(u64, bool)]) -> Vec<bool> {
        let mut waiting = OnlyWaiting::default();
        let look = |(second, (moves, waits)): (u64, &(u64, bool))| {
            waiting.look(Duration::from_secs(second), *moves, waits.then_some(WaitsFor::Cloud)).is_some()
        };
        (0..).zip(seconds).map(look).collect()
    }

    /// Case: what only waits gives its turn away.
    #[test]
    fn who_only_waits_gives_way_and_a_try_in_between_takes_nothing_back() {
        let tries = [(0, true), (0, true), (0, true), (0, false), (0, true)];
        assert_eq!(told(&tries), [false, false, true, true, true]);
        let moves = [(0, true), (0, true), (0, true), (1, false), (1, true), (1, true), (1, true)];
        assert_eq!(told(&moves), [false, false, true, false, false, false, true]);
        let others_move = [(0, true), (1, true), (2, true), (3, true), (4, true)];
        assert_eq!(told(&others_move), [false; 5], "one part waits, the others are on their way");
        assert_eq!(told(&[(0, false); 5]), [false; 5], "who waits for nothing is at work");
    }
}
