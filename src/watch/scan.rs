//! Scans a watched folder: which files and folders exist, and what could not be read.
//!
//! **In**: the folder, a [`Classifier`], which part of it to scan. **Out**: a [`Look`], or why the whole folder is
//! [`Offline`]. Blocks; runs on blocking threads.
//!
//! **Guarantees.** No symbolic link is ever followed while walking: each folder is opened below the one before it
//! without following, so that no one can lead the walk out of the watched folder by replacing a folder with a
//! link. A folder that cannot be read is reported in [`Look::unread`] and hides nothing else; a file that disappears on
//! the way is simply not observed. A watched folder that is missing or unreadable is [`Offline`], which is never the
//! same as "all is deleted".
//!
//! Must never know: what was sent, or the time.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::beneath::{Offline, open_root};
use super::classifier::{Classifier, Kind};
use super::status::Noted;
use masv_platform::{Entry, EntryKind, FileIdentity, Folder, FolderError, FolderMark};
use masv_protocol::trouble_on_windows;
use masv_rules::{HardLinks, Symlinks};

/// Deepest nesting that is walked; each level holds one file descriptor open meanwhile.
const DEEPEST: usize = 200;

/// Where the bytes of a file are, relative to the watched folder, that was reached over a symbolic link. Few are: it lies in a box, so
/// that the others need no room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTarget(pub Arc<Path>);

impl LinkTarget {
    fn boxed(path: &Path) -> Box<Self> {
        Box::new(Self(Arc::from(path)))
    }
}

/// A file as a scan found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Relative to the watched folder.
    pub relative: Arc<Path>,
    /// What `stat` said.
    pub identity: FileIdentity,
    /// Id of the user who owns it.
    pub owner: u32,
    /// What it is to the rule.
    pub kind: Kind,
    /// Where its bytes are, relative to the watched folder, when it was reached over a symbolic link.
    pub target: Option<Box<LinkTarget>>,
    /// Whether somebody who cannot read the file may have given it this name, and the rule does not send such files.
    pub planted: bool,
}

/// A folder as a scan found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedFolder {
    /// Relative to the watched folder; empty for itself.
    pub relative: Arc<Path>,
    /// Device and inode.
    pub id: (u64, u64),
}

/// A folder or file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Relative to the watched folder.
    pub relative: PathBuf,
    /// Why.
    pub reason: String,
}

/// The result of a scan.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Device and inode of the watched folder.
    pub root: (u64, u64),
    /// What tells it from another one in its place.
    pub mark: FolderMark,
    /// The sub-trees (or single paths) that were looked at: what is known below one of them, was not observed and
    /// is not below something [`Self::unread`], is gone.
    pub covered: Vec<PathBuf>,
    /// The files that are something to the rule.
    pub files: Vec<Observed>,
    /// The folders that were looked into.
    pub folders: Vec<ObservedFolder>,
    /// What could not be looked at; nothing is known about what is below.
    pub unread: Vec<Unread>,
    /// What is never sent because it is no regular file.
    pub skipped: Noted,
    /// Files to be sent whose names cannot be saved on Windows.
    pub awkward: Noted,
}

/// Told of each folder before it is listed, so that it is watched first and scanned then.
pub type Enter<'a> = &'a mut dyn FnMut(&Path, (u64, u64));

/// Looks at everything.
///
/// # Errors
/// [`Offline`] when the watched folder itself cannot be read.
pub fn look_at_all(sieve: &Classifier, enter: Enter<'_>) -> Result<Look, Offline> {
    let mut walk = Walk::begin(sieve, enter)?;
    walk.tree(Path::new(""))?;
    walk.follow_links();
    Ok(walk.look)
}

