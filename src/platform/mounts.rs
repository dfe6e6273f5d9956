//! Whether a folder's file system tells of changes by itself, and folders that are not made because a disk belongs in their place.
//!
//! Network file systems and those that a program provides (FUSE) tell nothing of what other machines or the
//! program itself do, and give no error either: they have to be looked at again and again. For the same reason nothing
//! tells who has a file open on them.

use std::io;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{fstatfs, statfs};

use crate::system;

/// The name of the folder's file system when it tells of no changes made elsewhere.
#[must_use]
pub fn silent_file_system(folder: &Path) -> Option<&'static str> {
    system::silent_name(&statfs(folder).ok()?)
}

/// The same of an open file, which may lie on another file system than the watched folder.
#[must_use]
pub fn silent_file_system_of(file: impl AsFd) -> Option<&'static str> {
    system::silent_name(&fstatfs(file).ok()?)
}

/// Makes a folder that somebody trusted has named, and those that it lies in, where they are missing. The place of a disk that is not
/// mounted is not made: what is written there would lie on another disk, and the real one would come by another name.
///
/// # Errors
/// The system's; [`io::ErrorKind::NotFound`] where a disk is not mounted.
pub fn make_folders(path: &Path) -> io::Result<()> {
    match path.ancestors().take_while(|above| !above.exists()).find(|above| is_place_of_a_disk(above)) {
        Some(disk) => Err(not_mounted(disk)),
        None => std::fs::create_dir_all(path),
    }
}

/// Whether the system makes this folder when a disk is mounted, and removes it afterwards.
pub(crate) fn is_place_of_a_disk(path: &Path) -> bool {
    path.parent().is_some_and(system::holds_places_of_disks)
}

pub(crate) fn not_mounted(disk: &Path) -> io::Error {
    let message = format!("the disk {} is not mounted, and nothing is made in its place", disk.display());
    io::Error::new(io::ErrorKind::NotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_but_not_in_the_place_of_a_disk_that_is_not_mounted() {
        let around = tempfile::tempdir().unwrap();
        make_folders(&around.path().join("media/drop")).unwrap();
        make_folders(&around.path().join("media/drop")).unwrap();
        assert!(around.path().join("media/drop").is_dir());
        let disk = system::PLACE_OF_A_DISK;
        let error = make_folders(&Path::new(disk).join("drop")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains(&format!("{disk} is not mounted")), "{error}");
        assert!(!Path::new(disk).exists());
        let root = crate::Folder::open(Path::new("/")).unwrap();
        let beneath = Path::new(disk).strip_prefix("/").unwrap();
        // Whoever may not even make the folder of such places is told that.
        assert!(root.make_below(&beneath.join("drop")).is_err() && !Path::new(disk).exists());
    }

    #[test]
    fn a_local_disk_tells_of_changes_and_what_is_gone_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(silent_file_system(folder.path()), silent_file_system_of(opened));
        assert_eq!(silent_file_system(&folder.path().join("gone")), None);
    }
}
