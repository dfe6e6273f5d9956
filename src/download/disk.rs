//! Folders below the destination: creating files in them and setting their owner, with [`masv_platform::Folder`], which follows no link.
//!
//! A [`Destination`] is an open handle: everything happens in the folder that was opened, even if someone renames or replaces
//! something afterwards. All functions block.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use masv_platform::{
    Entry, Folder, FolderError, OwnPlaces, PathBeneath, RealPlaces, give_file, own_user, real_path, set_modified,
};

use super::layout::numbered;
use crate::model::{Owner, Problem};

/// How many numbered names are tried before giving up.
const MOST_NUMBERS: u32 = 10_000;
/// Times that differ by less are equal: clouds store milliseconds.
const SAME_TIME_NS: u64 = 1_000_000;
/// The same for times in whole seconds: some disks store only even seconds.
const COARSE_TIME_NS: u64 = 2_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// An error of the disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// There is something other than a folder where one is needed; a symbolic link does not count as a folder.
    #[error("{} is a link or a file, but a folder is needed", .0.display())]
    NoFolder(PathBuf),
    /// The folder is the agent's own.
    #[error("{} belongs to the agent itself", .0.display())]
    Own(PathBuf),
    /// There is not enough space.
    #[error("the disk of {} is full", .0.display())]
    Full(PathBuf),
    /// Changing ownership is not permitted.
    #[error("{} cannot be given to the requested user and group: {source}", path.display())]
    Owner { path: PathBuf, source: io::Error },
    /// Anything else.
    #[error("{} cannot be written: {source}", path.display())]
    Other { path: PathBuf, source: io::Error },
}

impl DiskError {
    pub(super) fn of(path: &Path, error: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), error.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Other { path, source },
        }
    }

    /// Whether other files of the download would fail in the same way.
    pub(super) fn concerns_all(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Owner { .. })
    }

    pub(super) fn problem(&self) -> Problem {
        let (code, hint) = match self {
            Self::Own(_) => ("own_files", "choose another destination"),
            Self::NoFolder(_) => ("unsafe_destination", "move it away, or choose another destination"),
            Self::Full(_) => ("no_space", "free space on that disk, then resume the download"),
            Self::Owner { .. } => (
                "not_owner",
                "run the agent as root or with CAP_CHOWN, or start the download again without --uid and --gid",
            ),
            Self::Other { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ("not_writable", "give the agent's user write access, then resume the download")
            }
            Self::Other { .. } => ("not_writable", "check the disk, then resume the download"),
        };
        let hint = Some(hint.to_owned());
        Problem { code: code.to_owned(), message: self.to_string(), retryable: true, hint }
    }
}

impl From<FolderError> for DiskError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Symlink(path) | FolderError::NotAFolder { path, .. } => Self::NoFolder(path),
            FolderError::Io { path, source } => Self::of(&path, source),
            FolderError::Missing(ref path)
            | FolderError::Taken(ref path)
            | FolderError::OtherFileSystem(ref path)
            | FolderError::NotAFile { ref path, .. } => {
                let (path, kind) = (path.clone(), error.io_kind());
                Self::Other { path, source: kind.into() }
            }
        }
    }
}

/// An open folder that is written to.
#[derive(Debug)]
pub(super) struct Destination {
    folder: Folder,
    /// The owner of everything created in it.
    owner: Owner,
    /// The agent's own files, which are never overwritten or added to.
    protected: Arc<RealPlaces>,
    /// Where it really is, to compare with them.
    real: PathBuf,
}

/// Whether it is the wanted file, by size and time.
fn is(found: &Entry, size: u64, modified_ns: Option<i64>) -> bool {
    let has = found.identity.mtime_ns;
    let same_time = modified_ns.is_some_and(|time| {
        let apart = time.abs_diff(has);
        apart < SAME_TIME_NS || (has % SECOND_NS == 0 && apart < COARSE_TIME_NS)
    });
    found.is_file() && found.identity.size == size && same_time
}

