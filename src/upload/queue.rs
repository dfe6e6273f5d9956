//! The queue: requests come in, are recorded, and then carried out.
//!
//! One task ([`engine`](crate::engine)) runs the uploads that should run according to the database: state `transferring`, by priority and order,
//! as many as may be active. Every request is a change in the database and a wake-up of that task.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use tokio::sync::{Notify, Semaphore};

use super::access_codes::AccessCodes;
use super::cleanup;
use super::task::{drive, refused};
use crate::engine::concurrency::Workers;
use crate::engine::handle::{Common, Handle, QueueError, Settings};
use crate::engine::permits::PermitLimits;
use crate::engine::scheduler::{self, Direction};
use crate::engine::task_context::{Halt, TaskContext};
use crate::model::UploadId;
use crate::model::{
    Destination, FileState, KeptExactSizes, Link, OrderKey, Problem, SourceFiles, State, Totals, Turn, UploadFilter,
    UploadSpec,
};
use crate::store::{OnlyWaiting, Order, Store, StoreError};
use masv_client::{Cloud, CloudError, Clouds, PackageAccess, link_address};
use masv_platform::within_descriptors;
use masv_protocol::{EmailAddress, Limits, LinkSettings, Secret, SignedIn, TeamId};

/// After a cloud has lost an upload's package this often, another attempt is pointless.
const MOST_VANISHED: u32 = 3;

/// Bytes of small files in memory.
pub(super) const SMALL_MEMORY: u32 = 16 << 20;

/// The settings of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadSettings {
    /// Parts on their way at once, over all uploads.
    pub workers: Workers,
    /// Uploads that run at once; the others are queued.
    pub active_uploads: usize,
    /// Files being read at once, across all uploads.
    pub open_files: usize,
    /// Parts being read at once from the same file system.
    pub disk_readers: usize,
    /// Bytes of a part at most, for uploads that do not say. They are fewer where so much on its way would cost a restart too much.
    pub chunk_size: u64,
    /// Whether unfinished uploads resume automatically when the agent starts.
    pub auto_resume: bool,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            workers: Workers::Auto,
            active_uploads: 32,
            open_files: 256,
            disk_readers: 64,
            chunk_size: 100 << 20,
            auto_resume: true,
        }
    }
}

impl Settings for UploadSettings {
    fn slots(&self) -> PermitLimits {
        let Self { disk_readers, .. } = *self;
        // A part has a connection at either end where the hub is in this process, and a file at both.
        let workers = within_descriptors(self.workers.most(), 8);
        PermitLimits { workers, open_files: within_descriptors(self.open_files, 4), disk_readers }
    }

    fn workers(&self) -> Workers {
        self.workers
    }
}

/// What the uploads' tasks share.
pub(crate) struct Shared {
    common: Arc<Common<UploadId, UploadSettings>>,
    pub(crate) session_changed: Notify,
    /// Whether the missing session was reported.
    session_told: AtomicBool,
    /// How often the packages of uploads have disappeared in the cloud.
    vanished: Mutex<HashMap<UploadId, u32>>,
    /// What portals said about access codes.
    pub(super) access_codes: AccessCodes,
    /// Bytes of small files that may be in memory, over all uploads.
    pub(super) small_memory: Arc<Semaphore>,
    /// What clouds accept, by their names.
    limits: Mutex<HashMap<String, Limits>>,
    /// A file that was being written may be complete.
    pub(super) growth: Notify,
    /// Clouds that refuse a file of another size than it was announced with, by their names.
    exact_sizes: Mutex<HashSet<String>>,
}

