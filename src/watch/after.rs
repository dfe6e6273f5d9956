//! After-actions: what happens to source files once the cloud has their package, or their upload has failed.
//!
//! **In**: an [`Errand`] for the files of one upload. **Out**: what became of each. Blocks; a worker of its own runs
//! them one after the other, since a move to another file system takes as long as copying does.
//!
//! **Guarantees.** Those of [`super::relocate`]; besides, a file that somebody holds open for writing waits.
//!
//! **On a crash** nothing is lost or repeated: the ledger says that the file was sent, the file is still there, so the
//! next start makes the same errand again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::describe;
use super::relocate::{self, Refused, Sent};
use super::writers::writers_of;
use crate::base::FileIdentity;
use crate::store::Problem;

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

/// Carries out an errand. `announce` is told of each name (absolute) before a file appears under it, with the state of
/// the file that will.
pub fn carry_out(errand: &Errand, announce: &dyn Fn(&Path, &FileIdentity)) -> Vec<(Arc<Path>, Fate)> {
    let identities: Vec<FileIdentity> = errand.files.iter().map(|file| file.sent.identity).collect();
    let writers = writers_of(&identities);
    let mut results = Vec::with_capacity(errand.files.len());
    let mut emptied: BTreeSet<PathBuf> = BTreeSet::new();
    for file in &errand.files {
        let writer = writers.get(&(file.sent.identity.device, file.sent.identity.inode));
        let result = match writer {
            Some(who) => Fate::Later(format!("is held open for writing by {who}")),
            None => one(errand, file, announce),
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

fn one(errand: &Errand, file: &Handled, announce: &dyn Fn(&Path, &FileIdentity)) -> Fate {
    let path = errand.root.join(&file.relative);
    let announce = |target: &Path| announce(target, &file.sent.identity);
    let done = match &errand.action {
        Action::Delete => relocate::remove(&path, &file.sent),
        Action::Move(folder) => {
            relocate::relocate(&path, &folder.join(&file.relative), &file.sent, &announce).map(drop)
        }
        Action::Quarantine(folder, problem) => quarantine(&path, folder, file, problem, &announce),
    };
    match done {
        Ok(()) | Err(Refused::Gone) => Fate::Done,
        Err(Refused::Changed) => Fate::Changed,
        Err(error) => Fate::Later(describe(&error)),
    }
}

/// Moves a file of a failed upload as it is now, and writes beside its top-level entry why it failed.
fn quarantine(
    path: &Path,
    folder: &Path,
    file: &Handled,
    problem: &Problem,
    announce: &dyn Fn(&Path),
) -> Result<(), Refused> {
    let metadata = std::fs::symlink_metadata(path).map_err(|_| Refused::Gone)?;
    let now = Sent { identity: FileIdentity::of(&metadata), checksum: None };
    let moved = relocate::relocate(path, &folder.join(&file.relative), &now, announce)?;
    let moved = moved.strip_prefix(folder).unwrap_or(&moved);
    let mut name = super::package::top_level(moved).as_os_str().to_owned();
    name.push(".error.txt");
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!("\nWhat to do: {hint}\n"));
    let text = format!("{}\nCode: {}\n{hint}", problem.message, problem.code);
    let beside = folder.join(name);
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
            relocate::relocate(&path, &folder.join(marker), &state, &|_| {}).map(drop)
        }
    };
    if let Err(error) = taken {
        tracing::debug!(marker = %path.display(), error = describe(&error), "a marker stays behind");
    }
}
