//! The handle to all active download rules: starts and stops one task per rule, passes requests on, answers queries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::runner::{Listing, Order, Runner, Shared};
use super::selection::{DeliveryExplanation, Selection, explain, judge};
use super::status::{InboxState, InboxStatus};
use crate::download::Downloads;
use crate::model::Delivered;
use crate::store::{DeliveryCounts, Store, StoreError};
use masv_client::{Cloud, CloudError};
use masv_rules::{DownloadRule, RuleDigest, RuleSet};

/// How many requests may wait for a busy rule.
const ORDERS: usize = 16;

/// Why a query or a request to a download rule failed.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// There is no such download rule.
    #[error("there is no download rule `{0}`")]
    NoSuchRule(String),
    /// The rules file disables it.
    #[error("the rule `{0}` is disabled in the rules file")]
    Disabled(String),
    /// The inbox could not be read.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The agent's database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All active download rules; clones share them.
#[derive(Debug, Clone)]
pub struct Inbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    cloud: Cloud,
    downloads: Downloads,
    cancel: CancellationToken,
    state: Mutex<State>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    rules: Arc<RuleSet>,
    tasks: HashMap<String, Task>,
}

#[derive(Debug)]
struct Task {
    digest: RuleDigest,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    cancel: CancellationToken,
    handle: JoinHandle<()>,
}

impl Task {
    async fn stop(self, name: &str) {
        self.cancel.cancel();
        if let Err(error) = self.handle.await {
            tracing::error!(rule = name, %error, "a download rule's task ended unexpectedly");
        }
    }
}

impl Inbox {
    /// Starts a task for each enabled download rule. `cloud` is the one whose inbox is polled; cancelling `cancel`
    /// stops them, as does [`Self::stop`].
    pub async fn start(rules: Arc<RuleSet>, cloud: Cloud, downloads: Downloads, cancel: CancellationToken) -> Self {
        let state = State { rules: Arc::new(RuleSet::empty()), tasks: HashMap::new() };
        let store = downloads.store().clone();
        let reloading = tokio::sync::Mutex::new(());
        let inbox =
            Self { inner: Arc::new(Inner { store, cloud, downloads, cancel, state: Mutex::new(state), reloading }) };
        inbox.reload(rules).await;
        inbox
    }

    /// Replaces the rules: only what differs is stopped and started. Running downloads continue.
    pub async fn reload(&self, rules: Arc<RuleSet>) {
        let _one_at_a_time = self.inner.reloading.lock().await;
        let wanted = |name: &str| rules.download(name).filter(|rule| rule.enabled);
        let stale: Vec<(String, Task)> = {
            let mut state = self.state();
            let is_stale = |(name, task): (&String, &Task)| {
                let same = wanted(name).is_some_and(|rule| rule.digest == task.digest) && !task.handle.is_finished();
                (!same).then(|| name.clone())
            };
            let names: Vec<String> = state.tasks.iter().filter_map(is_stale).collect();
            names.into_iter().filter_map(|name| state.tasks.remove_entry(&name)).collect()
        };
        for (name, task) in stale {
            task.stop(&name).await;
        }
        let mut state = self.state();
        for rule in rules.downloads.iter().filter(|rule| rule.enabled) {
            if !state.tasks.contains_key(&rule.name) && !self.inner.cancel.is_cancelled() {
                state.tasks.insert(rule.name.clone(), self.spawn(rule));
            }
        }
        state.rules = rules;
    }

    fn spawn(&self, rule: &Arc<DownloadRule>) -> Task {
        let shared = Arc::new(Shared::new(rule));
        let (orders, received) = mpsc::channel(ORDERS);
        let cancel = self.inner.cancel.child_token();
        let runner = Runner {
            rule: Arc::clone(rule),
            store: self.inner.store.clone(),
            cloud: self.inner.cloud.clone(),
            downloads: self.inner.downloads.clone(),
            shared: Arc::clone(&shared),
            orders: received,
            cancel: cancel.clone(),
        };
        // Every log line written below contains the rule's name.
        let span = tracing::info_span!("rule", name = rule.name);
        Task { digest: rule.digest, shared, orders, cancel, handle: tokio::spawn(runner.run().instrument(span)) }
    }

    /// The download rules, in file order, including disabled ones.
    #[must_use]
    pub fn rules(&self) -> Vec<Arc<DownloadRule>> {
        self.state().rules.downloads.clone()
    }

    /// The download rule of that name.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`].
    pub fn rule(&self, name: &str) -> Result<Arc<DownloadRule>, InboxError> {
        self.state().rules.download(name).cloned().ok_or_else(|| InboxError::NoSuchRule(name.to_owned()))
    }

    /// A rule's status, and how many deliveries it is downloading and has received.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`], [`InboxError::Store`].
    pub async fn status(&self, name: &str) -> Result<(InboxStatus, DeliveryCounts), InboxError> {
        let rule = self.rule(name)?;
        let status = self.state().tasks.get(name).map(|task| task.shared.status().clone());
        let state = if rule.enabled { InboxState::Starting } else { InboxState::Disabled };
        let idle = || InboxStatus { state, ..Shared::new(&rule).status().clone() };
        Ok((status.unwrap_or_else(idle), self.inner.store.delivery_counts(name).await?))
    }

