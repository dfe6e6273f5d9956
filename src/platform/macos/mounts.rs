//! File systems that tell nothing of what others do, by the names that Apple's systems know them by.

use std::path::Path;

use rustix::fs::StatFs;

const SILENT: [&str; 9] = ["nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse", "fuse-t", "ftp", "acfs"];

pub(crate) fn silent_name(found: &StatFs) -> Option<&'static str> {
    let name: String =
        found.f_fstypename.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte as u8)).collect();
    SILENT.iter().find(|silent| **silent == name).copied()
}

/// `/Volumes`. A folder that lies in a disk's place there makes the disk appear as `NAME 1`.
pub(crate) fn holds_places_of_disks(folder: &Path) -> bool {
    folder == Path::new("/Volumes")
}

/// One that no test machine has.
#[cfg(test)]
pub(crate) const PLACE_OF_A_DISK: &str = "/Volumes/CARD-1 of nobody";
