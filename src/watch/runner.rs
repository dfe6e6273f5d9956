//! The task of one rule: looks when it is time, asks the desk what to do, and does it.
//!
//! **In**: hints, news of uploads, orders, the clock. **Out**: looks, orders to the queue, the rule's status.
//!
//! **Guarantees.** Each pass begins from what is the case, so that a pass that is cut short anywhere is made up for
//! by the next. A look is never waited for longer than until the rule is to stop. Looks are spaced by at least the time
//! the last one took.
//!
//! **On a crash** nothing is lost: see the room's entrance.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{Timestamp, Zoned};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::aftermath::Aftermath;
use self::manifests::Verifying;
use super::desk::Desk;
use super::dispatch::Surroundings;
use super::hints::{Hinted, Hints, Silence};
use super::news::Inbox;
use super::outlet::Outlet;
use super::scan::{self, Look, Offline, Probe};
use super::sieve::{Kind, Sieve};
use super::status::{LISTED, LastError, LastScan, RuleState, RuleStatus, WaitingFile};
use super::writers::writers_of;
use super::{describe, ship};
use crate::rules::{Existing, Poll, Rule, Symlinks};
use crate::store::{Store, StoreError};

/// Shortest time between two looks that hints ask for.
const SHORTEST_GAP: Duration = Duration::from_millis(100);
/// Shortest and longest time between two looks at a folder that has to be polled.
const POLL_BOUNDS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// A folder is polled so seldom that looking takes at most this part of the time.
const POLL_SHARE: u32 = 10;
/// Shortest and longest time until a folder that is offline is looked for again.
const OFFLINE_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What failed in the agent itself is tried again after this.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// What a rule can be told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Look at everything and package what is ready.
    RunNow,
    /// Stop making packages.
    Pause,
    /// Make packages again.
    Resume,
    /// The ledger was changed by somebody: read it anew.
    ReadLedger,
}

/// What the rule's task and those who ask it share. Locked for short, never while anything is waited for.
#[derive(Debug)]
pub(super) struct Shared {
    desk: Mutex<Desk>,
    status: Mutex<RuleStatus>,
    started: Instant,
}

impl Shared {
    pub(super) fn new(sieve: Sieve, surroundings: Surroundings) -> Self {
        let rule = Arc::clone(sieve.rule());
        let status = RuleStatus { name: rule.name.clone(), watch: rule.watch.clone(), ..RuleStatus::default() };
        Self { desk: Mutex::new(Desk::new(sieve, surroundings)), status: Mutex::new(status), started: Instant::now() }
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
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

/// One rule at work.
pub(super) struct Runner {
    pub(super) rule: Arc<Rule>,
    pub(super) sieve: Sieve,
    pub(super) surroundings: Surroundings,
    pub(super) store: Store,
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) shared: Arc<Shared>,
    pub(super) ship: ship::State,
    hints: Arc<Hints>,
    inbox: Arc<Inbox>,
    orders: mpsc::Receiver<Order>,
    cancel: CancellationToken,
    looks: Looks,
    books: Books,
    aftermath: Aftermath,
    verifying: Verifying,
    pub(super) paused: bool,
    /// Package what is ready in this pass, whatever the schedule says.
    pub(super) flush: bool,
    offline: Option<Offline>,
}

/// When to look.
#[derive(Debug, Default)]
struct Looks {
    /// Everything is looked at then.
    next_full: Duration,
    /// Everything is looked at then, watches are renewed and the ledger is read anew.
    next_rescan: Duration,
    /// Hints wait.
    hinted: bool,
    /// The last look's end, and how long it took.
    ended: Duration,
    took: Duration,
    /// Until the folder is looked for again.
    retry: Duration,
    /// Everything has been looked at since the start.
    complete: bool,
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
    pub(super) sieve: Sieve,
    pub(super) surroundings: Surroundings,
    pub(super) store: Store,
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) cancel: CancellationToken,
}

