//! A file that is sent while it is still being written, and the proof at the end that what was sent is what it holds.
//!
//! **In**: a file that its rule has found to be growing; later that it is complete. **Out**: whole parts of it that lie well below its end
//! ([`follow`]); once it is complete, those of them that are no longer what it holds are sent again ([`prove`]), and the rest as of any
//! other file.
//!
//! **Guarantees.** Nothing that was read while the file was being written counts: each such part is read again once the file is complete, and
//! compared by its BLAKE3 hashes with what was sent. Until that is done, the file is not finalized, and neither is its package. A header that
//! is written anew at the end, or whatever else a writer does meanwhile, costs the parts concerned. What holds nothing yet (a file that was
//! given its size in advance, a hole) is not sent before the end. Whether a file is to be given up is for its rule to say: here it just waits.
//!
//! **On a crash** the confirmed parts are known, and are compared like all others.

use std::fs::File as OpenFile;

use bytesize::ByteSize;

use super::compare;
use super::file::{Sending, Setback, begin, begin_again, fail, found, on_disk, refused_replacement};
use super::plan::Plan;
use super::presigned::PresignedUrls;
use super::task::{Run, refused};
use crate::engine::permits::Reads;
use crate::engine::retry::{RetryDecision, backoff};
use crate::engine::task_context::{Halt, each_part};
use crate::model::{File, FileState, Growth, Part};
use masv_client::CloudError;
use masv_platform::{Entry, FolderError, PathBeneath, read_exact_at};

/// Bytes of a sample, and of the end of the file, that show whether anything was written there.
const SAMPLE: u64 = 64 << 10;
/// Samples of a part.
const SAMPLES: u64 = 8;
/// After a cloud has lost a file this often, it is sent once it is complete.
const MOST_FORGOTTEN: u32 = 4;

/// Sends what can be sent now of a file that is being written. It is looked at again later, until its rule has found it complete.
pub(super) async fn follow(run: &Run, mut file: File, guard: u64) -> Result<(), Halt> {
    let mut forgotten = 0;
    let waits = loop {
        match send_settled(run, &mut file, guard).await {
            Ok(()) => break is_being_written(run, &file).await?,
            // Its rule finds out what became of it.
            Err(Setback::Changed | Setback::Replaced) => {
                break format!("{} was cut or replaced", file.source.whole().display());
            }
            Err(Setback::Failed(_, problem)) if problem.code.starts_with("source_") => break problem.message,
            Err(Setback::Failed(state, problem)) => return fail(run, &file, state, problem).await,
            Err(Setback::Halt(Halt::Refused(error, _))) if may_be_for_its_size(run, &error) => {
                run.learn_exact_size().await?;
                let identity = file.identity;
                file = begin_again(run, file, identity).await?;
            }
            Err(Setback::Halt(Halt::Refused(error, RetryDecision::Never)))
                if matches!(error.status(), Some(400 | 413 | 415 | 422)) =>
            {
                let mut problem = refused(&error);
                problem.message = format!("{}: {}", file.path, problem.message);
                return fail(run, &file, FileState::Error, problem).await;
            }
            Err(Setback::Halt(halt)) => return Err(halt),
            Err(Setback::Forgotten) => {
                forgotten += 1;
                if forgotten > MOST_FORGOTTEN {
                    break format!(
                        "{} is being written; the cloud has lost what was sent of it",
                        file.source.whole().display()
                    );
                }
                run.pause_for(backoff(forgotten, fastrand::f64())).await?;
                let identity = file.identity;
                file = begin_again(run, file, identity).await?;
            }
        }
    };
    run.grows_on(waits);
    Ok(())
}

