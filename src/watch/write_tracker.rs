//! Which files below a watched folder are being written, by the order of the system's own events.
//!
//! **In**: what happened to which path, in order, and when. **Out**: a [`Written`] for any path. Pure.
//!
//! A program that writes a file opens it, modifies it any number of times, and closes it once: what was modified and not
//! closed since is being written, however long the program pauses. So an event of a file is a **hold, never a proof**: that
//! a file was closed does not mean that it will not be opened again; [`super::settle`] waits for that.
//!
//! **Guarantees.** What was not seen from its beginning is [`Written::Unknown`]: after lost events, a restart, in a folder
//! that was not watched yet, moved in from elsewhere. Memory is bounded: beyond [`MOST_FILES`] what is closed is forgotten
//! first, then everything.
//!
//! Must never know: the disk, rules, or what is decided.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files that are remembered at once.
pub const MOST_FILES: usize = 65_536;
/// Creating a file and opening it are one call for the program that does it; a later open is by another program.
const OPENED_WITH: Duration = Duration::from_millis(250);

/// What the events say of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing.
    Unknown,
    /// It was opened or modified and not closed since.
    Open {
        /// For how long nothing was written.
        idle: Duration,
    },
    /// It was closed after it was last modified.
    Closed,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It was made. A link to another file begins the same way, and is never opened.
    Created,
    /// A program opened it, for reading as likely as for writing.
    Opened,
    /// Its content was changed.
    Modified,
    /// A program that had it open for writing closed it.
    Closed,
    /// It is no longer at this path: removed, or moved away.
    Left,
    /// It was moved to this path from somewhere.
    Arrived,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Created(Duration),
    Open(Duration),
    Closed,
}

/// The files below one watched folder of which something is known.
#[derive(Debug, Default)]
pub struct WriteTracker {
    files: BTreeMap<PathBuf, State>,
    /// What last left its path: a rename reports the old path, then the new one, then both.
    left: Option<(PathBuf, State)>,
}

impl WriteTracker {
    /// Something happened to a file.
    pub fn touch(&mut self, now: Duration, path: &Path, touch: Touch) {
        let known = self.files.get(path).copied();
        match (touch, known) {
            (Touch::Created, _) => self.set(path, State::Created(now)),
            (Touch::Opened, Some(State::Created(at))) if now.saturating_sub(at) <= OPENED_WITH => {
                self.set(path, State::Open(now));
            }
            (Touch::Opened, _) => {}
            (Touch::Modified, _) => self.set(path, State::Open(now)),
            (Touch::Closed, _) => self.set(path, State::Closed),
            (Touch::Left, _) => {
                self.left = known.map(|state| (path.to_owned(), state));
                self.forget_below(path);
            }
            (Touch::Arrived, _) => self.forget_below(path),
        }
    }

    /// What left `from` and arrived at `to` is one file: what is known of it goes along.
    pub fn renamed(&mut self, from: &Path, to: &Path) {
        if let Some((_, state)) = self.left.take_if(|(path, _)| path == from) {
            self.set(to, state);
        }
    }

    /// Nothing is known any more: events were lost.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// What is known of a file.
    #[must_use]
    pub fn get(&self, now: Duration, path: &Path) -> Written {
        match self.files.get(path) {
            None | Some(State::Created(_)) => Written::Unknown,
            Some(State::Open(at)) => Written::Open { idle: now.saturating_sub(*at) },
            Some(State::Closed) => Written::Closed,
        }
    }

    fn set(&mut self, path: &Path, state: State) {
        if let Some(known) = self.files.get_mut(path) {
            *known = state;
            return;
        }
        if self.files.len() >= MOST_FILES {
            self.files.retain(|_, state| matches!(state, State::Open(_)));
        }
        if self.files.len() >= MOST_FILES {
            self.files.clear();
        }
        self.files.insert(path.to_owned(), state);
    }

