//! Removes and moves files so that nothing unsent is ever lost, and nothing but the intended file is touched.
//!
//! **In**: a name in an open folder, the file's identity when it was sent. **Out**: it is removed or moved, or the
//! reason why it was left alone. Blocks.
//!
//! **Guarantees.** Only a file that is still what was sent is touched: the same state, or, if that differs (it was
//! moved here, its mode was changed), the same content by checksum. It is checked, renamed and removed in folders that are
//! held open, so that no one can redirect it by replacing a folder with a link. Nothing is ever overwritten: a
//! taken name is numbered. [`super::copy_over`] moves a file to another file system.
//!
//! A file is not removed at once: it is hidden, or watched where it was moved to, until [`super::aftercare`] finishes.
//!
//! **On a crash** there are both files or one of them, never none; repeating it ends with one.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use masv_platform::{Entry, FileIdentity, Folder, FolderError, crash_point};
use masv_rules::OWN_PREFIX;

use super::copy_over::copy_over;
use crate::model::Held;

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
    #[error("it no longer exists")]
    Gone,
    /// It differs from what was sent.
    #[error("it changed after it was sent")]
    Changed,
    /// Its state is another, and what was sent is no longer known well enough to compare the content.
    #[error("it is no longer known whether it changed after it was sent")]
    Unsure,
    /// It could not be recorded where it is about to be.
    #[error("cannot record that it is being moved: {0}")]
    Unkept(String),
    /// It is already being moved.
    #[error("it is already being moved")]
    InHand,
    /// The disk it is to go to is full.
    #[error("no space left on {}", .0.display())]
    Full(PathBuf),
    /// A folder cannot be used, or a name in it.
    #[error("cannot {what}")]
    Folder {
        /// What was tried.
        what: &'static str,
        /// With which name, and why not.
        source: FolderError,
    },
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
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
    /// An error of the folder that a file is in.
    pub(super) fn at_source(what: &'static str) -> impl FnOnce(FolderError) -> Self {
        move |source| if source.is_gone() { Self::Gone } else { Self::Folder { what, source } }
    }

    /// An error of the folder that a file is to go to.
    pub(super) fn at_target(what: &'static str) -> impl FnOnce(FolderError) -> Self {
        move |source| match source {
            FolderError::Io { path, source } => Self::io(what, &path)(source),
            source => Self::Folder { what, source },
        }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Io { what, path, source },
        }
    }
}

/// A name in a folder that is held open.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub folder: Folder,
    /// The name.
    pub name: OsString,
}

impl Place {
    /// The file at a path beneath a folder.
    ///
    /// # Errors
    /// [`Refused::Gone`] when a folder on the way is not there, or is a link now.
    pub fn beneath(root: &Folder, relative: &Path) -> Result<Self, Refused> {
        let (folder, name) = root.parent_of(relative).map_err(Refused::at_source("open"))?;
        Ok(Self { folder, name })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    pub(super) fn look(&self) -> Result<Entry, Refused> {
        let entry = self.folder.look(Path::new(&self.name)).map_err(Refused::at_source("look at"))?;
        if entry.is_file() { Ok(entry) } else { Err(Refused::Changed) }
    }

    pub(super) fn open(&self) -> Result<(File, Entry), Refused> {
        self.folder.open_file(Path::new(&self.name)).map_err(Refused::at_source("read"))
    }

    pub(super) fn remove(&self) -> Result<(), Refused> {
        self.folder.remove_file(&self.name).map_err(Refused::at_source("remove"))
    }
}

/// A folder that files are moved into.
#[derive(Debug)]
pub struct Target {
    /// The folder.
    pub folder: Folder,
    /// Whether what earlier copies left in it has been removed.
    pub(super) swept: Cell<bool>,
}

impl From<Folder> for Target {
    fn from(folder: Folder) -> Self {
        Self { folder, swept: Cell::new(false) }
    }
}

/// The receiver of progress.
pub struct Told<'a> {
    /// Each name (absolute) before a file appears under it.
    pub name: &'a dyn Fn(&Path),
    /// Bytes of a file that are copied to another file system so far, and its size.
    pub copied: &'a dyn Fn(u64, u64),
    /// Who notes, before a file is taken away, where it will be held: a hidden name beside it, or the absolute path it is moved
    /// to. Without one nothing is held, and what is to go goes at once.
    pub hold: Option<Hold<'a>>,
}

/// See [`Told::hold`].
pub type Hold<'a> = &'a dyn Fn(&FileIdentity, Held) -> Result<(), Refused>;

