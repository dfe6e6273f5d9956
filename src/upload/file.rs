//! The life of one file in an upload: started in the cloud, sent part by part, verified, finalized.
//!
//! The source is opened again for each part, and each time it must be the file that was chosen: so no more files are
//! open than parts are in flight, and a replaced file is noticed at the next part. It is opened beneath the folder
//! that it was chosen in, without following links: a replacement may be sent only if it is a regular file there, of
//! the same owner.
//!
//! If only attributes differ that a `chmod`, a link or another mount changes, the content decides: the confirmed parts are
//! compared with it by their hashes, which reads the disk but not the network ([`compare`]).
//!
//! **On a crash** the parts that the storage confirmed are in the database; a started file resumes with them
//! if it is still the same file, otherwise it starts again.

use std::collections::HashSet;
use std::fs::File as OpenFile;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::compare;
use super::growing;
use super::plan::Plan;
use super::presigned::{Address, PresignedUrls};
use super::send::{SendError, Sent, Slice, send_part};
use super::small::send_whole;
use super::task::{Run, refused};
use crate::engine::blake3_tree;
use crate::engine::counters::Cause;
use crate::engine::permits::Reads;
use crate::engine::progress::WaitsFor;
use crate::engine::retry::{RetryDecision, Tries, backoff};
use crate::engine::task_context::{Halt, PartError, each_part};
use crate::model::{File, FileState, Growth, Part, Problem, RemoteFile};
use masv_client::{CloudError, storage_host};
use masv_platform::{Entry, FileIdentity, FolderError, PathBeneath, crash_point};
use masv_protocol::{
    BegunFile, Blueprint, FileExtras, FinalizeFile, FinalizeOneFile, ListedPart, MultipartId, NewFile, Time,
};

/// After this many damaged arrivals of one part, retrying does not help.
pub(super) const DAMAGE_LIMIT: u32 = 3;
/// After a cloud has lost a file this often, it is not sent again.
const MOST_FORGOTTEN: u32 = 4;
/// How long a changed file must be unchanged before it is sent again.
const STILL: Duration = Duration::from_secs(5);
/// How often a changing file is checked.
const LOOK: Duration = Duration::from_millis(500);
/// A file that keeps changing for longer is postponed, so that it does not hold up the others.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a file may be replaced by one with the same content before that is assumed to be normal for its file
/// system; it is still compared before it is finalized.
const MOST_REPLACED: u32 = 3;

/// For so many workers one more part is made ready before a worker is free for it.
const AHEAD: usize = 4;
/// Files of more parts are finalized by themselves.
const MOST_PARTS_IN_BATCH: usize = 64;

/// Why a file could not be sent this time.
pub(super) enum Setback {
    /// The upload is stopping, or cannot continue at all.
    Halt(Halt),
    /// The file has changed.
    Changed,
    /// It was replaced by a file with the same size and time: compare what was sent.
    Replaced,
    /// The cloud has lost it.
    Forgotten,
    /// It cannot be sent at present.
    Failed(FileState, Problem),
}

