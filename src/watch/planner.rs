//! Everything a rule knows and decides, without side effects: scan results, verdicts, what is settling,
//! what is ready, what to package.
//!
//! **In**: the time since the start, scans, ledger entries, probes, outcomes of packages. **Out**: what to scan,
//! what to package, what to report. Pure, so that histories of a folder can be replayed quickly.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use self::by_upload::ByUpload;
use self::companions::Companions;
use self::growing::Growing;
use super::beneath::{Offline, Probe};
use super::classifier::{Classifier, Kind};
use super::dedup::{DedupDecision, judge};
use super::dispatch::{Chosen, More, Surroundings, group_of};
use super::listing::Listing;
use super::open_handles::Writing;
use super::package::{Gate, Item, Package, Plan, Standing, plan, top_level};
use super::scan::Look;
use super::settle::{Hold, SettleTimes, Settling, Stage};
use super::snapshot::{Changes, Known, Snapshot};
use crate::model::LedgerEntry;
use crate::model::UploadId;
use masv_platform::FileIdentity;
use masv_rules::composed;
use masv_rules::{AfterComplete, Ready, Rule};

pub use self::renaming::Said;

mod by_upload;
mod companions;
mod growing;
mod renaming;
mod waiting;

/// Why a complete file cannot be packaged at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Why, for a person.
    pub reason: String,
    /// When it is tried again; `None` when only a change of the rules or the file helps.
    pub until: Option<Duration>,
}

/// What a rule knows.
#[derive(Debug)]
pub struct Planner {
    sieve: Classifier,
    surroundings: Surroundings,
    inventory: Snapshot,
    settling: Settling,
    groups: BTreeMap<Arc<Path>, Arc<str>>,
    /// Since when complete files have their marker.
    marked: BTreeMap<Arc<Path>, Duration>,
    blocks: BTreeMap<Arc<Path>, Block>,
    listing: Listing,
    /// The checksum lists that are there.
    manifests: BTreeSet<Arc<Path>>,
    /// Of each top-level entry with a file that was not ready when packages were last planned, the first such file.
    in_the_way: BTreeMap<PathBuf, Arc<Path>>,
    /// Paths on disk whose composed form is another, by that form.
    decomposed: HashMap<PathBuf, Arc<Path>>,
    /// Files whose content has to be compared with what was sent.
    comparing: BTreeSet<Arc<Path>>,
    /// What files held that were compared, as long as they look like this.
    contents: HashMap<Arc<Path>, (FileIdentity, String)>,
    by_upload: ByUpload,
    companions: Companions,
    /// Files that are being written, and sent meanwhile.
    growing: Growing,
    no_group: Arc<str>,
}