impl Runner {
    pub(super) fn new(parts: Parts) -> Self {
        let rule = Arc::clone(parts.sieve.rule());
        let native = rule.poll == Poll::Auto;
        Self {
            hints: Arc::new(Hints::new(&rule.watch, native)),
            ship: ship::State::new(&rule),
            rule,
            sieve: parts.sieve,
            surroundings: parts.surroundings,
            store: parts.store,
            outlet: parts.outlet,
            shared: parts.shared,
            inbox: parts.inbox,
            orders: parts.orders,
            cancel: parts.cancel,
            looks: Looks::default(),
            books: Books { seen: false, read_at: Some(Duration::ZERO) },
            aftermath: Aftermath::default(),
            verifying: Verifying::default(),
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
            // The panic itself is in the log. Whatever the bug is, the other rules go on.
            let reason = "the rule ended by a bug of the agent; reload the rules to start it again";
            self.problem("bug", reason.to_owned()).await;
            let mut status = self.shared.status();
            (status.state, status.reason) = (RuleState::Offline, Some(reason.to_owned()));
        }
    }

    async fn work(&mut self) {
        self.begin().await;
        loop {
            let wake = self.pass().await;
            self.wait(wake).await;
        }
    }

    /// Reads what is kept of the rule over restarts; without it nothing may be decided.
    async fn begin(&mut self) {
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
        let mut next = None;
        if self.is_able() {
            next = self.ship().await;
            self.act_after().await;
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
                // Nobody can give orders any more; the rule goes on until it is cancelled.
                None => tokio::time::sleep_until(until).await,
            },
            results = self.aftermath.ended() => self.acted(results).await,
            results = self.verifying.ended() => self.compared(results).await,
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
        // What can not be done now must not be waited for: it would be due all the time.
        if self.offline.is_none() && self.looks.complete {
            let hinted = self.looks.hinted.then(|| self.look_allowed_at());
            let desk = self.shared.desk().next(now);
            let after = self.aftermath.next().filter(|_| !self.paused);
            let times = [hinted, desk, shipping, after, self.books.read_at];
            earliest = times.into_iter().flatten().fold(earliest, Duration::min);
        }
        earliest.max(now + Duration::from_millis(5))
    }

    fn look_allowed_at(&self) -> Duration {
        self.looks.ended + self.looks.took.max(SHORTEST_GAP)
    }

    async fn look_when_due(&mut self) {
        let now = self.shared.now();
        let hinted = if self.looks.hinted && now >= self.look_allowed_at() {
            self.looks.hinted = false;
            self.hints.take()
        } else {
            Hinted::default()
        };
        let follows_links = self.rule.symlinks == Symlinks::Within;
        let everything = now >= self.looks.next_full
            || hinted.everything
            || hinted.paths.contains(Path::new(""))
            || (follows_links && !hinted.is_empty());
        if everything {
            self.look_at_everything(now).await;
        } else if !hinted.is_empty() && self.offline.is_none() {
            self.look_at_paths(hinted.paths.into_iter().collect()).await;
        }
    }

    async fn look_at_everything(&mut self, now: Duration) {
        let renew = now >= self.looks.next_rescan;
        let (sieve, hints) = (self.sieve.clone(), Arc::clone(&self.hints));
        // A folder that was there and is gone is not made again: its drive may be away.
        let create = self.rule.create && !self.looks.complete;
        let look = self.blocking(move || {
            if create {
                // When it can not be made the look says why.
                let _ = std::fs::create_dir_all(&sieve.rule().watch);
            }
            if renew {
                hints.renew();
            }
            scan::look_at_all(&sieve, &mut |folder, id| hints.watch(folder, id))
        });
        let look = look.await;
        self.looked(now);
        match look {
            Ok(look) => {
                if renew {
                    self.looks.next_rescan = self.looks.ended + self.rule.rescan;
                    self.books.read_at = Some(Duration::ZERO);
                }
                self.looks.next_full = self.next_full();
                if self.take(look).await.is_ok() {
                    self.online(now);
                }
            }
            Err(offline) => self.go_offline(offline).await,
        }
    }

