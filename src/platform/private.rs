//! Files and folders that are kept from others, and whether others may read or change what is there.
//!
//! **In**: paths, metadata. **Out**: open options, a [`Permissions`]. Blocks.
//!
//! **Guarantees.** What is made here is closed to others from its first moment on.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

/// How a file is opened for writing, and made where there is none, that nobody else may read.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Makes a folder, and those that it lies in, where they are missing; closes it to others, even if it was there.
///
/// # Errors
/// The system's.
pub fn private_folder(path: &Path) -> io::Result<()> {
    new_private_folder(path)?;
    close_to_others(path)
}

/// Makes a folder that is closed to others, and those that it lies in, where they are missing. One that is there stays as it is.
///
/// # Errors
/// The system's.
pub fn new_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes from everybody but its owner what they may do with a file or a folder.
///
/// # Errors
/// The system's; some file systems know no permissions.
pub fn close_to_others(path: &Path) -> io::Result<()> {
    let mode = if std::fs::metadata(path)?.is_dir() { 0o700 } else { 0o600 };
    set_mode(path, mode)
}

/// Lets everybody read a file, and only its owner change it.
///
/// # Errors
/// The system's.
pub fn let_all_read(path: &Path) -> io::Result<()> {
    set_mode(path, 0o644)
}

/// Has the umask take nothing from the owner of what is made: with one that does (`777`), a program cannot open again what it has made
/// itself. What it takes from others stays. For the start of a program: what other threads make meanwhile is closed to others.
pub fn keep_own_files_usable() {
    let of_others = Mode::RWXG | Mode::RWXO;
    let before = umask(of_others);
    umask(before & of_others);
}

/// Gives a file or a folder to a user and a group, by number.
///
/// # Errors
/// The system's: only root may.
pub fn change_owner(path: &Path, user: u32, group: u32) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(user), Some(group))
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// What others than its owner may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    mode: u32,
}

impl Permissions {
    /// Reads them out of the metadata of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777 }
    }

    /// Whether every user may read it.
    #[must_use]
    pub fn all_may_read(self) -> bool {
        self.mode & 0o004 != 0
    }

    /// Whether strangers can do nothing with it, and its group can read it at most.
    #[must_use]
    pub fn keep_strangers_out(self) -> bool {
        self.mode & 0o027 == 0
    }
}

impl std::fmt::Display for Permissions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "mode {:04o}", self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_made_here_is_for_its_owner_only() {
        let around = tempfile::tempdir().unwrap();
        let (folder, file) = (around.path().join("data/hub"), around.path().join("data/hub/key"));
        private_folder(&folder).unwrap();
        private_file().open(&file).unwrap();
        assert_eq!((mode(&folder), mode(&around.path().join("data")), mode(&file)), (0o700, 0o700, 0o600));
        set_mode(&folder, 0o755).unwrap();
        new_private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o755, "it was there");
        let_all_read(&file).unwrap();
        assert!(Permissions::of(&file.metadata().unwrap()).all_may_read());
        private_folder(&folder).unwrap();
        close_to_others(&file).unwrap();
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        assert!(close_to_others(&folder.join("gone")).is_err());
    }

    #[test]
    fn a_group_may_read_and_strangers_nothing() {
        for (mode, kept) in
            [(0o600, true), (0o640, true), (0o660, false), (0o644, false), (0o601, false), (0o602, false)]
        {
            assert_eq!(Permissions { mode }.keep_strangers_out(), kept, "{mode:o}");
        }
        assert_eq!(Permissions { mode: 0o640 }.to_string(), "mode 0640");
    }
}
