//! What Apple's systems are asked in their own way. [`crate::linux`] has the same functions.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{StatFs, fcntl_fullfsync, fstatfs, fsync, statfs};
use rustix::io::Errno;

use crate::flush::or_plain;

/// `OPEN_MAX`: more is refused, whatever the hard limit says.
pub(crate) const ENOUGH_DESCRIPTORS: u64 = 10_240;

/// A plain `fsync` leaves it in the disk's own cache here.
pub(crate) fn flush(file: BorrowedFd<'_>) -> Result<(), Errno> {
    or_plain(fcntl_fullfsync(file), || fsync(file))
}

/// There is no weaker request that is as safe.
pub(crate) fn flush_data(file: BorrowedFd<'_>) -> Result<(), Errno> {
    flush(file)
}

pub(crate) fn free_space(path: &std::path::Path) -> Result<u64, Errno> {
    statfs(path).map(|found| bytes(&found))
}

pub(crate) fn free_space_of(folder: impl AsFd) -> Result<u64, Errno> {
    fstatfs(folder).map(|found| bytes(&found))
}

/// Not by `statvfs`, which counts blocks in 32 bits here: a disk of 16 TiB would seem empty.
fn bytes(found: &StatFs) -> u64 {
    found.f_bavail.saturating_mul(u64::from(found.f_bsize))
}
