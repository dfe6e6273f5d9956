//! The task of one rule: polls the inbox and downloads what is new.
//!
//! There are two kinds of poll. A *full* one, at the start, on request and every hour, goes through everything finalized since the
//! rule's time. A *quick* one requests only what was finalized recently; with a cloud that cannot filter, it
//! continues until a page contains nothing new.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::retries::{DOWNLOAD, Trouble};
use super::selection::{Selection, judge};
use super::status::{InboxState, InboxStatus, LastError, LastLook};
use crate::download::{Downloads, QueueError};
use crate::model::{Delivered, DownloadSource, DownloadSpec, KeptMoment};
use crate::store::{Store, StoreError};
use masv_client::{Cloud, CloudError};
use masv_protocol::{Package, PortalId, TeamId};
use masv_rules::{DownloadRule, Portals};

/// A full poll at least this often.
const WHOLE_LOOK: Duration = Duration::from_secs(3600);
/// How far before the newest known package a quick poll reaches back, because clocks may be adjusted.
const OVERLAP: SignedDuration = SignedDuration::from_hours(1);
/// The wait after a failure of our database.
const OWN_FAULT_WAIT: Duration = Duration::from_secs(5);
/// More pages than any inbox has: a cloud with endless pages must not block a rule forever.
const MOST_PAGES: u64 = 10_000;

/// A request to a rule.
#[derive(Debug)]
pub(super) enum Order {
    /// Poll now.
    Look,
    Pause,
    Resume,
}

/// What the task shows to others.
#[derive(Debug, Default)]
pub(super) struct Shared {
    status: Mutex<InboxStatus>,
}

impl Shared {
    pub(super) fn new(rule: &DownloadRule) -> Self {
        let status = InboxStatus { name: rule.name.clone(), into: rule.into.clone(), ..InboxStatus::default() };
        Self { status: Mutex::new(status) }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, InboxStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a poll was aborted.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Download(#[from] QueueError),
}

impl LookError {
    fn code(&self) -> &'static str {
        match self {
            Self::Cloud(CloudError::NotSignedIn | CloudError::NoTeam { .. }) => "account",
            Self::Cloud(CloudError::Refused { status: 401 | 403, .. }) => "account",
            Self::Cloud(_) => "cloud",
            Self::Store(_) => "store",
            Self::Download(_) => "queue",
        }
    }

    /// How long to wait at least.
    fn wait(&self) -> Duration {
        match self {
            Self::Cloud(CloudError::Refused { retry_after: Some(wait), .. }) => *wait,
            Self::Cloud(_) => Duration::ZERO,
            Self::Store(_) | Self::Download(_) => OWN_FAULT_WAIT,
        }
    }
}

/// The packages of the inbox, with their portals.
pub(super) struct Listing<'a> {
    cloud: &'a Cloud,
    team: TeamId,
    from: Timestamp,
    /// Subdomains by the portals' ids, loaded on demand.
    names: Option<HashMap<PortalId, String>>,
    page: u64,
    more: bool,
}

impl<'a> Listing<'a> {
    pub(super) async fn new(cloud: &'a Cloud, team: Option<&str>, from: Timestamp) -> Result<Self, CloudError> {
        let team = cloud.find_team(team.map(TeamId::from).as_ref()).await?;
        Ok(Self { cloud, team, from, names: None, page: 0, more: true })
    }

