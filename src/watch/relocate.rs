//! Removes and moves files so that nothing that was not sent is ever lost.
//!
//! **In**: a file, what it was like when it was sent. **Out**: it is gone or elsewhere, or the reason why it was left
//! alone. Blocks.
//!
//! **Guarantees.** Only a file that is still what was sent is touched: the same state, or, where that differs (it was
//! moved here, its mode was changed), the same content by checksum. Nothing is ever overwritten: a taken name is
//! numbered. Across file systems the file is copied under a hidden name beside its target, read back and compared,
//! flushed to disk, given its name, and only then removed at its source, if that has not changed meanwhile.
//!
//! **On a crash** there are both files or one of them, never none; doing it again ends with one.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use masv_platform::{FileIdentity, crash_point};

/// Most numbers tried for a name that is taken.
const MOST_NUMBERS: u32 = 10_000;

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What the file was like.
    pub identity: FileIdentity,
    /// BLAKE3 of its content, hexadecimal.
    pub checksum: Option<String>,
}

/// Why a file was left alone.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is no longer there.
    #[error("it is gone")]
    Gone,
    /// It is not what was sent.
    #[error("it changed after it was sent")]
    Changed,
    /// Its state is another, and what was sent is no longer known well enough to compare the content.
    #[error("nobody can tell any more whether it changed after it was sent")]
    Unsure,
    /// Somebody else is moving it at this moment.
    #[error("it is being moved already")]
    InHand,
    /// The system refused.
    #[error("can not {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Refused {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound if what == "look at" => Self::Gone,
            _ => Self::Io { what, path, source },
        }
    }
}

/// Whether the file is still what was sent.
///
/// # Errors
/// [`Refused::Changed`], [`Refused::Unsure`], [`Refused::Gone`].
pub fn check(path: &Path, sent: &Sent) -> Result<FileIdentity, Refused> {
    let found = look(path)?;
    let exact = FileIdentity { device: sent.identity.device, ..found } == sent.identity;
    if exact {
        return Ok(found);
    }
    // Another change time or inode with the same size and modification time: moved, copied back, or rewritten by
    // somebody who set the time back. Only the content can tell.
    let plausible = found.size == sent.identity.size && found.mtime_ns == sent.identity.mtime_ns;
    match &sent.checksum {
        _ if !plausible => Err(Refused::Changed),
        None => Err(Refused::Unsure),
        Some(checksum) if *checksum == content(path)? && look(path)? == found => Ok(found),
        Some(_) => Err(Refused::Changed),
    }
}

/// Who is told what happens on the way.
pub struct Told<'a> {
    /// Each name (absolute) before a file appears under it.
    pub name: &'a dyn Fn(&Path),
    /// Bytes of a file that are copied to another file system so far, and its size.
    pub copied: &'a dyn Fn(u64, u64),
}

/// Removes the file.
///
/// # Errors
/// See [`Refused`].
pub fn remove(path: &Path, sent: &Sent) -> Result<(), Refused> {
    check(path, sent)?;
    std::fs::remove_file(path).map_err(Refused::io("remove", path))?;
    crash_point("after.removed");
    Ok(())
}

/// Moves the file to `wanted`, or to a numbered name beside it, and returns where it is now.
///
/// # Errors
/// See [`Refused`].
pub fn relocate(path: &Path, wanted: &Path, sent: &Sent, told: &Told<'_>) -> Result<PathBuf, Refused> {
    let found = check(path, sent)?;
    let folder = wanted.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(Refused::io("make the folder", folder))?;
    for number in 1..=MOST_NUMBERS {
        let target = numbered(wanted, number);
        if is_taken(&target) {
            continue;
        }
        (told.name)(&target);
        match rename_to_free(path, &target) {
            Ok(()) => {
                crash_point("after.renamed");
                return confirm_renamed(path, target, &found);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                return copy_over(path, wanted, &found, sent.checksum.as_deref(), told);
            }
            Err(error) => return Err(Refused::io("move", path)(error)),
        }
    }
    Err(no_name_free(wanted))
}

/// Somebody may have put another file in the place of the checked one in between: it goes back.
fn confirm_renamed(path: &Path, target: PathBuf, found: &FileIdentity) -> Result<PathBuf, Refused> {
    if look(&target)?.same_content(found) {
        return Ok(target);
    }
    rename_to_free(&target, path).map_err(Refused::io("move back", &target))?;
    Err(Refused::Changed)
}