impl Deref for Shared {
    type Target = Common<UploadId, UploadSettings>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl Shared {
    /// There is no valid session: that is reported once, until someone signs in. Returns the problem of an upload that
    /// waits for it.
    pub(crate) async fn session_lost(&self, error: &CloudError) -> String {
        let reason = match error {
            CloudError::NoTeam { .. } => {
                format!("{error}: set `cloud.team` in the rules file, or `team_id` in the `upload` of the rule")
            }
            _ if self.clouds.own().has_key() => {
                "the cloud does not accept the API key: restart the agent with another one".to_owned()
            }
            _ => "not signed in: `masv user login`".to_owned(),
        };
        if !self.session_told.swap(true, Ordering::Relaxed) {
            tracing::warn!("uploads wait: {reason}");
            let told = self.store.record_event("session.lost", None, serde_json::json!({ "reason": reason })).await;
            if let Err(error) = told {
                tracing::error!(error = &error as &dyn std::error::Error, "an event cannot be recorded");
            }
        }
        reason
    }

    /// The package of an upload has disappeared again. Returns whether to try again.
    pub(super) fn may_begin_anew(&self, id: UploadId) -> bool {
        let mut vanished = self.vanished.lock().unwrap_or_else(PoisonError::into_inner);
        let times = vanished.entry(id).or_default();
        *times += 1;
        *times <= MOST_VANISHED
    }

    /// How often an upload has begun anew with another package.
    pub(super) fn times_begun_anew(&self, id: UploadId) -> u32 {
        self.vanished.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or_default()
    }

    /// Whether a cloud is known to refuse a file of another size than it was announced with.
    pub(super) fn wants_exact_size(&self, cloud: &Cloud) -> bool {
        self.exact_sizes.lock().unwrap_or_else(PoisonError::into_inner).contains(cloud.name())
    }

    /// The cloud has refused a file for its size: files are sent to it once they are complete.
    pub(super) async fn learn_exact_size(&self, cloud: &Cloud) -> Result<(), StoreError> {
        let known = {
            let mut known = self.exact_sizes.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(cloud.name().to_owned());
            known.clone()
        };
        tracing::warn!(
            cloud = cloud.name(),
            "the cloud takes no files that grow: they are sent once they are complete"
        );
        self.store.keep(&KeptExactSizes { clouds: known }).await
    }

    /// The limits of a cloud; requested once. A cloud that does not report them gets the defaults.
    pub(crate) async fn limits(&self, cloud: &Cloud) -> Limits {
        let known = || self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limits) = known().get(cloud.name()).copied() {
            return limits;
        }
        match cloud.limits().await {
            Ok(limits) => {
                known().insert(cloud.name().to_owned(), limits);
                limits
            }
            Err(error) => {
                tracing::debug!(%error, "the cloud does not report its limits; using the defaults");
                Limits::default()
            }
        }
    }
}

/// The handle to the uploads; clones share it. What both directions share is in its [`Handle`].
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
    handle: Handle<UploadId, UploadSettings>,
}

impl Deref for Queue {
    type Target = Handle<UploadId, UploadSettings>;

    fn deref(&self) -> &Self::Target {
        &self.handle
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Queue")
    }
}

