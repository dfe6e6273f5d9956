//! A folder, a clock and a ledger that exist only here. Everything is decided by the code that decides for real: the desk,
//! the keeper of the schedule, the conditions of open packages. Only carrying it out is imagined.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use crate::model::UploadId;
use crate::model::{GrowingFile, LedgerEntry, Outcome};
use crate::watch::beneath::Probe;
use crate::watch::classifier::Classifier;
use crate::watch::dispatch::{Chosen, Surroundings};
use crate::watch::open::{OpenPackage, Situation, closes};
use crate::watch::open_handles::Writing;
use crate::watch::package::Gate;
use crate::watch::planner::Planner;
use crate::watch::scan::{Look, Observed, ObservedFolder};
use crate::watch::trigger::{Keeper, Orders, Run};
use masv_platform::{FileIdentity, OwnPlaces};
use masv_rules::{Finalize, Per, Rule, SystemEnvironment, parse};

/// The rule with these keys, over a folder that does not exist. A line `timezone: NAME` is the file's.
pub fn rule(keys: &str) -> Arc<Rule> {
    let of_file = |line: &&str| line.starts_with("timezone:");
    let zone = keys.lines().find(of_file).unwrap_or("timezone: UTC");
    let lines: String = keys.lines().filter(|line| !of_file(line)).map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "version: 1\n{zone}\nrules:\n  - name: simulated\n    watch: /drop\n    upload: {{ kind: link }}\n{lines}"
    );
    match parse(&text, Path::new("/rules.yaml"), &SystemEnvironment) {
        Ok(rules) => Arc::clone(&rules.rules[0]),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// A package that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub at: Duration,
    pub files: Vec<(PathBuf, FileIdentity)>,
}

/// A file that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Imagined {
    pub identity: FileIdentity,
    /// Whether somebody holds it open for writing.
    pub held: bool,
    /// Whether nothing tells who holds it.
    pub unseen: bool,
    pub readable: bool,
}

pub struct Simulation {
    pub desk: Planner,
    pub files: BTreeMap<PathBuf, Imagined>,
    pub folders: BTreeSet<PathBuf>,
    pub now: Duration,
    pub made: Vec<Made>,
    /// Open packages that were closed, and when.
    pub closed: Vec<Made>,
    pub orders: Orders,
    ledger: BTreeMap<PathBuf, LedgerEntry>,
    /// Uploads with files that are being written, as they were when they were begun.
    pub growing: BTreeMap<UploadId, BTreeMap<PathBuf, FileIdentity>>,
    /// How many files were begun while they were written, and how many uploads with such files were given up.
    pub begun: (usize, usize),
    /// The wall clock when the time began.
    epoch: Zoned,
    keeper: Keeper,
    /// Up to when the schedule has been followed, as it is kept across restarts.
    followed: Zoned,
    open: BTreeMap<Arc<str>, (OpenPackage, Made)>,
    /// The closing marker was taken.
    ordered: bool,
    states: i64,
    inodes: u64,
    wake: Option<Duration>,
}

impl Simulation {
    pub fn new(keys: &str) -> Self {
        Self::at(keys, "2026-11-24T12:00:00[UTC]")
    }

    /// One that begins at this time of the wall clock.
    pub fn at(keys: &str, clock: &str) -> Self {
        let epoch: Zoned = clock.parse().unwrap();
        Self {
            desk: Planner::new(Classifier::new(rule(keys), &[], &OwnPlaces::default()), Surroundings::default()),
            files: BTreeMap::new(),
            folders: BTreeSet::from([PathBuf::new()]),
            now: Duration::ZERO,
            made: Vec::new(),
            closed: Vec::new(),
            orders: Orders::default(),
            ledger: BTreeMap::new(),
            growing: BTreeMap::new(),
            begun: (0, 0),
            keeper: Keeper::new(epoch.timestamp()),
            followed: epoch.clone(),
            epoch,
            open: BTreeMap::new(),
            ordered: false,
            states: 0,
            inodes: 0,
            wake: None,
        }
    }

