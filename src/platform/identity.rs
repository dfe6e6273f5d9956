//! The identity of a file on disk, and paths as bytes (a Unix path need not be UTF-8).

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything `stat` says about the content of a file. Two equal identities of one path mean: no one has
/// written to it in between, as far as the file system can tell.
///
/// The change time is part of it because a copy keeps the old modification time and programs may restore it;
/// the change time cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970 (negative before).
    pub mtime_ns: i64,
    /// Change time of the inode, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl FileIdentity {
    /// The identity from the metadata of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.len(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// The same from what `stat` answered, whose fields are of other types on other systems.
    #[must_use]
    #[expect(clippy::unnecessary_cast, reason = "on some systems the fields have the wanted type already")]
    pub fn of_stat(stat: &rustix::fs::Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        }
    }

    /// Whether size and modification time are equal. What else differs then (mode, owner, attributes, links, another inode
    /// number after a mount) need not mean other content, nor that it is the same: only the content tells.
    #[must_use]
    pub fn same_size_and_date(&self, other: &Self) -> bool {
        self.size == other.size && self.mtime_ns == other.mtime_ns
    }

    /// Whether nothing at all was done to the file: not even its mode was changed, nor was it renamed. The device number is
    /// left out: network mounts change it when they return.
    #[must_use]
    pub fn untouched(&self, other: &Self) -> bool {
        self.same_content(other) && self.ctime_ns == other.ctime_ns
    }

    /// Whether `other` has the same content as far as can be told from outside: same size, modification time
    /// and inode. The change time is left out, since renaming or changing the mode moves it without touching a
    /// byte, and so is the device number, which network mounts change when they are mounted again.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.size == other.size && self.mtime_ns == other.mtime_ns && self.inode == other.inode
    }
}

/// The bytes of a path, for storage.
#[must_use]
pub fn path_to_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// The path that [`path_to_bytes`] made the bytes from.
#[must_use]
pub fn bytes_to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_utf8_survives_storage() {
        let path = bytes_to_path(b"clip-\xff\xfe.mov");
        assert_eq!(path_to_bytes(&path), b"clip-\xff\xfe.mov");
    }

    #[test]
    fn renaming_keeps_the_content_the_same_and_rewriting_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&before, b"one").unwrap();
        let first = FileIdentity::of(&std::fs::metadata(&before).unwrap());
        std::fs::rename(&before, &after).unwrap();
        let renamed = FileIdentity::of(&std::fs::metadata(&after).unwrap());
        assert!(first.same_content(&renamed));
        std::fs::write(&after, b"three").unwrap();
        let rewritten = FileIdentity::of(&std::fs::metadata(&after).unwrap());
        assert!(!first.same_content(&rewritten));
    }
}
