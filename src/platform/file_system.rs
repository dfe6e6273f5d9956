//! Where a folder lies, so that it is known again after the next start: on which file system, and where in it.
//!
//! **In**: a folder that is open. **Out**: a [`FolderMark`], which costs two system calls and tells whether it is the folder of a moment
//! ago; a [`FolderPlace`], which can be stored and tells whether it is the folder of before the restart.
//!
//! A device number says which file system it is only as long as nothing is mounted anew: after that, network drives and most others
//! have another. What stays is asked first: the identifier that the file system itself keeps; where it has none, where it is mounted
//! from. What tells nothing that stays is [`Sameness::Unknown`], never "another".

use rustix::fs::fstatvfs;
use serde::{Deserialize, Serialize};

use crate::{Folder, FolderError, real_path, system};

/// What tells an open folder from another one for as long as it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FolderMark {
    /// Device and inode.
    pub id: (u64, u64),
    /// The file system's own number: device and inode numbers are used again.
    file_system: u64,
}

impl FolderMark {
    /// That of an open folder.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn of(folder: &Folder) -> Result<Self, FolderError> {
        let identity = folder.entry()?.identity;
        // Where the system does not tell, the device number has to do.
        let file_system = fstatvfs(folder).map_or(0, |found| found.f_fsid);
        Ok(Self { id: (identity.device, identity.inode), file_system })
    }
}

/// Where a folder lies, as it is called over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderPlace {
    /// Its path without links.
    path: String,
    /// The kind of file system, such as `ext4`.
    kind: String,
    /// What tells it from others of that kind.
    name: Option<String>,
    /// The folder's path within it.
    within: String,
    /// Both may be others after a restart of the machine.
    device: u64,
    inode: u64,
    /// Which start of the machine it was, for what does not outlive it.
    boot: String,
}

/// Whether a folder is the one of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// It is.
    Same,
    /// Nothing tells.
    Unknown,
    /// It is another one, and the former one does not come back here: it was in memory, or a link leads elsewhere now.
    Ended,
    /// It is another one.
    Other,
}

impl FolderPlace {
    /// That of an open folder.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn of(folder: &Folder) -> Result<Self, FolderError> {
        let identity = folder.entry()?.identity;
        let Mounted { kind, name, within } = system::mounted(folder).unwrap_or_default();
        let boot = system::boot_id();
        let path = real_path(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
        let path = path.to_string_lossy().into_owned();
        Ok(Self { path, kind, name, within, device: identity.device, inode: identity.inode, boot })
    }

    /// Whether the folder that is at `now` is the one that was here.
    #[must_use]
    pub fn compared_with(&self, now: &Self) -> Sameness {
        if self.path != now.path {
            return Sameness::Ended; // Somebody has turned a link.
        }
        let same_place = self.within == now.within;
        if let (Some(before), Some(after)) = (&self.name, &now.name) {
            return match before == after && same_place {
                true => Sameness::Same,
                false => self.other(now),
            };
        }
        // Also where a network drive or a disk is missing, and what it is mounted over has no name.
        if self.kind != now.kind || !same_place || self.name.is_some() {
            return self.other(now);
        }
        // Until the machine starts again, its numbers stay.
        let same_numbers = self.device == now.device && (self.inode == now.inode || self.boot == now.boot);
        if same_numbers { Sameness::Same } else { Sameness::Unknown }
    }

    /// Whether a folder that lay here may lie beneath the folder `above`, as far as their file systems tell.
    #[must_use]
    pub fn may_lie_beneath(&self, above: &Self) -> bool {
        match (&self.name, &above.name) {
            (Some(name), Some(above)) => {
                name.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            (Some(_), None) => false,
            (None, _) => self.kind == above.kind,
        }
    }

    fn other(&self, now: &Self) -> Sameness {
        let in_memory = ["tmpfs", "ramfs"].contains(&self.kind.as_str());
        if in_memory && self.boot != now.boot { Sameness::Ended } else { Sameness::Other }
    }
}

impl std::fmt::Display for FolderPlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.kind.is_empty() { "a file system" } else { &self.kind };
        write!(formatter, "{kind}")?;
        if let Some(name) = &self.name {
            write!(formatter, " {name}")?;
        }
        if !self.within.is_empty() {
            write!(formatter, ", folder {} in it", self.within)?;
        }
        Ok(())
    }
}

