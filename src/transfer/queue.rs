//! The queue: orders come in, are written down, and then made true.
//!
//! One task ([`engine`]) runs the uploads that the database wants to run: state `transferring`, by priority and order,
//! as many as may be active. Every order is a change in the database and a nudge to that task.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;

use super::circuit::Circuits;
use super::engine::{self, Controls, Direction};
use super::errands;
use super::limit::Throttle;
use super::live::{Live, LiveTable, LiveTransfer};
use super::slots::{SlotLimits, Slots};
use super::steps::{Halt, Steps};
use super::tally::Tally;
use super::upload::{Task, drive, refused};
use crate::base::UploadId;
use crate::cloud::{Cloud, CloudError, Limits, NewLink, PackageAccess, Session};
use crate::store::{Link, Order, Problem, SourceFile, State, Store, StoreError, UploadFilter, UploadSpec};

/// How the engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSettings {
    /// Parts on their way at once, over all uploads. Eight at least by default: as many are hashed for little more than the price
    /// of two.
    pub workers: usize,
    /// Uploads worked on at once; the others are queued.
    pub active_uploads: usize,
    /// Files being read at once, over all uploads.
    pub open_files: usize,
    /// Parts being read at once from the same file system.
    pub disk_readers: usize,
    /// Bytes of a part, for uploads that do not say.
    pub chunk_size: u64,
    /// Whether unfinished uploads go on by themselves when the agent starts.
    pub auto_resume: bool,
}

impl Default for TransferSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers: (2 * cores).clamp(8, 16),
            active_uploads: 32,
            open_files: 64,
            disk_readers: 16,
            chunk_size: 100 << 20,
            auto_resume: true,
        }
    }
}

impl TransferSettings {
    fn slots(&self) -> SlotLimits {
        let Self { workers, open_files, disk_readers, .. } = *self;
        SlotLimits { workers, open_files, disk_readers }
    }
}

/// Why the queue did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such upload.
    #[error("no upload {0}")]
    NotFound(UploadId),
    /// The upload's state does not allow it.
    #[error("upload {id} is {state}; this works {allowed}")]
    WrongState {
        /// The upload.
        id: UploadId,
        /// What it is.
        state: &'static str,
        /// When it works, in words.
        allowed: &'static str,
    },
    /// The rule's ledger has it already.
    #[error("{} is sent already, or on its way", path.display())]
    AlreadyClaimed {
        /// Relative to the rule's folder.
        path: PathBuf,
    },
    /// The order makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The cloud did not do its part.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The agent's memory failed.
    #[error(transparent)]
    Store(StoreError),
}

impl QueueError {
    fn from_store(error: StoreError, allowed: &'static str) -> Self {
        match error {
            StoreError::NotFound(id) => Self::NotFound(id),
            StoreError::WrongState { id, state } => Self::WrongState { id, state, allowed },
            StoreError::AlreadyClaimed { path } => Self::AlreadyClaimed { path },
            other => Self::Store(other),
        }
    }
}

impl From<StoreError> for QueueError {
    fn from(error: StoreError) -> Self {
        Self::from_store(error, "at no time")
    }
}

/// What the queue's tasks share.
pub(super) struct Shared {
    pub(super) cloud: Cloud,
    pub(super) store: Store,
    pub(super) slots: Slots<UploadId>,
    pub(super) session_changed: Notify,
    /// Whether it was told that nobody is signed in.
    session_told: AtomicBool,
    pub(super) circuits: Circuits,
    /// The upload direction's bandwidth.
    pub(super) throttle: Throttle,
    live: LiveTable<UploadId>,
    settings: RwLock<TransferSettings>,
    limits: OnceCell<Limits>,
    controls: Controls,
}

impl Shared {
    pub(super) fn settings(&self) -> TransferSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cloud does not know us: that is told once, until somebody signs in. Returns what to say of an upload that
    /// waits for it.
    pub(super) async fn session_lost(&self) -> &'static str {
        let reason = if self.cloud.has_key() {
            "the cloud does not accept the API key: start the agent with another"
        } else {
            "not signed in: `masv user login`"
        };
        if !self.session_told.swap(true, Ordering::Relaxed) {
            tracing::warn!("uploads wait: {reason}");
            let told = self.store.record_event("session.lost", None, serde_json::json!({ "reason": reason })).await;
            if let Err(error) = told {
                tracing::error!(error = &error as &dyn std::error::Error, "an event cannot be written down");
            }
        }
        reason
    }

    /// What the cloud accepts; asked once. A cloud that does not say is taken for one with the usual limits.
    pub(super) async fn limits(&self) -> Limits {
        let asked = self.limits.get_or_try_init(|| async { self.cloud.limits().await }).await;
        asked.copied().unwrap_or_else(|error| {
            tracing::debug!(%error, "the cloud does not tell its limits; taking the usual ones");
            Limits::default()
        })
    }
}

