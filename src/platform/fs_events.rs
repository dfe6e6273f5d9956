//! What the system tells of watched folders, and how many may be watched.
//!
//! **In**: folders. **Out**: [`FsEvent`]s, in the order in which things happened, on a thread of the system's choice. They may be late,
//! and some may be lost, which is told.
//!
//! **Guarantees.** However many folders are watched by however many listeners, they take few threads and descriptors where the system
//! limits these. What a listener is told has no relation to what others watch, the same folder or one within it included.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::system;

/// What happened at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsChange {
    /// A file was made.
    Created,
    /// A file was opened, for reading as likely as for writing.
    Opened,
    /// The content of a file was changed.
    Modified,
    /// A file that was open for writing was closed.
    Closed,
    /// It was moved away from this path; what is watched below it is watched no more.
    Left,
    /// It was moved to this path.
    Arrived,
    /// It was removed; what is watched below it is watched no more.
    Removed,
    /// Something else changed: a folder was made, or attributes.
    Other,
}

/// What a listener is told. Paths are relative to its folder, whose own is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FsEvent {
    /// Something happened at a path.
    At(FsChange, PathBuf),
    /// What left one path and arrived at the other, as was told before, is the same.
    Renamed {
        /// The path of before.
        from: PathBuf,
        /// The path of now.
        to: PathBuf,
    },
    /// The system has lost events.
    Lost,
    /// Nothing will be told any more.
    Ended,
}

/// Takes what a listener is told. It must be quick: others wait for it.
pub type Tell = Arc<dyn Fn(FsEvent) + Send + Sync>;

/// Where events of folders come from; one for all folders of a program. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FolderEvents(Arc<system::Events>);

impl FolderEvents {
    /// Begins to listen to what happens below a folder. Nothing is told before [`FolderListener::watch`].
    ///
    /// # Errors
    ///
    /// Fails when the system allows no more watchers ([`is_watch_limit`]).
    pub fn listen(&self, root: &Path, tell: Tell) -> io::Result<FolderListener> {
        self.0.listen(root, tell).map(FolderListener)
    }
}

/// Is told of a folder, until it is dropped.
#[derive(Debug)]
pub struct FolderListener(system::Listener);

impl FolderListener {
    /// Watches a folder, relative to the listener's own, whose path is empty. Where [`WATCHES_COVER_ALL_BELOW`], only that one is to be
    /// watched. Once more does no harm.
    ///
    /// # Errors
    ///
    /// Fails when the folder is not there or may not be read, or when no more folders may be watched ([`is_watch_limit`]).
    pub fn watch(&self, folder: &Path) -> io::Result<()> {
        self.0.watch(folder)
    }
}

/// Whether the events tell that a file was closed after it was written. Where they do not, what was opened never seems closed.
pub const EVENTS_TELL_OF_CLOSING: bool = system::EVENTS_TELL_OF_CLOSING;

/// Whether watching a folder covers everything below it. Where it does not, each folder is watched by itself.
pub const WATCHES_COVER_ALL_BELOW: bool = system::WATCHES_COVER_ALL_BELOW;

/// How much a user may watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// Folders, over all programs of the user.
    pub folders: u64,
    /// Programs, or parts of programs, that watch.
    pub watchers: u64,
}

/// How much this user may watch, where the system has such a limit and tells it.
#[must_use]
pub fn watch_limits() -> Option<WatchLimits> {
    system::watch_limits()
}

/// Whether an error of watching a folder says that a limit is reached: no more watches, or no more watchers.
#[must_use]
pub fn is_watch_limit(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::MFILE))
}

/// What a person can do so that this many folders may be watched, in words with a command where there is one.
#[must_use]
pub fn more_folders_advice(folders: u64) -> String {
    system::more_folders_advice(folders)
}

/// What a person can do so that this many programs may watch.
#[must_use]
pub fn more_watchers_advice(watchers: u64) -> String {
    system::more_watchers_advice(watchers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system says "no space left" for it, and a disk that is full was what the agent told of.
    #[test]
    fn the_limit_is_told_from_other_trouble() {
        use rustix::io::Errno;
        assert!(is_watch_limit(&Errno::NOSPC.into()) && is_watch_limit(&Errno::MFILE.into()));
        assert!(!is_watch_limit(&Errno::ACCESS.into()) && !is_watch_limit(&io::Error::other("lost")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limits_are_told_with_the_command_that_raises_them() {
        assert!(watch_limits().is_some_and(|limits| limits.folders > 0 && limits.watchers > 0));
        assert!(more_folders_advice(524_288).contains("`sysctl fs.inotify.max_user_watches=524288`"));
        assert!(more_watchers_advice(512).contains("`sysctl fs.inotify.max_user_instances=512`"));
    }
}
