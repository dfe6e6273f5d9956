//! Decides when a file is complete: when nothing about it has changed for the settle time **by our own observations**.
//!
//! **In**: the time since the start (never a wall clock) and the results of scans. **Out**: which files are complete,
//! which need another check and when. Pure.
//!
//! Why not by the modification time: a copy keeps the old one, a network drive's clock is off. Why not by the
//! event that a writer closed the file: scanners, cameras and copy programs close and open again. So the first
//! look at a state of a file starts its time, and only a second look, at least the settle time later, that finds
//! the very same state makes it complete, unless a program still holds it open for writing or it cannot be read.
//! A waiting file is never abandoned and never an error: it has a reason.
//!
//! The settle time is longer if writers cannot be detected ([`SettleTimes::unseen`]), for an empty file, which most
//! often has just been created, and starts again when a program that held the file open closes it.
//!
//! What changes neither size nor date nor inode of a file (`chmod`, `chown`, an attribute, a link) may have changed its content all the
//! same, so it starts the time again; but not for ever: whoever sets modes again and again (`chmod -R` by a timer, an indexer) is not
//! waited for beyond [`TOUCHES`] settle times. What is sent is compared once more by the upload.
//!
//! After a restart settling starts again; nothing is stored.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::open_handles::Writing;
use super::path_map::PathMap;
use masv_platform::FileIdentity;

/// Longest time between two looks at a file that is held or cannot be read.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Shortest time between two looks at such a file.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// An empty file settles for so many times the settle time, and for this long at most.
const EMPTY_FACTOR: u32 = 12;
const EMPTY_LONGEST: Duration = Duration::from_secs(60);

/// After so many settle times without another size, date or inode, what else changes starts nothing again.
const TOUCHES: u32 = 6;
/// But not before this, where the settle time is short or none.
const SHORTEST_TOUCHED: Duration = Duration::from_secs(1);

/// How long a file must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleTimes {
    /// If it is known that no program has it open for writing.
    pub seen: Duration,
    /// Where nothing tells.
    pub unseen: Duration,
}

impl SettleTimes {
    /// The time for a file.
    fn of(self, identity: &FileIdentity, unseen: bool) -> Duration {
        let settle = if unseen { self.unseen } else { self.seen };
        if identity.size > 0 { settle } else { settle.max((settle * EMPTY_FACTOR).min(EMPTY_LONGEST)) }
    }
}

/// Why a file whose state has not changed for the settle time is not complete all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// A program has it open for writing; its name and process id.
    Writer(Box<str>),
    /// It cannot be opened.
    Unreadable(Box<str>),
}

/// How far a file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its state is watched.
    Settling,
    /// It does not change, but is held up.
    Held(Box<Hold>),
    /// It is complete since then.
    Whole(Duration),
}

