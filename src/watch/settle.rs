//! Says when a file is whole: when nothing about it has changed for the settle time **by our own looks**.
//!
//! **In**: the time since the start (never a wall clock) and what looks found. **Out**: which files are whole,
//! which need one more look and when. Pure.
//!
//! Why not by the modification time: a copy keeps the old one, a network drive's clock is off. Why not by the
//! event that a writer closed the file: scanners, cameras and copy programs close and open again. So the first
//! look at a state of a file starts its time, and only a second look, at least the settle time later, that finds
//! the very same state makes it whole, unless a program still holds it open for writing or it can not be read.
//! A file that waits is never given up and never an error: it has a reason.
//!
//! On a restart settling starts anew; nothing is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use masv_platform::FileIdentity;

/// Longest time between two looks at a file that is held or can not be read.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Shortest time between two looks at such a file.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// Why a file whose state has not changed for the settle time is not whole all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// A program has it open for writing; its name and process id.
    Writer(String),
    /// It can not be opened.
    Unreadable(String),
}

/// How far a file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its state is watched.
    Settling,
    /// It does not change, but is held up.
    Held(Hold),
    /// It is whole since then.
    Whole(Duration),
}

/// A file on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its state at the last look.
    pub identity: FileIdentity,
    /// When it was first seen.
    pub first_seen: Duration,
    /// When its present state was first seen.
    pub since: Duration,
    /// How often a look found it changed.
    pub changes: u32,
    /// How far it has come.
    pub stage: Stage,
    look_at: Duration,
    wait: Duration,
}

impl Pending {
    /// Whether it is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole(_))
    }

    /// When the next look at it is due; `None` when it is whole.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        (!self.is_whole()).then_some(self.look_at)
    }
}

/// The files of a rule that are not whole yet, or whole and not taken yet.
#[derive(Debug)]
pub struct Settling {
    settle: Duration,
    files: BTreeMap<Arc<Path>, Pending>,
}

impl Settling {
    /// Nothing yet; `settle` is how long a file must not change.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { settle, files: BTreeMap::new() }
    }

    /// A look found the file like this.
    pub fn observe(&mut self, now: Duration, path: &Arc<Path>, identity: FileIdentity) {
        let settle = self.settle;
        match self.files.get_mut(path) {
            None => {
                let fresh = Pending {
                    identity,
                    first_seen: now,
                    since: now,
                    changes: 0,
                    stage: Stage::Settling,
                    look_at: now + settle,
                    wait: Duration::ZERO,
                };
                self.files.insert(Arc::clone(path), fresh);
            }
            Some(file) if file.identity != identity => {
                file.identity = identity;
                file.since = now;
                file.changes = file.changes.saturating_add(1);
                file.stage = Stage::Settling;
                file.look_at = now + settle;
                file.wait = Duration::ZERO;
            }
            // Whatever brought this look about may be the end of what holds the file up.
            Some(file) if matches!(file.stage, Stage::Held(_)) => file.look_at = now,
            Some(_) => {}
        }
    }

    /// The confirming look that [`Self::due`] asked for found the file like this, held up or not. Returns whether
    /// it is whole now.
    pub fn confirm(&mut self, now: Duration, path: &Arc<Path>, identity: FileIdentity, hold: Option<Hold>) -> bool {
        let seen_before = self.files.get(path).is_some_and(|file| file.identity == identity);
        self.observe(now, path, identity);
        let settle = self.settle;
        let Some(file) = self.files.get_mut(path) else { return false };
        if !seen_before || now < file.since + settle {
            return false;
        }
        match hold {
            None => {
                if !file.is_whole() {
                    file.stage = Stage::Whole(now);
                }
                true
            }
            Some(hold) => {
                self.hold(now, path, hold);
                false
            }
        }
    }

    /// The file does not change but something is in the way; it is looked at again, ever less often.
    pub fn hold(&mut self, now: Duration, path: &Arc<Path>, hold: Hold) {
        let settle = self.settle;
        let Some(file) = self.files.get_mut(path) else { return };
        file.wait = (file.wait * 2).clamp(settle.clamp(SHORTEST_WAIT, LONGEST_WAIT), LONGEST_WAIT);
        file.look_at = now + file.wait;
        file.stage = Stage::Held(hold);
    }

    /// The file is gone, was taken, or is no longer of interest.
    pub fn remove(&mut self, path: &Path) -> Option<Pending> {
        self.files.remove(path)
    }

    /// Forgets what was observed but not the files: after the folder was offline nothing of it proves anything.
    pub fn start_anew(&mut self, now: Duration) {
        for file in self.files.values_mut() {
            file.since = now;
            file.stage = Stage::Settling;
            file.look_at = now + self.settle;
        }
    }

    /// The files that need their confirming look now.
    #[must_use]
    pub fn due(&self, now: Duration) -> Vec<Arc<Path>> {
        let due = self.files.iter().filter(|(_, file)| file.next_look().is_some_and(|at| at <= now));
        due.map(|(path, _)| Arc::clone(path)).collect()
    }

    /// When the next confirming look is due; `None` when nothing settles, and then nothing needs to be done.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        self.files.values().filter_map(Pending::next_look).min()
    }

    /// The file, if it is on its way.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Pending> {
        self.files.get(path)
    }

    /// All files on their way, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Path>, &Pending)> {
        self.files.iter()
    }

    /// How many files are on their way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn state(ctime_ns: i64) -> FileIdentity {
        FileIdentity { size: 1, mtime_ns: 0, ctime_ns, device: 1, inode: 1 }
    }

    fn path() -> Arc<Path> {
        Arc::from(Path::new("clip.mov"))
    }

    #[test]
    fn even_without_a_settle_time_two_looks_must_agree() {
        let mut settling = Settling::new(Duration::ZERO);
        settling.observe(NOW, &path(), state(1));
        assert_eq!(settling.due(NOW), [path()]);
        assert!(!settling.confirm(NOW, &path(), state(2), None));
        assert!(settling.confirm(NOW, &path(), state(2), None));
        assert!(settling.get(&path()).unwrap().is_whole());
    }

    /// Row "gave up and never tried again": waiting is a state, not an error, and is looked at ever less often.
    #[test]
    fn a_file_that_is_held_is_tried_again_without_end() {
        let mut settling = Settling::new(Duration::from_secs(5));
        settling.observe(NOW, &path(), state(1));
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = settling.next_look().unwrap();
            waits.push((next - now).as_secs());
            now = next;
            assert!(!settling.confirm(now, &path(), state(1), Some(Hold::Unreadable("EBUSY".to_owned()))));
        }
        assert_eq!(waits, [5, 5, 10, 20, 40, 60, 60, 60]);
        // A hint makes the next look come at once.
        settling.observe(now, &path(), state(1));
        assert_eq!(settling.due(now), [path()]);
        assert!(settling.confirm(now, &path(), state(1), None));
        assert_eq!(settling.next_look(), None, "nothing to do costs nothing");
    }

    #[test]
    fn after_the_folder_was_offline_nothing_that_was_seen_proves_anything() {
        let mut settling = Settling::new(Duration::from_secs(5));
        settling.observe(NOW, &path(), state(1));
        settling.start_anew(NOW + Duration::from_secs(60));
        assert!(!settling.confirm(NOW + Duration::from_secs(61), &path(), state(1), None));
        assert!(settling.confirm(NOW + Duration::from_secs(65), &path(), state(1), None));
    }
}
