//! The queue of downloads: requests come in, are recorded, and then carried out by the engine.

use std::ops::Deref;
use std::sync::Arc;

use super::disk::Destination;
use super::layout::temporary;
use super::room::Room;
use super::task::{drive, refused};
use crate::engine::scheduler::{self, Direction};
use crate::engine::{Common, Halt, Handle, PermitLimits, QueueError, Settings, TaskContext, Workers};
use crate::model::DownloadId;
use crate::model::{DownloadFilter, DownloadSpec, Problem, State, Totals, Turn};
use crate::store::{OnlyWaiting, Store, StoreError};
use masv_client::{Cloud, CloudError, Clouds};
use masv_platform::{OwnPlaces, PathBeneath, within_descriptors};

/// Files read from the database at once.
const PAGE: u32 = 1_000;

/// The settings of downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadSettings {
    /// Parts on their way at once, over all downloads.
    pub workers: Workers,
    /// Downloads that run at once; the others are queued.
    pub active_downloads: usize,
    /// Part size in bytes.
    pub part_size: u64,
    /// Whether unfinished downloads resume automatically when the agent starts.
    pub auto_resume: bool,
}

impl Default for DownloadSettings {
    fn default() -> Self {
        Self { workers: Workers::Auto, active_downloads: 32, part_size: 32 << 20, auto_resume: true }
    }
}

impl Settings for DownloadSettings {
    fn slots(&self) -> PermitLimits {
        PermitLimits::workers(within_descriptors(self.workers.most(), 8))
    }

    fn workers(&self) -> Workers {
        self.workers
    }
}

/// What the downloads' tasks share. The agent's own cloud is for packages received through the team's portals.
pub(super) struct Shared {
    common: Arc<Common<DownloadId, DownloadSettings>>,
    /// Space on the disks.
    pub(super) room: Room,
    /// The agent's own files, which are never overwritten or added to.
    pub(super) protected: OwnPlaces,
}

impl Deref for Shared {
    type Target = Common<DownloadId, DownloadSettings>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl Direction for Shared {
    type Id = DownloadId;
    type Settings = DownloadSettings;
    const NAME: &'static str = "download";

    fn common(&self) -> &Common<DownloadId, DownloadSettings> {
        &self.common
    }

    async fn wanted(&self, waiting: OnlyWaiting<DownloadId>) -> Result<Vec<(DownloadId, Turn)>, StoreError> {
        let active = u32::try_from(self.settings().active_downloads).unwrap_or(u32::MAX);
        self.store.downloads_by_turn(active, waiting).await
    }

    async fn look(&self, id: DownloadId) -> Result<(State, Totals), StoreError> {
        self.store.download(id).await.map(|download| (download.state, download.totals))
    }

    async fn drive(self: Arc<Self>, id: DownloadId, steps: TaskContext) -> Result<(), Halt> {
        drive(id, self, steps).await
    }

    fn refused(error: &CloudError) -> Problem {
        refused(error)
    }

    async fn fail(&self, id: DownloadId, problem: Problem) -> Result<(), StoreError> {
        self.store.move_download(id, &[State::Transferring], State::Error, Some(problem)).await
    }
}

/// The handle to the downloads; clones share it. What both directions share is in its [`Handle`].
#[derive(Clone)]
pub struct Downloads {
    shared: Arc<Shared>,
    handle: Handle<DownloadId, DownloadSettings>,
}

impl Deref for Downloads {
    type Target = Handle<DownloadId, DownloadSettings>;

    fn deref(&self) -> &Self::Target {
        &self.handle
    }
}

impl std::fmt::Debug for Downloads {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Downloads")
    }
}

