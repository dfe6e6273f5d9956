//! The life of one file of a download: looked for, started, received part by part, put in its place.
//!
//! **On a crash** the parts in the store are on disk, flushed; a started file resumes with them if the
//! unfinished file is still there and the storage still has the same content, otherwise it starts again.

use std::collections::BTreeMap;
use std::fs::File as OpenFile;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Destination, DiskError};
use super::fetch::{FetchError, Range, Source};
use super::layout::temporary;
use super::task::{Run, refused};
use crate::engine::{Halt, PartError, RetryDecision, Tries, checksum, each_part};
use crate::model::{DownloadFile, DownloadFileState, FetchedPart, Problem};
use masv_client::{Call, CloudError};

/// How often a file may turn out to be a different one before that counts as a failure.
const MOST_CHANGES: u32 = 3;

/// The wait before a new token for the package is requested.
const NEW_RIGHT_WAIT: Duration = Duration::from_secs(2);

/// Why a file could not be downloaded this time.
enum Setback {
    /// The download is stopping, or cannot continue at all.
    Halt(Halt),
    /// The storage has another file now: of this size, if it reports it.
    Changed(Option<u64>),
    /// The storage serves whole files only.
    NoRanges,
    /// It cannot be downloaded at present.
    Failed(Problem),
}

impl From<Halt> for Setback {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<DiskError> for Setback {
    fn from(error: DiskError) -> Self {
        if error.concerns_all() { Self::Halt(Halt::Failed(error.problem())) } else { Self::Failed(error.problem()) }
    }
}

impl PartError for Setback {
    fn is_interruption(&self) -> bool {
        matches!(self, Self::Halt(Halt::Interrupted))
    }
}

/// Where a file goes.
struct Target {
    folder: Arc<Destination>,
    name: String,
    temporary: String,
}

/// Downloads a file until it is in its place, or until it is clear that it cannot be downloaded; in that case the reason is
/// recorded and the download continues with the others.
pub(super) async fn fetch_file(run: &Run, mut file: DownloadFile) -> Result<(), Halt> {
    let mut changes = 0;
    loop {
        let (size, part_size) = match fetch_once(run, &mut file).await {
            Ok(()) => return Ok(()),
            Err(Setback::Halt(Halt::Refused(error, _))) if matches!(error.status(), Some(400..=402 | 404..=499)) => {
                let mut problem = refused(&error);
                problem.message = format!("{}: {}", file.wanted.path, problem.message);
                return fail(run, &file, problem).await;
            }
            Err(Setback::Halt(halt)) => return Err(halt),
            Err(Setback::Failed(problem)) => return fail(run, &file, problem).await,
            Err(Setback::Changed(size)) => (size.unwrap_or(file.wanted.size), run.part_size),
            Err(Setback::NoRanges) => (file.wanted.size, file.wanted.size.max(1)),
        };
        changes += 1;
        if changes > MOST_CHANGES {
            return fail(run, &file, keeps_changing(&file)).await;
        }
        tracing::info!(download = %run.id, file = %file.wanted.path, "downloading the file again");
        begin(run, &mut file, size, part_size).await?;
    }
}

async fn fail(run: &Run, file: &DownloadFile, problem: Problem) -> Result<(), Halt> {
    tracing::warn!(download = %run.id, file = %file.wanted.path, code = %problem.code, "{}", problem.message);
    Ok(run.store().fetch_failed(run.id, file.number, problem).await?)
}

fn keeps_changing(file: &DownloadFile) -> Problem {
    Problem {
        code: "source_changed".to_owned(),
        message: format!("{} changes with every request", file.wanted.path),
        retryable: true,
        hint: Some("ask the sender whether it is still being changed, then resume the download".to_owned()),
    }
}

/// Restarts the file from its first byte.
async fn begin(run: &Run, file: &mut DownloadFile, size: u64, part_size: u64) -> Result<(), Halt> {
    run.store().fetch_begun(run.id, file.number, size, part_size).await?;
    run.live.lose(file.bytes_done);
    file.wanted.size = size;
    file.bytes_done = 0;
    file.etag = None;
    file.part_size = Some(part_size);
    Ok(())
}

/// Runs blocking work.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, Setback> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Setback::Failed(DiskError::of("the file".as_ref(), std::io::Error::other(error)).problem())),
    }
}