impl From<Halt> for Setback {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl PartError for Setback {
    fn is_interruption(&self) -> bool {
        matches!(self, Self::Halt(Halt::Interrupted))
    }
}

/// Sends a file until the cloud has it completely, or until it is clear that it cannot be sent; in that case the reason
/// is recorded and the upload continues with the others.
///
/// Of a file that is being written only what is settled is sent.
pub(crate) async fn send_file(run: &Run, mut file: File) -> Result<(), Halt> {
    if let Growth::Growing { guard } = file.growth {
        return growing::follow(run, file, guard).await;
    }
    let (mut forgotten, mut replaced) = (0, 0);
    loop {
        let identity = match send_once(run, &mut file, replaced < MOST_REPLACED).await {
            Ok(()) => return Ok(()),
            Err(Setback::Replaced) => {
                replaced += 1;
                continue;
            }
            // A problem with one file does not affect the others.
            Err(Setback::Halt(Halt::Refused(error, _))) if matches!(error.status(), Some(400 | 413 | 415 | 422)) => {
                let mut problem = refused(&error);
                problem.message = format!("{}: {}", file.path, problem.message);
                return fail(run, &file, FileState::Error, problem).await;
            }
            Err(Setback::Halt(halt)) => return Err(halt),
            Err(Setback::Failed(state, problem)) => return fail(run, &file, state, problem).await,
            Err(Setback::Forgotten) => {
                forgotten += 1;
                if forgotten > MOST_FORGOTTEN {
                    return fail(run, &file, FileState::Error, is_lost(&file)).await;
                }
                run.pause_for(backoff(forgotten, fastrand::f64())).await?;
                file.identity
            }
            Err(Setback::Changed) => match wait_until_still(run, &file).await? {
                Found::Still(entry, planted) => match refused_replacement(&file, &entry, planted) {
                    Some(problem) => return fail(run, &file, FileState::Error, problem).await,
                    None => match still_verified(run, &file).await {
                        Ok(()) if growing::goes_on(&file, &entry) => {
                            run.store().file_changed_on(run.id, file.number, entry.identity).await?;
                            run.live.set_total(run.store().upload(run.id).await?.totals.bytes);
                            file.identity = entry.identity;
                            continue;
                        }
                        Ok(()) => entry.identity,
                        Err(Setback::Failed(state, problem)) => return fail(run, &file, state, problem).await,
                        Err(Setback::Halt(halt)) => return Err(halt),
                        Err(_) => continue,
                    },
                },
                Found::Gone => continue,
                Found::Changing => {
                    run.comes_later();
                    return Ok(());
                }
            },
        };
        file = begin_again(run, file, identity).await?;
        if file.growth == Growth::Unproven {
            file.growth = Growth::Whole;
        }
    }
}

/// Has the file sent from its first byte, as it is now.
pub(super) async fn begin_again(run: &Run, file: File, identity: FileIdentity) -> Result<File, Halt> {
    if let Some(remote) = &file.remote {
        // What the cloud has of the old content must not end in the package.
        run.try_to(|| run.cloud().remove_file(run.package(), &remote.id)).await.or_else(Halt::unless_refused)?;
    }
    tracing::info!(upload = %run.id, file = %file.path, "sending the file again");
    let lost = run.store().file_restarted(run.id, file.number, identity).await?;
    run.live.lose(lost);
    Ok(File { identity, remote: None, bytes_done: 0, state: FileState::Waiting, ..file })
}

pub(super) async fn fail(run: &Run, file: &File, state: FileState, problem: Problem) -> Result<(), Halt> {
    tracing::warn!(upload = %run.id, file = %file.path, code = %problem.code, "{}", problem.message);
    Ok(run.store().file_failed(run.id, file.number, state, problem).await?)
}

/// What became of a changed file.
enum Found {
    /// It has been unchanged for a while, with this identity; whether it [may be planted](found).
    Still(Entry, bool),
    /// It is missing, or cannot be read.
    Gone,
    /// It keeps changing.
    Changing,
}

/// Waits until a changed file has been unchanged for a while.
async fn wait_until_still(run: &Run, file: &File) -> Result<Found, Halt> {
    let reason = format!("{} changed while it was sent; waiting until it is complete", file.source.whole().display());
    let _shown = run.live.wait(WaitsFor::Source, reason, 1, Timestamp::now());
    let begun = Instant::now();
    let mut seen: Option<(Entry, Instant)> = None;
    loop {
        let source = file.source.clone();
        // By opening it: anything that cannot be sent is detected by the next step.
        let before = file.identity.inode;
        let opened = tokio::task::spawn_blocking(move || found(&source, before)).await;
        let Ok(Ok((_, entry, planted))) = opened else { return Ok(Found::Gone) };
        match seen {
            Some((before, since)) if before.identity.same_size_and_date(&entry.identity) => {
                if since.elapsed() >= STILL {
                    return Ok(Found::Still(entry, planted));
                }
            }
            _ if begun.elapsed() >= PATIENCE => return Ok(Found::Changing),
            _ => seen = Some((entry, Instant::now())),
        }
        run.pause_for(LOOK).await?;
    }
}

async fn send_once(run: &Run, file: &mut File, wary: bool) -> Result<(), Setback> {
    let mut confirmed = match &file.remote {
        Some(_) => run.store().parts(run.id, file.number).await.map_err(Halt::from)?,
        None => Vec::new(),
    };
    let chunk_size = file.remote.as_ref().map_or(file.identity.size, |remote| remote.chunk_size);
    if file.growth == Growth::Unproven {
        compare::unchanged(run, file, chunk_size, &[]).await?;
        growing::prove(run, file, chunk_size, &mut confirmed).await?;
    } else {
        compare::unchanged(run, file, chunk_size, &confirmed).await?;
    }
    let (remote, first) = match &file.remote {
        Some(remote) => (remote.clone(), None),
        None => begin(run, file).await?,
    };
    file.remote = Some(remote.clone());
    let plan = Plan { size: file.identity.size, chunk_size: remote.chunk_size };
    let (resumed, mut parts) = (!confirmed.is_empty(), confirmed);
    let is_single = plan.parts() == 1;
    let whole = if is_single && !resumed { send_whole(run, file, &remote, wary).await? } else { None };
    if let Some(part) = whole {
        parts.push(part);
    } else {
        let addresses = match first {
            Some(address) if is_single => PresignedUrls::of_only_part(address),
            _ => PresignedUrls::new(plan.parts()),
        };
        let sending = Sending { run, file: &*file, remote: &remote, plan, addresses, wary, grows: false };
        let sent = sending.send_missing(&mut parts).await;
        growing::or_announced_anew(run, file, sent).await?;
        parts.sort_by_key(|part| part.number);
        compare::unchanged(run, file, plan.chunk_size, &parts).await?;
        as_verified(file, checksum(plan, &parts).as_deref())?;
        let finalized = finalize(run, file, &remote, &parts).await;
        growing::or_announced_anew(run, file, finalized).await?;
    }
    let file = &*file;
    crash_point("file.closed");
    let checksum = checksum(plan, &parts);
    let unwritten = if is_single && !resumed { parts.pop() } else { None };
    let bytes = unwritten.as_ref().map_or(0, |part| part.size);
    run.store().file_done(run.id, file.number, checksum, unwritten).await.map_err(Halt::from)?;
    crash_point("file.kept");
    run.live.confirm(bytes);
    Ok(())
}

/// The checksum of the content that these parts are of.
pub(super) fn checksum(plan: Plan, parts: &[Part]) -> Option<String> {
    let trees: Vec<&[u8]> = parts.iter().map(|part| part.tree.as_slice()).collect();
    blake3_tree::checksum(plan.size, plan.chunk_size, &trees).map(|hash| hash.to_hex().to_string())
}

/// Refuses content that is not what was compared with checksum lists: whatever became of the file since, only that is sent.
pub(super) fn as_verified(file: &File, checksum: Option<&str>) -> Result<(), Setback> {
    match &file.verified {
        Some(verified) if checksum != Some(verified.as_str()) => {
            Err(Setback::Failed(FileState::Error, is_not_what_was_verified(file)))
        }
        _ => Ok(()),
    }
}

/// Whether a changed file holds what was compared with checksum lists: it is read, before anything of it is sent.
async fn still_verified(run: &Run, file: &File) -> Result<(), Setback> {
    if file.verified.is_none() {
        return Ok(());
    }
    let slot = run.worker(Reads { file: file.number, disk: file.identity.device }).await?;
    let read = on_disk(file, |source| {
        let (opened, _) = source.open()?;
        let failed = |error| FolderError::Io { path: source.whole(), source: error };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(opened).map_err(failed)?;
        Ok(hasher.finalize().to_hex().to_string())
    });
    let content = run.unless_aborted(read).await??;
    drop(slot);
    as_verified(file, Some(&content))
}

/// Runs a blocking check of a file.
pub(super) async fn on_disk<T: Send + 'static>(
    file: &File,
    work: impl FnOnce(&PathBeneath) -> Result<T, FolderError> + Send + 'static,
) -> Result<T, Setback> {
    let source = file.source.clone();
    match tokio::task::spawn_blocking(move || work(&source)).await {
        Ok(done) => done.map_err(|error| not_there(file, error)),
        Err(error) => Err(unreadable(file, &std::io::Error::other(error))),
    }
}

