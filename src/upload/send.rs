//! Sending one part: read once, hashed once (MD5 for the storage's ETag, BLAKE3 for the file's checksum), sent once.
//!
//! Reading and hashing happen on a blocking thread, a few blocks ahead of the network, so memory is bounded by
//! the window whatever the part's size; the MD5s of parts that are sent side by side are computed side by side. A
//! request that makes no progress for the cloud's patience is aborted.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::blocks::Blocks;
use crate::engine::bandwidth::Throttle;
use crate::engine::blake3_tree::PartHasher;
use crate::engine::progress::InFlight;
use masv_client::{Call, Cloud, CloudError, PartBody, Receipt};
use masv_digest::{Md5, SharedMd5};
use masv_platform::read_exact_at;
use masv_protocol::Blueprint;

/// Bytes read at once,
const BLOCK: usize = 256 << 10;
/// and where so many parts are on their way at once that their blocks would fill the memory.
const SMALL_BLOCK: usize = 64 << 10;
/// With how many parts blocks are large.
const FEW: usize = 16;
/// Blocks that may wait between disk and network, and for the hashing.
const WINDOW: usize = 4;

/// Bytes that a part is read by, with so many others on their way.
fn block_size(workers: usize) -> usize {
    if workers <= FEW { BLOCK } else { SMALL_BLOCK }
}

/// Which bytes of which file.
#[derive(Clone)]
pub(crate) struct Slice {
    pub file: Arc<File>,
    /// Size of the whole file in bytes.
    pub size: u64,
    pub offset: u64,
    pub length: u64,
}

impl Slice {
    fn tree(&self) -> PartHasher {
        PartHasher::new(self.offset, self.length, self.size)
    }
}

/// A part that the storage has completely.
pub(crate) struct Sent {
    /// The storage's ETag, verbatim.
    pub etag: String,
    /// The part's share of the file's checksum.
    pub tree: Vec<u8>,
    /// Whether the ETag proves the content; some storages use ETags that are not MD5s.
    pub proven: bool,
}

/// Why a part did not arrive.
#[derive(Debug)]
pub(crate) enum SendError {
    Cloud(CloudError),
    /// The file could not be read, or ended before the part did.
    Source(std::io::Error),
    /// The storage has something other than what was sent.
    Damaged {
        sent: String,
        stored: String,
    },
}

/// The two digests of a part.
pub(super) struct Digests {
    pub(super) md5: [u8; 16],
    pub(super) tree: Vec<u8>,
}

/// Sends a part. Dropping the future cancels the request and the reading.
pub(crate) async fn send_part(
    cloud: &Cloud,
    blueprint: &Blueprint,
    slice: Slice,
    throttle: &Throttle,
    in_flight: Arc<InFlight>,
    workers: usize,
) -> Result<Sent, SendError> {
    let (sender, receiver) = mpsc::channel(WINDOW);
    let length = slice.length;
    let (body, reading) = if length <= BLOCK as u64 {
        let (bytes, digests) = blocking(move || read_small(&slice)).await?.map_err(SendError::Source)?;
        throttle.take(length).await;
        in_flight.add(length);
        (PartBody::whole(bytes), Reading::Over(digests))
    } else {
        let reading = tokio::task::spawn_blocking(move || read_blocks(&slice, block_size(workers), &sender));
        let stream = paced(receiver, throttle.clone(), Arc::clone(&in_flight));
        (PartBody::streaming(length, stream), Reading::Running(reading))
    };
    let answer = unless_stalled(cloud.send_part(blueprint, body), &in_flight, cloud.patience().stall).await;
    let digests = match reading {
        Reading::Over(digests) => digests,
        Reading::Running(reading) => match reading.await {
            Ok(Ok(Some(digests))) => digests,
            // The network failed first: its error is the one that counts.
            Ok(Ok(None)) => {
                return Err(SendError::Cloud(answer.err().unwrap_or_else(|| unreachable("the body was cut"))));
            }
            Ok(Err(error)) => return Err(SendError::Source(error)),
            Err(error) => return Err(SendError::Source(std::io::Error::other(error))),
        },
    };
    let receipt = answer.map_err(SendError::Cloud)?;
    let proven = is_proven(&receipt, hex::encode(digests.md5))?;
    Ok(Sent { etag: receipt.tag, tree: digests.tree, proven })
}

enum Reading {
    Over(Digests),
    Running(tokio::task::JoinHandle<std::io::Result<Option<Digests>>>),
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SendError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SendError::Source(std::io::Error::other(error)))
}

/// Reads and hashes a part that is no larger than a block.
pub(super) fn read_small(slice: &Slice) -> std::io::Result<(Bytes, Digests)> {
    let mut block = vec![0; usize::try_from(slice.length).unwrap_or(BLOCK)];
    read_exact_at(&slice.file, &mut block, slice.offset)?;
    let mut tree = slice.tree();
    tree.update(&block);
    let digests = Digests { md5: Md5::digest(&block), tree: tree.finish() };
    Ok((block.into(), digests))
}

