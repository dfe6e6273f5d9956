//! Batches: what the calls for one file do, for many in one round trip. See `masv_protocol::BatchLimits`.
//!
//! Who may call is known from the head, before anything of the body is read. A body counts as every other against what the hub holds
//! in memory, and only so many of contents arrive at a time. Each file is written by itself and answered by itself; the database's writer has them share a
//! flush.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use masv_protocol::{
    BatchLimits, BegunFile, Blueprint, ErrorBody, ErrorKind, FileKind, FinalizeFiles, FinalizedFile, NewFile, NewFiles,
    Outcome, Outcomes, PackageId, SmallFile, SmallFiles,
};
use tokio::sync::Semaphore;

use super::files::{announce, close, create_blueprint, expiry};
use crate::Hub;
use crate::http::access::{Base, ClientAddress, PackageWriter};
use crate::http::bodies::Sender;
use crate::http::json_body::{BATCH_BODY, JsonBody};
use crate::http::refusal::Refusal;
use crate::jobs::removal;
use crate::keys::tokens::Action;
use crate::records::files;
use crate::storage::SMALL_PART;
use crate::stored::{Arrived, Kept, PartName};

/// The most files of a batch.
const MOST_FILES: usize = 1000;
/// The most bytes of content in a batch.
const MOST_CONTENT: usize = 4 << 20;
/// How many files of a batch the bucket is asked about at a time.
const IN_BUCKET_AT_ONCE: usize = 16;

/// Bodies of contents that may arrive at a time: 40 MiB, which is less than what the hub holds of one address.
static CONTENTS: Semaphore = Semaphore::const_new(8);

/// What is taken in a batch, where batches are offered.
pub(super) fn limits(hub: &Hub) -> Option<BatchLimits> {
    // What is in a bucket goes there without passing the hub.
    let small = if hub.context.storage.bucket.is_some() { 0 } else { SMALL_PART };
    hub.context.config.batches.then_some(BatchLimits {
        max_files: MOST_FILES as u64,
        max_json: BATCH_BODY as u64,
        max_small_file: small,
        max_content: MOST_CONTENT as u64,
    })
}

/// What is taken in a batch, or the refusal that none is.
fn offered(hub: &Hub) -> Result<BatchLimits, Refusal> {
    limits(hub).ok_or_else(|| Refusal::not_found("route"))
}

pub(super) async fn create(
    PackageWriter { hub, package, .. }: PackageWriter,
    Base(base): Base,
    JsonBody(NewFiles { files }, ..): JsonBody<NewFiles, BATCH_BODY>,
) -> Result<(StatusCode, Json<Outcomes<BegunFile>>), Refusal> {
    offered(&hub)?;
    let begun = each(&hub, files, |file| begin(&hub, &base, &package, file)).await?;
    Ok((StatusCode::CREATED, Json(begun)))
}

async fn begin(hub: &Hub, base: &str, package: &PackageId, given: NewFile) -> Result<BegunFile, Refusal> {
    let is_single = given.size.is_some_and(|size| given.chunk_size.is_some_and(|chunk| size <= chunk));
    let (id, new) = announce(hub, package, given).await?;
    let begun = BegunFile { id: id.clone(), upload_id: None, create_blueprint: None, part: None };
    if new.kind == FileKind::Directory {
        return Ok(begun);
    }
    if new.in_bucket {
        return Ok(BegunFile { create_blueprint: Some(create_blueprint(hub, base, package, &id)), ..begun });
    }
    let upload = hub.context.keys.upload_id(&id);
    let address = |number| hub.context.keys.address((package, &id), Action::Part(number, &upload), expiry(hub));
    let part = is_single.then(|| Blueprint::new("PUT", format!("{base}{}", address(1))));
    Ok(BegunFile { upload_id: Some(upload), part, ..begun })
}

pub(super) async fn finalize(
    PackageWriter { hub, package, .. }: PackageWriter,
    JsonBody(FinalizeFiles { files }, ..): JsonBody<FinalizeFiles, BATCH_BODY>,
) -> Result<Json<Outcomes<FinalizedFile>>, Refusal> {
    offered(&hub)?;
    let finalized = each(&hub, files, |one| async {
        let row = close(&hub, package.clone(), one.id, one.file).await?;
        Ok(FinalizedFile { id: row.id })
    });
    Ok(Json(finalized.await?))
}

