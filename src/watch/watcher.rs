//! The handle to all active rules: starts and stops one task per rule, passes requests on, answers queries.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::classifier::Classifier;
use super::describe;
use super::dispatch::Surroundings;
use super::dry_run::{DryRun, dry_run};
use super::explain::{Asked, Explanation, explain};
use super::orphans::give_back_all;
use super::runner::{Order, Parts, Runner, Shared};
use super::status::{RuleState, RuleStatus};
use super::upload_events::{Postbox, deliver};
use super::upload_sink::UploadSink;
use crate::model::Outcome;
use crate::store::{Store, StoreError};
use masv_platform::{FileIdentity, OwnPlaces, silent_file_system};
use masv_protocol::TeamId;
use masv_rules::{Rule, RuleDigest, RuleSet};

/// Orders that may wait for a rule that is busy.
const ORDERS: usize = 16;

/// See [`WatchSettings::gone_wait`].
const GONE_WAIT: Duration = Duration::from_secs(120);

/// What the agent knows that the rules do not say.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// The agent's own files and folders, which are never sent.
    pub own: OwnPlaces,
    /// Name of this machine, for templates.
    pub host: String,
    /// The team that sends when a rule names none.
    pub team_id: Option<TeamId>,
    /// Names the file system of a folder if it does not report changes; `None` asks the system. Tests set their own.
    pub file_system: Option<FileSystem>,
    /// So long files that were taken away are looked after at least; `None` means a minute. Tests are less patient.
    pub shortest_care: Option<Duration>,
    /// How long a package waits for missing files before the others are sent without them.
    pub gone_wait: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            own: OwnPlaces::default(),
            host: String::new(),
            team_id: None,
            file_system: None,
            shortest_care: None,
            gone_wait: GONE_WAIT,
        }
    }
}

/// See [`WatchSettings::file_system`].
pub type FileSystem = fn(&Path) -> Option<&'static str>;

/// Why a query or a request to a rule failed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no such rule.
    #[error("there is no rule `{0}`")]
    NoSuchRule(String),
    /// The rules file disables it.
    #[error("the rule `{0}` is disabled in the rules file")]
    Disabled(String),
    /// The path is in no folder that a rule watches.
    #[error("{} is not in a watched folder", .0.display())]
    NotWatched(PathBuf),
    /// The agent's memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All active rules; clones share them.
#[derive(Debug, Clone)]
pub struct Watcher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    outlet: Arc<dyn UploadSink>,
    settings: WatchSettings,
    cancel: CancellationToken,
    postbox: Arc<Postbox>,
    state: Mutex<State>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    rules: Arc<RuleSet>,
    tasks: HashMap<String, Task>,
    deliver: Option<JoinHandle<()>>,
    /// Brings back what rules that are not at work have hidden.
    giving_back: CancellationToken,
}

/// A rule's task.
#[derive(Debug)]
struct Task {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    cancel: CancellationToken,
    handle: JoinHandle<()>,
    /// The rule and those earlier ones that overlap it: what the task depends on.
    depends_on: Vec<RuleDigest>,
}

impl Watcher {
    /// Starts a task for each enabled rule. Cancelling `cancel` stops them, as does [`Self::stop`].
    pub async fn start(
        rules: Arc<RuleSet>,
        store: Store,
        outlet: Arc<dyn UploadSink>,
        settings: WatchSettings,
        cancel: CancellationToken,
    ) -> Self {
        let postbox = Arc::new(Postbox::default());
        // What was committed before the rules' first reading of the ledger is in the ledger.
        let last = store.last_event().await.unwrap_or_else(|error| {
            tracing::warn!(error = describe(&error), "cannot read the event log; reading it from the beginning");
            0
        });
        let deliver = tokio::spawn(deliver(store.clone(), Arc::clone(&postbox), last, cancel.clone()));
        let empty = RuleSet { rules: Vec::new(), downloads: Vec::new(), warnings: Vec::new(), ..(*rules).clone() };
        let state = State {
            rules: Arc::new(empty),
            tasks: HashMap::new(),
            deliver: Some(deliver),
            giving_back: cancel.child_token(),
        };
        let reloading = tokio::sync::Mutex::new(());
        let inner = Inner { store, outlet, settings, cancel, postbox, state: Mutex::new(state), reloading };
        let watcher = Self { inner: Arc::new(inner) };
        watcher.reload(rules).await;
        watcher
    }