impl Planner {
    /// An empty desk.
    #[must_use]
    pub fn new(sieve: Classifier, surroundings: Surroundings) -> Self {
        let rule = sieve.rule();
        let by_upload = ByUpload::new(!matches!(rule.after.complete, AfterComplete::Keep));
        let settling = Settling::new(SettleTimes { seen: rule.settle, unseen: rule.settle_unseen });
        Self {
            sieve,
            surroundings,
            inventory: Snapshot::default(),
            settling,
            groups: BTreeMap::new(),
            marked: BTreeMap::new(),
            blocks: BTreeMap::new(),
            listing: Listing::default(),
            manifests: BTreeSet::new(),
            in_the_way: BTreeMap::new(),
            decomposed: HashMap::new(),
            comparing: BTreeSet::new(),
            contents: HashMap::new(),
            by_upload,
            companions: Companions::default(),
            growing: Growing::default(),
            no_group: Arc::from(""),
        }
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &Arc<Rule> {
        self.sieve.rule()
    }

    /// What is there.
    #[must_use]
    pub fn inventory(&self) -> &Snapshot {
        &self.inventory
    }

    /// What is pending.
    #[must_use]
    pub fn settling(&self) -> &Settling {
        &self.settling
    }

    /// Adds a scan. The new files it returns must be [judged](Self::judge); until then they are not packaged.
    ///
    /// # Errors
    /// [`Offline`] if the scan shows that the folder is not the known one.
    pub fn take(&mut self, now: Duration, look: Look) -> Result<Changes, Offline> {
        let held = |path: &Arc<Path>| {
            self.settling.get(path).filter(|file| matches!(file.stage, Stage::Held(_))).map(|file| file.identity)
        };
        let seen = look.files.iter().filter_map(|file| Some((Arc::clone(&file.relative), held(&file.relative)?)));
        let held: Vec<_> = seen.collect();
        let changes = self.inventory.apply(now, look)?;
        for (path, identity) in &held {
            self.settling.observe(now, path, *identity);
        }
        for (path, known) in &changes.gone {
            self.drop_path(path);
            self.listing.remove(path);
            self.manifests.remove(path);
            self.by_upload.change(path, known.verdict, None);
            self.decomposed.remove(&*composed(path));
            self.comparing.remove(path);
            self.contents.remove(path);
            self.companions.remove(path);
        }
        for path in &changes.fresh {
            self.companions.add(path);
            if let Cow::Owned(form) = composed(path) {
                self.decomposed.insert(form, Arc::clone(path));
            }
            if self.sieve.is_list(path) {
                self.manifests.insert(Arc::clone(path));
            }
            self.blocks.remove(path);
            self.marked.remove(path);
            match self.inventory.get(path).map(|known| (known.kind, known.identity)) {
                Some((Kind::Unfinished | Kind::List, identity)) => self.settling.observe(now, path, identity),
                Some((Kind::Item, identity)) if self.settling.get(path).is_some() => {
                    self.settling.observe(now, path, identity);
                }
                Some(_) => drop(self.settling.remove(path)),
                None => {}
            }
        }
        Ok(changes)
    }

    /// Decides what to do with a file, given the ledger's entry for its path.
    pub fn judge(&mut self, now: Duration, clock: &Zoned, path: &Arc<Path>, entry: Option<&LedgerEntry>) {
        let Some(Known { identity, kind: Kind::Item, .. }) = self.inventory.get(path) else { return };
        let identity = *identity;
        let verdict = judge(self.sieve.rule(), entry, &identity, self.content_of(path));
        self.set_verdict(path, verdict);
        if verdict == DedupDecision::Comparing {
            self.comparing.insert(Arc::clone(path));
        } else {
            self.comparing.remove(path);
        }
        let grows = self.growing.judged(path, verdict);
        if !verdict.sends() && !grows {
            self.settling.remove(path);
            return;
        }
        self.settling.observe(now, path, identity);
        if self.rule().group_by.is_some() && !self.groups.contains_key(path) {
            match group_of(self.sieve.rule(), &self.surroundings, clock, path, identity.size) {
                Ok(group) => drop(self.groups.insert(Arc::clone(path), Arc::from(group))),
                Err(error) => {
                    let block = Block { reason: super::describe(&error), until: None };
                    self.blocks.insert(Arc::clone(path), block);
                }
            }
        }
    }

    /// What the file at `path` holds, where that was found out and the file still looks the same.
    #[must_use]
    pub fn content_of(&self, path: &Path) -> Option<&str> {
        let identity = self.inventory.get(path)?.identity;
        self.contents.get(path).filter(|(of, _)| *of == identity).map(|(_, content)| content.as_str())
    }

    /// The files whose content is to be found out, with the place of their bytes and what they look like.
    #[must_use]
    pub fn uncompared(&self) -> Vec<(Arc<Path>, Arc<Path>, FileIdentity)> {
        let unknown = self.comparing.iter().filter(|path| self.content_of(path).is_none());
        let known = unknown.filter_map(|path| {
            let known = self.inventory.get(path)?;
            Some((Arc::clone(path), known.place(path), known.identity))
        });
        known.collect()
    }

    /// Records what a file that looks like `identity` holds. It must be judged again.
    pub fn take_content(&mut self, path: Arc<Path>, identity: FileIdentity, content: String) {
        if self.inventory.get(&path).is_some_and(|known| known.identity == identity) {
            self.contents.insert(path, (identity, content));
        }
    }

    /// The files that need to be checked individually now, with the place of their content.
    #[must_use]
    pub fn due(&self, now: Duration) -> Vec<(Arc<Path>, Arc<Path>)> {
        let place = |path: Arc<Path>| {
            let place = self.inventory.get(&path).map_or_else(|| Arc::clone(&path), |known| known.place(&path));
            (path, place)
        };
        self.settling.due(now).into_iter().map(place).collect()
    }

    /// Adds such a check, and what it found about the file's writers.
    pub fn confirm(&mut self, now: Duration, path: &Arc<Path>, probe: Probe, writing: Writing) {
        match probe {
            Probe::Gone => self.taken_away(path),
            Probe::Unreadable(reason) => self.settling.hold(now, path, Hold::Unreadable(reason.into())),
            Probe::Readable(identity) if self.is_something_else(path, &identity) => self.taken_away(path),
            Probe::Readable(identity) => {
                self.inventory.update(path, identity);
                let whole = self.settling.confirm(now, path, identity, writing);
                let unfinished = self.inventory.get(path).is_some_and(|known| known.kind == Kind::Unfinished);
                if whole && unfinished {
                    // No one is working on it: a leftover, which holds nothing up.
                    self.settling.remove(path);
                }
            }
        }
    }

    /// Whether the file's size has made it something else to the rule since a look found it, or another file has taken its place, of which
    /// the ledger may say otherwise. It is forgotten then: the next look finds it as what it is.
    fn is_something_else(&self, path: &Path, identity: &FileIdentity) -> bool {
        let Some(known) = self.inventory.get(path) else { return false };
        let replaced = (known.identity.device, known.identity.inode) != (identity.device, identity.inode);
        replaced || (known.identity.size != identity.size && self.sieve.sort(path, identity.size) != Some(known.kind))
    }

    /// The last check before packaging found a complete file like this. Returns whether it is unchanged and no program has started to
    /// write to it; otherwise it settles again.
    pub fn recheck(&mut self, now: Duration, path: &Arc<Path>, probe: &Probe, writing: &Writing) -> bool {
        match probe {
            Probe::Readable(identity) if self.is_something_else(path, identity) => {
                self.taken_away(path);
                false
            }
            Probe::Readable(identity) => {
                let same = self.settling.is_unchanged(now, path, identity);
                self.inventory.update(path, *identity);
                self.settling.observe(now, path, *identity);
                if let Writing::By(who) = writing {
                    self.settling.hold(now, path, Hold::Writer(who.as_str().into()));
                    return false;
                }
                same
            }
            Probe::Unreadable(reason) => {
                self.settling.hold(now, path, Hold::Unreadable(reason.as_str().into()));
                false
            }
            Probe::Gone => {
                self.taken_away(path);
                false
            }
        }
    }

    /// What to package now.
    #[must_use]
    pub fn plan(&mut self, now: Duration, gate: Gate, open_package: bool) -> Plan {
        let items = self.items(now);
        let newest = |top: &Path| self.inventory.newest_folder(top);
        plan(now, &self.sieve.rule().package, gate, open_package, &items, &newest)
    }

    fn items(&mut self, now: Duration) -> Vec<Item> {
        self.refresh_lists();
        let mut in_the_way = BTreeMap::new();
        let mut items = Vec::with_capacity(self.settling.count());
        for (path, pending) in self.settling.iter() {
            let kind = self.inventory.get(path).map(|known| known.kind);
            if kind == Some(Kind::List) {
                continue; // Read, never sent: what it may speak of waits for it.
            }
            let unfinished = kind != Some(Kind::Item);
            let marked = match &pending.stage {
                Stage::Whole(_) if !unfinished => self.ready_beyond_settled(path),
                _ => false,
            };
            let since_marked = match (&self.sieve.rule().ready, marked) {
                (Ready::Settled, _) | (_, false) => pending.since(),
                _ => *self.marked.entry(Arc::clone(path)).or_insert(now),
            };
            let standing = match &pending.stage {
                _ if unfinished => Standing::Unfinished,
                Stage::Held(hold) if matches!(**hold, Hold::Unreadable(_)) => Standing::Stuck,
                Stage::Settling | Stage::Held(_) => Standing::Settling,
                Stage::Whole(_) if self.blocks.get(path).is_some_and(|b| b.until.is_none_or(|at| now < at)) => {
                    Standing::Stuck
                }
                Stage::Whole(_) if self.is_planted(path) || self.companion(path).is_some() => Standing::Stuck,
                Stage::Whole(_) if !marked => Standing::Waiting,
                Stage::Whole(at) if self.waits_for_growing(path, *at).is_some_and(|until| now < until) => {
                    Standing::Waiting
                }
                Stage::Whole(at) => Standing::Ready((*at).max(since_marked)),
            };
            if !matches!(standing, Standing::Ready(_)) {
                in_the_way.entry(top_level(path).to_owned()).or_insert_with(|| Arc::clone(path));
            }
            items.push(Item {
                path: Arc::clone(path),
                size: pending.identity.size,
                group: Arc::clone(self.groups.get(path).unwrap_or(&self.no_group)),
                since: pending.since().max(since_marked),
                standing,
            });
        }
        self.in_the_way = in_the_way;
        items
    }

    /// The files of a package as they are to be sent, but for those that are no longer whole.
    #[must_use]
    pub fn chosen(&self, package: &Package) -> Vec<Chosen> {
        let chosen = package.files.iter().filter_map(|path| {
            let identity = self.settling.get(path).filter(|file| file.is_whole())?.identity;
            let known = self.inventory.get(path)?;
            let verified = self.listing.verified(path, &identity);
            let target = known.target.as_ref().map(|target| Arc::clone(&target.0));
            let more =
                (verified.is_some() || target.is_some()).then(|| Box::new(More { target, verified, guard: None }));
            Some(Chosen { relative: Arc::clone(path), identity, owner: known.owner, more })
        });
        let mut all = Vec::with_capacity(package.files.len());
        all.extend(chosen);
        all
    }

    /// An upload has the file now.
    pub fn sent_with(&mut self, path: &Arc<Path>, upload: UploadId) {
        self.set_verdict(path, DedupDecision::InUpload(Some(upload)));
        self.contents.remove(path);
        self.growing.finished(path);
        self.drop_path(path);
    }

    /// The file counts as sent.
    pub fn skip(&mut self, path: &Arc<Path>) {
        self.set_verdict(path, DedupDecision::Skipped);
        self.drop_path(path);
    }

    /// The file could not be packaged.
    pub fn block(&mut self, path: &Arc<Path>, reason: String, until: Option<Duration>) {
        self.blocks.insert(Arc::clone(path), Block { reason, until });
    }

    /// The file was removed or moved away by the agent itself, or is to be found again.
    pub fn taken_away(&mut self, path: &Path) {
        if let Some((path, known)) = self.inventory.remove(path) {
            self.by_upload.change(&path, known.verdict, None);
            self.companions.remove(&path);
        }
        self.drop_path(path);
    }

    /// After the folder was offline nothing that was observed of unsettled files proves anything.
    pub fn start_anew(&mut self, now: Duration) {
        self.settling.start_anew(now);
    }

    /// Whatever file system the folder is on at the next look, it is the right one.
    pub fn forget_root(&mut self) {
        self.inventory.forget_root();
    }

    /// Whether nothing has to be waited for because a look found a file fresh: it is complete all the same, or is not to be sent. What is
    /// touched again and again is fresh at each look.
    #[must_use]
    pub fn is_settled(&self, path: &Path) -> bool {
        let known = self.inventory.get(path).filter(|known| known.kind == Kind::Item);
        match known.and_then(|known| known.verdict) {
            Some(verdict) if !verdict.sends() && !self.growing.has(path) => true,
            _ => self.settling.get(path).is_some_and(super::settle::Pending::is_whole),
        }
    }

    /// When something is due that no hint will announce.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let blocks = self.blocks.values().filter_map(|block| block.until).filter(|until| *until > now);
        self.settling.next_look().into_iter().chain(blocks).chain(self.next_growing(now)).min()
    }

