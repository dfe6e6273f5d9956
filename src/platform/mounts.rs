//! Whether a folder's file system tells of changes by itself.
//!
//! Network file systems and those that a program provides (FUSE) tell nothing of what other machines or the
//! program itself do, and give no error either: they have to be looked at again and again. For the same reason nothing
//! tells who has a file open on them.

use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{fstatfs, statfs};

use crate::system;

/// The name of the folder's file system when it tells of no changes made elsewhere.
#[must_use]
pub fn silent_file_system(folder: &Path) -> Option<&'static str> {
    system::silent_name(&statfs(folder).ok()?)
}

/// The same of an open file, which may lie on another file system than the watched folder.
#[must_use]
pub fn silent_file_system_of(file: impl AsFd) -> Option<&'static str> {
    system::silent_name(&fstatfs(file).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_disk_tells_of_changes_and_what_is_gone_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(silent_file_system(folder.path()), silent_file_system_of(opened));
        assert_eq!(silent_file_system(&folder.path().join("gone")), None);
    }
}
