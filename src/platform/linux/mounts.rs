//! File systems that tell nothing of what others do, by the numbers that Linux knows them by.

use std::path::{Component, Path};

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

#[expect(clippy::cast_possible_truncation, reason = "the numbers have 32 bits; the field is wider on some systems")]
pub(crate) fn silent_name(found: &StatFs) -> Option<&'static str> {
    let magic = found.f_type as u32;
    SILENT.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

/// `/run/media/USER`, in which desktops mount what is plugged in. Under `/media` and `/mnt` there are plain folders as well.
pub(crate) fn holds_places_of_disks(folder: &Path) -> bool {
    let mut names = folder.strip_prefix("/run/media").into_iter().flat_map(Path::components);
    matches!((names.next(), names.next()), (Some(Component::Normal(_)), None))
}

/// One that no test machine has.
#[cfg(test)]
pub(crate) const PLACE_OF_A_DISK: &str = "/run/media/nobody-at-all/CARD-1";

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: the file systems of shared storage in studios and of virtual machines tell nothing of what others do, and are polled.
    #[test]
    fn shared_file_systems_are_known_by_their_numbers() {
        let mut found = rustix::fs::statfs("/").unwrap();
        for (number, name) in [
            (0xbeef_dead_u32, "StorNext"),
            (0x7461_636f, "OCFS2"),
            (0xaad7_aaea, "PanFS"),
            (0x7c7c_6673, "Parallels"),
            (0x6969, "NFS"),
            (0xff53_4d42, "CIFS"),
        ] {
            found.f_type = number.into();
            assert_eq!(silent_name(&found), Some(name));
        }
        // Ext4 tells of everything.
        found.f_type = 0xef53_u32.into();
        assert_eq!(silent_name(&found), None);
    }
}