/// Looks at single paths, relative to the watched folder: files are observed, folders are walked.
///
/// # Errors
/// [`Offline`] when the watched folder itself cannot be read.
pub fn look_at(sieve: &Classifier, paths: &[PathBuf], enter: Enter<'_>) -> Result<Look, Offline> {
    let mut walk = Walk::begin(sieve, enter)?;
    for path in paths {
        if path.as_os_str().is_empty() {
            walk.tree(path)?;
        } else {
            walk.path(path);
        }
    }
    Ok(walk.look)
}

struct Walk<'a> {
    sieve: &'a Classifier,
    enter: Enter<'a>,
    root: Folder,
    look: Look,
    links: Vec<PathBuf>,
    visited: HashSet<(u64, u64)>,
}

/// A folder that waits to be walked; its parent stays open as long as one of its folders waits.
struct Waiting {
    parent: Rc<Folder>,
    relative: PathBuf,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn begin(sieve: &'a Classifier, enter: Enter<'a>) -> Result<Self, Offline> {
        let root = open_root(&sieve.rule().place())?;
        let mark = FolderMark::of(&root)?;
        let look = Look { root: mark.id, mark, ..Look::default() };
        Ok(Self { sieve, enter, root, look, links: Vec::new(), visited: HashSet::new() })
    }

    /// Walks everything below `relative`, which is a folder.
    fn tree(&mut self, relative: &Path) -> Result<(), Offline> {
        self.look.covered.push(relative.to_owned());
        match self.root.below(relative) {
            Ok(folder) => self.walk_from(folder, relative),
            Err(error) => self.failed(relative, error),
        }
    }

