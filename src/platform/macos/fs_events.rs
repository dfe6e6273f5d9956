//! FSEvents, which has no limit of folders; how many streams there may be is not told.

use crate::WatchLimits;

pub(crate) const EVENTS_TELL_OF_CLOSING: bool = false;
pub(crate) const WATCHES_COVER_ALL_BELOW: bool = true;

pub(crate) fn watch_limits() -> Option<WatchLimits> {
    None
}

pub(crate) fn more_folders_advice(_folders: u64) -> String {
    "close programs that watch many folders, or put several folders under one rule".to_owned()
}

pub(crate) fn more_watchers_advice(watchers: u64) -> String {
    more_folders_advice(watchers)
}
