//! The task of one rule: a short shell around its parts, which it runs in order and between which it passes things on.
//!
//! **In**: hints, events of uploads, requests, the clock. **Out**: scans, uploads for the queue, the rule's status.
//!
//! Each part owns its state, is handed the [`Context`] with each call, and knows none of the others:
//!
//! | part | decides |
//! |---|---|
//! | [`Scanning`] | when the folder is scanned, and whether it is there |
//! | [`Ledger`] | what files are to be sent, by what happened to them before |
//! | [`Verifying`] | what checksum lists say, and whether files are what they say |
//! | [`Comparing`] | what touched files hold |
//! | [`Packaging`] | which packages are made, filled and closed, and when |
//! | [`PostActions`] | what happens to files that were sent, or failed |
//! | [`Aftercare`] | when what was taken away is gone for good |
//! | [`AutoResume`] | which failed uploads go on |
//!
//! **Guarantees.** Each pass starts from the actual state, so that a pass that is cut short anywhere is made up for
//! by the next. Waiting for a scan ends when the rule is stopped. Only the shell moves results from one part to another.
//!
//! **On a crash** nothing is lost: see the room's header.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::aftercare::Aftercare;
use self::auto_resume::AutoResume;
use self::comparing::Comparing;
use self::context::Context;
use self::ledger::{Judged, Ledger};
use self::manifests::Verifying;
use self::packaging::Packaging;
use self::post_actions::PostActions;
use self::report::Standing;
use self::scanning::{Found, Looked, Scanning, Stranger};
pub(super) use self::shared::Shared;
use super::classifier::Classifier;
use super::describe;
use super::dispatch::Surroundings;
use super::fs_events::FsEvents;
use super::package::{Package, top_level};
use super::snapshot::Changes;
use super::status::RuleState;
use super::trigger::Orders;
use super::upload_events::Inbox;
use super::upload_sink::UploadSink;
use super::watcher::FileSystem;
use crate::store::{Store, StoreError};
use masv_rules::{Per, Poll};

mod aftercare;
mod anchors;
mod auto_resume;
mod comparing;
mod context;
mod growing;
mod ledger;
mod manifests;
mod packaging;
mod post_actions;
mod report;
mod scanning;
mod shared;

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
    /// What is at the folder's path is the rule's own folder, wherever it lies.
    AcceptFolder,
}

