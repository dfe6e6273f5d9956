//! inotify (inotify(7)): a few instances of it, which all watched folders share.
//!
//! An instance takes a thread and two descriptors, and a user may have no more than 128 of them on most systems, over all programs. So
//! there are at most [`MOST_INSTANCES`], and the listener of a further folder joins the one with the fewest listeners: an overflow, which
//! is one of the whole instance, makes only these look at everything.
//!
//! The kernel knows a folder by its inode, and gives one *watch descriptor* an instance for it, by whatever path and however often it is
//! asked for. Listeners that watch the same folder share the descriptor, and each is told under the path that it knows the folder by; the
//! watch ends with the last of them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::fs_events::{FsChange, FsEvent, Tell};

/// More listeners than this share instances.
const MOST_INSTANCES: usize = 8;

/// What is read at once: some hundred events.
const BUFFER: usize = 16 * 1024;

const WATCHED: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CREATE)
    .union(WatchFlags::OPEN)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// The instances of this process, as far as they are in use.
#[derive(Debug, Default)]
pub(crate) struct Events {
    instances: Mutex<Vec<Weak<Instance>>>,
}

impl Events {
    pub(crate) fn listen(&self, root: &Path, tell: Tell) -> io::Result<Listener> {
        let mut instances = locked(&self.instances);
        instances.retain(|instance| instance.upgrade().is_some_and(|instance| !instance.watches().has_ended));
        let least = instances.iter().filter_map(Weak::upgrade).min_by_key(|one| one.watches().listeners.len());
        let instance = if instances.len() < MOST_INSTANCES {
            // Where all instances of the user are taken, one of our own serves as well.
            Instance::begin().or_else(|error| least.ok_or(error))?
        } else {
            least.map_or_else(Instance::begin, Ok)?
        };
        if !instances.iter().any(|known| known.as_ptr() == Arc::as_ptr(&instance)) {
            instances.push(Arc::downgrade(&instance));
        }
        let number = instance.watches().join(tell);
        Ok(Listener { instance, number, root: root.to_owned() })
    }
}

/// What is told of one tree of folders, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    instance: Arc<Instance>,
    number: u64,
    root: PathBuf,
}

impl Listener {
    pub(crate) fn watch(&self, folder: &Path) -> io::Result<()> {
        // `join` with an empty path would add a slash, which resolves a link that has taken the folder's place.
        let path = if folder.as_os_str().is_empty() { self.root.clone() } else { self.root.join(folder) };
        let mut watches = self.instance.watches();
        if watches.has_ended {
            return Err(io::Error::other("its events have ended"));
        }
        // Behind the lock: what happens there from now on is told when it is known who asked.
        let descriptor = inotify::add_watch(&self.instance.inotify, &path, WATCHED)?;
        let left = watches.watch(self.number, folder, descriptor);
        self.instance.end_watches(left);
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut watches = self.instance.watches();
        let left = watches.leave(self.number);
        self.instance.end_watches(left);
    }
}

/// One instance of inotify, whose thread reads it until nobody listens any more.
#[derive(Debug)]
struct Instance {
    source: Arc<Source>,
}

/// What an instance shares with its thread.
#[derive(Debug)]
struct Source {
    inotify: OwnedFd,
    /// Wakes the thread when it is to end.
    end: OwnedFd,
    watches: Mutex<Watches>,
}

impl std::ops::Deref for Instance {
    type Target = Source;

    fn deref(&self) -> &Source {
        &self.source
    }
}

impl Instance {
    fn begin() -> io::Result<Arc<Self>> {
        let source = Arc::new(Source {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            end: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            watches: Mutex::default(),
        });
        let reading = Reading(Arc::clone(&source));
        std::thread::Builder::new().name("folder events".to_owned()).spawn(move || reading.run())?;
        Ok(Arc::new(Self { source }))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It fails only when it has been written to already.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
    }
}