/// Whether the file is still what was sent.
///
/// # Errors
/// [`Refused::Changed`], [`Refused::Unsure`], [`Refused::Gone`].
pub fn check(place: &Place, sent: &Sent) -> Result<FileIdentity, Refused> {
    let found = place.look()?.identity;
    let exact = FileIdentity { device: sent.identity.device, ..found } == sent.identity;
    if exact {
        return Ok(found);
    }
    // Another change time or inode with the same size and modification time: moved, copied back, or rewritten by
    // a program that restored the time. Only the content can tell.
    let plausible = found.size == sent.identity.size && found.mtime_ns == sent.identity.mtime_ns;
    match &sent.checksum {
        _ if !plausible => Err(Refused::Changed),
        None => Err(Refused::Unsure),
        Some(checksum) => {
            let (mut file, opened) = place.open()?;
            let same = opened.identity == found && *checksum == content(&mut file, &place.path())?;
            if same && place.look()?.identity == found { Ok(found) } else { Err(Refused::Changed) }
        }
    }
}

/// Removes the file.
///
/// # Errors
/// See [`Refused`].
pub fn remove(place: &Place, sent: &Sent) -> Result<(), Refused> {
    check(place, sent)?;
    place.remove()?;
    crash_point("after.removed");
    Ok(())
}

/// Takes the file away under a hidden name in its folder, which `hold` is told first. The inode stays: what a late writer writes
/// is not lost.
///
/// # Errors
/// See [`Refused`].
pub fn hide(place: &Place, sent: &Sent, hold: Hold<'_>) -> Result<(), Refused> {
    let found = check(place, sent)?;
    hide_checked(place, &found, hold)
}

/// The same for a file that is known to be what was sent.
pub(super) fn hide_checked(place: &Place, found: &FileIdentity, hold: Hold<'_>) -> Result<(), Refused> {
    let hidden = place.folder.unique_name(&format!("{OWN_PREFIX}-sent-"), "").map_err(Refused::at_source("hide"))?;
    hold(found, Held::Hidden(hidden.clone().into()))?;
    crash_point("after.kept");
    // The hidden name is another one each time, and says nothing to anybody: the file is named.
    let named = |error| match error {
        FolderError::Io { source, .. } => Refused::io("take away", &place.path())(source),
        error => Refused::at_source("take away")(error),
    };
    place.folder.rename_new(&place.name, &place.folder, &hidden).map_err(named)?;
    let held = Place { folder: place.folder.try_clone().map_err(Refused::at_source("hide"))?, name: hidden };
    if !held.look().is_ok_and(|there| there.identity.same_content(found)) {
        // Another file had taken its place: it gets its name back.
        place.folder.rename_new(&held.name, &place.folder, &place.name).map_err(Refused::at_source("give back"))?;
        return Err(Refused::Changed);
    }
    crash_point("after.hidden");
    Ok(())
}

/// Moves the file into a folder under the name `wanted`, or a numbered one, and returns the name that it has there.
///
/// # Errors
/// See [`Refused`].
pub fn relocate(place: &Place, to: &Target, wanted: &OsStr, sent: &Sent, told: &Told<'_>) -> Result<OsString, Refused> {
    let found = check(place, sent)?;
    let unkept = Cell::new(None);
    let moved = under_free_name(&to.folder, wanted, told, |name| {
        let target = to.folder.path().join(name);
        if let Some(Err(error)) = told.hold.map(|hold| hold(&found, Held::Moved(target.clone()))) {
            unkept.set(Some(error));
            return Err(FolderError::Missing(target));
        }
        place.folder.rename_new(&place.name, &to.folder, name)
    });
    if let Some(error) = unkept.take() {
        return Err(error);
    }
    match moved {
        Ok(name) => {
            crash_point("after.renamed");
            confirm_renamed(place, to, name, &found)
        }
        Err(FolderError::OtherFileSystem(_)) => copy_over(place, to, wanted, &found, sent.checksum.as_deref(), told),
        Err(FolderError::Missing(_)) => Err(Refused::Gone),
        Err(error) => Err(Refused::at_target("move to")(error)),
    }
}