    fn walk_from(&mut self, folder: Folder, relative: &Path) -> Result<(), Offline> {
        let mut stack = Vec::new();
        self.folder(folder, relative, 0, &mut stack)?;
        while let Some(next) = stack.pop() {
            let name = next.relative.file_name().unwrap_or_default();
            match next.parent.below(Path::new(name)) {
                Ok(folder) => self.folder(folder, &next.relative, next.depth, &mut stack)?,
                Err(error) => self.cannot_read(&next.relative, error),
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        folder: Folder,
        relative: &Path,
        depth: usize,
        stack: &mut Vec<Waiting>,
    ) -> Result<(), Offline> {
        let id = match id_of(&folder) {
            Ok(id) => id,
            Err(error) => return self.failed(relative, error),
        };
        (self.enter)(relative, id);
        let listing = match folder.list() {
            Ok(listing) => listing,
            Err(error) => return self.failed(relative, error),
        };
        self.visited.insert(id);
        self.look.folders.push(ObservedFolder { relative: relative.into(), id });
        let folder = Rc::new(folder);
        for entry in listing {
            match entry {
                Ok((name, kind)) => self.entry(&folder, relative, &name, kind, depth, stack),
                Err(error) => return self.failed(relative, error),
            }
        }
        Ok(())
    }

    /// One name in a folder.
    fn entry(
        &mut self,
        folder: &Rc<Folder>,
        above: &Path,
        name: &OsStr,
        listed_as: EntryKind,
        depth: usize,
        stack: &mut Vec<Waiting>,
    ) {
        let relative = above.join(name);
        let (mut kind, mut seen) = (listed_as, None);
        if matches!(kind, EntryKind::Unknown | EntryKind::File) {
            match folder.look(Path::new(name)) {
                Ok(found) => (kind, seen) = (found.kind, Some(found)),
                Err(FolderError::Missing(_)) => return,
                Err(error) => return self.cannot_read(&relative, error),
            }
        }
        match (kind, seen) {
            (EntryKind::Folder, _) if !self.sieve.enters(&relative) => {}
            (EntryKind::Folder, _) if depth >= DEEPEST => {
                let reason = format!("is nested more than {DEEPEST} folders deep");
                self.look.unread.push(Unread { relative, reason });
            }
            (EntryKind::Folder, _) => stack.push(Waiting { parent: Rc::clone(folder), relative, depth: depth + 1 }),
            (EntryKind::Symlink, _) => self.link(relative),
            (EntryKind::File, Some(found)) => self.file(&relative, folder, &found, None),
            (EntryKind::File | EntryKind::Unknown, _) => {}
            (EntryKind::Pipe | EntryKind::Socket | EntryKind::Device, _) => self.skip(relative, kind),
        }
    }

    /// Notes what is no regular file, where a file of that name would be looked at.
    fn skip(&mut self, relative: PathBuf, kind: EntryKind) {
        let rule = self.sieve.rule();
        if self.sieve.enters(&relative) && !rule.exclude().matches(&relative) {
            self.look.skipped.note(&relative, kind.words());
        }
    }

    /// A file in `folder`.
    fn file(&mut self, relative: &Path, folder: &Folder, found: &Entry, target: Option<&Path>) {
        let (identity, owner) = (found.identity, found.owner);
        if self.sieve.is_own_file(&identity) {
            return;
        }
        if let Some(kind) = self.sieve.sort(relative, identity.size) {
            if kind == Kind::Item
                && let Some(why) = names_in(relative).find_map(trouble_on_windows)
            {
                self.look.awkward.note(relative, why);
            }
            // A folder that cannot be asked does not speak for the file.
            let planted =
                self.sieve.rule().hard_links == HardLinks::Own && folder.may_be_planted(found).unwrap_or(true);
            let (relative, target) = (relative.into(), target.map(LinkTarget::boxed));
            self.look.files.push(Observed { relative, identity, owner, kind, target, planted });
        }
    }

    fn link(&mut self, relative: PathBuf) {
        match self.sieve.rule().symlinks {
            Symlinks::Within => self.links.push(relative),
            Symlinks::Skip => self.skip(relative, EntryKind::Symlink),
        }
    }

    /// A single path that a hint named.
    fn path(&mut self, relative: &Path) {
        let folders = relative.ancestors().skip(1);
        if !folders.into_iter().all(|folder| self.sieve.enters(folder)) {
            return;
        }
        let seen = self.root.parent_of(relative).and_then(|(folder, name)| {
            let found = folder.look(Path::new(&name))?;
            Ok((folder, found))
        });
        match seen {
            Ok((folder, found)) => match found.kind {
                // A failing folder is told as unread; only the watched folder itself can be offline.
                EntryKind::Folder if self.sieve.enters(relative) => drop(self.tree(relative)),
                EntryKind::File => {
                    self.look.covered.push(relative.to_owned());
                    self.file(relative, &folder, &found, None);
                }
                _ => self.look.covered.push(relative.to_owned()),
            },
            Err(error) if error.is_gone() => self.look.covered.push(relative.to_owned()),
            Err(error) => self.cannot_read(relative, error),
        }
    }

    /// Looks at what the links point to, once all real folders are known, so that a link never takes the place of
    /// the folder it points to.
    fn follow_links(&mut self) {
        let Ok(root) = std::fs::canonicalize(&self.sieve.rule().watch) else { return };
        while let Some(link) = self.links.pop() {
            let target = std::fs::canonicalize(root.join(&link)).ok();
            let target = target.and_then(|target| target.strip_prefix(&root).map(Path::to_owned).ok());
            let Some(target) = target.filter(|target| !target.as_os_str().is_empty()) else {
                self.skip(link, EntryKind::Symlink);
                continue;
            };
            if self.sieve.is_excluded(&target) {
                continue;
            }
            let Ok((above, name)) = self.root.parent_of(&target) else { continue };
            let Ok(found) = above.look(Path::new(&name)) else { continue };
            match found.kind {
                EntryKind::File => self.file(&link, &above, &found, Some(&target)),
                EntryKind::Folder if !self.visited.contains(&(found.identity.device, found.identity.inode)) => {
                    if let Ok(folder) = self.root.below(&target) {
                        self.linked_folder(folder, &link, &target);
                    }
                }
                _ => {}
            }
        }
    }

    /// Walks a folder reached over a link; its files are known below the link's name and read at the target's.
    fn linked_folder(&mut self, folder: Folder, link: &Path, target: &Path) {
        if !self.sieve.enters(link) {
            return;
        }
        let before = self.look.files.len();
        if self.walk_from(folder, link).is_err() {
            return;
        }
        for observed in &mut self.look.files[before..] {
            if let Ok(rest) = observed.relative.strip_prefix(link) {
                observed.target = Some(LinkTarget::boxed(&target.join(rest)));
            }
        }
    }

    fn failed(&mut self, relative: &Path, error: FolderError) -> Result<(), Offline> {
        if relative.as_os_str().is_empty() {
            return Err(error.into());
        }
        self.cannot_read(relative, error);
        Ok(())
    }

    fn cannot_read(&mut self, relative: &Path, error: FolderError) {
        // What is no longer there is not unread: it is gone, and being covered says so.
        if error.is_gone() {
            return;
        }
        let reason = match error.io_kind() {
            ErrorKind::PermissionDenied => "the agent has no permission to read it".to_owned(),
            ErrorKind::InvalidFilename => "its path is longer than the system allows".to_owned(),
            _ => std::io::Error::from(error).to_string(),
        };
        self.look.unread.push(Unread { relative: relative.to_owned(), reason });
    }
}

/// The names in a path that are text; others are written out in a package.
fn names_in(relative: &Path) -> impl Iterator<Item = &str> {
    relative.iter().filter_map(OsStr::to_str)
}

/// Device and inode of a folder.
fn id_of(folder: &Folder) -> Result<(u64, u64), FolderError> {
    let identity = folder.entry()?.identity;
    Ok((identity.device, identity.inode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::watch::beneath::{Probe, probe};
    use masv_platform::{OwnPlaces, PathBeneath};
    use masv_rules::{SystemEnvironment, parse};

    fn sieve(root: &Path, keys: &str) -> Classifier {
        let text = format!(
            "version: 1\nrules:\n  - {{ name: x, watch: {}, upload: {{ kind: link }}, {keys} }}\n",
            root.display()
        );
        let rules = parse(&text, Path::new("/rules.yaml"), &SystemEnvironment).unwrap();
        Classifier::new(Arc::clone(&rules.rules[0]), &[], &OwnPlaces::new(vec![root.join("data")]))
    }

    fn names(look: &Look) -> Vec<String> {
        let mut names: Vec<String> =
            look.files.iter().map(|file| file.relative.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/one.mov", "a/b/two.mov", "three.mov", ".hidden/x", "data/agent.db"] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        root
    }

    #[test]
    fn a_look_sees_what_metadata_says_and_enters_only_what_it_may() {
        let root = tree();
        let mut entered = Vec::new();
        let sieve = sieve(root.path(), "package: file");
        let look = look_at_all(&sieve, &mut |folder, _| entered.push(folder.to_owned())).unwrap();
        assert_eq!(names(&look), ["a/b/two.mov", "a/one.mov", "three.mov"]);
        for file in &look.files {
            let metadata = std::fs::metadata(root.path().join(&file.relative)).unwrap();
            assert_eq!(file.identity, FileIdentity::of(&metadata));
        }
        entered.sort();
        assert_eq!(entered, [Path::new(""), Path::new("a"), Path::new("a/b")]);
    }

    #[test]
    fn a_look_at_paths_covers_those_and_no_more() {
        let root = tree();
        let sieve = sieve(root.path(), "package: file");
        let paths: Vec<PathBuf> = ["a", "three.mov", "gone", ".hidden/x", "data/agent.db"].map(PathBuf::from).to_vec();
        let look = look_at(&sieve, &paths, &mut |_, _| {}).unwrap();
        assert_eq!(names(&look), ["a/b/two.mov", "a/one.mov", "three.mov"]);
        assert_eq!(look.covered, [Path::new("a"), Path::new("three.mov"), Path::new("gone")]);
    }

    #[test]
    fn a_folder_that_can_not_be_read_hides_nothing_else() {
        if rustix::process::geteuid().is_root() {
            return; // Everything can be read by root.
        }
        let root = tree();
        std::fs::set_permissions(root.path().join("a/b"), std::fs::Permissions::from_mode(0o0)).unwrap();
        let look = look_at_all(&sieve(root.path(), "package: file"), &mut |_, _| {}).unwrap();
        std::fs::set_permissions(root.path().join("a/b"), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(names(&look), ["a/one.mov", "three.mov"]);
        assert_eq!(look.unread.len(), 1);
    }

    #[test]
    fn a_folder_exchanged_for_a_link_is_not_followed() {
        let (root, outside) = (tree(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret.mov"), "x").unwrap();
        std::fs::remove_dir_all(root.path().join("a")).unwrap();
        symlink(outside.path(), root.path().join("a")).unwrap();
        for keys in ["package: file", "package: file, symlinks: within"] {
            let sieve = sieve(root.path(), keys);
            assert_eq!(names(&look_at_all(&sieve, &mut |_, _| {}).unwrap()), ["three.mov"]);
            let look = look_at(&sieve, &[PathBuf::from("a/secret.mov"), PathBuf::from("a")], &mut |_, _| {}).unwrap();
            assert_eq!(names(&look), [""; 0]);
            let probes = probe(&PathBeneath::new(root.path(), ""), [Path::new("a/secret.mov")]).unwrap();
            assert_eq!(probes, [Probe::Gone]);
        }
    }

    #[test]
    fn a_missing_root_and_one_that_is_a_file_are_offline() {
        let root = tree();
        let look = |path: &Path| look_at_all(&sieve(path, "package: file"), &mut |_, _| {}).unwrap_err();
        assert_eq!(look(&root.path().join("missing")), Offline::Missing);
        assert_eq!(look(&root.path().join("three.mov")), Offline::NotAFolder);
    }

    /// Row "too many open files": a look holds as many open as the tree is deep, and none afterwards.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_look_leaves_nothing_open_and_opens_no_more_than_the_depth() {
        let root = tree();
        for folder in 0..300 {
            std::fs::create_dir(root.path().join(format!("a/{folder}"))).unwrap();
        }
        let canonical = std::fs::canonicalize(root.path()).unwrap();
        let open_here = || {
            let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            links.filter(|link| std::fs::read_link(link.path()).is_ok_and(|path| path.starts_with(&canonical))).count()
        };
        let mut most = 0;
        look_at_all(&sieve(root.path(), "package: file"), &mut |_, _| most = most.max(open_here())).unwrap();
        assert!(most < 12, "{most} open at once");
        assert_eq!(open_here(), 0);
    }

    /// R7: a path of thousands of bytes stops nothing.
    #[test]
    fn the_deepest_path_is_told_and_stops_nothing() {
        let root = tree();
        let mut at = Folder::open(root.path()).unwrap();
        let name = "n".repeat(200);
        for _ in 0..DEEPEST + 2 {
            at = at.make_below(Path::new(&name)).unwrap().0;
        }
        let look = look_at_all(&sieve(root.path(), "package: file"), &mut |_, _| {}).unwrap();
        assert_eq!(names(&look).len(), 3);
        assert_eq!(look.unread.len(), 1);
    }

    /// Case: a named pipe or a device in a watched folder is not sent and holds nothing up.
    #[test]
    fn a_pipe_or_a_device_is_no_file_and_holds_nothing_up() {
        let root = tree();
        let pipe = root.path().join("pipe.mov");
        std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        let look = look_at_all(&sieve(root.path(), "package: file"), &mut |_, _| {}).unwrap();
        assert_eq!(names(&look).len(), 3);
        assert_eq!(probe(&PathBeneath::new(root.path(), ""), [Path::new("pipe.mov")]).unwrap(), [Probe::Gone]);
    }
}
