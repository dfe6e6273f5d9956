//! All files of a package as one ZIP archive, streamed from wherever they are stored.
//!
//! The CRCs of files that came through the hub are known. Those of files in the bucket are learned while they are
//! streamed, and stored. For a download that resumes in the middle of a file, the beginning is read separately, only for the CRC; a request
//! for the end of an archive that was never read has to wait for all of it.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;
use crc32fast::Hasher;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use masv_protocol::{FileKind, PackageId};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::presence;
use super::ranges::{self, Asked, Head};
use super::refusal::Refusal;
use super::zip::{Archive, Entry, Piece};
use crate::records::files::{self, FileRow};
use crate::{Hub, storage};

/// The entry that lists files whose content is known to be lost.
const NOTE: &str = "MISSING FILES.txt";

/// Answers with all files of a finalized package.
pub(crate) async fn answer(
    hub: &Hub,
    package: PackageId,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let (package, mut rows) = files::of_finalized(hub.database(), package).await?;
    let note = missing_note(&rows);
    rows.retain(|row| !row.lost);
    let entries = rows.iter().map(|row| Entry {
        path: if row.path.is_empty() { row.name.clone() } else { format!("{}/{}", row.path, row.name) },
        directory: row.kind == FileKind::Directory,
        size: row.size,
        // Late even when it is known by now: the archive is the same each time.
        crc: if row.in_bucket { None } else { Some(row.crc.unwrap_or_default()) },
        modified: row.last_modified,
    });
    let own = note.iter().map(|note| Entry {
        path: NOTE.to_owned(),
        directory: false,
        size: note.len() as u64,
        crc: Some(crc32fast::hash(note)),
        modified: package.finalized_at.unwrap_or(package.created_at),
    });
    let archive = Archive::new(entries.chain(own).collect());
    // A different archive from before the loss.
    let version = note.as_ref().map_or(1, |note| u64::from(crc32fast::hash(note)) + 2);
    let head = Head {
        name: format!("{}.zip", package.name),
        kind: "application/zip",
        size: archive.size(),
        // The names in it are others than those of earlier versions.
        etag: format!("\"{}-zip2-{version}\"", package.id),
        modified: package.finalized_at.unwrap_or(package.created_at),
    };
    let asked = head.asked(headers);
    if matches!(asked, Asked::Content { .. }) {
        presence::check_all(hub, &package.id, &rows).await?;
    }
    let source = Source { hub: hub.clone(), package: package.id, rows, note: note.unwrap_or_default() };
    head.respond(asked, method, |start, length| Body::from_stream(stream(source, archive, start, length)))
}

/// The files of an archive.
struct Source {
    hub: Hub,
    package: PackageId,
    rows: Vec<FileRow>,
    /// The content of the entry behind those of the rows.
    note: Bytes,
}

/// The text in an archive about files whose content is known to be lost, if any.
fn missing_note(rows: &[FileRow]) -> Option<Bytes> {
    let mut lost = rows.iter().filter(|row| row.lost).peekable();
    lost.peek()?;
    let mut text = "These files are not in this archive, because their content is missing on the hub. Ask the sender to send them again.\r\n\r\n".to_owned();
    for row in lost {
        for part in [row.path.as_str(), if row.path.is_empty() { "" } else { "/" }, &row.name, "\r\n"] {
            text.push_str(part);
        }
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
fn stream(
    mut source: Source,
    archive: Archive,
    start: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (blocks, mut receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(error) = send(&mut source, &archive, start, length, &blocks).await {
            // The other side is gone, or must learn that this is incomplete.
            let _ = blocks.send(Err(error)).await;
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

async fn send(
    source: &mut Source,
    archive: &Archive,
    start: u64,
    length: u64,
    blocks: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut learning: Option<Learning> = None;
    for piece in archive.pieces(start, length) {
        match piece {
            Piece::Own(bytes) => blocks.send(Ok(bytes)).await.map_err(io::Error::other)?,
            Piece::Content { entry, start, length } => {
                learning = source.learn(entry, start, length);
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
    async fn read(&self, entry: usize, start: u64, length: u64) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let Some(row) = self.rows.get(entry) else {
            let range = usize::try_from(start).and_then(|start| Ok(start..start + usize::try_from(length)?));
            let stretch = self.note.slice(range.map_err(io::Error::other)?);
            return Ok(futures_util::stream::once(async { Ok(stretch) }).boxed());
        };
        Ok(read(&self.hub, &self.package, row, start, length).await?.boxed())
    }

    /// Begins to learn the CRC of a file of which this stretch is streamed, if it is not known and the stretch ends it.
    fn learn(&self, entry: usize, start: u64, length: u64) -> Option<Learning> {
        let row = self.rows.get(entry)?;
        if row.crc.is_some() || start + length != row.size {
            return None;
        }
        let before = (start > 0).then(|| {
            let (hub, package, row) = (self.hub.clone(), self.package.clone(), row.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { sum(&hub, &package, &row, start).await }))
        });
        Some(Learning { entry, before, crc: Hasher::new() })
    }

    /// Notes the CRC of a file, for good.
    async fn keep(&mut self, entry: usize, crc: u32) -> io::Result<()> {
        self.rows[entry].crc = Some(crc);
        files::set_crc(self.hub.database(), &self.rows[entry], crc).await.map_err(io::Error::other)
    }

    /// The CRC of a file; if it is not known yet, it is computed by reading all of it.
    async fn crc(&mut self, entry: usize) -> io::Result<u32> {
        if let Some(crc) = self.rows[entry].crc {
            return Ok(crc);
        }
        let hub = self.hub.clone();
        let _turn = hub.server.reading_crcs.acquire().await.map_err(io::Error::other)?;
        let (package, id) = (self.package.clone(), self.rows[entry].id.clone());
        let now = files::get(hub.database(), package, id).await.map_err(io::Error::other)?;
        let crc = match now.crc {
            Some(crc) => crc,
            None => sum(&hub, &self.package, &now, now.size).await?.finalize(),
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
