//! FSEvents, which has no limit of folders; how many streams there may be is not told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventHandler, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::io::Errno;

use crate::WatchLimits;
use crate::fs_events::{FsChange, FsEvent, Tell};

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

/// Each listener has a stream of its own.
#[derive(Debug, Default)]
pub(crate) struct Events;

impl Events {
    #[expect(clippy::unused_self, reason = "on other systems, listeners share something")]
    pub(crate) fn listen(&self, root: &Path, tell: Tell) -> io::Result<Listener> {
        let real = Arc::new(Mutex::default());
        let hearing = Hearing { root: root.to_owned(), real: Arc::clone(&real), tell };
        let watcher =
            RecommendedWatcher::new(hearing, Config::default().with_follow_symlinks(false)).map_err(failure)?;
        Ok(Listener { root: root.to_owned(), real, watcher: Mutex::new(watcher) })
    }
}

#[derive(Debug)]
pub(crate) struct Listener {
    root: PathBuf,
    real: Arc<Mutex<Option<PathBuf>>>,
    watcher: Mutex<RecommendedWatcher>,
}

impl Listener {
    /// The listener's own folder is watched with all that is below it.
    pub(crate) fn watch(&self, folder: &Path) -> io::Result<()> {
        if !folder.as_os_str().is_empty() {
            return Ok(());
        }
        *locked(&self.real) = std::fs::canonicalize(&self.root).ok();
        locked(&self.watcher).watch(&self.root, RecursiveMode::Recursive).map_err(failure)
    }
}

/// What hears the system's events of one folder. It is dropped when it will hear no more.
struct Hearing {
    root: PathBuf,
    /// The folder without links in its path: changes are reported under that name.
    real: Arc<Mutex<Option<PathBuf>>>,
    tell: Tell,
}

impl Hearing {
    fn relative(&self, path: &Path) -> Option<PathBuf> {
        let real = locked(&self.real);
        let within =
            path.strip_prefix(&self.root).or_else(|_| path.strip_prefix(real.as_deref().unwrap_or(&self.root)));
        within.ok().map(Path::to_owned)
    }
}

impl EventHandler for Hearing {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        let Ok(event) = event else { return (self.tell)(FsEvent::Lost) };
        if event.need_rescan() {
            return (self.tell)(FsEvent::Lost);
        }
        let Some(change) = change(event.kind) else { return };
        for path in event.paths.iter().filter_map(|path| self.relative(path)) {
            (self.tell)(FsEvent::At(change, path));
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        (self.tell)(FsEvent::Ended);
    }
}

fn change(kind: EventKind) -> Option<FsChange> {
    Some(match kind {
        EventKind::Access(_) => return None,
        EventKind::Create(CreateKind::File) => FsChange::Created,
        EventKind::Modify(ModifyKind::Data(_)) => FsChange::Modified,
        EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Both)) => FsChange::Left,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => FsChange::Arrived,
        EventKind::Remove(_) => FsChange::Removed,
        _ => FsChange::Other,
    })
}

fn failure(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::MaxFilesWatch => Errno::NOSPC.into(),
        notify::ErrorKind::PathNotFound => Errno::NOENT.into(),
        _ => io::Error::other(error),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
