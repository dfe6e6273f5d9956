//! The queue of downloads: orders come in, are written down, and then made true by the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::task::JoinHandle;
use url::Url;

use super::disk::Folder;
use super::life::{drive, refused};
use super::link::LinkError;
use super::place::temporary;
use crate::base::DownloadId;
use crate::cloud::{Cloud, CloudError, CloudSettings};
use crate::store::{DownloadFilter, DownloadSpec, Problem, State, Store, StoreError};
use crate::transfer::engine::{self, Controls, Direction};
use crate::transfer::{Circuits, Halt, Live, LiveTable, LiveTransfer, SlotLimits, Slots, Steps, Tally, Throttle};

/// Files read from the database at once.
const PAGE: u32 = 1_000;

/// How downloads work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadSettings {
    /// Parts on their way at once, over all downloads.
    pub workers: usize,
    /// Downloads worked on at once; the others are queued.
    pub active_downloads: usize,
    /// Bytes of a part.
    pub part_size: u64,
    /// Whether unfinished downloads go on by themselves when the agent starts.
    pub auto_resume: bool,
}

impl Default for DownloadSettings {
    fn default() -> Self {
        Self { workers: 8, active_downloads: 32, part_size: 32 << 20, auto_resume: true }
    }
}

/// Why the queue did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// There is no such download.
    #[error("no download {0}")]
    NotFound(DownloadId),
    /// The download's state does not allow it.
    #[error("download {id} is {state}; this works for {allowed}")]
    WrongState {
        /// The download.
        id: DownloadId,
        /// What it is.
        state: &'static str,
        /// The states in which it works, in words.
        allowed: &'static str,
    },
    /// The address is no link to a package.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The order makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The agent's memory failed.
    #[error(transparent)]
    Store(StoreError),
}

impl DownloadError {
    fn from_store(error: StoreError, allowed: &'static str) -> Self {
        match error {
            StoreError::NoDownload(id) => Self::NotFound(id),
            StoreError::DownloadState { id, state } => Self::WrongState { id, state, allowed },
            other => Self::Store(other),
        }
    }
}

impl From<StoreError> for DownloadError {
    fn from(error: StoreError) -> Self {
        Self::from_store(error, "no state")
    }
}

/// What the downloads' tasks share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) slots: Slots<DownloadId>,
    pub(super) circuits: Circuits,
    /// The download direction's bandwidth.
    pub(super) throttle: Throttle,
    settings: RwLock<DownloadSettings>,
    live: LiveTable<DownloadId>,
    /// The agent's own cloud, with its key or session: for what came through the team's portals.
    pub(super) own: Cloud,
    /// Clients of the clouds that links led to, by base URL.
    clouds: Mutex<HashMap<String, Cloud>>,
    controls: Controls,
}

impl Shared {
    pub(super) fn settings(&self) -> DownloadSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of the cloud at `api`. No key of ours is ever sent there: the link is what allows.
    pub(super) fn cloud(&self, api: &str) -> Result<Cloud, CloudError> {
        let mut clouds = self.clouds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cloud) = clouds.get(api) {
            return Ok(cloud.clone());
        }
        let base = Url::parse(api).map_err(|error| CloudError::Setup { reason: error.to_string() })?;
        let cloud = Cloud::new(CloudSettings { base, api_key: None, team_id: None })?;
        clouds.insert(api.to_owned(), cloud.clone());
        Ok(cloud)
    }
}

impl Direction for Shared {
    type Id = DownloadId;
    const NAME: &'static str = "download";

    fn controls(&self) -> &Controls {
        &self.controls
    }

    fn live(&self) -> &LiveTable<DownloadId> {
        &self.live
    }

    async fn wanted(&self) -> Result<Vec<(DownloadId, i32)>, StoreError> {
        let active = u32::try_from(self.settings().active_downloads).unwrap_or(u32::MAX);
        self.store.downloads_by_turn(active).await
    }

    async fn is_only_waiting(&self, id: DownloadId) -> bool {
        self.store.download(id).await.is_ok_and(|download| download.state == State::Transferring)
    }