/// A time since the start in half the room: hundreds of thousands of files may be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    /// Five hundred years from the start.
    fn at(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    fn time(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// The same to the second that is over then, in half the room again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Second(u32);

impl Second {
    /// A hundred years from the start.
    fn at(time: Duration) -> Self {
        Self(u32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX))
    }

    fn time(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

/// A pending file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its state at the last look.
    pub identity: FileIdentity,
    since: Moment,
    /// Why it settles for longer than others: its writers cannot be detected.
    pub unseen: Option<Arc<String>>,
    /// How far it has come.
    pub stage: Stage,
    look_at: Moment,
    past: Option<Box<Past>>,
}

/// What a file has been through; most are complete as they were first seen, and have no past.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Past {
    first_seen: Moment,
    /// When its present size, date and inode were first seen.
    content_since: Moment,
    /// How often a look found it changed, as far as is counted.
    changes: u16,
    /// How often a look found it larger, and since when; not once it has become smaller, or another file.
    grown: u16,
    growing_since: Second,
    /// For how long it was waited for last, while it was held up.
    wait: Moment,
}

/// A file that has grown for so long may be sent while it is written, however small it is.
const GROWING_FOR: Duration = Duration::from_secs(30);
/// So often a look has to have found it larger.
const GROWTHS: u16 = 2;

impl Pending {
    /// When it was first seen.
    #[must_use]
    pub fn first_seen(&self) -> Duration {
        self.past.as_ref().map_or(self.since, |past| past.first_seen).time()
    }

    /// How often a look found it changed, as far as is counted.
    #[must_use]
    pub fn changes(&self) -> u16 {
        self.past.as_ref().map_or(0, |past| past.changes)
    }

    fn content_since(&self) -> Duration {
        self.past.as_ref().map_or(self.since, |past| past.content_since).time()
    }

    /// Its past, which begins with its present state.
    fn past(&mut self) -> &mut Past {
        let since = self.since;
        self.past.get_or_insert_with(|| {
            let growing_since = Second::at(since.time());
            Box::new(Past {
                first_seen: since,
                content_since: since,
                changes: 0,
                grown: 0,
                growing_since,
                wait: Moment(0),
            })
        })
    }

    /// When its present state was first seen, or was let go of by whoever held it.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since.time()
    }

    /// Whether it is complete.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole(_))
    }

    /// Whether what differs from the last look has been going on for so long, with the same size, date and inode, that it starts nothing
    /// again.
    fn is_touched_only(&self, now: Duration, identity: &FileIdentity, times: SettleTimes) -> bool {
        let settle = times.of(identity, self.unseen.is_some());
        self.identity.same_content(identity) && now >= self.content_since() + (settle * TOUCHES).max(SHORTEST_TOUCHED)
    }

    /// Whether it is being written, and nothing but longer: for a while, or up to `least` bytes.
    #[must_use]
    pub fn is_growing(&self, now: Duration, least: u64) -> bool {
        let Some(past) = &self.past else { return false };
        let long = self.identity.size >= least || now.saturating_sub(past.growing_since.time()) >= GROWING_FOR;
        past.grown >= GROWTHS && long && !self.is_whole()
    }

    fn note_growth(&mut self, now: Duration, identity: &FileIdentity) {
        let before = self.identity;
        let is_other = (before.device, before.inode) != (identity.device, identity.inode);
        let past = self.past();
        if is_other || identity.size < before.size {
            past.grown = 0;
        } else if identity.size > before.size {
            if past.grown == 0 {
                past.growing_since = Second::at(now);
            }
            past.grown = past.grown.saturating_add(1);
        }
    }

    /// When the next look at it is due; `None` when it is complete.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        (!self.is_whole()).then_some(self.look_at.time())
    }
}

/// The files of a rule that are not complete yet, or complete and not packaged yet.
#[derive(Debug)]
pub struct Settling {
    times: SettleTimes,
    files: PathMap<Pending>,
}

impl Settling {
    /// Nothing yet.
    #[must_use]
    pub fn new(times: SettleTimes) -> Self {
        Self { times, files: PathMap::default() }
    }

    /// A look found the file like this.
    pub fn observe(&mut self, now: Duration, path: &Arc<Path>, identity: FileIdentity) {
        // Whether its writers are seen is asked when the shorter of the two times is over.
        let settle = self.times.of(&identity, false);
        match self.files.get_mut(path) {
            None => {
                let fresh = Pending {
                    identity,
                    since: Moment::at(now),
                    unseen: None,
                    stage: Stage::Settling,
                    look_at: Moment::at(now + settle),
                    past: None,
                };
                self.files.insert(Arc::clone(path), fresh);
            }
            Some(file) if file.identity != identity => {
                if file.is_touched_only(now, &identity, self.times) {
                    file.identity = identity;
                    return;
                }
                file.note_growth(now, &identity);
                let same_content = file.identity.same_content(&identity);
                let past = file.past();
                if !same_content {
                    past.content_since = Moment::at(now);
                }
                past.changes = past.changes.saturating_add(1);
                past.wait = Moment(0);
                file.identity = identity;
                file.since = Moment::at(now);
                file.stage = Stage::Settling;
                file.look_at = Moment::at(now + settle);
            }
            // Whatever brought this look about may be the end of what holds the file up.
            Some(file) if matches!(file.stage, Stage::Held(_)) => file.look_at = Moment::at(now),
            Some(_) => {}
        }
    }

