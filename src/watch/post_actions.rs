//! After-actions: what happens to source files once the cloud has their package, or their upload has failed.
//!
//! **In**: an [`Errand`] for the files of some uploads. **Out**: what became of each. Blocks; a worker of its own runs
//! them one after the other, because a move to another file system takes as long as a copy.
//!
//! **Guarantees.** Those of [`super::relocate`]; besides, a file that a program holds open for writing waits, and one that is
//! taken away is held as long as an undetected writer may still write to it ([`super::aftercare`]). The watched
//! folder and the folders that files are moved into are opened once and held: neither a link in the watched folder nor one
//! below the folder that the rule names redirects anything.
//!
//! **On a crash** nothing is lost or repeated: the ledger says that the file was sent, the file is still there, so the
//! next start creates the same errand again.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::aftercare::remove_if_empty;
use super::beneath;
use super::describe;
use super::fs_events::FsEvents;
use super::open_handles::{Writing, is_being_written};
use super::relocate::{self, Place, Refused, Sent, Target, Told};
use crate::model::{Held, Problem};
use masv_platform::{FileIdentity, Folder, PathBeneath, crash_point};
use masv_rules::OWN_PREFIX;

/// Bytes of a reason that is read to see whether it is written already.
const LONGEST_REASON: u64 = 64 << 10;
/// So long after it was asked who writes it is asked again.
const STALE: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Remove the files.
    Delete,
    /// Move them into this folder; each keeps its path below it. The path is a real one: no link is followed in it.
    Move(PathBuf),
    /// The same for files of a failed upload, sent or not; why it failed is written there.
    Quarantine(PathBuf, Problem),
}

/// A file to be acted on.
#[derive(Debug, Clone)]
pub struct Handled {
    /// Relative to the watched folder.
    pub relative: Arc<Path>,
    /// What was sent of it.
    pub sent: Sent,
    /// Markers that go with it, relative to the watched folder.
    pub markers: Vec<PathBuf>,
}

/// The files of some uploads and what to do with them.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The watched folder.
    pub root: PathBeneath,
    /// What to do, and with which files.
    pub works: Vec<(Action, Vec<Handled>)>,
    /// How many names of an emptied folder's path stay: 1 keeps the folders directly in the watched folder.
    pub keeps_levels: usize,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is where it belongs, or gone.
    Done,
    /// It is not what was sent: it is to be treated as new.
    Changed,
    /// It could not be done now; why.
    Later(String),
}

/// Whether anything would have shown a program that writes to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// A lease or the events of the folder would.
    Seen,
    /// Nothing would: "no writer is seen" says little.
    Unseen,
}

/// The receiver of an errand's progress.
pub struct Progress<'a> {
    /// Each name (absolute) before a file appears under it, and the state of the file that will.
    pub name: &'a dyn Fn(&Path, &FileIdentity),
    /// Of a file that is copied to another file system: its path in the watched folder, bytes copied, bytes in all.
    pub copied: &'a dyn Fn(&Path, u64, u64),
    /// Of a file that is about to be taken away: its path in the watched folder, its state, where it will be, and what is known of its
    /// writers.
    pub hold: HoldNoted<'a>,
}

/// See [`Progress::hold`].
pub type HoldNoted<'a> = &'a dyn Fn(&Path, &FileIdentity, Held, Sight) -> Result<(), String>;

