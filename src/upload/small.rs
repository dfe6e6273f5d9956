//! A small file on its way: read once, checked, and sent together with others in a batch that finalizes them, too.
//!
//! Its bytes are in memory when it is compared with the disk for the last time, so what is finalized is what was chosen. How much of
//! all uploads is in memory at a time is bounded. The cloud refuses content that has another MD5 than the list says: it arrived
//! damaged, and is sent again.

use std::sync::Arc;
use std::time::Duration;

use super::batches::Small;
use super::compare;
use super::file::{DAMAGE_LIMIT, Setback, arrives_damaged, as_verified, checksum, open, unreadable};
use super::plan::Plan;
use super::send::{Digests, Slice, read_small};
use super::task::Run;
use crate::engine::counters::Cause;
use crate::engine::permits::Reads;
use crate::engine::retry::{RetryDecision, Tries};
use crate::engine::task_context::Halt;
use crate::model::{File, Part, RemoteFile};
use masv_client::{BAD_DIGEST, CloudError};
use masv_platform::crash_point;
use masv_protocol::SmallFile;

/// Sends a file that is begun and finalizes it. Returns its only part; nothing where it has to be sent by itself.
pub(super) async fn send_whole(
    run: &Run,
    file: &mut File,
    remote: &RemoteFile,
    wary: bool,
) -> Result<Option<Part>, Setback> {
    let Some(batches) = run.batches().filter(|batches| batches.takes_content(file.identity.size)) else {
        return Ok(None);
    };
    let (mut tries, mut damaged) = (Tries::default(), 0);
    loop {
        let size = file.identity.size;
        let memory = run.memory_for_small(size).await?;
        let (content, Digests { md5, tree }) = read(run, file, wary).await?;
        let md5 = hex::encode(md5);
        let part = Part { number: 1, size, etag: format!("\"{md5}\""), tree };
        compare::unchanged(run, file, remote.chunk_size, std::slice::from_ref(&part)).await?;
        as_verified(
            file,
            checksum(Plan { size, chunk_size: remote.chunk_size }, std::slice::from_ref(&part)).as_deref(),
        )?;
        run.unless_stopped(run.throttle().take(size)).await?;
        let (id, upload_id) = (remote.id.clone(), remote.multipart_id.clone());
        let small = SmallFile { id, upload_id, size, md5: md5.clone() };
        let error = match batches.send(Small { file: small, content, memory }).await? {
            None => return Ok(None),
            Some(Ok(())) => {
                crash_point("part.sent");
                return Ok(Some(part));
            }
            Some(Err(error)) => error,
        };
        if matches!(&error, CloudError::Refused { code: Some(code), .. } if code == BAD_DIGEST) {
            damaged += 1;
            run.live.tally().retry(Cause::Damaged);
            tracing::warn!(upload = %run.id, file = %file.path, md5, "file arrived damaged");
            if damaged == DAMAGE_LIMIT {
                return Err(arrives_damaged(file, 1));
            }
            continue;
        }
        match tries.failed(&error) {
            RetryDecision::Done => return Ok(Some(part)),
            RetryDecision::Later(wait) => run.wait_after(&error, tries.made(), wait).await?,
            RetryDecision::Refresh => run.wait_after(&error, tries.made(), Some(Duration::ZERO)).await?,
            RetryDecision::SignIn => run.wait_for_session(&error).await?,
            RetryDecision::Restart => return Err(Setback::Forgotten),
            RetryDecision::Never => return Err(Halt::Refused(error, RetryDecision::Never).into()),
        }
    }
}

/// Reads the file whole, as one of those that may read from its disk.
async fn read(run: &Run, file: &File, wary: bool) -> Result<(bytes::Bytes, Digests), Setback> {
    let worker = run.worker(Reads { file: file.number, disk: file.identity.device }).await?;
    let opened = open(file, wary).await?;
    let size = file.identity.size;
    let slice = Slice { file: Arc::new(opened), size, offset: 0, length: size };
    let read = tokio::task::spawn_blocking(move || read_small(&slice)).await;
    drop(worker);
    match read.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(read) => Ok(read),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Setback::Changed),
        Err(error) => Err(unreadable(file, &error)),
    }
}
