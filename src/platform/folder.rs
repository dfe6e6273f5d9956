//! Folders that are held open, and everything beneath them: the only way to files in places that others may write to.
//!
//! **In**: a folder given by a trusted user, paths relative to it. **Out**: descriptors, what the file system says,
//! or a [`FolderError`] that names what is in the way. Blocks.
//!
//! **Guarantees.** No symbolic link is followed beneath the folder, neither at the end of a path nor on the way, whoever
//! replaces something by a link meanwhile: each name is opened relative to the folder opened before it. Every operation
//! happens in the folder that was opened, whatever has its name by then. Only regular files are opened as files;
//! a named pipe in a file's place does not block. Nothing is created over an existing name.
//!
//! What is *not* checked: who owns a file, and how many names it has. A hard link is a file like any other, and may have been
//! made by somebody who cannot read the file where the system does not prevent that: callers ask [`Folder::may_be_planted`].
//!
//! On a crash nothing is lost: nothing is stored here.
//!
//! Must never know: rules, transfers, or which folder belongs to whom.

mod copy;
mod entry;
mod opening;
mod path_beneath;
mod writing;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, statat};
use rustix::io::Errno;

pub use copy::{copy_file, keep_attributes, put_copy, set_modified};
pub use entry::{Entry, EntryKind, FolderError};
pub use path_beneath::PathBeneath;
pub use writing::{entry_of, give_file};

type Result<T> = std::result::Result<T, FolderError>;

/// A folder that is held open.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Folder {
    /// Opens a folder given by a trusted user: links in this path are followed.
    ///
    /// # Errors
    /// [`FolderError::Missing`], [`FolderError::NotAFolder`], [`FolderError::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        match rustix::fs::open(path, opening::FOLDER, Mode::empty()) {
            Ok(handle) => Ok(Self { handle, path: path.to_owned() }),
            Err(Errno::NOTDIR) => Err(FolderError::NotAFolder { path: path.to_owned(), kind: EntryKind::File }),
            Err(Errno::LOOP) => Err(FolderError::Symlink(path.to_owned())),
            Err(errno) => Err(FolderError::of(path.to_owned(), errno)),
        }
    }

    /// Another handle to the same folder.
    ///
    /// # Errors
    /// [`FolderError::Io`] if too many files are open.
    pub fn try_clone(&self) -> Result<Self> {
        let handle = self.handle.try_clone().map_err(|source| FolderError::Io { path: self.path.clone(), source })?;
        Ok(Self { handle, path: self.path.clone() })
    }

    /// Its path when it was opened; for display only.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file system says about the folder itself.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn entry(&self) -> Result<Entry> {
        let stat = fstat(&self.handle).map_err(|errno| FolderError::of(self.path.clone(), errno))?;
        Ok(Entry::of(&stat))
    }

    /// The folder at a path beneath this one; the empty path is this one.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn below(&self, relative: &Path) -> Result<Self> {
        let handle = opening::open(self.handle.as_fd(), &self.path, relative, opening::FOLDER)?;
        Ok(Self { handle, path: self.path.join(relative) })
    }

    /// The folder that contains the last name of a path, and that name.
    ///
    /// # Errors
    /// See [`FolderError`]; a path without a name is [`FolderError::Io`].
    pub fn parent_of(&self, relative: &Path) -> Result<(Self, OsString)> {
        let names = opening::names(&self.path, relative)?;
        let Some(name) = names.last() else {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "has no name");
            return Err(FolderError::Io { path: self.path.join(relative), source });
        };
        Ok((self.below(relative.parent().unwrap_or(Path::new("")))?, (*name).to_owned()))
    }

    /// What is at a path. Needs no permission to read it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn look(&self, relative: &Path) -> Result<Entry> {
        let found = match relative.parent() {
            Some(above) if !above.as_os_str().is_empty() => {
                let (folder, name) = self.parent_of(relative)?;
                statat(&folder.handle, name, AtFlags::SYMLINK_NOFOLLOW)
            }
            _ => {
                opening::plain(&self.path, relative.as_os_str())?;
                statat(&self.handle, relative, AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        found.map(|stat| Entry::of(&stat)).map_err(|errno| FolderError::of(self.path.join(relative), errno))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open_file(&self, relative: &Path) -> Result<(File, Entry)> {
        self.regular(relative, OFlags::RDONLY)
    }

    /// Opens an existing regular file for reading and writing.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open_to_write(&self, relative: &Path) -> Result<(File, Entry)> {
        self.regular(relative, OFlags::RDWR)
    }

    fn regular(&self, relative: &Path, access: OFlags) -> Result<(File, Entry)> {
        let handle = opening::open(self.handle.as_fd(), &self.path, relative, access | opening::FILE)?;
        let failed = |errno| FolderError::of(self.path.join(relative), errno);
        let entry = Entry::of(&fstat(&handle).map_err(failed)?);
        if entry.is_file() {
            Ok((File::from(handle), entry))
        } else {
            Err(FolderError::NotAFile { path: self.path.join(relative), kind: entry.kind })
        }
    }

    /// Whether the file that `file` describes, which is in this folder, may be one that somebody who cannot read it has given a name
    /// here: it has several names, others than its owner may make names here, and the system does not prevent that they make
    /// them of files that are not theirs (Linux does, where `fs.protected_hardlinks` is on; but not for other machines that
    /// have the same file system).
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn may_be_planted(&self, file: &Entry) -> Result<bool> {
        if file.links < 2 || self.entry()?.is_closed_to_all_but_the_owner_of(file) {
            return Ok(false);
        }
        Ok(!hard_links_are_protected() || crate::silent_file_system_of(&self.handle).is_some())
    }

    /// Its entries, each with the kind from the listing, which may be [`EntryKind::Unknown`].
    ///
    /// # Errors
    /// [`FolderError::Io`], also from each step.
    pub fn list(&self) -> Result<impl Iterator<Item = Result<(OsString, EntryKind)>> + use<>> {
        let path = self.path.clone();
        let listing = Dir::read_from(&self.handle).map_err(|errno| FolderError::of(path.clone(), errno))?;
        Ok(listing.filter_map(move |entry| match entry {
            Ok(entry) => {
                let name = entry.file_name().to_bytes();
                let itself = name == b"." || name == b"..";
                (!itself).then(|| Ok((OsStr::from_bytes(name).to_owned(), EntryKind::of(entry.file_type()))))
            }
            Err(errno) => Some(Err(FolderError::of(path.clone(), errno))),
        }))
    }
}

/// Whether users of this machine make hard links only to files that they may write to. A test takes the protection away: in a debug
/// build, `MASV_HARD_LINKS=open`.
fn hard_links_are_protected() -> bool {
    let opened = cfg!(debug_assertions) && std::env::var_os("MASV_HARD_LINKS").is_some_and(|value| value == "open");
    !opened && crate::system::hard_links_are_protected()
}
