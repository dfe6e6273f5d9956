//! What files wait for: markers, manifests, each other; and how to say so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Planner;
use crate::watch::classifier::Kind;
use crate::watch::listing::Presence;
use crate::watch::manifest::Listed;
use crate::watch::package::top_level;
use crate::watch::settle::{Hold, Pending, Stage};
use masv_platform::FileIdentity;
use masv_rules::Ready;

impl Planner {
    /// Whether a whole file has what else its rule asks for.
    pub(super) fn ready_beyond_settled(&self, path: &Path) -> bool {
        match &self.sieve.rule().ready {
            Ready::Settled => true,
            Ready::Manifest { .. } => self.listing.waits(path).is_none(),
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

    /// What a file on its way waits for, and until when (as time since the start).
    #[must_use]
    pub fn waits_for(&self, path: &Path, pending: &Pending) -> (String, Option<Duration>) {
        if self.inventory.get(path).is_none_or(|known| known.kind != Kind::Item) {
            return ("is not sent, but somebody is at work on it".to_owned(), pending.next_look());
        }
        match &pending.stage {
            Stage::Settling => {
                let state = if pending.changes > 0 { "still changes" } else { "settles" };
                let longer = match &pending.unseen {
                    Some(why) => format!(", for longer than usual: {why}"),
                    None if pending.identity.size == 0 => ", for longer than usual: it is empty".to_owned(),
                    None => String::new(),
                };
                (format!("{state}{longer}"), pending.next_look())
            }
            Stage::Held(Hold::Writer(who)) => (format!("is held open for writing by {who}"), pending.next_look()),
            Stage::Held(Hold::Unreadable(reason)) => (format!("can not be read: {reason}"), pending.next_look()),
            Stage::Whole(_) => {
                self.unready(path).unwrap_or_else(|| ("is whole and waits for its package".to_owned(), None))
            }
        }
    }

    /// What a whole file waits for before it may be packaged, and until when; `None` when it is ready.
    #[must_use]
    pub fn unready(&self, path: &Path) -> Option<(String, Option<Duration>)> {
        match (self.blocks.get(path), self.companion(path)) {
            (Some(block), _) => Some((block.reason.clone(), block.until)),
            (None, Some(companion)) => {
                let beside = companion.file_name().unwrap_or_default().display();
                Some((
                    format!("`{beside}` beside it says that it is not finished; remove that if nobody works on it"),
                    None,
                ))
            }
            (None, None) if !self.ready_beyond_settled(path) => Some((self.waits_for_more(path), None)),
            (None, None) => None,
        }
    }

    /// How a file that a manifest lists stands.
    pub(super) fn presence(&self, listed: &Path) -> Presence {
        let path = self.on_disk(listed);
        if let Some(pending) = self.settling.get(path) {
            return if pending.is_whole() { Presence::Whole(pending.identity) } else { Presence::Missing };
        }
        match self.inventory.get(path) {
            Some(known) if known.kind == Kind::Item && known.verdict.is_some_and(|verdict| !verdict.sends()) => {
                Presence::Settled
            }
            Some(_) => Presence::Missing,
            // What the rule does not send is nobody's concern here; one byte stands for a size that is in bounds.
            None if self.sieve.sort(path, self.rule().min_size.unwrap_or(1)) == Some(Kind::Item) => Presence::Missing,
            None => Presence::Settled,
        }
    }

    /// Whole manifests that have to be read, with the place of their bytes.
    #[must_use]
    pub fn unread_manifests(&self) -> Vec<(Arc<Path>, FileIdentity)> {
        let whole = self.manifests.iter().filter_map(|path| match self.presence(path) {
            Presence::Whole(identity) => Some((path, identity)),
            // A manifest that was sent already still says what belongs together.
            Presence::Settled => self.inventory.get(path).map(|known| (path, known.identity)),
            Presence::Missing => None,
        });
        let unread = whole.filter(|(path, identity)| self.listing.needs_reading(path, identity));
        unread.map(|(path, identity)| (Arc::clone(path), identity)).collect()
    }

    /// A manifest was read.
    pub fn take_manifest(&mut self, path: &Arc<Path>, identity: FileIdentity, listed: Result<Vec<Listed>, String>) {
        self.listing.take(path, identity, listed);
    }

    /// Whole files that have to be compared with their manifest.
    #[must_use]
    pub fn unverified(&self) -> Vec<(Listed, FileIdentity)> {
        let mut unverified = self.listing.to_verify(&|path| self.presence(path));
        for (listed, _) in &mut unverified {
            listed.path = self.on_disk(&listed.path).to_owned();
        }
        unverified
    }

    /// The path as it is on disk of a file that is listed in its composed form.
    fn on_disk<'a>(&'a self, listed: &'a Path) -> &'a Path {
        let decomposed = || self.decomposed.get(listed).map(|path| &**path);
        Some(listed).filter(|path| self.inventory.contains(path)).or_else(decomposed).unwrap_or(listed)
    }

    /// A file was compared with its manifest.
    pub fn take_verified(&mut self, path: PathBuf, identity: FileIdentity, wrong: Option<String>) {
        self.listing.verified(path, identity, wrong);
    }

    pub(super) fn waits_for_more(&self, path: &Path) -> String {
        if let Some(waits) = self.listing.waits(path).filter(|_| matches!(self.rule().ready, Ready::Manifest { .. })) {
            return waits;
        }
        let markers = self.sieve.rule().ready.markers_of(path);
        let names: Vec<String> = markers.iter().map(|marker| format!("`{}`", marker.display())).collect();
        format!("waits for a marker: {}", names.join(" or "))
    }

    /// What else in a file's top-level entry is not whole, for the status of folders.
    #[must_use]
    pub fn neighbour_in_the_way(&self, path: &Path) -> Option<&Arc<Path>> {
        let top = top_level(path);
        let neighbours = self.settling.iter().filter(|(other, _)| top_level(other) == top);
        neighbours.into_iter().find(|(_, pending)| !pending.is_whole()).map(|(other, _)| other)
    }
}
