//! Operations that change a folder: always by one plain name in the open folder, and never over an existing name unless the
//! caller requests it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::mounts::{is_place_of_a_disk, not_mounted};

use super::{Entry, Folder, FolderError, Result, opening};

/// How many random names are tried; even a second attempt is extremely unlikely.
const TRIES: u32 = 16;

impl Folder {
    /// The folder at a path beneath this one, created if it is missing, and how many of its names were created.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn make_below(&self, relative: &Path) -> Result<(Self, usize)> {
        match self.below(relative) {
            Err(FolderError::Missing(_)) => {}
            opened => return opened.map(|folder| (folder, 0)),
        }
        let above = relative.parent().unwrap_or(Path::new(""));
        let Some(name) = opening::names(&self.path, relative)?.pop() else { return self.try_clone().map(|it| (it, 0)) };
        let (parent, made) = self.make_below(above)?;
        let made = made + usize::from(parent.make_folder(name)?);
        Ok((parent.below(Path::new(name))?, made))
    }

    /// Creates a folder; `false` if the name is already in use. In the place of a disk that is not mounted none is made.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn make_folder(&self, name: &OsStr) -> Result<bool> {
        opening::plain(&self.path, name)?;
        let path = self.path.join(name);
        if is_place_of_a_disk(&path) && !path.exists() {
            return Err(FolderError::Io { source: not_mounted(&path), path });
        }
        match mkdirat(&self.handle, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.failed(name, errno)),
        }
    }

    /// Creates a new file, open for reading and writing.
    ///
    /// # Errors
    /// [`FolderError::Taken`] if the name is in use, even by a dangling link; [`FolderError::Io`].
    pub fn create_new(&self, name: &OsStr, mode: u32) -> Result<File> {
        opening::plain(&self.path, name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.handle, name, flags, Mode::from_raw_mode(mode as _));
        made.map(File::from).map_err(|errno| self.failed(name, errno))
    }

    /// Creates a file under an unpredictable name: `prefix`, 128 random bits in hexadecimal, `suffix`.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn create_unique(&self, prefix: &str, suffix: &str, mode: u32) -> Result<(OsString, File)> {
        let mut tries = 0;
        loop {
            let name = self.unique_name(prefix, suffix)?;
            match self.create_new(&name, mode) {
                Ok(file) => return Ok((name, file)),
                Err(FolderError::Taken(_)) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// An unpredictable name.
    ///
    /// # Errors
    /// [`FolderError::Io`] if the system provides no randomness.
    pub fn unique_name(&self, prefix: &str, suffix: &str) -> Result<OsString> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| FolderError::Io { path: self.path.clone(), source: io::Error::other(error) })?;
        Ok(format!("{prefix}{:032x}{suffix}", u128::from_le_bytes(random)).into())
    }

    /// Renames, if the new name is not in use.
    ///
    /// # Errors
    /// [`FolderError::Taken`], [`FolderError::OtherFileSystem`], [`FolderError::Missing`], [`FolderError::Io`].
    pub fn rename_new(&self, from: &OsStr, to: &Self, name: &OsStr) -> Result<()> {
        opening::plain(&self.path, from)?;
        opening::plain(&to.path, name)?;
        match renameat_with(&self.handle, from, &to.handle, name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // Network file systems and old kernels do not support this kind of renaming.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(errno) => return Err(self.between(from, to, name, errno)),
        }
        // A hard link, too, is created only if the name is not in use.
        match linkat(&self.handle, from, &to.handle, name, AtFlags::empty()) {
            Ok(()) => return self.remove_file(from),
            Err(Errno::EXIST) => return Err(to.failed(name, Errno::EXIST)),
            Err(_) => {}
        }
        if to.look(Path::new(name)).is_ok() {
            return Err(to.failed(name, Errno::EXIST));
        }
        renameat(&self.handle, from, &to.handle, name).map_err(|errno| self.between(from, to, name, errno))
    }

    /// Renames within the folder, replacing a file with the new name. A link with that name is replaced, not followed.
    ///
    /// # Errors
    /// [`FolderError::Missing`], [`FolderError::Io`].
    pub fn replace(&self, from: &OsStr, name: &OsStr) -> Result<()> {
        opening::plain(&self.path, from)?;
        opening::plain(&self.path, name)?;
        renameat(&self.handle, from, &self.handle, name).map_err(|errno| self.failed(from, errno))
    }

    /// Removes anything but a folder.
    ///
    /// # Errors
    /// [`FolderError::Missing`], [`FolderError::Io`].
    pub fn remove_file(&self, name: &OsStr) -> Result<()> {
        opening::plain(&self.path, name)?;
        unlinkat(&self.handle, name, AtFlags::empty()).map_err(|errno| self.failed(name, errno))
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// [`FolderError::Io`] if it is not empty.
    pub fn remove_folder(&self, name: &OsStr) -> Result<()> {
        opening::plain(&self.path, name)?;
        unlinkat(&self.handle, name, AtFlags::REMOVEDIR).map_err(|errno| self.failed(name, errno))
    }

    /// Flushes creations, renames and removals in it to disk. Some file systems do not support that.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn flush(&self) -> Result<()> {
        crate::flush_open_folder(&self.handle).map_err(|source| FolderError::Io { path: self.path.clone(), source })
    }

    /// Free space here, in bytes.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn free_space(&self) -> Result<u64> {
        crate::free_space_of(&self.handle).map_err(|source| FolderError::Io { path: self.path.clone(), source })
    }

    /// Gives the folder itself to a user and a group.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn give_to(&self, user: Option<u32>, group: Option<u32>) -> Result<()> {
        give(self.handle.as_fd(), user, group).map_err(|errno| FolderError::of(self.path.clone(), errno))
    }

    fn failed(&self, name: &OsStr, errno: Errno) -> FolderError {
        FolderError::of(self.path.join(name), errno)
    }

    /// The name to report when renaming fails: what is full or forbidden is the destination.
    fn between(&self, from: &OsStr, to: &Self, name: &OsStr, errno: Errno) -> FolderError {
        if errno == Errno::NOENT { self.failed(from, errno) } else { to.failed(name, errno) }
    }
}

/// Gives an open file to a user and a group.
///
/// # Errors
/// Those of the system, such as missing permission.
pub fn give_file(file: &File, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    Ok(give(file.as_fd(), user, group)?)
}

fn give(handle: BorrowedFd<'_>, user: Option<u32>, group: Option<u32>) -> std::result::Result<(), Errno> {
    use rustix::fs::{Gid, Uid};
    rustix::fs::fchown(handle, user.map(Uid::from_raw), group.map(Gid::from_raw))
}

/// What an open file is like now.
///
/// # Errors
/// Those of the system.
pub fn entry_of(file: &File) -> io::Result<Entry> {
    Ok(Entry::of(&rustix::fs::fstat(file)?))
}
