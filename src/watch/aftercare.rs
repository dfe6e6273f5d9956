//! The second step of an after-action: files that were taken away are checked again, and brought back if a program has written
//! to them meanwhile.
//!
//! **In**: a [`TakenAway`], the watched folder held open. **Out**: an [`Ending`]. Blocks.
//!
//! "No writer is seen" does not mean "there is none": a program may have the file open without being detected. A file to be removed
//! is therefore renamed to a hidden name first; a writer then writes into that, which is noticed.
//!
//! **Guarantees.** A file is removed only if it is unchanged since it was taken away and no writer is seen.
//! Bringing it back overwrites nothing: if its name is taken, it is numbered.
//!
//! **On a crash** the file is where the store says, or where it was dropped: repeating the step has the same result.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use masv_platform::{Folder, crash_point};

use super::fs_events::FsEvents;
use super::open_handles::{Writing, is_being_written};
use super::relocate::{Place, Refused, Told, under_free_name};
use crate::model::{Held, TakenAway};

/// What became of a file that was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is gone, or stays where it was moved to.
    Over,
    /// It was written to, and is back in the watched folder under this path: a new drop.
    Returned(PathBuf),
    /// A program still has it open; which one.
    Written(String),
    /// Somebody has had it open for as long as is waited for, unchanged: it is back in the watched folder under this path, and who
    /// has it open. What was sent of it counts.
    Reopened(PathBuf, String),
}

/// Brings back a file that was hidden, if it is still there: whoever hid it is not there any more to look after it.
///
/// # Errors
/// See [`Refused`]: it is tried again.
pub fn give_back(root: &Folder, taken: &TakenAway) -> Result<Ending, Refused> {
    let Held::Hidden(way) = &taken.held else { return Ok(Ending::Over) };
    match Place::beneath(root, way).and_then(|place| Ok((place.look()?, place))) {
        Ok((found, place)) if found.identity.inode == taken.identity.inode => {
            bring_back(root, &place, &taken.path).map(Ending::Returned)
        }
        Ok(_) | Err(Refused::Gone | Refused::Changed) => Ok(Ending::Over),
        Err(error) => Err(error),
    }
}

/// Checks a file again and acts on the result. `returning` is called before it is brought back; `keeps_levels` is how
/// many names of an emptied folder's path stay; `waited` says whether a writer was waited for long enough.
///
/// # Errors
/// See [`Refused`]: it is tried again.
pub fn look_after(
    root: &Folder,
    events: &FsEvents,
    taken: &TakenAway,
    keeps_levels: usize,
    waited: bool,
    returning: &dyn Fn() -> Result<(), Refused>,
) -> Result<Ending, Refused> {
    let (base, way) = way_to(root, &taken.held)?;
    let place = match Place::beneath(&base, &way) {
        Ok(place) => place,
        Err(Refused::Gone) => return Ok(Ending::Over),
        Err(error) => return Err(error),
    };
    let found = match place.look() {
        Ok(found) if found.identity.inode == taken.identity.inode => found,
        // Whatever is there now is not ours to touch.
        Ok(_) | Err(Refused::Gone | Refused::Changed) => return Ok(Ending::Over),
        Err(error) => return Err(error),
    };
    if !found.identity.same_content(&taken.identity) {
        returning()?;
        return bring_back(root, &place, &taken.path).map(Ending::Returned);
    }
    if let Some(Writing::By(who)) = is_being_written(events, &base, &[(&way, found.identity)]).pop() {
        return match taken.held {
            _ if !waited => Ok(Ending::Written(who)),
            Held::Hidden(_) => bring_back(root, &place, &taken.path).map(|path| Ending::Reopened(path, who)),
            Held::Moved(_) => Ok(Ending::Over),
        };
    }
    if let Held::Hidden(_) = taken.held {
        place.remove()?;
        crash_point("after.removed");
        remove_emptied(root, &taken.path, keeps_levels);
    }
    Ok(Ending::Over)
}

/// The folder that the way to a file begins in, and the way.
fn way_to(root: &Folder, held: &Held) -> Result<(Folder, PathBuf), Refused> {
    let (base, way) = match held {
        Held::Hidden(path) => (root.try_clone(), path.as_path()),
        Held::Moved(path) => (Folder::open(Path::new("/")), path.strip_prefix("/").unwrap_or(path)),
    };
    Ok((base.map_err(Refused::at_source("open"))?, way.to_owned()))
}

