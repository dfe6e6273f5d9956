//! Hints that something may have changed, so that a scan happens sooner than by the clock.
//!
//! **In**: the operating system's file events. **Out**: paths to scan, or "scan everything". Hints are never
//! trusted: they may be late, duplicated or missing, and everything works without them, only slower.
//!
//! **Guarantees.** The events are always read from the system, whatever the reader does: they are collected as a
//! set of paths, and when that grows too large, or the system says that it lost some, it becomes "everything". A
//! folder is watched before it is listed, so that nothing falls between the two. What cannot be watched (limits,
//! network file systems) is reported, so that it is polled. The same events, in order, show which files are being
//! written ([`super::write_tracker`]).
//!
//! Watches are set by path, for a rule that is `confined` too: a link that takes the place of a folder in the moment between can make
//! the system tell of names elsewhere. They are looked for below the folder that the scan holds open, and are not there.
//!
//! Must never know: what the files mean.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, Event, EventHandler, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::watcher::FileSystem;
use super::write_tracker::{Touch, WriteTracker, Written};
use masv_platform::{
    EVENTS_TELL_OF_CLOSING, WATCHES_COVER_ALL_BELOW, is_watch_limit, more_folders_advice, more_watchers_advice,
    watch_limits,
};

/// How often a link on the way to a watched folder is looked at.
const LINK_LOOK: Duration = Duration::from_secs(2);

/// More paths than this are "everything".
const MOST_PATHS: usize = 4_096;

/// What has to be scanned.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hinted {
    /// Everything, because events were lost or are too many.
    pub everything: bool,
    /// Only these, relative to the watched folder.
    pub paths: BTreeSet<PathBuf>,
}

impl Hinted {
    /// Whether there is nothing to scan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.paths.is_empty()
    }
}

/// Why the folder is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// The rule says so.
    ByRule,
    /// The file system does not report changes.
    FileSystem(&'static str),
    /// The system's limit of watched folders is reached; what to do about it.
    Limit(String),
    /// Watching failed otherwise.
    Failed(String),
}

impl std::fmt::Display for Silence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByRule => formatter.write_str("the rule requires it"),
            Self::FileSystem(name) => write!(formatter, "{name} does not report changes"),
            Self::Limit(hint) => formatter.write_str(hint),
            Self::Failed(reason) => write!(formatter, "the system cannot watch the folder: {reason}"),
        }
    }
}

#[derive(Debug, Default)]
struct Gathered {
    everything: bool,
    paths: BTreeSet<PathBuf>,
    /// Folders whose watch ended with them, even when one of the same name is there again.
    ended: Vec<PathBuf>,
    overflows: u64,
    limit: bool,
    /// Nothing reads the system's events any more.
    deaf: bool,
    /// The watched folder without links in its path: some systems report changes under that name.
    canonical: Option<PathBuf>,
    writes: WriteTracker,
}

impl Gathered {
    fn relative(&self, root: &Path, path: &Path) -> Option<PathBuf> {
        let canonical = self.canonical.as_deref().unwrap_or(root);
        // The watched folder's own name is the empty path.
        path.strip_prefix(root).or_else(|_| path.strip_prefix(canonical)).ok().map(Path::to_owned)
    }

    fn lose(&mut self) {
        self.everything = true;
        self.writes.forget();
    }
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    started: Instant,
    gathered: Mutex<Gathered>,
    wake: Notify,
}