/// Does what gives a file its name, with the first of the wanted and the numbered names that is free.
pub(super) fn under_free_name(
    folder: &Folder,
    wanted: &OsStr,
    told: &Told<'_>,
    mut name_it: impl FnMut(&OsStr) -> Result<(), FolderError>,
) -> Result<OsString, FolderError> {
    for number in 1..=MOST_NUMBERS {
        let name = numbered(wanted, number);
        if folder.look(Path::new(&name)).is_ok() {
            continue;
        }
        (told.name)(&folder.path().join(&name));
        match name_it(&name) {
            Ok(()) => return Ok(name),
            Err(FolderError::Taken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(FolderError::Taken(folder.path().join(wanted)))
}

/// The checked file may have been replaced in between: then it is moved back.
fn confirm_renamed(place: &Place, to: &Target, name: OsString, found: &FileIdentity) -> Result<OsString, Refused> {
    let moved = to.folder.look(Path::new(&name)).map_err(Refused::at_target("look at"))?;
    if moved.is_file() && moved.identity.same_content(found) {
        return Ok(name);
    }
    to.folder.rename_new(&name, &place.folder, &place.name).map_err(Refused::at_target("move back"))?;
    Err(Refused::Changed)
}

/// BLAKE3 of the content, hexadecimal.
pub(super) fn content(file: &mut impl Read, path: &Path) -> Result<String, Refused> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(Refused::io("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// `clip.mov`, `clip (2).mov`, `clip (3).mov`, ...
pub(super) fn numbered(wanted: &OsStr, number: u32) -> OsString {
    if number == 1 {
        return wanted.to_owned();
    }
    let wanted = Path::new(wanted);
    let mut name = wanted.file_stem().unwrap_or_default().to_owned();
    name.push(format!(" ({number})"));
    if let Some(extension) = wanted.extension() {
        name.push(".");
        name.push(extension);
    }
    name
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a file in it.
    fn place(folder: &Path, name: &str, text: &str) -> Place {
        std::fs::write(folder.join(name), text).unwrap();
        Place { folder: Folder::open(folder).unwrap(), name: name.into() }
    }

    fn sent(place: &Place) -> Sent {
        let (mut file, entry) = place.open().unwrap();
        Sent { identity: entry.identity, checksum: Some(content(&mut file, &place.path()).unwrap()) }
    }

    fn target(folder: &Path) -> Target {
        std::fs::create_dir_all(folder).unwrap();
        Folder::open(folder).unwrap().into()
    }

    const NOBODY: Told<'_> = Told { name: &|_| {}, copied: &|_, _| {}, hold: None };

    #[test]
    fn a_taken_name_is_numbered_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let to = target(&folder.path().join("sent"));
        for (text, expected) in [("one", "clip.mov"), ("two", "clip (2).mov"), ("three", "clip (3).mov")] {
            let place = place(folder.path(), "clip.mov", text);
            let moved = relocate(&place, &to, OsStr::new("clip.mov"), &sent(&place), &NOBODY).unwrap();
            assert_eq!(moved, expected);
            assert_eq!(std::fs::read_to_string(to.folder.path().join(moved)).unwrap(), text);
            assert!(!place.path().exists());
        }
    }

    /// Case: a file that was written to after it was sent is not moved.
    #[test]
    fn a_file_that_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path(), "clip.mov", "one");
        let before = sent(&place);
        std::fs::write(place.path(), "two!").unwrap();
        assert!(matches!(remove(&place, &before), Err(Refused::Changed)));
        let to = target(&folder.path().join("x"));
        assert!(matches!(relocate(&place, &to, OsStr::new("x"), &before, &NOBODY), Err(Refused::Changed)));
        assert_eq!(std::fs::read_to_string(place.path()).unwrap(), "two!");
    }

    #[test]
    fn a_file_rewritten_with_its_old_time_is_found_out_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path(), "clip.mov", "one");
        let (before, time) = (sent(&place), std::fs::metadata(place.path()).unwrap().modified().unwrap());
        std::fs::write(place.path(), "two").unwrap();
        File::options().write(true).open(place.path()).unwrap().set_modified(time).unwrap();
        assert!(matches!(remove(&place, &before), Err(Refused::Changed)));
    }

    #[test]
    fn a_file_whose_mode_was_changed_is_still_what_was_sent() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path(), "clip.mov", "one");
        let before = sent(&place);
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        remove(&place, &before).unwrap();
        assert!(matches!(remove(&place, &before), Err(Refused::Gone)));
    }

    /// The file's folder was exchanged for a link to a private one that has a file of the same name.
    #[test]
    fn a_folder_exchanged_for_a_link_leads_neither_removing_nor_moving_elsewhere() {
        let around = tempfile::tempdir().unwrap();
        let (root, private) = (around.path().join("drop"), around.path().join("private"));
        for folder in [&root.join("card"), &private] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("clip.mov"), "the same").unwrap();
        }
        let opened = Folder::open(&root).unwrap();
        let held = Place::beneath(&opened, Path::new("card/clip.mov")).unwrap();
        let before = sent(&held);
        std::fs::rename(root.join("card"), root.join("away")).unwrap();
        symlink(&private, root.join("card")).unwrap();
        assert!(matches!(Place::beneath(&opened, Path::new("card/clip.mov")), Err(Refused::Gone)));
        remove(&held, &before).unwrap();
        assert!(private.join("clip.mov").exists() && !root.join("away/clip.mov").exists());
    }
}