/// Reads and hashes block by block; `None` if the receiver is gone.
fn read_blocks(
    slice: &Slice,
    size: usize,
    sender: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<Option<Digests>> {
    let (mut md5, mut tree, memory) = (SharedMd5::new(WINDOW * size), slice.tree(), Blocks::new(size));
    let mut offset = slice.offset;
    let end = slice.offset + slice.length;
    while offset < end {
        let length = usize::try_from(end - offset).unwrap_or(size).min(size);
        let block = match memory.filled(length, |block| read_exact_at(&slice.file, block, offset)) {
            Ok(block) => block,
            Err(error) => {
                // The request must not end as if the part were complete.
                let _ = sender.blocking_send(Err(std::io::Error::new(error.kind(), "the source could not be read")));
                return Err(error);
            }
        };
        tree.update(&block);
        if sender.blocking_send(Ok(block.clone())).is_err() {
            return Ok(None);
        }
        md5.update(block);
        offset += length as u64;
    }
    Ok(Some(Digests { md5: md5.finalize(), tree: tree.finish() }))
}

/// The blocks under the rate limit, in pieces if the limit is low.
fn paced(
    receiver: mpsc::Receiver<std::io::Result<Bytes>>,
    throttle: Throttle,
    in_flight: Arc<InFlight>,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    let begun = (receiver, throttle, in_flight, Bytes::new());
    futures_util::stream::unfold(begun, |(mut receiver, throttle, in_flight, mut left)| async move {
        if left.is_empty() {
            match receiver.recv().await? {
                Ok(block) => left = block,
                Err(error) => return Some((Err(error), (receiver, throttle, in_flight, left))),
            }
        }
        let piece = usize::try_from(throttle.piece()).unwrap_or(usize::MAX).min(left.len());
        let piece = left.split_to(piece);
        throttle.take(piece.len() as u64).await;
        in_flight.add(piece.len() as u64);
        Some((Ok(piece), (receiver, throttle, in_flight, left)))
    })
}

/// Waits for an answer, as long as bytes move.
pub(super) async fn unless_stalled<T>(
    request: impl Future<Output = Result<T, CloudError>>,
    in_flight: &InFlight,
    limit: Duration,
) -> Result<T, CloudError> {
    tokio::pin!(request);
    let mut seen = in_flight.so_far();
    let mut deadline = Instant::now() + limit;
    loop {
        tokio::select! {
            answer = &mut request => return answer,
            () = tokio::time::sleep_until(deadline) => {
                if in_flight.so_far() == seen {
                    return Err(unreachable("the connection stalled"));
                }
                seen = in_flight.so_far();
                deadline = Instant::now() + limit;
            }
        }
    }
}

fn unreachable(reason: &str) -> CloudError {
    CloudError::Unreachable { call: Call::SendPart, reason: reason.to_owned() }
}

/// Whether the storage's receipt proves that it has what was `sent`; an error when it proves the contrary.
pub(super) fn is_proven(receipt: &Receipt, sent: String) -> Result<bool, SendError> {
    match md5_of_tag(&receipt.tag).filter(|_| !receipt.sealed) {
        Some(stored) if stored != sent => Err(SendError::Damaged { sent, stored }),
        proven => Ok(proven.is_some()),
    }
}

/// The MD5 in an ETag, if there is one: 32 hexadecimal digits, with or without quotes.
fn md5_of_tag(etag: &str) -> Option<String> {
    let tag = etag.trim().trim_matches('"');
    (tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| tag.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_proves_that_it_arrived_or_that_it_did_not_or_nothing() {
        let md5 = || "d41d8cd98f00b204e9800998ecf8427e".to_owned();
        let receipt = |tag: &str, sealed| Receipt { tag: format!("\"{tag}\""), sealed };
        assert!(matches!(is_proven(&receipt(&md5(), false), md5()), Ok(true)));
        assert!(matches!(is_proven(&receipt(&"0".repeat(32), false), md5()), Err(SendError::Damaged { .. })));
        assert!(matches!(is_proven(&receipt(&"0".repeat(32), true), md5()), Ok(false)));
        assert!(matches!(is_proven(&receipt("abc-2", false), md5()), Ok(false)));
    }

    #[test]
    fn only_a_tag_that_is_an_md5_is_taken_for_one() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(md5_of_tag(&format!("\"{md5}\"")).as_deref(), Some(md5));
        assert_eq!(md5_of_tag(&md5.to_uppercase()).as_deref(), Some(md5));
        for other in ["", "\"abc\"", "\"d41d8cd98f00b204e9800998ecf8427e-3\"", "W/\"x\""] {
            assert_eq!(md5_of_tag(other), None, "{other}");
        }
    }
}