    /// The files here that an upload which is not complete has.
    #[must_use]
    pub fn files_in(&self, id: UploadId) -> Vec<Arc<Path>> {
        self.by_upload.claimed(id).cloned().collect()
    }

    /// The files that were sent, are still here under their own names, and with which something is to be done, by the upload
    /// that they were sent in.
    pub fn sent_files(&self) -> impl Iterator<Item = (UploadId, impl Iterator<Item = &Arc<Path>>)> {
        let own_name = |path: &&Arc<Path>| self.inventory.get(path).is_some_and(|known| known.target.is_none());
        self.by_upload.sent().map(move |(id, files)| (id, files.filter(own_name)))
    }

    /// All files that may have to be sent.
    #[must_use]
    pub fn candidates(&self) -> Vec<Arc<Path>> {
        let items = self.inventory.files().filter(|(_, known)| known.kind == Kind::Item);
        items.map(|(path, _)| Arc::clone(path)).collect()
    }

    /// The pending files at or below a path.
    #[must_use]
    pub fn unsent_below(&self, top: &Path) -> Vec<(PathBuf, FileIdentity)> {
        let unsent = self.inventory.files().filter(|(path, known)| {
            path.starts_with(top) && known.verdict.is_some_and(DedupDecision::sends) && known.kind == Kind::Item
        });
        unsent.map(|(path, known)| (path.to_path_buf(), known.identity)).collect()
    }