    fn clock(&self) -> Zoned {
        (&self.epoch + self.now).with_time_zone(self.desk.rule().time_zone.clone())
    }

    fn is_open(&self) -> bool {
        matches!(self.desk.rule().finalize, Finalize::Open(_))
    }

    /// The agent dies and starts again: what is not on disk is forgotten.
    pub fn restart(&mut self) {
        let rule = Arc::clone(self.desk.rule());
        self.desk = Planner::new(Classifier::new(rule, &[], &OwnPlaces::default()), Surroundings::default());
        self.keeper = Keeper::new(self.followed.timestamp());
        for (package, _) in self.open.values_mut() {
            package.last_added = self.now;
            package.retry_at = None;
        }
        let begun = self.growing.iter().flat_map(|(upload, files)| files.iter().map(|file| (*upload, file)));
        let begun = begun.map(|(upload, (path, identity))| GrowingFile {
            claim: path.clone(),
            upload,
            identity: *identity,
            bytes_done: 0,
        });
        self.desk.take_growing(begun.collect());
        self.look();
    }

    /// Writes a file: a new one, or other content into one that is there. The modification time is of no meaning.
    pub fn write(&mut self, path: &str, size: u64) {
        self.states += 1;
        let (path, states) = (PathBuf::from(path), self.states);
        self.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
        let inodes = &mut self.inodes;
        let file = self.files.entry(path).or_insert_with(|| {
            *inodes += 1;
            let identity = FileIdentity { size, mtime_ns: -1, ctime_ns: 0, device: 1, inode: *inodes };
            Imagined { identity, held: false, unseen: false, readable: true }
        });
        // Years back, and ever further: no modification time may be trusted.
        file.identity.mtime_ns = -states;
        file.identity.size = size;
        file.identity.ctime_ns = states;
    }

    /// Writes other content of the same size and sets the modification time back, as careful tools do.
    pub fn rewrite(&mut self, path: &str) {
        self.states += 1;
        let states = self.states;
        let file = self.files.get_mut(Path::new(path)).unwrap();
        file.identity.ctime_ns = states;
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(mut file) = self.files.remove(Path::new(from)) {
            self.states += 1;
            file.identity.ctime_ns = self.states;
            self.folders.extend(Path::new(to).ancestors().skip(1).map(Path::to_owned));
            self.files.insert(PathBuf::from(to), file);
        }
    }

    pub fn remove(&mut self, path: &str) {
        self.files.remove(Path::new(path));
    }

    /// A look at everything, as a hint or the clock brings it about.
    pub fn look(&mut self) {
        self.take_look();
        self.act();
    }

    /// Takes in a look; returns whether anything was new, changed or gone.
    fn take_look(&mut self) -> bool {
        let sieve = Classifier::new(Arc::clone(self.desk.rule()), &[], &OwnPlaces::default());
        let observed = self.files.iter().filter_map(|(path, file)| {
            if !path.ancestors().skip(1).all(|folder| sieve.enters(folder)) {
                return None;
            }
            let kind = sieve.sort(path, file.identity.size)?;
            Some(Observed {
                relative: Arc::from(path.as_path()),
                identity: file.identity,
                owner: 0,
                kind,
                target: None,
                planted: false,
            })
        });
        let files = observed.collect();
        let folder = |path: &PathBuf| ObservedFolder { relative: Arc::from(path.as_path()), id: (1, 0) };
        let folders = self.folders.iter().map(folder).collect();
        let look = Look { root: (1, 1), covered: vec![PathBuf::new()], files, folders, ..Look::default() };
        let changes = self.desk.take(self.now, look).unwrap();
        let clock = self.clock();
        for path in &changes.fresh {
            self.desk.judge(self.now, &clock, path, self.ledger.get(&**path));
        }
        !changes.fresh.is_empty() || !changes.gone.is_empty()
    }

