//! Who holds files open for writing, from the descriptors under `/proc` (proc(5)).

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

/// Device and inode of a file.
type FileId = (u64, u64);

pub(crate) fn writers_of(wanted: &HashSet<FileId>) -> HashMap<FileId, String> {
    let mut found = HashMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        if process.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            of_process(&process.path(), wanted, &mut found);
        }
    }
    found
}

fn of_process(process: &Path, wanted: &HashSet<FileId>, found: &mut HashMap<FileId, String>) {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return };
    for descriptor in descriptors.flatten() {
        let Some(id) = file_behind(&descriptor.path()).filter(|id| wanted.contains(id)) else { continue };
        if !found.contains_key(&id) && is_for_writing(&process.join("fdinfo").join(descriptor.file_name())) {
            found.insert(id, name_of(process));
        }
    }
}

fn file_behind(link: &Path) -> Option<FileId> {
    // Sockets, pipes and the like are links to names without a slash.
    if !std::fs::read_link(link).ok()?.is_absolute() {
        return None;
    }
    // No synchronizing: a file on a share that has gone away must not hold us up.
    let found = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO | StatxFlags::TYPE).ok()?;
    Some((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino))
}

fn is_for_writing(info: &Path) -> bool {
    const ACCESS_MODE: u32 = 0o3;
    let Ok(text) = std::fs::read_to_string(info) else { return false };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & ACCESS_MODE != 0)
}

fn name_of(process: &Path) -> String {
    let id = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match std::fs::read_to_string(process.join("comm")) {
        Ok(name) => format!("{} (process {id})", name.trim()),
        Err(_) => format!("process {id}"),
    }
}
