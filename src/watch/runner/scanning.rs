//! The folder of a rule: when it is scanned, what of it, and whether it is there at all.
//!
//! **In**: hints, the clock, where the folder lay before. **Out**: what is new, changed or gone ([`Found`]) for whoever judges it, in
//! the planner's inventory already; files that have settled, confirmed with the planner. A folder that is not the one of before is first
//! held against the ledger, by the caller ([`Stranger`]).
//!
//! **Owns** the times of scans, the hint that waits, which folder is the rule's own ([`OwnFolder`]), and why it is offline.
//!
//! **Guarantees.** Scans are spaced by at least the time the last one took. While the folder is offline, or another one is in its
//! place, nothing is found to be gone, and it is looked for again ever less often. Once it is back, everything is scanned and what was
//! settling settles anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::own_folder::{OwnFolder, may_be_made, place_of};
use super::context::Context;
use crate::store::{FilesHere, FolderEvidence, WatchedFolder};
use crate::watch::beneath::{Offline, open_root};
use crate::watch::folder_place::Taking;
use crate::watch::fs_events::Hinted;
use crate::watch::scan::{self, Look};
use crate::watch::snapshot::Changes;
use crate::watch::status::LastScan;
use masv_platform::{FolderMark, FolderPlace};
use masv_rules::{Poll, Symlinks};

mod own_folder;

/// Shortest time between two scans caused by hints.
const SHORTEST_GAP: Duration = Duration::from_millis(100);
/// Settled files looked at once more together.
const CONFIRMED_AT_ONCE: usize = 1_000;
/// Shortest and longest time between two scans of a polled folder.
const POLL_BOUNDS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// A folder is polled so rarely that scanning takes at most this fraction of the time.
const POLL_SHARE: u32 = 10;
/// Shortest and longest time until a folder that is offline is looked for again.
const OFFLINE_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// When to scan, and how the folder stands.
#[derive(Debug, Default)]
pub(super) struct Scanning {
    /// The next full scan.
    next_full: Duration,
    /// Everything is looked at then, watches are renewed and the ledger is read again.
    next_rescan: Duration,
    /// Hints wait.
    hinted: bool,
    /// The last look's end, and how long it took.
    ended: Duration,
    took: Duration,
    /// Until the folder is looked for again.
    retry: Duration,
    /// Everything has been looked at since the start.
    complete: bool,
    /// Why the folder cannot be looked at.
    offline: Option<Offline>,
    /// Which folder is the rule's own.
    own: OwnFolder,
}

/// What a pass has looked at.
pub(super) enum Looked {
    /// Nothing was due, or there is no folder.
    Nothing,
    /// The folder, or a part of it.
    Found(Box<Found>),
    /// A folder that may not be the rule's own.
    Stranger(Box<Stranger>),
}

/// A folder that is not the one of before, scanned; nothing was made of that yet.
pub(super) struct Stranger {
    look: Look,
    place: FolderPlace,
    began: Duration,
}

impl Stranger {
    /// The files in it.
    pub(super) fn files(&self) -> FilesHere {
        self.look.files.iter().map(|file| (Arc::clone(&file.relative), file.identity)).collect()
    }
}

/// What a look has found, for the other parts.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) changes: Changes,
    /// It was a renewing look: the ledger is to be read again, and everything judged by it.
    pub(super) renewed: bool,
    /// The folder was offline and is back.
    pub(super) is_back: bool,
    /// The folder is another one than before, or was not known: it is to be noted, and the ledger read by it.
    pub(super) taken: Option<(WatchedFolder, Taking)>,
}

impl Scanning {
    /// Takes what the store says about where the folder lay.
    pub(super) fn begin(&mut self, context: &Context, noted: Option<WatchedFolder>) {
        self.own.begin(&context.rule, noted);
    }

    /// Why the folder is offline.
    pub(super) fn offline(&self) -> Option<&Offline> {
        self.offline.as_ref()
    }

    /// Everything has been looked at since the start.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Everything has been looked at, and the folder is there.
    pub(super) fn is_able(&self) -> bool {
        self.offline.is_none() && self.complete
    }

    /// Has everything looked at in the next pass.
    pub(super) fn look_at_all_soon(&mut self) {
        self.next_full = Duration::ZERO;
    }

    /// Takes whatever is at the folder's path as the rule's own in the next pass.
    pub(super) fn accept_folder(&mut self) {
        self.own.accept();
        self.look_at_all_soon();
    }

