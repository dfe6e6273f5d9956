//! All files of a package as one ZIP archive, streamed from wherever they are stored.
//!
//! The CRCs of files that came through the hub are known. Those of files in the bucket are learned while they are
//! streamed, and stored. For a download that resumes in the middle of a file, the beginning is read separately, only for the CRC; a request
//! for the end of an archive that was never read has to wait for all of it.

use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;
use crc32fast::Hasher;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use masv_protocol::{FileId, FileKind, PackageId};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::deliveries::{Delivery, watched};
use super::presence;
use super::ranges::{self, Asked, Head};
use super::refusal::Refusal;
use super::zip::{Archive, Entry, Piece};
use crate::records::downloads::Content;
use crate::records::files::{self, FileRow};
use crate::records::packages::Package;
use crate::{Hub, storage};

/// How many rows are read at once.
const AT_ONCE: u32 = 1000;
/// The entry that lists files whose content is known to be lost.
const NOTE: &str = "MISSING FILES.txt";

/// Answers with all files of a finalized package.
pub(crate) async fn answer(
    hub: &Hub,
    package: PackageId,
    (method, headers): (&Method, &HeaderMap),
    delivery: Option<Delivery>,
) -> Result<Response, Refusal> {
    let package = files::finalized_package(hub.database(), package).await?;
    let listing = hub.server.archives.of(hub, &package).await?;
    let head = Head {
        name: format!("{}.zip", package.name),
        kind: "application/zip",
        size: listing.archive.size(),
        // The names in it are others than those of earlier versions.
        etag: format!("\"{}-zip2-{}\"", package.id, listing.version),
        modified: package.finalized_at.unwrap_or(package.created_at),
    };
    let asked = head.asked(headers);
    if matches!(asked, Asked::Content { .. }) {
        presence::check_all(hub, &package.id).await?;
    }
    let source = Source { hub: hub.clone(), package: package.id, listing };
    let what = Content::Archive(head.size);
    head.respond(asked, method, |start, length| {
        Body::from_stream(watched(delivery, what, start, stream(source, start, length)))
    })
}

/// An archive that somebody is making, or made.
type Place = OnceCell<Arc<Listing>>;

/// The archives that are being downloaded, each made once for all who do: a list of a hundred thousand files takes some memory.
#[derive(Default)]
pub(crate) struct Archives {
    known: Mutex<HashMap<(PackageId, u64), Weak<Place>>>,
    /// How many were made.
    made: AtomicUsize,
}

impl Archives {
    /// The archive of a package. It is shared as long as somebody downloads it.
    async fn of(&self, hub: &Hub, package: &Package) -> Result<Shared, Refusal> {
        let lost = files::lost(hub.database(), package.id.clone()).await?;
        let note = missing_note(&lost);
        // A different archive from before the loss.
        let version = note.as_ref().map_or(1, |note| u64::from(crc32fast::hash(note)) + 2);
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, cell| cell.strong_count() > 0);
            let place = known.entry((package.id.clone(), version)).or_default();
            place.upgrade().unwrap_or_else(|| {
                let new = Arc::default();
                *place = Arc::downgrade(&new);
                new
            })
        };
        let making = cell.get_or_try_init(|| async {
            self.made.fetch_add(1, Ordering::Relaxed);
            Listing::make(hub, package, note, version).await.map(Arc::new)
        });
        let listing = Arc::clone(making.await?);
        Ok(Shared { listing, _cell: cell })
    }
}

/// A listing, kept for others as long as this lives.
struct Shared {
    listing: Arc<Listing>,
    _cell: Arc<Place>,
}

impl Deref for Shared {
    type Target = Listing;

    fn deref(&self) -> &Listing {
        &self.listing
    }
}

/// What an archive consists of.
struct Listing {
    archive: Archive,
    version: u64,
    /// The files of its entries.
    files: Vec<FileId>,
    /// The CRCs that were learned of files whose CRC follows them.
    learned: Mutex<HashMap<usize, u32>>,
    /// The content of the entry behind those of the files.
    note: Bytes,
}