impl Shared {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one event from the system. Never blocks for longer than an insertion takes.
    fn take_event(&self, event: notify::Result<Event>) {
        let mut gathered = self.gathered();
        match event {
            // The system lost events. This one has no path: it must be seen before anything looks at paths.
            Ok(event) if event.need_rescan() => {
                gathered.overflows += 1;
                gathered.lose();
            }
            Ok(event) => {
                let paths: Vec<PathBuf> =
                    event.paths.iter().filter_map(|path| gathered.relative(&self.root, path)).collect();
                // Elsewhere the closing of files is not reported, and what is never closed would be held.
                if EVENTS_TELL_OF_CLOSING {
                    follow(&mut gathered.writes, self.started.elapsed(), event.kind, &paths);
                }
                if !tells_of_a_change(event.kind) {
                    return;
                }
                let ends = matches!(
                    event.kind,
                    EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Both))
                );
                for relative in paths {
                    if ends {
                        gathered.ended.push(relative.clone());
                    }
                    if !gathered.everything {
                        gathered.paths.insert(relative);
                    }
                }
            }
            Err(error) => {
                gathered.limit |= is_limit(&error);
                gathered.lose();
            }
        }
        if gathered.paths.len() > MOST_PATHS || gathered.ended.len() > MOST_PATHS {
            gathered.everything = true;
        }
        if gathered.everything {
            gathered.paths.clear();
        }
        drop(gathered);
        self.wake.notify_one();
    }
}

/// Where the system's events arrive. Whoever reads them from the system owns it, and drops it when it ends: on purpose, or
/// by a panic in its thread, of which nothing else would tell.
struct Listener(Arc<Shared>);

impl EventHandler for Listener {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        self.0.take_event(event);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut gathered = self.0.gathered();
        gathered.deaf = true;
        gathered.lose();
        drop(gathered);
        self.0.wake.notify_one();
    }
}

/// Tells the tracker of what an event says about who writes.
fn follow(writes: &mut WriteTracker, now: Duration, kind: EventKind, paths: &[PathBuf]) {
    let touch = match kind {
        EventKind::Create(CreateKind::File) => Touch::Created,
        EventKind::Access(AccessKind::Open(_)) => Touch::Opened,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
        EventKind::Modify(ModifyKind::Data(_)) => Touch::Modified,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Touch::Left,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Touch::Arrived,
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            if let [from, to] = paths {
                writes.renamed(from, to);
            }
            return;
        }
        _ => return,
    };
    paths.iter().for_each(|path| writes.touch(now, path, touch));
}

/// Opening and reading, including our own scans, change nothing.
fn tells_of_a_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

fn is_limit(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => is_watch_limit(error),
        _ => false,
    }
}

/// The hints for one watched folder.
#[derive(Debug)]
pub struct FsEvents {
    shared: Arc<Shared>,
    watcher: Mutex<Option<RecommendedWatcher>>,
    watched: Mutex<HashMap<PathBuf, (u64, u64)>>,
    silence: Mutex<Option<Silence>>,
    file_system: FileSystem,
}