    /// Lets the time pass, doing what becomes due on the way and nothing else.
    pub fn pass_until(&mut self, until: Duration) {
        while let Some(next) = self.wake.filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.act();
        }
        self.now = until.max(self.now);
    }

    fn act(&mut self) {
        for (path, place) in self.desk.due(self.now) {
            let (probe, writing) = self.probe(&place);
            self.desk.confirm(self.now, &path, probe, writing);
        }
        for _ in 0..1_000 {
            if !self.ship() {
                return;
            }
        }
        panic!("it never comes to an end");
    }

    /// One pass of packaging; returns whether another one has to follow at once.
    fn ship(&mut self) -> bool {
        let (now, clock, rule) = (self.now, self.clock(), Arc::clone(self.desk.rule()));
        let settling = |run: Run| self.desk.awaits(run.started);
        let (gate, ask_gate) = self.keeper.gate(now, &clock, &rule, self.orders, &settling);
        self.give_up_lost();
        if gate == Gate::Open {
            self.begin_growing();
        }
        let plan = self.desk.plan(now, gate, self.is_open());
        let (planned, mut shipped) = (plan.packages.len(), 0);
        for package in plan.packages {
            let unchanged = rule.package.per != Per::Folder || !self.take_look();
            let probes: Vec<(Probe, Writing)> = package.files.iter().map(|path| self.probe(path)).collect();
            let checks = package.files.iter().zip(&probes);
            let as_it_was = unchanged
                && checks.fold(true, |whole, (path, (probe, writing))| {
                    self.desk.recheck(now, path, probe, writing) && whole
                });
            let chosen = self.desk.chosen(&package);
            if as_it_was && chosen.len() == package.files.len() {
                self.send(&package.group, &chosen);
                shipped += 1;
            }
        }
        let more = shipped < planned;
        let settling = |run: Run| self.desk.awaits(run.started);
        if let Some(at) = self.keeper.ended(now, gate, more, plan.next, &settling) {
            self.followed = at.to_zoned(rule.time_zone.clone());
        }
        self.orders.flush = false;
        let ask_open = self.close_open(&clock);
        self.wake = [plan.next, ask_gate, ask_open, self.desk.next(now)].into_iter().flatten().min();
        // As the rule's task does: what is due already is due in a moment.
        self.wake = self.wake.map(|at| at.max(now + Duration::from_millis(5)));
        more
    }

    /// As the rule's task does: what is no longer what was begun is dropped.
    fn give_up_lost(&mut self) {
        for lost in self.desk.lost_growing() {
            self.give_up(lost.upload, &lost.path);
        }
    }

    fn give_up(&mut self, upload: UploadId, path: &Arc<Path>) {
        self.begun.1 += usize::from(self.growing.remove(&upload).is_some());
        self.ledger.retain(|_, entry| entry.outcome != Outcome::Claimed || entry.upload != Some(upload));
        let mut free = self.desk.gave_up_growing(upload);
        free.push(Arc::clone(path));
        let clock = self.clock();
        for path in free {
            self.desk.judge(self.now, &clock, &path, self.ledger.get(&*path));
        }
    }

    fn begin_growing(&mut self) {
        for (_, chosen) in self.desk.growing_now(self.now) {
            let id = self.desk.growing_upload_for(&chosen.relative).unwrap_or_default();
            let path = chosen.relative.to_path_buf();
            self.claim(&path, chosen.identity, id, Outcome::Claimed);
            self.growing.entry(id).or_default().insert(path, chosen.identity);
            self.desk.begun_with(&chosen, id);
            self.begun.0 += 1;
        }
    }

    fn claim(&mut self, path: &Path, identity: FileIdentity, id: UploadId, outcome: Outcome) {
        let entry = LedgerEntry {
            path: path.to_owned(),
            identity,
            outcome,
            upload: Some(id),
            at: self.clock().timestamp(),
            checksum: None,
            failed: false,
        };
        self.ledger.insert(path.to_owned(), entry);
    }

    fn send(&mut self, group: &Arc<str>, chosen: &[Chosen]) {
        let begun: BTreeSet<UploadId> = chosen.iter().filter_map(|file| self.desk.growing_in(&file.relative)).collect();
        let id = begun.first().copied().unwrap_or_default();
        let grown = chosen.iter().filter(|file| self.desk.growing_in(&file.relative) == Some(id)).count();
        if begun.len() > 1 || (!begun.is_empty() && self.desk.growing_files_of(id) != grown) {
            // Its package was divided.
            for upload in begun {
                self.give_up(upload, &chosen[0].relative);
            }
            return;
        }
        self.growing.remove(&id);
        let mut files = Vec::new();
        for file in chosen {
            let path = file.relative.to_path_buf();
            self.desk.sent_with(&file.relative, id);
            self.claim(&path, file.identity, id, Outcome::Sent);
            files.push((path, file.identity));
        }
        if self.is_open() {
            let (now, opened_at) = (self.now, OpenPackage::opened(self.clock().timestamp()));
            let (open, all) = self.open.entry(Arc::clone(group)).or_insert_with(|| {
                let open = OpenPackage { id, files: 0, bytes: 0, last_added: now, opened_at, retry_at: None };
                (open, Made { at: now, files: Vec::new() })
            });
            open.files += files.len() as u64;
            open.bytes += files.iter().map(|(_, identity)| identity.size).sum::<u64>();
            open.last_added = now;
            all.files.extend(files.iter().cloned());
        }
        self.made.push(Made { at: self.now, files });
    }

    /// Closes what is to be closed; returns when to ask again.
    fn close_open(&mut self, clock: &Zoned) -> Option<Duration> {
        let rule = Arc::clone(self.desk.rule());
        let Finalize::Open(when) = &rule.finalize else { return None };
        let marker = when.marker.as_ref().map(PathBuf::from);
        if let Some(marker) = marker.filter(|_| !self.open.is_empty() && !self.ordered)
            && self.desk.inventory().contains(&marker)
        {
            self.ordered = true;
            self.files.remove(&marker);
            self.desk.taken_away(&marker);
        }
        let mut asks = Vec::new();
        for group in self.open.keys().cloned().collect::<Vec<_>>() {
            let settling = self.desk.is_settling(&group);
            let Some((package, all)) = self.open.get_mut(&group) else { continue };
            match closes(when, package, Situation { now: self.now, clock, marker: self.ordered, settling }) {
                Ok(()) => {
                    self.closed.push(Made { at: self.now, files: all.files.clone() });
                    self.open.remove(&group);
                }
                Err(ask) => asks.extend(ask),
            }
        }
        self.ordered &= !self.open.is_empty();
        asks.into_iter().min()
    }

    /// Files in packages that are still open.
    pub fn still_open(&self) -> usize {
        self.open.values().map(|(_, all)| all.files.len()).sum()
    }

    /// Why a file that is there was not sent, as a person is told; `None` when there is nothing to tell.
    pub fn reason(&self, path: &Path) -> Option<String> {
        let known = self.desk.inventory().get(path)?;
        let verdict = known.verdict.filter(|verdict| !verdict.sends()).map(|verdict| format!("{verdict:?}"));
        let waits = || Some(self.desk.waits_for(path, self.desk.settling().get(path)?).0);
        verdict.or_else(waits).filter(|reason| !reason.is_empty())
    }

    fn probe(&self, path: &Path) -> (Probe, Writing) {
        let Some(file) = self.files.get(path) else { return (Probe::Gone, Writing::No) };
        let probe = if file.readable { Probe::Readable(file.identity) } else { Probe::Unreadable("closed".to_owned()) };
        let writing = match (file.held, file.unseen) {
            (true, _) => Writing::By("somebody".to_owned()),
            (false, true) => Writing::Unseen("nobody tells".to_owned()),
            (false, false) => Writing::No,
        };
        (probe, writing)
    }
}
