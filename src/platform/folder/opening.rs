//! How a path beneath an open folder becomes a descriptor without a symbolic link being followed anywhere on the way.
//!
//! Name by name with `O_NOFOLLOW`, which every system has. Linux can do the whole path in one call (`openat2` with
//! `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`); whatever that call refuses is walked once more, to name what is in the way.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, statat};
use rustix::io::Errno;

use super::entry::{Entry, EntryKind, FolderError};

/// A folder that is listed or flushed.
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A folder on the way: searching it needs no permission to read it.
#[cfg(target_os = "linux")]
const ON_THE_WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const ON_THE_WAY: OFlags = FOLDER;

/// A file. Non-blocking, so that a named pipe in its place cannot hang the caller.
pub(super) const FILE: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens `relative` beneath `root`, whose own path is `path`.
pub(super) fn open(root: BorrowedFd<'_>, path: &Path, relative: &Path, flags: OFlags) -> Result<OwnedFd, FolderError> {
    let names = names(path, relative)?;
    let Some((last, above)) = names.split_last() else {
        return rustix::fs::openat(root, ".", flags, Mode::empty())
            .map_err(|errno| FolderError::of(path.into(), errno));
    };
    if !above.is_empty()
        && let Some(opened) = at_once(root, relative, flags)
    {
        return Ok(opened);
    }
    let mut folder: Option<OwnedFd> = None;
    let mut way = path.to_owned();
    for name in above {
        let parent = folder.as_ref().map_or(root, AsFd::as_fd);
        let opened = one(parent, &way, name, ON_THE_WAY)?;
        folder = Some(opened);
        way.push(name);
    }
    one(folder.as_ref().map_or(root, AsFd::as_fd), &way, last, flags)
}

/// Opens one name in a folder.
pub(super) fn one(parent: BorrowedFd<'_>, path: &Path, name: &OsStr, flags: OFlags) -> Result<OwnedFd, FolderError> {
    rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(|errno| {
        let place = path.join(name);
        // Which of these errors a link causes differs between systems, and a folder that may not be read causes the same.
        if !matches!(errno, Errno::LOOP | Errno::NOTDIR | Errno::MLINK | Errno::NXIO | Errno::ISDIR) {
            return FolderError::of(place, errno);
        }
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Entry::of(&stat).kind) {
            Ok(EntryKind::Symlink) => FolderError::Symlink(place),
            Ok(kind) if flags.contains(OFlags::DIRECTORY) => FolderError::NotAFolder { path: place, kind },
            Ok(kind) => FolderError::NotAFile { path: place, kind },
            Err(errno) => FolderError::of(place, errno),
        }
    })
}

/// The names of a relative path, each a plain one.
pub(super) fn names<'a>(path: &Path, relative: &'a Path) -> Result<Vec<&'a OsStr>, FolderError> {
    let mut names = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => return Err(leads_out(path.join(relative))),
        }
    }
    Ok(names)
}

/// A single name, not a path.
pub(super) fn plain(path: &Path, name: &OsStr) -> Result<(), FolderError> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(()),
        _ => Err(leads_out(path.join(name))),
    }
}

fn leads_out(path: PathBuf) -> FolderError {
    FolderError::Io {
        path,
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "is not a path beneath a folder"),
    }
}

/// The whole path in one call, if the system has one and nothing is in the way.
#[cfg(target_os = "linux")]
fn at_once(root: BorrowedFd<'_>, relative: &Path, flags: OFlags) -> Option<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, relative, flags | OFlags::NOFOLLOW, Mode::empty(), resolve).ok()
}

#[cfg(not(target_os = "linux"))]
fn at_once(_root: BorrowedFd<'_>, _relative: &Path, _flags: OFlags) -> Option<OwnedFd> {
    None
}
