//! The checksum list of what was sent, as the last file of the package: proof of delivery that recipients can check.
//!
//! **In**: an upload whose files are all in the cloud and that is closed. **Out**: one or two more files in its package.
//!
//! **Guarantees.** The checksums are of the bytes that were sent: every file is read once more, and what is read is compared with the BLAKE3 of
//! what was sent. A file that is not what was sent any more is named in a comment instead, and in the log.
//!
//! **On a crash** the next start sees whether the list is in the package: a whole one is left alone, the rest of an unfinished one is
//! removed and sent again.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use masv_client::PartBody;
use masv_platform::host_name;
use masv_protocol::{FileExtras, FileState as RemoteState, FinalizeFile, ListedPart, NewFile, PackagePath, Time};

use super::send::{SendError, is_proven};
use super::task::Run;
use crate::engine::permits::Reads;
use crate::engine::retry::RetryDecision;
use crate::engine::task_context::Halt;
use crate::manifest::ASC_FOLDER;
use crate::manifest::checksum::Algorithm;
use crate::manifest::compose::{Composed, Composer, Entry, Format};
use crate::manifest::reader::digests;
use crate::model::{File, FileState, Problem, SentList, Upload};

/// Files read from the database at once.
const PAGE: u32 = 256;
/// Files that are read at a time.
const READERS: usize = 4;
/// How often a list is sent that arrives damaged, or whose addresses expire.
const MOST_TRIES: u32 = 5;

/// Writes the list that was ordered and adds it to the package, unless it is there.
pub(super) async fn add(run: &Run, upload: &Upload) -> Result<(), Halt> {
    let Some(kind) = upload.options.manifest else { return Ok(()) };
    if upload.closing && is_there(run, upload, kind).await? {
        return Ok(());
    }
    let Some(list) = compose(run, upload, kind).await? else {
        tracing::warn!(upload = %run.id, "the package has a folder {ASC_FOLDER} already: its history is sent as it is, and no list is added");
        return Ok(());
    };
    for (path, bytes) in list {
        send(run, &path, bytes.into()).await?;
    }
    Ok(())
}

/// Whether an earlier attempt has added the list as a whole. What is left of an unfinished one is removed.
async fn is_there(run: &Run, upload: &Upload, kind: SentList) -> Result<bool, Halt> {
    let own = own_paths(run).await?;
    let in_cloud = run.try_to(|| run.cloud().package_files(run.package())).await?;
    let path = |name: &str, folder: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let ours = in_cloud.into_iter().filter(|file| {
        let in_place = match kind {
            SentList::AscMhl => file.path == ASC_FOLDER,
            SentList::Md5 => file.path.is_empty() && file.name.ends_with(".md5"),
        };
        in_place && !own.contains(&path(&file.name, &file.path))
    });
    let ours: Vec<_> = ours.collect();
    let whole = ours.iter().filter(|file| file.state.as_ref().is_some_and(|state| *state == RemoteState::Finalized));
    let wanted = match kind {
        SentList::AscMhl => 2,
        SentList::Md5 => 1,
    };
    if whole.count() >= wanted {
        return Ok(true);
    }
    tracing::debug!(upload = %upload.id, files = ours.len(), "removing an unfinished checksum list");
    for file in ours {
        run.try_to(|| run.cloud().remove_file(run.package(), &file.id)).await.or_else(Halt::unless_refused)?;
    }
    Ok(false)
}

/// The paths of the upload's own files that could be in the way of a list: those at the top, and those in a history.
async fn own_paths(run: &Run) -> Result<HashSet<String>, Halt> {
    let mut paths = HashSet::new();
    let mut after = None;
    loop {
        let page = run.store().files(run.id, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(paths) };
        after = Some(last.number);
        let near = page.iter().filter(|file| file.path.folder().is_empty() || is_history(&file.path));
        paths.extend(near.map(|file| file.path.as_str().to_owned()));
    }
}

fn is_history(path: &PackagePath) -> bool {
    path.as_str().split('/').next() == Some(ASC_FOLDER)
}