impl Source {
    fn watches(&self) -> MutexGuard<'_, Watches> {
        locked(&self.watches)
    }

    /// Ends watches that nobody needs any more, while the lock that says so is held: whoever asks for the folder meanwhile would be given
    /// the same descriptor. Those of folders that are gone have ended by themselves.
    fn end_watches(&self, descriptors: Vec<i32>) {
        for descriptor in descriptors {
            let _ = inotify::remove_watch(&self.inotify, descriptor);
        }
    }
}

/// The thread that reads an instance. When it ends, on purpose or by a panic, everybody who listens is told.
struct Reading(Arc<Source>);

impl Reading {
    fn run(self) {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        loop {
            let mut waited = [PollFd::new(&self.0.inotify, PollFlags::IN), PollFd::new(&self.0.end, PollFlags::IN)];
            match poll(&mut waited, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return tracing::warn!(%error, "cannot wait for events of watched folders"),
            }
            if !waited[1].revents().is_empty() {
                return;
            }
            if let Err(error) = self.read(&mut buffer) {
                return tracing::warn!(%error, "cannot read the events of watched folders");
            }
        }
    }

    /// Reads what is there, and tells it.
    fn read(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<(), Errno> {
        let mut events = Reader::new(self.0.inotify.as_fd(), buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let mut watches = self.0.watches();
            let (told, left) = watches.take(event.wd(), event.events(), event.cookie(), name);
            self.0.end_watches(left);
            drop(watches);
            for (tell, event) in told {
                tell(event);
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut watches = self.0.watches();
        watches.has_ended = true;
        let told: Vec<Tell> = watches.listeners.values().map(|one| Arc::clone(&one.tell)).collect();
        drop(watches);
        told.iter().for_each(|tell| tell(FsEvent::Ended));
    }
}

/// Who is told of which folder. What its functions call left are descriptors that nobody watches any more.
#[derive(Default)]
struct Watches {
    next: u64,
    listeners: HashMap<u64, Listening>,
    /// Who watches it, under which path.
    watched: HashMap<i32, Vec<(u64, Arc<Path>)>>,
    /// What was last moved away, by its cookie, and who was told under which path: what was moved here next may be the same.
    moved: Option<(u32, Vec<(u64, PathBuf)>)>,
    /// Nobody reads the events.
    has_ended: bool,
}

struct Listening {
    tell: Tell,
    /// Paths are ordered name by name, so that all below a folder follow it without a gap.
    folders: BTreeMap<Arc<Path>, i32>,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watches").field("watched", &self.watched).finish_non_exhaustive()
    }
}

type Told = Vec<(Tell, FsEvent)>;

impl Watches {
    fn join(&mut self, tell: Tell) -> u64 {
        self.next += 1;
        self.listeners.insert(self.next, Listening { tell, folders: BTreeMap::new() });
        self.next
    }

    fn leave(&mut self, number: u64) -> Vec<i32> {
        let Some(listening) = self.listeners.remove(&number) else { return Vec::new() };
        listening.folders.iter().filter_map(|(folder, descriptor)| self.release(number, folder, *descriptor)).collect()
    }

    /// A listener watches a folder by this descriptor from now on.
    fn watch(&mut self, number: u64, folder: &Path, descriptor: i32) -> Vec<i32> {
        let Some(listening) = self.listeners.get_mut(&number) else { return Vec::new() };
        let folder: Arc<Path> = folder.into();
        let before = listening.folders.insert(Arc::clone(&folder), descriptor);
        let left =
            before.filter(|before| *before != descriptor).and_then(|before| self.release(number, &folder, before));
        let watching = self.watched.entry(descriptor).or_default();
        // A folder that was moved has the descriptor of before, under another path.
        watching.retain(|(listener, _)| *listener != number);
        watching.push((number, folder));
        left.into_iter().collect()
    }

    /// A listener does not watch a descriptor under this path any more; returns it if nobody does.
    fn release(&mut self, number: u64, folder: &Path, descriptor: i32) -> Option<i32> {
        let watching = self.watched.get_mut(&descriptor)?;
        watching.retain(|(listener, path)| (*listener, &**path) != (number, folder));
        if !watching.is_empty() {
            return None;
        }
        self.watched.remove(&descriptor);
        Some(descriptor)
    }

    /// A folder has left its path, with all below it: what is watched there is watched by no path any more.
    fn forget_below(&mut self, number: u64, folder: &Path) -> Vec<i32> {
        let Some(listening) = self.listeners.get_mut(&number) else { return Vec::new() };
        let gone: Vec<Arc<Path>> = listening
            .folders
            .range::<Path, _>((Bound::Included(folder), Bound::Unbounded))
            .map(|(below, _)| Arc::clone(below))
            .take_while(|below| below.starts_with(folder))
            .collect();
        let gone: Vec<(Arc<Path>, i32)> =
            gone.into_iter().filter_map(|below| listening.folders.remove_entry(&below)).collect();
        gone.iter().filter_map(|(below, descriptor)| self.release(number, below, *descriptor)).collect()
    }

    /// Takes an event: who is to be told what.
    fn take(&mut self, descriptor: i32, flags: ReadFlags, cookie: u32, name: Option<&OsStr>) -> (Told, Vec<i32>) {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return (self.listeners.values().map(|one| (Arc::clone(&one.tell), FsEvent::Lost)).collect(), Vec::new());
        }
        let mut told = Told::new();
        let mut left = Vec::new();
        let is_folder = name.is_none() || flags.contains(ReadFlags::ISDIR);
        let watching = self.watched.get(&descriptor).cloned().unwrap_or_default();
        let change = change(flags, is_folder);
        let mut moved = Vec::new();
        for (number, folder) in &watching {
            let path = name.map_or_else(|| folder.to_path_buf(), |name| folder.join(name));
            let Some(listening) = self.listeners.get(number) else { continue };
            let tell = Arc::clone(&listening.tell);
            if is_folder && matches!(change, Some(FsChange::Left | FsChange::Removed)) {
                left.extend(self.forget_below(*number, &path));
            }
            if let Some(change) = change {
                told.push((Arc::clone(&tell), FsEvent::At(change, path.clone())));
            }
            if flags.contains(ReadFlags::MOVED_FROM) {
                moved.push((*number, path));
            } else if flags.contains(ReadFlags::MOVED_TO)
                && let Some((_, from)) = self.moved_from(cookie, *number)
            {
                told.push((tell, FsEvent::Renamed { from: from.clone(), to: path }));
            }
        }
        if flags.contains(ReadFlags::MOVED_FROM) {
            self.moved = Some((cookie, moved));
        }
        if flags.contains(ReadFlags::IGNORED) {
            self.watched.remove(&descriptor);
            for (number, folder) in watching {
                let folders = self.listeners.get_mut(&number).map(|listening| &mut listening.folders);
                if let Some(folders) = folders.filter(|folders| folders.get(&folder) == Some(&descriptor)) {
                    folders.remove(&folder);
                }
            }
        }
        (told, left)
    }

    fn moved_from(&self, cookie: u32, number: u64) -> Option<&(u64, PathBuf)> {
        let (_, moved) = self.moved.as_ref().filter(|(moved, _)| *moved == cookie)?;
        moved.iter().find(|(listener, _)| *listener == number)
    }
}

/// What an event means; `None` for those that tell of nothing.
fn change(flags: ReadFlags, is_folder: bool) -> Option<FsChange> {
    let any = |wanted: ReadFlags| flags.intersects(wanted);
    Some(if any(ReadFlags::CREATE) {
        if is_folder { FsChange::Other } else { FsChange::Created }
    } else if any(ReadFlags::MOVED_FROM | ReadFlags::MOVE_SELF) {
        FsChange::Left
    } else if any(ReadFlags::MOVED_TO) {
        FsChange::Arrived
    } else if any(ReadFlags::DELETE | ReadFlags::DELETE_SELF | ReadFlags::UNMOUNT) {
        FsChange::Removed
    } else if any(ReadFlags::MODIFY) {
        FsChange::Modified
    } else if any(ReadFlags::CLOSE_WRITE) {
        FsChange::Closed
    } else if any(ReadFlags::ATTRIB) {
        FsChange::Other
    } else if any(ReadFlags::OPEN) && !is_folder {
        FsChange::Opened
    } else {
        return None;
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