/// Opens the source if it is still the file that was chosen. A file that was only touched is; a replacement with
/// the same size and time is not, if `wary`.
pub(super) async fn open(file: &File, wary: bool) -> Result<OpenFile, Setback> {
    let before = file.identity.inode;
    let (opened, entry, planted) = on_disk(file, move |source| found(source, before)).await?;
    if !file.identity.same_size_and_date(&entry.identity) {
        return Err(Setback::Changed);
    }
    if wary && entry.identity.inode != before {
        return Err(Setback::Replaced);
    }
    match refused_replacement(file, &entry, planted) {
        Some(problem) => Err(Setback::Failed(FileState::Error, problem)),
        None => Ok(opened),
    }
}

/// Announces a file and begins it in the storage. Where the cloud tells it at once: the address of its only part.
pub(super) async fn begin(run: &Run, file: &File) -> Result<(RemoteFile, Option<Blueprint>), Setback> {
    let size = file.identity.size;
    let (plan, is_known) = match file.growth {
        Growth::Growing { .. } => (run.growing_plan(size), false),
        Growth::Whole | Growth::Unproven => (Plan::new(size, run.wanted_part(size), run.limits), true),
    };
    let modified = Timestamp::from_nanosecond(file.identity.mtime_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    let announced = NewFile {
        last_modified: Some(Time::from(modified)),
        // Clouds that have to be told a size are told the one so far.
        size: Some(plan.size).filter(|_| is_known || !run.limits.growing_files),
        chunk_size: Some(plan.chunk_size),
        ..NewFile::at(&file.path)
    };
    let batched = match run.batches() {
        Some(batches) => batches.announce(run, &announced).await?,
        None => None,
    };
    let (id, multipart_id, first) = match batched {
        Some(BegunFile { id, upload_id: Some(upload), part, .. }) => (id, upload, part),
        Some(BegunFile { id, create_blueprint: Some(blueprint), .. }) => {
            (id, begin_in_storage(run, &blueprint).await?, None)
        }
        _ => {
            let created = run.try_to(|| run.cloud().create_file(run.package(), &announced)).await?;
            (created.file.id, begin_in_storage(run, &created.create_blueprint).await?, None)
        }
    };
    let remote = RemoteFile { id, multipart_id, chunk_size: plan.chunk_size };
    crash_point("file.begun");
    run.store().file_begun(run.id, file.number, remote.clone()).await.map_err(Halt::from)?;
    crash_point("file.begun.kept");
    Ok((remote, first))
}

async fn begin_in_storage(run: &Run, blueprint: &Blueprint) -> Result<MultipartId, Setback> {
    match run.try_to(|| run.cloud().begin_file(blueprint)).await {
        Ok(multipart_id) => Ok(multipart_id),
        // Its URL expired meanwhile: announce the file again.
        Err(Halt::Refused(_, RetryDecision::Refresh | RetryDecision::Restart)) => Err(Setback::Forgotten),
        Err(halt) => Err(halt.into()),
    }
}

/// A file whose parts are being sent.
pub(super) struct Sending<'a> {
    pub(super) run: &'a Run,
    pub(super) file: &'a File,
    pub(super) remote: &'a RemoteFile,
    pub(super) plan: Plan,
    pub(super) addresses: PresignedUrls,
    /// Whether a replacement must be compared first.
    pub(super) wary: bool,
    /// Whether the file is being written: what is sent of it is compared later.
    pub(super) grows: bool,
}