    /// The confirming look that [`Self::due`] asked for found the file like this, and this of its writers. Returns whether
    /// it is complete now.
    pub fn confirm(&mut self, now: Duration, path: &Arc<Path>, identity: FileIdentity, writing: Writing) -> bool {
        let seen_before = self.is_unchanged(now, path, &identity);
        self.observe(now, path, identity);
        let times = self.times;
        let Some(file) = self.files.get_mut(path) else { return false };
        let unseen = match writing {
            Writing::By(who) => {
                if seen_before && now >= file.since() + times.of(&identity, false) {
                    self.hold(now, path, Hold::Writer(who.into()));
                }
                return false;
            }
            Writing::No => None,
            Writing::Unseen(why) => Some(Arc::new(why)),
        };
        if matches!(&file.stage, Stage::Held(hold) if matches!(**hold, Hold::Writer(_))) {
            // It was let go of just now: a program that closes a file may be about to open it again.
            file.past().wait = Moment(0);
            file.since = Moment::at(now);
            file.stage = Stage::Settling;
        }
        let settled_at = file.since() + times.of(&identity, unseen.is_some());
        file.unseen = unseen;
        if !seen_before || now < settled_at {
            file.look_at = Moment::at(settled_at);
            return false;
        }
        if !file.is_whole() {
            file.stage = Stage::Whole(now);
        }
        true
    }

    /// Whether the file is what it was at the last look: like this, or only touched since, and that for too long.
    #[must_use]
    pub fn is_unchanged(&self, now: Duration, path: &Path, identity: &FileIdentity) -> bool {
        let unchanged = |file: &Pending| file.identity == *identity || file.is_touched_only(now, identity, self.times);
        self.files.get(path).is_some_and(unchanged)
    }

    /// The file does not change but something is in the way; it is looked at again, ever less often.
    pub fn hold(&mut self, now: Duration, path: &Arc<Path>, hold: Hold) {
        let settle = self.times.seen;
        let Some(file) = self.files.get_mut(path) else { return };
        let past = file.past();
        let wait = (past.wait.time() * 2).clamp(settle.clamp(SHORTEST_WAIT, LONGEST_WAIT), LONGEST_WAIT);
        past.wait = Moment::at(wait);
        file.look_at = Moment::at(now + wait);
        file.stage = Stage::Held(Box::new(hold));
    }

    /// The file is gone, was taken, or is no longer of interest.
    pub fn remove(&mut self, path: &Path) -> Option<Pending> {
        self.files.remove(path)
    }

    /// Forgets what was observed but not the files: after the folder was offline nothing of it proves anything.
    pub fn start_anew(&mut self, now: Duration) {
        for file in self.files.values_mut() {
            file.past().content_since = Moment::at(now);
            file.since = Moment::at(now);
            file.stage = Stage::Settling;
            file.look_at = Moment::at(now + self.times.of(&file.identity, false));
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

    /// The file, if it is pending.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Pending> {
        self.files.get(path)
    }

    /// All pending files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Path>, &Pending)> {
        self.files.iter()
    }

    /// How many files are pending.
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

    fn settling(seconds: u64) -> Settling {
        let seen = Duration::from_secs(seconds);
        Settling::new(SettleTimes { seen, unseen: seen * 6 })
    }

    fn after(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    fn path() -> Arc<Path> {
        Arc::from(Path::new("clip.mov"))
    }

    #[test]
    fn even_without_a_settle_time_two_looks_must_agree() {
        let mut settling = settling(0);
        settling.observe(NOW, &path(), state(1));
        assert_eq!(settling.due(NOW), [path()]);
        assert!(!settling.confirm(NOW, &path(), state(2), Writing::No));
        assert!(settling.confirm(NOW, &path(), state(2), Writing::No));
        assert!(settling.get(&path()).unwrap().is_whole());
    }

    /// Row "gave up and never tried again": waiting is a state, not an error, and is looked at ever less often.
    #[test]
    fn a_file_that_is_held_is_tried_again_without_end() {
        let mut settling = settling(5);
        settling.observe(NOW, &path(), state(1));
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = settling.next_look().unwrap();
            waits.push((next - now).as_secs());
            now = next;
            assert!(!settling.confirm(now, &path(), state(1), Writing::By("sox".to_owned())));
        }
        assert_eq!(waits, [5, 5, 10, 20, 40, 60, 60, 60]);
        // A hint makes the next look come at once.
        settling.observe(now, &path(), state(1));
        assert_eq!(settling.due(now), [path()]);
        assert!(!settling.confirm(now, &path(), state(1), Writing::No), "it was let go of just now");
        assert!(settling.confirm(now + Duration::from_secs(5), &path(), state(1), Writing::No));
        assert_eq!(settling.next_look(), None, "nothing to do costs nothing");
    }