async fn fetch_once(run: &Run, file: &mut DownloadFile) -> Result<(), Setback> {
    let target = open_target(run, file).await?;
    let (size, modified_ns) = (file.wanted.size, file.wanted.modified_ns);
    let (folder, name, overwrite) = (Arc::clone(&target.folder), target.name.clone(), run.overwrite);
    if let Some(same) = on_disk(move || Ok(folder.same(&name, size, modified_ns, overwrite))).await? {
        return found(run, file, &target, same).await;
    }
    let (opened, mut parts) = open_unfinished(run, file, &target).await?;
    fetch_parts(run, file, &opened, &mut parts).await?;
    let trees: Vec<&[u8]> = parts.values().map(Vec::as_slice).collect();
    let checksum = match size {
        0 => Some(blake3::hash(b"")),
        _ => checksum(size, file.part_size.unwrap_or(run.part_size), &trees),
    };
    on_disk(move || {
        let Target { folder, name, temporary } = target;
        let length = opened.metadata().map(|metadata| metadata.len());
        if !length.is_ok_and(|length| length == size) {
            return Err(DiskError::of(&folder.path().join(name), std::io::Error::other("its length is wrong")));
        }
        folder.finish(&opened, &temporary, &name, modified_ns, overwrite)
    })
    .await?;
    done(run, file, DownloadFileState::Done, checksum.map(|checksum| checksum.to_hex().to_string())).await
}

/// The file is already in its place: someone else's, or ours, renamed before a crash.
async fn found(run: &Run, file: &DownloadFile, target: &Target, same: String) -> Result<(), Setback> {
    let (folder, unfinished) = (Arc::clone(&target.folder), target.temporary.clone());
    let is_ours = file.state == DownloadFileState::Receiving;
    let checksum = on_disk(move || {
        folder.remove(&unfinished)?;
        is_ours.then(|| folder.checksum(&same)).transpose()
    })
    .await?;
    done(run, file, if is_ours { DownloadFileState::Done } else { DownloadFileState::Skipped }, checksum).await
}

async fn done(
    run: &Run,
    file: &DownloadFile,
    state: DownloadFileState,
    checksum: Option<String>,
) -> Result<(), Setback> {
    run.store().fetch_done(run.id, file.number, state, checksum).await.map_err(Halt::from)?;
    Ok(())
}

async fn open_target(run: &Run, file: &DownloadFile) -> Result<Target, Setback> {
    let (root, path, id) = (Arc::clone(&run.root), file.wanted.path.clone(), run.id);
    on_disk(move || {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let folder = Arc::new(root.below(folder, true)?);
        Ok(Target { folder, name: name.to_owned(), temporary: temporary(id, name) })
    })
    .await
}

/// The parts of a file that are on disk, by number: their shares of its BLAKE3 tree.
type Parts = BTreeMap<u32, Vec<u8>>;

/// The unfinished file and the parts that are in it.
async fn open_unfinished(
    run: &Run,
    file: &mut DownloadFile,
    target: &Target,
) -> Result<(Arc<OpenFile>, Parts), Setback> {
    let parts = run.store().fetched_parts(run.id, file.number).await.map_err(Halt::from)?;
    let size = file.wanted.size;
    if !parts.is_empty() && file.part_size.is_some() {
        let (folder, unfinished) = (Arc::clone(&target.folder), target.temporary.clone());
        if let Some(opened) = on_disk(move || Ok(folder.go_on(&unfinished, size))).await? {
            return Ok((Arc::new(opened), parts.into_iter().map(|part| (part.number, part.tree)).collect()));
        }
    }
    let part_size = file.part_size.unwrap_or(run.part_size);
    begin(run, file, size, part_size).await?;
    let (folder, unfinished) = (Arc::clone(&target.folder), target.temporary.clone());
    let opened = on_disk(move || folder.begin(&unfinished, size)).await?;
    Ok((Arc::new(opened), Parts::new()))
}