/// Moves a file back to where it was dropped, or to a numbered name beside it; returns its path.
fn bring_back(root: &Folder, place: &Place, path: &Path) -> Result<PathBuf, Refused> {
    let above = path.parent().unwrap_or(Path::new(""));
    let (folder, _) = root.make_below(above).map_err(Refused::at_target("bring back to"))?;
    let nobody = Told { name: &|_| {}, copied: &|_, _| {}, hold: None };
    let wanted = path.file_name().unwrap_or(OsStr::new("returned"));
    let name = under_free_name(&folder, wanted, &nobody, |name| place.folder.rename_new(&place.name, &folder, name));
    let name = name.map_err(Refused::at_target("bring back to"))?;
    crash_point("after.returned");
    Ok(above.join(name))
}

/// What desktops leave in folders to remember how they showed them; it is made anew when it is needed.
const LITTER: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

/// Removes a folder that is empty, or holds nothing but what desktops leave in folders. Returns whether it is gone.
pub(super) fn remove_if_empty(parent: &Folder, name: &OsStr) -> bool {
    if parent.remove_folder(name).is_ok() {
        return true;
    }
    let Ok(folder) = parent.below(Path::new(name)) else { return false };
    let Ok(listing) = folder.list() else { return false };
    let Ok(left) = listing.collect::<Result<Vec<_>, _>>() else { return false };
    let litter = |name: &OsStr| LITTER.iter().any(|litter| name.eq_ignore_ascii_case(litter));
    let only_litter =
        left.iter().all(|(name, _)| litter(name) && folder.look(Path::new(name)).is_ok_and(|found| found.is_file()));
    only_litter && left.iter().all(|(name, _)| folder.remove_file(name).is_ok()) && parent.remove_folder(name).is_ok()
}

