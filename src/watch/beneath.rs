//! Opens files and folders below a watched folder without ever following a symbolic link on the way.
//!
//! **In**: the watched folder, paths relative to it. **Out**: descriptors, what `stat` says, or why the whole folder is
//! [`Offline`]. Blocks.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use masv_platform::FileIdentity;

/// Why a watched folder can not be looked at at all. It is looked for again; nothing is forgotten meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Offline {
    /// There is nothing at that path.
    #[error("the folder does not exist")]
    Missing,
    /// Something else is at that path.
    #[error("it is not a folder")]
    NotAFolder,
    /// The agent may not read it.
    #[error("the agent may not read the folder (run it as a user who may, or change its mode)")]
    Forbidden,
    /// Another file system is there, with none of the files that were known.
    #[error("an empty file system took the folder's place (is the drive or share unmounted?)")]
    Replaced,
    /// The file system does not answer as it should.
    #[error("the file system fails: {0}")]
    Failing(String),
}

impl Offline {
    pub(super) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::NOTDIR | Errno::LOOP => Self::NotAFolder,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            other => Self::Failing(std::io::Error::from(other).to_string()),
        }
    }
}

/// What one more look at a file, by opening it, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It can be read and is like this.
    Readable(FileIdentity),
    /// It is there but can not be opened.
    Unreadable(String),
    /// It is no longer there, or no longer a file.
    Gone,
}

/// Opens each file (path relative to the watched folder) once and asks what it is like. Opening shows whether the
/// agent may read it, and makes network file systems ask the server instead of their memory.
///
/// # Errors
/// [`Offline`] when the watched folder itself can not be read.
pub fn probe<'a>(root: &Path, paths: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Probe>, Offline> {
    let root = open_root(root)?;
    Ok(paths.into_iter().map(|path| probe_one(root.as_fd(), path)).collect())
}

fn probe_one(root: BorrowedFd<'_>, path: &Path) -> Probe {
    let stat = open_beneath(root, path, OFlags::RDONLY | OFlags::NONBLOCK).and_then(|file| rustix::fs::fstat(&file));
    match stat {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            Probe::Readable(FileIdentity::of_stat(&stat))
        }
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Probe::Gone,
        Err(Errno::ACCESS | Errno::PERM) => Probe::Unreadable("the agent may not read it".to_owned()),
        Err(errno) => Probe::Unreadable(std::io::Error::from(errno).to_string()),
    }
}

/// Opens the watched folder itself.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, Offline> {
    // The watched folder's own path may go over links: somebody wrote it into the rules.
    rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Offline::from_errno)
}

/// How folders are opened.
pub(super) fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY
}

/// Opens a folder in `parent`.
pub(super) fn open_folder(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, folder_flags() | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `relative` name by name, following no link anywhere on the way.
pub(super) fn open_beneath(root: BorrowedFd<'_>, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut current: Option<OwnedFd> = None;
    let mut names = relative.components().peekable();
    while let Some(component) = names.next() {
        let Component::Normal(name) = component else { return Err(Errno::NOENT) };
        let parent = current.as_ref().map_or(root, AsFd::as_fd);
        let flags = if names.peek().is_some() { folder_flags() } else { flags };
        let opened = rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        current = Some(opened);
    }
    match current {
        Some(opened) => Ok(opened),
        None => open_folder(root, OsStr::new(".")),
    }
}
