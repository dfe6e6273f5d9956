//! Files that an after-action has taken away and that are looked after a while longer.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use masv_platform::FileIdentity;

/// A file that was taken out of the watched folder. Whoever had it open may still write into it: until that is unlikely it is
/// kept, and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenAway {
    /// The watched folder, as it was named then.
    pub root: PathBuf,
    /// Where it was dropped, relative to that.
    pub path: PathBuf,
    /// Where it is.
    pub held: Held,
    /// What it was like when it was taken away.
    pub identity: FileIdentity,
    /// When it is looked at once more.
    pub due_at: Timestamp,
}

/// Where a file that was taken away is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Under this hidden path, relative to the watched folder: it is removed if nobody has written to it.
    Hidden(PathBuf),
    /// At this absolute path, to which it was moved: it stays if nobody has written to it.
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