/// Carries out an errand. `events` are those of the watched folder: they show who is writing.
pub fn carry_out(errand: &Errand, events: &FsEvents, progress: &Progress<'_>) -> Vec<(Arc<Path>, Fate)> {
    let all: Vec<(&Action, &Handled)> =
        errand.works.iter().flat_map(|(action, files)| files.iter().map(move |file| (action, file))).collect();
    let root = match beneath::open_root(&errand.root) {
        Ok(root) => root,
        Err(offline) => {
            let later = |(_, file): (_, &Handled)| (Arc::clone(&file.relative), Fate::Later(offline.to_string()));
            return all.into_iter().map(later).collect();
        }
    };
    let mut work = Work { root, targets: RefCell::default(), action: &Action::Delete };
    let mut results = Vec::with_capacity(all.len());
    let mut emptied: BTreeSet<PathBuf> = BTreeSet::new();
    let (mut asked_at, mut writing) = (Instant::now(), Vec::new());
    for (at, (action, file)) in all.iter().enumerate() {
        if !std::ptr::eq(work.action, *action) {
            work.action = action;
            work.targets.take();
        }
        // A copy to another file system takes its time: what was known of writers before it is known no more.
        if at == 0 || asked_at.elapsed() > STALE {
            let left: Vec<_> = all[at..].iter().map(|(_, file)| (&*file.relative, file.sent.identity)).collect();
            asked_at = Instant::now();
            writing = is_being_written(events, &work.root, &left);
            writing.reverse();
        }
        let result = match writing.pop() {
            Some(Writing::By(who)) => Fate::Later(format!("is held open for writing by {who}")),
            Some(Writing::No) => work.one(file, Sight::Seen, progress),
            Some(Writing::Unseen(_)) => work.one(file, Sight::Unseen, progress),
            None => Fate::Later("nobody can tell who writes to it".to_owned()),
        };
        if result == Fate::Done {
            file.markers.iter().for_each(|marker| work.take_along(marker));
            emptied.extend(file.relative.ancestors().skip(1).map(Path::to_owned));
        }
        results.push((Arc::clone(&file.relative), result));
    }
    // Deepest first, so that a folder of emptied folders is empty when its turn comes.
    for folder in emptied.iter().rev().filter(|folder| folder.components().count() > errand.keeps_levels) {
        // It fails where something is left, and then the folder is to stay.
        let _ = work.root.parent_of(folder).map(|(parent, name)| remove_if_empty(&parent, &name));
    }
    results
}

/// An errand under way, with the folders that it works in held open.
struct Work<'a> {
    action: &'a Action,
    root: Folder,
    /// By their paths below the folder that files are moved into.
    targets: RefCell<HashMap<PathBuf, Rc<Target>>>,
}

