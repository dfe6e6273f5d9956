//! Receiving one part: requested as a range, hashed, written where it belongs, counted, flushed.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::engine::{Circuits, InFlight, PartHasher, Throttle};
use masv_client::{Call, Cloud, CloudError, Incoming, PackageAccess, storage_host};
use masv_protocol::{FileId, SecretUrl};

/// How many bytes are collected before they are written.
const BLOCK: usize = 1 << 20;
/// A connection on which nothing arrives for this long is dead.
const STALL_LIMIT: Duration = Duration::from_secs(90);

/// Which bytes of which file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub offset: u64,
    pub length: u64,
    /// Size of the whole file in bytes, as far as we know.
    pub size: u64,
}

/// Why a part did not arrive.
#[derive(Debug)]
pub(super) enum FetchError {
    Cloud(CloudError),
    /// It could not be written.
    Disk(io::Error),
    /// The storage has another file now: of this size, if it reports it.
    Changed(Option<u64>),
    /// The storage serves whole files only.
    NoRanges,
    /// This host is known to be unavailable.
    Away(String),
}

impl From<CloudError> for FetchError {
    fn from(error: CloudError) -> Self {
        Self::Cloud(error)
    }
}

/// What all parts of one file share.
pub(super) struct Source<'a> {
    pub cloud: &'a Cloud,
    pub circuits: &'a Circuits,
    pub throttle: &'a Throttle,
    pub package: PackageAccess<'a>,
    pub file: &'a FileId,
    /// The storage's ETag of the content of the parts so far.
    pub etag: Mutex<Option<String>>,
    /// The URL to read it from, until that expires.
    address: Mutex<Option<SecretUrl>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        cloud: &'a Cloud,
        circuits: &'a Circuits,
        throttle: &'a Throttle,
        package: PackageAccess<'a>,
        file: &'a FileId,
        etag: Option<String>,
    ) -> Self {
        Self { cloud, circuits, throttle, package, file, etag: Mutex::new(etag), address: Mutex::default() }
    }

    /// The URL has expired.
    pub(super) async fn forget_address(&self) {
        *self.address.lock().await = None;
    }

    /// Where the file can be read: known, or asked for.
    pub(super) async fn address(&self) -> Result<SecretUrl, FetchError> {
        let mut known = self.address.lock().await;
        if let Some(address) = &*known {
            return Ok(address.clone());
        }
        let host = self.cloud.base().authority();
        if !self.circuits.may_call(host) {
            return Err(FetchError::Away(host.to_owned()));
        }
        let asked = self.cloud.file_address(self.package, self.file).await;
        self.circuits.learn(host, asked.as_ref().err());
        let address = asked?;
        *known = Some(address.clone());
        Ok(address)
    }

    /// Receives a part into its place in `target`, flushed; returns its share of the file's BLAKE3 tree. Dropping the future
    /// cancels the request.
    pub(super) async fn fetch(
        &self,
        range: Range,
        target: &Arc<File>,
        in_flight: Arc<InFlight>,
    ) -> Result<Vec<u8>, FetchError> {
        let address = self.address().await?;
        let host = storage_host(&address);
        if !self.circuits.may_call(&host) {
            return Err(FetchError::Away(host));
        }
        let asked = within(self.cloud.receive(&address, range.offset, range.length)).await;
        self.circuits.learn(&host, asked.as_ref().err());
        let incoming = asked?;
        self.compare(range, &incoming).await?;
        let received = self.write(range, incoming, target, &in_flight).await;
        if let Err(FetchError::Cloud(error)) = &received {
            self.circuits.learn(&host, Some(error));
        }
        received
    }

    /// Whether the response is for the same file as the other parts.
    async fn compare(&self, range: Range, incoming: &Incoming) -> Result<(), FetchError> {
        if let Some(total) = incoming.total.filter(|total| *total != range.size) {
            return Err(FetchError::Changed(Some(total)));
        }
        let mut known = self.etag.lock().await;
        match (&*known, &incoming.etag) {
            (Some(known), Some(now)) if known != now => return Err(FetchError::Changed(incoming.total)),
            (None, Some(_)) => known.clone_from(&incoming.etag),
            _ => {}
        }
        let wrong = incoming.offset != range.offset || (incoming.whole && range.length < range.size);
        if wrong { Err(FetchError::NoRanges) } else { Ok(()) }
    }

    async fn write(
        &self,
        range: Range,
        mut incoming: Incoming,
        target: &Arc<File>,
        in_flight: &InFlight,
    ) -> Result<Vec<u8>, FetchError> {
        let mut hasher = PartHasher::new(range.offset, range.length, range.size);
        let (mut at, end) = (range.offset, range.offset + range.length);
        let mut block = Vec::new();
        loop {
            let bytes = within(incoming.next()).await?;
            let over = bytes.is_none();
            if let Some(bytes) = bytes {
                let length = bytes.len() as u64;
                if at + block.len() as u64 + length > end {
                    return Err(cut("received more than was requested").into());
                }
                self.throttle.take(length).await;
                in_flight.add(length);
                block.extend_from_slice(&bytes);
            }
            if block.len() >= BLOCK || over {
                let (length, full, target) = (block.len() as u64, std::mem::take(&mut block), Arc::clone(target));
                hasher = blocking(move || {
                    hasher.update(&full);
                    masv_platform::write_all_at(&target, &full, at)?;
                    if over {
                        masv_platform::flush_data(&target)?;
                    }
                    Ok(hasher)
                })
                .await?;
                at += length;
            }
            if over {
                return if at == end {
                    Ok(hasher.finish())
                } else {
                    Err(cut("the connection was closed early").into())
                };
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(FetchError::Disk)
}

async fn within<T>(step: impl Future<Output = Result<T, CloudError>>) -> Result<T, CloudError> {
    tokio::time::timeout(STALL_LIMIT, step).await.unwrap_or_else(|_| Err(cut("the connection stalled")))
}

fn cut(reason: &str) -> CloudError {
    CloudError::Unreachable { call: Call::ReceivePart, reason: reason.to_owned() }
}
