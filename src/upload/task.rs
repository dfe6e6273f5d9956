//! The life of one upload: its package and link created, its files sent, the package finalized.
//!
//! **On a crash** it starts again from the database: an existing package is used, files that are done are left
//! alone. If the response to creating a package was lost, that package stays unfinalized in the cloud, where no one sees it, and a new
//! one is created.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::access_codes::{Code, Verdict};
use super::batches::Batches;
use super::file::send_file;
use super::finalized;
use super::left_out;
use super::plan::{Plan, affordable, even};
use super::queue::{SMALL_MEMORY, Shared};
use super::sent_list;
use crate::engine::bandwidth::Throttle;
use crate::engine::circuit_breaker::Circuits;
use crate::engine::permits::{Permit, Reads};
use crate::engine::progress::WaitsFor;
use crate::engine::retry::{RetryDecision, Tries};
use crate::engine::task_context::{Halt, TaskContext, in_trouble};
use crate::model::UploadId;
use crate::model::{
    Activity, Destination, File, FileState, Link, PackageOptions, Problem, RemotePackage, State, Upload, UploadKind,
};
use crate::store::{Store, StoreError};
use masv_client::{Authority, Call, Cloud, CloudError, PackageAccess, link_address};
use masv_platform::crash_point;
use masv_protocol::{
    EmailAddress, InvalidEmailAddress, Limits, LinkSettings, NewPackage, NewPortalPackage, Secret, TagChoice, TeamId,
    TeamspaceId,
};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

/// Files read from the database at once.
const PAGE: u32 = 256;
/// Files in flight for each worker: a file waits for answers longer than its bytes take.
const FILES_FOR_A_WORKER: usize = 8;
/// How often files that are being written are looked at.
const GROWTH_LOOK: Duration = Duration::from_secs(1);
/// How often an upload without a session checks for one.
const SESSION_LOOK: Duration = Duration::from_secs(30);

/// What a running upload needs at every step.
pub(crate) struct Task {
    pub(crate) id: UploadId,
    shared: Arc<Shared>,
    /// The cloud that has its package, or will have it.
    cloud: Cloud,
    steps: TaskContext,
}

impl Deref for Task {
    type Target = TaskContext;

    fn deref(&self) -> &TaskContext {
        &self.steps
    }
}

/// A [`Task`] whose package exists.
pub(crate) struct Run {
    task: Arc<Task>,
    /// Calls about many files, where the cloud takes them.
    batches: Option<Batches>,
    package: RemotePackage,
    /// The cloud's limits.
    pub(crate) limits: Limits,
    /// Bytes of a part, where they were ordered.
    chunk_size: Option<u64>,
    told_unproven: AtomicBool,
    /// Files that were postponed because they keep changing.
    later: AtomicUsize,
    /// What there is to say of files that are being written.
    growing: Mutex<Vec<String>>,
}

impl Deref for Run {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

impl Task {
    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn circuits(&self) -> &Circuits {
        &self.shared.circuits
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.shared.throttle
    }

    /// How many parts may be on their way at once now, over all uploads.
    pub(crate) fn workers(&self) -> usize {
        self.shared.slots.width()
    }

    /// Waits for a worker that may read from there.
    pub(crate) async fn worker(&self, reads: Reads) -> Result<Permit<UploadId>, Halt> {
        self.unless_stopped(self.shared.slots.take_to_read(self.id, self.live.turn(), reads)).await
    }

    /// Waits for a worker, whatever it reads.
    pub(crate) async fn any_worker(&self) -> Result<Permit<UploadId>, Halt> {
        self.unless_stopped(self.shared.slots.take(self.id, self.live.turn())).await
    }

    /// Waits for room in memory for a small file.
    pub(crate) async fn memory_for_small(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Halt> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, SMALL_MEMORY);
        let room = Arc::clone(&self.shared.small_memory).acquire_many_owned(bytes);
        // The semaphore is never closed.
        self.unless_stopped(room).await?.map_err(|_| Halt::Interrupted)
    }

    /// What to do after a call was refused: returns when it is to be made again.
    pub(crate) async fn after_refusal(&self, error: CloudError, tries: &mut Tries) -> Result<(), Halt> {
        match tries.failed(&error) {
            RetryDecision::Later(wait) => self.wait_after(&error, tries.made(), wait).await,
            RetryDecision::SignIn => self.wait_for_session(&error).await,
            verdict => Err(Halt::Refused(error, verdict)),
        }
    }