/// Why an attempt to send a part failed.
enum Miss {
    Setback(Setback),
    Cloud(CloudError),
    /// This host is known to be unavailable.
    Away(String),
    /// The storage has something other than what was sent.
    Damaged {
        sent: String,
        stored: String,
    },
}

impl Sending<'_> {
    /// Whether the file is a single part: that is recorded together with the file.
    fn is_single(&self) -> bool {
        self.plan.parts() == 1 && !self.grows
    }

    /// Sends the parts that are not in `parts`, and adds them.
    async fn send_missing(&self, parts: &mut Vec<Part>) -> Result<(), Setback> {
        let confirmed: HashSet<u32> = parts.iter().map(|part| part.number).collect();
        let missing = (1..=self.plan.parts()).filter(|number| !confirmed.contains(number));
        // More than can be at work: whose turn it is must be waiting, with its address, when a worker is free.
        let at_once = || self.run.workers() + (self.run.workers() / AHEAD).max(1);
        each_part(missing, at_once, |number| self.send_one(number), |part| parts.push(part)).await
    }

    /// Sends one part until the storage has it, and records that.
    pub(super) async fn send_one(&self, number: u32) -> Result<Part, Setback> {
        let Self { run, file, .. } = self;
        let (_, length) = self.plan.range(number);
        let (mut tries, mut damaged) = (Tries::default(), 0);
        loop {
            // Asked for before the worker is: what waits for an answer keeps nobody from sending.
            let outcome = match self.address(number).await {
                Ok(_) => {
                    let slot = run.worker(Reads { file: file.number, disk: file.identity.device }).await?;
                    let outcome = run.unless_aborted(self.attempt(number)).await?;
                    drop(slot);
                    outcome
                }
                Err(miss) => Err(miss),
            };
            let error = match outcome {
                Ok(sent) => {
                    if !sent.proven {
                        run.tell_unproven();
                    }
                    let part = Part { number, size: length, etag: sent.etag, tree: sent.tree };
                    crash_point("part.sent");
                    if !self.is_single() {
                        run.store().part_confirmed(run.id, file.number, part.clone()).await.map_err(Halt::from)?;
                        crash_point("part.kept");
                        run.live.confirm(length);
                    }
                    return Ok(part);
                }
                Err(Miss::Setback(setback)) => return Err(setback),
                Err(Miss::Cloud(error)) => error,
                // The worker is released meanwhile: others may use it.
                Err(Miss::Away(host)) => {
                    run.while_away(run.circuits(), &host).await?;
                    continue;
                }
                Err(Miss::Damaged { sent, stored }) => {
                    damaged += 1;
                    run.live.tally().retry(Cause::Damaged);
                    tracing::warn!(upload = %run.id, file = %file.path, part = number, sent, stored, "part arrived damaged");
                    if damaged == DAMAGE_LIMIT {
                        return Err(arrives_damaged(file, number));
                    }
                    continue;
                }
            };
            match tries.failed(&error) {
                RetryDecision::Later(wait) => run.wait_after(&error, tries.made(), wait).await?,
                RetryDecision::SignIn => run.wait_for_session(&error).await?,
                RetryDecision::Refresh => run.wait_after(&error, tries.made(), Some(Duration::ZERO)).await?,
                RetryDecision::Restart => return Err(Setback::Forgotten),
                verdict @ (RetryDecision::Done | RetryDecision::Never) => {
                    return Err(Halt::Refused(error, verdict).into());
                }
            }
        }
    }

    /// Where a part goes: known, or asked for.
    async fn address(&self, number: u32) -> Result<Address, Miss> {
        let Self { run, remote, .. } = self;
        let (circuits, host) = (run.circuits(), run.cloud().base().authority());
        if !self.addresses.knows(number) && !circuits.may_call(host) {
            return Err(Miss::Away(host.to_owned()));
        }
        let ask = |first, count| async move {
            let asked = run.cloud().part_addresses(run.package(), &remote.id, &remote.multipart_id, first, count).await;
            circuits.learn(host, asked.as_ref().err());
            asked
        };
        let address = run.unless_stopped(self.addresses.of(number, ask)).await;
        address.map_err(|halt| Miss::Setback(halt.into()))?.map_err(Miss::Cloud)
    }

    /// One attempt at a part: open the source, get a URL, send the bytes.
    async fn attempt(&self, number: u32) -> Result<Sent, Miss> {
        let Self { run, file, .. } = self;
        let circuits = run.circuits();
        let (offset, length) = self.plan.range(number);
        let opened = if self.grows { growing::open(file, offset + length).await } else { open(file, self.wary).await };
        let opened = opened.map_err(Miss::Setback)?;
        let slice = Slice { file: Arc::new(opened), size: self.plan.size, offset, length };
        let address = self.address(number).await?;
        let host = storage_host(&address.blueprint.url);
        if !circuits.may_call(&host) {
            return Err(Miss::Away(host));
        }
        let flow = run.live.begin_part();
        match send_part(run.cloud(), &address.blueprint, slice, run.throttle(), flow, run.workers()).await {
            Ok(sent) => {
                circuits.learn(&host, None);
                Ok(sent)
            }
            Err(SendError::Damaged { sent, stored }) => {
                circuits.learn(&host, None);
                Err(Miss::Damaged { sent, stored })
            }
            Err(SendError::Cloud(error)) => {
                circuits.learn(&host, Some(&error));
                if matches!(error, CloudError::Refused { .. }) {
                    self.addresses.forget(&address);
                }
                Err(Miss::Cloud(error))
            }
            Err(SendError::Source(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Miss::Setback(Setback::Changed))
            }
            Err(SendError::Source(error)) => Err(Miss::Setback(unreadable(file, &error))),
        }
    }
}

