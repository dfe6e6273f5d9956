//! A watched folder held open, what is beneath it, and why it cannot be scanned as a whole.
//!
//! **In**: the watched folder, paths relative to it. **Out**: the identity of each file, or why the folder is [`Offline`].
//! Blocks. That no link is followed beneath the folder is [`Folder`]'s guarantee.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use masv_platform::{FileIdentity, Folder, FolderError, PathBeneath};

/// Why a watched folder cannot be scanned at all. It is retried; nothing is forgotten meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Offline {
    /// There is nothing at that path.
    #[error("the folder does not exist")]
    Missing,
    /// Something else is at that path.
    #[error("it is not a folder")]
    NotAFolder,
    /// The rule follows no link, and there is one on the way to its folder.
    #[error("{} is a symbolic link, and the rule is `confined`: it follows none", .0.display())]
    Link(PathBuf),
    /// The agent may not read it.
    #[error("the agent has no permission to read the folder (run it as a user who has, or change the folder's mode)")]
    Forbidden,
    /// Another file system is there, with none of the files that were known.
    #[error("the folder was replaced by an empty file system (is the drive or share unmounted?)")]
    Replaced,
    /// The folder that is there is not the rule's own, and nothing is made of it.
    #[error("{0}")]
    Other(Box<OtherFolder>),
    /// The file system does not answer as it should.
    #[error("the file system reports an error: {0}")]
    Failing(String),
}

/// A folder that is not the one that the rule knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFolder {
    /// Where the rule's own lay.
    pub was: String,
    /// Where this one lies.
    pub is: String,
    /// How many files that the rule still has to do with are not in it.
    pub missing: u64,
    /// The rule.
    pub rule: String,
}

impl fmt::Display for OtherFolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { was, is, missing, rule } = self;
        write!(
            formatter,
            "the folder is not the one that was watched before, which was on {was}; this one is on {is}"
        )?;
        match missing {
            0 => write!(formatter, ", and is empty")?,
            1 => write!(formatter, ", and lacks a file that the rule still needs")?,
            more => write!(formatter, ", and lacks {more} files that the rule still needs")?,
        }
        write!(
            formatter,
            ". Is a drive or share not mounted? Until it is, nothing is sent and nothing counts as removed. If the change is on \
             purpose: masv rule accept-folder {rule}"
        )
    }
}

impl From<FolderError> for Offline {
    fn from(error: FolderError) -> Self {
        match error.io_kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::NotADirectory => Self::NotAFolder,
            ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Failing(std::io::Error::from(error).to_string()),
        }
    }
}

/// The result of another check of a file, by opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It can be read and is like this.
    Readable(FileIdentity),
    /// It is there but cannot be opened.
    Unreadable(String),
    /// It is no longer there, or no longer a file.
    Gone,
}

/// Opens each file (path relative to the watched folder) once and asks what it is like. Opening shows whether the
/// agent may read it, and makes network file systems ask the server instead of their memory.
///
/// # Errors
/// [`Offline`] when the watched folder itself cannot be read.
pub fn probe<'a>(root: &PathBeneath, paths: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Probe>, Offline> {
    let root = open_root(root)?;
    Ok(paths.into_iter().map(|path| probe_one(&root, path)).collect())
}

fn probe_one(root: &Folder, path: &Path) -> Probe {
    match root.open_file(path) {
        Ok((_, entry)) => Probe::Readable(entry.identity),
        Err(error) if error.is_gone() => Probe::Gone,
        Err(error) if error.is_forbidden() => Probe::Unreadable("the agent has no permission to read it".to_owned()),
        Err(error) => Probe::Unreadable(std::io::Error::from(error).to_string()),
    }
}

/// Opens the watched folder itself. Its own path may contain links, as it comes from the rules file; those of a rule that is
/// `confined` may not.
pub(super) fn open_root(root: &PathBeneath) -> Result<Folder, Offline> {
    root.folder().map_err(|error| match error {
        FolderError::Symlink(link) if !root.relative().as_os_str().is_empty() => Offline::Link(link),
        error => error.into(),
    })
}