/// One active rule.
pub(super) struct Runner {
    context: Context,
    inbox: Arc<Inbox>,
    requests: mpsc::Receiver<Order>,
    /// What was asked of the rule: to be paused; to package in this pass what is ready, regardless of the schedule.
    orders: Orders,
    scanning: Scanning,
    ledger: Ledger,
    verifying: Verifying,
    comparing: Comparing,
    packaging: Packaging,
    post_actions: PostActions,
    aftercare: Aftercare,
    auto_resume: AutoResume,
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
            context: Context {
                hints: Arc::new(FsEvents::new(&rule.watch, native, parts.file_system)),
                rule,
                sieve: parts.sieve,
                surroundings: parts.surroundings,
                store: parts.store,
                outlet: parts.outlet,
                shared: parts.shared,
                cancel: parts.cancel,
            },
            inbox: parts.inbox,
            requests: parts.orders,
            orders: Orders::default(),
            scanning: Scanning::default(),
            ledger: Ledger::new(),
            verifying: Verifying::default(),
            comparing: Comparing::default(),
            packaging: Packaging::new(),
            post_actions: PostActions::default(),
            aftercare: Aftercare::new(parts.shortest_care),
            auto_resume: AutoResume::new(parts.gone_wait),
        }
    }

    /// Works until cancelled.
    pub(super) async fn run(mut self) {
        let cancel = self.context.cancel.clone();
        let worked = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            worked = AssertUnwindSafe(self.work()).catch_unwind() => worked,
        };
        if worked.is_err() {
            // The panic itself is in the log. Whatever the bug is, the other rules continue.
            let reason = "the rule ended because of a bug in the agent; reload the rules to restart it";
            self.context.problem("bug", reason.to_owned()).await;
            let mut status = self.context.shared.status();
            (status.state, status.reason) = (RuleState::Offline, Some(reason.to_owned()));
        }
    }

    async fn work(&mut self) {
        self.begin().await;
        self.context.note_failures(false).await;
        loop {
            let began = self.context.now();
            let wake = self.pass().await;
            self.context.record_late().await;
            let took = self.context.now().saturating_sub(began);
            if self.context.shared.desk().settling().count() > MANY {
                tokio::time::sleep((took * REST_FACTOR).min(LONGEST_REST)).await;
            }
            self.wait(wake).await;
        }
    }

    /// Reads the rule's stored state; without it nothing may be decided.
    async fn begin(&mut self) {
        self.post_actions.begin(&self.context).await;
        loop {
            match self.read_record().await {
                Ok(()) => return,
                Err(error) => self.context.problem("store", describe(&error)).await,
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read_record(&mut self) -> Result<(), StoreError> {
        let record = self.context.store.rule_record(&self.context.rule.name).await?;
        self.aftercare.read(&self.context).await?;
        self.scanning.begin(&self.context, record.as_ref().and_then(|record| record.folder.clone()));
        self.ledger.begin(record.as_ref());
        self.orders.paused = record.as_ref().is_some_and(|record| record.paused);
        growing::recover(&self.context).await?;
        self.packaging.begin(&self.context, record.as_ref()).await
    }

    /// Looks, decides and acts once; returns when to do so again if nothing happens before.
    async fn pass(&mut self) -> Duration {
        match self.scanning.look_when_due(&self.context).await {
            Looked::Nothing => {}
            Looked::Found(found) => self.take_found(*found).await,
            Looked::Stranger(stranger) => self.meet(*stranger).await,
        }
        self.read_news().await;
        if self.scanning.is_complete() {
            let is_here = self.scanning.offline().is_none();
            let judged = self.ledger.read_when_due(&self.context, is_here).await;
            self.follow(judged);
        }
        self.scanning.confirm_due(&self.context).await;
        if self.scanning.offline().is_none() {
            let changed = self.verifying.read_lists(&self.context).await;
            if !changed.is_empty() {
                self.look_at_paths(changed).await;
            }
            self.comparing.begin_next(&self.context);
        }
        let mut next = None;
        if self.scanning.is_able() && self.ledger.is_read() {
            // Files may be missing because another folder is in the place of theirs.
            let resumes = !self.orders.paused && self.auto_resume.is_due(self.context.now());
            if resumes && self.scanning.is_there(&self.context).await {
                self.auto_resume.resume(&self.context).await;
            }
            let free = growing::give_up_lost(&self.context).await;
            if !free.is_empty() {
                let judged = self.ledger.judge(&self.context, &free).await;
                self.follow(judged);
            }
            next = self.package().await;
            let care = self.aftercare.care(&self.context);
            if !self.orders.paused {
                self.post_actions.act(&self.context, care).await;
            }
            self.aftercare.begin_due(&self.context);
        }
        self.orders.flush = false;
        self.publish();
        self.next_wake(next)
    }

    /// Holds a folder that may not be the rule's own against the ledger.
    async fn meet(&mut self, stranger: Stranger) {
        match self.ledger.evidence(&self.context, stranger.files()).await {
            Ok(evidence) => {
                if let Some(found) = self.scanning.meet(&self.context, stranger, evidence).await {
                    self.take_found(found).await;
                }
            }
            Err(error) => {
                self.scanning.meet_later(&self.context);
                self.context.problem("store", describe(&error)).await;
            }
        }
    }

    /// Passes on what a look has found.
    async fn take_found(&mut self, mut found: Found) {
        if found.renewed {
            self.ledger.read_now();
        }
        if let Some((folder, taking)) = found.taken {
            self.ledger.take_folder(folder, taking);
            if taking.keeps {
                // It is not there because it is elsewhere.
                self.post_actions.forget(found.changes.gone.iter().map(|(path, _)| path));
                found.changes.gone.clear();
            }
        }
        self.take_changes(&found.changes).await;
        if found.is_back {
            self.auto_resume.look_again();
        }
    }

    async fn take_changes(&mut self, changes: &Changes) {
        self.post_actions.forget(changes.gone.iter().map(|(path, _)| path));
        self.ledger.forget_gone(&self.context, &changes.gone).await;
        let judged = self.ledger.judge(&self.context, &changes.fresh).await;
        self.follow(judged);
    }

    /// Looks at single paths; returns whether anything was new, changed or gone, but for what was merely touched.
    async fn look_at_paths(&mut self, paths: Vec<PathBuf>) -> bool {
        let Some(changes) = self.scanning.look_at_paths(&self.context, paths).await else { return true };
        self.take_changes(&changes).await;
        let desk = self.context.shared.desk();
        !changes.gone.is_empty() || changes.fresh.iter().any(|path| !desk.is_settled(path))
    }

    /// Has the other parts look at what follows from a judgement.
    fn follow(&mut self, judged: Judged) {
        if judged.acts {
            self.post_actions.look_again();
        }
        if judged.resumes {
            self.auto_resume.look_again();
        }
    }

    /// Looks up what became of the uploads that there is news of.
    async fn read_news(&mut self) {
        let news = self.inbox.take();
        if news.is_empty() {
            return;
        }
        if news.removed {
            self.ledger.read_now();
        }
        if !news.failed.is_empty() {
            self.auto_resume.look_again();
        }
        self.context.note_failures(!news.failed.is_empty()).await;
        let files: Vec<_> = {
            let desk = self.context.shared.desk();
            news.completed.iter().flat_map(|id| desk.files_in(*id)).collect()
        };
        let judged = self.ledger.judge(&self.context, &files).await;
        self.follow(judged);
        self.post_actions.look_again();
    }

    /// Packages what is ready; returns when to ask again.
    async fn package(&mut self) -> Option<Duration> {
        let mut round = self.packaging.plan(&self.context, self.orders);
        if self.context.rule.package.per == Per::Folder {
            round.packages = self.unchanged(round.packages).await;
        }
        if round.may_begin() {
            growing::begin(&self.context).await;
        }
        let made = self.packaging.make(&self.context, round).await;
        if made.ledger_differs {
            self.ledger.read_soon(self.context.now());
        }
        made.next
    }

    /// The folders in which nothing is new, changed or gone.
    async fn unchanged(&mut self, packages: Vec<Package>) -> Vec<Package> {
        let mut unchanged = Vec::with_capacity(packages.len());
        for package in packages {
            let top = package.files.first().map(|file| top_level(file).to_owned());
            if !self.look_at_paths(top.into_iter().collect()).await {
                unchanged.push(package);
            }
        }
        unchanged
    }

    async fn wait(&mut self, wake: Duration) {
        let until = self.context.shared.instant(wake);
        tokio::select! {
            () = self.scanning.hint(&self.context) => {}
            () = self.inbox.changed() => {}
            order = self.requests.recv() => match order {
                Some(order) => self.obey(order).await,
                // No more requests can arrive; the rule continues until it is cancelled.
                None => tokio::time::sleep_until(until).await,
            },
            results = self.post_actions.ended() => {
                if let Some(changed) = self.post_actions.take(&self.context, results).await {
                    self.aftercare.read_again(&self.context).await;
                    let judged = self.ledger.judge(&self.context, &changed).await;
                    self.follow(judged);
                }
            },
            results = self.aftercare.ended() => {
                if self.aftercare.take(&self.context, results).await {
                    self.scanning.look_at_all_soon();
                }
            },
            results = self.verifying.ended() => {
                let changed = self.verifying.take(&self.context, results).await;
                if !changed.is_empty() {
                    self.look_at_paths(changed).await;
                }
            },
            results = self.comparing.ended() => {
                let compared = self.comparing.take(&self.context, results).await;
                if compared.look {
                    self.scanning.look_at_all_soon();
                }
                let judged = self.ledger.judge(&self.context, &compared.known).await;
                self.follow(judged);
            },
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::RunNow => {
                self.orders.flush = true;
                self.scanning.look_at_all_soon();
            }
            Order::Pause | Order::Resume => {
                self.orders.paused = order == Order::Pause;
                let (store, name) = (&self.context.store, &self.context.rule.name);
                if let Err(error) = store.set_rule_paused(name, self.orders.paused).await {
                    self.context.problem("store", describe(&error)).await;
                }
            }
            Order::ReadLedger => self.ledger.read_now(),
            Order::AcceptFolder => self.scanning.accept_folder(),
        }
    }

    fn publish(&self) {
        self.context.publish(Standing {
            paused: self.orders.paused,
            offline: self.scanning.offline(),
            open: self.packaging.open_uploads(),
        });
    }

    fn next_wake(&self, packaging: Option<Duration>) -> Duration {
        let now = self.context.now();
        let mut earliest = self.scanning.next_full();
        // What cannot be done now must not be waited for: it would be due all the time.
        if self.scanning.is_able() {
            let hinted = self.scanning.next_hinted();
            let desk = self.context.shared.desk().next(now);
            let after = self.post_actions.next().filter(|_| !self.orders.paused);
            let resume = self.auto_resume.next().filter(|_| !self.orders.paused);
            let compare = self.comparing.next(now);
            let care = self.aftercare.next(&self.context);
            let times = [hinted, desk, packaging, after, resume, compare, care, self.ledger.next()];
            earliest = times.into_iter().flatten().fold(earliest, Duration::min);
        }
        earliest.max(now + Duration::from_millis(5))
    }
}