impl Work<'_> {
    fn one(&self, file: &Handled, sight: Sight, progress: &Progress<'_>) -> Fate {
        let told = Told {
            name: &|target| (progress.name)(target, &file.sent.identity),
            copied: &|copied, of| (progress.copied)(&file.relative, copied, of),
            hold: Some(&|found, held| {
                let above = file.relative.parent().unwrap_or(Path::new(""));
                let held = match held {
                    Held::Hidden(name) => Held::Hidden(above.join(name)),
                    // What failed to be sent is kept anyway.
                    Held::Moved(_) if matches!(self.action, Action::Quarantine(..)) => return Ok(()),
                    moved @ Held::Moved(_) => moved,
                };
                (progress.hold)(&file.relative, found, held, sight).map_err(Refused::Unkept)
            }),
        };
        crash_point("after.before");
        match self.act(file, &told) {
            Ok(()) | Err(Refused::Gone) => Fate::Done,
            Err(Refused::Changed) => Fate::Changed,
            Err(error) => Fate::Later(describe(&error)),
        }
    }

    fn act(&self, file: &Handled, told: &Told<'_>) -> Result<(), Refused> {
        let place = Place::beneath(&self.root, &file.relative)?;
        match self.action {
            Action::Delete => match told.hold {
                Some(hold) => relocate::hide(&place, &file.sent, hold),
                None => relocate::remove(&place, &file.sent),
            },
            Action::Move(folder) => self.relocate(&place, folder, &file.relative, &file.sent, told),
            Action::Quarantine(folder, problem) => self.quarantine(&place, folder, file, problem, told),
        }
    }

    fn relocate(
        &self,
        place: &Place,
        folder: &Path,
        relative: &Path,
        sent: &Sent,
        told: &Told<'_>,
    ) -> Result<(), Refused> {
        let above = relative.parent().unwrap_or(Path::new(""));
        relocate::check(place, sent)?; // Before folders are made for it.
        let target = self.target(folder, above)?;
        relocate::relocate(place, &target, &place.name, sent, told).map(drop)
    }

    /// The folder that a file is moved into, created if it is missing and held open for the others.
    fn target(&self, folder: &Path, below: &Path) -> Result<Rc<Target>, Refused> {
        if let Some(known) = self.targets.borrow().get(below) {
            return Ok(Rc::clone(known));
        }
        let root = Folder::open(Path::new("/")).map_err(Refused::at_target("open"))?;
        let relative = folder.strip_prefix("/").unwrap_or(folder).join(below);
        let (opened, _) = root.make_below(&relative).map_err(Refused::at_target("use the folder"))?;
        let target = Rc::new(Target::from(opened));
        self.targets.borrow_mut().insert(below.to_owned(), Rc::clone(&target));
        Ok(target)
    }

    /// Moves a file of a failed upload as it is now. Why it failed stands beside its top-level entry before it is there.
    fn quarantine(
        &self,
        place: &Place,
        folder: &Path,
        file: &Handled,
        problem: &Problem,
        told: &Told<'_>,
    ) -> Result<(), Refused> {
        let now = Sent { identity: place.look()?.identity, checksum: None };
        let unwritten = RefCell::new(None);
        let name = |target: &Path| {
            (told.name)(target);
            *unwritten.borrow_mut() = self.write_reason(folder, target, problem).err();
            crash_point("after.noted");
        };
        self.relocate(
            place,
            folder,
            &file.relative,
            &now,
            &Told { name: &name, copied: told.copied, hold: told.hold },
        )?;
        unwritten.into_inner().map_or(Ok(()), Err)
    }

    /// Writes why an upload failed beside the top-level entry that `target` (absolute) will lie in.
    fn write_reason(&self, folder: &Path, target: &Path, problem: &Problem) -> Result<(), Refused> {
        let beside = self.target(folder, Path::new(""))?;
        let relative = target.strip_prefix(beside.folder.path()).unwrap_or(target);
        let mut name = super::package::top_level(relative).as_os_str().to_owned();
        name.push(".error.txt");
        let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!("\nWhat to do: {hint}\n"));
        let text = format!("{}\nCode: {}\n{hint}", problem.message, problem.code);
        // Of a folder of ten thousand files it is written once.
        if written(&beside.folder, &name).is_some_and(|before| before == text) {
            return Ok(());
        }
        write_anew(&beside.folder, &name, &text)
    }

    /// A marker goes the way of the file that it made ready; no content of anybody's is in it.
    fn take_along(&self, marker: &Path) {
        let taken = || {
            let place = Place::beneath(&self.root, marker)?;
            let state = Sent { identity: place.look()?.identity, checksum: None };
            match self.action {
                Action::Delete => relocate::remove(&place, &state),
                Action::Move(folder) | Action::Quarantine(folder, _) => {
                    let nobody = Told { name: &|_| {}, copied: &|_, _| {}, hold: None };
                    self.relocate(&place, folder, marker, &state, &nobody)
                }
            }
        };
        match taken() {
            Ok(()) | Err(Refused::Gone) => {}
            Err(error) => {
                tracing::debug!(marker = %marker.display(), error = describe(&error), "a marker stays behind");
            }
        }
    }
}

fn written(folder: &Folder, name: &OsStr) -> Option<String> {
    let (file, entry) = folder.open_file(Path::new(name)).ok()?;
    let read = std::io::read_to_string(file.take(LONGEST_REASON));
    read.ok().filter(|_| entry.identity.size <= LONGEST_REASON)
}

/// Writes a text under another name first, so that whatever has its name, such as a link, is replaced and not followed.
fn write_anew(folder: &Folder, name: &OsStr, text: &str) -> Result<(), Refused> {
    let made = folder.create_unique(&format!("{OWN_PREFIX}-"), ".part", 0o666);
    let (temporary, mut file) = made.map_err(Refused::at_target("write in"))?;
    let written = file.write_all(text.as_bytes()).map_err(Refused::io("write in", folder.path()));
    let named = written.and_then(|()| folder.replace(&temporary, name).map_err(Refused::at_target("write")));
    if named.is_err() {
        let _ = folder.remove_file(&temporary);
    }
    named
}
