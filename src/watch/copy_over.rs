//! Moves a file to another file system: copied, compared, named, and only then removed from its old place.
//!
//! **In**: a checked file in an open folder, the open target folder. **Out**: its name there. Blocks.
//!
//! **Guarantees.** The copy is made in a new file with an unpredictable name, through the descriptor it was created
//! with: no link or file that someone has put there is written to. It is read back and compared, has the owner, group,
//! attributes and times of the file as far as possible, holes stay holes, and it is on disk before the source is removed,
//! if that has not changed meanwhile.
//!
//! **On a crash** there are both files or one of them; the next copy into the folder removes what is left of this one, if it
//! is a file of our own that has no second name and is not in use.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Seek};
use std::path::Path;

use masv_platform::{FileIdentity, Folder, copy_file, crash_point, entry_of, keep_attributes, slow_point};
use masv_rules::OWN_PREFIX;

use super::relocate::{Place, Refused, Target, Told, content, hide_checked, numbered, under_free_name};

/// How the name of a copy that is not complete ends.
const UNFINISHED: &str = ".part";

/// Copies the file, which is `found`, and removes it.
pub(super) fn copy_over(
    place: &Place,
    to: &Target,
    wanted: &OsStr,
    found: &FileIdentity,
    checksum: Option<&str>,
    told: &Told<'_>,
) -> Result<OsString, Refused> {
    let (mut source, opened) = place.open()?;
    if opened.identity != *found {
        return Err(Refused::Changed);
    }
    // Two who move the same file must not both copy it.
    lock(&source)?;
    let checksum = match checksum {
        Some(checksum) => checksum.to_owned(),
        None => content(&mut source, &place.path())?,
    };
    if !to.swept.replace(true) {
        sweep(&to.folder);
    }
    let name = match copied_before(&to.folder, wanted, found, &checksum)? {
        Some(name) => name,
        None => {
            let copy = Copy::begin(&to.folder)?;
            copy.fill(&source, place, found, &checksum, told)?;
            copy.give_name(wanted, told)?
        }
    };
    to.folder.flush().map_err(Refused::at_target("flush"))?;
    crash_point("after.named");
    if place.look()?.identity != *found {
        return Err(Refused::Changed);
    }
    match told.hold {
        Some(hold) => hide_checked(place, found, hold)?,
        None => place.remove()?,
    }
    Ok(name)
}

/// A copy that is not complete yet; it is removed unless it gets its name.
struct Copy<'a> {
    folder: &'a Folder,
    file: File,
    name: OsString,
}

impl<'a> Copy<'a> {
    fn begin(folder: &'a Folder) -> Result<Self, Refused> {
        let made = folder.create_unique(&prefix(), UNFINISHED, 0o600);
        let (name, file) = made.map_err(Refused::at_target("make a copy in"))?;
        lock(&file)?;
        Ok(Self { folder, file, name })
    }

    /// Fills it and makes sure that it is complete and on the disk.
    fn fill(
        &self,
        source: &File,
        place: &Place,
        found: &FileIdentity,
        checksum: &str,
        told: &Told<'_>,
    ) -> Result<(), Refused> {
        let copied = |copied| {
            (told.copied)(copied, found.size);
            slow_point("copy");
        };
        copy_file(source, &self.file, found.size, &copied).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Refused::Changed,
            _ => Refused::io("copy to", self.folder.path())(error),
        })?;
        if place.look()?.identity != *found {
            return Err(Refused::Changed);
        }
        crash_point("after.copied");
        let finish = || {
            keep_attributes(source, &self.file)?;
            masv_platform::flush(&self.file)
        };
        finish().map_err(Refused::io("finish the copy in", self.folder.path()))?;
        let mut copy = &self.file;
        copy.rewind().map_err(Refused::io("read the copy in", self.folder.path()))?;
        if content(&mut copy, self.folder.path())? != checksum {
            // The source was checked by its state alone: its content may have been another all along.
            let source = io::Error::other("the copy differs from what was sent");
            return Err(Refused::Io { what: "verify the copy in", path: self.folder.path().to_owned(), source });
        }
        Ok(())
    }

    fn give_name(self, wanted: &OsStr, told: &Told<'_>) -> Result<OsString, Refused> {
        let named =
            under_free_name(self.folder, wanted, told, |name| self.folder.rename_new(&self.name, self.folder, name));
        let name = named.map_err(Refused::at_target("name the copy"))?;
        // Someone who may write there may have replaced the copy: then it is not what was sent, and the source stays.
        if self.is_under(&name) { Ok(name) } else { Err(Refused::Changed) }
    }

    fn is_under(&self, name: &OsStr) -> bool {
        let (Ok(here), Ok(ours)) = (self.folder.look(Path::new(name)), entry_of(&self.file)) else { return false };
        (here.identity.device, here.identity.inode) == (ours.identity.device, ours.identity.inode)
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        if self.is_under(&self.name) {
            let _ = self.folder.remove_file(&self.name);
        }
    }
}

