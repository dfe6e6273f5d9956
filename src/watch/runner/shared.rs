//! What a rule's task shares with those who ask about it: its planner, its status, its clock.
//!
//! **In**: what the task has found out and done. **Out**: the same for the status, `explain` and requests. Locked briefly, never
//! while waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::watch::classifier::Classifier;
use crate::watch::dispatch::Surroundings;
use crate::watch::planner::Planner;
use crate::watch::status::RuleStatus;

/// What the rule's task shares with its callers. Locked briefly, never while waiting.
#[derive(Debug)]
pub(in crate::watch) struct Shared {
    desk: Mutex<Planner>,
    status: Mutex<RuleStatus>,
    /// The last failure of which there is no event yet.
    unrecorded: Mutex<Option<Value>>,
    started: Instant,
}

impl Shared {
    pub(in crate::watch) fn new(sieve: Classifier, surroundings: Surroundings) -> Self {
        let rule = Arc::clone(sieve.rule());
        let status = RuleStatus { name: rule.name.clone(), watch: rule.watch.clone(), ..RuleStatus::default() };
        Self {
            desk: Mutex::new(Planner::new(sieve, surroundings)),
            status: Mutex::new(status),
            unrecorded: Mutex::default(),
            started: Instant::now(),
        }
    }

    pub(in crate::watch) fn desk(&self) -> MutexGuard<'_, Planner> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::watch) fn status(&self) -> MutexGuard<'_, RuleStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unrecorded(&self) -> MutexGuard<'_, Option<Value>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the rule's task was started.
    pub(in crate::watch) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The runtime's instant of a moment since the start.
    pub(super) fn instant(&self, moment: Duration) -> Instant {
        self.started + moment
    }

    /// The wall-clock time of a moment since the start.
    pub(in crate::watch) fn at(&self, moment: Duration) -> Timestamp {
        let (now, at) = (Timestamp::now(), self.now());
        let shifted = if moment >= at { now.checked_add(moment - at) } else { now.checked_sub(at - moment) };
        shifted.unwrap_or(now)
    }
}
