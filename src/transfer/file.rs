//! The life of one file in an upload: begun in the cloud, sent part by part, checked, closed.
//!
//! **On a crash** the parts that the storage confirmed are in the database; a file that was begun goes on with them
//! if it is still the same file, else it begins anew.

use std::fs::{File as OpenFile, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::Instant;

use super::plan::Plan;
use super::retry::{Verdict, backoff, decide};
use super::send::{SendError, Sent, Slice, send_part};
use super::steps::Halt;
use super::tree;
use super::upload::{Run, refused};
use crate::base::{FileIdentity, crash_point};
use crate::cloud::{Call, CloudError, FinalizeFile, NewFile, SentPart};
use crate::store::{File, FileState, Part, Problem, RemoteFile};

/// A part that arrives damaged so often is not the network's fault.
const DAMAGE_LIMIT: u32 = 3;
/// A file that changed must have been still for so long before it is sent anew.
const STILL: Duration = Duration::from_secs(5);
/// How often a changing file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Why a file could not be sent in this go.
enum Setback {
    /// The upload stops, or can not go on at all.
    Halt(Halt),
    /// It is not the file that it was.
    Changed,
    /// The cloud has lost what it had of it.
    Forgotten,
    /// It can not be sent as things are.
    Failed(FileState, Problem),
}

impl From<Halt> for Setback {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// Sends a file until the cloud has it whole, or until it is clear that it can not be sent; in that case the reason
/// is kept with it and the upload goes on with the others.
pub(super) async fn send_file(run: &Run, mut file: File) -> Result<(), Halt> {
    let mut forgotten = 0;
    loop {
        let identity = match send_once(run, &file).await {
            Ok(()) => return Ok(()),
            // What is wrong with one file is not wrong with the others.
            Err(Setback::Halt(Halt::Refused(error, _))) if matches!(error.status(), Some(400 | 413 | 415 | 422)) => {
                let mut problem = refused(&error);
                problem.message = format!("{}: {}", file.path, problem.message);
                return fail(run, &file, FileState::Error, problem).await;
            }
            Err(Setback::Halt(halt)) => return Err(halt),
            Err(Setback::Failed(state, problem)) => return fail(run, &file, state, problem).await,
            Err(Setback::Forgotten) => {
                forgotten += 1;
                run.pause_for(backoff(forgotten, fastrand::f64())).await?;
                file.identity
            }
            Err(Setback::Changed) => match wait_until_still(run, &file).await? {
                Some(identity) => identity,
                None => continue,
            },
        };
        if let Some(remote) = &file.remote {
            // What the cloud has of the old content must not end in the package.
            run.try_to(|| run.cloud().remove_file(run.package(), &remote.id)).await.or_else(Halt::unless_refused)?;
        }
        tracing::info!(upload = %run.id, file = %file.path, "sending the file anew");
        run.store().file_restarted(run.id, file.number, identity).await?;
        run.live.lose(file.bytes_done);
        file = File { identity, remote: None, bytes_done: 0, state: FileState::Waiting, ..file };
    }
}

async fn fail(run: &Run, file: &File, state: FileState, problem: Problem) -> Result<(), Halt> {
    tracing::warn!(upload = %run.id, file = %file.path, code = %problem.code, "{}", problem.message);
    Ok(run.store().file_failed(run.id, file.number, state, problem).await?)
}

/// Waits until a changed file has been still for a while; its identity then, or `None` to look at it as any other
/// (it has vanished).
async fn wait_until_still(run: &Run, file: &File) -> Result<Option<FileIdentity>, Halt> {
    let reason = format!("{} changed while it was sent; waiting until it is whole", file.source.display());
    let _shown = run.live.wait(reason, 1, Timestamp::now());
    let mut seen: Option<(FileIdentity, Instant)> = None;
    loop {
        let Ok(metadata) = tokio::fs::metadata(&file.source).await else { return Ok(None) };
        let identity = FileIdentity::of(&metadata);
        match seen {
            Some((before, since)) if before == identity => {
                if since.elapsed() >= STILL {
                    return Ok(Some(identity));
                }
            }
            _ => seen = Some((identity, Instant::now())),
        }
        run.pause_for(LOOK).await?;
    }
}

async fn send_once(run: &Run, file: &File) -> Result<(), Setback> {
    let opened = Arc::new(open(file).await?);
    let remote = match &file.remote {
        Some(remote) => remote.clone(),
        None => begin(run, file).await?,
    };
    let plan = Plan { size: file.identity.size, chunk_size: remote.chunk_size };
    let mut parts = run.store().parts(run.id, file.number).await.map_err(Halt::from)?;
    let confirmed: std::collections::HashSet<u32> = parts.iter().map(|part| part.number).collect();
    let single = plan.parts() == 1;

    let mut missing = (1..=plan.parts()).filter(|number| !confirmed.contains(number));
    let mut sending = FuturesUnordered::new();
    loop {
        while sending.len() < run.workers() {
            let Some(number) = missing.next() else { break };
            sending.push(send_one(run, file, &remote, &plan, &opened, number, single));
        }
        let Some(part) = sending.next().await else { break };
        parts.push(part?);
    }
    drop(sending);
    parts.sort_by_key(|part| part.number);

    unchanged(file, &opened).await?;
    finalize(run, file, &remote, &parts).await?;
    crash_point("file.closed");
    let trees: Vec<&[u8]> = parts.iter().map(|part| part.tree.as_slice()).collect();
    let checksum = tree::checksum(plan.size, plan.chunk_size, &trees).map(|hash| hash.to_hex().to_string());
    let unwritten = if single && confirmed.is_empty() { parts.pop() } else { None };
    let bytes = unwritten.as_ref().map_or(0, |part| part.size);
    run.store().file_done(run.id, file.number, checksum, unwritten).await.map_err(Halt::from)?;
    crash_point("file.kept");
    run.live.confirm(bytes);
    Ok(())
}

/// Opens the source if it is still the file that was chosen.
async fn open(file: &File) -> Result<OpenFile, Setback> {
    let (source, expected) = (file.source.clone(), file.identity);
    let opened = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        // Not to hang on a named pipe that was put in the file's place.
        let opened = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(&source)?;
        let metadata = opened.metadata()?;
        Ok((opened, metadata.is_file() && same(&expected, &FileIdentity::of(&metadata))))
    })
    .await
    .map_err(|error| unreadable(file, &std::io::Error::other(error)))?;
    match opened {
        Ok((opened, true)) => Ok(opened),
        Ok((_, false)) => Err(Setback::Changed),
        Err(error) => Err(unreadable(file, &error)),
    }
}

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Whether nobody has written to the file. The device number is left out: network mounts change it when they return.
fn same(expected: &FileIdentity, found: &FileIdentity) -> bool {
    expected.same_content(found) && expected.ctime_ns == found.ctime_ns
}