    #[test]
    fn after_the_folder_was_offline_nothing_that_was_seen_proves_anything() {
        let mut settling = settling(5);
        settling.observe(NOW, &path(), state(1));
        settling.start_anew(NOW + Duration::from_secs(60));
        assert!(!settling.confirm(NOW + Duration::from_secs(61), &path(), state(1), Writing::No));
        assert!(settling.confirm(NOW + Duration::from_secs(65), &path(), state(1), Writing::No));
    }

    /// `chmod -R` by a timer that is shorter than the settle time: each starts the time again, but not for ever.
    #[test]
    fn a_file_that_is_touched_again_and_again_is_complete_all_the_same() {
        let (mut settling, path) = (settling(5), path());
        settling.observe(after(0), &path, state(0));
        let mut whole_at = None;
        for second in 1..100 {
            // Looked at twice a second, and another mode each time.
            let touched = state(i64::try_from(second).unwrap());
            settling.observe(after(second), &path, touched);
            if settling.due(after(second)).contains(&path) {
                settling.confirm(after(second), &path, FileIdentity { ctime_ns: -1, ..touched }, Writing::No);
            }
            whole_at = whole_at.or(settling.get(&path).unwrap().is_whole().then_some(second));
        }
        let whole_at = whole_at.unwrap();
        assert!((30..=40).contains(&whole_at), "{whole_at}");
        // Another size or date starts the time again, and so does whoever writes.
        settling.observe(after(100), &path, FileIdentity { mtime_ns: 7, ..state(100) });
        assert!(!settling.get(&path).unwrap().is_whole());
        assert!(!settling.is_unchanged(after(101), &path, &FileIdentity { mtime_ns: 7, ..state(101) }));
    }

    /// If writers cannot be detected, a pause of the writer looks like its end: the longer time applies.
    #[test]
    fn a_file_whose_writers_are_not_seen_settles_for_longer() {
        let mut settling = settling(5);
        settling.observe(NOW, &path(), state(1));
        let unseen = || Writing::Unseen("NFS".to_owned());
        assert!(!settling.confirm(after(5), &path(), state(1), unseen()));
        assert_eq!(settling.get(&path()).unwrap().unseen.as_deref(), Some(&"NFS".to_owned()));
        assert_eq!(settling.next_look(), Some(after(30)));
        assert!(settling.confirm(after(30), &path(), state(1), unseen()));
    }

    /// Clients that fail leave empty files, and servers make the name before the first byte is there.
    #[test]
    fn an_empty_file_waits_for_a_minute_and_no_less_than_any_other() {
        let empty = FileIdentity { size: 0, ..state(1) };
        for (settle, waits) in [(0, 0), (1, 12), (5, 60), (90, 90)] {
            let mut settling = settling(settle);
            settling.observe(NOW, &path(), empty);
            assert_eq!(settling.next_look(), Some(after(waits)));
            assert!(settling.confirm(after(waits), &path(), empty, Writing::No));
        }
    }

    #[test]
    fn a_writer_that_holds_the_file_is_waited_for_and_so_is_the_settle_time_after_it() {
        let mut settling = settling(5);
        settling.observe(NOW, &path(), state(1));
        assert!(!settling.confirm(after(5), &path(), state(1), Writing::By("ffmpeg".to_owned())));
        assert_eq!(settling.get(&path()).unwrap().stage, Stage::Held(Box::new(Hold::Writer("ffmpeg".into()))));
        settling.observe(after(7), &path(), state(1)); // a hint: it was closed
        assert!(!settling.confirm(after(7), &path(), state(1), Writing::No));
        assert_eq!((settling.next_look(), settling.get(&path()).unwrap().since()), (Some(after(12)), after(7)));
        assert!(settling.confirm(after(12), &path(), state(1), Writing::No));
    }
}