/// What the system says of the mount that a folder is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mounted {
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) within: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kind: &str, name: Option<&str>, within: &str, inode: u64) -> FolderPlace {
        let (kind, name, within) = (kind.to_owned(), name.map(str::to_owned), within.to_owned());
        let path = "/srv/drop".to_owned();
        FolderPlace { path, kind, name, within, device: 1, inode, boot: "a".to_owned() }
    }

    #[test]
    fn a_name_says_whether_it_is_the_same_file_system_and_device_numbers_only_where_there_is_none() {
        let nas = place("nfs4", Some("nas:/media"), "", 2);
        let remounted = FolderPlace { device: 7, ..nas.clone() };
        assert_eq!(nas.compared_with(&remounted), Sameness::Same);
        assert_eq!(nas.compared_with(&place("nfs", Some("nas:/media"), "", 2)), Sameness::Same, "another version");
        assert_eq!(nas.compared_with(&place("nfs4", Some("nas2:/media"), "", 2)), Sameness::Other);
        assert_eq!(nas.compared_with(&place("overlay", None, "/srv/drop", 2)), Sameness::Other);
        let disk = place("ext4", Some("78fc"), "/drop", 2);
        assert_eq!(disk.compared_with(&place("ext4", Some("78fc"), "/drop", 9)), Sameness::Same, "a folder made anew");
        assert_eq!(disk.compared_with(&place("ext4", Some("78fc"), "/mnt/drop", 2)), Sameness::Other, "a bind mount");
        let nameless = place("overlay", None, "/drop", 2);
        assert_eq!(nameless.compared_with(&nameless.clone()), Sameness::Same);
        let made_anew = place("overlay", None, "/drop", 3);
        assert_eq!(
            nameless.compared_with(&made_anew),
            Sameness::Same,
            "on the same device, until the machine starts again"
        );
        let later = FolderPlace { boot: "b".to_owned(), ..made_anew };
        assert_eq!(nameless.compared_with(&later), Sameness::Unknown);
        assert_eq!(nameless.compared_with(&FolderPlace { inode: 2, ..later }), Sameness::Same);
    }

    /// `watch: today`, a link that is turned to another folder every day.
    #[test]
    fn a_link_that_was_turned_leads_to_the_folder_that_is_meant() {
        let before = place("ext4", Some("78fc"), "/day1", 2);
        let after = FolderPlace { path: "/srv/day2".to_owned(), ..place("ext4", Some("78fc"), "/day2", 3) };
        assert_eq!(before.compared_with(&after), Sameness::Ended);
    }

    #[test]
    fn what_was_in_memory_does_not_come_back_after_a_restart_of_the_machine() {
        let before = place("tmpfs", Some("12"), "/drop", 2);
        let after = place("tmpfs", Some("13"), "/drop", 2);
        assert_eq!(before.compared_with(&after), Sameness::Other);
        assert_eq!(before.compared_with(&FolderPlace { boot: "b".to_owned(), ..after }), Sameness::Ended);
    }

    #[test]
    fn a_folder_is_itself_and_its_mark_and_place_say_so() {
        let around = tempfile::tempdir().unwrap();
        let (one, other) = (around.path().join("one"), around.path().join("other"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&other).unwrap();
        let (one, again, other) =
            (Folder::open(&one).unwrap(), Folder::open(&one).unwrap(), Folder::open(&other).unwrap());
        let mark = |folder| FolderMark::of(folder).unwrap();
        assert_eq!(mark(&one), mark(&again));
        assert_ne!(mark(&one), mark(&other));
        let place = |folder| FolderPlace::of(folder).unwrap();
        assert_eq!(place(&one).compared_with(&place(&again)), Sameness::Same);
        assert_ne!(place(&one).compared_with(&place(&other)), Sameness::Same);
    }
}