    /// Whether the rule's own folder is there at this moment. Where it is not, everything is looked at in the next pass, which finds out
    /// why. What is to be done because files are missing asks this first.
    pub(super) async fn is_there(&mut self, context: &Context) -> bool {
        let watch = context.rule.place();
        let mark = context.blocking(move || Ok(FolderMark::of(&open_root(&watch)?)?)).await;
        let is_there = mark.is_ok_and(|mark| self.own.mark() == Some(mark));
        if !is_there {
            self.look_at_all_soon();
        }
        is_there
    }

    /// Waits for a hint; not while one waits already.
    pub(super) async fn hint(&mut self, context: &Context) {
        if self.hinted {
            std::future::pending::<()>().await;
        }
        context.hints.changed().await;
        self.hinted = true;
    }

    /// When everything is looked at again.
    pub(super) fn next_full(&self) -> Duration {
        self.next_full
    }

    /// When the hint that waits is followed.
    pub(super) fn next_hinted(&self) -> Option<Duration> {
        self.hinted.then(|| self.look_allowed_at())
    }

    fn look_allowed_at(&self) -> Duration {
        self.ended + self.took.max(SHORTEST_GAP)
    }

    /// Looks at what hints or the clock say.
    pub(super) async fn look_when_due(&mut self, context: &Context) -> Looked {
        let now = context.now();
        let hinted = if self.hinted && now >= self.look_allowed_at() {
            self.hinted = false;
            context.hints.take()
        } else {
            Hinted::default()
        };
        let follows_links = context.rule.symlinks == Symlinks::Within;
        let everything = now >= self.next_full
            || hinted.everything
            || hinted.paths.contains(Path::new(""))
            || (follows_links && !hinted.is_empty());
        if everything {
            self.look_at_everything(context, now).await
        } else if !hinted.is_empty() && self.offline.is_none() {
            match self.look_at_paths(context, hinted.paths.into_iter().collect()).await {
                Some(changes) => Looked::Found(Box::new(Found { changes, ..Found::default() })),
                None => Looked::Nothing,
            }
        } else {
            Looked::Nothing
        }
    }

    async fn look_at_everything(&mut self, context: &Context, now: Duration) -> Looked {
        let renew = now >= self.next_rescan;
        let (sieve, hints) = (context.sieve.clone(), Arc::clone(&context.hints));
        // A folder that was there and is gone is not made again: its drive may be away.
        let create = (context.rule.create && !self.complete).then(|| self.own.place().cloned());
        let own = self.own.mark();
        let look = context.blocking(move || {
            let (rule, watch) = (sieve.rule(), sieve.rule().place());
            if create.is_some_and(|before| before.is_none_or(|before| may_be_made(&rule.watch, &before))) {
                // If it cannot be created, the scan reports why.
                let _ = watch.make_folders();
            }
            sieve.ask_again();
            if renew {
                hints.renew();
            }
            let look = scan::look_at_all(&sieve, &mut |folder, id| hints.watch(folder, id))?;
            let place = if own == Some(look.mark) { None } else { Some(place_of(&watch, look.mark)?) };
            Ok((look, place))
        });
        let look = look.await;
        self.looked(context, now);
        let (look, place) = match look {
            Ok(look) => look,
            Err(offline) => {
                self.go_offline(context, offline).await;
                return Looked::Nothing;
            }
        };
        if renew {
            self.next_rescan = self.ended + context.rule.rescan;
        }
        self.next_full = self.after_this_look(context);
        {
            let mut status = context.shared.status();
            (status.skipped, status.awkward_names) = (look.skipped.clone(), look.awkward.clone());
        }
        let Some(place) = place else {
            self.own.found_again();
            return Looked::Found(Box::new(self.take_own(context, look, now, renew).await));
        };
        if self.own.is_strange(&place) {
            return Looked::Stranger(Box::new(Stranger { look, place, began: now }));
        }
        Looked::Found(Box::new(self.take_as_own(context, look, place, now, Taking::default()).await))
    }

    /// Takes a stranger as the rule's own folder if that is safe, given what the ledger says of what is in it.
    pub(super) async fn meet(
        &mut self,
        context: &Context,
        stranger: Stranger,
        evidence: FolderEvidence,
    ) -> Option<Found> {
        let Stranger { look, place, began } = stranger;
        match self.own.takes(&context.rule, &place, &evidence, look.files.is_empty()) {
            Ok(taking) => Some(self.take_as_own(context, look, place, began, taking).await),
            Err(offline) => {
                self.go_offline(context, offline).await;
                None
            }
        }
    }

    /// The same could not be asked.
    pub(super) fn meet_later(&mut self, context: &Context) {
        self.next_rescan = Duration::ZERO;
        self.next_full = context.now() + OFFLINE_BOUNDS.0;
    }

