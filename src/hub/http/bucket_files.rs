//! Files in the bucket: handing out its addresses, and closing files there.
//!
//! The hub never sees their bytes. It records what the bucket reports: a file is finalized only after the bucket has
//! joined the listed parts into an object and reports its size.
//!
//! **On a crash** between the bucket's response and our recording it, the sender asks again: the upload is not there
//! any more, the object is.

use std::ops::RangeInclusive;

use masv_protocol::{ListedPart, MultipartId, PackageId};

use super::refusal::Refusal;
use crate::Hub;
use crate::error::HubError;
use crate::jobs::{overfilled, removal};
use crate::records::files::{self, Content, FileRow};
use crate::records::{Error, multipart_complete};
use crate::storage::{Bucket, S3Error};
use crate::stored::{BucketFile, Leftovers, PartName, StoredPart};

/// Bytes of a part but the last, at least: S3 joins no smaller ones.
const SMALLEST_PART: u64 = 5 << 20;

/// What a sender reports about a file that it has sent.
pub(crate) struct Claim {
    /// The upload's id in the bucket.
    pub upload: Option<MultipartId>,
    /// All parts.
    pub listed: Vec<ListedPart>,
    /// Total size in bytes.
    pub size: Option<u64>,
}

/// Whether the bucket can be used: refuses one that denies access, and files in a bucket that is not configured. One
/// that cannot be reached now is only noted: it may come back.
pub(super) async fn check_bucket(hub: &Hub) -> Result<(), HubError> {
    let Some(bucket) = &hub.context.storage.bucket else {
        if hub.database().is_shared() {
            let problem = "hubs that share a database share a bucket too: name it with --storage s3://...";
            return Err(HubError::Invalid(problem.to_owned()));
        }
        if files::any_in_bucket(hub.database()).await? {
            let problem = "files of this hub are in it, but no bucket is configured: set it again with --storage";
            return Err(HubError::Bucket { bucket: "of before".to_owned(), problem: problem.to_owned() });
        }
        return Ok(());
    };
    match bucket.check().await {
        Ok(()) => {
            let owner = bucket.owner(&hub.context.hub_id).await;
            match owner {
                Ok(owner) if owner != hub.context.hub_id => {
                    return Err(HubError::OfAnother { bucket: format!("{bucket:?}") });
                }
                Ok(_) => tracing::info!(?bucket, "new files are stored in the bucket"),
                // It is asked again before anything is swept.
                Err(error) => tracing::error!(?bucket, %error, "the bucket does not say whose it is"),
            }
            Ok(())
        }
        Err(error @ S3Error::Refused { status: 400..500, .. }) => {
            let problem = format!("{error}; check its name, region and credentials");
            Err(HubError::Bucket { bucket: format!("{bucket:?}"), problem })
        }
        Err(error) => {
            tracing::error!(?bucket, %error, "the bucket does not respond; uploads and downloads wait for it");
            Ok(())
        }
    }
}

/// How many parts a file may have that was announced with its size, and how many bytes each of them, as far as that is known.
struct Lengths {
    size: u64,
    chunk: Option<u64>,
    count: u64,
}

impl Lengths {
    fn of(file: &FileRow) -> Option<Self> {
        // Of whoever does not say how large their parts are, S3 takes no smaller ones.
        let chunk = file.chunk_size.unwrap_or(SMALLEST_PART);
        let count = file.size.div_ceil(chunk).max(1);
        let known = file.chunk_size.is_some() || count == 1;
        file.sized.then_some(Self { size: file.size, chunk: known.then_some(chunk), count })
    }

    /// Bytes of a part, from 1.
    fn part(&self, number: u32) -> Option<u64> {
        let before = u64::from(number).saturating_sub(1).saturating_mul(self.chunk?);
        Some(self.size.saturating_sub(before).min(self.chunk?))
    }
}

