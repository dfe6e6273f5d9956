//! What is known about a watched folder: the sum of all scans.
//!
//! **In**: scans. **Out**: which files are new, changed or gone since. Pure; in memory only, a restart scans again.
//!
//! **Guarantees.** Only what a look covered and did not find is gone: what could not be read, and everything while
//! the folder is offline, stays known.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::beneath::Offline;
use super::classifier::Kind;
use super::dedup::DedupDecision;
use super::path_map::PathMap;
use super::scan::{LinkTarget, Look, Observed, Unread};
use masv_platform::FileIdentity;

/// After so many files that a look has found, the memory that they took in it is given back.
const GIVEN_BACK: usize = 4_096;

/// A file that is there.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its state at the last look.
    pub identity: FileIdentity,
    /// Id of the user who owned it then.
    pub owner: u32,
    /// What it is to the rule.
    pub kind: Kind,
    /// Where its bytes are when that is elsewhere in the watched folder (it was reached over a link).
    pub target: Option<Box<LinkTarget>>,
    /// Whether somebody who cannot read it may have put it there.
    pub planted: bool,
    /// What is to be done with it; `None` for what is never sent.
    pub verdict: Option<DedupDecision>,
}

/// What a look changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// New files, or files with a new state.
    pub fresh: Vec<Arc<Path>>,
    /// Files that are no longer there, as they were known.
    pub gone: Vec<(Arc<Path>, Known)>,
}

/// Everything known.
#[derive(Debug, Default)]
pub struct Snapshot {
    root: Option<(u64, u64)>,
    files: PathMap<Known>,
    folders: PathMap<Duration>,
    unread: Vec<Unread>,
}

impl Known {
    /// Where its bytes are, relative to the watched folder; `path` is its own.
    #[must_use]
    pub fn place(&self, path: &Arc<Path>) -> Arc<Path> {
        Arc::clone(self.target.as_ref().map_or(path, |target| &target.0))
    }
}

impl Snapshot {
    /// Takes in a look.
    ///
    /// # Errors
    /// [`Offline::Replaced`] when another, empty file system is at the folder's place: nothing was taken in.
    pub fn apply(&mut self, now: Duration, mut look: Look) -> Result<Changes, Offline> {
        let moved = self.root.is_some_and(|root| root.0 != look.root.0);
        if moved && look.files.is_empty() && !self.files.is_empty() {
            return Err(Offline::Replaced);
        }
        self.root = Some(look.root);
        let mut changes = Changes::default();
        // Last ones first: they are taken from the end, which inserts in order and gives the memory of what was taken back.
        let mut files = std::mem::take(&mut look.files);
        files.sort_unstable_by(|one, other| other.relative.cmp(&one.relative));
        let found = |path: &Path| files.binary_search_by(|file| path.cmp(&file.relative)).is_ok();
        let unread = |path: &Path| look.unread.iter().any(|unread| path.starts_with(&unread.relative));
        for covered in &look.covered {
            let gone: Vec<Arc<Path>> =
                below(&self.files, covered).filter(|path| !found(path) && !unread(path)).map(Arc::clone).collect();
            for path in gone {
                if let Some(known) = self.files.remove(&path) {
                    changes.gone.push((path, known));
                }
            }
        }
        self.replace_folders(now, &look);
        while let Some(file) = files.pop() {
            if files.len().is_multiple_of(GIVEN_BACK) {
                files.shrink_to_fit();
            }
            match self.files.get_mut(&file.relative) {
                Some(known) if known.identity == file.identity && known.kind == file.kind => {
                    (known.owner, known.target, known.planted) = (file.owner, file.target, file.planted);
                }
                known => {
                    // A file that keeps its path keeps its verdict until it is judged again.
                    let verdict = known.and_then(|known| known.verdict);
                    let Observed { identity, owner, kind, target, planted, .. } = file;
                    let known = Known { identity, owner, kind, target, planted, verdict };
                    changes.fresh.push(Arc::clone(&file.relative));
                    self.files.insert(file.relative, known);
                }
            }
        }
        Ok(changes)
    }

    /// Whatever file system the folder is on at the next look, it is the right one.
    pub fn forget_root(&mut self) {
        self.root = None;
    }

    fn replace_folders(&mut self, now: Duration, look: &Look) {
        let found: std::collections::BTreeSet<&Path> = look.folders.iter().map(|folder| &*folder.relative).collect();
        let unread = |path: &Path| look.unread.iter().any(|unread| path.starts_with(&unread.relative));
        for covered in &look.covered {
            let gone: Vec<Arc<Path>> = below(&self.folders, covered)
                .filter(|path| !found.contains(&***path) && !unread(path))
                .map(Arc::clone)
                .collect();
            for path in &gone {
                self.folders.remove(path);
            }
            self.unread.retain(|unread| !unread.relative.starts_with(covered));
        }
        for folder in &look.folders {
            if !self.folders.contains_key(&folder.relative) {
                self.folders.insert(Arc::clone(&folder.relative), now);
            }
        }
        for unread in &look.unread {
            self.unread.retain(|known| known.relative != unread.relative);
            self.unread.push(unread.clone());
        }
    }