/// The list; none where the package has a history of its own.
async fn compose(run: &Run, upload: &Upload, kind: SentList) -> Result<Option<Composed>, Halt> {
    let own = own_paths(run).await?;
    if kind == SentList::AscMhl && own.iter().any(|path| path.split('/').next() == Some(ASC_FOLDER)) {
        return Ok(None);
    }
    let format = match kind {
        SentList::AscMhl => Format::AscMhl,
        SentList::Md5 => Format::Md5,
    };
    let mut list = Composer::new(format, &upload.name, &host_name(), Timestamp::now());
    let mut after = None;
    loop {
        let page = run.store().files(run.id, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.number);
        let sent: Vec<File> = page.into_iter().filter(|file| file.state == FileState::Done).collect();
        let mut read = stream::iter(sent.into_iter().map(|file| async move {
            let digest = digest(run, &file, format.algorithm()).await;
            (file, digest)
        }))
        .buffered(READERS);
        while let Some((file, digest)) = read.next().await {
            match digest? {
                Ok(digest) => list.add(&Entry {
                    path: file.path.as_str().to_owned(),
                    size: file.identity.size,
                    modified: Timestamp::from_nanosecond(file.identity.mtime_ns.into())
                        .unwrap_or(Timestamp::UNIX_EPOCH),
                    digest,
                }),
                Err(why) => {
                    tracing::warn!(upload = %run.id, file = %file.path, "not in the checksum list: {why}");
                    list.leave_out(file.path.as_str(), &why);
                }
            }
        }
    }
    Ok(Some(list.finish(&|path| own.contains(path))))
}

/// The digest of what was sent of a file; or, for a person, why it cannot be told any more.
async fn digest(run: &Run, file: &File, algorithm: Algorithm) -> Result<Result<Vec<u8>, String>, Halt> {
    let _turn = run.worker(Reads { file: file.number, disk: file.identity.device }).await?;
    let (source, wanted) = (file.source.clone(), BTreeSet::from([algorithm, Algorithm::Blake3]));
    let reading = tokio::task::spawn_blocking(move || digests(&source, &wanted));
    let read = run.unless_aborted(reading).await?.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let changed = || Err("it has changed since it was sent".to_owned());
    let found = match read {
        Ok(Some((_, found))) => found,
        Ok(None) => return Ok(changed()),
        Err(error) => return Ok(Err(format!("it cannot be read any more: {error}"))),
    };
    let same = file
        .checksum
        .as_ref()
        .is_some_and(|sent| found.get(&Algorithm::Blake3).is_some_and(|digest| hex::encode(digest) == *sent));
    Ok(match found.get(&algorithm) {
        Some(digest) if same => Ok(digest.clone()),
        _ => changed(),
    })
}

/// Adds a file of these bytes to the package: announced, sent as one part, finalized.
async fn send(run: &Run, path: &str, bytes: Bytes) -> Result<(), Halt> {
    let place = PackagePath::from_relative(Path::new(path)).ok_or_else(|| Halt::Failed(damaged(path)))?;
    for _ in 0..MOST_TRIES {
        match send_once(run, &place, bytes.clone()).await {
            Ok(true) => return Ok(()),
            // It arrived damaged, or its addresses have expired: announced again, it begins anew.
            Ok(false) | Err(Halt::Refused(_, RetryDecision::Refresh | RetryDecision::Restart)) => {}
            Err(halt) => return Err(halt),
        }
    }
    Err(Halt::Failed(damaged(path)))
}

async fn send_once(run: &Run, place: &PackagePath, bytes: Bytes) -> Result<bool, Halt> {
    let size = bytes.len() as u64;
    let announced = NewFile {
        last_modified: Some(Time::from(Timestamp::now())),
        size: Some(size),
        chunk_size: Some(size.max(1)),
        ..NewFile::at(place)
    };
    let created = run.try_to(|| run.cloud().create_file(run.package(), &announced)).await?;
    let id = created.file.id;
    let upload = run.try_to(|| run.cloud().begin_file(&created.create_blueprint)).await?;
    let addresses = run.try_to(|| run.cloud().part_addresses(run.package(), &id, &upload, 1, 1)).await?;
    let Some(address) = addresses.first() else { return Ok(false) };
    let receipt = run.try_to(|| run.cloud().send_part(address, PartBody::whole(bytes.clone()))).await?;
    if let Err(SendError::Damaged { .. }) = is_proven(&receipt, hex::encode(masv_digest::Md5::digest(&bytes))) {
        run.try_to(|| run.cloud().remove_file(run.package(), &id)).await.or_else(Halt::unless_refused)?;
        return Ok(false);
    }
    let parts = vec![ListedPart { number: 1, etag: receipt.tag }];
    let closing = FinalizeFile {
        size: Some(size),
        chunk_size: Some(size.max(1)),
        file_extras: Some(FileExtras { upload_id: Some(upload) }),
        chunk_extras: parts,
        ..FinalizeFile::default()
    };
    match run.try_to(|| run.cloud().finalize_file(run.package(), &id, &closing)).await {
        Ok(()) | Err(Halt::Refused(_, RetryDecision::Done)) => Ok(true),
        Err(halt) => Err(halt),
    }
}

fn damaged(path: &str) -> Problem {
    Problem {
        code: "part_damaged".to_owned(),
        message: format!("the checksum list {path} does not arrive as it was sent"),
        retryable: true,
        hint: Some(
            "something between here and the storage changes what is sent: check proxies, then resume the upload"
                .to_owned(),
        ),
    }
}