/// Removes the folders above a path that are empty now, but for the first `keeps_levels`.
pub fn remove_emptied(root: &Folder, path: &Path, keeps_levels: usize) {
    for folder in path.ancestors().skip(1).filter(|folder| folder.components().count() > keeps_levels) {
        // It fails where something is left, and then the folder is to stay, as are those above it.
        if !root.parent_of(folder).is_ok_and(|(parent, name)| remove_if_empty(&parent, &name)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::relocate::{Sent, hide};
    use super::*;
    use jiff::Timestamp;
    use masv_platform::PathBeneath;

    /// A watched folder with a file in it that is about to be deleted.
    struct Bench {
        folder: tempfile::TempDir,
        root: Folder,
        events: FsEvents,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("card/clips")).unwrap();
            let root = Folder::open(folder.path()).unwrap();
            let events = FsEvents::new(folder.path(), false, |_| None);
            Self { folder, root, events }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.folder.path().join(path)
        }

        /// Hides the file as `after: delete` does; `before` is its identity when it was sent.
        fn hide(&self) -> TakenAway {
            let path = PathBuf::from("card/clips/clip.mov");
            let place = Place::beneath(&self.root, &path).unwrap();
            let identity = place.look().unwrap().identity;
            let hidden = std::cell::RefCell::new(None);
            let hold = |_: &_, held| {
                *hidden.borrow_mut() = Some(held);
                Ok(())
            };
            hide(&place, &Sent { identity, checksum: None }, &hold).unwrap();
            let Some(Held::Hidden(name)) = hidden.into_inner() else { panic!("not hidden") };
            let held = Held::Hidden(Path::new("card/clips").join(name));
            let root = PathBeneath::new(self.folder.path(), "");
            TakenAway { root, path, held, identity, due_at: Timestamp::now() }
        }

        fn look(&self, taken: &TakenAway) -> Ending {
            look_after(&self.root, &self.events, taken, 1, false, &|| Ok(())).unwrap()
        }
    }

    /// Case: folders that `after` has emptied go, those that stand at the top stay.
    /// Case: deleting takes two steps: hidden first, looked at again, removed if nobody wrote meanwhile.
    #[test]
    fn a_file_that_nobody_wrote_to_goes_with_its_emptied_folders() {
        let bench = Bench::new();
        std::fs::write(bench.at("card/clips/clip.mov"), "content").unwrap();
        let taken = bench.hide();
        assert!(!bench.at("card/clips/clip.mov").exists() && bench.at("card/clips").exists());
        assert_eq!(bench.look(&taken), Ending::Over);
        assert!(!bench.at("card/clips").exists() && bench.at("card").exists());
        assert_eq!(bench.look(&taken), Ending::Over, "twice is as good as once");
    }

    /// A folder in which a Finder window had been opened stayed when everything in it was gone.
    #[test]
    fn a_folder_with_nothing_but_a_desktop_s_own_files_goes_too() {
        for (left, goes) in [(".DS_Store", true), ("Thumbs.db", true), ("._clip.mov", false), ("notes.txt", false)] {
            let bench = Bench::new();
            std::fs::write(bench.at("card/clips/clip.mov"), "content").unwrap();
            std::fs::write(bench.at("card/clips").join(left), "view").unwrap();
            let taken = bench.hide();
            assert_eq!(bench.look(&taken), Ending::Over);
            assert_eq!(!bench.at("card/clips").exists(), goes, "{left}");
            assert!(goes || bench.at("card/clips").join(left).exists());
        }
        // Not if it is a folder, or if something else is there.
        let bench = Bench::new();
        std::fs::create_dir(bench.at("card/clips/.DS_Store")).unwrap();
        assert!(!remove_if_empty(&bench.root, OsStr::new("card")) && bench.at("card/clips/.DS_Store").exists());
    }

    /// The write succeeds for the writer; what it wrote used to be lost.
    #[test]
    fn what_was_written_to_afterwards_comes_back_whole() {
        let bench = Bench::new();
        let mut writer = std::fs::File::create(bench.at("card/clips/clip.mov")).unwrap();
        writer.write_all(b"first").unwrap();
        let taken = bench.hide();
        assert!(matches!(bench.look(&taken), Ending::Written(_)), "unchanged, and open");
        writer.write_all(b" second").unwrap();
        assert_eq!(bench.look(&taken), Ending::Returned("card/clips/clip.mov".into()));
        assert_eq!(std::fs::read_to_string(bench.at("card/clips/clip.mov")).unwrap(), "first second");
    }

    /// A file that a program held open and did not write to stayed hidden for ever.
    #[test]
    fn what_is_held_open_for_long_comes_back_and_counts_as_sent() {
        let bench = Bench::new();
        let writer = std::fs::File::create(bench.at("card/clips/clip.mov")).unwrap();
        let taken = bench.hide();
        assert!(matches!(bench.look(&taken), Ending::Written(_)));
        let forgotten = std::cell::Cell::new(false);
        let returning = || {
            forgotten.set(true);
            Ok(())
        };
        let ending = look_after(&bench.root, &bench.events, &taken, 1, true, &returning).unwrap();
        assert!(matches!(ending, Ending::Reopened(path, _) if path == Path::new("card/clips/clip.mov")));
        assert!(bench.at("card/clips/clip.mov").exists() && !forgotten.get());
        drop(writer);
    }

    /// The rule was removed while a file was hidden: the file stayed hidden for ever.
    #[test]
    fn what_nobody_looks_after_any_more_is_given_back() {
        let bench = Bench::new();
        std::fs::write(bench.at("card/clips/clip.mov"), "content").unwrap();
        let taken = bench.hide();
        assert_eq!(give_back(&bench.root, &taken).unwrap(), Ending::Returned("card/clips/clip.mov".into()));
        assert_eq!(std::fs::read_to_string(bench.at("card/clips/clip.mov")).unwrap(), "content");
        assert_eq!(give_back(&bench.root, &taken).unwrap(), Ending::Over, "twice is as good as once");
        let moved = TakenAway { held: Held::Moved(bench.at("card/clips/clip.mov")), ..taken };
        assert_eq!(give_back(&bench.root, &moved).unwrap(), Ending::Over);
        assert!(bench.at("card/clips/clip.mov").exists());
    }

    /// Case: another file has taken the name by the time a hidden one comes back: both are kept.
    #[test]
    fn a_name_that_is_taken_by_then_is_not_replaced() {
        let bench = Bench::new();
        let path = bench.at("card/clips/clip.mov");
        let mut writer = std::fs::File::create(&path).unwrap();
        let taken = bench.hide();
        writer.write_all(b"late").unwrap();
        std::fs::write(&path, "another").unwrap();
        assert_eq!(bench.look(&taken), Ending::Returned("card/clips/clip (2).mov".into()));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "another");
    }

    #[test]
    fn another_file_under_the_hidden_name_is_not_touched() {
        let bench = Bench::new();
        std::fs::write(bench.at("card/clips/clip.mov"), "content").unwrap();
        let taken = bench.hide();
        let hidden = bench.at(taken.held.path().to_str().unwrap());
        std::fs::write(bench.at("other"), "other").unwrap();
        std::fs::rename(bench.at("other"), &hidden).unwrap();
        assert_eq!(bench.look(&taken), Ending::Over);
        assert_eq!(std::fs::read_to_string(hidden).unwrap(), "other");
    }
}