    /// Waits until there is a session or a team, checking now and then.
    pub(crate) async fn wait_for_session(&self, error: &CloudError) -> Result<(), Halt> {
        let signed_in = self.shared.session_changed.notified();
        let reason = self.shared.session_lost(error).await;
        let until = Timestamp::now().checked_add(SESSION_LOOK).unwrap_or(Timestamp::MAX);
        let _shown = self.live.wait(WaitsFor::Cloud, reason, 1, until);
        tokio::select! {
            waited = self.pause_for(SESSION_LOOK) => waited,
            () = signed_in => Ok(()),
        }
    }

    /// Repeats a call until it succeeds or retrying is pointless.
    ///
    /// The call itself is not broken off, whatever happens: what it made in the cloud is to be written down.
    pub(crate) async fn try_to<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Halt>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let (host, mut tries) = (self.cloud().base().authority(), Tries::default());
        loop {
            match self.try_at(&self.shared.circuits, host, &mut call, &mut tries).await {
                Err(Halt::Refused(error, RetryDecision::SignIn)) => self.wait_for_session(&error).await?,
                other => return other,
            }
        }
    }
}

impl Run {
    pub(crate) fn package(&self) -> PackageAccess<'_> {
        PackageAccess { id: &self.package.id, token: &self.package.token }
    }

    /// Bytes of a part of a file of so many bytes that is begun now.
    pub(super) fn wanted_part(&self, size: u64) -> u64 {
        let found = || {
            let (link, usual) = (self.shared.link(), self.shared.settings().chunk_size);
            let affordable = affordable(usual, link.goodput, link.workers);
            // One part is one part.
            if size <= affordable { usual } else { even(size, affordable, link.workers) }
        };
        self.chunk_size.unwrap_or_else(found)
    }

    /// The calls about many files, where the cloud takes them.
    pub(super) fn batches(&self) -> Option<&Batches> {
        self.batches.as_ref()
    }

    /// A file is postponed: it keeps changing.
    pub(crate) fn comes_later(&self) {
        self.later.fetch_add(1, Ordering::Relaxed);
    }

    /// How a file that is being written is cut into parts.
    pub(super) fn growing_plan(&self, size: u64) -> Plan {
        Plan::growing(size, self.chunk_size, self.limits)
    }

    /// How many parts of a file that is being written may be on their way at once.
    pub(super) fn growing_at_once(&self, plan: Plan) -> usize {
        let link = self.shared.link();
        plan.growing_at_once(link.goodput, link.workers)
    }

    /// Whether the cloud takes no file whose size is not known when it is announced.
    pub(super) fn wants_exact_size(&self) -> bool {
        !self.limits.growing_files && self.shared.wants_exact_size(self.cloud())
    }

    /// The cloud has refused a file that was announced with another size.
    pub(super) async fn learn_exact_size(&self) -> Result<(), StoreError> {
        self.shared.learn_exact_size(self.cloud()).await
    }

    /// A file is being written: it is looked at again once the others are sent. `what` there is to say of it.
    pub(super) fn grows_on(&self, what: String) {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Waits before files that are being written are looked at again; `false` at once where there are none.
    async fn wait_for_writers(&self) -> Result<bool, Halt> {
        let growing = std::mem::take(&mut *self.growing.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(first) = growing.first() else { return Ok(false) };
        let more = growing.len() - 1;
        let reason = if more > 0 { format!("{first}; {more} more files are being written") } else { first.clone() };
        let _shown = self.live.wait(WaitsFor::Source, reason, 0, Timestamp::now());
        tokio::select! {
            waited = self.pause_for(GROWTH_LOOK) => waited?,
            () = self.shared.growth.notified() => {}
        }
        Ok(true)
    }

    /// Logs, once per upload, that the storage's ETags prove nothing.
    pub(crate) fn tell_unproven(&self) {
        if !self.told_unproven.swap(true, Ordering::Relaxed) {
            tracing::warn!(upload = %self.id, "the storage's ETags are not MD5s: what arrived cannot be verified");
        }
    }
}

/// Drives an upload from its current state to complete or idle. An upload of a rule whose package has disappeared in the
/// cloud gets another: otherwise its files would not be sent.
pub(crate) async fn drive(id: UploadId, shared: Arc<Shared>, steps: TaskContext) -> Result<(), Halt> {
    let upload = shared.store.upload(id).await?;
    let of_rule = upload.rule.is_some();
    match send(upload, Arc::clone(&shared), steps).await {
        Err(Halt::Refused(error, _)) if of_rule && is_package_gone(&error) && shared.may_begin_anew(id) => {
            tracing::warn!(upload = %id, %error, "its package no longer exists in the cloud; creating another");
            shared.store.package_vanished(id).await?;
            // The engine starts it again.
            Err(Halt::Interrupted)
        }
        // It has been compared: something of the upload is not in it.
        Err(Halt::Refused(error, _)) if finalized::is_finalized(&error) && shared.may_begin_anew(id) => {
            tracing::warn!(
                upload = %id, %error,
                "its package was finalized without all of its files, probably before this database was restored from a copy: \
                 all of them are sent again in another package, and recipients of the first have some of them twice"
            );
            shared.store.package_was_finalized(id).await?;
            Err(Halt::Interrupted)
        }
        ended => ended,
    }
}

/// Whether the cloud reports that there is no such package.
fn is_package_gone(error: &CloudError) -> bool {
    use Call::{CreateFile, CreateLink, FinalizePackage};
    matches!(error, CloudError::Refused { call: CreateFile | CreateLink | FinalizePackage, status: 404 | 410, .. })
}

async fn send(upload: Upload, shared: Arc<Shared>, steps: TaskContext) -> Result<(), Halt> {
    let id = upload.id;
    let cloud = match &upload.package {
        Some(package) => shared.clouds.of_package(package.cloud.as_deref(), package.team.as_ref()),
        None => Ok(shared.clouds.own().clone()),
    };
    let cloud = cloud.map_err(|error| Halt::Refused(error, RetryDecision::Never))?;
    let task = Task { id, shared, cloud, steps };
    let package = match &upload.package {
        Some(package) => package.clone(),
        None => create(&task, &upload).await?,
    };
    if upload.kind() == UploadKind::Link && upload.links.is_empty() {
        make_link(&task, &package).await?;
    }
    let limits = task.shared.limits(task.cloud()).await;
    let task = Arc::new(task);
    let batches = limits.batches.map(|limits| Batches::start(&task, &package, limits));
    let run = Arc::new(Run {
        task,
        batches,
        package,
        limits,
        chunk_size: upload.chunk_size,
        told_unproven: AtomicBool::new(false),
        later: AtomicUsize::new(0),
        growing: Mutex::default(),
    });
    match fill(&run, &upload).await {
        Err(Halt::Refused(error, _)) if finalized::is_finalized(&error) && finalized::has_everything(&run).await? => {
            tracing::info!(upload = %run.id, %error, "the package has been finalized before, and everything is in it");
            run.store().all_sent(run.id).await?;
        }
        Ok(Filled::Completely) => {}
        Ok(Filled::SoFar) => return Ok(()),
        Err(halt) => return Err(halt),
    }
    run.store().completed(run.id).await?;
    crash_point("upload.completed");
    tracing::info!(upload = %run.id, package = %run.package.id, name = %upload.name, "upload complete");
    Ok(())
}

/// How far a package was filled.
enum Filled {
    /// It is finalized.
    Completely,
    /// All files so far are sent; it takes more.
    SoFar,
}

/// Sends the files of a package, and finalizes it.
async fn fill(run: &Arc<Run>, upload: &Upload) -> Result<Filled, Halt> {
    for file in run.store().files_left_over(run.id).await? {
        if let Some(remote) = &file.remote {
            run.try_to(|| run.cloud().remove_file(run.package(), &remote.id)).await.or_else(Halt::unless_refused)?;
        }
        run.store().file_removed(run.id, file.number).await?;
    }
    loop {
        run.live.set_phase(Activity::Sending);
        let sent = send_files(run).await?;
        run.live.set_phase(Activity::Verifying);
        match run.store().all_sent(run.id).await? {
            Some(State::Transferring) => break,
            Some(_) => return Ok(Filled::SoFar),
            // Files that were not settled are checked again, after all others.
            None if run.later.swap(0, Ordering::Relaxed) > 0 => {}
            None if run.wait_for_writers().await? => {}
            None => {
                let failed = run.store().files_failed(run.id, 1_000).await?;
                let has_gone = failed.iter().any(|file| file.state == FileState::Gone);
                if has_gone && finalized::has_everything(run).await.or_else(finalized::unless_refused)? {
                    tracing::info!(upload = %run.id, "files have vanished that are in the package already");
                    continue;
                }
                if !failed.is_empty() {
                    let problems = failed.iter().filter_map(|file| file.problem.as_ref());
                    return Err(Halt::Failed(in_trouble(problems)));
                }
                if sent == 0 {
                    return Err(Halt::Store(StoreError::Unreadable("upload.files_done")));
                }
                run.live.set_total(run.store().upload(run.id).await?.totals.bytes);
            }
        }
    }
    sent_list::add(run, upload).await?;
    run.live.set_phase(Activity::Finalizing);
    left_out::tell_recipients(run, upload).await?;
    crash_point("upload.closing");
    match run.try_to(|| run.cloud().finalize_package(run.package())).await {
        Ok(()) | Err(Halt::Refused(_, RetryDecision::Done)) => {}
        Err(halt) => return Err(halt),
    }
    crash_point("upload.finalized");
    Ok(Filled::Completely)
}

async fn create(task: &Task, upload: &Upload) -> Result<RemotePackage, Halt> {
    task.live.set_phase(Activity::Creating);
    let (created, team) = match &upload.destination {
        Destination::Portal { subdomain, sender, access_code, metadata } => {
            let portal = task.try_to(|| task.cloud().portal(subdomain)).await?;
            let package = NewPortalPackage {
                name: Some(upload.name.clone()),
                description: Some(upload.description.clone().unwrap_or_default()),
                sender: Some(address(sender)?),
                access_code: access_code.clone().map(Secret::from),
                custom_metadata: if metadata.is_empty() { Value::Null } else { json!(metadata) },
                ..NewPortalPackage::default()
            };
            let code = task.shared.access_codes.of(task.cloud().name(), subdomain, access_code.as_ref());
            (try_code(task, &code, || task.cloud().create_portal_package(&portal.id, &package)).await?, None)
        }
        destination => {
            let team = task.try_to(|| find_team(task, upload)).await?;
            let package = new_package(upload, destination)?;
            // A hub whose answer was lost gives the same package again.
            let key = match task.shared.times_begun_anew(task.id) {
                0 => task.id.to_string(),
                times => format!("{}-{times}", task.id),
            };
            (task.try_to(|| task.cloud().create_package(&team, &package, &key)).await?, Some(team))
        }
    };
    let cloud = Some(task.cloud().name().to_owned());
    let package = RemotePackage { cloud, team, id: created.package.id, token: created.access_token.into() };
    crash_point("package.made");
    task.store().package_created(task.id, package.clone()).await?;
    crash_point("package.kept");
    Ok(package)
}

/// The team that sends. It is read anew each time: while an upload waits for a team, its rule may name one.
async fn find_team(task: &Task, upload: &Upload) -> Result<TeamId, CloudError> {
    let known = match task.store().upload(task.id).await {
        Ok(upload) => upload.team_id,
        Err(_) => upload.team_id.clone(),
    };
    task.cloud().find_team(known.as_ref()).await
}

/// Makes a call that a portal's access code authorises: it is skipped if the code is known to be refused.
async fn try_code<T, F>(task: &Task, code: &Code, call: impl FnMut() -> F) -> Result<T, Halt>
where
    F: Future<Output = Result<T, CloudError>>,
{
    let mut verdict = match code.turn_now() {
        Some(verdict) => verdict,
        None => {
            let reason = "another upload is trying the same access code".to_owned();
            let _shown = task.live.wait(WaitsFor::Cloud, reason, 0, Timestamp::now());
            task.unless_stopped(code.turn()).await?
        }
    };
    match &*verdict {
        Verdict::Refused(error) => return Err(Halt::Refused(error.clone(), RetryDecision::Never)),
        Verdict::Accepted => {
            drop(verdict);
            return task.try_to(call).await;
        }
        Verdict::Unknown => {}
    }
    let tried = task.try_to(call).await;
    match &tried {
        Ok(_) => *verdict = Verdict::Accepted,
        Err(Halt::Refused(error, _)) if error.refused_authority() == Some(Authority::PortalCode) => {
            *verdict = Verdict::Refused(error.clone());
        }
        Err(_) => {}
    }
    tried
}

/// An e-mail address as requested. Uploads of earlier versions may have one that no mail server accepts.
fn address(ordered: &str) -> Result<EmailAddress, Halt> {
    ordered.parse().map_err(|error: InvalidEmailAddress| {
        Halt::Failed(Problem {
            code: "invalid_address".to_owned(),
            message: error.to_string(),
            retryable: false,
            hint: Some("remove the upload and start another with the correct address".to_owned()),
        })
    })
}

fn new_package(upload: &Upload, destination: &Destination) -> Result<NewPackage, Halt> {
    let PackageOptions { delete_after, download_limit, tag_name, tag_id, teamspace_id, unlimited_storage, manifest: _ } =
        upload.options.clone();
    let recipients = match destination {
        Destination::Email { recipients } => {
            recipients.iter().map(|ordered| address(ordered)).collect::<Result<_, _>>()?
        }
        Destination::Link | Destination::Portal { .. } => Vec::new(),
    };
    Ok(NewPackage {
        name: Some(upload.name.clone()),
        description: Some(upload.description.clone().unwrap_or_default()),
        recipients,
        password: upload.password.clone().map(Secret::from),
        access_limit: download_limit,
        custom_expiry_days: delete_after.map(i64::from),
        unlimited_storage: unlimited_storage.then_some(true),
        tag: tag_id.map(|id| TagChoice::Id(id.into())).or(tag_name.map(TagChoice::Name)),
        teamspace_id: teamspace_id.map(TeamspaceId::from),
        ..NewPackage::default()
    })
}

async fn make_link(task: &Task, package: &RemotePackage) -> Result<(), Halt> {
    let access = PackageAccess { id: &package.id, token: &package.token };
    let new = LinkSettings::default();
    // A hub whose answer was lost gives the same link again.
    let key = task.id.to_string();
    let link = task.try_to(|| task.cloud().create_link(access, &new, Some(&key))).await?;
    crash_point("link.made");
    let url = link_address(&link).into_exposed();
    task.store().link_created(task.id, Link { id: link.id.into_string(), url, email: None }).await?;
    Ok(())
}

/// Sends all files that are still to be sent; failed files are skipped.
async fn send_files(run: &Arc<Run>) -> Result<usize, Halt> {
    let page = |after| run.store().files_to_send(run.id, after, PAGE);
    let send = |file| {
        let run = Arc::clone(run);
        async move { send_file(&run, file).await }
    };
    run.each_file(|| run.workers() * FILES_FOR_A_WORKER, page, |file: &File| (file.number, file.identity.size), send)
        .await
}

/// What to say of a refusal.
pub(crate) fn refused(error: &CloudError) -> Problem {
    let (code, hint) = match error {
        CloudError::NotSignedIn => ("not_signed_in", "sign in with `masv user login`, then resume the upload"),
        CloudError::Elsewhere { .. } => (
            "other_cloud",
            "start the agent without a cloud and resume the upload, or remove it and send its files again",
        ),
        CloudError::NoTeam { .. } => ("no_team", "name the team with --team-id, or `cloud.team` in the rules file"),
        _ if error.refused_authority() == Some(Authority::PortalCode) => {
            ("portal_authorization_required", "set the right one: `masv upload set ID --password -`")
        }
        _ => match error.status() {
            Some(401) => ("not_allowed", "check the key, then resume the upload"),
            Some(403) => ("not_allowed", "correct what the cloud reports, then resume the upload"),
            Some(404 | 410) => ("not_found", "it may have been removed in the cloud; start a new upload"),
            _ => ("refused", "correct what the cloud reports, then resume the upload or start a new one"),
        },
    };
    let hint = Some(hint.to_owned());
    let message = match code {
        "portal_authorization_required" => format!("portal authorization required: {error}"),
        _ => error.to_string(),
    };
    Problem { code: code.to_owned(), message, retryable: code != "portal_authorization_required", hint }
}
