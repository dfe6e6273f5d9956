//! The mount that a folder is in, out of `/proc`, and what that file system is called over restarts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{fstat, fstatfs, fstatvfs};

use crate::file_system::Mounted;

/// Magic numbers from `linux/magic.h` of file systems whose `f_fsid` is kept in them (ext, btrfs, ZFS, bcachefs), or as long as they
/// exist (tmpfs): of the others it is made of the device number.
const KEPT: [u32; 5] = [0xef53, 0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e, 0x0102_1994];
/// Kinds whose source is a name that somebody gave.
const NAMED: [&str; 4] = ["virtiofs", "9p", "vboxsf", "prl_fs"];
/// Where devices are called by names that do not depend on the order in which they were found.
const LASTING: [&str; 3] = ["/dev/mapper/", "/dev/zvol/", "/dev/disk/"];

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    kind: String,
    source: String,
    /// What of the file system is mounted there.
    root: PathBuf,
    point: PathBuf,
}

pub(crate) fn mounted(folder: impl AsFd) -> Option<Mounted> {
    let folder = folder.as_fd();
    let number = folder.as_raw_fd();
    let described = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let mount = described.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().to_owned();
    let Line { kind, source, root, point } = line_of(&std::fs::read("/proc/self/mountinfo").ok()?, &mount)?;
    let path = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let within = beneath(&root, path.strip_prefix(&point).ok()?);
    let kept = fstatfs(folder).ok().and_then(|found| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the numbers have 32 bits; the field is wider on some systems"
        )]
        let is_kept = KEPT.contains(&(found.f_type as u32));
        is_kept.then(|| fstatvfs(folder).ok().map(|found| found.f_fsid).filter(|id| *id != 0)).flatten()
    });
    if let Some(id) = kept {
        return Some(Mounted { kind, name: Some(format!("{id:016x}")), within });
    }
    if is_remote(&source) {
        // The same folder may be reached over a mount of it, or of one that it lies in.
        let name = beneath(Path::new(source.trim_end_matches('/')), Path::new(within.trim_start_matches('/')));
        return Some(Mounted { kind, name: Some(name), within: String::new() });
    }
    let lasts = || NAMED.contains(&kind.as_str()) || LASTING.iter().any(|folder| source.starts_with(folder));
    let name = uuid_of(fstat(folder).ok()?.st_dev).or_else(|| lasts().then(|| source.clone()));
    Some(Mounted { kind, name, within })
}

/// Which start of the machine this is; empty where the system does not tell.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// `server:/share`, `//server/share`, `user@server:folder`, `remote:`.
fn is_remote(source: &str) -> bool {
    source.starts_with("//") || (source.contains(':') && !source.starts_with("/dev/"))
}

fn beneath(root: &Path, rest: &Path) -> String {
    let whole = if rest.as_os_str().is_empty() { root.to_owned() } else { root.join(rest) };
    whole.to_string_lossy().into_owned()
}

/// What the system calls the block device by.
fn uuid_of(device: u64) -> Option<String> {
    let entries = std::fs::read_dir("/dev/disk/by-uuid").ok()?;
    let is_it = |entry: &std::fs::DirEntry| rustix::fs::stat(entry.path()).is_ok_and(|found| found.st_rdev == device);
    entries.flatten().find(is_it).map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// The line of a mount in `/proc/self/mountinfo`, whose form is in `proc(5)`.
fn line_of(text: &[u8], mount: &str) -> Option<Line> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        if fields.next()? != mount.as_bytes() {
            return None;
        }
        let mut fields = fields.skip(2);
        let (root, point) = (path(fields.next()?), path(fields.next()?));
        // Options, of which there may be any number, end with a dash.
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, source) = (fields.next()?, fields.next()?);
        let text = |field: &[u8]| path(field).to_string_lossy().into_owned();
        Some(Line { kind: text(kind), source: text(source), root, point })
    })
}

/// Blanks and their like are written as three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number_and_its_names_are_decoded() {
        let text = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                     61 1 0:57 /in\\040put /srv/the\\040share rw,relatime shared:30 master:2 - nfs4 nas:/media rw\n";
        let line = line_of(text, "61").unwrap();
        assert_eq!((line.kind.as_str(), line.source.as_str()), ("nfs4", "nas:/media"));
        assert_eq!((line.root, line.point), ("/in put".into(), "/srv/the share".into()));
        assert_eq!(line_of(text, "36").unwrap().kind, "ext3");
        assert_eq!(line_of(text, "6"), None);
        assert_eq!(path(b"a\\b\\13").as_os_str().as_bytes(), b"a\\b\\13");
    }

    #[test]
    fn what_is_mounted_from_another_machine_is_told_by_its_source() {
        for source in ["nas:/media", "//nas/media", "me@nas:/media", "remote:"] {
            assert!(is_remote(source), "{source}");
        }
        for source in ["/dev/vda1", "overlay", "tmpfs", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1"] {
            assert!(!is_remote(source), "{source}");
        }
    }

    #[test]
    fn a_folder_is_on_the_same_file_system_as_what_is_in_it_and_elsewhere_within_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        let of = |path: &Path| mounted(std::fs::File::open(path).unwrap()).unwrap();
        let (outer, inner) = (of(folder.path()), of(&inside));
        assert_eq!((&outer.kind, outer.name.is_some()), (&inner.kind, inner.name.is_some()));
        assert_eq!(inner.within, format!("{}/inside", outer.within));
        assert_eq!(of(Path::new("/proc")).name, None, "it has neither a name nor a place of its own");
    }
}
