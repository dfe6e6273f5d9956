//! What is specific to Linux, and any Unix that is not Apple's. `macos.rs` has the same functions.

mod advice;
mod awake;
mod file_system;
mod fs_events;
mod mounts;
mod process;
mod service_manager;
mod writers;

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{fdatasync, fstatvfs, fsync, statvfs};
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
pub(crate) use process::process_usage;
pub(crate) use service_manager::{SERVICE_MANAGER, stderr_is_journal, tell_service_manager, watchdog};
pub(crate) use writers::writers_of;

use crate::places::path_in;

/// More descriptors than the agent or the hub ever need. Programs that they start inherit the limit, and some of them close every
/// descriptor below it: it is not raised to the millions that a container allows.
pub(crate) const ENOUGH_DESCRIPTORS: u64 = 65_536;

pub(crate) fn flush(file: BorrowedFd<'_>) -> Result<(), Errno> {
    fsync(file)
}

pub(crate) fn flush_data(file: BorrowedFd<'_>) -> Result<(), Errno> {
    fdatasync(file)
}

pub(crate) fn free_space(path: &Path) -> Result<u64, Errno> {
    statvfs(path).map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}

pub(crate) fn free_space_of(folder: impl AsFd) -> Result<u64, Errno> {
    fstatvfs(folder).map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// By the kernel's setting, which every distribution with systemd switches on.
pub(crate) fn hard_links_are_protected() -> bool {
    std::fs::read("/proc/sys/fs/protected_hardlinks").is_ok_and(|setting| setting.trim_ascii() != b"0")
}

pub(crate) fn user_data_folder(home: &Path) -> PathBuf {
    path_in("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"))
}

pub(crate) fn user_config_folder(home: &Path) -> PathBuf {
    path_in("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"))
}

/// Root's browser is hardly the one of who sits there.
pub(crate) fn page_opener() -> Option<&'static str> {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    (desktop && crate::own_user() != 0).then_some("xdg-open")
}
