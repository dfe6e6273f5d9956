//! The life of one upload: its package made, its link made, its files sent, the package finalized.
//!
//! **On a crash** it begins again from the database: a package that was made is used, files that are done are left
//! alone. A package made whose answer was lost stays unfinalized in the cloud, which nobody ever sees, and a new
//! one is made.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::circuit::Circuits;
use super::file::send_file;
use super::limit::Throttle;
use super::live::LiveUpload;
use super::queue::Shared;
use super::retry::{Verdict, backoff, decide};
use super::slots::Slot;
use crate::base::UploadId;
use crate::cloud::{Cloud, CloudError, Limits, NewLink, NewPackage, NewPortalPackage, PackageAccess};
use crate::store::{
    Activity, Destination, File, Link, PackageOptions, Problem, RemotePackage, State, Store, StoreError, Upload,
    UploadKind,
};

/// Files of one upload that are open at the same time.
const FILES_AT_ONCE: usize = 16;
/// Files read from the database at once.
const PAGE: u32 = 256;
/// How often an upload without a session looks whether there is one.
const SESSION_LOOK: Duration = Duration::from_secs(30);
/// How many files in trouble a message names.
const NAMED: usize = 3;

/// Why an upload's task ends before the upload is done.
#[derive(Debug)]
pub(super) enum Halt {
    /// It was told to: paused, removed, or the agent stops.
    Interrupted,
    /// The cloud refused, and would again.
    Refused(CloudError, Verdict),
    /// It can not go on until somebody does something.
    Failed(Problem),
    /// The agent's own memory failed.
    Store(StoreError),
}

impl Halt {
    /// For calls whose refusal does not matter: only the other reasons stop.
    pub(super) fn unless_refused(self) -> Result<(), Self> {
        match self {
            Self::Refused(error, _) => {
                tracing::debug!(%error, "refused, and left at that");
                Ok(())
            }
            other => Err(other),
        }
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a running upload needs at every step.
pub(super) struct Task {
    pub(super) id: UploadId,
    pub(super) live: Arc<LiveUpload>,
    shared: Arc<Shared>,
    /// Take no new work; what is on its way may end.
    soft: CancellationToken,
    /// Drop what is on its way, too.
    hard: CancellationToken,
}

/// A [`Task`] whose package exists.
pub(super) struct Run {
    task: Task,
    package: RemotePackage,
    /// What the cloud accepts.
    pub(super) limits: Limits,
    /// Wanted bytes of a part.
    pub(super) chunk_size: u64,
    told_unproven: AtomicBool,
}

impl Deref for Run {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

impl Task {
    pub(super) fn new(
        id: UploadId,
        shared: Arc<Shared>,
        live: Arc<LiveUpload>,
        soft: CancellationToken,
        hard: CancellationToken,
    ) -> Self {
        Self { id, live, shared, soft, hard }
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) fn cloud(&self) -> &Cloud {
        &self.shared.cloud
    }

    pub(super) fn circuits(&self) -> &Circuits {
        &self.shared.circuits
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.shared.throttle
    }

    /// How many parts may be on their way at once, over all uploads.
    pub(super) fn workers(&self) -> usize {
        self.shared.settings().workers
    }

    /// Waits for a worker.
    pub(super) async fn worker(&self) -> Result<Slot, Halt> {
        self.unless_stopped(self.shared.slots.take(self.id, self.live.priority())).await
    }

    /// Does what may be dropped half way.
    pub(super) async fn unless_aborted<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.hard.cancelled() => Err(Halt::Interrupted),
            done = work => Ok(done),
        }
    }

    /// Waits for something, unless the upload is to stop.
    pub(super) async fn unless_stopped<T>(&self, event: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => Err(Halt::Interrupted),
            happened = event => Ok(happened),
        }
    }

    /// Waits, unless the upload is to stop.
    pub(super) async fn pause_for(&self, wait: Duration) -> Result<(), Halt> {
        self.unless_stopped(tokio::time::sleep(wait)).await
    }

    /// Waits before the next try, and shows why.
    pub(super) async fn wait_after(
        &self,
        error: &CloudError,
        attempts: u32,
        wait: Option<Duration>,
    ) -> Result<(), Halt> {
        let wait = wait.unwrap_or_else(|| backoff(attempts, fastrand::f64()));
        let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
        tracing::info!(upload = %self.id, attempts, wait_ms = wait.as_millis() as u64, "{error}; trying again");
        let _shown = self.live.wait(error.to_string(), attempts, until);
        self.pause_for(wait).await
    }