    /// Checks the whole inbox now.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`], [`InboxError::Disabled`].
    pub async fn look_now(&self, name: &str) -> Result<(), InboxError> {
        self.order(name, Order::Look).await
    }

    /// Pauses a rule until it is resumed, across restarts. Running downloads continue.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`], [`InboxError::Disabled`], [`InboxError::Store`].
    pub async fn pause(&self, name: &str) -> Result<(), InboxError> {
        self.set_paused(name, true).await
    }

    /// Resumes a paused rule.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`], [`InboxError::Disabled`], [`InboxError::Store`].
    pub async fn resume(&self, name: &str) -> Result<(), InboxError> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<(), InboxError> {
        self.rule(name)?;
        self.inner.store.set_rule_paused(name, paused).await?;
        self.order(name, if paused { Order::Pause } else { Order::Resume }).await
    }

    async fn order(&self, name: &str, order: Order) -> Result<(), InboxError> {
        self.rule(name)?;
        let orders = self.state().tasks.get(name).map(|task| task.orders.clone());
        let disabled = || InboxError::Disabled(name.to_owned());
        orders.ok_or_else(disabled)?.send(order).await.map_err(|_| disabled())
    }

    /// Every rule's explanation for a package, test by test.
    ///
    /// # Errors
    /// [`InboxError::Cloud`], [`InboxError::Store`].
    pub async fn explain(&self, package: &str) -> Result<Vec<DeliveryExplanation>, InboxError> {
        let mut explanations = Vec::new();
        for rule in self.rules() {
            let mut found = None;
            let mut listing = Listing::new(&self.inner.cloud, rule.team.as_deref(), Timestamp::UNIX_EPOCH).await?;
            while let Some(page) = listing.next().await?
                && found.is_none()
            {
                found = page.into_iter().find(|(delivery, _)| delivery.id == package);
            }
            let entry = self.inner.store.delivery(&rule.name, package).await?;
            let found = found.as_ref().map(|(delivery, portal)| (delivery, portal.as_deref()));
            explanations.push(explain(&rule, self.since(&rule).await?, found, entry.as_ref()));
        }
        Ok(explanations)
    }

    async fn since(&self, rule: &DownloadRule) -> Result<Timestamp, InboxError> {
        let (record, now) = (self.inner.store.rule_record(&rule.name).await?, Timestamp::now());
        // As the rule's task has it: a first start does not lie ahead.
        Ok(rule.since.or(record.map(|record| record.first_seen_at.min(now))).unwrap_or(now))
    }

    /// What a rule would download at its next poll.
    ///
    /// # Errors
    /// [`InboxError::Cloud`], [`InboxError::Store`].
    pub async fn would_fetch(&self, rule: &DownloadRule) -> Result<Vec<Delivered>, InboxError> {
        let since = self.since(rule).await?;
        let mut listing = Listing::new(&self.inner.cloud, rule.team.as_deref(), since).await?;
        let team = listing.team().clone();
        let mut found = Vec::new();
        while let Some(page) = listing.next().await? {
            let ids = page.iter().map(|(delivery, _)| delivery.id.clone()).collect();
            let known = self.inner.store.deliveries_known(&rule.name, ids).await?;
            found.extend(page.into_iter().filter_map(|(delivery, portal)| {
                let taken = known.contains(&delivery.id);
                (judge(rule, since, &delivery, portal.as_deref(), taken) == Selection::Take).then(|| Delivered {
                    team: team.clone(),
                    portal: portal.unwrap_or_default(),
                    package: delivery.id,
                    name: delivery.name,
                })
            }));
        }
        Ok(found)
    }

    /// Forgets that a package, or every one, was received: what is still in the inbox is downloaded again. Returns how many
    /// those were.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`], [`InboxError::Store`].
    pub async fn forget(&self, name: &str, package: Option<String>) -> Result<u64, InboxError> {
        self.rule(name)?;
        let forgotten = self.inner.store.deliveries_forget(name, package).await?;
        // A rule that is not active polls when it starts.
        let _ = self.look_now(name).await;
        Ok(forgotten)
    }

    /// Marks a package, or everything that the rule would download now, as received. Returns how many there were.
    ///
    /// # Errors
    /// [`InboxError::NoSuchRule`], [`InboxError::Cloud`], [`InboxError::Store`].
    pub async fn mark(&self, name: &str, package: Option<&str>) -> Result<u64, InboxError> {
        let rule = self.rule(name)?;
        let mut found = self.would_fetch(&rule).await?;
        found.retain(|delivered| package.is_none_or(|package| delivered.package == *package));
        Ok(self.inner.store.deliveries_skip(name, found).await?)
    }

    /// Stops all rules and waits for them.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut self.state().tasks);
        self.inner.cancel.cancel();
        for (name, task) in tasks {
            task.stop(&name).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
