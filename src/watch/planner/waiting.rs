//! What files wait for: markers, checksum lists, each other; and how to describe it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Planner;
use crate::manifest::Listed;
use crate::manifest::checksum::Algorithm;
use crate::manifest::measure::Digests;
use crate::watch::classifier::Kind;
use crate::watch::listing::{ListState, Policy, Presence};
use crate::watch::package::top_level;
use crate::watch::settle::{Hold, Pending, Stage};
use masv_platform::FileIdentity;
use masv_rules::{Per, Ready};

/// Why a file with several names waits.
const PLANTED: &str = "has several names (hard links), and whoever may write to its folder may have made one of a file that is not theirs; \
     remove the other names, or set `hard_links: all`";

impl Planner {
    /// Whether a complete file has what else its rule asks for.
    pub(super) fn ready_beyond_settled(&self, path: &Path) -> bool {
        match &self.sieve.rule().ready {
            Ready::Settled => true,
            Ready::Manifest { .. } => self.listing.is_ready(path, self.policy()),
            ready @ Ready::Marker { .. } => ready.markers_of(path).iter().any(|one| self.inventory.contains(one)),
        }
    }

    /// The markers that go with a file when it is removed or moved: its own, and those of folders that hold nothing
    /// else to be sent.
    #[must_use]
    pub fn markers_with(&self, path: &Path, leaving: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
        let others_in = |folder: &Path| {
            let mut items = self.inventory.below(folder).filter(|(_, known)| known.kind == Kind::Item);
            items.any(|(other, _)| !leaving(other))
        };
        let markers = self.rule().ready.markers_of(path).into_iter().enumerate();
        let with = markers.filter(|(place, marker)| {
            self.inventory.contains(marker) && (*place == 0 || !others_in(marker.parent().unwrap_or(Path::new(""))))
        });
        with.map(|(_, marker)| marker).collect()
    }

    /// What a pending file is waiting for, and until when (as time since the start).
    #[must_use]
    pub fn waits_for(&self, path: &Path, pending: &Pending) -> (String, Option<Duration>) {
        if pending.is_whole()
            && self.unready(path).is_none()
            && let Some((other, reason)) = self.neighbour_in_the_way(path)
        {
            return (format!("waits for `{}` in the same folder: {reason}", other.display()), None);
        }
        self.waits_alone(path, pending)
    }

    /// The same, whatever else is in its folder.
    fn waits_alone(&self, path: &Path, pending: &Pending) -> (String, Option<Duration>) {
        if self.inventory.get(path).is_none_or(|known| known.kind != Kind::Item) {
            return ("is not sent, but someone is working on it".to_owned(), pending.next_look());
        }
        if let Some(reason) = self.growing_reason(path)
            && (!pending.is_whole() || self.growing_beside(path).is_some())
        {
            return (reason, pending.next_look());
        }
        match &pending.stage {
            Stage::Settling => {
                let state = if pending.changes() > 0 { "still changing" } else { "settling" };
                let longer = match &pending.unseen {
                    Some(why) => format!(", for longer than usual: {why}"),
                    None if pending.identity.size == 0 => ", for longer than usual because it is empty".to_owned(),
                    None => String::new(),
                };
                (format!("{state}{longer}"), pending.next_look())
            }
            Stage::Held(hold) => {
                let reason = match &**hold {
                    Hold::Writer(who) => format!("is held open for writing by {who}"),
                    Hold::Unreadable(reason) => format!("cannot be read: {reason}"),
                };
                (reason, pending.next_look())
            }
            Stage::Whole(_) => {
                self.unready(path).unwrap_or_else(|| ("is complete and waits for its package".to_owned(), None))
            }
        }
    }

    /// What a complete file waits for before it may be packaged, and until when; `None` when it is ready.
    #[must_use]
    pub fn unready(&self, path: &Path) -> Option<(String, Option<Duration>)> {
        if self.is_planted(path) {
            return Some((PLANTED.to_owned(), None));
        }
        match (self.blocks.get(path), self.companion(path)) {
            (Some(block), _) => Some((block.reason.clone(), block.until)),
            (None, Some(companion)) => {
                let beside = companion.file_name().unwrap_or_default().display();
                Some((
                    format!(
                        "`{beside}` beside it means that it is not finished; remove that file if nobody is working on it"
                    ),
                    None,
                ))
            }
            (None, None) if !self.ready_beyond_settled(path) => Some((self.waits_for_more(path), None)),
            (None, None) => None,
        }
    }

    /// Whether somebody who cannot read the file may have given it its name.
    pub(super) fn is_planted(&self, path: &Path) -> bool {
        self.inventory.get(path).is_some_and(|known| known.planted)
    }