    async fn begin(&self, id: DownloadId, priority: i32) -> Result<LiveTransfer, StoreError> {
        let totals = self.store.download(id).await?.totals;
        Ok(self.live.transfer(priority, totals.bytes_done, totals.bytes))
    }

    async fn drive(self: Arc<Self>, id: DownloadId, steps: Steps) -> Result<(), Halt> {
        drive(id, self, steps).await
    }

    async fn finish(&self, id: DownloadId, outcome: Result<(), Halt>) -> bool {
        let problem = match outcome {
            Ok(())
            | Err(Halt::Interrupted | Halt::Store(StoreError::NoDownload(_) | StoreError::DownloadState { .. })) => {
                return false;
            }
            Err(Halt::Store(error)) => {
                tracing::error!(download = %id, error = &error as &dyn std::error::Error, "cannot go on for now");
                return true;
            }
            Err(Halt::Refused(error, _)) => refused(&error),
            Err(Halt::Failed(problem)) => problem,
        };
        tracing::error!(download = %id, code = %problem.code, "{}", problem.message);
        write_problem(&self.store, id, problem).await
    }
}

async fn write_problem(store: &Store, id: DownloadId, problem: Problem) -> bool {
    match store.move_download(id, &[State::Transferring], State::Error, Some(problem)).await {
        Ok(()) | Err(StoreError::NoDownload(_) | StoreError::DownloadState { .. }) => false,
        Err(error) => {
            tracing::error!(download = %id, error = &error as &dyn std::error::Error, "cannot write an error down");
            true
        }
    }
}

/// The handle to the downloads; clones share it.
#[derive(Clone)]
pub struct Downloads {
    shared: Arc<Shared>,
    engine: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Downloads {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Downloads")
    }
}

