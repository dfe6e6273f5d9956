//! Whether a folder's file system tells of changes by itself.
//!
//! Network file systems and those that a program provides (FUSE) tell nothing of what other machines or the
//! program itself do, and give no error either: they have to be looked at again and again.

use std::path::Path;

/// The name of the folder's file system when it tells of no changes made elsewhere.
#[must_use]
pub fn silent_file_system(folder: &Path) -> Option<&'static str> {
    system::silent_file_system(folder)
}

#[cfg(target_os = "linux")]
mod system {
    use std::path::Path;

    /// Magic numbers from `statfs(2)` and the kernel's `linux/magic.h`.
    const SILENT: [(u32, &str); 16] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "AFS"),
        (0x7375_7245, "Coda"),
        (0x564c, "NCP"),
        (0x786f_4256, "VirtualBox"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x0116_1970, "GFS2"),
        (0x1983_0326, "BeeGFS"),
    ];

    #[expect(clippy::cast_possible_truncation, reason = "the numbers have 32 bits; the field is wider on some systems")]
    pub(super) fn silent_file_system(folder: &Path) -> Option<&'static str> {
        let magic = rustix::fs::statfs(folder).ok()?.f_type as u32;
        SILENT.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    const SILENT: [&str; 7] = ["nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse", "ftp"];

    pub(super) fn silent_file_system(folder: &Path) -> Option<&'static str> {
        let found = rustix::fs::statfs(folder).ok()?;
        let name: String =
            found.f_fstypename.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte as u8)).collect();
        SILENT.iter().find(|silent| **silent == name).copied()
    }
}