    /// When everything is looked at again, whatever the hints say.
    fn next_full(&self) -> Duration {
        let every = match (self.rule.poll, self.hints.silence()) {
            (Poll::Every(every), _) => Some(every),
            (Poll::Auto, Some(_)) => Some((self.looks.took * POLL_SHARE).clamp(POLL_BOUNDS.0, POLL_BOUNDS.1)),
            (Poll::Auto, None) => None,
        };
        let polled = every.map(|every| self.looks.ended + every.max(self.looks.took));
        polled.map_or(self.looks.next_rescan, |polled| polled.min(self.looks.next_rescan))
    }

    fn looked(&mut self, began: Duration) {
        self.looks.ended = self.shared.now();
        self.looks.took = self.looks.ended.saturating_sub(began);
        self.shared.status().looks += 1;
    }

    /// Looks at single paths; returns whether anything was new, changed or gone.
    pub(super) async fn look_at_paths(&mut self, paths: Vec<PathBuf>) -> bool {
        let began = self.shared.now();
        let (sieve, hints) = (self.sieve.clone(), Arc::clone(&self.hints));
        let look =
            self.blocking(move || scan::look_at(&sieve, &paths, &mut |folder, id| hints.watch(folder, id))).await;
        self.looked(began);
        match look {
            Ok(look) => self.take(look).await.unwrap_or(true),
            Err(offline) => {
                self.go_offline(offline).await;
                true
            }
        }
    }

    /// Takes in a look and judges what is fresh; returns whether anything was new, changed or gone.
    async fn take(&mut self, look: Look) -> Result<bool, ()> {
        let now = self.shared.now();
        let taken = self.shared.desk().take(now, look);
        let changes = match taken {
            Ok(changes) => changes,
            Err(offline) => {
                self.go_offline(offline).await;
                return Err(());
            }
        };
        let changed = !changes.fresh.is_empty() || !changes.gone.is_empty();
        self.forget_gone(&changes.gone).await;
        self.judge(&changes.fresh).await;
        Ok(changed)
    }

    fn online(&mut self, began: Duration) {
        if self.offline.take().is_some() {
            self.shared.desk().start_anew(self.shared.now());
            self.recovered(&["offline"]);
        }
        self.looks.retry = Duration::ZERO;
        self.looks.complete = true;
        let (files, folders) = self.shared.desk().inventory().counts();
        let milliseconds = u64::try_from((self.looks.ended - began).as_millis()).unwrap_or(u64::MAX);
        self.shared.status().last_scan =
            Some(LastScan { at: Timestamp::now(), milliseconds, files: files as u64, folders: folders as u64 });
    }

    async fn go_offline(&mut self, offline: Offline) {
        self.looks.retry = (self.looks.retry * 2).clamp(OFFLINE_BOUNDS.0, OFFLINE_BOUNDS.1);
        self.looks.next_full = self.shared.now() + self.looks.retry;
        // Watches went with the folder; they are set anew when it is back.
        self.looks.next_rescan = Duration::ZERO;
        if self.offline.as_ref() != Some(&offline) {
            let message = format!("{}: {offline}", self.rule.watch.display());
            self.offline = Some(offline);
            self.problem("offline", message).await;
        }
    }

    async fn confirm_due(&mut self) {
        if self.offline.is_some() {
            return;
        }
        let due = self.shared.desk().due(self.shared.now());
        if due.is_empty() {
            return;
        }
        let root = self.rule.watch.clone();
        let probed = self.blocking(move || {
            let probes = scan::probe(&root, due.iter().map(|(_, place)| &**place))?;
            let readable = probes.iter().filter_map(|probe| match probe {
                Probe::Readable(identity) => Some(*identity),
                _ => None,
            });
            let writers = writers_of(&readable.collect::<Vec<_>>());
            Ok((due, probes, writers))
        });
        match probed.await {
            Ok((due, probes, writers)) => {
                let now = self.shared.now();
                let mut desk = self.shared.desk();
                for ((path, _), probe) in due.into_iter().zip(probes) {
                    let writer = match &probe {
                        Probe::Readable(identity) => writers.get(&(identity.device, identity.inode)).cloned(),
                        _ => None,
                    };
                    desk.confirm(now, &path, probe, writer);
                }
            }
            Err(offline) => self.go_offline(offline).await,
        }
    }