async fn finalize(run: &Run, file: &File, remote: &RemoteFile, parts: &[Part]) -> Result<(), Setback> {
    let closing = FinalizeFile {
        size: Some(file.identity.size),
        chunk_size: Some(remote.chunk_size),
        file_extras: Some(FileExtras { upload_id: Some(remote.multipart_id.clone()) }),
        chunk_extras: parts.iter().map(|part| ListedPart { number: part.number, etag: part.etag.clone() }).collect(),
        ..FinalizeFile::default()
    };
    match close(run, FinalizeOneFile { id: remote.id.clone(), file: closing }).await {
        Ok(()) | Err(Halt::Refused(_, RetryDecision::Done)) => Ok(()),
        Err(Halt::Refused(_, RetryDecision::Restart)) => Err(Setback::Forgotten),
        Err(halt) => Err(halt.into()),
    }
}

async fn close(run: &Run, closing: FinalizeOneFile) -> Result<(), Halt> {
    // Many parts are a batch of their own.
    let batches = run.batches().filter(|_| closing.file.chunk_extras.len() <= MOST_PARTS_IN_BATCH);
    if let Some(batches) = batches
        && batches.finalize(run, &closing).await?.is_some()
    {
        return Ok(());
    }
    run.try_to(|| run.cloud().finalize_file(run.package(), &closing.id, &closing.file)).await
}