/// The addresses of some parts of a file that is being sent, whose upload the bucket calls `upload`. The hub does not see what is sent there:
/// what a stranger may send is bound by the addresses, to the parts that the file has and to their lengths. Where these are not known, the bucket is
/// asked what it has, and the stranger gets no more addresses than the file can have parts.
pub(super) async fn part_addresses(
    hub: &Hub,
    package: &PackageId,
    file: FileRow,
    upload: Option<MultipartId>,
    (parts, of_stranger): (RangeInclusive<u32>, bool),
) -> Result<Vec<String>, Refusal> {
    let bucket = hub.context.bucket()?;
    let lengths = of_stranger.then(|| Lengths::of(&file)).flatten();
    if lengths.as_ref().is_some_and(|lengths| u64::from(*parts.start()) > lengths.count) {
        return Err(Error::BeyondAnnounced { announced: file.size }.into());
    }
    let needed = || Refusal::invalid("upload_id is required: it is in the response to the create blueprint");
    let upload = upload.or_else(|| file.upload.clone()).ok_or_else(needed)?;
    let id = file.id.clone();
    let is_bound = lengths.as_ref().is_some_and(|lengths| lengths.chunk.is_some());
    let mut most_parts = lengths.as_ref().map(|lengths| lengths.count);
    if of_stranger && !is_bound {
        let file = files::unbound_file(hub.database(), package.clone(), file.clone(), upload.clone()).await?;
        most_parts = Some(most_parts.unwrap_or_else(|| file.most.div_ceil(SMALLEST_PART).max(1)));
        let too_much = overfilled::stop_if_too_much(&hub.context, bucket, &file).await;
        if too_much.map_err(|error| Refusal::internal(&error))? {
            return Err(Error::BeyondAnnounced { announced: file.most }.into());
        }
    }
    let replaced = files::set_upload(hub.database(), package.clone(), file, upload.clone()).await?;
    if replaced.is_some() {
        // Started twice: the response to the first start was lost.
        let before = BucketFile { package: package.clone(), file: id.clone(), upload: replaced };
        removal::abort_upload(&hub.context, before);
    }
    let address = |number| {
        let part = PartName { package: package.clone(), file: id.clone(), number };
        let length = lengths.as_ref().and_then(|lengths| lengths.part(number));
        bucket.part_address(&part, &upload, length, hub.context.config.address_life).to_string()
    };
    let is_there = |number: &u32| most_parts.is_none_or(|most| u64::from(*number) <= most);
    Ok(parts.filter(is_there).map(address).collect())
}

/// Finalizes a file: the bucket joins the listed parts into one object. Continues if the sender disconnects: joining many parts
/// may take longer than the sender waits, and it will ask again.
pub(super) async fn finalize(hub: &Hub, package: PackageId, file: FileRow, claim: Claim) -> Result<FileRow, Refusal> {
    let hub = hub.clone();
    let closing = tokio::spawn(async move { close(&hub, package, file, claim).await });
    closing.await.map_err(|error| Refusal::internal(&error))?
}

async fn close(hub: &Hub, package: PackageId, file: FileRow, claim: Claim) -> Result<FileRow, Refusal> {
    let bucket = hub.context.bucket()?;
    let gone = || Refusal::not_found("upload");
    let (id, size) = (file.id.clone(), claim.size.unwrap_or(file.size));
    let upload = claim.upload.or_else(|| file.upload.clone()).ok_or_else(gone)?;
    match bucket.parts(&package, &id, &upload).await {
        Ok(parts) => {
            let etags = join_order(claim.listed, parts, size)?;
            // Before the parts are joined: a file refused for lack of space can be finalized later.
            files::check_close(hub.database(), package.clone(), file, size).await?;
            let file = BucketFile { package: package.clone(), file: id.clone(), upload: Some(upload) };
            join(bucket, &file, &etags).await?;
        }
        // It was joined before, and the response was lost; or it no longer exists.
        Err(error) if error.is("NoSuchUpload") => {}
        Err(error) => return Err(error.into()),
    }
    let stored = bucket.stored(&package, &id).await?.ok_or_else(gone)?;
    multipart_complete::check_size(stored.size, size)?;
    let content = Content { size: stored.size, etag: stored.etag, crc: None, md5: None };
    let closed = files::close(hub.database(), (package.clone(), id.clone()), content).await;
    if closed.as_ref().is_err_and(Error::is_permanent) {
        // Removed, or permanently refused: the object is not needed.
        let left = BucketFile { package, file: id, upload: None };
        removal::remove(&hub.context, Leftovers { parts: Vec::new(), files: vec![left] });
    }
    Ok(closed?)
}

/// The ETags of the listed parts in order, which must be the stored ones and acceptable to S3.
fn join_order(mut listed: Vec<ListedPart>, stored: Vec<StoredPart>, size: u64) -> Result<Vec<String>, Error> {
    let parts = multipart_complete::one_of_each(&listed, stored);
    multipart_complete::check_size(multipart_complete::compare(&mut listed, &parts)?, size)?;
    let parts = &parts[..listed.len()];
    if let Some((small, _)) = parts.iter().zip(&parts[1..]).find(|(part, _)| part.size < SMALLEST_PART) {
        let message = format!("part {} is smaller than 5 MiB and is not the last", small.number);
        return Err(Error::InvalidPart(message));
    }
    Ok(parts.iter().map(|part| part.etag.clone()).collect())
}

async fn join(bucket: &Bucket, file: &BucketFile, etags: &[String]) -> Result<(), S3Error> {
    let BucketFile { package, file, upload } = file;
    let Some(upload) = upload else { return Ok(()) };
    match bucket.complete(package, file, upload, etags).await {
        // Another process may have done it meanwhile.
        Err(error) if error.is("NoSuchUpload") => Ok(()),
        outcome => outcome,
    }
}
