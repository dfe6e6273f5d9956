//! Folders below the destination, opened one by one so that no symbolic link on the way is ever followed.
//!
//! A [`Folder`] is an open handle: what is done in it happens in the folder that was opened, whoever renames or replaces
//! what afterwards. All functions block.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid, fchown, fstat, futimens,
    linkat, mkdirat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use masv_platform::FileIdentity;

use super::layout::numbered;
use crate::model::{Owner, Problem};

/// Numbered names that are tried before a folder counts as full of them.
const MOST_NUMBERS: u32 = 10_000;
/// Times that differ by less are the same: clouds keep milliseconds.
const SAME_TIME_NS: u64 = 1_000_000;
/// The same for times of whole seconds: some disks keep every other second only.
const COARSE_TIME_NS: u64 = 2_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// What the disk refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// Something else than a folder stands where one is needed; a symbolic link is none.
    #[error("{} is a link or a file where a folder is needed", .0.display())]
    NoFolder(PathBuf),
    /// There is no room.
    #[error("the disk of {} is full", .0.display())]
    Full(PathBuf),
    /// Files may not be given away.
    #[error("{} cannot be given to the user and group that were asked for: {source}", path.display())]
    Owner { path: PathBuf, source: io::Error },
    /// Anything else.
    #[error("{} cannot be written: {source}", path.display())]
    Other { path: PathBuf, source: io::Error },
}

impl DiskError {
    pub(super) fn of(path: &Path, error: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), error.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Other { path, source },
        }
    }

    /// Whether other files of the download would meet the same.
    pub(super) fn concerns_all(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Owner { .. })
    }

    pub(super) fn problem(&self) -> Problem {
        let (code, hint) = match self {
            Self::NoFolder(_) => ("unsafe_destination", "move it away, or choose another destination"),
            Self::Full(_) => ("no_space", "make room on that disk, then resume the download"),
            Self::Owner { .. } => (
                "not_owner",
                "let the agent run as root or with CAP_CHOWN, or start the download again without --uid and --gid",
            ),
            Self::Other { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ("not_writable", "let the agent's user write there, then resume the download")
            }
            Self::Other { .. } => ("not_writable", "check the disk, then resume the download"),
        };
        let hint = Some(hint.to_owned());
        Problem { code: code.to_owned(), message: self.to_string(), retryable: true, hint }
    }
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
    /// Whose everything is that is made in it.
    owner: Owner,
}

/// What is known of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    is_file: bool,
    size: u64,
    modified_ns: i64,
}

impl Found {
    fn of(stat: &Stat) -> Self {
        Self {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified_ns: FileIdentity::of_stat(stat).mtime_ns,
        }
    }