    async fn take_as_own(
        &mut self,
        context: &Context,
        look: Look,
        place: FolderPlace,
        began: Duration,
        taking: Taking,
    ) -> Found {
        let mark = look.mark;
        if !(taking.keeps && look.files.is_empty()) {
            // That it lies on another device now is understood.
            context.shared.desk().forget_root();
        }
        let mut found = self.take_own(context, look, began, true).await;
        if self.offline.is_none() {
            found.taken = self.own.note(&context.rule, mark, place, taking).map(|noted| (noted, taking));
        }
        found
    }

    async fn take_own(&mut self, context: &Context, look: Look, began: Duration, renewed: bool) -> Found {
        let changes = self.take(context, look).await;
        let is_back = changes.is_some() && self.online(context, began);
        Found { changes: changes.unwrap_or_default(), renewed, is_back, taken: None }
    }

    /// When everything is looked at again, whatever the hints say.
    fn after_this_look(&self, context: &Context) -> Duration {
        let every = match (context.rule.poll, context.hints.silence()) {
            (Poll::Every(every), _) => Some(every),
            (Poll::Auto, Some(_)) => Some((self.took * POLL_SHARE).clamp(POLL_BOUNDS.0, POLL_BOUNDS.1)),
            (Poll::Auto, None) => None,
        };
        let polled = every.map(|every| self.ended + every.max(self.took));
        polled.map_or(self.next_rescan, |polled| polled.min(self.next_rescan))
    }

    fn looked(&mut self, context: &Context, began: Duration) {
        self.ended = context.now();
        self.took = self.ended.saturating_sub(began);
        context.shared.status().looks += 1;
    }

    /// Looks at single paths: what is new, changed or gone, or `None` when the folder is offline.
    pub(super) async fn look_at_paths(&mut self, context: &Context, paths: Vec<PathBuf>) -> Option<Changes> {
        let began = context.now();
        let (sieve, hints) = (context.sieve.clone(), Arc::clone(&context.hints));
        let look =
            context.blocking(move || scan::look_at(&sieve, &paths, &mut |folder, id| hints.watch(folder, id))).await;
        self.looked(context, began);
        match look {
            Ok(look) if self.own.mark() == Some(look.mark) => self.take(context, look).await,
            // Another folder has taken its place.
            Ok(_) => {
                self.look_at_all_soon();
                None
            }
            Err(offline) => {
                self.go_offline(context, offline).await;
                None
            }
        }
    }

    /// Takes a look into the planner's inventory.
    async fn take(&mut self, context: &Context, look: Look) -> Option<Changes> {
        let taken = context.shared.desk().take(context.now(), look);
        match taken {
            Ok(changes) => Some(changes),
            Err(offline) => {
                self.go_offline(context, offline).await;
                None
            }
        }
    }

    /// The folder is there, and everything was looked at; returns whether it was offline before.
    fn online(&mut self, context: &Context, began: Duration) -> bool {
        let is_back = self.offline.take().is_some();
        if is_back {
            context.shared.desk().start_anew(context.now());
            context.recovered(&["offline"]);
        }
        self.retry = Duration::ZERO;
        self.complete = true;
        let (files, folders) = context.shared.desk().inventory().counts();
        let milliseconds = u64::try_from((self.ended - began).as_millis()).unwrap_or(u64::MAX);
        context.shared.status().last_scan =
            Some(LastScan { at: Timestamp::now(), milliseconds, files: files as u64, folders: folders as u64 });
        is_back
    }

    async fn go_offline(&mut self, context: &Context, offline: Offline) {
        self.retry = (self.retry * 2).clamp(OFFLINE_BOUNDS.0, OFFLINE_BOUNDS.1);
        self.next_full = context.now() + self.retry;
        // Watches went with the folder; they are set again when it is back.
        self.next_rescan = Duration::ZERO;
        context.hints.forget_writes();
        if self.offline.as_ref() != Some(&offline) {
            let message = format!("{}: {offline}", context.rule.watch.display());
            self.offline = Some(offline);
            context.problem("offline", message).await;
        }
    }

    /// Looks once more at the files that have settled.
    pub(super) async fn confirm_due(&mut self, context: &Context) {
        if self.offline.is_some() {
            return;
        }
        let due = context.shared.desk().due(context.now());
        for due in due.chunks(CONFIRMED_AT_ONCE) {
            let places = due.iter().map(|(_, place)| Arc::clone(place)).collect();
            match context.probe(places).await {
                Ok(probes) => {
                    let now = context.now();
                    let mut desk = context.shared.desk();
                    for ((path, _), (probe, writing)) in due.iter().zip(probes) {
                        desk.confirm(now, path, probe, writing);
                    }
                }
                Err(offline) => return self.go_offline(context, offline).await,
            }
        }
    }
}