async fn fetch_parts(
    run: &Run,
    file: &DownloadFile,
    opened: &Arc<OpenFile>,
    confirmed: &mut Parts,
) -> Result<(), Setback> {
    let (size, part_size) = (file.wanted.size, file.part_size.unwrap_or(run.part_size).max(1));
    let parts = u32::try_from(size.div_ceil(part_size)).unwrap_or(u32::MAX);
    let (id, etag) = (&file.wanted.remote_id, file.etag.clone());
    let source = Source::new(run.cloud(), run.circuits(), run.throttle(), run.access(), id, etag);
    let missing: Vec<u32> = (1..=parts).filter(|number| !confirmed.contains_key(number)).collect();
    let fetch = |number| {
        let offset = u64::from(number - 1) * part_size;
        let range = Range { offset, length: part_size.min(size - offset), size };
        fetch_one(run, file, &source, opened, number, range)
    };
    let done = |(number, tree)| drop(confirmed.insert(number, tree));
    // One more than there are workers, so that the next one is already waiting when a worker is free.
    each_part(missing.into_iter(), || run.workers() + 1, fetch, done).await
}

/// Receives one part until it is on disk, and records that.
async fn fetch_one(
    run: &Run,
    file: &DownloadFile,
    source: &Source<'_>,
    opened: &Arc<OpenFile>,
    number: u32,
    range: Range,
) -> Result<(u32, Vec<u8>), Setback> {
    let mut tries = Tries::default();
    loop {
        // Asked for before the worker is: what waits for an answer keeps nobody from receiving.
        let outcome = match run.unless_stopped(source.address()).await? {
            Ok(_) => {
                let slot = run.worker().await?;
                let outcome = run.unless_aborted(source.fetch(range, opened, run.live.begin_part())).await?;
                drop(slot);
                outcome
            }
            Err(error) => Err(error),
        };
        let error = match outcome {
            Ok(tree) => {
                // The only part of a file is recorded with the file: a small one saves a transaction.
                if range.length < range.size {
                    let part = FetchedPart { number, size: range.length, tree: tree.clone() };
                    let etag = source.etag.lock().await.clone();
                    run.store().part_fetched(run.id, file.number, part, etag).await.map_err(Halt::from)?;
                }
                run.live.confirm(range.length);
                return Ok((number, tree));
            }
            Err(FetchError::Cloud(error)) => error,
            Err(FetchError::Disk(error)) => return Err(DiskError::of(file.wanted.path.as_ref(), error).into()),
            Err(FetchError::Changed(size)) => return Err(Setback::Changed(size)),
            Err(FetchError::NoRanges) => return Err(Setback::NoRanges),
            // The worker is released meanwhile: others may use it.
            Err(FetchError::Away(host)) => {
                run.while_away(run.circuits(), &host).await?;
                continue;
            }
        };
        if matches!(error, CloudError::Refused { call: Call::FileAddress, status: 401, .. }) {
            // The token for the package has expired: the download starts again with a new one.
            run.wait_after(&error, tries.made() + 1, Some(NEW_RIGHT_WAIT)).await?;
            return Err(Halt::Interrupted.into());
        }
        match tries.failed(&error) {
            RetryDecision::Later(wait) => run.wait_after(&error, tries.made(), wait).await?,
            RetryDecision::Restart => return Err(Setback::Changed(None)),
            RetryDecision::Refresh => {
                source.forget_address().await;
                if tries.made() > 1 {
                    run.wait_after(&error, tries.made(), Some(Duration::from_millis(200))).await?;
                }
            }
            verdict @ (RetryDecision::Done | RetryDecision::SignIn | RetryDecision::Never) => {
                return Err(Halt::Refused(error, verdict).into());
            }
        }
    }
}
