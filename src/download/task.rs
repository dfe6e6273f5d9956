//! The life of one download: the link opened, the package listed, space reserved, the files received.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::disk::{Destination, DiskError};
use super::file::fetch_file;
use super::layout::{assign, folder_name};
use super::queue::Shared;
use super::room::{NoRoom, Promise, Room, Wanted};
use crate::engine::{Circuits, Halt, Permit, RetryDecision, TaskContext, Throttle, Tries, WaitsFor, in_trouble};
use crate::model::DownloadId;
use crate::model::{
    Activity, Delivered, Download, DownloadFile, DownloadSource, Problem, RemotePackage, State, WantedFile,
};
use crate::store::{Store, StoreError};
use masv_client::{Cloud, CloudError, PackageAccess};
use masv_protocol::{File, LinkId, PackageId, Secret};

/// Files read from the database at once.
const PAGE: u32 = 256;
/// Files in flight for each worker: a file waits for its address as long as for its bytes.
const FILES_FOR_A_WORKER: usize = 3;
/// How often to check for a session.
const SIGN_IN_WAIT: Duration = Duration::from_secs(15);
/// How long the cloud may take to note that all files are here.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// How often to check for free space again.
const ROOM_LOOK: Duration = Duration::from_secs(5);

/// What a running download needs at every step.
pub(super) struct Task {
    pub(super) id: DownloadId,
    shared: Arc<Shared>,
    cloud: Cloud,
    steps: TaskContext,
}

/// A [`Task`] whose package is known and whose destination is open.
pub(super) struct Run {
    task: Task,
    package: RemotePackage,
    pub(super) root: Arc<Destination>,
    pub(super) overwrite: bool,
    /// Part size in bytes.
    pub(super) part_size: u64,
}

impl Deref for Task {
    type Target = TaskContext;

    fn deref(&self) -> &TaskContext {
        &self.steps
    }
}

impl Deref for Run {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

impl Task {
    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(super) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(super) fn circuits(&self) -> &Circuits {
        &self.shared.circuits
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.shared.throttle
    }

    /// How many parts may be on their way at once now, over all downloads.
    pub(super) fn workers(&self) -> usize {
        self.shared.slots.width()
    }

    /// Waits for a worker.
    pub(super) async fn worker(&self) -> Result<Permit<DownloadId>, Halt> {
        self.unless_stopped(self.shared.slots.take(self.id, self.live.turn())).await
    }

    /// Repeats a call until it succeeds or retrying is pointless; it may be cancelled.
    async fn ask<T, F>(&self, call: impl FnMut() -> F) -> Result<T, Halt>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let host = self.cloud.base().authority();
        self.unless_aborted(self.try_at(self.circuits(), host, call, &mut Tries::default())).await?
    }

    /// A package in the cloud that this is about.
    fn package(&self, id: PackageId, token: Secret) -> RemotePackage {
        RemotePackage { cloud: Some(self.cloud.name().to_owned()), team: None, id, token: token.into() }
    }

    /// The token for a delivery, and its name; waits while there is no session.
    async fn open_delivery(&self, api: &str, delivered: &Delivered) -> Result<(RemotePackage, String), Halt> {
        let own = self.shared.clouds.own();
        if !self.shared.clouds.is_own(api) {
            return Err(Halt::Refused(CloudError::Elsewhere { name: api.to_owned() }, RetryDecision::Never));
        }
        let mut attempts = 0;
        loop {
            match self.ask(|| own.team_package(&delivered.team, &delivered.package)).await {
                Ok(opened) => {
                    return Ok((self.package(delivered.package.clone(), opened.access_token), opened.package.name));
                }
                Err(Halt::Refused(error, RetryDecision::SignIn)) => {
                    attempts += 1;
                    self.wait_after(&error, attempts, Some(SIGN_IN_WAIT)).await?;
                }
                Err(halt) => return Err(halt),
            }
        }
    }
}

impl Run {
    pub(super) fn access(&self) -> PackageAccess<'_> {
        PackageAccess { id: &self.package.id, token: &self.package.token }
    }
}

