//! A path in two halves: a folder given by a trusted user, and the path beneath it, on which no link is followed.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Entry, Folder, FolderError};
use crate::mounts::make_folders;

/// The place of a file beneath a folder. Stored across restarts, and walked again each time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathBeneath {
    root: PathBuf,
    relative: PathBuf,
}

impl PathBeneath {
    /// `relative` beneath the folder `root`. Links in `root` are followed.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, relative: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), relative: relative.into() }
    }

    /// An absolute path of which no name may be a link.
    #[must_use]
    pub fn without_links(path: &Path) -> Self {
        Self::within(Path::new("/"), path).unwrap_or_else(|| Self::new("/", path))
    }

    /// The absolute path `path` if it lies beneath `root`.
    #[must_use]
    pub fn within(root: &Path, path: &Path) -> Option<Self> {
        path.strip_prefix(root).ok().map(|relative| Self::new(root, relative))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path beneath the folder.
    #[must_use]
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// The whole path, for display and comparison; never to be opened.
    #[must_use]
    pub fn whole(&self) -> PathBuf {
        // Joining an empty path would add a slash.
        if self.relative.as_os_str().is_empty() { self.root.clone() } else { self.root.join(&self.relative) }
    }

    /// What is at `relative` beneath this place.
    #[must_use]
    pub fn join(&self, relative: impl AsRef<Path>) -> Self {
        Self { root: self.root.clone(), relative: self.relative.join(relative) }
    }

    /// Opens the folder that is there. Blocks.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn folder(&self) -> Result<Folder, FolderError> {
        let root = Folder::open(&self.root)?;
        if self.relative.as_os_str().is_empty() { Ok(root) } else { root.below(&self.relative) }
    }

    /// Makes the folder, and those that it lies in, where they are missing; none in the place of a disk that is not mounted. Blocks.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn make_folders(&self) -> Result<(), FolderError> {
        if self.relative.as_os_str().is_empty() {
            return make_folders(&self.root).map_err(|source| FolderError::Io { path: self.root.clone(), source });
        }
        Folder::open(&self.root)?.make_below(&self.relative).map(drop)
    }

    /// Whether the file that is there, which was found to be `entry`, may be [planted](Folder::may_be_planted). Blocks.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn may_be_planted(&self, entry: &Entry) -> Result<bool, FolderError> {
        if entry.links < 2 {
            return Ok(false);
        }
        let (folder, name) = Folder::open(&self.root)?.parent_of(&self.relative)?;
        let now = folder.look(Path::new(&name))?;
        // Exchanged since: it is not known what was found.
        Ok(now.identity.inode != entry.identity.inode || folder.may_be_planted(entry)?)
    }

    /// Opens the regular file that is there. Blocks.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(&self) -> Result<(File, Entry), FolderError> {
        Folder::open(&self.root)?.open_file(&self.relative)
    }

    /// What is there. Blocks.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn look(&self) -> Result<Entry, FolderError> {
        Folder::open(&self.root)?.look(&self.relative)
    }
}
