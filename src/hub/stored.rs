//! Types for the content of the storage, used by both the records and the storage.

use masv_protocol::{FileId, MultipartId, PackageId};

/// Which part of which file of which package.
#[derive(Debug, Clone)]
pub(crate) struct PartName {
    pub package: PackageId,
    pub file: FileId,
    /// From 1.
    pub number: u32,
}

/// A part that is safe: on the disk, or small and still to be put into the database.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub size: u64,
    pub md5: [u8; 16],
    /// CRC-32: it makes ZIP archives of files possible without reading them twice.
    pub crc: u32,
    pub kept: Kept,
}

/// Where a part's bytes are once it has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// On the disk, at this place.
    OnDisk(String),
    /// Here: it is small.
    Here(Vec<u8>),
}

/// A stored part, as reported by the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPart {
    /// From 1.
    pub number: u32,
    pub size: u64,
    /// With or without quotes.
    pub etag: String,
}

/// A file in the bucket.
#[derive(Debug, Clone)]
pub(crate) struct BucketFile {
    pub package: PackageId,
    pub file: FileId,
    /// Its multipart upload, when that is known and not complete.
    pub upload: Option<MultipartId>,
}

/// What is in the storage and nothing points to any more.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Parts on the disk, and where.
    pub parts: Vec<(PartName, String)>,
    /// Files in the bucket.
    pub files: Vec<BucketFile>,
}

impl Leftovers {
    /// A part on the disk, if it is at a place.
    pub(crate) fn part(part: &PartName, place: Option<String>) -> Self {
        Self { parts: place.map(|place| (part.clone(), place)).into_iter().collect(), files: Vec::new() }
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.files.is_empty()
    }
}
