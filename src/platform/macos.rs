//! What is specific to Apple's systems. `linux.rs` has the same functions.

mod advice;
mod awake;
mod file_system;
mod fs_events;
mod mounts;
mod unknown;

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{StatFs, fcntl_fullfsync, fstatfs, fsync, statfs};
use rustix::io::Errno;

pub(crate) use advice::{
    clock_advice, keep_watch_limit_advice, let_read_advice, let_write_advice, more_descriptors_advice,
};
pub(crate) use awake::awake_command;
pub(crate) use file_system::{boot_id, mounted};
pub(crate) use fs_events::{
    EVENTS_TELL_OF_CLOSING, WATCHES_COVER_ALL_BELOW, more_folders_advice, more_watchers_advice, watch_limits,
};
#[cfg(test)]
pub(crate) use mounts::PLACE_OF_A_DISK;
pub(crate) use mounts::{holds_places_of_disks, silent_name};
pub(crate) use unknown::{process_usage, stderr_is_journal, tell_service_manager, watchdog, writers_of};

use crate::ServiceManager;
use crate::flush::or_plain;

pub(crate) const SERVICE_MANAGER: ServiceManager = ServiceManager::Launchd;

/// `OPEN_MAX`: more is refused, whatever the hard limit says.
pub(crate) const ENOUGH_DESCRIPTORS: u64 = 10_240;

/// Here, a plain `fsync` leaves the data in the disk's own cache.
pub(crate) fn flush(file: BorrowedFd<'_>) -> Result<(), Errno> {
    or_plain(fcntl_fullfsync(file), || fsync(file))
}

/// There is no weaker request that is as safe.
pub(crate) fn flush_data(file: BorrowedFd<'_>) -> Result<(), Errno> {
    flush(file)
}

pub(crate) fn free_space(path: &Path) -> Result<u64, Errno> {
    statfs(path).map(|found| bytes(&found))
}

pub(crate) fn free_space_of(folder: impl AsFd) -> Result<u64, Errno> {
    fstatfs(folder).map(|found| bytes(&found))
}

/// Not by `statvfs`, which counts blocks in 32 bits here: a disk of 16 TiB would seem empty.
fn bytes(found: &StatFs) -> u64 {
    found.f_bavail.saturating_mul(u64::from(found.f_bsize))
}

/// There is no such setting.
pub(crate) fn hard_links_are_protected() -> bool {
    false
}

pub(crate) fn user_data_folder(home: &Path) -> PathBuf {
    home.join("Library/Application Support")
}

pub(crate) fn user_config_folder(home: &Path) -> PathBuf {
    home.join("Library/Application Support")
}

pub(crate) fn page_opener() -> Option<&'static str> {
    Some("open")
}