impl Listing {
    async fn make(hub: &Hub, package: &Package, note: Option<Bytes>, version: u64) -> Result<Self, Refusal> {
        let (mut entries, mut ids, mut learned) = (Vec::new(), Vec::new(), HashMap::new());
        let mut behind = None;
        loop {
            let page = files::page(hub.database(), package.id.clone(), true, behind, AT_ONCE).await?;
            for row in page.0.into_iter().filter(|row| !row.lost) {
                // Late even when it is known by now: the archive is the same each time.
                let crc = if row.in_bucket { None } else { Some(row.crc.unwrap_or_default()) };
                if let (None, Some(known)) = (crc, row.crc) {
                    learned.insert(ids.len(), known);
                }
                let path = if row.path.is_empty() { row.name } else { format!("{}/{}", row.path, row.name) };
                let directory = row.kind == FileKind::Directory;
                entries.push(Entry { path, directory, size: row.size, crc, modified: row.last_modified });
                ids.push(row.id);
            }
            behind = page.1;
            if behind.is_none() {
                break;
            }
        }
        entries.extend(note.iter().map(|note| Entry {
            path: NOTE.to_owned(),
            directory: false,
            size: note.len() as u64,
            crc: Some(crc32fast::hash(note)),
            modified: package.finalized_at.unwrap_or(package.created_at),
        }));
        entries.shrink_to_fit();
        ids.shrink_to_fit();
        let archive = Archive::new(entries);
        Ok(Self { archive, version, files: ids, learned: Mutex::new(learned), note: note.unwrap_or_default() })
    }

    /// The CRC of an entry, if it is known.
    fn known_crc(&self, entry: usize) -> Option<u32> {
        let learned = || self.learned.lock().unwrap_or_else(PoisonError::into_inner).get(&entry).copied();
        self.archive.crc(entry).or_else(learned)
    }
}

/// An archive that is being read.
struct Source {
    hub: Hub,
    package: PackageId,
    listing: Shared,
}

/// The text in an archive about files whose content is known to be lost, if any.
fn missing_note(lost: &[String]) -> Option<Bytes> {
    if lost.is_empty() {
        return None;
    }
    let mut text = "These files are not in this archive, because their content is missing on the hub. Ask the sender to send them again.\r\n\r\n".to_owned();
    for path in lost {
        text.push_str(path);
        text.push_str("\r\n");
    }
    Some(text.into())
}

/// The CRC of the file that is being streamed, as far as it is known.
struct Learning {
    entry: usize,
    /// For the preceding bytes, if the stream began in the middle.
    before: Option<AbortOnDropHandle<io::Result<Hasher>>>,
    crc: Hasher,
}