/// The problem to report for a file that could not be opened.
fn not_there(file: &File, error: FolderError) -> Setback {
    match error {
        FolderError::Missing(_) => is_gone(file),
        FolderError::Symlink(path) => Setback::Failed(FileState::Error, is_now(file, &path, &"a symbolic link")),
        FolderError::NotAFile { path, kind } | FolderError::NotAFolder { path, kind } => {
            Setback::Failed(FileState::Error, is_now(file, &path, &kind))
        }
        error => unreadable(file, &error.into()),
    }
}

/// The file was right when it was compared with its lists, and has been changed or replaced since.
fn is_not_what_was_verified(file: &File) -> Problem {
    let hint = "put the file back as its checksum list has it and resume the upload, or remove the upload: a rule compares and \
                sends the file anew";
    Problem {
        code: "source_not_verified".to_owned(),
        message: format!("{} is no longer what was compared with its checksum list", file.source.whole().display()),
        retryable: true,
        hint: Some(hint.to_owned()),
    }
}

fn is_gone(file: &File) -> Setback {
    let problem = Problem {
        code: "source_gone".to_owned(),
        message: format!("{} no longer exists", file.source.whole().display()),
        retryable: true,
        hint: Some(
            "put it back and resume the upload (what a rule sends goes on by itself), or have the others sent \
             without it: `masv upload resume ID --without-gone`"
                .to_owned(),
        ),
    };
    Setback::Failed(FileState::Gone, problem)
}