pub(super) async fn contents(
    PackageWriter { hub, package, .. }: PackageWriter,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Outcomes<FinalizedFile>>, Refusal> {
    if offered(&hub)?.max_small_file == 0 {
        return Err(Refusal::not_found("route"));
    }
    // Whoever is early waits for others; what arrives counts against what the hub holds.
    let _turn = CONTENTS.acquire().await.map_err(|error| Refusal::internal(&error))?;
    let reading = hub.server.bodies.read(Sender::Known(address), &headers, body, BATCH_BODY + MOST_CONTENT);
    let (body, _held) = reading.await?;
    let body = Bytes::from(body);
    let sums = tokio::task::spawn_blocking(move || sum_up(&body));
    let files = sums.await.map_err(|error| Refusal::internal(&error))??;
    let (count, bytes) = (files.len(), files.iter().map(|(file, _)| file.size).sum::<u64>());
    let stored = each(&hub, files, |(file, arrived)| store(&hub, &package, file, arrived)).await?;
    tracing::debug!(%package, files = count, bytes, "small files stored");
    Ok(Json(stored))
}

/// A small file with its content as it arrived, or the reason why it is not stored.
type Summed = (SmallFile, Result<Arrived, Refusal>);

/// The files of a body, each with its content and its checksums.
fn sum_up(body: &Bytes) -> Result<Vec<Summed>, Refusal> {
    let files = SmallFiles::read(body).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(files
        .into_iter()
        .map(|(file, content)| {
            let md5 = masv_digest::Md5::digest(content);
            let arrived = if file.size > SMALL_PART {
                Err(Refusal::invalid(format!("a file of more than {SMALL_PART} bytes is sent by itself")))
            } else if !file.md5.eq_ignore_ascii_case(&hex::encode(md5)) {
                Err(Refusal::new(ErrorKind::InvalidPart, "the content does not have the MD5 that the list says"))
            } else {
                let (size, crc) = (file.size, crc32fast::hash(content));
                Ok(Arrived { size, md5, crc, kept: Kept::Here(content.to_vec()) })
            };
            (file, arrived)
        })
        .collect())
}

async fn store(
    hub: &Hub,
    package: &PackageId,
    file: SmallFile,
    arrived: Result<Arrived, Refusal>,
) -> Result<FinalizedFile, Refusal> {
    let arrived = arrived?;
    if !hub.context.keys.is_upload_id(&file.id, &file.upload_id) {
        return Err(Refusal::not_found("upload"));
    }
    let part = PartName { package: package.clone(), file: file.id.clone(), number: 1 };
    removal::remove(&hub.context, files::take_whole(hub.database(), part, arrived).await?);
    Ok(FinalizedFile { id: file.id })
}

/// Does the work for each file of a batch, and says what became of it.
async fn each<T, O, W>(hub: &Hub, files: Vec<T>, work: impl Fn(T) -> W) -> Result<Outcomes<O>, Refusal>
where
    W: Future<Output = Result<O, Refusal>>,
{
    if files.len() > MOST_FILES {
        return Err(Refusal::invalid(format!("a batch has at most {MOST_FILES} files, this one has {}", files.len())));
    }
    let at_once = if hub.context.storage.bucket.is_some() { IN_BUCKET_AT_ONCE } else { MOST_FILES };
    let outcomes = futures_util::stream::iter(files).map(|file| async {
        match work(file).await {
            Ok(done) => Outcome::Done(done),
            Err(refusal) => refused(&refusal),
        }
    });
    Ok(Outcomes { files: outcomes.buffered(at_once).collect().await })
}

fn refused<T>(refusal: &Refusal) -> Outcome<T> {
    let status = refusal.status.as_u16();
    Outcome::Refused {
        status,
        retry_after: refusal.retry_after.map(|wait| wait.as_secs()),
        error: ErrorBody::new(status, refusal.kind, &*refusal.message),
    }
}