impl Destination {
    /// The folder itself, created if it is missing. Links on the way to its root belong to whoever named it; beneath that
    /// none is followed.
    pub(super) fn make(path: &PathBeneath, owner: Owner, protected: &OwnPlaces) -> Result<Self, DiskError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => DiskError::NoFolder(path.whole()),
            _ => DiskError::of(&path.whole(), error),
        };
        let is_new = path.root() == path.whole() && !path.root().exists();
        if is_new {
            masv_platform::make_folders(path.root()).map_err(failed)?;
        }
        let root = Folder::open(path.root()).map_err(|error| failed(error.into()))?;
        let (folder, made) = root.make_below(path.relative())?;
        let real = real_path(folder.path()).map_err(failed)?;
        let destination = Self { folder, owner, protected: Arc::new(protected.ask()), real };
        if is_new || made > 0 {
            destination.give_itself()?;
        }
        destination.unless_own()
    }

    /// The folder, if it exists.
    pub(super) fn existing(path: &PathBeneath) -> Option<Self> {
        let folder = Folder::open(path.root()).and_then(|root| root.below(path.relative())).ok()?;
        let real = folder.path().to_owned();
        Some(Self { folder, owner: Owner::default(), protected: Arc::default(), real })
    }

    /// The folder of this relative path, created if it is missing.
    pub(super) fn below(&self, path: &str, make: bool) -> Result<Self, DiskError> {
        let (owner, protected) = (self.owner, &self.protected);
        let mut inner =
            Self { folder: self.folder.try_clone()?, owner, protected: Arc::clone(protected), real: self.real.clone() };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let is_new = make && inner.folder.make_folder(OsStr::new(name))?;
            let (folder, real) = (inner.folder.below(Path::new(name))?, inner.real.join(name));
            inner = Self { folder, owner, protected: Arc::clone(protected), real }.unless_own()?;
            if is_new {
                inner.give_itself()?;
            }
        }
        Ok(inner)
    }

    fn unless_own(self) -> Result<Self, DiskError> {
        if self.protected.hold(&self.real) { Err(DiskError::Own(self.real)) } else { Ok(self) }
    }

    /// Whether a name in it is, or would be, that of a file of the agent itself.
    fn is_own(&self, name: &str) -> bool {
        self.protected.hold(&self.real.join(name))
            || self.look(name).is_some_and(|found| self.protected.are(&found.identity))
    }

    /// Gives a new folder to its owner.
    fn give_itself(&self) -> Result<(), DiskError> {
        if self.owner == Owner::default() {
            return Ok(());
        }
        let given = self.folder.give_to(self.owner.uid, self.owner.gid);
        given.map_err(|error| DiskError::Owner { path: self.path().to_owned(), source: error.into() })
    }

    /// Its path when it was opened.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The device number of the file system it is on.
    pub(super) fn disk(&self) -> Result<u64, DiskError> {
        Ok(self.folder.entry()?.identity.device)
    }

    /// Free space here, in bytes.
    pub(super) fn space(&self) -> Result<u64, DiskError> {
        Ok(self.folder.free_space()?)
    }

    fn look(&self, name: &str) -> Option<Entry> {
        self.folder.look(Path::new(name)).ok()
    }

    /// The name under which this file already exists: its own or, unless it would replace that one, a numbered one.
    pub(super) fn same(&self, name: &str, size: u64, modified_ns: Option<i64>, overwrite: bool) -> Option<String> {
        let names = if overwrite { 1 } else { MOST_NUMBERS };
        for number in 1..=names {
            let name = numbered(name, number);
            match self.look(&name) {
                Some(found) if is(&found, size, modified_ns) => return Some(name),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    /// The hash of an existing file, in hexadecimal.
    pub(super) fn checksum(&self, name: &str) -> Result<String, DiskError> {
        let (file, _) = self.folder.open_file(Path::new(name))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(|error| DiskError::of(&self.path().join(name), error))?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The unfinished file that we left, if it still is that: a regular file of this size with no second name, ours or
    /// given to its owner already.
    pub(super) fn go_on(&self, temporary: &str, size: u64) -> Option<File> {
        let (file, found) = self.folder.open_to_write(Path::new(temporary)).ok()?;
        let ours = found.owner == own_user() || Some(found.owner) == self.owner.uid;
        (found.identity.size == size && found.links == 1 && ours).then_some(file)
    }

    /// A new unfinished file of this size; anything with its name is removed.
    pub(super) fn begin(&self, temporary: &str, size: u64) -> Result<File, DiskError> {
        let path = self.path().join(temporary);
        self.remove(temporary)?;
        let file = self.folder.create_new(OsStr::new(temporary), 0o666)?;
        if self.owner != Owner::default() {
            let given = give_file(&file, self.owner.uid, self.owner.gid);
            given.map_err(|source| DiskError::Owner { path: path.clone(), source })?;
        }
        file.set_len(size).map_err(|error| DiskError::of(&path, error))?;
        Ok(file)
    }

    /// Removes a file or link; a missing one counts as removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), DiskError> {
        match self.folder.remove_file(OsStr::new(name)) {
            Ok(()) | Err(FolderError::Missing(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a complete file its time and its name, flushed to disk; the name is numbered if it is taken. Returns the name.
    pub(super) fn finish(
        &self,
        file: &File,
        temporary: &str,
        name: &str,
        modified_ns: Option<i64>,
        overwrite: bool,
    ) -> Result<String, DiskError> {
        if let Some(time) = modified_ns {
            set_modified(file, time);
        }
        masv_platform::flush(file).map_err(|error| DiskError::of(&self.path().join(name), error))?;
        let placed = self.place(temporary, name, overwrite)?;
        self.folder.flush()?;
        Ok(placed)
    }

    fn place(&self, temporary: &str, name: &str, overwrite: bool) -> Result<String, DiskError> {
        let temporary = OsStr::new(temporary);
        if overwrite && !self.is_own(name) && self.look(name).is_none_or(|found| found.is_file()) {
            self.folder.replace(temporary, OsStr::new(name))?;
            return Ok(name.to_owned());
        }
        for number in 1..MOST_NUMBERS {
            let wanted = numbered(name, number);
            if self.is_own(&wanted) {
                continue;
            }
            match self.folder.rename_new(temporary, &self.folder, OsStr::new(&wanted)) {
                Ok(()) => return Ok(wanted),
                Err(FolderError::Taken(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(FolderError::Taken(self.path().join(name)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn destination() -> (tempfile::TempDir, Destination) {
        let around = tempfile::tempdir().unwrap();
        let folder =
            Destination::make(&PathBeneath::new(around.path().join("in"), ""), Owner::default(), &OwnPlaces::default())
                .unwrap();
        (around, folder)
    }

    #[test]
    fn a_planted_link_is_no_folder_and_no_file() {
        let (around, folder) = destination();
        let outside = around.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, folder.path().join("door")).unwrap();
        assert!(matches!(folder.below("door", true), Err(DiskError::NoFolder(_))));
        assert!(matches!(folder.below("door/deeper", true), Err(DiskError::NoFolder(_))));
        std::fs::write(outside.join("victim"), b"safe").unwrap();
        symlink(outside.join("victim"), folder.path().join(".t")).unwrap();
        assert!(folder.go_on(".t", 4).is_none());
        let file = folder.begin(".t", 2).unwrap();
        symlink(outside.join("victim"), folder.path().join("a")).unwrap();
        assert_eq!(folder.finish(&file, ".t", "a", None, false).unwrap(), "a (2)");
        assert_eq!(std::fs::read(outside.join("victim")).unwrap(), b"safe");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    }

    /// An unfinished file is resumed only if it is the one that was left.
    #[test]
    fn what_looks_like_our_unfinished_file_and_has_two_names_is_not_written_to() {
        let (around, folder) = destination();
        std::fs::write(around.path().join("victim"), b"safe").unwrap();
        std::fs::hard_link(around.path().join("victim"), folder.path().join(".t")).unwrap();
        assert!(folder.go_on(".t", 4).is_none());
        drop(folder.begin(".t", 4).unwrap());
        assert!(folder.go_on(".t", 4).is_some());
        assert_eq!(std::fs::read(around.path().join("victim")).unwrap(), b"safe");
    }

    /// The folder was checked when the download was created, and replaced by a link afterwards.
    #[test]
    fn a_destination_below_a_root_follows_no_link() {
        let around = tempfile::tempdir().unwrap();
        for folder in ["root", "outside"] {
            std::fs::create_dir(around.path().join(folder)).unwrap();
        }
        let ordered = PathBeneath::new(around.path().join("root"), "new/deeper");
        drop(Destination::make(&ordered, Owner::default(), &OwnPlaces::default()).unwrap());
        std::fs::rename(around.path().join("root/new"), around.path().join("away")).unwrap();
        symlink(around.path().join("outside"), around.path().join("root/new")).unwrap();
        assert!(matches!(
            Destination::make(&ordered, Owner::default(), &OwnPlaces::default()),
            Err(DiskError::NoFolder(_))
        ));
        assert_eq!(std::fs::read_dir(around.path().join("outside")).unwrap().count(), 0);
    }

    /// Into a folder that holds the rules file, or the folder of the agent's data: neither is written over or among, whatever names
    /// a package has.
    #[test]
    fn the_agent_s_own_files_are_neither_replaced_nor_added_to() {
        let around = tempfile::tempdir().unwrap();
        let at = |name: &str| around.path().join(name);
        std::fs::create_dir_all(at("in/data")).unwrap();
        std::fs::write(at("in/rules.yaml"), "rules").unwrap();
        std::fs::write(at("in/key"), "key").unwrap();
        symlink("in", at("way")).unwrap();
        let own = OwnPlaces::new(vec![at("in/data"), at("in/rules.yaml"), at("in/agent.yaml")]);
        own.change(vec![at("in/key")]);
        for way in ["in", "way"] {
            let folder = Destination::make(&PathBeneath::new(at(way), ""), Owner::default(), &own).unwrap();
            for overwrite in [true, false] {
                for name in ["rules.yaml", "key", "agent.yaml"] {
                    let file = folder.begin(".t", 1).unwrap();
                    let placed = folder.finish(&file, ".t", name, None, overwrite).unwrap();
                    assert!(placed.contains('('), "{way}/{name} became {placed}");
                }
            }
            assert!(matches!(folder.below("data/hub", true), Err(DiskError::Own(_))));
            let data = Destination::make(&PathBeneath::new(at(way).join("data"), ""), Owner::default(), &own);
            assert!(matches!(data, Err(DiskError::Own(_))));
        }
        assert_eq!(std::fs::read_to_string(at("in/rules.yaml")).unwrap(), "rules");
        assert_eq!(std::fs::read_to_string(at("in/key")).unwrap(), "key");
        assert!(!at("in/agent.yaml").exists() && std::fs::read_dir(at("in/data")).unwrap().count() == 0);
    }

    #[test]
    fn what_is_there_is_kept_or_replaced_as_ordered() {
        let (_around, folder) = destination();
        let put = |overwrite| {
            let file = folder.begin(".t", 0).unwrap();
            folder.finish(&file, ".t", "a.txt", Some(1_000_000_000_000_000_000), overwrite).unwrap()
        };
        assert_eq!(put(false), "a.txt");
        let same = |size, time| folder.same("a.txt", size, Some(time), false);
        assert_eq!(same(0, 1_000_000_000_000_000_000).as_deref(), Some("a.txt"));
        assert_eq!((same(1, 1_000_000_000_000_000_000), same(0, 5)), (None, None));
        assert_eq!(put(false), "a (2).txt");
        assert_eq!(put(true), "a.txt");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
