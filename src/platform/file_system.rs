//! Which file system a folder lies on, so that it is known again after the next start.
//!
//! **In**: a folder that is open. **Out**: a [`FileSystemId`]. A device number says it as long as nothing is mounted anew: after that,
//! network drives and most others have another. What stays is asked first: the identifier that the file system itself keeps; where it
//! has none, where it is mounted from.

use std::fmt;
use std::os::fd::AsFd;
use std::str::FromStr;

/// A file system, as it is called over restarts: its kind, and what tells it from others of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemId {
    kind: String,
    name: String,
}

impl FileSystemId {
    /// One of this kind and name.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned() }
    }

    /// That of an open folder; `None` where the system does not tell.
    #[must_use]
    pub fn of(folder: impl AsFd) -> Option<Self> {
        system::file_system_of(folder.as_fd())
    }
}

impl fmt::Display for FileSystemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.name)
    }
}

impl FromStr for FileSystemId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self::new(kind, name))
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::BorrowedFd;

    use rustix::fs::{fstat, fstatfs, major, minor};

    use super::FileSystemId;

    /// Magic numbers from `linux/magic.h` of file systems whose `f_fsid` is kept in them, and not made of the device number.
    const KEPT: [i64; 3] = [0xef53, 0x9123_683e, 0x2fc1_2fc1];

    pub(super) fn file_system_of(folder: BorrowedFd<'_>) -> Option<FileSystemId> {
        let device = fstat(folder).ok()?.st_dev;
        let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (kind, source) = mounted(&text, major(device), minor(device))?;
        let name = match (kept_id(folder), uuid_of(device)) {
            (Some(id), _) => id,
            (None, Some(uuid)) => uuid,
            // Those in memory are all called the same.
            (None, None) => Some(source).filter(|source| source.contains(['/', ':']))?,
        };
        Some(FileSystemId::new(&kind, &name))
    }

    fn kept_id(folder: BorrowedFd<'_>) -> Option<String> {
        let found = fstatfs(folder).ok()?;
        #[expect(clippy::unnecessary_cast, reason = "on some machines it is of another type")]
        let kind = found.f_type as i64;
        KEPT.contains(&kind).then(|| format!("{:?}", found.f_fsid).chars().filter(char::is_ascii_alphanumeric).collect())
    }

    /// What the system calls the block device by.
    fn uuid_of(device: u64) -> Option<String> {
        let entries = std::fs::read_dir("/dev/disk/by-uuid").ok()?;
        let is_it = |entry: &std::fs::DirEntry| {
            rustix::fs::stat(entry.path()).is_ok_and(|found| found.st_rdev == device)
        };
        entries.flatten().find(is_it).map(|entry| entry.file_name().to_string_lossy().into_owned())
    }

    /// Kind and source of what is mounted with this device number, out of `/proc/self/mountinfo`.
    pub(super) fn mounted(text: &str, major: u32, minor: u32) -> Option<(String, String)> {
        let device = format!("{major}:{minor}");
        text.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let (kind, source) = (after.next()?, after.next()?);
            (before.split(' ').nth(2)? == device).then(|| (kind.to_owned(), source.to_owned()))
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_mounted_is_found_by_its_device_number() {
            let text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                        61 1 0:57 / /srv/share rw,relatime shared:30 - nfs4 nas:/media rw,vers=4.2\n";
            assert_eq!(mounted(text, 0, 57), Some(("nfs4".into(), "nas:/media".into())));
            assert_eq!(mounted(text, 98, 0), Some(("ext3".into(), "/dev/root".into())));
            assert_eq!(mounted(text, 8, 1), None);
        }

        #[test]
        fn a_folder_is_on_the_same_file_system_as_what_is_in_it() {
            let folder = tempfile::tempdir().unwrap();
            let inside = folder.path().join("inside");
            std::fs::create_dir(&inside).unwrap();
            let of = |path: &std::path::Path| FileSystemId::of(std::fs::File::open(path).unwrap());
            assert_eq!(of(folder.path()), of(&inside));
            assert_eq!(of(std::path::Path::new("/proc")), None, "it has neither a name nor a place of its own");
            let known = FileSystemId::new("nfs4", "nas:/media 2");
            assert_eq!(known.to_string().parse(), Ok(known));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::BorrowedFd;

    use super::FileSystemId;

    /// Elsewhere nothing is asked yet: the device number alone counts, as long as the agent runs.
    pub(super) fn file_system_of(_folder: BorrowedFd<'_>) -> Option<FileSystemId> {
        None
    }
}
