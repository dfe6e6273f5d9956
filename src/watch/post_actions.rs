//! After-actions: what happens to source files once the cloud has their package, or their upload has failed.
//!
//! **In**: an [`Errand`] for the files of one upload. **Out**: what became of each. Blocks; a worker of its own runs
//! them one after the other, since a move to another file system takes as long as copying does.
//!
//! **Guarantees.** Those of [`super::relocate`]; besides, a file that somebody holds open for writing waits.
//!
//! **On a crash** nothing is lost or repeated: the ledger says that the file was sent, the file is still there, so the
//! next start makes the same errand again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beneath;
use super::describe;
use super::fs_events::FsEvents;
use super::open_handles::{Writing, is_being_written};
use super::relocate::{self, Refused, Sent, Told};
use crate::model::Problem;
use masv_platform::{FileIdentity, crash_point};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Remove the files.
    Delete,
    /// Move them into this folder; each keeps its path below it.
    Move(PathBuf),
    /// Move them into this folder, sent or not, and write there why their upload failed.
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

/// The files of one upload and what to do with them.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The watched folder.
    pub root: PathBuf,
    /// What to do.
    pub action: Action,
    /// With which files.
    pub files: Vec<Handled>,
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

/// Who is told of an errand's progress.
pub struct Progress<'a> {
    /// Each name (absolute) before a file appears under it, and the state of the file that will.
    pub name: &'a dyn Fn(&Path, &FileIdentity),
    /// Of a file that is copied to another file system: its path in the watched folder, bytes copied, bytes in all.
    pub copied: &'a dyn Fn(&Path, u64, u64),
}

/// Carries out an errand. `events` are those of the watched folder: they tell who writes.
pub fn carry_out(errand: &Errand, events: &FsEvents, progress: &Progress<'_>) -> Vec<(Arc<Path>, Fate)> {
    let files: Vec<_> = errand.files.iter().map(|file| (&*file.relative, file.sent.identity)).collect();
    let writing = match beneath::open_root(&errand.root) {
        Ok(root) => is_being_written(events, &root, &files),
        Err(offline) => {
            let later = |file: &Handled| (Arc::clone(&file.relative), Fate::Later(offline.to_string()));
            return errand.files.iter().map(later).collect();
        }
    };
    let mut results = Vec::with_capacity(errand.files.len());
    let mut emptied: BTreeSet<PathBuf> = BTreeSet::new();
    for (file, writing) in errand.files.iter().zip(writing) {
        let result = match writing {
            Writing::By(who) => Fate::Later(format!("is held open for writing by {who}")),
            Writing::No | Writing::Unseen(_) => one(errand, file, progress),
        };
        if result == Fate::Done {
            file.markers.iter().for_each(|marker| take_along(errand, marker));
            emptied.extend(file.relative.ancestors().skip(1).map(Path::to_owned));
        }
        results.push((Arc::clone(&file.relative), result));
    }
    // Deepest first, so that a folder of emptied folders is empty when its turn comes.
    for folder in emptied.iter().rev().filter(|folder| folder.components().count() > errand.keeps_levels) {
        // It fails where something is left, and then the folder is to stay.
        let _ = std::fs::remove_dir(errand.root.join(folder));
    }
    results
}

fn one(errand: &Errand, file: &Handled, progress: &Progress<'_>) -> Fate {
    let path = errand.root.join(&file.relative);
    let told = Told {
        name: &|target| (progress.name)(target, &file.sent.identity),
        copied: &|copied, of| (progress.copied)(&file.relative, copied, of),
    };
    crash_point("after.before");
    let done = match &errand.action {
        Action::Delete => relocate::remove(&path, &file.sent),
        Action::Move(folder) => relocate::relocate(&path, &folder.join(&file.relative), &file.sent, &told).map(drop),
        Action::Quarantine(folder, problem) => quarantine(&path, folder, file, problem, &told),
    };
    match done {
        Ok(()) | Err(Refused::Gone) => Fate::Done,
        Err(Refused::Changed) => Fate::Changed,
        Err(error) => Fate::Later(describe(&error)),
    }
}

/// Moves a file of a failed upload as it is now. Why it failed stands beside its top-level entry before it is there.
fn quarantine(path: &Path, folder: &Path, file: &Handled, problem: &Problem, told: &Told<'_>) -> Result<(), Refused> {
    let metadata = std::fs::symlink_metadata(path).map_err(|_| Refused::Gone)?;
    let now = Sent { identity: FileIdentity::of(&metadata), checksum: None };
    let unwritten = RefCell::new(None);
    let name = |target: &Path| {
        (told.name)(target);
        *unwritten.borrow_mut() = write_reason(folder, target, problem).err();
        crash_point("after.noted");
    };
    relocate::relocate(path, &folder.join(&file.relative), &now, &Told { name: &name, copied: told.copied })?;
    unwritten.into_inner().map_or(Ok(()), Err)
}

/// Writes why an upload failed beside the top-level entry that `target` (absolute) will lie in.
fn write_reason(folder: &Path, target: &Path, problem: &Problem) -> Result<(), Refused> {
    let relative = target.strip_prefix(folder).unwrap_or(target);
    let mut name = super::package::top_level(relative).as_os_str().to_owned();
    name.push(".error.txt");
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!("\nWhat to do: {hint}\n"));
    let text = format!("{}\nCode: {}\n{hint}", problem.message, problem.code);
    let beside = folder.join(name);
    if std::fs::read_to_string(&beside).is_ok_and(|written| written == text) {
        return Ok(()); // Of a folder of ten thousand files it is written once.
    }
    std::fs::write(&beside, text).map_err(|source| Refused::Io { what: "write", path: beside, source })
}

/// A marker goes the way of the file that it made ready; no content of anybody's is in it.
fn take_along(errand: &Errand, marker: &Path) {
    let path = errand.root.join(marker);
    let Ok(metadata) = std::fs::symlink_metadata(&path) else { return };
    let state = Sent { identity: FileIdentity::of(&metadata), checksum: None };
    let taken = match &errand.action {
        Action::Delete => relocate::remove(&path, &state),
        Action::Move(folder) | Action::Quarantine(folder, _) => {
            let nobody = Told { name: &|_| {}, copied: &|_, _| {} };
            relocate::relocate(&path, &folder.join(marker), &state, &nobody).map(drop)
        }
    };
    if let Err(error) = taken {
        tracing::debug!(marker = %path.display(), error = describe(&error), "a marker stays behind");
    }
}
