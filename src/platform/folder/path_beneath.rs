//! A path in two halves: a folder that somebody trusted has named, and the way beneath it on which no link is followed.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Entry, Folder, FolderError};

/// Where a file is: beneath a folder. Kept over restarts, and walked anew each time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathBeneath {
    root: PathBuf,
    relative: PathBuf,
}

impl PathBeneath {
    /// `relative` beneath the folder `root`. Links in `root` are those of whoever named it.
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

    /// The way beneath the folder.
    #[must_use]
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// The whole path, for people and to compare; never to be opened.
    #[must_use]
    pub fn whole(&self) -> PathBuf {
        // Joining an empty path would add a slash.
        if self.relative.as_os_str().is_empty() { self.root.clone() } else { self.root.join(&self.relative) }
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
