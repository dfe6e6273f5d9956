//! What a folder contains under a name, and why a name cannot be used as requested.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::FileIdentity;

/// What kind of thing a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// The file system's listing does not say: look at it.
    Unknown,
}

impl EntryKind {
    pub(super) fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::Unknown => Self::Unknown,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Unknown => "of an unknown kind",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

/// What the file system says about one name; links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its size, times and inode.
    pub identity: FileIdentity,
    /// Id of the user who owns it.
    pub owner: u32,
    /// Id of its group.
    pub group: u32,
    /// How many names it has. More than one means that it may be reachable from elsewhere.
    pub links: u64,
    /// Its permissions, as the low bits of its mode; a list of permissions shows in those of the group.
    pub mode: u32,
}

impl Entry {
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::useless_conversion, reason = "on some systems the field has the wanted type already")
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        let kind = EntryKind::of(FileType::from_raw_mode(stat.st_mode));
        let links = stat.st_nlink.into();
        let mode = u32::from(stat.st_mode) & 0o7777;
        Self { kind, identity: FileIdentity::of_stat(stat), owner: stat.st_uid, group: stat.st_gid, links, mode }
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == EntryKind::File
    }

    /// Whether, in this folder, nobody but the owner of `file`, the user of this process and root can have made a name.
    #[must_use]
    pub fn is_closed_to_all_but_the_owner_of(&self, file: &Self) -> bool {
        const OTHERS_WRITE: u32 = 0o022;
        [file.owner, crate::own_user(), 0].contains(&self.owner) && self.mode & OTHERS_WRITE == 0
    }

    /// Whether the file may be one that this process left here: a regular file of its own user that has no
    /// second name.
    #[must_use]
    pub fn is_our_own_file(&self) -> bool {
        self.is_file() && self.links == 1 && self.owner == crate::own_user()
    }
}

/// Why something beneath a folder could not be reached or changed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is nothing with that name.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The name, or one on the way to it, is a symbolic link.
    #[error("{} is a symbolic link, which is not followed", .0.display())]
    Symlink(PathBuf),
    /// Something other than a folder is there.
    #[error("{} is {kind}, not a folder", path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
        /// What is there.
        kind: EntryKind,
    },
    /// Something other than a regular file is there.
    #[error("{} is {kind}, not a file", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What is there.
        kind: EntryKind,
    },
    /// The name is already in use.
    #[error("{} already exists", .0.display())]
    Taken(PathBuf),
    /// The two names are on different file systems.
    #[error("{} is on another file system", .0.display())]
    OtherFileSystem(PathBuf),
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// With which name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FolderError {
    pub(super) fn of(path: PathBuf, errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing(path),
            Errno::EXIST => Self::Taken(path),
            Errno::XDEV => Self::OtherFileSystem(path),
            other => Self::Io { path, source: other.into() },
        }
    }

    /// The kind of the corresponding system error.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Missing(_) => io::ErrorKind::NotFound,
            Self::Symlink(_) | Self::NotAFolder { .. } => io::ErrorKind::NotADirectory,
            Self::NotAFile { .. } => io::ErrorKind::InvalidInput,
            Self::Taken(_) => io::ErrorKind::AlreadyExists,
            Self::OtherFileSystem(_) => io::ErrorKind::CrossesDevices,
            Self::Io { source, .. } => source.kind(),
        }
    }

    /// Whether the requested file no longer exists: there is nothing, or something that is not a file.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Symlink(_) | Self::NotAFolder { .. } | Self::NotAFile { .. })
    }

    /// Whether the user of this process lacks permission.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.io_kind() == io::ErrorKind::PermissionDenied
    }
}

impl From<FolderError> for io::Error {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Io { source, .. } => source,
            other => Self::new(other.io_kind(), other),
        }
    }
}