/// The handle to the engine; clones share it.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
    engine: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Queue")
    }
}

impl Queue {
    /// Starts the engine over what `store` holds: unfinished uploads go on unless `auto_resume` is off, in which case
    /// they are paused first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(store: Store, cloud: Cloud, settings: TransferSettings) -> Result<Self, QueueError> {
        if !settings.auto_resume {
            let filter = UploadFilter { states: vec![State::Transferring], ..UploadFilter::default() };
            for upload in store.uploads(filter).await? {
                store.move_to(upload.id, &[State::Transferring], State::Paused, None).await?;
            }
        }
        let shared = Arc::new(Shared {
            cloud,
            store,
            slots: Slots::limited(settings.slots()),
            session_changed: Notify::new(),
            session_told: AtomicBool::new(false),
            circuits: Circuits::new(),
            throttle: Throttle::default(),
            live: LiveTable::default(),
            settings: RwLock::new(settings),
            limits: OnceCell::new(),
            controls: Controls::default(),
        });
        let engine = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let stop = shared.controls.stop.child_token();
                let errands = tokio::spawn(errands::run(Arc::clone(&shared), stop));
                engine::run(shared).await;
                errands.abort();
            }
        });
        Ok(Self { shared, engine: Arc::new(tokio::sync::Mutex::new(Some(engine))) })
    }

    /// Stops: no new part is begun, those on their way may end within a grace time. Uploads stay as they are in the
    /// store and go on at the next start.
    pub async fn stop(&self) {
        self.shared.controls.stop.cancel();
        let engine = self.engine.lock().await.take();
        if let Some(engine) = engine
            && let Err(error) = engine.await
        {
            tracing::error!(%error, "the transfer engine ended unexpectedly");
        }
    }

    /// The store that the queue works on.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The cloud that the queue sends to.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.shared.cloud
    }

    /// Uses `session` for team calls from now on; uploads that waited for one go on.
    pub fn set_session(&self, session: Option<Session>) {
        self.shared.cloud.set_session(session);
        self.shared.session_told.store(false, Ordering::Relaxed);
        self.shared.session_changed.notify_waiters();
    }

    /// Takes an order: when this returns, it is on disk and will be carried out.
    ///
    /// # Errors
    /// [`QueueError::AlreadyClaimed`] when a rule's file is sent or on its way; [`QueueError::Invalid`].
    pub async fn submit(&self, spec: UploadSpec) -> Result<UploadId, QueueError> {
        if spec.files.is_empty() {
            return Err(QueueError::Invalid("an upload needs at least one file"));
        }
        let id = UploadId::new();
        self.shared.store.insert_upload(id, spec).await?;
        self.shared.controls.nudge.notify_one();
        Ok(id)
    }

    /// Adds files to an upload that is not complete; an idle one transfers again.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] from the moment it is finalized.
    pub async fn append(&self, id: UploadId, files: Vec<SourceFile>) -> Result<(), QueueError> {
        let allowed = "while it is transferring, paused, idle or error";
        self.shared.store.append_files(id, files).await.map_err(|error| QueueError::from_store(error, allowed))?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Pauses: takes effect at once, keeps what is confirmed.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] unless it is transferring or paused.
    pub async fn pause(&self, id: UploadId) -> Result<(), QueueError> {
        let moved = self.shared.store.move_to(id, &[State::Transferring], State::Paused, None).await;
        moved.map_err(|error| QueueError::from_store(error, "while it is transferring or paused"))?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Lets a paused or failed upload go on.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is complete.
    pub async fn resume(&self, id: UploadId) -> Result<(), QueueError> {
        let allowed = "while it is paused, error, transferring or idle";
        self.shared.store.try_again(id).await.map_err(|error| QueueError::from_store(error, allowed))?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Has it finalized as soon as all is uploaded. For a complete upload nothing changes.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is paused or failed.
    pub async fn finalize(&self, id: UploadId) -> Result<(), QueueError> {
        let allowed = "while it is transferring, idle or complete";
        self.shared.store.ask_finalize(id).await.map_err(|error| QueueError::from_store(error, allowed))?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Forgets it; what is not complete is cancelled and removed from the cloud, at once or when it can be reached.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn remove(&self, id: UploadId) -> Result<(), QueueError> {
        self.shared.store.remove_upload(id).await?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Changes the priority; a running upload has it from its next part on.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn set_priority(&self, id: UploadId, priority: i32) -> Result<(), QueueError> {
        self.shared.store.set_priority(id, priority).await?;
        if let Some(live) = self.shared.live.of(id) {
            live.set_priority(priority);
            self.shared.slots.set_priority(id, priority);
        }
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Changes its place among uploads of the same priority.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn set_order(&self, id: UploadId, order: Order) -> Result<(), QueueError> {
        self.shared.store.set_order(id, order).await?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Whether it is finalized by itself when all is uploaded.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is complete.
    pub async fn set_auto_finalize(&self, id: UploadId, auto_finalize: bool) -> Result<(), QueueError> {
        let allowed = "while it is transferring, paused, idle or error";
        let set = self.shared.store.set_auto_finalize(id, auto_finalize).await;
        set.map_err(|error| QueueError::from_store(error, allowed))?;
        if auto_finalize && self.shared.store.upload(id).await?.state == State::Idle {
            self.finalize(id).await?;
        }
        Ok(())
    }

    /// Makes another link to its package.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] while the package is not made; [`QueueError::Cloud`].
    pub async fn create_link(
        &self,
        id: UploadId,
        password: Option<SecretString>,
        email: Option<String>,
    ) -> Result<Link, QueueError> {
        let upload = self.shared.store.upload(id).await?;
        let Some(package) = &upload.package else {
            let allowed = "once its package is made";
            return Err(QueueError::WrongState { id, state: upload.state.as_str(), allowed });
        };
        let access = PackageAccess { id: &package.id, token: &package.token };
        let created = self.shared.cloud.create_link(access, &NewLink { email: email.clone(), password }).await?;
        let link = Link { id: created.id, url: created.url, email };
        self.shared.store.link_created(id, link.clone()).await?;
        Ok(link)
    }

    /// The uploads that are worked on at this moment, in no order.
    #[must_use]
    pub fn running(&self) -> Vec<UploadId> {
        self.shared.live.ids()
    }

    /// What a running upload does at this moment; `None` when it is not running.
    #[must_use]
    pub fn live(&self, id: UploadId) -> Option<Live> {
        self.shared.live.of(id).map(|live| live.look())
    }

    /// The bandwidth that all uploads share.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.shared.throttle
    }

    /// Resolves when the engine has ended, which it does by itself only by a bug.
    pub async fn over(&self) {
        self.shared.controls.over.cancelled().await;
    }

    /// What all uploads have done since the agent started.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.shared.live.tally()
    }

    /// How many workers are at work.
    #[must_use]
    pub fn busy_workers(&self) -> usize {
        self.shared.slots.taken()
    }

    /// How the engine works now.
    #[must_use]
    pub fn settings(&self) -> TransferSettings {
        self.shared.settings()
    }

    /// Works in another way from now on; what is above a limit ends with the parts it is at.
    pub fn change_settings(&self, change: impl FnOnce(&mut TransferSettings)) {
        let settings = {
            let mut settings = self.shared.settings.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut settings);
            *settings
        };
        self.shared.slots.set_limits(settings.slots());
        self.shared.controls.nudge.notify_one();
    }
}

impl Direction for Shared {
    type Id = UploadId;
    const NAME: &'static str = "upload";

    fn controls(&self) -> &Controls {
        &self.controls
    }

    fn live(&self) -> &LiveTable<UploadId> {
        &self.live
    }

    async fn wanted(&self) -> Result<Vec<(UploadId, i32)>, StoreError> {
        let active = u32::try_from(self.settings().active_uploads).unwrap_or(u32::MAX);
        self.store.uploads_by_turn(active).await
    }

    async fn is_only_waiting(&self, id: UploadId) -> bool {
        self.store.upload(id).await.is_ok_and(|upload| upload.state == State::Transferring)
    }

    async fn begin(&self, id: UploadId, priority: i32) -> Result<LiveTransfer, StoreError> {
        let totals = self.store.upload(id).await?.totals;
        Ok(self.live.transfer(priority, totals.bytes_done, totals.bytes))
    }

    async fn drive(self: Arc<Self>, id: UploadId, steps: Steps) -> Result<(), Halt> {
        drive(Task::new(id, self, steps)).await
    }

    async fn finish(&self, id: UploadId, outcome: Result<(), Halt>) -> bool {
        let problem = match outcome {
            Ok(()) | Err(Halt::Interrupted | Halt::Store(StoreError::NotFound(_) | StoreError::WrongState { .. })) => {
                return false;
            }
            Err(Halt::Store(error)) => {
                tracing::error!(upload = %id, error = &error as &dyn std::error::Error, "cannot go on for now");
                return true;
            }
            Err(Halt::Refused(error, _)) => refused(&error),
            Err(Halt::Failed(problem)) => problem,
        };
        tracing::error!(upload = %id, code = %problem.code, "{}", problem.message);
        write_problem(self, id, problem).await
    }
}

async fn write_problem(shared: &Shared, id: UploadId, problem: Problem) -> bool {
    match shared.store.move_to(id, &[State::Transferring], State::Error, Some(problem)).await {
        Ok(_) | Err(StoreError::NotFound(_) | StoreError::WrongState { .. }) => false,
        Err(error) => {
            tracing::error!(upload = %id, error = &error as &dyn std::error::Error, "cannot write an error down");
            true
        }
    }
}
