//! A folder, a clock and a ledger that exist only here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use crate::base::{FileIdentity, UploadId};
use crate::rules::{Finalize, Rule, SystemEnvironment, parse};
use crate::store::{LedgerEntry, Outcome};
use crate::watch::beneath::Probe;
use crate::watch::desk::Desk;
use crate::watch::dispatch::Surroundings;
use crate::watch::package::Gate;
use crate::watch::scan::{Folder, Look, Observed};
use crate::watch::sieve::Sieve;

/// The rule with these keys, over a folder that does not exist.
pub fn rule(keys: &str) -> Arc<Rule> {
    let lines: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "version: 1\ntimezone: UTC\nrules:\n  - name: simulated\n    watch: /drop\n    upload: {{ kind: link }}\n{lines}"
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
    pub readable: bool,
}

pub struct Simulation {
    pub desk: Desk,
    pub files: BTreeMap<PathBuf, Imagined>,
    pub folders: BTreeSet<PathBuf>,
    pub now: Duration,
    pub made: Vec<Made>,
    ledger: BTreeMap<PathBuf, LedgerEntry>,
    clock: Zoned,
    states: i64,
    inodes: u64,
    open: bool,
}

impl Simulation {
    pub fn new(keys: &str) -> Self {
        let rule = rule(keys);
        let open = matches!(rule.finalize, Finalize::Open(_));
        Self {
            desk: Desk::new(Sieve::new(rule, &[], &[]), Surroundings::default()),
            files: BTreeMap::new(),
            folders: BTreeSet::from([PathBuf::new()]),
            now: Duration::ZERO,
            made: Vec::new(),
            ledger: BTreeMap::new(),
            clock: "2026-11-24T12:00:00[UTC]".parse().unwrap(),
            states: 0,
            inodes: 0,
            open,
        }
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
            Imagined { identity, held: false, readable: true }
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
        let sieve = Sieve::new(Arc::clone(self.desk.rule()), &[], &[]);
        let observed = self.files.iter().filter_map(|(path, file)| {
            if !path.ancestors().skip(1).all(|folder| sieve.enters(folder)) {
                return None;
            }
            let kind = sieve.sort(path, file.identity.size)?;
            Some(Observed { relative: Arc::from(path.as_path()), identity: file.identity, kind, target: None })
        });
        let files = observed.collect();
        let folder = |path: &PathBuf| Folder { relative: Arc::from(path.as_path()), id: (1, 0) };
        let folders = self.folders.iter().map(folder).collect();
        let look = Look { root: (1, 1), covered: vec![PathBuf::new()], files, folders, ..Look::default() };
        let changes = self.desk.take(self.now, look).unwrap();
        for path in &changes.fresh {
            self.desk.judge(self.now, &self.clock, path, self.ledger.get(&**path));
        }
        self.act();
    }

    /// Lets the time pass, doing what becomes due on the way and nothing else.
    pub fn pass_until(&mut self, until: Duration) {
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.act();
        }
        self.now = until.max(self.now);
    }

    fn next(&mut self) -> Option<Duration> {
        let plan = self.desk.plan(self.now, Gate::Open, self.open).next;
        self.desk.next(self.now).into_iter().chain(plan).min()
    }

    fn act(&mut self) {
        for (path, place) in self.desk.due(self.now) {
            let (probe, held) = self.probe(&place);
            self.desk.confirm(self.now, &path, probe, held.then(|| "somebody".to_owned()));
        }
        loop {
            let packages = self.desk.plan(self.now, Gate::Open, self.open).packages;
            let planned = packages.len();
            let made = self.made.len();
            for package in packages {
                let probes: Vec<Probe> = package.files.iter().map(|path| self.probe(path).0).collect();
                let checks = package.files.iter().zip(&probes);
                if checks.fold(true, |whole, (path, probe)| self.desk.recheck(self.now, path, probe) && whole) {
                    self.ship(&self.desk.chosen(&package));
                }
            }
            if self.made.len() == made + planned {
                return;
            }
        }
    }

    fn ship(&mut self, chosen: &[crate::watch::dispatch::Chosen]) {
        let id = UploadId::new();
        let mut files = Vec::new();
        for file in chosen {
            let path = file.relative.to_path_buf();
            self.desk.sent_with(&path, id);
            let entry = LedgerEntry {
                path: path.clone(),
                identity: file.identity,
                outcome: Outcome::Sent,
                upload: Some(id),
                at: self.clock.timestamp(),
            };
            self.ledger.insert(path.clone(), entry);
            files.push((path, file.identity));
        }
        self.made.push(Made { at: self.now, files });
    }

    fn probe(&self, path: &Path) -> (Probe, bool) {
        match self.files.get(path) {
            None => (Probe::Gone, false),
            Some(file) if !file.readable => (Probe::Unreadable("closed".to_owned()), file.held),
            Some(file) => (Probe::Readable(file.identity), file.held),
        }
    }
}
