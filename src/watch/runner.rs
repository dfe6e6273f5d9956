//! The task of one rule: scans when it is time, asks the planner what to do, and does it.
//!
//! **In**: hints, events of uploads, requests, the clock. **Out**: scans, uploads for the queue, the rule's status.
//!
//! **Guarantees.** Each pass starts from the actual state, so that a pass that is cut short anywhere is made up for
//! by the next. Waiting for a scan ends when the rule is stopped. Scans are spaced by at least the time
//! the last one took.
//!
//! **On a crash** nothing is lost: see the room's header.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{Timestamp, Zoned};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::aftercare::{Aftercare, SHORTEST_CARE};
use self::anchors::Anchors;
use self::auto_resume::AutoResume;
use self::comparing::Comparing;
use self::manifests::Verifying;
use self::post_actions::PostActions;
use self::scanning::Scanning;
use super::beneath::Offline;
use super::classifier::Classifier;
use super::describe;
use super::dispatch::Surroundings;
use super::fs_events::FsEvents;
use super::planner::Planner;
use super::status::{RuleState, RuleStatus};
use super::upload_events::Inbox;
use super::upload_sink::UploadSink;
use super::watcher::FileSystem;
use crate::store::{Store, StoreError};
use masv_platform::unless_hurried;
use masv_rules::{Poll, Rule};

/// With more files on their way than this, deciding about all of them takes its time: between one pass and the next it rests
/// for some times as long, and what happens meanwhile is decided about at once.
const MANY: usize = 1_000;
/// See [`MANY`].
const REST_FACTOR: u32 = 4;
/// It rests no longer than this: orders wait as well.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// What failed in the agent itself is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

/// A request to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Scan everything and package what is ready.
    RunNow,
    /// Stop making packages.
    Pause,
    /// Make packages again.
    Resume,
    /// The ledger was changed on request: read it again.
    ReadLedger,
}

/// What the rule's task shares with its callers. Locked briefly, never while waiting.
#[derive(Debug)]
pub(super) struct Shared {
    desk: Mutex<Planner>,
    status: Mutex<RuleStatus>,
    started: Instant,
}

impl Shared {
    pub(super) fn new(sieve: Classifier, surroundings: Surroundings) -> Self {
        let rule = Arc::clone(sieve.rule());
        let status = RuleStatus { name: rule.name.clone(), watch: rule.watch.clone(), ..RuleStatus::default() };
        Self {
            desk: Mutex::new(Planner::new(sieve, surroundings)),
            status: Mutex::new(status),
            started: Instant::now(),
        }
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Planner> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> MutexGuard<'_, RuleStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the rule's task was started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The wall-clock time of a moment since the start.
    pub(super) fn at(&self, moment: Duration) -> Timestamp {
        let (now, at) = (Timestamp::now(), self.now());
        let shifted = if moment >= at { now.checked_add(moment - at) } else { now.checked_sub(at - moment) };
        shifted.unwrap_or(now)
    }
}

/// One active rule.
pub(super) struct Runner {
    rule: Arc<Rule>,
    sieve: Classifier,
    anchors: Anchors,
    surroundings: Surroundings,
    store: Store,
    outlet: Arc<dyn UploadSink>,
    shared: Arc<Shared>,
    ship: submit::State,
    hints: Arc<FsEvents>,
    inbox: Arc<Inbox>,
    orders: mpsc::Receiver<Order>,
    cancel: CancellationToken,
    looks: Scanning,
    books: Books,
    aftermath: PostActions,
    aftercare: Aftercare,
    /// How long files that were taken away are watched, at least.
    shortest_care: Duration,
    reviving: AutoResume,
    gone_wait: Duration,
    verifying: Verifying,
    comparing: Comparing,
    paused: bool,
    /// Package what is ready in this pass, regardless of the schedule.
    flush: bool,
    offline: Option<Offline>,
}

/// What is known of the ledger.
#[derive(Debug)]
struct Books {
    /// The rule's first start has been noted.
    seen: bool,
    /// The ledger must be read as a whole, and everything judged by it, not before then.
    read_at: Option<Duration>,
}

/// What a runner is made of.
pub(super) struct Parts {
    pub(super) sieve: Classifier,
    pub(super) surroundings: Surroundings,
    pub(super) store: Store,
    pub(super) outlet: Arc<dyn UploadSink>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) cancel: CancellationToken,
    pub(super) file_system: FileSystem,
    pub(super) shortest_care: Option<Duration>,
    pub(super) gone_wait: Duration,
}

impl Runner {
    pub(super) fn new(parts: Parts) -> Self {
        let rule = Arc::clone(parts.sieve.rule());
        let native = rule.poll == Poll::Auto;
        Self {
            hints: Arc::new(FsEvents::new(&rule.watch, native, parts.file_system)),
            ship: submit::State::new(),
            anchors: Anchors::default(),
            rule,
            sieve: parts.sieve,
            surroundings: parts.surroundings,
            store: parts.store,
            outlet: parts.outlet,
            shared: parts.shared,
            inbox: parts.inbox,
            orders: parts.orders,
            cancel: parts.cancel,
            looks: Scanning::default(),
            books: Books { seen: false, read_at: Some(Duration::ZERO) },
            aftermath: PostActions::default(),
            aftercare: Aftercare::default(),
            shortest_care: parts.shortest_care.unwrap_or_else(|| unless_hurried(SHORTEST_CARE)),
            reviving: AutoResume::default(),
            gone_wait: parts.gone_wait,
            verifying: Verifying::default(),
            comparing: Comparing::default(),
            paused: false,
            flush: false,
            offline: None,
        }
    }

