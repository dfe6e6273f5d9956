//! Flushing writes to the disk itself, so that they survive a power cut.
//!
//! **In**: open files and folders. **Out**: nothing, once the data is there. A file system that does not support flushing folders is
//! not required to.
//!
//! The standard library's `sync_all` asks Apple's systems for `F_FULLFSYNC`, which network shares and foreign disks refuse, and then fails:
//! everything that must be on disk goes through here.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::io::Errno;

use crate::system;

/// When this returns, the content and metadata of a file are on disk.
///
/// # Errors
/// The system's.
pub fn flush(file: &File) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| system::flush(file.as_fd()))?)
}

/// When this returns, the content of a file is on disk, but not necessarily its times and mode.
///
/// # Errors
/// The system's.
pub fn flush_data(file: &File) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| system::flush_data(file.as_fd()))?)
}

/// When this returns, the names in a folder are on disk.
///
/// # Errors
/// The system's. Not if the file system does not support this for folders: it stores names in its own way.
pub fn flush_folder(folder: &Path) -> io::Result<()> {
    flush_open_folder(File::open(folder)?)
}

/// The same for a folder that is open.
///
/// # Errors
/// As [`flush_folder`].
pub fn flush_open_folder(folder: impl AsFd) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| system::flush(folder.as_fd())) {
        Err(error) if is_unknown(error) => Ok(()),
        flushed => Ok(flushed?),
    }
}

/// Whether a file system reports that it does not support a request: each has its own error for that.
pub(crate) fn is_unknown(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOTSUP, Errno::NOSYS, Errno::NOTTY].contains(&error)
}

/// The strong request, or the plain one if the file system does not support the strong one.
#[cfg(any(test, target_vendor = "apple"))]
pub(crate) fn or_plain(strong: Result<(), Errno>, plain: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    match strong {
        Err(error) if is_unknown(error) => plain(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("clip.mov")).unwrap();
        flush(&file).unwrap();
        flush_data(&file).unwrap();
        flush_folder(folder.path()).unwrap();
        assert_eq!(flush_folder(&folder.path().join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Network shares and foreign disks of Macs: without this, nothing could be moved to or received on one.
    #[test]
    fn a_disk_that_does_not_know_the_strong_request_is_given_the_plain_one() {
        for unknown in [Errno::NOTSUP, Errno::INVAL, Errno::NOTTY] {
            assert_eq!(or_plain(Err(unknown), || Ok(())), Ok(()));
            assert_eq!(or_plain(Err(unknown), || Err(Errno::IO)), Err(Errno::IO));
        }
        assert_eq!(or_plain(Err(Errno::IO), || Ok(())), Err(Errno::IO));
        assert_eq!(or_plain(Ok(()), || Err(Errno::IO)), Ok(()));
    }
}