/// The copy, when a crash came between its last step and the removal of the source.
fn copied_before(
    folder: &Folder,
    wanted: &OsStr,
    found: &FileIdentity,
    checksum: &str,
) -> Result<Option<OsString>, Refused> {
    for number in 1.. {
        let name = numbered(wanted, number);
        let Ok(there) = folder.look(Path::new(&name)) else { break };
        if !there.is_file() || there.identity.size != found.size {
            continue;
        }
        let Ok((mut file, _)) = folder.open_file(Path::new(&name)) else { continue };
        if content(&mut file, &folder.path().join(&name))? == checksum {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Removes what crashes have left of copies.
fn sweep(folder: &Folder) {
    let Ok(names) = folder.list() else { return };
    for (name, _) in names.flatten() {
        let text = name.to_string_lossy();
        if !text.starts_with(&prefix()) || !text.ends_with(UNFINISHED) {
            continue;
        }
        let Ok((file, entry)) = folder.open_to_write(Path::new(&name)) else { continue };
        if entry.is_our_own_file() && lock(&file).is_ok() {
            let _ = folder.remove_file(&name);
        }
    }
}

fn prefix() -> String {
    format!("{OWN_PREFIX}-move-")
}

fn lock(file: &File) -> Result<(), Refused> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Refused::InHand),
        // File systems without locks: then only this agent could be locked out.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::super::relocate::{Sent, relocate};
    use super::*;

    const NOBODY: Told<'_> = Told { name: &|_| {}, copied: &|_, _| {}, hold: None };

    /// A file to move, and a folder on another file system, where this machine has one.
    struct Bench {
        here: tempfile::TempDir,
        there: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Option<Self> {
            let here = tempfile::tempdir().unwrap();
            let there = tempfile::tempdir_in("/dev/shm").ok()?;
            let device = |folder: &tempfile::TempDir| folder.path().metadata().unwrap().dev();
            (device(&here) != device(&there)).then_some(Self { here, there })
        }

        fn place(&self) -> (Place, Sent) {
            let place = Place { folder: Folder::open(self.here.path()).unwrap(), name: "clip.mov".into() };
            std::fs::write(place.path(), "content").unwrap();
            let (mut file, entry) = place.open().unwrap();
            let checksum = Some(content(&mut file, &place.path()).unwrap());
            (place, Sent { identity: entry.identity, checksum })
        }

        fn target(&self) -> Target {
            Folder::open(self.there.path()).unwrap().into()
        }

        fn count(&self) -> usize {
            std::fs::read_dir(self.there.path()).unwrap().count()
        }
    }

    fn go(place: &Place, to: &Target, sent: &Sent, told: &Told<'_>) -> Result<OsString, Refused> {
        relocate(place, to, OsStr::new("clip.mov"), sent, told)
    }

    #[test]
    fn the_copy_is_whole_before_the_source_goes() {
        let Some(bench) = Bench::new() else { return };
        let (place, before) = bench.place();
        let told = std::cell::RefCell::new(Vec::new());
        let all = Told { name: &|_| {}, copied: &|copied, of| told.borrow_mut().push((copied, of)), hold: None };
        assert_eq!(go(&place, &bench.target(), &before, &all).unwrap(), "clip.mov");
        assert_eq!(told.take(), [(7, 7)]);
        let moved = bench.there.path().join("clip.mov");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "content");
        assert_eq!(FileIdentity::of(&std::fs::metadata(&moved).unwrap()).mtime_ns, before.identity.mtime_ns);
        assert!(!place.path().exists());
        assert_eq!(bench.count(), 1, "nothing else is left there");
    }

    /// "Across file systems owner, group and extended attributes are dropped silently and a hole of 300 MB becomes 300 MB".
    #[test]
    fn owner_mode_attributes_and_holes_go_along() {
        use std::os::unix::fs::PermissionsExt;
        let Some(bench) = Bench::new() else { return };
        let place = Place { folder: Folder::open(bench.here.path()).unwrap(), name: "clip.mov".into() };
        let path = place.path();
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"the end", (64 << 20) - 7).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1_234), Some(5_678)).unwrap();
        }
        let has_attribute = |path: &Path| rustix::fs::getxattr(path, "user.masv", &mut [0_u8; 16]);
        let flags = rustix::fs::XattrFlags::empty();
        let kept_there = bench.there.path().join("probe");
        std::fs::write(&kept_there, "").unwrap();
        let both = rustix::fs::setxattr(&path, "user.masv", b"reel 7", flags).is_ok()
            && rustix::fs::setxattr(&kept_there, "user.masv", b"x", flags).is_ok();
        std::fs::remove_file(kept_there).unwrap();
        let (mut opened, entry) = place.open().unwrap();
        let checksum = Some(content(&mut opened, &path).unwrap());
        let before = path.metadata().unwrap();
        go(&place, &bench.target(), &Sent { identity: entry.identity, checksum }, &NOBODY).unwrap();
        let moved = bench.there.path().join("clip.mov");
        let after = moved.metadata().unwrap();
        let told =
            |found: &std::fs::Metadata| (found.uid(), found.gid(), found.mode(), found.len(), found.mtime_nsec());
        assert_eq!(told(&after), told(&before));
        assert!(after.blocks() * 512 < 8 << 20, "the hole is one: {} bytes are taken", after.blocks() * 512);
        assert!(!both || has_attribute(&moved) == Ok(6), "the attribute goes along");
        assert!(!path.exists());
    }

    #[test]
    fn a_crash_between_copy_and_removal_is_made_good_without_a_second_copy() {
        let Some(bench) = Bench::new() else { return };
        let (place, before) = bench.place();
        std::fs::write(bench.there.path().join("clip.mov"), "content").unwrap();
        let (leftover, _) = bench.target().folder.create_unique(&prefix(), UNFINISHED, 0o600).unwrap();
        assert!(bench.there.path().join(leftover).exists());
        assert_eq!(go(&place, &bench.target(), &before, &NOBODY).unwrap(), "clip.mov");
        assert!(!place.path().exists());
        assert_eq!(bench.count(), 1, "the leftover is gone too");
    }

    /// A leftover counts only if it is a regular file of our own with one name that is not in use.
    #[test]
    fn what_looks_like_a_leftover_and_is_none_stays() {
        let Some(bench) = Bench::new() else { return };
        let (place, before) = bench.place();
        let there = bench.there.path();
        std::fs::write(there.join("victim"), "safe").unwrap();
        symlink(there.join("victim"), there.join(".masv-move-1.part")).unwrap();
        std::fs::hard_link(there.join("victim"), there.join(".masv-move-2.part")).unwrap();
        let worked_on = File::create(there.join(".masv-move-3.part")).unwrap();
        worked_on.lock().unwrap();
        go(&place, &bench.target(), &before, &NOBODY).unwrap();
        assert_eq!(bench.count(), 5);
        assert_eq!(std::fs::read_to_string(there.join("victim")).unwrap(), "safe");
    }

    /// A link to a file of the agent's user, planted where the copy's name could once be foreseen, and under the wanted name.
    #[test]
    fn a_planted_link_is_not_written_through() {
        let Some(bench) = Bench::new() else { return };
        let (place, before) = bench.place();
        let home = tempfile::tempdir().unwrap();
        let victim = home.path().join(".bashrc");
        std::fs::write(&victim, "mine").unwrap();
        let digest = blake3::hash(place.path().as_os_str().as_encoded_bytes()).to_hex();
        let foreseen = format!("{OWN_PREFIX}-{}.part", &digest[..16]);
        symlink(&victim, bench.there.path().join(foreseen)).unwrap();
        symlink(&victim, bench.there.path().join("clip.mov")).unwrap();
        assert_eq!(go(&place, &bench.target(), &before, &NOBODY).unwrap(), "clip (2).mov");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(bench.there.path().join("clip (2).mov")).unwrap(), "content");
    }

    #[test]
    fn two_who_move_the_same_file_do_not_both_copy_it() {
        let Some(bench) = Bench::new() else { return };
        let (place, before) = bench.place();
        let held = File::open(place.path()).unwrap();
        held.lock().unwrap();
        assert!(matches!(go(&place, &bench.target(), &before, &NOBODY), Err(Refused::InHand)));
        assert!(place.path().exists());
    }

    /// The reason used to lose what the system said.
    /// Case: a move to a full disk says "no space left" and where.
    #[test]
    fn a_full_disk_is_named_with_the_place_that_is_full() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let refused = Refused::io("copy to", Path::new("/mnt/sent"))(full);
        assert_eq!(crate::watch::describe(&refused), "no space left on /mnt/sent");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let refused = Refused::io("copy to", Path::new("/mnt/sent"))(denied);
        assert_eq!(crate::watch::describe(&refused), "cannot copy to /mnt/sent: permission denied");
    }
}