impl Downloads {
    /// Starts the engine on what `store` contains: unfinished downloads resume unless `auto_resume` is off, in which case
    /// they are paused first. `own` is the cloud whose inbox is the agent's; nothing is written over or among what is `protected`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(
        store: Store,
        own: Cloud,
        settings: DownloadSettings,
        protected: OwnPlaces,
    ) -> Result<Self, QueueError> {
        if !settings.auto_resume {
            let filter = DownloadFilter { states: vec![State::Transferring], ..DownloadFilter::default() };
            for download in store.downloads(filter).await? {
                store.move_download(download.id, &[State::Transferring], State::Paused, None).await?;
            }
        }
        let common = Common::new(store, Clouds::new(own), settings);
        let shared = Arc::new(Shared { common: Arc::clone(&common), room: Room::default(), protected });
        let engine = scheduler::run(Arc::clone(&shared));
        Ok(Self { handle: Handle::new(common, engine), shared })
    }

    /// Accepts a request: when this returns, it is on disk and will be carried out.
    ///
    /// # Errors
    /// [`QueueError::Invalid`] for a destination that is not absolute.
    pub async fn submit(&self, spec: DownloadSpec) -> Result<DownloadId, QueueError> {
        if !spec.destination.is_absolute() {
            return Err(QueueError::Invalid("the destination must be an absolute path"));
        }
        let id = DownloadId::new();
        self.shared.store.insert_download(id, spec).await?;
        self.shared.nudge();
        Ok(id)
    }

    /// Pauses at once; what is on disk is kept.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] unless it is transferring or paused.
    pub async fn pause(&self, id: DownloadId) -> Result<(), QueueError> {
        let moved = self.shared.store.move_download(id, &[State::Transferring], State::Paused, None).await;
        moved.map_err(|error| QueueError::from_store(error, "while it is transferring or paused"))?;
        self.shared.nudge();
        Ok(())
    }

    /// Resumes a paused or failed download.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is complete.
    pub async fn resume(&self, id: DownloadId) -> Result<(), QueueError> {
        let resumed = self.shared.store.try_download_again(id).await;
        resumed.map_err(|error| QueueError::from_store(error, "while it is paused, error or transferring"))?;
        self.shared.nudge();
        Ok(())
    }

    /// Removes it; complete files are kept, unfinished ones are deleted.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn remove(&self, id: DownloadId) -> Result<(), QueueError> {
        let download = self.shared.store.download(id).await?;
        if download.state != State::Complete {
            // Paused first: after a crash in the middle of removing, nothing resumes automatically.
            let from = &[State::Transferring, State::Error, State::Paused];
            match self.shared.store.move_download(id, from, State::Paused, None).await {
                // It has just become complete.
                Ok(()) | Err(StoreError::WrongState { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.shared.nudge();
            self.ended(id).await;
            self.remove_unfinished(id, download.spec.place()).await?;
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

    async fn remove_unfinished(&self, id: DownloadId, destination: PathBeneath) -> Result<(), QueueError> {
        let mut after = None;
        loop {
            let files = self.shared.store.files_to_fetch(id, after, PAGE).await?;
            let failed =
                if after.is_none() { self.shared.store.files_not_fetched(id, u32::MAX).await? } else { Vec::new() };
            let last = files.last().map(|file| file.number);
            let paths: Vec<String> = files.into_iter().chain(failed).map(|file| file.wanted.path).collect();
            let destination = destination.clone();
            let removing = tokio::task::spawn_blocking(move || {
                let Some(root) = Destination::existing(&destination) else { return };
                for path in paths {
                    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
                    let Ok(folder) = root.below(folder, false) else { continue };
                    if let Err(error) = folder.remove(&temporary(id, name)) {
                        tracing::warn!(download = %id, %error, "an unfinished file remains");
                    }
                }
            });
            // A panic there only leaves files behind.
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
    /// [`QueueError::NotFound`].
    pub async fn set_priority(&self, id: DownloadId, priority: i32) -> Result<(), QueueError> {
        self.shared.store.set_download_priority(id, priority).await?;
        self.shared.nudge();
        Ok(())
    }
}