    /// The status of a listed file.
    pub(super) fn presence(&self, listed: &Path, size: Option<u64>) -> Presence {
        let path = self.on_disk(listed);
        match self.inventory.get(path) {
            Some(known) if known.kind != Kind::Item => Presence::NotSent,
            Some(known) if known.verdict.is_some_and(|verdict| !verdict.sends()) && !self.growing.has(path) => {
                Presence::Sent
            }
            Some(_) => match self.settling.get(path) {
                Some(pending) if pending.is_whole() => Presence::Whole(pending.identity),
                _ => Presence::NotWhole,
            },
            // Without a size in the list, one byte stands for one that is in bounds.
            None if self.sieve.sort(path, size.or(self.rule().min_size).unwrap_or(1)) == Some(Kind::Item) => {
                Presence::Absent
            }
            None => Presence::NotSent,
        }
    }

    /// The lists that are there.
    fn lists(&self) -> Vec<(Arc<Path>, ListState)> {
        let state = |path: &Arc<Path>| match self.settling.get(path).map(|pending| (&pending.stage, pending.identity)) {
            Some((Stage::Whole(_), identity)) => ListState::Whole(identity),
            Some((Stage::Held(hold), _)) => match &**hold {
                Hold::Unreadable(reason) => ListState::Unreadable(reason.to_string()),
                Hold::Writer(_) => ListState::NotWhole,
            },
            Some(_) => ListState::NotWhole,
            // A list that was sent already still says what belongs together.
            None => match self.inventory.get(path) {
                Some(known) if known.verdict.is_some_and(|verdict| !verdict.sends()) => {
                    ListState::Whole(known.identity)
                }
                _ => ListState::NotWhole,
            },
        };
        self.manifests.iter().map(|path| (Arc::clone(path), state(path))).collect()
    }

    /// Whole lists that have to be read, with their state.
    #[must_use]
    pub fn unread_lists(&self) -> Vec<(Arc<Path>, FileIdentity)> {
        let whole = self.lists().into_iter().filter_map(|(path, state)| match state {
            ListState::Whole(identity) => Some((path, identity)),
            ListState::NotWhole | ListState::Unreadable(_) => None,
        });
        whole.filter(|(path, identity)| self.listing.needs_reading(path, identity)).collect()
    }

    /// A list was read.
    pub fn take_list(&mut self, path: &Arc<Path>, identity: FileIdentity, listed: Result<Vec<Listed>, String>) {
        self.listing.take(path, identity, listed);
    }

    /// Looks how the lists stand; returns what is wrong.
    pub fn refresh_lists(&mut self) -> Vec<String> {
        if !matches!(self.rule().ready, Ready::Manifest { .. }) {
            return Vec::new();
        }
        let mut listing = std::mem::take(&mut self.listing);
        listing.refresh(&self.lists(), &|path, size| self.presence(path, size));
        self.listing = listing;
        self.listing.problems()
    }

    /// Whole files whose digests their lists have to be held against.
    #[must_use]
    pub fn unmeasured(&self) -> Vec<(PathBuf, FileIdentity, BTreeSet<Algorithm>)> {
        let mut unmeasured = self.listing.to_measure(&|path, size| self.presence(path, size));
        for (path, ..) in &mut unmeasured {
            *path = self.on_disk(path).to_owned();
        }
        unmeasured
    }

    /// The path as it is on disk of a file that is listed in its composed form.
    fn on_disk<'a>(&'a self, listed: &'a Path) -> &'a Path {
        let decomposed = || self.decomposed.get(listed).map(|path| &**path);
        Some(listed).filter(|path| self.inventory.contains(path)).or_else(decomposed).unwrap_or(listed)
    }

    /// A file was read to be held against its lists.
    pub fn take_measured(&mut self, path: &Path, identity: FileIdentity, digests: Result<Digests, String>) {
        self.listing.measured(path, identity, digests);
    }

    /// Lets listed files count as right without reading them.
    pub fn trust_lists(&mut self) {
        self.listing.trust();
    }

    fn policy(&self) -> Policy {
        let sends_unlisted = matches!(self.rule().ready, Ready::Manifest { sends_unlisted: true, .. });
        Policy { sends_unlisted, per_folder: self.rule().package.per == Per::Folder }
    }

    pub(super) fn waits_for_more(&self, path: &Path) -> String {
        if matches!(self.rule().ready, Ready::Manifest { .. }) {
            return self.listing.reason(path, self.policy(), &|path, size| self.presence(path, size));
        }
        let markers = self.sieve.rule().ready.markers_of(path);
        let names: Vec<String> = markers.iter().map(|marker| format!("`{}`", marker.display())).collect();
        format!("waits for a marker: {}", names.join(" or "))
    }

    /// What a ready file waits for that is in its top-level folder, which goes as a whole: the file and its reason.
    #[must_use]
    pub fn neighbour_in_the_way(&self, path: &Path) -> Option<(&Arc<Path>, String)> {
        if self.rule().package.per != Per::Folder {
            return None;
        }
        let (other, pending) = self.in_the_way.get(top_level(path)).and_then(|other| {
            let pending = self.settling.get(other)?;
            (**other != *path).then_some((other, pending))
        })?;
        Some((other, self.waits_alone(other, pending).0))
    }
}
