//! Takes the body of a part: counts, hashes and writes it while it arrives.
//!
//! Frames are gathered into batches; a batch is hashed and written on a blocking thread while the next one arrives,
//! so a slow sender holds no thread and memory stays at four batches a part. Batches are smaller while many parts arrive at once: senders
//! on long links have dozens on their way.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::disk::Arriving;
use super::{Disk, SMALL_PART};
use crate::stored::{Arrived, Kept, PartName};
use masv_digest::{Md5, SharedMd5};

/// Bytes of a batch, at most and at least.
const BATCH: usize = 1 << 20;
const SMALLEST_BATCH: usize = 128 << 10;
/// Bytes of one batch of each part that arrives.
const BATCHES: usize = 16 << 20;
/// How long a sender may take for [`LEAST_SENT`].
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// Bytes that arrive in that time, unless the part ends before: some 270 bytes a second.
const LEAST_SENT: u64 = 16 << 10;
/// How much of a refused body is read, so that its sender gets to see the refusal.
const DRAIN_BYTES: u64 = 256 << 20;
/// How long a refused body is read.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Why a part was not taken. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the body is truncated")]
    Cut,
    #[error("less than {LEAST_SENT} bytes arrived in a minute")]
    Stalled,
    #[error("the part is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the body has {got} bytes, but its header says {said}")]
    WrongLength { said: u64, got: u64 },
    #[error("the body does not match the MD5 in its header")]
    WrongDigest,
    #[error("the disk is full")]
    Full,
    #[error("cannot write the part")]
    Disk(#[source] io::Error),
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Disk(error),
        }
    }
}

/// What is known of a part before its body arrives.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub largest: u64,
    pub length: Option<u64>,
    pub md5: Option<[u8; 16]>,
}

/// Parts that arrive at the moment, in this process.
static ARRIVING: AtomicUsize = AtomicUsize::new(0);

/// One of the parts that arrive.
struct OneOfMany;

impl OneOfMany {
    fn new() -> Self {
        ARRIVING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// Bytes of a batch, with as many others as there are now.
    fn batch() -> usize {
        (BATCHES / ARRIVING.load(Ordering::Relaxed).max(1)).clamp(SMALLEST_BATCH, BATCH)
    }
}

impl Drop for OneOfMany {
    fn drop(&mut self) {
        ARRIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Receives the body of `part`, completely or not at all.
pub(crate) async fn receive<E: Send + 'static>(
    disk: &Disk,
    part: &PartName,
    expected: &Expected,
    body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
) -> Result<Arrived, ReceiveError> {
    if let Some(length) = expected.length
        && length > expected.largest
    {
        drain(body);
        return Err(ReceiveError::TooLarge(expected.largest));
    }
    let mut frames = Frames::new(body, expected.largest, STALL_LIMIT);
    let (first, ended) = frames.batch(usize::try_from(SMALL_PART).unwrap_or(BATCH) + 1).await?;
    if ended && frames.size <= SMALL_PART {
        let content = first.concat();
        let md5 = Md5::digest(&content);
        expected.check(frames.size, md5)?;
        let crc = crc32fast::hash(&content);
        return Ok(Arrived { size: frames.size, md5, crc, kept: Kept::Here(content) });
    }
    let _counted = OneOfMany::new();
    let mut writer = Writer::start(disk.clone(), part.clone(), first);
    let mut ended = ended;
    while !ended {
        let batch;
        (batch, ended) = match frames.batch(OneOfMany::batch()).await {
            Ok(next) => next,
            Err(error) => {
                // The incomplete part is removed before the failure is reported.
                drop(writer.finish().await);
                return Err(error);
            }
        };
        writer = writer.write(batch).await?;
    }
    let (arriving, sums) = writer.finish().await?;
    let (disk, part, expected, size) = (disk.clone(), part.clone(), *expected, frames.size);
    let keeping = tokio::task::spawn_blocking(move || {
        let (md5, crc) = (sums.md5.finalize(), sums.crc.finalize());
        expected.check(size, md5)?;
        Ok(Arrived { size, md5, crc, kept: Kept::OnDisk(disk.keep(arriving, &part)?) })
    });
    keeping.await.map_err(io::Error::other)?
}

impl Expected {
    fn check(&self, size: u64, md5: [u8; 16]) -> Result<(), ReceiveError> {
        match (self.length, self.md5) {
            (Some(said), _) if said != size => Err(ReceiveError::WrongLength { said, got: size }),
            (_, Some(said)) if said != md5 => Err(ReceiveError::WrongDigest),
            _ => Ok(()),
        }
    }
}

struct Frames<S> {
    body: S,
    largest: u64,
    size: u64,
    /// How long this many bytes may take.
    stall: Duration,
    /// How much of the part is to be there by when.
    due: (u64, Instant),
}

impl<S: Stream<Item = Result<Bytes, E>> + Unpin, E> Frames<S> {
    fn new(body: S, largest: u64, stall: Duration) -> Self {
        Self { body, largest, size: 0, stall, due: (LEAST_SENT, Instant::now() + stall) }
    }