    /// Waits until somebody has signed in, looking every now and then.
    pub(super) async fn wait_for_session(&self, attempts: u32) -> Result<(), Halt> {
        if attempts == 1 {
            tracing::warn!(upload = %self.id, "the cloud does not know us: sign in with `masv user login`");
        }
        let until = Timestamp::now().checked_add(SESSION_LOOK).unwrap_or(Timestamp::MAX);
        let _shown = self.live.wait("not signed in: `masv user login`".to_owned(), attempts, until);
        tokio::select! {
            waited = self.pause_for(SESSION_LOOK) => waited,
            () = self.shared.session_changed.notified() => Ok(()),
        }
    }

    /// Makes a call until it succeeds or never would.
    ///
    /// The call itself is not broken off, whatever happens: what it made in the cloud is to be written down.
    pub(super) async fn try_to<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Halt>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let host = self.cloud().base().authority();
            self.unless_stopped(self.shared.circuits.leave(host)).await?;
            let outcome = call().await;
            self.shared.circuits.learn(host, outcome.as_ref().err());
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match decide(&error, attempts) {
                Verdict::Later(wait) => self.wait_after(&error, attempts, wait).await?,
                Verdict::SignIn => self.wait_for_session(attempts).await?,
                verdict => return Err(Halt::Refused(error, verdict)),
            }
        }
    }
}

impl Run {
    pub(super) fn package(&self) -> PackageAccess<'_> {
        PackageAccess { id: &self.package.id, token: &self.package.token }
    }

    /// Says, once an upload, that the storage's tags prove nothing.
    pub(super) fn tell_unproven(&self) {
        if !self.told_unproven.swap(true, Ordering::Relaxed) {
            tracing::warn!(upload = %self.id, "the storage's tags are no MD5: what arrived can not be compared");
        }
    }
}

/// Drives an upload from where it stands to complete or idle.
pub(super) async fn drive(task: Task) -> Result<(), Halt> {
    let upload = task.store().upload(task.id).await?;
    let package = match &upload.package {
        Some(package) => package.clone(),
        None => create(&task, &upload).await?,
    };
    if upload.kind() == UploadKind::Link && upload.links.is_empty() {
        make_link(&task, &package).await?;
    }
    let settings = task.shared.settings();
    let limits = task.shared.limits().await;
    let chunk_size = upload.chunk_size.unwrap_or(settings.chunk_size);
    let run = Arc::new(Run { task, package, limits, chunk_size, told_unproven: AtomicBool::new(false) });
    loop {
        run.live.set_phase(Activity::Sending);
        let sent = send_files(&run).await?;
        run.live.set_phase(Activity::Verifying);
        match run.store().all_sent(run.id).await? {
            Some(State::Transferring) => break,
            Some(_) => return Ok(()),
            None => {
                let failed = run.store().files_failed(run.id, 1_000).await?;
                if !failed.is_empty() {
                    return Err(Halt::Failed(in_trouble(&failed)));
                }
                if sent == 0 {
                    return Err(Halt::Store(StoreError::Unreadable("upload.files_done")));
                }
                run.live.set_total(run.store().upload(run.id).await?.totals.bytes);
            }
        }
    }
    run.live.set_phase(Activity::Finalizing);
    match run.try_to(|| run.cloud().finalize_package(run.package())).await {
        Ok(()) | Err(Halt::Refused(_, Verdict::Done)) => {}
        Err(halt) => return Err(halt),
    }
    run.store().completed(run.id).await?;
    tracing::info!(upload = %run.id, package = %run.package.id, name = %upload.name, "upload complete");
    Ok(())
}

async fn create(task: &Task, upload: &Upload) -> Result<RemotePackage, Halt> {
    task.live.set_phase(Activity::Creating);
    let (created, team) = match &upload.destination {
        Destination::Portal { subdomain, sender, access_code, metadata } => {
            let portal = task.try_to(|| task.cloud().portal(subdomain)).await?;
            let package = NewPortalPackage {
                name: &upload.name,
                description: upload.description.as_deref(),
                sender,
                access_code: access_code.as_ref(),
                metadata,
            };
            (task.try_to(|| task.cloud().create_portal_package(&portal, &package)).await?, None)
        }
        destination => {
            let team = task.try_to(|| std::future::ready(task.cloud().team(upload.team_id.as_deref()))).await?;
            let package = new_package(upload, destination);
            (task.try_to(|| task.cloud().create_package(&team, &package)).await?, Some(team))
        }
    };
    let package = RemotePackage { id: created.id, token: created.access_token };
    task.store().package_created(task.id, package.clone(), team).await?;
    Ok(package)
}