    /// Whether the file was sent before, with other content.
    #[must_use]
    pub fn came_back_changed(&self, path: &Path) -> bool {
        self.inventory.get(path).is_some_and(|known| known.verdict == Some(DedupDecision::SendChanged))
    }

    /// How many files are pending.
    #[must_use]
    pub fn waiting_count(&self) -> u64 {
        let is_item = |path: &Path| self.inventory.get(path).is_some_and(|known| known.kind == Kind::Item);
        self.settling.iter().filter(|(path, _)| is_item(path)).count() as u64
    }

    /// Whether files that were there at `moment`, or came while those settled, are still settling.
    #[must_use]
    pub fn awaits(&self, moment: Duration) -> bool {
        let belongs = moment + self.rule().settle;
        self.settling.iter().any(|(_, file)| file.stage == Stage::Settling && file.first_seen() <= belongs)
    }

    /// Whether pending files of a group are still changing.
    #[must_use]
    pub fn is_settling(&self, group: &Arc<str>) -> bool {
        self.settling.iter().any(|(path, file)| {
            file.stage == Stage::Settling
                && self.groups.get(path).unwrap_or(&self.no_group) == group
                && self.inventory.get(path).is_some_and(|known| known.kind == Kind::Item)
        })
    }

    /// The file or folder beside `path` whose name says that `path` is not finished. A rule that sends such names takes them for
    /// files like any others.
    fn companion(&self, path: &Path) -> Option<&Path> {
        if self.rule().temporary { None } else { self.companions.of(path) }
    }

    fn set_verdict(&mut self, path: &Arc<Path>, verdict: DedupDecision) {
        if let Some(before) = self.inventory.set_verdict(path, verdict) {
            self.by_upload.change(path, before, Some(verdict));
        }
    }

    fn drop_path(&mut self, path: &Path) {
        self.settling.remove(path);
        self.groups.remove(path);
        self.marked.remove(path);
        self.blocks.remove(path);
    }
}