impl FsEvents {
    /// Hints for `root`. With `native` false there are none: the rule polls. `file_system` tells where there are none
    /// that could be relied on.
    #[must_use]
    pub fn new(root: &Path, native: bool, file_system: FileSystem) -> Self {
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            started: Instant::now(),
            gathered: Mutex::default(),
            wake: Notify::new(),
        });
        let hints = Self {
            shared,
            watcher: Mutex::default(),
            watched: Mutex::default(),
            silence: Mutex::new((!native).then_some(Silence::ByRule)),
            file_system,
        };
        if native {
            hints.begin();
        }
        hints
    }

    fn begin(&self) {
        let listener = Listener(Arc::clone(&self.shared));
        let config = Config::default().with_follow_symlinks(false);
        let begun = RecommendedWatcher::new(listener, config);
        // A listener that could not be used has told that nobody listens; so has the one before.
        self.shared.gathered().deaf = false;
        match begun {
            Ok(watcher) => *locked(&self.watcher) = Some(watcher),
            Err(error) => *locked(&self.silence) = Some(self.silence_of(&error)),
        }
    }

    /// Waits until there is something to scan. That a link on the way to the folder leads elsewhere now is no event of the folder:
    /// where there is one, that is looked at from time to time.
    pub async fn changed(&self) {
        loop {
            let real = self.shared.gathered().canonical.clone().filter(|real| *real != self.shared.root);
            let Some(real) = real else { return self.shared.wake.notified().await };
            if tokio::time::timeout(LINK_LOOK, self.shared.wake.notified()).await.is_ok() {
                return;
            }
            let now = tokio::fs::canonicalize(&self.shared.root).await.ok();
            let mut gathered = self.shared.gathered();
            if now.as_ref() != Some(&real) {
                gathered.canonical = now;
                gathered.lose();
                return;
            }
        }
    }

    /// Takes what has to be scanned.
    #[must_use]
    pub fn take(&self) -> Hinted {
        let mut gathered = self.shared.gathered();
        let ended = std::mem::take(&mut gathered.ended);
        let hinted =
            Hinted { everything: std::mem::take(&mut gathered.everything), paths: std::mem::take(&mut gathered.paths) };
        let limit = std::mem::take(&mut gathered.limit);
        let deaf = std::mem::take(&mut gathered.deaf);
        drop(gathered);
        if deaf {
            // It is begun anew with the next full scan; until then the folder is polled.
            // Nothing is asked of the dead one, not even to end: notify takes it for a bug that nobody answers.
            std::mem::forget(locked(&self.watcher).take());
            locked(&self.watched).clear();
            *locked(&self.silence) = Some(Silence::Failed("its events ended unexpectedly".to_owned()));
        }
        if !ended.is_empty() {
            let ended: BTreeSet<PathBuf> = ended.into_iter().collect();
            locked(&self.watched).retain(|folder, _| !folder.ancestors().any(|above| ended.contains(above)));
        }
        if limit {
            *locked(&self.silence) = Some(Silence::Limit(limit_hint(locked(&self.watched).len())));
        }
        hinted
    }

    /// Watches a folder (relative path, device and inode) before it is listed. Blocks shortly.
    pub fn watch(&self, folder: &Path, id: (u64, u64)) {
        if WATCHES_COVER_ALL_BELOW && !folder.as_os_str().is_empty() {
            return;
        }
        if locked(&self.watched).get(folder) == Some(&id) || matches!(*locked(&self.silence), Some(Silence::Limit(_))) {
            return;
        }
        if self.shared.gathered().deaf {
            return;
        }
        let mode = if WATCHES_COVER_ALL_BELOW { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        let mut watcher = locked(&self.watcher);
        let Some(watcher) = watcher.as_mut() else { return };
        let path = self.shared.root.join(folder);
        // `join` with an empty path would add a slash, and events would not be told below the root's own name.
        let path = if folder.as_os_str().is_empty() { self.shared.root.clone() } else { path };
        match watcher.watch(&path, mode) {
            Ok(()) => {
                locked(&self.watched).insert(folder.to_owned(), id);
            }
            Err(error) if is_limit(&error) => *locked(&self.silence) = Some(self.silence_of(&error)),
            // It disappeared, or the agent has no permission to read it: the scan itself will report that.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound | notify::ErrorKind::Io(_)) => {}
            Err(error) => *locked(&self.silence) = Some(Silence::Failed(error.to_string())),
        }
    }

    /// Prepares for a full scan: watches that may have died unnoticed are set again, and limits that were
    /// reached are tried once more.
    pub fn renew(&self) {
        let failed = matches!(*locked(&self.silence), Some(Silence::Limit(_) | Silence::Failed(_)));
        if failed && locked(&self.watcher).is_none() {
            *locked(&self.silence) = None;
            self.begin();
        }
        locked(&self.watched).clear();
        self.shared.gathered().canonical = std::fs::canonicalize(&self.shared.root).ok();
        let mut silence = locked(&self.silence);
        if silence.as_ref().is_some_and(|silence| !matches!(silence, Silence::ByRule))
            && locked(&self.watcher).is_some()
        {
            *silence = None;
        }
        if silence.is_none() {
            *silence = (self.file_system)(&self.shared.root).map(Silence::FileSystem);
        }
    }

    /// Why the folder has to be polled; `None` when the events are enough.
    #[must_use]
    pub fn silence(&self) -> Option<Silence> {
        locked(&self.silence).clone()
    }

    /// What the events say of who writes to a file (path relative to the watched folder).
    #[must_use]
    pub fn written(&self, path: &Path) -> Written {
        self.shared.gathered().writes.get(self.shared.started.elapsed(), path)
    }

    /// The folder was away: what the events said before means nothing.
    pub fn forget_writes(&self) {
        self.shared.gathered().writes.forget();
    }

    /// How often the system lost events.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.shared.gathered().overflows
    }

    fn silence_of(&self, error: &notify::Error) -> Silence {
        if is_limit(error) {
            Silence::Limit(limit_hint(locked(&self.watched).len()))
        } else {
            Silence::Failed(error.to_string())
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a person can do when no more folders can be watched.
fn limit_hint(watched: usize) -> String {
    let limits = watch_limits();
    let (folders, watchers) = limits.map_or((0, 0), |limits| (limits.folders, limits.watchers));
    let allowed = |number: u64| limits.map_or_else(|| "few".to_owned(), |_| number.to_string());
    if watched == 0 {
        return format!(
            "the system allows {} watchers a user, and all are taken: {}",
            allowed(watchers),
            more_watchers_advice((watchers * 4).max(512))
        );
    }
    format!(
        "the system allows {} watched folders a user, of which {watched} are this rule's, and needs more: {}",
        allowed(folders),
        more_folders_advice((folders * 4).max(524_288))
    )
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, RemoveKind};

    use super::*;

    fn silent(root: &Path) -> FsEvents {
        FsEvents::new(root, false, |_| None)
    }

    fn event(kind: EventKind, paths: &[&str]) -> notify::Result<Event> {
        Ok(paths.iter().fold(Event::new(kind), |event, path| event.add_path(PathBuf::from(path))))
    }

    const CREATED: EventKind = EventKind::Create(CreateKind::File);

    /// Row "inotify queue overflow loses events silently": the flag comes on an event without a path.
    #[test]
    fn an_overflow_has_no_path_and_means_everything() {
        let hints = silent(Path::new("/drop"));
        hints.shared.take_event(event(CREATED, &["/drop/a"]));
        hints.shared.take_event(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(hints.take(), Hinted { everything: true, paths: BTreeSet::new() });
        assert_eq!(hints.overflows(), 1);
        assert!(hints.take().is_empty());
    }

    /// Row "event channel full": the events are taken all the same, and become "everything".
    #[test]
    fn more_paths_than_can_be_told_apart_are_everything() {
        let hints = silent(Path::new("/drop"));
        for number in 0..=MOST_PATHS {
            hints.shared.take_event(event(CREATED, &[&format!("/drop/{number}")]));
        }
        let hinted = hints.take();
        assert!(hinted.everything && hinted.paths.is_empty());
    }

    /// Row "inotify watch limit (ENOSPC) read as disk full".
    #[test]
    fn a_limit_is_told_with_the_command_that_raises_it_and_not_tried_again_at_once() {
        let hints = silent(Path::new("/drop"));
        *locked(&hints.silence) = None;
        hints.shared.take_event(Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)));
        assert!(hints.take().everything);
        let Some(Silence::Limit(hint)) = hints.silence() else { panic!("{:?}", hints.silence()) };
        assert!(hint.contains("sysctl fs.inotify."), "{hint}");
        let full = notify::Error::io(std::io::Error::from_raw_os_error(28));
        assert!(matches!(hints.silence_of(&full), Silence::Limit(_)));
    }

    /// The thread that reads the events can end by a panic, of which nothing else tells: the folder was never looked at again
    /// before the next rescan, an hour later.
    #[tokio::test]
    async fn a_folder_whose_events_have_ended_is_polled_and_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let hints = FsEvents::new(folder.path(), true, |_| None);
        hints.renew();
        hints.watch(Path::new(""), (1, 1));
        assert_eq!((hints.silence(), hints.take()), (None, Hinted::default()));
        drop(Listener(Arc::clone(&hints.shared)));
        hints.watch(Path::new("a"), (1, 2));
        hints.changed().await;
        assert!(hints.take().everything);
        let Some(Silence::Failed(reason)) = hints.silence() else { panic!("{:?}", hints.silence()) };
        assert!(reason.contains("ended"), "{reason}");
        hints.renew();
        assert_eq!(hints.silence(), None);
        hints.watch(Path::new(""), (1, 1));
        std::fs::write(folder.path().join("clip.mov"), "x").unwrap();
        tokio::time::timeout(Duration::from_secs(20), hints.changed()).await.unwrap();
    }

    #[test]
    fn changes_told_under_the_folder_s_other_name_are_hints_too() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::fs::create_dir(folder.path().join("drop")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("drop"), &link).unwrap();
        let hints = silent(&link);
        hints.renew();
        let told = std::fs::canonicalize(folder.path()).unwrap().join("drop/clip.mov");
        hints.shared.take_event(event(CREATED, &[told.to_str().unwrap()]));
        assert_eq!(hints.take().paths, BTreeSet::from([PathBuf::from("clip.mov")]));
    }

    #[test]
    fn opening_and_reading_are_no_hints() {
        let hints = silent(Path::new("/drop"));
        for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read] {
            hints.shared.take_event(event(EventKind::Access(kind), &["/drop/a"]));
        }
        assert!(hints.take().is_empty());
        hints.shared.take_event(event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), &["/drop/a/b", "/else"]));
        assert_eq!(hints.take().paths, BTreeSet::from([PathBuf::from("a/b")]));
    }

    /// "Modified since it was last closed" comes of events that are no hints, and lost events leave nothing known.
    #[cfg(target_os = "linux")]
    #[test]
    fn events_tell_who_writes_until_some_are_lost() {
        let hints = silent(Path::new("/drop"));
        let modified = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        for (kind, path) in
            [(CREATED, "new"), (opened, "new"), (modified, "open"), (modified, "done"), (closed, "done")]
        {
            hints.shared.take_event(event(kind, &[&format!("/drop/{path}")]));
        }
        let written = |path: &str| hints.written(Path::new(path));
        assert!(matches!([written("new"), written("open")], [Written::Open { .. }, Written::Open { .. }]));
        assert_eq!((written("done"), written("other")), (Written::Closed, Written::Unknown));
        let renamed = |mode| EventKind::Modify(ModifyKind::Name(mode));
        hints.shared.take_event(event(renamed(RenameMode::From), &["/drop/done"]));
        hints.shared.take_event(event(renamed(RenameMode::To), &["/drop/final"]));
        hints.shared.take_event(event(renamed(RenameMode::Both), &["/drop/done", "/drop/final"]));
        assert_eq!((written("done"), written("final")), (Written::Unknown, Written::Closed));
        hints.shared.take_event(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!((written("open"), written("final")), (Written::Unknown, Written::Unknown));
    }

    /// A folder that is removed and made again within one look may have the same inode, but its watch is gone.
    #[test]
    fn a_folder_that_went_away_is_watched_anew_when_it_is_back() {
        let hints = silent(Path::new("/drop"));
        for folder in ["a", "a/b", "c"] {
            locked(&hints.watched).insert(PathBuf::from(folder), (1, 2));
        }
        hints.shared.take_event(event(EventKind::Remove(RemoveKind::Folder), &["/drop/a"]));
        assert!(hints.take().paths.contains(Path::new("a")));
        assert_eq!(locked(&hints.watched).keys().collect::<Vec<_>>(), [Path::new("c")]);
    }
}