impl Downloads {
    /// Starts the engine over what `store` holds: unfinished downloads go on unless `auto_resume` is off, in which case
    /// they are paused first. `own` is the cloud whose inbox is the agent's.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(store: Store, own: Cloud, settings: DownloadSettings) -> Result<Self, DownloadError> {
        if !settings.auto_resume {
            let filter = DownloadFilter { states: vec![State::Transferring], ..DownloadFilter::default() };
            for download in store.downloads(filter).await? {
                store.move_download(download.id, &[State::Transferring], State::Paused, None).await?;
            }
        }
        let shared = Arc::new(Shared {
            store,
            slots: Slots::new(settings.workers),
            circuits: Circuits::new(),
            throttle: Throttle::default(),
            settings: RwLock::new(settings),
            live: LiveTable::default(),
            own,
            clouds: Mutex::default(),
            controls: Controls::default(),
        });
        let engine = tokio::spawn(engine::run(Arc::clone(&shared)));
        Ok(Self { shared, engine: Arc::new(tokio::sync::Mutex::new(Some(engine))) })
    }

    /// Stops: no new part is asked for, those on their way may end within a grace time. Downloads stay as they are in the
    /// store and go on at the next start.
    pub async fn stop(&self) {
        self.shared.controls.stop.cancel();
        let engine = self.engine.lock().await.take();
        if let Some(engine) = engine
            && let Err(error) = engine.await
        {
            tracing::error!(%error, "the download engine ended unexpectedly");
        }
    }

    /// The store that the queue works on.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Takes an order: when this returns, it is on disk and will be carried out.
    ///
    /// # Errors
    /// [`DownloadError::Invalid`] for a destination that is not absolute.
    pub async fn submit(&self, spec: DownloadSpec) -> Result<DownloadId, DownloadError> {
        if !spec.destination.is_absolute() {
            return Err(DownloadError::Invalid("the destination must be an absolute path"));
        }
        let id = DownloadId::new();
        self.shared.store.insert_download(id, spec).await?;
        self.shared.controls.nudge.notify_one();
        Ok(id)
    }

    /// Pauses: takes effect at once, keeps what is on the disk.
    ///
    /// # Errors
    /// [`DownloadError::WrongState`] unless it is transferring or paused.
    pub async fn pause(&self, id: DownloadId) -> Result<(), DownloadError> {
        let moved = self.shared.store.move_download(id, &[State::Transferring], State::Paused, None).await;
        moved.map_err(|error| DownloadError::from_store(error, "transferring and paused"))?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Lets a paused or failed download go on.
    ///
    /// # Errors
    /// [`DownloadError::WrongState`] when it is complete.
    pub async fn resume(&self, id: DownloadId) -> Result<(), DownloadError> {
        let resumed = self.shared.store.try_download_again(id).await;
        resumed.map_err(|error| DownloadError::from_store(error, "paused, error and transferring"))?;
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// Forgets it; files that are whole stay, unfinished ones are removed.
    ///
    /// # Errors
    /// [`DownloadError::NotFound`].
    pub async fn remove(&self, id: DownloadId) -> Result<(), DownloadError> {
        let download = self.shared.store.download(id).await?;
        if download.state != State::Complete {
            // Paused first: a crash in the middle of removing leaves nothing that goes on by itself.
            let from = &[State::Transferring, State::Error, State::Paused];
            match self.shared.store.move_download(id, from, State::Paused, None).await {
                // It has just become complete.
                Ok(()) | Err(StoreError::DownloadState { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.shared.controls.nudge.notify_one();
            self.ended(id).await;
            self.remove_unfinished(id, download.spec.destination).await?;
        }
        Ok(self.shared.store.remove_download(id).await?)
    }

    /// Waits until no task works on it.
    async fn ended(&self, id: DownloadId) {
        loop {
            let ended = self.shared.controls.ended.notified();
            if self.shared.live.of(id).is_none() {
                return;
            }
            ended.await;
        }
    }

    async fn remove_unfinished(&self, id: DownloadId, destination: std::path::PathBuf) -> Result<(), DownloadError> {
        let mut after = None;
        loop {
            let files = self.shared.store.files_to_fetch(id, after, PAGE).await?;
            let failed =
                if after.is_none() { self.shared.store.files_not_fetched(id, u32::MAX).await? } else { Vec::new() };
            let last = files.last().map(|file| file.number);
            let paths: Vec<String> = files.into_iter().chain(failed).map(|file| file.wanted.path).collect();
            let destination = destination.clone();
            let removing = tokio::task::spawn_blocking(move || {
                let Some(root) = Folder::existing(&destination) else { return };
                for path in paths {
                    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
                    let Ok(folder) = root.below(folder, false) else { continue };
                    if let Err(error) = folder.remove(&temporary(id, name)) {
                        tracing::warn!(download = %id, %error, "an unfinished file is left");
                    }
                }
            });
            // A panic in there leaves files, nothing worse.
            let _ = removing.await;
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Changes the priority; a running download has it from its next part on.
    ///
    /// # Errors
    /// [`DownloadError::NotFound`].
    pub async fn set_priority(&self, id: DownloadId, priority: i32) -> Result<(), DownloadError> {
        self.shared.store.set_download_priority(id, priority).await?;
        if let Some(live) = self.shared.live.of(id) {
            live.set_priority(priority);
            self.shared.slots.set_priority(id, priority);
        }
        self.shared.controls.nudge.notify_one();
        Ok(())
    }

    /// The downloads that are worked on at this moment, in no order.
    #[must_use]
    pub fn running(&self) -> Vec<DownloadId> {
        self.shared.live.ids()
    }

    /// What a running download does at this moment; `None` when it is not running.
    #[must_use]
    pub fn live(&self, id: DownloadId) -> Option<Live> {
        self.shared.live.of(id).map(|live| live.look())
    }

    /// Resolves when the engine has ended, which it does by itself only by a bug.
    pub async fn over(&self) {
        self.shared.controls.over.cancelled().await;
    }

    /// What all downloads have done since the agent started.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.shared.live.tally()
    }

    /// How the engine works now.
    #[must_use]
    pub fn settings(&self) -> DownloadSettings {
        self.shared.settings()
    }

    /// Works in another way from now on.
    pub fn change_settings(&self, change: impl FnOnce(&mut DownloadSettings)) {
        let settings = {
            let mut settings = self.shared.settings.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut settings);
            *settings
        };
        self.shared.slots.set_limits(SlotLimits::workers(settings.workers));
        self.shared.controls.nudge.notify_one();
    }

    /// The bandwidth that all downloads share.
    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.shared.throttle
    }
}
