//! Whether parts are where they must be, and as long as they were, without reading them.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::{Piece, S3Error, Source};

/// A part that is not there, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Where it must be.
    place: String,
    /// Bytes that it must have.
    size: u64,
    /// Bytes that it has; absent: it is not there.
    found: Option<u64>,
}

impl Absent {
    /// A part that must be at `place` with `size` bytes, and has `found`.
    pub(crate) fn of(found: Option<u64>, size: u64, place: impl Into<String>) -> Self {
        Self { place: place.into(), size, found }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            None => write!(formatter, "{} is not there", self.place),
            Some(found) => write!(formatter, "{} has {found} bytes instead of {}", self.place, self.size),
        }
    }
}

/// Why parts cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// One is not there, or not as it was.
    #[error("{0}")]
    Absent(Absent),
    /// The disk does not tell.
    #[error("cannot look for a part: {0}")]
    Disk(#[from] io::Error),
    /// The bucket does not tell.
    #[error(transparent)]
    Bucket(#[from] S3Error),
}

/// Looks for the parts that the `length` bytes from `start` on of the file are in which `pieces` make.
pub(crate) async fn check(pieces: &[Piece], start: u64, length: u64) -> Result<(), CheckError> {
    let (mut at, end) = (0_u64, start.saturating_add(length));
    let mut on_disk = Vec::new();
    for piece in pieces {
        let from = at;
        at = at.saturating_add(piece.size);
        if at <= start || from >= end {
            continue;
        }
        match &piece.source {
            Source::Disk(_) => on_disk.push(((), piece.clone())),
            Source::Database(_) => {}
            Source::Bucket(bucket, file) => {
                let found = bucket.stored(&file.package, &file.file).await?.map(|stored| stored.size);
                if found != Some(piece.size) {
                    return Err(CheckError::Absent(Absent::of(found, piece.size, "the object")));
                }
            }
        }
    }
    match absent(on_disk).await?.into_iter().next() {
        Some(((), absent)) => Err(CheckError::Absent(absent)),
        None => Ok(()),
    }
}

/// Which of these parts are not on the disk, or not as long as they were, in their order.
pub(crate) async fn absent<T: Send + 'static>(parts: Vec<(T, Piece)>) -> io::Result<Vec<(T, Absent)>> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let looking = tokio::task::spawn_blocking(move || {
        let mut absent = Vec::new();
        for (of, piece) in parts {
            let Source::Disk(path) = &piece.source else { continue };
            let found = size_of(path)?;
            if found != Some(piece.size) {
                absent.push((of, Absent::of(found, piece.size, path.display().to_string())));
            }
        }
        Ok(absent)
    });
    looking.await.map_err(io::Error::other)?
}

/// Bytes of the file there, if there is one. Blocks.
pub(crate) fn size_of(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: a part that is missing on the disk is noticed before a download has its status and its length.
    #[tokio::test]
    async fn only_the_parts_of_the_range_are_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("whole"), b"abcd").unwrap();
        fs::write(path("short"), b"ab").unwrap();
        let on_disk = |name: &str| Piece { size: 4, source: Source::Disk(path(name)) };
        let pieces = [on_disk("whole"), on_disk("short"), on_disk("missing"), on_disk("whole")];
        let told = async |start, length| match check(&pieces, start, length).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(told(0, 4).await, "");
        assert_eq!(told(12, 4).await, "");
        assert!(told(3, 2).await.ends_with("has 2 bytes instead of 4"));
        assert!(told(8, 1).await.ends_with("is not there"));
        assert_eq!(told(16, 0).await, "");
    }
}