/// Something that is not a file has replaced the file, or a folder on the way to it.
fn is_now(file: &File, path: &Path, what: &dyn std::fmt::Display) -> Problem {
    let (source, at) = (file.source.whole(), path.display());
    let message = if path == source {
        format!("{at} is now {what}")
    } else {
        format!("{} cannot be reached: {at} is now {what}", source.display())
    };
    let hint = "look who put it there; put the file back and resume the upload, or remove the upload";
    replacement(message, hint)
}

/// Opens what is in a file's place, and tells whether it has replaced the file with the inode `before` and may be one that somebody
/// who cannot read it has given this name. Blocks.
pub(super) fn found(source: &PathBeneath, before: u64) -> Result<(OpenFile, Entry, bool), FolderError> {
    let (opened, entry) = source.open()?;
    let planted = entry.identity.inode != before && source.may_be_planted(&entry)?;
    Ok((opened, entry, planted))
}

/// Why a file that has replaced the chosen one is not sent.
pub(super) fn refused_replacement(file: &File, found: &Entry, planted: bool) -> Option<Problem> {
    // Without an owner, somebody has agreed to what is there. A file whose owner was changed is still the same file; only root
    // can do that.
    let (source, now, before) = (file.source.whole(), found.owner, file.owner?);
    let why = match found.identity.inode == file.identity.inode {
        true => return None,
        false if before != now => format!("a file of another user (id {now}, before {before})"),
        false if planted => {
            "a file with several names (hard links), one of which another user may have made here".to_owned()
        }
        false => return None,
    };
    let message = format!("{} was replaced by {why}", source.display());
    let hint = "look at the file: resuming the upload sends it as it is now; otherwise remove the upload";
    Some(Problem { code: "source_other_user".to_owned(), ..replacement(message, hint) })
}

fn replacement(message: String, hint: &str) -> Problem {
    Problem { code: "source_replaced".to_owned(), message, retryable: true, hint: Some(hint.to_owned()) }
}

pub(super) fn unreadable(file: &File, error: &std::io::Error) -> Setback {
    let source = file.source.whole();
    let hint = if error.kind() == std::io::ErrorKind::PermissionDenied {
        format!("let the agent's user read {}, then resume the upload", parent(&source).display())
    } else {
        "check the disk it is on, then resume the upload".to_owned()
    };
    Setback::Failed(
        FileState::Error,
        Problem {
            code: "source_unreadable".to_owned(),
            message: format!("{} cannot be read: {error}", source.display()),
            retryable: true,
            hint: Some(hint),
        },
    )
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn is_lost(file: &File) -> Problem {
    Problem {
        code: "file_lost".to_owned(),
        message: format!("the cloud has lost what was sent of {} {} times", file.path, MOST_FORGOTTEN + 1),
        retryable: true,
        hint: Some("ask who runs the cloud what happens to unfinished uploads, then resume the upload".to_owned()),
    }
}

pub(super) fn arrives_damaged(file: &File, number: u32) -> Setback {
    Setback::Failed(
        FileState::Error,
        Problem {
            code: "part_damaged".to_owned(),
            message: format!("part {number} of {} arrived damaged {DAMAGE_LIMIT} times", file.path),
            retryable: true,
            hint: Some(
                "something between here and the storage changes bytes: check memory, network card and proxies, \
                        then resume the upload"
                    .to_owned(),
            ),
        },
    )
}