    /// Whose inbox it is.
    pub(super) fn team(&self) -> &TeamId {
        &self.team
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(Package, Option<String>)>>, CloudError> {
        if !self.more || self.page >= MOST_PAGES {
            return Ok(None);
        }
        self.page += 1;
        let page = self.cloud.inbox(&self.team, self.page, self.from).await?;
        self.more = page.more;
        let nameless = |package: &Package| package.subdomain().is_none() && package.came_through().is_some();
        if self.names.is_none() && page.packages.iter().any(nameless) {
            self.names = Some(self.cloud.portal_names(&self.team).await?);
        }
        let named = page.packages.into_iter().map(|package| {
            let name = package.subdomain().map(str::to_owned).or_else(|| {
                let names = self.names.as_ref()?;
                names.get(package.came_through()?).cloned()
            });
            (package, name)
        });
        Ok(Some(named.collect()))
    }
}

pub(super) struct Runner {
    pub rule: Arc<DownloadRule>,
    pub store: Store,
    pub cloud: Cloud,
    pub downloads: Downloads,
    pub shared: Arc<Shared>,
    pub orders: mpsc::Receiver<Order>,
    pub cancel: CancellationToken,
}

/// What is known between polls.
struct Known {
    since: Since,
    paused: bool,
    /// The newest package seen by a full poll, and those since.
    newest: Option<Timestamp>,
    whole_at: Instant,
}

/// From when on packages are fetched.
enum Since {
    /// As the rule says.
    ByRule(Timestamp),
    /// From its first start on.
    FirstStart(KeptMoment),
}

impl Since {
    fn at(&mut self, now: Timestamp) -> Timestamp {
        match self {
            Self::ByRule(since) => *since,
            Self::FirstStart(moment) => moment.at(now),
        }
    }
}

impl Runner {
    pub(super) async fn run(mut self) {
        let mut known = loop {
            match self.begin().await {
                Ok(known) => break known,
                Err(error) => self.problem(&error.into()).await,
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(OWN_FAULT_WAIT) => {}
            }
        };
        let mut trouble = Trouble::default();
        loop {
            let mut wait = self.rule.poll;
            if !known.paused {
                let looked = tokio::select! {
                    () = self.cancel.cancelled() => return,
                    looked = self.look(&mut known) => looked,
                };
                match looked {
                    Ok(()) => {
                        self.recovered();
                        if let Err(error) = self.look_after(&mut trouble).await {
                            self.problem(&error).await;
                        }
                    }
                    Err(error) => {
                        wait = wait.max(error.wait());
                        self.problem(&error).await;
                    }
                }
            }
            self.publish(known.paused, wait);
            if self.rest(&mut known, wait).await.is_break() {
                return;
            }
        }
    }

    async fn begin(&self) -> Result<Known, StoreError> {
        self.store.rule_seen(&self.rule.name, None).await?;
        let record = self.store.rule_record(&self.rule.name).await?;
        let first_seen = record.as_ref().map_or_else(Timestamp::now, |record| record.first_seen_at);
        Ok(Known {
            since: self.rule.since.map_or_else(
                || Since::FirstStart(KeptMoment::new("the first start of a download rule", first_seen)),
                Since::ByRule,
            ),
            paused: record.is_some_and(|record| record.paused),
            newest: None,
            whole_at: Instant::now(),
        })
    }

    /// Waits until the next poll is due, or a request arrives.
    async fn rest(&mut self, known: &mut Known, wait: Duration) -> std::ops::ControlFlow<()> {
        tokio::select! {
            () = self.cancel.cancelled() => return std::ops::ControlFlow::Break(()),
            () = tokio::time::sleep(wait) => {}
            order = self.orders.recv() => match order {
                None => return std::ops::ControlFlow::Break(()),
                Some(Order::Look) => known.newest = None,
                Some(order) => {
                    known.paused = matches!(order, Order::Pause);
                    known.newest = None;
                }
            },
        }
        std::ops::ControlFlow::Continue(())
    }