impl Queue {
    /// Starts the engine on what `store` contains: unfinished uploads resume unless `auto_resume` is off, in which case
    /// they are paused first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(store: Store, cloud: Cloud, settings: UploadSettings) -> Result<Self, QueueError> {
        if !settings.auto_resume {
            let filter = UploadFilter { states: vec![State::Transferring], ..UploadFilter::default() };
            for upload in store.uploads(filter).await? {
                store.move_to(upload.id, &[State::Transferring], State::Paused, None).await?;
            }
        }
        // Earlier versions failed where they could have waited.
        let failed = UploadFilter { states: vec![State::Error], ..UploadFilter::default() };
        for upload in store.uploads(failed).await? {
            if upload.problem.as_ref().is_some_and(|problem| problem.code == "no_team") {
                store.try_again(upload.id).await?;
            }
        }
        let exact_sizes = store.kept::<KeptExactSizes>().await?.unwrap_or_default().clouds;
        let common = Common::new(store, Clouds::new(cloud), settings);
        let shared = Arc::new(Shared {
            common: Arc::clone(&common),
            session_changed: Notify::new(),
            session_told: AtomicBool::new(false),
            vanished: Mutex::default(),
            access_codes: AccessCodes::default(),
            small_memory: Arc::new(Semaphore::new(SMALL_MEMORY as usize)),
            limits: Mutex::default(),
            growth: Notify::new(),
            exact_sizes: Mutex::new(exact_sizes),
        });
        let engine = {
            let shared = Arc::clone(&shared);
            async move {
                let stop = shared.controls.stop.child_token();
                let errands = tokio::spawn(cleanup::run(Arc::clone(&shared), stop));
                scheduler::run(shared).await;
                errands.abort();
            }
        };
        Ok(Self { shared, handle: Handle::new(common, engine) })
    }

    /// The cloud that the queue sends to.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        self.shared.clouds.own()
    }

    /// Sends as the cloud's `team` from now on unless another was named, and what rules send as their own; uploads that waited for that
    /// resume.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn name_teams(&self, team: Option<TeamId>, of_rules: Vec<(String, TeamId)>) -> Result<(), QueueError> {
        let of_uploads = self.shared.store.name_teams(of_rules).await?;
        let of_all = team.is_some_and(|team| self.cloud().name_team(team));
        if of_uploads || of_all {
            self.look_for_session();
        }
        Ok(())
    }

    /// Uses `session` for team calls from now on; uploads that waited for one resume.
    pub fn set_session(&self, session: Option<SignedIn>) {
        self.shared.clouds.own().set_session(session);
        self.look_for_session();
    }

    /// What uploads wait for may be there: they try again.
    fn look_for_session(&self) {
        self.shared.session_told.store(false, Ordering::Relaxed);
        self.shared.session_changed.notify_waiters();
    }

    /// Accepts a request: when this returns, it is on disk and will be carried out.
    ///
    /// # Errors
    /// [`QueueError::AlreadyClaimed`] if a rule's file is already sent or being sent; [`QueueError::Invalid`].
    pub async fn submit(&self, spec: UploadSpec) -> Result<UploadId, QueueError> {
        self.submit_once(spec, None).await
    }

    /// The same, unless an order with this key has made an upload: then nothing is done, and that one is returned.
    ///
    /// # Errors
    /// Those of [`Queue::submit`]; [`QueueError::OtherOrder`] when the key came with another order.
    pub async fn submit_once(&self, spec: UploadSpec, key: Option<OrderKey>) -> Result<UploadId, QueueError> {
        self.submit_as(UploadId::new(), spec, key).await
    }

    /// The same, with an id that was given out before.
    ///
    /// # Errors
    /// Those of [`Queue::submit_once`].
    pub async fn submit_as(
        &self,
        mut id: UploadId,
        spec: UploadSpec,
        key: Option<OrderKey>,
    ) -> Result<UploadId, QueueError> {
        if spec.files.is_empty() {
            return Err(QueueError::Invalid("an upload needs at least one file"));
        }
        if spec.rule.is_none()
            && let Destination::Portal { subdomain, access_code, .. } = &spec.destination
        {
            self.shared.access_codes.forget(subdomain, access_code.as_ref());
        }
        match key {
            Some(key) => id = self.shared.store.insert_upload_once(id, spec, key).await?,
            None => self.shared.store.insert_upload(id, spec).await?,
        }
        self.shared.nudge();
        Ok(id)
    }

    /// Adds files to an upload that is not complete; an idle one transfers again.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] from the moment it is finalized.
    pub async fn append(&self, id: UploadId, files: impl Into<SourceFiles>) -> Result<(), QueueError> {
        let allowed = "while it is transferring, paused, idle or error";
        self.shared.store.append_files(id, files).await.map_err(|error| QueueError::from_store(error, allowed))?;
        self.shared.nudge();
        Ok(())
    }

    /// Files of it that were being written are complete, and `more` files go with them.
    ///
    /// # Errors
    /// [`QueueError::WrongState`], [`QueueError::NotFound`] where it has not got them.
    pub async fn growing_settled(
        &self,
        id: UploadId,
        grown: impl Into<SourceFiles>,
        more: impl Into<SourceFiles>,
    ) -> Result<(), QueueError> {
        let settled = self.shared.store.growing_settled(id, grown, more).await;
        settled.map_err(|error| QueueError::from_store(error, "while a file of it is being written"))?;
        self.shared.growth.notify_waiters();
        self.shared.nudge();
        Ok(())
    }

    /// Drops an upload with a file that is being written, as if it had never been begun.
    ///
    /// # Errors
    /// [`QueueError::WrongState`], [`QueueError::NotFound`] where no file of it is being written.
    pub async fn give_up_growing(&self, id: UploadId, reason: String) -> Result<(), QueueError> {
        let given_up = self.shared.store.growing_given_up(id, reason).await;
        given_up.map_err(|error| QueueError::from_store(error, "while a file of it is being written"))?;
        self.shared.nudge();
        Ok(())
    }

    /// Pauses at once; what is confirmed is kept.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] unless it is transferring or paused.
    pub async fn pause(&self, id: UploadId) -> Result<(), QueueError> {
        let moved = self.shared.store.move_to(id, &[State::Transferring], State::Paused, None).await;
        moved.map_err(|error| QueueError::from_store(error, "while it is transferring or paused"))?;
        self.shared.nudge();
        Ok(())
    }

    /// Resumes a paused or failed upload.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is complete.
    pub async fn resume(&self, id: UploadId) -> Result<(), QueueError> {
        let allowed = "while it is paused, error, transferring or idle";
        if let Destination::Portal { subdomain, access_code, .. } = self.shared.store.upload(id).await?.destination {
            self.shared.access_codes.forget(&subdomain, access_code.as_ref());
        }
        self.shared.store.try_again(id).await.map_err(|error| QueueError::from_store(error, allowed))?;
        self.shared.nudge();
        Ok(())
    }

    /// Resumes a paused or failed upload without the files that no longer exist; one that is back is sent after all.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is neither; [`QueueError::Invalid`] when no file would be left.
    pub async fn resume_without_gone(&self, id: UploadId) -> Result<(), QueueError> {
        let allowed = "while it is paused or error";
        let store = &self.shared.store;
        let mut gone = Vec::new();
        for file in store.files_failed(id, u32::MAX).await? {
            // A file that cannot be checked is not known to be gone.
            let source = file.source.clone();
            let look = tokio::task::spawn_blocking(move || source.look()).await;
            if file.state == FileState::Gone && matches!(look, Ok(Err(error)) if error.is_gone()) {
                gone.push(file);
            }
        }
        match store.leave_out(id, gone).await.map_err(|error| QueueError::from_store(error, allowed))? {
            Some(_) => self.resume(id).await,
            None => Err(QueueError::Invalid("none of its files exist any more: remove the upload")),
        }
    }

    /// Finalizes it as soon as everything is uploaded. For a complete upload nothing changes.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] when it is paused or failed.
    pub async fn finalize(&self, id: UploadId) -> Result<(), QueueError> {
        let allowed = "while it is transferring, idle or complete";
        self.shared.store.ask_finalize(id).await.map_err(|error| QueueError::from_store(error, allowed))?;
        self.shared.nudge();
        Ok(())
    }

    /// Removes it; an upload that is not complete is cancelled and removed from the cloud, at once or when that can be reached.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn remove(&self, id: UploadId) -> Result<(), QueueError> {
        self.shared.store.remove_upload(id).await?;
        self.shared.nudge();
        Ok(())
    }

    /// Sets another password, or another access code for its portal; a failed upload resumes with it.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] once its package is created: that has the one it was made with.
    pub async fn set_password(&self, id: UploadId, password: SecretString) -> Result<(), QueueError> {
        let allowed = "before its package is created";
        let set = self.shared.store.set_password(id, password).await;
        if set.map_err(|error| QueueError::from_store(error, allowed))? == State::Error {
            self.resume(id).await?;
        }
        Ok(())
    }

    /// Changes the priority; a running upload has it from its next part on.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn set_priority(&self, id: UploadId, priority: i32) -> Result<(), QueueError> {
        self.shared.store.set_priority(id, priority).await?;
        self.shared.nudge();
        Ok(())
    }

    /// Changes its position among uploads of the same priority.
    ///
    /// # Errors
    /// [`QueueError::NotFound`].
    pub async fn set_order(&self, id: UploadId, order: Order) -> Result<(), QueueError> {
        self.shared.store.set_order(id, order).await?;
        self.shared.nudge();
        Ok(())
    }

    /// Sets whether it is finalized automatically once everything is uploaded.
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

    /// Creates another link to its package.
    ///
    /// # Errors
    /// [`QueueError::WrongState`] until the package is created; [`QueueError::Cloud`].
    pub async fn create_link(
        &self,
        id: UploadId,
        password: Option<SecretString>,
        email: Option<EmailAddress>,
    ) -> Result<Link, QueueError> {
        let upload = self.shared.store.upload(id).await?;
        let Some(package) = &upload.package else {
            let allowed = "once its package is created";
            return Err(QueueError::WrongState { id: id.into(), state: upload.state.as_str(), allowed });
        };
        let access = PackageAccess { id: &package.id, token: &package.token };
        let cloud = self.shared.clouds.of_package(package.cloud.as_deref(), package.team.as_ref())?;
        let wanted = LinkSettings { email, password: password.map(Secret::from), ..LinkSettings::default() };
        let created = cloud.create_link(access, &wanted, None).await?;
        let url = link_address(&created).into_exposed();
        let link = Link { id: created.id.into_string(), url, email: wanted.email.map(EmailAddress::into_string) };
        self.shared.store.link_created(id, link.clone()).await?;
        Ok(link)
    }
}

impl Direction for Shared {
    type Id = UploadId;
    type Settings = UploadSettings;
    const NAME: &'static str = "upload";

    fn common(&self) -> &Common<UploadId, UploadSettings> {
        &self.common
    }

    async fn wanted(&self, waiting: OnlyWaiting<UploadId>) -> Result<Vec<(UploadId, Turn)>, StoreError> {
        let active = u32::try_from(self.settings().active_uploads).unwrap_or(u32::MAX);
        self.store.uploads_by_turn(active, waiting).await
    }

    async fn look(&self, id: UploadId) -> Result<(State, Totals), StoreError> {
        self.store.upload(id).await.map(|upload| (upload.state, upload.totals))
    }

    async fn drive(self: Arc<Self>, id: UploadId, steps: TaskContext) -> Result<(), Halt> {
        drive(id, self, steps).await
    }

    fn refused(error: &CloudError) -> Problem {
        refused(error)
    }

    async fn fail(&self, id: UploadId, problem: Problem) -> Result<(), StoreError> {
        self.store.move_to(id, &[State::Transferring], State::Error, Some(problem)).await.map(drop)
    }
}
