//! What Linux, and any Unix that is not Apple's, is asked in its own way. [`crate::macos`] has the same functions.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{fdatasync, fstatvfs, fsync, statvfs};
use rustix::io::Errno;

/// More descriptors than the agent or the hub ever need. Programs that they start inherit the limit, and some of them close every
/// descriptor below it: it is not raised to the millions that a container allows.
pub(crate) const ENOUGH_DESCRIPTORS: u64 = 65_536;

pub(crate) fn flush(file: BorrowedFd<'_>) -> Result<(), Errno> {
    fsync(file)
}

pub(crate) fn flush_data(file: BorrowedFd<'_>) -> Result<(), Errno> {
    fdatasync(file)
}

pub(crate) fn free_space(path: &std::path::Path) -> Result<u64, Errno> {
    statvfs(path).map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}

pub(crate) fn free_space_of(folder: impl AsFd) -> Result<u64, Errno> {
    fstatvfs(folder).map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}