async fn send_settled(run: &Run, file: &mut File, guard: u64) -> Result<(), Setback> {
    if run.wants_exact_size() {
        return Ok(());
    }
    let before = file.identity.inode;
    let (_, entry, planted) = on_disk(file, move |source| found(source, before)).await?;
    if let Some(problem) = refused_replacement(file, &entry, planted) {
        return Err(Setback::Failed(FileState::Error, problem));
    }
    let found = entry.identity;
    if found.inode != file.identity.inode || found.size < file.identity.size {
        return Err(Setback::Changed);
    }
    file.identity = found;
    let chunk_size = file.remote.as_ref().map_or(run.growing_plan(found.size).chunk_size, |remote| remote.chunk_size);
    let plan = Plan { size: found.size, chunk_size };
    if file.remote.is_some() && u64::from(plan.parts()) > run.limits.max_chunk_count {
        tracing::info!(upload = %run.id, file = %file.path, "it has outgrown its parts");
        return Err(Setback::Forgotten);
    }
    let confirmed = match &file.remote {
        Some(_) => run.store().parts(run.id, file.number).await.map_err(Halt::from)?,
        None => Vec::new(),
    };
    let settled = plan.settled(guard, run.limits);
    let has = |number: &u32| confirmed.binary_search_by_key(number, |part| part.number).is_ok();
    let missing: Vec<u32> = (1..=settled).filter(|number| !has(number)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let ranges: Vec<(u64, u64)> = missing.iter().map(|number| plan.range(*number)).collect();
    let written = on_disk(file, move |source| how_many_are_written(source, found.size, &ranges)).await?;
    if written == 0 {
        return Ok(());
    }
    run.store().file_grown(run.id, file.number, found).await.map_err(Halt::from)?;
    run.live.set_total(run.store().upload(run.id).await.map_err(Halt::from)?.totals.bytes);
    let remote = match &file.remote {
        Some(remote) => remote.clone(),
        None => begin(run, file).await?.0,
    };
    file.remote = Some(remote.clone());
    let addresses = PresignedUrls::new(settled);
    let sending = Sending { run, file: &*file, remote: &remote, plan, addresses, wary: false, grows: true };
    let at_once = || run.growing_at_once(plan);
    each_part(missing.into_iter().take(written), at_once, |number| sending.send_one(number), drop).await?;
    Ok(())
}

/// What there is to say of a file of which all is sent that can be.
async fn is_being_written(run: &Run, file: &File) -> Result<String, Halt> {
    let sent: u64 = run.store().parts(run.id, file.number).await?.iter().map(|part| part.size).sum();
    let (path, size) = (file.source.whole(), ByteSize::b(file.identity.size).display().si().to_string());
    Ok(format!("{} is being written: {size} so far, {} of it sent", path.display(), ByteSize::b(sent).display().si()))
}

/// How many of the first ranges (offset and length) hold something. A file that ends with nothing was given its size in advance: whether
/// anything of it was written is not known.
fn how_many_are_written(source: &PathBeneath, size: u64, ranges: &[(u64, u64)]) -> Result<usize, FolderError> {
    let (opened, _) = source.open()?;
    let failed = |error| FolderError::Io { path: source.whole(), source: error };
    let holds = |offset: u64, length: u64| holds_something(&opened, offset, length).map_err(failed);
    if !holds(size.saturating_sub(SAMPLE), SAMPLE.min(size))? {
        return Ok(0);
    }
    for (index, (offset, length)) in ranges.iter().enumerate() {
        let last = length.saturating_sub(SAMPLE);
        let mut samples = (0..SAMPLES).map(|sample| last / (SAMPLES - 1) * sample);
        let written = samples
            .try_fold(false, |written, at| if written { Ok(true) } else { holds(offset + at, SAMPLE.min(*length)) })?;
        if !written {
            return Ok(index);
        }
    }
    Ok(ranges.len())
}

/// Whether these bytes are not all zero. What ends before them holds nothing.
fn holds_something(file: &OpenFile, offset: u64, length: u64) -> std::io::Result<bool> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match read_exact_at(file, &mut bytes, offset) {
        Ok(()) => Ok(bytes.iter().any(|byte| *byte != 0)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a file that is being written if it is the one that was begun, and reaches to `end`.
pub(super) async fn open(file: &File, end: u64) -> Result<OpenFile, Setback> {
    let (opened, entry) = on_disk(file, PathBeneath::open).await?;
    let same = entry.identity.inode == file.identity.inode && entry.identity.size >= end;
    if same { Ok(opened) } else { Err(Setback::Changed) }
}

/// Whether a file that counted as complete after it was sent while it grew has gone on, so that what was sent of it is of use.
pub(super) fn goes_on(file: &File, entry: &Entry) -> bool {
    file.growth == Growth::Unproven
        && file.remote.is_some()
        && entry.identity.inode == file.identity.inode
        && entry.identity.size >= file.identity.size
}

/// Whether a refusal may be for the size that the file was announced with, which was the one that it had when it was begun.
fn may_be_for_its_size(run: &Run, error: &CloudError) -> bool {
    !run.limits.growing_files && !run.wants_exact_size() && matches!(error.status(), Some(400 | 409 | 413 | 422))
}

/// A file that was begun while it grew could not be sent, now that it is complete: where that may be for its size, it is announced anew.
pub(super) async fn or_announced_anew(run: &Run, file: &File, sent: Result<(), Setback>) -> Result<(), Setback> {
    match sent {
        Err(Setback::Halt(Halt::Refused(error, _)))
            if file.growth == Growth::Unproven && may_be_for_its_size(run, &error) =>
        {
            run.learn_exact_size().await.map_err(Halt::from)?;
            Err(Setback::Forgotten)
        }
        sent => sent,
    }
}

/// Compares all that was sent of a file with what it holds, now that it is complete. What differs is no longer confirmed.
pub(super) async fn prove(run: &Run, file: &File, chunk_size: u64, confirmed: &mut Vec<Part>) -> Result<(), Setback> {
    let plan = Plan { size: file.identity.size, chunk_size };
    let beyond = confirmed.iter().any(|part| part.number > plan.parts());
    let too_many = u64::from(plan.parts()) > run.limits.max_chunk_count;
    if file.remote.is_some() && (too_many || beyond || (plan.parts() == 1 && !confirmed.is_empty())) {
        return Err(Setback::Forgotten);
    }
    let mut outdated = Vec::new();
    let numbers: Vec<u32> = confirmed.iter().map(|part| part.number).collect();
    let known = &*confirmed;
    let same = |number: u32| async move {
        let Ok(index) = known.binary_search_by_key(&number, |part| part.number) else { return Ok((number, false)) };
        let (offset, length) = plan.range(number);
        let (tree, size) = (known[index].tree.clone(), plan.size);
        if tree.is_empty() || known[index].size != length {
            return Ok((number, false));
        }
        let slot = run.worker(Reads { file: file.number, disk: file.identity.device }).await?;
        let same = on_disk(file, move |source| {
            Ok(compare::hash(source, offset, length, size)?.is_some_and(|found| found == tree))
        });
        let same = run.unless_aborted(same).await.map_err(Setback::from)??;
        drop(slot);
        Ok::<_, Setback>((number, same))
    };
    let at_once = || run.workers();
    each_part(numbers.into_iter(), at_once, same, |(number, same)| {
        if !same {
            outdated.push(number);
        }
    })
    .await?;
    tracing::info!(
        upload = %run.id, file = %file.path, parts = confirmed.len(), outdated = outdated.len(),
        "what was sent while it grew was compared with it"
    );
    if outdated.is_empty() {
        return Ok(());
    }
    confirmed.retain(|part| !outdated.contains(&part.number));
    let lost = run.store().parts_outdated(run.id, file.number, outdated).await.map_err(Halt::from)?;
    run.live.lose(lost);
    Ok(())
}
