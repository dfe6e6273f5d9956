//! What this system's events of files are like, and how many folders may be watched.

use std::io;

use crate::system;

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