    /// The next frames, of `enough` bytes or the rest, and whether that was the rest.
    async fn batch(&mut self, enough: usize) -> Result<(Vec<Bytes>, bool), ReceiveError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < enough {
            let frame = timeout_at(self.due.1, self.body.next()).await.map_err(|_| ReceiveError::Stalled)?;
            let Some(frame) = frame else { return Ok((batch, true)) };
            let data = frame.map_err(|_| ReceiveError::Cut)?;
            bytes += data.len();
            self.size += data.len() as u64;
            if self.size > self.largest {
                return Err(ReceiveError::TooLarge(self.largest));
            }
            batch.push(data);
            if self.size >= self.due.0 {
                self.due = (self.size.saturating_add(LEAST_SENT), Instant::now() + self.stall);
            }
        }
        // What is written now is not waited for in the sender's time.
        self.due.1 = Instant::now() + self.stall;
        Ok((batch, false))
    }
}

/// The digests of what has arrived.
struct Sums {
    md5: SharedMd5,
    crc: crc32fast::Hasher,
}

impl Sums {
    fn new() -> Self {
        // What waits to be hashed together with parts of others: two batches.
        Self { md5: SharedMd5::new(2 * OneOfMany::batch()), crc: crc32fast::Hasher::new() }
    }
}

/// Hashes and writes a batch while the next one arrives.
struct Writer {
    busy: JoinHandle<io::Result<(Arriving, Sums)>>,
}

impl Writer {
    fn start(disk: Disk, part: PartName, first: Vec<Bytes>) -> Self {
        let busy = tokio::task::spawn_blocking(move || take(disk.create(&part)?, Sums::new(), first));
        Self { busy }
    }

    async fn write(self, batch: Vec<Bytes>) -> Result<Self, ReceiveError> {
        let (arriving, sums) = self.finish().await?;
        Ok(Self { busy: tokio::task::spawn_blocking(move || take(arriving, sums, batch)) })
    }

    async fn finish(self) -> Result<(Arriving, Sums), ReceiveError> {
        Ok(self.busy.await.map_err(io::Error::other)??)
    }
}

fn take(mut arriving: Arriving, mut sums: Sums, batch: Vec<Bytes>) -> io::Result<(Arriving, Sums)> {
    for bytes in batch {
        sums.crc.update(&bytes);
        arriving.file.write_all(&bytes)?;
        sums.md5.update(bytes);
    }
    Ok((arriving, sums))
}

/// Reads and forgets a body that is refused: a connection that is closed on a sender who is still sending often
/// loses the answer.
pub(crate) fn drain<E>(mut body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static)
where
    E: Send + 'static,
{
    tokio::spawn(tokio::time::timeout(DRAIN_LIMIT, async move {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(data)) = body.next().await {
            left = left.saturating_sub(data.len() as u64);
            if left == 0 {
                break;
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn body(pieces: Vec<Result<Bytes, io::Error>>) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + Unpin {
        stream::iter(pieces)
    }

    fn open() -> (tempfile::TempDir, Disk, PartName) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path().join("storage")).unwrap();
        (folder, disk, PartName { package: "P".into(), file: "F".into(), number: 1 })
    }

    const ANY: Expected = Expected { largest: 10 << 20, length: None, md5: None };

    #[tokio::test]
    async fn small_parts_are_handed_back_and_large_ones_written() {
        let (_folder, disk, part) = open();
        let small = receive(&disk, &part, &ANY, body(vec![Ok(vec![1; 65_536].into())])).await.unwrap();
        assert_eq!(small.kept, Kept::Here(vec![1; 65_536]));
        let pieces = (0..300).map(|_| Ok(vec![7; 10_000].into())).collect();
        let large = receive(&disk, &part, &ANY, body(pieces)).await.unwrap();
        let Kept::OnDisk(place) = &large.kept else { panic!("a large part is kept on disk") };
        assert_eq!(large.size, 3_000_000);
        assert_eq!(large.md5, Md5::digest(&[7; 3_000_000]));
        assert_eq!(std::fs::read(disk.path(&part, place)).unwrap(), vec![7; 3_000_000]);
        let empty = receive(&disk, &part, &ANY, body(Vec::new())).await.unwrap();
        assert_eq!(empty.kept, Kept::Here(Vec::new()));
    }

    /// A part could come at one byte a minute, and hold its connection for as long.
    #[tokio::test]
    async fn a_part_that_comes_too_slowly_is_given_up() {
        let every = |bytes: usize| {
            Box::pin(stream::unfold(0, move |sent| async move {
                tokio::time::sleep(Duration::from_millis(40)).await;
                (sent < 10).then(|| (Ok::<_, io::Error>(Bytes::from(vec![1; bytes])), sent + 1))
            }))
        };
        let stall = Duration::from_millis(300);
        let slow = Frames::new(every(1), 1 << 20, stall).batch(1 << 20).await;
        assert!(matches!(slow, Err(ReceiveError::Stalled)));
        let steady = Frames::new(every(16 << 10), 1 << 20, stall).batch(1 << 20).await;
        assert!(steady.is_ok_and(|(_, ended)| ended), "it took longer, but comes");
    }

    #[tokio::test]
    async fn a_body_that_is_not_whole_leaves_nothing() {
        let (folder, disk, part) = open();
        let cut = body(vec![Ok(vec![1; 100_000].into()), Err(io::Error::other("gone"))]);
        assert!(matches!(receive(&disk, &part, &ANY, cut).await, Err(ReceiveError::Cut)));
        let expected = Expected { length: Some(100_001), ..ANY };
        let short = body(vec![Ok(vec![1; 100_000].into())]);
        assert!(matches!(receive(&disk, &part, &expected, short).await, Err(ReceiveError::WrongLength { .. })));
        let expected = Expected { md5: Some([0; 16]), ..ANY };
        let wrong = body(vec![Ok(vec![1; 100_000].into())]);
        assert!(matches!(receive(&disk, &part, &expected, wrong).await, Err(ReceiveError::WrongDigest)));
        let expected = Expected { largest: 99_999, ..ANY };
        let large = body(vec![Ok(vec![1; 100_000].into())]);
        assert!(matches!(receive(&disk, &part, &expected, large).await, Err(ReceiveError::TooLarge(_))));
        let left = walkdir::WalkDir::new(folder.path())
            .into_iter()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_type().is_file()));
        assert_eq!(left.count(), 0);
    }
}