    /// The file, if it is there.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Known> {
        self.files.get(path)
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Records a newer state of a file, found by looking at it alone.
    pub fn update(&mut self, path: &Path, identity: FileIdentity) {
        if let Some(known) = self.files.get_mut(path) {
            known.identity = identity;
        }
    }

    /// Notes what is to be done with a file; returns what was before, if there is such a file.
    pub fn set_verdict(&mut self, path: &Path, verdict: DedupDecision) -> Option<Option<DedupDecision>> {
        self.files.get_mut(path).map(|known| known.verdict.replace(verdict))
    }

    /// The file is no longer there.
    pub fn remove(&mut self, path: &Path) -> Option<(Arc<Path>, Known)> {
        self.files.remove_entry(path)
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&Arc<Path>, &Known)> {
        self.files.iter()
    }

    /// All files at or below a path.
    pub fn below<'a>(&'a self, top: &'a Path) -> impl Iterator<Item = (&'a Arc<Path>, &'a Known)> {
        self.files.below(top)
    }

    /// The files whose paths come after this one, by path.
    pub fn after<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Arc<Path>> {
        self.files.from(path).map(|(path, _)| path).filter(move |found| ***found != *path)
    }

    /// How many files and folders there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.files.len(), self.folders.len())
    }

    /// When a folder at or below `top` was last seen to appear.
    #[must_use]
    pub fn newest_folder(&self, top: &Path) -> Option<Duration> {
        self.folders.below(top).map(|(_, seen)| *seen).max()
    }

    /// What could not be looked at.
    #[must_use]
    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }
}

fn below<'a, V>(map: &'a PathMap<V>, top: &'a Path) -> impl Iterator<Item = &'a Arc<Path>> {
    map.below(top).map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn look(root: (u64, u64), covered: &[&str], files: &[&str]) -> Look {
        let identity = FileIdentity { size: 1, mtime_ns: 0, ctime_ns: 0, device: root.0, inode: 1 };
        let file = |path: &&str| Observed {
            relative: Path::new(path).into(),
            identity,
            owner: 0,
            kind: Kind::Item,
            target: None,
            planted: false,
        };
        Look {
            root,
            covered: covered.iter().map(PathBuf::from).collect(),
            files: files.iter().map(file).collect(),
            ..Look::default()
        }
    }

    fn known(inventory: &Snapshot) -> Vec<&str> {
        inventory.files().filter_map(|(path, _)| path.to_str()).collect()
    }

    #[test]
    fn only_what_a_look_covered_can_be_gone() {
        let mut inventory = Snapshot::default();
        inventory.apply(NOW, look((1, 1), &[""], &["a/1", "a/2", "a b/1", "b/1"])).unwrap();
        let changes = inventory.apply(NOW, look((1, 1), &["a"], &["a/2", "a/3"])).unwrap();
        assert_eq!(changes.gone.len(), 1);
        assert_eq!(known(&inventory), ["a/2", "a/3", "a b/1", "b/1"]);
    }

    #[test]
    fn what_could_not_be_read_is_not_gone() {
        let mut inventory = Snapshot::default();
        inventory.apply(NOW, look((1, 1), &[""], &["a/1", "b/1"])).unwrap();
        let mut second = look((1, 1), &[""], &["b/1"]);
        second.unread.push(Unread { relative: "a".into(), reason: "EIO".to_owned() });
        assert!(inventory.apply(NOW, second).unwrap().gone.is_empty());
        assert_eq!(known(&inventory), ["a/1", "b/1"]);
    }

    /// Row "poller dies when the share goes away": under the mount point lies an empty folder of another device.
    #[test]
    fn an_unmounted_drive_is_offline_and_a_mounted_one_is_not() {
        let mut inventory = Snapshot::default();
        inventory.apply(NOW, look((1, 1), &[""], &["a"])).unwrap();
        assert_eq!(inventory.apply(NOW, look((2, 1), &[""], &[])).unwrap_err(), Offline::Replaced);
        assert_eq!(known(&inventory), ["a"]);
        inventory.apply(NOW, look((3, 1), &[""], &["a"])).unwrap();
        inventory.apply(NOW, look((3, 1), &[""], &[])).unwrap();
        assert!(known(&inventory).is_empty());
    }
}