/// Drives a download from its current state to complete.
pub(super) async fn drive(id: DownloadId, shared: Arc<Shared>, steps: TaskContext) -> Result<(), Halt> {
    let download = shared.store.download(id).await?;
    if download.state != State::Transferring {
        return Err(Halt::Interrupted);
    }
    let cloud =
        shared.clouds.keyless(&download.spec.api).map_err(|error| Halt::Refused(error, RetryDecision::Never))?;
    let part_size = shared.settings().part_size;
    let task = Task { id, shared, cloud, steps };
    task.live.set_phase(Activity::Opening);
    let (package, name, listed) = list(&task, &download).await?;
    let folders = folders_around(&task, &download, &name).await?;
    let wanted = choose(&download, &folders, listed)?;
    task.store().download_listed(id, wanted).await?;
    let download = task.store().download(id).await?;
    task.live.set_total(download.totals.bytes);
    let shared = Arc::clone(&task.shared);
    let (root, _promise) = open_destination(&task, &shared.room, &download).await?;
    let root = Arc::new(root);
    let run = Arc::new(Run { task, package, root, overwrite: download.spec.overwrite, part_size });
    run.live.set_phase(Activity::Receiving);
    let page = |after| run.store().files_to_fetch(run.id, after, PAGE);
    let fetch = |file| {
        let run = Arc::clone(&run);
        async move { fetch_file(&run, file).await }
    };
    run.each_file(
        || run.workers() * FILES_FOR_A_WORKER,
        page,
        |file: &DownloadFile| (file.number, file.wanted.size),
        fetch,
    )
    .await?;
    if run.store().files_not_fetched(id, 1).await?.is_empty() {
        confirm(&run, &download).await;
    }
    let folder = folders.iter().fold(download.spec.destination, |path, name| path.join(name));
    if run.store().download_completed(id, folder).await? {
        tracing::info!(download = %id, name, "download complete");
        return Ok(());
    }
    let failed = run.store().files_not_fetched(id, 1_000).await?;
    if failed.is_empty() {
        return Err(Halt::Store(StoreError::Unreadable("download.files_done")));
    }
    Err(Halt::Failed(in_trouble(failed.iter().filter_map(|file| file.problem.as_ref()))))
}

/// Tells the cloud that all files are here, as far as it wants to know: before the download is complete, so that it is told again after a
/// crash. It is a courtesy to the sender: the download does not wait for a cloud that cannot be told.
async fn confirm(run: &Run, download: &Download) {
    let told = run.cloud().confirm_download(run.access(), download.spec.chosen.clone());
    match tokio::time::timeout(CONFIRM_LIMIT, told).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(download = %run.id, %error, "the cloud was not told that all files are here"),
        Err(_) => tracing::debug!(download = %run.id, "the cloud did not say that it knows that all files are here"),
    }
}

/// The package, its name, and its files; an expired token is requested again.
async fn list(task: &Task, download: &Download) -> Result<(RemotePackage, String, Vec<File>), Halt> {
    if let (Some(package), Some(name)) = (&download.package, &download.name) {
        match list_with(task, package).await {
            Ok(files) => return Ok((package.clone(), name.clone(), files)),
            Err(Halt::Refused(error, _)) if matches!(error.status(), Some(401 | 403 | 404)) => {}
            Err(halt) => return Err(halt),
        }
    }
    let (package, name) = open(task, download).await?;
    let files = list_with(task, &package).await?;
    Ok((package, name, files))
}

async fn list_with(task: &Task, package: &RemotePackage) -> Result<Vec<File>, Halt> {
    task.ask(|| task.cloud.package_files(PackageAccess { id: &package.id, token: &package.token })).await
}

async fn open(task: &Task, download: &Download) -> Result<(RemotePackage, String), Halt> {
    let (package, name) = match &download.spec.source {
        DownloadSource::Link { id, secret, password } => {
            // An empty password is no password: if the link requires one, that is reported.
            let password = password.as_ref().filter(|password| !password.expose_secret().is_empty());
            let id = LinkId::from(id.as_str());
            let opened = task.ask(|| task.cloud.open_link(&id, secret, password)).await?;
            (task.package(opened.package_id, opened.package_token), opened.name)
        }
        DownloadSource::Inbox(delivered) => task.open_delivery(&download.spec.api, delivered).await?,
    };
    task.store().download_opened(task.id, package.clone(), name.clone()).await?;
    Ok((package, download.name.clone().unwrap_or(name)))
}

