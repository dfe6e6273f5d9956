//! inotify (inotify(7)).

use crate::WatchLimits;

pub(crate) const EVENTS_TELL_OF_CLOSING: bool = true;
pub(crate) const WATCHES_COVER_ALL_BELOW: bool = false;

pub(crate) fn watch_limits() -> Option<WatchLimits> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(WatchLimits { folders: read("max_user_watches")?, watchers: read("max_user_instances")? })
}

pub(crate) fn more_folders_advice(folders: u64) -> String {
    format!("run `sysctl fs.inotify.max_user_watches={folders}`")
}

pub(crate) fn more_watchers_advice(watchers: u64) -> String {
    format!("run `sysctl fs.inotify.max_user_instances={watchers}`")
}