    /// Works until cancelled.
    pub(super) async fn run(mut self) {
        let cancel = self.cancel.clone();
        let worked = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            worked = AssertUnwindSafe(self.work()).catch_unwind() => worked,
        };
        if worked.is_err() {
            // The panic itself is in the log. Whatever the bug is, the other rules continue.
            let reason = "the rule ended because of a bug in the agent; reload the rules to restart it";
            self.problem("bug", reason.to_owned()).await;
            let mut status = self.shared.status();
            (status.state, status.reason) = (RuleState::Offline, Some(reason.to_owned()));
        }
    }

    async fn work(&mut self) {
        self.begin().await;
        self.note_failures(false).await;
        loop {
            let began = self.shared.now();
            let wake = self.pass().await;
            let took = self.shared.now().saturating_sub(began);
            if self.shared.desk().settling().count() > MANY {
                tokio::time::sleep((took * REST_FACTOR).min(LONGEST_REST)).await;
            }
            self.wait(wake).await;
        }
    }

    /// Reads the rule's stored state; without it nothing may be decided.
    async fn begin(&mut self) {
        let rule = Arc::clone(&self.rule);
        if let Ok(anchors) = tokio::task::spawn_blocking(move || Anchors::of(&rule)).await {
            self.anchors = anchors;
        }
        loop {
            match self.read_record().await {
                Ok(()) => return,
                Err(error) => self.problem("store", describe(&error)).await,
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read_record(&mut self) -> Result<(), StoreError> {
        let record = self.store.rule_record(&self.rule.name).await?;
        self.read_taken_away().await?;
        self.books.seen = record.is_some();
        self.paused = record.as_ref().is_some_and(|record| record.paused);
        self.ship.recover(&self.rule, &self.store, &self.surroundings, record.as_ref()).await
    }

    /// Looks, decides and acts once; returns when to do so again if nothing happens before.
    async fn pass(&mut self) -> Duration {
        self.look_when_due().await;
        self.read_news().await;
        self.read_ledger_when_due().await;
        self.confirm_due().await;
        self.read_manifests().await;
        self.compare_next();
        let mut next = None;
        if self.is_able() {
            self.revive().await;
            next = self.ship().await;
            self.act_after().await;
            self.look_after_due();
        }
        self.flush = false;
        self.publish();
        self.next_wake(next)
    }

    /// Whether anything may be decided: the folder is there and the ledger was read.
    fn is_able(&self) -> bool {
        self.offline.is_none() && self.looks.complete && self.books.seen && self.books.read_at.is_none()
    }

    async fn wait(&mut self, wake: Duration) {
        let until = self.shared.started + wake;
        tokio::select! {
            () = self.hints.changed(), if !self.looks.hinted => self.looks.hinted = true,
            () = self.inbox.changed() => {}
            order = self.orders.recv() => match order {
                Some(order) => self.obey(order).await,
                // No more requests can arrive; the rule continues until it is cancelled.
                None => tokio::time::sleep_until(until).await,
            },
            results = self.aftermath.ended() => self.acted(results).await,
            results = self.aftercare.ended() => self.looked_after(results).await,
            results = self.verifying.ended() => self.measured(results).await,
            results = self.comparing.ended() => self.compared(results).await,
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::RunNow => {
                self.flush = true;
                self.looks.next_full = Duration::ZERO;
            }
            Order::Pause | Order::Resume => {
                self.paused = order == Order::Pause;
                if let Err(error) = self.store.set_rule_paused(&self.rule.name, self.paused).await {
                    self.problem("store", describe(&error)).await;
                }
            }
            Order::ReadLedger => self.books.read_at = Some(Duration::ZERO),
        }
    }

    fn next_wake(&self, shipping: Option<Duration>) -> Duration {
        let now = self.shared.now();
        let mut earliest = self.looks.next_full;
        // What cannot be done now must not be waited for: it would be due all the time.
        if self.offline.is_none() && self.looks.complete {
            let hinted = self.looks.hinted.then(|| self.look_allowed_at());
            let desk = self.shared.desk().next(now);
            let after = self.aftermath.next().filter(|_| !self.paused);
            let revive = self.reviving.next().filter(|_| !self.paused);
            let compare = self.comparing.next(now);
            let care = self.next_care();
            let times = [hinted, desk, shipping, after, revive, compare, care, self.books.read_at];
            earliest = times.into_iter().flatten().fold(earliest, Duration::min);
        }
        earliest.max(now + Duration::from_millis(5))
    }

    /// The wall clock, in the rule's zone.
    fn clock(&self) -> Zoned {
        Timestamp::now().to_zoned(self.rule.time_zone.clone())
    }
}

mod aftercare;
mod anchors;
mod auto_resume;
mod comparing;
mod ledger;
mod manifests;
mod open_packages;
mod post_actions;
mod report;
mod scanning;
mod submit;