    /// A folder that moves takes its files along, and what happens to them on the way is not seen.
    fn forget_below(&mut self, path: &Path) {
        self.files.remove(path);
        // Paths are ordered name by name, so that all below a folder follow it without a gap.
        let below = self.files.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded));
        let below: Vec<PathBuf> =
            below.map(|(below, _)| below).take_while(|below| below.starts_with(path)).cloned().collect();
        for path in below {
            self.files.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Touch::{Arrived, Closed, Created, Left, Modified, Opened};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Plays events one second apart, but for opening a file, which comes with what was before it.
    fn played(events: &[(&str, Touch)]) -> WriteTracker {
        let mut tracker = WriteTracker::default();
        let mut now = Duration::ZERO;
        for (path, touch) in events {
            if *touch != Opened {
                now += SECOND;
            }
            tracker.touch(now, Path::new(path), *touch);
        }
        tracker
    }

    const NOW: Duration = Duration::from_secs(100);

    fn of(tracker: &WriteTracker, path: &str) -> Written {
        tracker.get(NOW, Path::new(path))
    }

    /// Written last so many seconds after the beginning.
    fn open(seconds: u64) -> Written {
        Written::Open { idle: NOW - Duration::from_secs(seconds) }
    }

    fn last(events: &[Touch]) -> Written {
        let events: Vec<_> = events.iter().map(|touch| ("a", *touch)).collect();
        of(&played(&events), "a")
    }

    /// Case: created, opened and modified since it was last closed: held, without any privilege.
    #[test]
    fn a_file_is_open_from_its_making_until_its_writer_closes_it() {
        assert_eq!(last(&[]), Written::Unknown);
        assert_eq!(last(&[Created, Opened]), open(1));
        assert_eq!(last(&[Created, Opened, Modified, Modified]), open(3));
        assert_eq!(last(&[Created, Opened, Modified, Closed]), Written::Closed);
        assert_eq!(last(&[Created, Opened, Closed]), Written::Closed, "an empty file");
        assert_eq!(last(&[Closed, Modified]), open(2), "it is written again");
        assert_eq!(last(&[Modified]), open(1), "begun before it was watched");
    }

    /// `ln` creates a name and opens nothing; readers open what is there, and the agent's own looks are among them.
    #[test]
    fn a_link_and_a_reader_are_no_writers() {
        assert_eq!(last(&[Created]), Written::Unknown);
        assert_eq!(last(&[Closed, Opened]), Written::Closed);
        assert_eq!(last(&[Opened]), Written::Unknown);
        let mut tracker = WriteTracker::default();
        tracker.touch(Duration::ZERO, Path::new("link"), Created);
        tracker.touch(SECOND, Path::new("link"), Opened);
        assert_eq!(of(&tracker, "link"), Written::Unknown);
    }

    /// Case: a rename carries an open file along, and what is known about its writer with it.
    #[test]
    fn what_is_known_goes_along_with_a_renaming_and_is_lost_with_a_folder_s() {
        let mut tracker = played(&[("a.tmp", Modified), ("a.tmp", Closed), ("a.tmp", Left), ("a", Arrived)]);
        tracker.renamed(Path::new("a.tmp"), Path::new("a"));
        assert_eq!(of(&tracker, "a"), Written::Closed);
        let mut tracker = played(&[("open.mov", Modified), ("x.mov", Closed), ("open.mov", Left), ("x.mov", Arrived)]);
        tracker.renamed(Path::new("open.mov"), Path::new("x.mov"));
        assert_eq!(of(&tracker, "x.mov"), open(1));
        let tracker = played(&[("moved in", Closed), ("moved in", Arrived)]);
        assert_eq!(of(&tracker, "moved in"), Written::Unknown);
        let mut tracker = played(&[("d/a", Closed), ("d/e/b", Modified), ("d b", Closed), ("d", Left), ("n", Arrived)]);
        tracker.renamed(Path::new("d"), Path::new("n"));
        let known: Vec<_> = ["d/a", "d/e/b", "n/a", "n/e/b"].map(|path| of(&tracker, path)).into();
        assert!(known.iter().all(|known| *known == Written::Unknown), "{known:?}");
        assert_eq!(of(&tracker, "d b"), Written::Closed);
    }

    /// Case: a file is removed while it is open, and another one dropped under its name.
    #[test]
    fn a_removed_file_leaves_nothing_to_the_next_of_its_name() {
        assert_eq!(last(&[Modified, Left]), Written::Unknown);
        assert_eq!(last(&[Modified, Left, Created]), Written::Unknown);
    }

    /// Case: what is known of writers is bounded: a flood of files forgets those that are closed first.
    #[test]
    fn what_is_remembered_is_bounded_and_forgets_what_is_closed_first() {
        let mut tracker = WriteTracker::default();
        tracker.touch(SECOND, Path::new("open"), Modified);
        for number in 0..MOST_FILES * 2 {
            tracker.touch(SECOND, Path::new(&number.to_string()), Closed);
            assert!(tracker.files.len() <= MOST_FILES);
        }
        assert_eq!(of(&tracker, "open"), open(1));
        for number in 0..MOST_FILES + 2 {
            tracker.touch(SECOND, Path::new(&number.to_string()), Modified);
        }
        assert!(tracker.files.len() <= MOST_FILES);
        tracker.forget();
        assert_eq!(of(&tracker, "open"), Written::Unknown);
    }
}