    async fn look(&self, known: &mut Known) -> Result<(), LookError> {
        let (began, now) = (Instant::now(), Timestamp::now());
        let since = known.since.at(now);
        if let Since::FirstStart(moment) = &known.since
            && let Some(right) = moment.correction(now, WHOLE_LOOK)
        {
            self.store.set_rule_first_seen(&self.rule.name, right).await?;
        }
        let newest = known.newest.filter(|_| known.whole_at.elapsed() < WHOLE_LOOK);
        let whole = newest.is_none();
        // Whatever clock wrote when it was finalized: nothing later than now was.
        let lately = newest.and_then(|newest| newest.min(now).checked_sub(OVERLAP).ok());
        let from = lately.map_or(since, |lately| lately.max(since));
        let mut listing = Listing::new(&self.cloud, self.rule.team.as_deref(), from).await?;
        let (mut new, mut packages, mut last) = (Vec::new(), 0, newest);
        while let Some(page) = listing.next().await? {
            packages += page.len() as u64;
            let ids = page.iter().map(|(delivery, _)| delivery.id.clone()).collect();
            let taken = self.store.deliveries_known(&self.rule.name, ids).await?;
            // A cloud that lists packages despite `from` cannot filter.
            let all_listed = page.iter().any(|(delivery, _)| delivery.arrived_at().is_some_and(|at| at < from));
            let before = new.len();
            for (delivery, portal) in page {
                last = last.max(delivery.arrived_at());
                let is_taken = taken.contains(&delivery.id);
                if judge(&self.rule, since, &delivery, portal.as_deref(), is_taken) == Selection::Take {
                    new.push((delivery, portal));
                }
            }
            if !whole && all_listed && new.len() == before {
                break;
            }
        }
        // First in, first downloaded.
        new.sort_by(|(left, _), (right, _)| (left.arrived_at(), &left.id).cmp(&(right.arrived_at(), &right.id)));
        for (delivery, portal) in new {
            self.fetch(&listing.team, delivery, portal).await?;
        }
        known.newest = last.or(Some(since));
        if whole {
            known.whole_at = Instant::now();
        }
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.status().last_look = Some(LastLook { at: Timestamp::now(), milliseconds, packages, whole });
        Ok(())
    }

    async fn fetch(&self, team: &TeamId, delivery: Package, portal: Option<String>) -> Result<(), LookError> {
        let only = match &self.rule.portals {
            Portals::Subdomains(names) if names.len() == 1 => names.first().cloned(),
            _ => None,
        };
        let through = || delivery.came_through().map(ToString::to_string);
        let portal = portal.or(only).or_else(through).unwrap_or_default();
        let (package, name) = (delivery.id, delivery.name);
        let delivered = Delivered { team: team.clone(), portal, package, name };
        let api = self.cloud.name().to_owned();
        let source = DownloadSource::Inbox(delivered.clone());
        let spec = DownloadSpec {
            portal_folder: self.rule.portal_folder,
            package_folder: self.rule.package_folder,
            priority: self.rule.priority,
            rule: Some(self.rule.name.clone()),
            remove_package: self.rule.remove_package,
            root: self.rule.confined.then(|| "/".into()),
            ..DownloadSpec::new(api, source, self.rule.into.clone())
        };
        match self.downloads.submit(spec).await {
            Ok(id) => {
                tracing::info!(download = %id, name = delivered.name, "downloading a delivery");
                self.shared.status().made += 1;
                Ok(())
            }
            // It moved from one page to another while we read.
            Err(QueueError::Store(StoreError::AlreadyDelivered { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports a failure: in the status, in the log, and as an event if it differs from the previous one.
    async fn problem(&self, error: &LookError) {
        self.tell(error.code(), error.to_string()).await;
    }

    pub(super) async fn tell(&self, code: &'static str, message: String) {
        {
            let mut status = self.shared.status();
            let known = status.last_error.as_ref().is_some_and(|last| last.message == message && !last.over);
            status.last_error = Some(LastError { at: Timestamp::now(), code, message: message.clone(), over: false });
            if known {
                return;
            }
        }
        tracing::warn!(code, error = message, "the rule has a problem");
        let body = json!({ "error": { "code": code, "message": message, "retryable": true } });
        if let Err(error) = self.store.record_event("rule.error", Some(self.rule.name.clone()), body).await {
            tracing::warn!(%error, "cannot record the failure");
        }
    }

    fn recovered(&self) {
        if let Some(error) = &mut self.shared.status().last_error {
            error.over |= error.code != DOWNLOAD;
        }
    }

    fn publish(&self, paused: bool, wait: Duration) {
        let mut status = self.shared.status();
        let failing = status.last_error.as_ref().filter(|error| !error.over && error.code != DOWNLOAD);
        let failing = failing.map(|error| error.message.clone());
        status.state = match (&failing, paused) {
            (_, true) => InboxState::Paused,
            (Some(_), false) => InboxState::Offline,
            (None, false) => InboxState::Polling,
        };
        status.reason = failing.filter(|_| !paused);
        let next = SignedDuration::try_from(wait).ok().and_then(|wait| Timestamp::now().checked_add(wait).ok());
        status.next_look = next.filter(|_| !paused);
    }
}