/// What is downloaded, and where it goes.
fn choose(download: &Download, folders: &[String], mut listed: Vec<File>) -> Result<Vec<WantedFile>, Halt> {
    let chosen = &download.spec.chosen;
    if let Some(unknown) = chosen.iter().find(|id| !listed.iter().any(|file| file.id == **id)) {
        return Err(Halt::Failed(Problem {
            code: "not_found".to_owned(),
            message: format!("the package has no file {unknown}"),
            retryable: false,
            hint: Some("start a new download without --file-ids, or with ids of this package".to_owned()),
        }));
    }
    listed.retain(|file| chosen.is_empty() || chosen.contains(&file.id));
    let paths = assign(&listed, folders);
    let wanted = listed.into_iter().zip(paths).map(|(file, path)| WantedFile {
        modified_ns: file.last_modified.plausible().and_then(|at| i64::try_from(at.as_nanosecond()).ok()),
        remote_id: file.id,
        path,
        size: file.size,
    });
    Ok(wanted.collect())
}

/// The folders, from the destination down, that contain all files of a download.
async fn folders_around(task: &Task, download: &Download, name: &str) -> Result<Vec<String>, Halt> {
    let mut folders = Vec::new();
    if let (DownloadSource::Inbox(delivered), true) = (&download.spec.source, download.spec.portal_folder) {
        folders.push(folder_name(&delivered.portal));
    }
    if download.spec.package_folder {
        folders.push(task.store().package_folder(task.id, folder_name(name)).await?);
    }
    Ok(folders)
}

/// Opens the destination once everything missing fits into it, besides what other downloads still need there. What a rule
/// downloads waits for space, however long it takes; a download started by a user fails if the disk has too little.
async fn open_destination<'a>(
    task: &Task,
    room: &'a Room,
    download: &Download,
) -> Result<(Destination, Promise<'a>), Halt> {
    let missing = download.totals.bytes.saturating_sub(download.totals.bytes_done);
    loop {
        let (path, owner, protected) = (download.spec.place(), download.spec.owner, task.shared.protected.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let folder = Destination::make(&path, owner, &protected)?;
            let free = folder.space()?;
            let disk = folder.disk()?;
            Ok((folder, Wanted { disk, free, missing }))
        });
        let lost = |error| Err(DiskError::of("the destination".as_ref(), std::io::Error::other(error)));
        let (folder, wanted) =
            opened.await.unwrap_or_else(lost).map_err(|error: DiskError| Halt::Failed(error.problem()))?;
        let others = |id| task.shared.live.of(id).map_or(0, |live| live.missing());
        let no_room = match room.promise(task.id, wanted, others) {
            Ok(promise) => return Ok((folder, promise)),
            Err(no_room) => no_room,
        };
        let place = folder.path().display();
        let message = match no_room {
            NoRoom::Full => format!("{place} has {} bytes free, {missing} are needed", wanted.free),
            NoRoom::Promised(others) => {
                format!(
                    "{place} has {} bytes free, of which other downloads need {others}; {missing} are needed",
                    wanted.free
                )
            }
        };
        if no_room == NoRoom::Full && download.spec.rule.is_none() {
            return Err(Halt::Failed(Problem {
                code: "no_space".to_owned(),
                message,
                retryable: true,
                hint: Some("free space on that disk, then resume the download".to_owned()),
            }));
        }
        let until = Timestamp::now().checked_add(ROOM_LOOK).unwrap_or(Timestamp::MAX);
        let _shown = task.live.wait(WaitsFor::Source, message, 1, until);
        task.pause_for(ROOM_LOOK).await?;
    }
}

/// The problem to report for a refusal.
pub(super) fn refused(error: &CloudError) -> Problem {
    let (code, hint) = match error.status() {
        _ if matches!(error, CloudError::Elsewhere { .. }) => {
            ("other_cloud", "configure the agent with the cloud that has it and resume the download, or remove it")
        }
        Some(401) => ("not_allowed", "start the download again with the link's password (--password-file)"),
        Some(403) => ("not_allowed", "the link may have reached its download limit: ask the sender for a new one"),
        Some(404) => ("not_found", "copy the whole link again, or ask the sender for a new one"),
        Some(410) => ("expired", "ask the sender for a new link"),
        _ => ("refused", "correct what the cloud reports, then resume the download or start a new one"),
    };
    let hint = Some(hint.to_owned());
    Problem { code: code.to_owned(), message: error.to_string(), retryable: true, hint }
}