fn copy_over(
    path: &Path,
    wanted: &Path,
    found: &FileIdentity,
    checksum: Option<&str>,
    told: &Told<'_>,
) -> Result<PathBuf, Refused> {
    let checksum = match checksum {
        Some(checksum) => checksum.to_owned(),
        None => content(path)?,
    };
    let folder = wanted.parent().unwrap_or(Path::new("/"));
    let temporary = folder.join(temporary_name(path));
    let held = hold(&temporary)?;
    let target = match copied_before(wanted, found, &checksum)? {
        Some(target) => Ok(target),
        None => copy_held(path, &temporary, found, &checksum, told).and_then(|()| give_name(&temporary, wanted, told)),
    };
    let result = target.and_then(|target| {
        flush_folder(folder)?;
        crash_point("after.named");
        remove_source(path, found).map(|()| target)
    });
    // After a success it is gone already, but for a leftover; what can not be removed is written over by the next try.
    let _ = std::fs::remove_file(&temporary);
    drop(held);
    result
}

/// The copy, when a crash came between its last step and the removal of the source.
fn copied_before(wanted: &Path, found: &FileIdentity, checksum: &str) -> Result<Option<PathBuf>, Refused> {
    for number in 1..=MOST_NUMBERS {
        let target = numbered(wanted, number);
        let Ok(metadata) = std::fs::symlink_metadata(&target) else { break };
        if metadata.is_file() && metadata.len() == found.size && content(&target)? == checksum {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

/// Copies under the hidden name and makes sure that the copy is whole and on disk.
fn copy_held(
    path: &Path,
    temporary: &Path,
    found: &FileIdentity,
    checksum: &str,
    told: &Told<'_>,
) -> Result<(), Refused> {
    let options = fs_extra::file::CopyOptions::new().overwrite(true).buffer_size(1 << 20);
    fs_extra::file::copy_with_progress(path, temporary, &options, |way| {
        (told.copied)(way.copied_bytes, way.total_bytes)
    })
    .map_err(|error| Refused::io("copy", path)(io::Error::other(error.to_string())))?;
    if look(path)? != *found {
        return Err(Refused::Changed);
    }
    crash_point("after.copied");
    let metadata = std::fs::symlink_metadata(path).map_err(Refused::io("look at", path))?;
    keep_attributes(temporary, &metadata).map_err(Refused::io("finish", temporary))?;
    if content(temporary)? != *checksum {
        // The source was checked by its state alone: its content may have been another all along.
        let source = io::Error::other("the copy is not what was sent");
        return Err(Refused::Io { what: "verify", path: temporary.to_owned(), source });
    }
    Ok(())
}

fn keep_attributes(copy: &Path, metadata: &Metadata) -> io::Result<()> {
    let file = File::options().write(true).open(copy)?;
    file.set_modified(metadata.modified()?)?;
    // Some file systems know no modes; the content is what counts.
    let _ = file.set_permissions(metadata.permissions());
    masv_platform::flush(&file)
}

fn give_name(temporary: &Path, wanted: &Path, told: &Told<'_>) -> Result<PathBuf, Refused> {
    for number in 1..=MOST_NUMBERS {
        let target = numbered(wanted, number);
        if is_taken(&target) {
            continue;
        }
        (told.name)(&target);
        match rename_to_free(temporary, &target) {
            Ok(()) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Refused::io("name", &target)(error)),
        }
    }
    Err(no_name_free(wanted))
}

fn remove_source(path: &Path, found: &FileIdentity) -> Result<(), Refused> {
    if look(path)? != *found {
        return Err(Refused::Changed);
    }
    std::fs::remove_file(path).map_err(Refused::io("remove", path))
}

fn is_taken(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Renames without ever replacing what is there.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Network file systems and old kernels do not know this kind of renaming.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            match std::fs::hard_link(from, to) {
                Ok(()) => std::fs::remove_file(from),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                Err(_) if is_taken(to) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => std::fs::rename(from, to),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Locks the hidden name, so that two who move the same file do not write into one copy.
fn hold(temporary: &Path) -> Result<File, Refused> {
    let file = File::options().create(true).truncate(false).write(true).open(temporary);
    let file = file.map_err(Refused::io("make", temporary))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refused::InHand),
        // File systems without locks: then there is nobody to lock out but ourselves.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// The same for the same source each time, so that what a crash left behind is written over.
fn temporary_name(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = blake3::hash(path.as_os_str().as_bytes()).to_hex();
    format!("{}-{}.part", masv_rules::OWN_PREFIX, &digest[..16])
}

fn look(path: &Path) -> Result<FileIdentity, Refused> {
    let metadata = std::fs::symlink_metadata(path).map_err(Refused::io("look at", path))?;
    if metadata.is_file() { Ok(FileIdentity::of(&metadata)) } else { Err(Refused::Changed) }
}

/// BLAKE3 of the content, hexadecimal.
fn content(path: &Path) -> Result<String, Refused> {
    let read = || -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    read().map_err(Refused::io("read", path))
}

fn flush_folder(folder: &Path) -> Result<(), Refused> {
    masv_platform::flush_folder(folder).map_err(Refused::io("flush", folder))
}

/// `clip.mov`, `clip (2).mov`, `clip (3).mov`, ...
fn numbered(wanted: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return wanted.to_owned();
    }
    let mut name = wanted.file_stem().unwrap_or_default().to_owned();
    name.push(format!(" ({number})"));
    if let Some(extension) = wanted.extension() {
        name.push(".");
        name.push(extension);
    }
    wanted.with_file_name(name)
}

fn no_name_free(wanted: &Path) -> Refused {
    Refused::Io { what: "find a free name for", path: wanted.to_owned(), source: io::ErrorKind::AlreadyExists.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(path: &Path) -> Sent {
        let identity = FileIdentity::of(&std::fs::symlink_metadata(path).unwrap());
        Sent { identity, checksum: Some(content(path).unwrap()) }
    }

    const NOBODY: Told<'_> = Told { name: &|_| {}, copied: &|_, _| {} };

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A folder on another file system than the temporary folder, where this machine has one.
    fn elsewhere() -> Option<tempfile::TempDir> {
        use std::os::unix::fs::MetadataExt;
        let other = tempfile::tempdir_in("/dev/shm").ok()?;
        let here = std::fs::metadata(std::env::temp_dir()).ok()?.dev();
        (other.path().metadata().ok()?.dev() != here).then_some(other)
    }

    #[test]
    fn a_taken_name_is_numbered_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("sent/clip.mov");
        for (text, expected) in [("one", "clip.mov"), ("two", "clip (2).mov"), ("three", "clip (3).mov")] {
            let path = file(folder.path(), "clip.mov", text);
            let moved = relocate(&path, &target, &sent(&path), &NOBODY).unwrap();
            assert_eq!(moved, target.with_file_name(expected));
            assert_eq!(std::fs::read_to_string(moved).unwrap(), text);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_that_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "clip.mov", "one");
        let before = sent(&path);
        std::fs::write(&path, "two!").unwrap();
        assert!(matches!(remove(&path, &before), Err(Refused::Changed)));
        assert!(matches!(relocate(&path, &folder.path().join("x"), &before, &NOBODY), Err(Refused::Changed)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two!");
    }

    #[test]
    fn a_file_rewritten_with_its_old_time_is_found_out_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "clip.mov", "one");
        let (before, time) = (sent(&path), std::fs::metadata(&path).unwrap().modified().unwrap());
        std::fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert!(matches!(remove(&path, &before), Err(Refused::Changed)));
    }

    #[test]
    fn a_file_whose_mode_was_changed_is_still_what_was_sent() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "clip.mov", "one");
        let before = sent(&path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        remove(&path, &before).unwrap();
        assert!(matches!(remove(&path, &before), Err(Refused::Gone)));
    }

    #[test]
    fn across_file_systems_the_copy_is_whole_before_the_source_goes() {
        let Some(other) = elsewhere() else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "clip.mov", "content");
        let before = sent(&path);
        let told = std::cell::RefCell::new(Vec::new());
        let all = Told { name: &|_| {}, copied: &|copied, of| told.borrow_mut().push((copied, of)) };
        let moved = relocate(&path, &other.path().join("sent/clip.mov"), &before, &all).unwrap();
        assert_eq!(told.take(), [(7, 7)]);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "content");
        let after = FileIdentity::of(&std::fs::metadata(&moved).unwrap());
        assert_eq!(after.mtime_ns, before.identity.mtime_ns);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(moved.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn a_crash_between_copy_and_removal_is_made_good_without_a_second_copy() {
        let Some(other) = elsewhere() else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "clip.mov", "content");
        let target = file(other.path(), "clip.mov", "content");
        std::fs::write(other.path().join(temporary_name(&path)), "half a co").unwrap();
        let moved = relocate(&path, &target, &sent(&path), &NOBODY).unwrap();
        assert_eq!(moved, target);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 1, "the leftover is gone too");
    }

    #[test]
    fn two_who_move_the_same_file_do_not_meet_in_one_copy() {
        let Some(other) = elsewhere() else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "clip.mov", "content");
        let _held = hold(&other.path().join(temporary_name(&path))).unwrap();
        let refused = relocate(&path, &other.path().join("clip.mov"), &sent(&path), &NOBODY);
        assert!(matches!(refused, Err(Refused::InHand)));
        assert!(path.exists());
    }
}
