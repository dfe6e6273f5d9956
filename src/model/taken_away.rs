//! Files that an after-action has moved or hidden, and that are watched for a while longer.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use masv_platform::{FileIdentity, PathBeneath};

/// A file that was removed from the watched folder. A program that had it open may still write to it: until that is unlikely it is
/// kept, and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenAway {
    /// The watched folder, as it was to be opened then: of a `confined` rule without following a link.
    pub root: PathBeneath,
    /// Where it was dropped, relative to that.
    pub path: PathBuf,
    /// Where it is.
    pub held: Held,
    /// Its identity when it was taken away.
    pub identity: FileIdentity,
    /// When it is checked again.
    pub due_at: Timestamp,
}

/// Where a file that was taken away is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// At this hidden path, relative to the watched folder: it is removed if nothing has written to it.
    Hidden(PathBuf),
    /// At this absolute path, to which it was moved: it stays if nothing has written to it.
    Moved(PathBuf),
}

impl Held {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Hidden(path) | Self::Moved(path) => path,
        }
    }
}
