//! Whether a folder's file system tells of changes by itself.
//!
//! Network file systems and those that a program provides (FUSE) tell nothing of what other machines or the
//! program itself do, and give no error either: they have to be looked at again and again. For the same reason nothing
//! tells who has a file open on them.

use std::os::fd::BorrowedFd;
use std::path::Path;

/// The name of the folder's file system when it tells of no changes made elsewhere.
#[must_use]
pub fn silent_file_system(folder: &Path) -> Option<&'static str> {
    system::silent_file_system(folder)
}

/// The same of an open file, which may lie on another file system than the watched folder.
#[must_use]
pub fn silent_file_system_of(file: BorrowedFd<'_>) -> Option<&'static str> {
    system::silent_file_system_of(file)
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::BorrowedFd;
    use std::path::Path;

    use rustix::fs::StatFs;

    /// Magic numbers from `statfs(2)` and the kernel's `linux/magic.h`.
    const SILENT: [(u32, &str); 22] = [
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
        (0x7461_636f, "OCFS2"),
        (0x6163_6673, "ACFS"),
        (0xaad7_aaea, "PanFS"),
        (0xbeef_dead, "StorNext"),
        (0x7c7c_6673, "Parallels"),
        (0xbacb_acbc, "VMware"),
    ];

    pub(super) fn silent_file_system(folder: &Path) -> Option<&'static str> {
        name(&rustix::fs::statfs(folder).ok()?)
    }

    pub(super) fn silent_file_system_of(file: BorrowedFd<'_>) -> Option<&'static str> {
        name(&rustix::fs::fstatfs(file).ok()?)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the numbers have 32 bits; the field is wider on some systems")]
    fn name(found: &StatFs) -> Option<&'static str> {
        let magic = found.f_type as u32;
        SILENT.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::BorrowedFd;
    use std::path::Path;

    use rustix::fs::StatFs;

    const SILENT: [&str; 7] = ["nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse", "ftp"];

    pub(super) fn silent_file_system(folder: &Path) -> Option<&'static str> {
        name(&rustix::fs::statfs(folder).ok()?)
    }

    pub(super) fn silent_file_system_of(file: BorrowedFd<'_>) -> Option<&'static str> {
        name(&rustix::fs::fstatfs(file).ok()?)
    }

    fn name(found: &StatFs) -> Option<&'static str> {
        let name: String =
            found.f_fstypename.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte as u8)).collect();
        SILENT.iter().find(|silent| **silent == name).copied()
    }
}