    /// Takes other rules: only what differs is stopped and started.
    pub async fn reload(&self, rules: Arc<RuleSet>) {
        let _one_at_a_time = self.inner.reloading.lock().await;
        let wanted: HashMap<&str, Classifier> = rules
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.enabled)
            .map(|(place, rule)| {
                let sieve = Classifier::new(Arc::clone(rule), &rules.rules[..place], &self.inner.settings.own);
                (rule.name.as_str(), sieve)
            })
            .collect();
        let stale = {
            let mut state = self.state();
            let is_stale = |name: &String, task: &Task| {
                wanted.get(name.as_str()).is_none_or(|sieve| depends_on(sieve) != task.depends_on)
                    || task.handle.is_finished()
            };
            let names: Vec<String> =
                state.tasks.iter().filter(|(name, task)| is_stale(name, task)).map(|(name, _)| name.clone()).collect();
            names.into_iter().filter_map(|name| Some((name.clone(), state.tasks.remove(&name)?))).collect::<Vec<_>>()
        };
        for (name, task) in stale {
            self.inner.postbox.close(&name);
            task.stop(&name).await;
        }
        let mut state = self.state();
        state.rules = Arc::clone(&rules);
        state.giving_back.cancel();
        state.giving_back = self.inner.cancel.child_token();
        let at_work: HashSet<String> = wanted.keys().map(|name| (*name).to_owned()).collect();
        tokio::spawn(give_back_all(self.inner.store.clone(), at_work, state.giving_back.clone()));
        for (name, sieve) in wanted {
            if !state.tasks.contains_key(name) && !self.inner.cancel.is_cancelled() {
                state.tasks.insert(name.to_owned(), self.spawn(sieve));
            }
        }
    }

    fn spawn(&self, sieve: Classifier) -> Task {
        let surroundings =
            Surroundings { host: self.inner.settings.host.clone(), team_id: self.inner.settings.team_id.clone() };
        let shared = Arc::new(Shared::new(sieve.clone(), surroundings.clone()));
        let (orders, received) = mpsc::channel(ORDERS);
        let cancel = self.inner.cancel.child_token();
        let depends_on = depends_on(&sieve);
        let runner = Runner::new(Parts {
            inbox: self.inner.postbox.open(&sieve.rule().name),
            sieve,
            surroundings,
            store: self.inner.store.clone(),
            outlet: Arc::clone(&self.inner.outlet),
            shared: Arc::clone(&shared),
            orders: received,
            cancel: cancel.clone(),
            file_system: self.inner.settings.file_system.unwrap_or(silent_file_system),
            shortest_care: self.inner.settings.shortest_care,
            gone_wait: self.inner.settings.gone_wait,
        });
        // Every line of the log that is written below says which rule it is about.
        let span = tracing::info_span!("rule", name = shared.status().name);
        Task { shared, orders, cancel, handle: tokio::spawn(runner.run().instrument(span)), depends_on }
    }

    /// The active rules.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.state().rules)
    }

    /// The status of each rule, in file order, including disabled ones.
    #[must_use]
    pub fn status(&self) -> Vec<RuleStatus> {
        let state = self.state();
        state.rules.rules.iter().map(|rule| state.status_of(rule)).collect()
    }

    /// What a rule does.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`].
    pub fn rule_status(&self, name: &str) -> Result<RuleStatus, WatchError> {
        let state = self.state();
        let rule = state.rules.rule(name).ok_or_else(|| WatchError::NoSuchRule(name.to_owned()))?;
        Ok(state.status_of(rule))
    }

    /// What the rules make of an absolute path, test by test.
    ///
    /// # Errors
    /// [`WatchError::NotWatched`], [`WatchError::Store`].
    pub async fn explain(&self, path: &Path) -> Result<Explanation, WatchError> {
        let asked: Vec<(Asked, PathBuf)> = {
            let state = self.state();
            let rules = &state.rules.rules;
            let around = rules.iter().enumerate().filter_map(|(place, rule)| {
                let relative = path.strip_prefix(&rule.watch).ok()?.to_owned();
                let sieve = Classifier::new(Arc::clone(rule), &rules[..place], &self.inner.settings.own);
                let shared = state.tasks.get(&rule.name).map(|task| Arc::clone(&task.shared));
                let settings = &self.inner.settings;
                let surroundings = Surroundings { host: settings.host.clone(), team_id: settings.team_id.clone() };
                Some((Asked { sieve, surroundings, shared }, relative))
            });
            around.collect()
        };
        if asked.is_empty() {
            return Err(WatchError::NotWatched(path.to_owned()));
        }
        let mut rules = Vec::new();
        for (asked, relative) in asked {
            rules.push(explain(asked, relative, &self.inner.store).await?);
        }
        let rule = rules.iter().find(|rule| rule.owned).map(|rule| rule.rule.clone());
        Ok(Explanation { path: path.to_owned(), rule, rules })
    }

    /// What these rules would send now; nothing is sent. The active rules stay as they are.
    ///
    /// # Errors
    /// [`WatchError::Store`].
    pub async fn dry_run(&self, rules: &RuleSet) -> Result<Vec<DryRun>, WatchError> {
        Ok(dry_run(rules, Some(&self.inner.store), &self.inner.settings).await?)
    }

    /// Packages what is ready now, regardless of the schedule.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`], [`WatchError::Disabled`].
    pub async fn run_now(&self, name: &str) -> Result<(), WatchError> {
        self.order(name, Order::RunNow).await
    }

    /// Pauses a rule until it is resumed, across restarts.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`], [`WatchError::Disabled`].
    pub async fn pause(&self, name: &str) -> Result<(), WatchError> {
        self.order(name, Order::Pause).await
    }

    /// Resumes a paused rule.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`], [`WatchError::Disabled`].
    pub async fn resume(&self, name: &str) -> Result<(), WatchError> {
        self.order(name, Order::Resume).await
    }

    /// Takes what is at the path of a rule's folder now as the rule's own, although it is another folder than before.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`], [`WatchError::Disabled`].
    pub async fn accept_folder(&self, name: &str) -> Result<(), WatchError> {
        self.order(name, Order::AcceptFolder).await
    }

    /// Forgets that a file, or all below a folder, was sent (path relative to the watched folder), or everything: what
    /// is there is sent again. Returns how many ledger entries that were.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`], [`WatchError::Store`].
    pub async fn forget(&self, name: &str, path: Option<&Path>) -> Result<u64, WatchError> {
        self.known(name)?;
        let forgotten = self.inner.store.ledger_forget(name, path).await?;
        self.read_ledger(name).await;
        Ok(forgotten)
    }

    /// Marks what is at a path, or below it, or everything, as sent. Returns how many files there were.
    ///
    /// # Errors
    /// [`WatchError::NoSuchRule`], [`WatchError::Disabled`], [`WatchError::Store`].
    pub async fn mark_sent(&self, name: &str, path: Option<&Path>) -> Result<u64, WatchError> {
        self.known(name)?;
        let shared = self.state().tasks.get(name).map(|task| Arc::clone(&task.shared));
        let shared = shared.ok_or_else(|| WatchError::Disabled(name.to_owned()))?;
        let files: Vec<(PathBuf, FileIdentity)> = shared.desk().unsent_below(path.unwrap_or(Path::new("")));
        let count = files.len() as u64;
        self.inner.store.ledger_mark(name, files, Outcome::Skipped).await?;
        self.read_ledger(name).await;
        Ok(count)
    }

    async fn read_ledger(&self, name: &str) {
        // A rule that is not active reads it when it starts.
        let _ = self.order(name, Order::ReadLedger).await;
    }

    async fn order(&self, name: &str, order: Order) -> Result<(), WatchError> {
        self.known(name)?;
        let orders = self.state().tasks.get(name).map(|task| task.orders.clone());
        let disabled = || WatchError::Disabled(name.to_owned());
        orders.ok_or_else(disabled)?.send(order).await.map_err(|_| disabled())
    }

    fn known(&self, name: &str) -> Result<Arc<Rule>, WatchError> {
        self.state().rules.rule(name).cloned().ok_or_else(|| WatchError::NoSuchRule(name.to_owned()))
    }

    /// Stops all rules and waits for them.
    pub async fn stop(&self) {
        let (tasks, deliver) = {
            let mut state = self.state();
            (std::mem::take(&mut state.tasks), state.deliver.take())
        };
        self.inner.cancel.cancel();
        for (name, task) in tasks {
            task.stop(&name).await;
        }
        if let Some(deliver) = deliver {
            ended("events", deliver.await);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn status_of(&self, rule: &Rule) -> RuleStatus {
        match self.tasks.get(&rule.name) {
            Some(task) => task.shared.status().clone().at_moment(Timestamp::now()),
            None => RuleStatus {
                name: rule.name.clone(),
                watch: rule.watch.clone(),
                state: if rule.enabled { RuleState::Starting } else { RuleState::Disabled },
                ..RuleStatus::default()
            },
        }
    }
}

impl Task {
    async fn stop(self, name: &str) {
        self.cancel.cancel();
        ended(name, self.handle.await);
    }
}

fn ended(what: &str, result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        tracing::error!(task = what, %error, "a watching task ended unexpectedly");
    }
}

fn depends_on(sieve: &Classifier) -> Vec<RuleDigest> {
    std::iter::once(sieve.rule()).chain(&sieve.earlier()).map(|rule| rule.digest).collect()
}