/// The bytes of a range of an archive. One file after the other is looked up and read.
fn stream(source: Source, start: u64, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (blocks, mut receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(error) = send(&source, start, length, &blocks).await {
            // The other side is gone, or must learn that this is incomplete.
            let _ = blocks.send(Err(error)).await;
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

async fn send(source: &Source, start: u64, length: u64, blocks: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let (mut learning, archive): (Option<Learning>, _) = (None, &source.listing.archive);
    for piece in archive.pieces(start, length) {
        match piece {
            Piece::Own(bytes) => blocks.send(Ok(bytes)).await.map_err(io::Error::other)?,
            Piece::Content { entry, start, length } => {
                learning = source.learn(entry, start, length).await?;
                let mut content = source.read(entry, start, length).await?;
                while let Some(block) = content.next().await {
                    let block = block?;
                    if let Some(learning) = &mut learning {
                        learning.crc.update(&block);
                    }
                    blocks.send(Ok(block)).await.map_err(io::Error::other)?;
                }
            }
            Piece::Late { entry, late } => {
                if let Some(learned) = learning.take_if(|learning| learning.entry == entry) {
                    source.keep(entry, learned.crc().await?).await?;
                }
                let crc = source.crc(entry).await?;
                blocks.send(Ok(archive.late(entry, late, crc))).await.map_err(io::Error::other)?;
            }
        }
    }
    Ok(())
}

impl Learning {
    async fn crc(self) -> io::Result<u32> {
        let Some(before) = self.before else { return Ok(self.crc.finalize()) };
        let mut whole = before.await.map_err(io::Error::other)??;
        whole.combine(&self.crc);
        Ok(whole.finalize())
    }
}

impl Source {
    /// The row of an entry; none is the note.
    async fn row(&self, entry: usize) -> io::Result<Option<FileRow>> {
        let Some(file) = self.listing.files.get(entry) else { return Ok(None) };
        let row = files::get(self.hub.database(), self.package.clone(), file.clone()).await;
        row.map(Some).map_err(io::Error::other)
    }

    async fn read(&self, entry: usize, start: u64, length: u64) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let Some(row) = self.row(entry).await? else {
            let range = usize::try_from(start).and_then(|start| Ok(start..start + usize::try_from(length)?));
            let stretch = self.listing.note.slice(range.map_err(io::Error::other)?);
            return Ok(futures_util::stream::once(async { Ok(stretch) }).boxed());
        };
        Ok(read(&self.hub, &self.package, &row, start, length).await?.boxed())
    }

    /// Begins to learn the CRC of a file of which this stretch is streamed, if it is not known and the stretch ends it.
    async fn learn(&self, entry: usize, start: u64, length: u64) -> io::Result<Option<Learning>> {
        if self.listing.known_crc(entry).is_some() || start + length != self.listing.archive.content_size(entry) {
            return Ok(None);
        }
        let Some(row) = self.row(entry).await? else { return Ok(None) };
        let before = (start > 0).then(|| {
            let (hub, package) = (self.hub.clone(), self.package.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { sum(&hub, &package, &row, start).await }))
        });
        Ok(Some(Learning { entry, before, crc: Hasher::new() }))
    }

    /// Notes the CRC of a file, for good.
    async fn keep(&self, entry: usize, crc: u32) -> io::Result<()> {
        self.listing.learned.lock().unwrap_or_else(PoisonError::into_inner).insert(entry, crc);
        let Some(row) = self.row(entry).await? else { return Ok(()) };
        files::set_crc(self.hub.database(), &row, crc).await.map_err(io::Error::other)
    }

    /// The CRC of a file; if it is not known yet, it is computed by reading all of it.
    async fn crc(&self, entry: usize) -> io::Result<u32> {
        if let Some(crc) = self.listing.known_crc(entry) {
            return Ok(crc);
        }
        let _turn = self.hub.server.reading_crcs.acquire().await.map_err(io::Error::other)?;
        let Some(row) = self.row(entry).await? else { return Ok(0) };
        let crc = match row.crc {
            Some(crc) => crc,
            None => sum(&self.hub, &self.package, &row, row.size).await?.finalize(),
        };
        self.keep(entry, crc).await?;
        Ok(crc)
    }
}

async fn read(
    hub: &Hub,
    package: &PackageId,
    row: &FileRow,
    start: u64,
    length: u64,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    let pieces = ranges::pieces(&hub.context, package, row).await;
    let pieces = pieces.map_err(|refusal| io::Error::other(refusal.message))?;
    Ok(storage::stream(pieces, start, length, ranges::small_parts(&hub.context)))
}

/// The CRC of the first `length` bytes of a file.
async fn sum(hub: &Hub, package: &PackageId, row: &FileRow, length: u64) -> io::Result<Hasher> {
    let mut crc = Hasher::new();
    let mut content = Box::pin(read(hub, package, row, 0, length).await?);
    while let Some(block) = content.next().await {
        crc.update(&block?);
    }
    Ok(crc)
}

#[cfg(test)]
impl Archives {
    /// How many archives were made, and the bytes that those hold which are downloaded now, and of how many files.
    pub(crate) fn weight(&self) -> (usize, usize, usize) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = known.values().filter_map(Weak::upgrade);
        let listings: Vec<Arc<Listing>> = cells.filter_map(|cell| cell.get().cloned()).collect();
        let ids = |listing: &Listing| {
            let text = listing.files.iter().map(|file| file.as_str().len()).sum::<usize>();
            text + listing.files.capacity() * size_of::<FileId>()
        };
        let bytes = listings.iter().map(|listing| listing.archive.weight() + ids(listing)).sum();
        let files = listings.iter().map(|listing| listing.files.len()).sum();
        (self.made.load(Ordering::Relaxed), bytes, files)
    }
}
