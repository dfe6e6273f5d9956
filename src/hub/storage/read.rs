//! Reads any range of a file across its parts.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::Bucket;
use crate::stored::BucketFile;

/// Bytes that are read at once.
const BLOCK: u64 = 512 << 10;
/// Blocks that are read ahead of a reader.
const AHEAD: usize = 2;

/// One part of a file.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub size: u64,
    pub source: Source,
}

/// Where a part's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Disk(PathBuf),
    /// In the database, under this key.
    Database(i64),
    /// A complete file in the bucket.
    Bucket(Bucket, BucketFile),
}

/// The bytes from `start` on, `length` of them, of the file that `pieces` make. Ends with an error when a part is
/// not there or shorter than it was. `small` reads a part out of the database.
pub(crate) fn stream<F, R>(
    pieces: Vec<Piece>,
    start: u64,
    length: u64,
    small: F,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    F: Fn(i64) -> R + Send + Sync + 'static,
    R: Future<Output = io::Result<Bytes>> + Send,
{
    let (blocks, mut receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = read(pieces, start, length, small, &blocks).await {
            tracing::error!(%error, "cannot read a part");
            let _ = blocks.send(Err(error)).await;
        }
    });
    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
}

async fn read<F, R>(
    pieces: Vec<Piece>,
    mut skip: u64,
    mut left: u64,
    small: F,
    blocks: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()>
where
    F: Fn(i64) -> R,
    R: Future<Output = io::Result<Bytes>>,
{
    for piece in pieces {
        if left == 0 {
            break;
        }
        if skip >= piece.size {
            skip -= piece.size;
            continue;
        }
        let (mut at, end) = (skip, piece.size.min(skip.saturating_add(left)));
        left -= end - at;
        skip = 0;
        match piece.source {
            Source::Database(key) => {
                let bytes = small(key).await?;
                let range = usize::try_from(at).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
                let bytes = bytes.get(range).map(|range| bytes.slice_ref(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
                if blocks.send(Ok(bytes)).await.is_err() {
                    return Ok(());
                }
            }
            Source::Bucket(bucket, BucketFile { package, file, .. }) => {
                let mut content = bucket.read(&package, &file, at, end - at);
                while let Some(block) = content.next().await {
                    if blocks.send(Ok(block.map_err(io::Error::other)?)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Source::Disk(path) => {
                let mut file: Option<Arc<File>> = None;
                while at < end {
                    let size = BLOCK.min(end - at);
                    let (open, path) = (file.take(), path.clone());
                    let reading = tokio::task::spawn_blocking(move || {
                        let open = match open {
                            Some(open) => open,
                            None => Arc::new(File::open(path)?),
                        };
                        let mut block = BytesMut::zeroed(usize::try_from(size).map_err(io::Error::other)?);
                        masv_platform::read_exact_at(&open, &mut block, at)?;
                        Ok::<_, io::Error>((open, block.freeze()))
                    });
                    let (open, block) = reading.await.map_err(io::Error::other)??;
                    file = Some(open);
                    at += size;
                    if blocks.send(Ok(block)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
    if left == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    /// Small parts are bytes of 0 to 60; their key is the first one.
    async fn small(key: i64) -> io::Result<Bytes> {
        let first = u8::try_from(key).unwrap();
        Ok((first..=60).collect())
    }

    async fn range(pieces: &[Piece], start: u64, length: u64) -> io::Result<Vec<u8>> {
        let blocks: Vec<Bytes> = stream(pieces.to_vec(), start, length, small).try_collect().await?;
        Ok(blocks.concat())
    }

    #[tokio::test]
    async fn every_range_across_parts_is_the_range_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..=60).collect();
        let path = folder.path().join("part");
        std::fs::write(&path, &whole[10..25]).unwrap();
        let kept = |first, size| Piece { size, source: Source::Database(first) };
        let pieces = [kept(0, 10), Piece { size: 15, source: Source::Disk(path) }, kept(25, 0), kept(25, 36)];
        for start in 0..61 {
            for end in start..=61 {
                let got = range(&pieces, start as u64, (end - start) as u64).await.unwrap();
                assert_eq!(got, whole[start..end], "{start}..{end}");
            }
        }
        assert!(range(&pieces, 60, 2).await.is_err());
    }

    #[tokio::test]
    async fn a_part_that_is_shorter_than_it_was_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, b"abc").unwrap();
        let pieces = [Piece { size: 4, source: Source::Disk(path) }];
        assert!(range(&pieces, 0, 4).await.is_err());
    }
}
