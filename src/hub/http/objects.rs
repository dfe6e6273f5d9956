//! Files in the bucket: handing out its addresses, closing files there, and finding what nobody knows any more.
//!
//! The hub never sees their bytes. What it writes down is what the bucket says: a file is closed only after the bucket has
//! made an object of the listed parts and tells its size.
//!
//! **On a crash** between the bucket's answer and our writing it down, the sender asks again: the upload is not there
//! any more, the object is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::Hub;
use crate::error::{HubError, Refusal};
use crate::http::wire::{is_id, now};
use crate::records::files;
use crate::records::files::{Content, FileRow};
use crate::records::packages;
use crate::storage::multipart_complete;
use crate::storage::multipart_complete::ListedPart;
use crate::storage::{Bucket, BucketFile, Found, Leftovers, Next, PartName, S3Error};

/// Bytes of a part but the last, at least: S3 joins no smaller ones.
const SMALLEST_PART: u64 = 5 << 20;
/// How many objects are looked at at once.
const PAGE: usize = 1000;

impl Hub {
    /// The bucket, for a file that is in one.
    pub(crate) fn bucket(&self) -> Result<&Bucket, Refusal> {
        let none = || Refusal::internal(&"a file is in a bucket, but none is set");
        self.storage().bucket.as_ref().ok_or_else(none)
    }

    /// Whether the bucket can be used: refuses one that does not let us in, and files in a bucket that is not set. One
    /// that cannot be reached now is only noted: it may come back.
    pub(crate) async fn check_bucket(&self) -> Result<(), HubError> {
        let Some(bucket) = &self.storage().bucket else {
            if self.database().read(files::any_in_bucket).await? {
                let problem = "files of this hub are in it, but no bucket is set: set it again with --storage";
                return Err(HubError::Bucket { bucket: "of before".to_owned(), problem: problem.to_owned() });
            }
            return Ok(());
        };
        match bucket.check().await {
            Ok(()) => {
                tracing::info!(?bucket, "the bucket takes new files");
                Ok(())
            }
            Err(error @ S3Error::Refused { status: 400..500, .. }) => {
                let problem = format!("{error}; check its name, its region and the credentials");
                Err(HubError::Bucket { bucket: format!("{bucket:?}"), problem })
            }
            Err(error) => {
                tracing::error!(?bucket, %error, "the bucket does not answer; uploads and downloads wait for it");
                Ok(())
            }
        }
    }
}

/// The addresses of parts `first` to `last` of a file that is being sent, whose upload the bucket calls `upload`.
pub(crate) async fn part_addresses(
    hub: &Hub,
    package: &str,
    file: FileRow,
    upload: Option<String>,
    parts: std::ops::RangeInclusive<u32>,
) -> Result<Vec<Url>, Refusal> {
    let bucket = hub.bucket()?;
    let needed = || Refusal::invalid("upload_id is needed: it is in the answer to the create blueprint");
    let upload = upload.or_else(|| file.upload.clone()).ok_or_else(needed)?;
    let id = file.id.clone();
    let of = package.to_owned();
    hub.database().write(move |connection| packages::touch(connection, &of, now())).await?;
    if file.upload.as_ref() != Some(&upload) {
        let given = upload.clone();
        let before = hub.database().write(move |connection| files::set_upload(connection, &file, &given)).await?;
        if let Some(before) = before {
            // Begun twice: the answer to the first beginning was lost.
            let (bucket, package, file) = (bucket.clone(), package.to_owned(), id.clone());
            tokio::spawn(async move {
                if let Err(error) = bucket.abort(&package, &file, &before).await {
                    tracing::warn!(?bucket, package, file, %error, "cannot give up an upload in the bucket");
                }
            });
        }
    }
    let address = |number| {
        let part = PartName { package: package.to_owned(), file: id.clone(), number };
        bucket.part_address(&part, &upload, hub.config().address_life)
    };
    Ok(parts.map(address).collect())
}

/// Closes a file: the bucket makes one object of the listed parts. Goes on when the sender has gone: joining many parts
/// may take longer than it waits, and it will ask again.
pub(crate) async fn finalize(
    hub: &Hub,
    package: String,
    file: FileRow,
    upload: Option<String>,
    listed: Vec<ListedPart>,
    size: Option<u64>,
) -> Result<FileRow, Refusal> {
    let hub = hub.clone();
    let closing = tokio::spawn(async move { close(&hub, &package, &file, upload, listed, size).await });
    closing.await.map_err(|error| Refusal::internal(&error))?
}

