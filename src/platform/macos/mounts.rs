//! File systems that tell nothing of what others do, by the names that Apple's systems know them by.

use rustix::fs::StatFs;

const SILENT: [&str; 9] = ["nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse", "fuse-t", "ftp", "acfs"];

pub(crate) fn silent_name(found: &StatFs) -> Option<&'static str> {
    let name: String =
        found.f_fstypename.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte as u8)).collect();
    SILENT.iter().find(|silent| **silent == name).copied()
}