/// Checks, after the last byte was read, that the file is still what it was and where it was.
async fn unchanged(file: &File, opened: &Arc<OpenFile>) -> Result<(), Setback> {
    let (source, expected, opened) = (file.source.clone(), file.identity, Arc::clone(opened));
    let found = tokio::task::spawn_blocking(move || -> std::io::Result<bool> {
        let held = FileIdentity::of(&opened.metadata()?);
        let named = FileIdentity::of(&std::fs::metadata(source)?);
        Ok(same(&expected, &held) && same(&expected, &named))
    })
    .await
    .map_err(|error| unreadable(file, &std::io::Error::other(error)))?;
    match found {
        Ok(true) => Ok(()),
        Ok(false) => Err(Setback::Changed),
        Err(error) => Err(unreadable(file, &error)),
    }
}

async fn begin(run: &Run, file: &File) -> Result<RemoteFile, Setback> {
    let plan = Plan::new(file.identity.size, run.chunk_size, run.limits);
    let modified = Timestamp::from_nanosecond(file.identity.mtime_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    let announced = NewFile {
        kind: "file",
        name: file.path.name(),
        path: file.path.folder(),
        last_modified: format!("{modified:.3}"),
        size: plan.size,
        chunk_size: plan.chunk_size,
    };
    let created = run.try_to(|| run.cloud().create_file(run.package(), &announced)).await?;
    let multipart_id = match run.try_to(|| run.cloud().begin_file(&created.create_blueprint)).await {
        Ok(multipart_id) => multipart_id,
        // The address for it has expired while we tried: announce the file anew.
        Err(Halt::Refused(_, Verdict::Refresh | Verdict::Restart)) => return Err(Setback::Forgotten),
        Err(halt) => return Err(halt.into()),
    };
    let remote = RemoteFile { id: created.file.id, multipart_id, chunk_size: plan.chunk_size };
    crash_point("file.begun");
    run.store().file_begun(run.id, file.number, remote.clone()).await.map_err(Halt::from)?;
    crash_point("file.begun.kept");
    Ok(remote)
}

/// Sends one part until the storage has it, and writes that down (unless it is the only one: that is written
/// together with the file).
async fn send_one(
    run: &Run,
    file: &File,
    remote: &RemoteFile,
    plan: &Plan,
    opened: &Arc<OpenFile>,
    number: u32,
    single: bool,
) -> Result<Part, Setback> {
    let (offset, length) = plan.range(number);
    let slice = Slice { file: Arc::clone(opened), size: plan.size, offset, length };
    let (mut attempts, mut damaged) = (0, 0);
    loop {
        let slot = run.worker().await?;
        attempts += 1;
        let outcome = run.unless_aborted(attempt(run, remote, number, slice.clone())).await?;
        drop(slot);
        let error = match outcome {
            Ok(sent) => {
                if !sent.proven {
                    run.tell_unproven();
                }
                let part = Part { number, size: length, etag: sent.etag, tree: sent.tree };
                crash_point("part.sent");
                if !single {
                    run.store().part_confirmed(run.id, file.number, part.clone()).await.map_err(Halt::from)?;
                    crash_point("part.kept");
                    run.live.confirm(length);
                }
                return Ok(part);
            }
            Err(SendError::Cloud(error)) => error,
            Err(SendError::Source(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Setback::Changed);
            }
            Err(SendError::Source(error)) => return Err(unreadable(file, &error)),
            Err(SendError::Damaged { sent, stored }) => {
                damaged += 1;
                tracing::warn!(upload = %run.id, file = %file.path, part = number, sent, stored, "part arrived damaged");
                if damaged == DAMAGE_LIMIT {
                    return Err(arrives_damaged(file, number));
                }
                continue;
            }
        };
        match decide(&error, attempts) {
            Verdict::Later(wait) => run.wait_after(&error, attempts, wait).await?,
            Verdict::SignIn => run.wait_for_session(attempts).await?,
            Verdict::Refresh => run.wait_after(&error, attempts, Some(Duration::ZERO)).await?,
            Verdict::Restart => return Err(Setback::Forgotten),
            verdict @ (Verdict::Done | Verdict::Never) => return Err(Halt::Refused(error, verdict).into()),
        }
    }
}

/// One try at a part: an address for it, just before it is used, and the bytes.
async fn attempt(run: &Run, remote: &RemoteFile, number: u32, slice: Slice) -> Result<Sent, SendError> {
    let circuits = run.circuits();
    let cloud_host = run.cloud().base().authority();
    circuits.leave(cloud_host).await;
    let addresses = run.cloud().part_addresses(run.package(), &remote.id, &remote.multipart_id, number, 1).await;
    circuits.learn(cloud_host, addresses.as_ref().err());
    let blueprint = addresses.map_err(SendError::Cloud)?.pop().ok_or_else(|| {
        SendError::Cloud(CloudError::Garbled { call: Call::PartAddresses, reason: "no address".to_owned() })
    })?;
    let storage_host = blueprint.host();
    circuits.leave(&storage_host).await;
    let outcome = send_part(run.cloud(), &blueprint, slice, run.throttle(), run.live.begin_part()).await;
    match &outcome {
        Ok(_) | Err(SendError::Damaged { .. }) => circuits.learn(&storage_host, None),
        Err(SendError::Cloud(error)) => circuits.learn(&storage_host, Some(error)),
        Err(SendError::Source(_)) => {}
    }
    outcome
}

async fn finalize(run: &Run, file: &File, remote: &RemoteFile, parts: &[Part]) -> Result<(), Setback> {
    let closing = FinalizeFile {
        file_id: &remote.id,
        size: file.identity.size,
        chunk_size: remote.chunk_size,
        multipart_id: &remote.multipart_id,
        parts: parts.iter().map(|part| SentPart { number: part.number, etag: &part.etag }).collect(),
    };
    match run.try_to(|| run.cloud().finalize_file(run.package(), &closing)).await {
        Ok(()) | Err(Halt::Refused(_, Verdict::Done)) => Ok(()),
        Err(Halt::Refused(_, Verdict::Restart)) => Err(Setback::Forgotten),
        Err(halt) => Err(halt.into()),
    }
}

fn unreadable(file: &File, error: &std::io::Error) -> Setback {
    let source = &file.source;
    if error.kind() == std::io::ErrorKind::NotFound {
        return Setback::Failed(
            FileState::Gone,
            Problem {
                code: "source_gone".to_owned(),
                message: format!("{} is not there any more", source.display()),
                retryable: true,
                hint: Some("put it back and resume the upload, or remove the upload".to_owned()),
            },
        );
    }
    let hint = if error.kind() == std::io::ErrorKind::PermissionDenied {
        format!("let the agent's user read {}, then resume the upload", parent(source).display())
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

fn arrives_damaged(file: &File, number: u32) -> Setback {
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