    fn is(&self, size: u64, modified_ns: Option<i64>) -> bool {
        let same_time = modified_ns.is_some_and(|time| {
            let apart = time.abs_diff(self.modified_ns);
            apart < SAME_TIME_NS || (self.modified_ns % SECOND_NS == 0 && apart < COARSE_TIME_NS)
        });
        self.is_file && self.size == size && same_time
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A pipe put in a file's place must not hang whoever opens it.
const FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Folder {
    /// The destination, made where it is missing. It is what somebody named: links on the way to it are theirs.
    pub(super) fn destination(path: &Path, owner: Owner) -> Result<Self, DiskError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => DiskError::NoFolder(path.to_owned()),
            _ => DiskError::of(path, error),
        };
        let is_new = !path.exists();
        std::fs::create_dir_all(path).map_err(failed)?;
        let handle = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|error| failed(error.into()))?;
        if is_new {
            give(&handle, path, owner)?;
        }
        Ok(Self { handle, path: path.to_owned(), owner })
    }

    /// The destination if it is there.
    pub(super) fn existing(path: &Path) -> Option<Self> {
        let handle = rustix::fs::open(path, FOLDER, Mode::empty()).ok()?;
        Some(Self { handle, path: path.to_owned(), owner: Owner::default() })
    }

    /// The folder of this relative path, made where it is missing.
    pub(super) fn below(&self, path: &str, make: bool) -> Result<Self, DiskError> {
        let handle = self.handle.try_clone().map_err(|error| DiskError::of(&self.path, error))?;
        let mut folder = Self { handle, path: self.path.clone(), owner: self.owner };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            folder = folder.child(name, make)?;
        }
        Ok(folder)
    }

    fn child(&self, name: &str, make: bool) -> Result<Self, DiskError> {
        let path = self.path.join(name);
        let mut is_new = false;
        if make {
            match mkdirat(&self.handle, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => is_new = true,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(DiskError::of(&path, error)),
            }
        }
        match openat(&self.handle, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(handle) => {
                if is_new {
                    give(&handle, &path, self.owner)?;
                }
                Ok(Self { handle, path, owner: self.owner })
            }
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => Err(DiskError::NoFolder(path)),
            Err(error) => Err(DiskError::of(&path, error)),
        }
    }

    /// Where it is, as it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written here.
    pub(super) fn space(&self) -> Result<u64, DiskError> {
        masv_platform::free_space_of(&self.handle).map_err(|error| DiskError::of(&self.path, error))
    }

    fn look(&self, name: &str) -> Option<Found> {
        statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| Found::of(&stat))
    }

    /// The name under which this very file is there already: its own or, unless it would replace that one, a numbered one.
    pub(super) fn same(&self, name: &str, size: u64, modified_ns: Option<i64>, overwrite: bool) -> Option<String> {
        let names = if overwrite { 1 } else { MOST_NUMBERS };
        for number in 1..=names {
            let name = numbered(name, number);
            match self.look(&name) {
                Some(found) if found.is(size, modified_ns) => return Some(name),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    /// What a file that is there hashes to, hexadecimal.
    pub(super) fn checksum(&self, name: &str) -> Result<String, DiskError> {
        let failed = |error: io::Error| DiskError::of(&self.path.join(name), error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let handle = openat(&self.handle, name, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::from(handle)).map_err(failed)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The unfinished file that we left, if it is what we left: a plain file of this size.
    pub(super) fn go_on(&self, temporary: &str, size: u64) -> Option<File> {
        let handle = openat(&self.handle, temporary, FILE, Mode::empty()).ok()?;
        let stat = fstat(&handle).ok()?;
        let found = Found::of(&stat);
        (found.is_file && found.size == size && stat.st_nlink == 1).then(|| File::from(handle))
    }

    /// A new unfinished file of this size; whatever had its name is removed.
    pub(super) fn begin(&self, temporary: &str, size: u64) -> Result<File, DiskError> {
        let path = self.path.join(temporary);
        self.remove(temporary)?;
        let flags = FILE | OFlags::CREATE | OFlags::EXCL;
        let handle = openat(&self.handle, temporary, flags, Mode::from_raw_mode(0o666));
        let file = File::from(handle.map_err(|error| DiskError::of(&path, error))?);
        give(&file, &path, self.owner)?;
        file.set_len(size).map_err(|error| DiskError::of(&path, error))?;
        Ok(file)
    }

    /// Removes a file or link; one that is not there is removed already.
    pub(super) fn remove(&self, name: &str) -> Result<(), DiskError> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(DiskError::of(&self.path.join(name), error)),
        }
    }

    /// Gives a whole file its time and its name, on the disk; the name is numbered when it is taken. Returns the name.
    pub(super) fn finish(
        &self,
        file: &File,
        temporary: &str,
        name: &str,
        modified_ns: Option<i64>,
        overwrite: bool,
    ) -> Result<String, DiskError> {
        if let Some(time) = modified_ns {
            // Some disks keep no times; that loses nobody a file.
            let _ = futimens(file, &times(time));
        }
        masv_platform::flush(file).map_err(|error| DiskError::of(&self.path.join(name), error))?;
        let placed = self.place(temporary, name, overwrite)?;
        masv_platform::flush_open_folder(&self.handle).map_err(|error| DiskError::of(&self.path.join(name), error))?;
        Ok(placed)
    }

    fn place(&self, temporary: &str, name: &str, overwrite: bool) -> Result<String, DiskError> {
        if overwrite && self.look(name).is_none_or(|found| found.is_file) {
            let renamed = renameat(&self.handle, temporary, &self.handle, name);
            return renamed.map(|()| name.to_owned()).map_err(|error| DiskError::of(&self.path.join(name), error));
        }
        for number in 1..MOST_NUMBERS {
            let wanted = numbered(name, number);
            match self.rename_to_free(temporary, &wanted) {
                Ok(()) => return Ok(wanted),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(DiskError::of(&self.path.join(wanted), error)),
            }
        }
        Err(DiskError::of(&self.path.join(name), Errno::EXIST))
    }

    /// Renames only where nothing is in the way.
    fn rename_to_free(&self, from: &str, to: &str) -> Result<(), Errno> {
        match renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            other => return other,
        }
        // Network and foreign disks: a second name is given only where there is none, too.
        match linkat(&self.handle, from, &self.handle, to, AtFlags::empty()) {
            Ok(()) => return unlinkat(&self.handle, from, AtFlags::empty()),
            Err(Errno::EXIST) => return Err(Errno::EXIST),
            Err(_) => {}
        }
        if self.look(to).is_some() {
            return Err(Errno::EXIST);
        }
        renameat(&self.handle, from, &self.handle, to)
    }
}

/// Gives a new file or folder to its owner.
fn give(handle: impl AsFd, path: &Path, owner: Owner) -> Result<(), DiskError> {
    if owner == Owner::default() {
        return Ok(());
    }
    let (user, group) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
    fchown(handle, user, group).map_err(|error| DiskError::Owner { path: path.to_owned(), source: error.into() })
}

fn times(nanoseconds: i64) -> Timestamps {
    let time =
        Timespec { tv_sec: nanoseconds.div_euclid(1_000_000_000), tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as _ };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn destination() -> (tempfile::TempDir, Folder) {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::destination(&around.path().join("in"), Owner::default()).unwrap();
        (around, folder)
    }

    #[test]
    fn a_planted_link_is_no_folder_and_no_file() {
        let (around, folder) = destination();
        let outside = around.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, folder.path().join("door")).unwrap();
        assert!(matches!(folder.below("door", true), Err(DiskError::NoFolder(_))));
        assert!(matches!(folder.below("door/deeper", true), Err(DiskError::NoFolder(_))));
        std::fs::write(outside.join("victim"), b"safe").unwrap();
        symlink(outside.join("victim"), folder.path().join(".t")).unwrap();
        assert!(folder.go_on(".t", 4).is_none());
        let file = folder.begin(".t", 2).unwrap();
        symlink(outside.join("victim"), folder.path().join("a")).unwrap();
        assert_eq!(folder.finish(&file, ".t", "a", None, false).unwrap(), "a (2)");
        assert_eq!(std::fs::read(outside.join("victim")).unwrap(), b"safe");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_kept_or_replaced_as_ordered() {
        let (_around, folder) = destination();
        let put = |overwrite| {
            let file = folder.begin(".t", 0).unwrap();
            folder.finish(&file, ".t", "a.txt", Some(1_000_000_000_000_000_000), overwrite).unwrap()
        };
        assert_eq!(put(false), "a.txt");
        let same = |size, time| folder.same("a.txt", size, Some(time), false);
        assert_eq!(same(0, 1_000_000_000_000_000_000).as_deref(), Some("a.txt"));
        assert_eq!((same(1, 1_000_000_000_000_000_000), same(0, 5)), (None, None));
        assert_eq!(put(false), "a (2).txt");
        assert_eq!(put(true), "a.txt");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