    /// Runs a look on a thread that may block. One that never returns (a share that hangs) is left to itself when the
    /// rule stops.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Offline> + Send + 'static,
    ) -> Result<T, Offline> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(Offline::Failing(error.to_string())),
        }
    }

    /// Tells of a failure: in the status, in the log, and as an event when it is not the same as before.
    pub(super) async fn problem(&self, code: &'static str, message: String) {
        {
            let mut status = self.shared.status();
            let known = status.last_error.as_ref().is_some_and(|error| error.message == message && !error.over);
            status.last_error = Some(LastError { at: Timestamp::now(), code, message: message.clone(), over: false });
            if known {
                return;
            }
        }
        tracing::warn!(rule = self.rule.name, code, error = message, "the rule can not work as it should");
        let body = json!({ "error": { "code": code, "message": message, "retryable": true } });
        if let Err(error) = self.store.record_event("rule.error", Some(self.rule.name.clone()), body).await {
            tracing::warn!(rule = self.rule.name, error = describe(&error), "can not note the failure");
        }
    }

    /// What went wrong in one of these ways is over: the same failure again would be another one.
    pub(super) fn recovered(&self, codes: &[&str]) {
        if let Some(error) = &mut self.shared.status().last_error {
            error.over |= codes.contains(&error.code);
        }
    }

    fn publish(&self) {
        let silence = self.hints.silence();
        let desk = self.shared.desk();
        let waiting: Vec<WaitingFile> = desk
            .settling()
            .iter()
            .filter(|(path, _)| desk.inventory().get(path).is_some_and(|known| known.kind == Kind::Item))
            .take(LISTED)
            .map(|(path, pending)| {
                let (reason, until) = desk.waits_for(path, pending);
                WaitingFile {
                    path: path.to_path_buf(),
                    size: pending.identity.size,
                    reason,
                    since: self.shared.at(if pending.changes > 0 { pending.first_seen } else { pending.since }),
                    until: until.map(|until| self.shared.at(until)),
                }
            })
            .collect();
        let waiting_count = desk.waiting_count();
        let (_, folders) = desk.inventory().counts();
        let unread = desk.inventory().unread().iter().take(LISTED);
        let unread = unread.map(|unread| (unread.relative.clone(), unread.reason.clone())).collect();
        drop(desk);
        let mut status = self.shared.status();
        (status.state, status.reason) = match (&self.offline, &silence) {
            _ if self.paused => (RuleState::Paused, None),
            (Some(offline), _) => (RuleState::Offline, Some(offline.to_string())),
            (None, Some(silence @ Silence::Limit(_))) => {
                (RuleState::Polling, Some(format!("{silence} (this rule has {folders} folders)")))
            }
            (None, Some(silence)) => (RuleState::Polling, Some(silence.to_string())),
            (None, None) => (RuleState::Watching, None),
        };
        status.waiting = waiting;
        status.waiting_count = waiting_count;
        status.unread = unread;
        status.overflows = self.hints.overflows();
        status.next_schedule = self.rule.schedule.next_after(&self.clock()).map(|next| next.timestamp());
        status.open = self.ship.open_uploads();
    }

    /// The wall clock, in the rule's zone.
    pub(super) fn clock(&self) -> Zoned {
        Timestamp::now().to_zoned(self.rule.time_zone.clone())
    }
}

mod aftermath;
mod ledger;
mod manifests;
