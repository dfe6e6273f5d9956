//! Copies a file from descriptor to descriptor: its bytes, its holes and its metadata.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Gid, Mode, SeekFrom, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fstat, futimens};
use rustix::io::Errno;

use super::{Folder, FolderError};

/// Bytes copied at once.
const BLOCK: usize = 1 << 20;
/// Larger extended attributes stay behind. Linux has at most 64 KiB in one; macOS keeps resource forks there.
const LARGEST_ATTRIBUTE: usize = 32 << 20;

/// Copies the first `size` bytes of `from` into the empty file `to`; holes are preserved if the file system reports them.
/// `copied` is called with the progress.
///
/// # Errors
/// Those of reading or writing; [`io::ErrorKind::UnexpectedEof`] when `from` is shorter.
pub fn copy_file(from: &File, to: &File, size: u64, copied: &dyn Fn(u64)) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, size) {
        at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            from.read_exact_at(&mut block[..length], at)?;
            to.write_all_at(&block[..length], at)?;
            at += length as u64;
            copied(at);
        }
    }
    if at < size {
        // Only a hole is left, or the file has become shorter: the size is right, and a comparison will detect it.
        copied(size);
    }
    to.set_len(size)
}

/// Puts a copy of an open file into a folder under an unused name, flushed to disk, readable by its owner only. It gets
/// the name only once it is complete. Returns its size.
///
/// # Errors
/// [`FolderError::Taken`] if the name is in use; [`FolderError::Io`].
pub fn put_copy(file: &File, folder: &Folder, name: &OsStr) -> Result<u64, FolderError> {
    let failed = |source| FolderError::Io { path: folder.path().join(name), source };
    if folder.look(Path::new(name)).is_ok() {
        return Err(FolderError::Taken(folder.path().join(name)));
    }
    let (temporary, copy) = folder.create_unique(".masv-", ".part", 0o600)?;
    let put = || {
        let size = file.metadata().map_err(failed)?.len();
        copy_file(file, &copy, size, &|_| {}).map_err(failed)?;
        crate::flush(&copy).map_err(failed)?;
        folder.rename_new(&temporary, folder, name)?;
        folder.flush()?;
        Ok(size)
    };
    let put = put();
    if put.is_err() {
        // An incomplete file must not be mistaken for a copy.
        let _ = folder.remove_file(&temporary);
    }
    put
}

/// The next range of a file that is not a hole, from `at` on.
fn next_data(file: &File, at: u64, size: u64) -> Option<(u64, u64)> {
    if at >= size {
        return None;
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        // A file system that does not report holes.
        Err(_) => return Some((at, size)),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(size).min(size);
    (start < size).then_some((start, end.max(start.saturating_add(1)).min(size)))
}

/// Gives `to` the owner, group, mode, extended attributes and times of `from`, as far as the file system and the permissions of
/// this process allow: the content is what matters. A copy never gets set-user-ID or set-group-ID: those bits are left
/// out.
///
/// # Errors
/// Those of asking `from`.
pub fn keep_attributes(from: &File, to: &File) -> io::Result<()> {
    let stat = fstat(from)?;
    let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    if fchown(to, Some(owner.0), Some(owner.1)).is_err() {
        let _ = fchown(to, None, Some(owner.1));
    }
    keep_extended(from, to);
    let _ = fchmod(to, Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO));
    let _ = futimens(to, &times(&stat));
    Ok(())
}

fn times(stat: &rustix::fs::Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    }
}

/// Sets the modification time of an open file, in nanoseconds since 1970. Some disks store no times; that is not an error.
pub fn set_modified(file: &File, nanoseconds: i64) {
    let time =
        Timespec { tv_sec: nanoseconds.div_euclid(1_000_000_000), tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as _ };
    let _ = futimens(file, &Timestamps { last_access: time, last_modification: time });
}

fn keep_extended(from: &File, to: &File) {
    let Ok(names) = whole(|buffer| rustix::fs::flistxattr(from, buffer)) else { return };
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Some(name) = CStr::from_bytes_with_nul(name).ok().filter(|name| is_users_own(name)) else { continue };
        if let Ok(value) = whole(|buffer| rustix::fs::fgetxattr(from, name, buffer)) {
            let _ = rustix::fs::fsetxattr(to, name, &value, XattrFlags::empty());
        }
    }
}

/// All that a call reads, which fails with ERANGE when there is more. How much there is cannot be asked before: rustix answers 0 for a
/// buffer without room.
fn whole(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut room = vec![0; 1 << 10];
    loop {
        match read(&mut room) {
            Err(Errno::RANGE) if room.len() < LARGEST_ATTRIBUTE => room.resize(room.len() * 8, 0),
            Err(error) => return Err(error),
            Ok(length) => {
                room.truncate(length);
                return Ok(room);
            }
        }
    }
}

/// Whether an attribute is one that users give their files; those of the system, such as capabilities, give rights.
#[cfg(target_os = "linux")]
fn is_users_own(name: &CStr) -> bool {
    name.to_bytes().starts_with(b"user.") || name == c"system.posix_acl_access"
}

#[cfg(not(target_os = "linux"))]
fn is_users_own(_name: &CStr) -> bool {
    true
}