fn new_package(upload: &Upload, destination: &Destination) -> NewPackage {
    let PackageOptions { delete_after, download_limit, tag_name, tag_id, teamspace_id, unlimited_storage } =
        upload.options.clone();
    let recipients = match destination {
        Destination::Email { recipients } => recipients.clone(),
        Destination::Link | Destination::Portal { .. } => Vec::new(),
    };
    NewPackage {
        name: upload.name.clone(),
        description: upload.description.clone(),
        recipients,
        password: upload.password.clone(),
        access_limit: download_limit,
        expiry_days: delete_after,
        unlimited_storage,
        tag_id,
        tag_name,
        teamspace_id,
    }
}

async fn make_link(task: &Task, package: &RemotePackage) -> Result<(), Halt> {
    let access = PackageAccess { id: &package.id, token: &package.token };
    let new = NewLink::default();
    let link = task.try_to(|| task.cloud().create_link(access, &new)).await?;
    task.store().link_created(task.id, Link { id: link.id, url: link.url, email: None }).await?;
    Ok(())
}

/// Sends all files that are still to be sent, several at once; returns how many that were. Files in trouble are
/// passed over; what stops the whole upload stops them all.
async fn send_files(run: &Arc<Run>) -> Result<usize, Halt> {
    let mut files = JoinSet::new();
    let mut halted = None;
    let (mut sent, mut after) = (0, None);
    let mut page = run.store().files_to_send(run.id, after, PAGE).await?.into_iter();
    while halted.is_none() && !run.soft.is_cancelled() {
        if files.len() < FILES_AT_ONCE {
            let mut next = page.next();
            if next.is_none() {
                page = run.store().files_to_send(run.id, after, PAGE).await?.into_iter();
                next = page.next();
            }
            if let Some(file) = next {
                after = Some(file.number);
                let run = Arc::clone(run);
                files.spawn(async move { send_file(&run, file).await });
                continue;
            }
        }
        match files.join_next().await {
            Some(ended) => match flatten(ended) {
                Ok(()) => sent += 1,
                Err(halt) => halted = Some(halt),
            },
            None => return Ok(sent),
        }
    }
    if halted.is_some() {
        run.soft.cancel();
        run.hard.cancel();
    }
    while let Some(ended) = files.join_next().await {
        if let Err(halt) = flatten(ended)
            && matches!(halted, None | Some(Halt::Interrupted))
        {
            halted = Some(halt);
        }
    }
    Err(halted.unwrap_or(Halt::Interrupted))
}

fn flatten(ended: Result<Result<(), Halt>, tokio::task::JoinError>) -> Result<(), Halt> {
    ended.unwrap_or_else(|error| {
        Err(Halt::Failed(Problem {
            code: "internal".to_owned(),
            message: format!("sending a file ended unexpectedly: {error}"),
            retryable: true,
            hint: Some("resume the upload, and report this with the log".to_owned()),
        }))
    })
}

/// What to say of an upload some of whose files can not be sent.
fn in_trouble(failed: &[File]) -> Problem {
    let problems: Vec<&Problem> = failed.iter().filter_map(|file| file.problem.as_ref()).collect();
    let mut message: Vec<&str> = problems.iter().take(NAMED).map(|problem| problem.message.as_str()).collect();
    let more = format!("{} more files", problems.len().saturating_sub(NAMED));
    if problems.len() > NAMED {
        message.push(&more);
    }
    Problem {
        code: problems.first().map_or_else(|| "files_failed".to_owned(), |problem| problem.code.clone()),
        message: message.join("; "),
        retryable: true,
        hint: problems.first().and_then(|problem| problem.hint.clone()),
    }
}

/// What to say of a refusal.
pub(super) fn refused(error: &CloudError) -> Problem {
    let (code, hint) = match error {
        CloudError::NotSignedIn => ("not_signed_in", "sign in with `masv user login`, then resume the upload"),
        CloudError::NoTeam { .. } => ("no_team", "name the team with --team-id, or `cloud.team` in the rules file"),
        _ => match error.status() {
            Some(401 | 403) => {
                ("not_allowed", "check the key, the password or the access code, then resume the upload")
            }
            Some(404 | 410) => ("not_found", "it may have been removed in the cloud; start a new upload"),
            _ => ("refused", "correct what the cloud names, then resume the upload or start a new one"),
        },
    };
    let hint = Some(hint.to_owned());
    Problem { code: code.to_owned(), message: error.to_string(), retryable: true, hint }
}