async fn close(
    hub: &Hub,
    package: &str,
    file: &FileRow,
    upload: Option<String>,
    mut listed: Vec<ListedPart>,
    size: Option<u64>,
) -> Result<FileRow, Refusal> {
    let bucket = hub.bucket()?;
    let said = size.unwrap_or(file.size);
    let gone = || Refusal::not_found("upload");
    let upload = upload.or_else(|| file.upload.clone()).ok_or_else(gone)?;
    match bucket.parts(package, &file.id, &upload).await {
        Ok(parts) => {
            let parts = multipart_complete::one_of_each(&listed, parts);
            multipart_complete::check_size(multipart_complete::compare(&mut listed, &parts)?, said)?;
            let (of, row) = (package.to_owned(), file.clone());
            // Before the parts are joined: what is refused for want of room can be closed later.
            hub.database().read(move |connection| files::check_close(connection, &of, &row, said)).await?;
            let parts = &parts[..listed.len()];
            if let Some((small, _)) = parts.iter().zip(&parts[1..]).find(|(part, _)| part.size < SMALLEST_PART) {
                let message = format!("part {} has less than 5 MiB and is not the last", small.number);
                return Err(Refusal::new(axum::http::StatusCode::BAD_REQUEST, "invalid_part", message));
            }
            let etags: Vec<String> = parts.iter().map(|part| part.etag.clone()).collect();
            match bucket.complete(package, &file.id, &upload, &etags).await {
                // Somebody else has done it in between, perhaps.
                Err(error) if error.is("NoSuchUpload") => {}
                outcome => outcome?,
            }
        }
        // It was joined before, and the answer lost; or it is no more.
        Err(error) if error.is("NoSuchUpload") => {}
        Err(error) => return Err(error.into()),
    }
    let stored = bucket.stored(package, &file.id).await?.ok_or_else(gone)?;
    multipart_complete::check_size(stored.size, said)?;
    let (of, row) = (package.to_owned(), file.clone());
    let closed = hub.database().write(move |connection| {
        let known = files::get(connection, &of, &row.id)?;
        if known.finalized {
            return Ok(known);
        }
        let content = Content { size: stored.size, etag: &stored.etag, crc: None };
        files::close(connection, &of, &known, &content, now())
    });
    let closed: Result<_, Refusal> = closed.await;
    if closed.as_ref().is_err_and(|refusal| refusal.status.is_client_error()) {
        // Removed, or refused for good: nobody will ask for the object.
        let left = BucketFile { package: package.to_owned(), file: file.id.clone(), upload: None };
        hub.remove(Leftovers { parts: Vec::new(), files: vec![left] });
    }
    closed
}

/// Removes from the bucket what is older than `age` and no row knows: objects, and uploads that are not complete.
pub(crate) async fn sweep(hub: &Hub, bucket: &Bucket, age: Duration) -> Result<(), Refusal> {
    let before = Timestamp::now() - SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    let mut next: Option<Next> = None;
    loop {
        let page = bucket.objects("", next, PAGE).await?;
        let unknown = unknown(hub, page.found, before).await?;
        if !unknown.is_empty() {
            tracing::info!(?bucket, removed = unknown.len(), "files removed from the bucket that nothing points to");
            let files: Vec<_> = unknown.into_iter().map(|found| (found.package, found.file)).collect();
            bucket.remove(&files).await?;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    loop {
        let page = bucket.uploads("", next).await?;
        for Found { package, file, upload, .. } in unknown(hub, page.found, before).await? {
            tracing::info!(?bucket, package, file, "upload in the bucket given up that nothing points to");
            bucket.abort(&package, &file, &upload.unwrap_or_default()).await?;
        }
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// What of this is from before `before` and known to no row. A key that is not of our making is left alone.
async fn unknown(hub: &Hub, found: Vec<Found>, before: Timestamp) -> Result<Vec<Found>, Refusal> {
    let ours = |found: &Found| is_id(&found.package) && is_id(&found.file);
    let mut old: Vec<Found> =
        found.into_iter().filter(|found| ours(found) && found.since.is_some_and(|since| since <= before)).collect();
    if old.is_empty() {
        return Ok(old);
    }
    hub.database()
        .read(move |connection| {
            let mut unknown = Vec::new();
            for found in old.drain(..) {
                let known = match files::upload_in_bucket(connection, &found.file)? {
                    None => false,
                    Some((finalized, upload)) => match &found.upload {
                        None => true,
                        // Begun, and its first part not asked for yet; or the one that is being sent.
                        Some(id) => !finalized && upload.is_none_or(|upload| upload == *id),
                    },
                };
                if !known {
                    unknown.push(found);
                }
            }
            Ok(unknown)
        })
        .await
}
