//! Which folder is the rule's own: the one that was found at its path, and where that was noted to lie.
//!
//! **In**: marks and places of folders that were scanned, what the ledger says of what is in them, that somebody accepts what is there.
//! **Out**: whether a folder is the rule's own, may be another one, or is to be taken; what is to be noted of it.
//!
//! **Owns** the mark of the folder, which tells it from others as long as it is mounted, and its place, which does so over restarts.

use std::path::Path;

use jiff::Timestamp;

use crate::store::{FolderEvidence, WatchedFolder};
use crate::watch::beneath::{Offline, OtherFolder, open_root};
use crate::watch::folder_place::{Taking, takes};
use masv_platform::{Folder, FolderMark, FolderPlace, PathBeneath, Sameness};
use masv_rules::Rule;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OwnFolder {
    /// The folder as it was noted last.
    noted: Option<WatchedFolder>,
    /// The folder that was found to be the rule's own.
    mark: Option<FolderMark>,
    /// Whatever is at the folder's path at the next full scan is the rule's own: somebody has said so.
    accepts: bool,
}

impl OwnFolder {
    /// Takes what the store says. A rule that was given another folder starts with that as it is.
    pub(super) fn begin(&mut self, rule: &Rule, noted: Option<WatchedFolder>) {
        let path = rule.watch.to_string_lossy();
        self.noted = noted.filter(|noted| noted.path == *path);
    }

    /// Whatever is there next is the rule's own.
    pub(super) fn accept(&mut self) {
        self.accepts = true;
    }

    /// The mark of the folder, if it was found.
    pub(super) fn mark(&self) -> Option<FolderMark> {
        self.mark
    }

    /// Where it was noted to lie.
    pub(super) fn place(&self) -> Option<&FolderPlace> {
        self.noted.as_ref().map(|noted| &noted.place)
    }

    /// The folder that was found before was found again.
    pub(super) fn found_again(&mut self) {
        self.accepts = false;
    }

    /// Whether a folder that lies there has to be held against the ledger before anything is made of it.
    pub(super) fn is_strange(&self, place: &FolderPlace) -> bool {
        !self.accepts && self.place().is_some_and(|own| own.compared_with(place) != Sameness::Same)
    }

    /// How to take a strange folder, or why it is not to be taken.
    pub(super) fn takes(
        &self,
        rule: &Rule,
        place: &FolderPlace,
        evidence: &FolderEvidence,
        is_empty: bool,
    ) -> Result<Taking, Offline> {
        let Some(was) = self.place() else { return Ok(Taking::default()) };
        if let Some(taking) = takes(was.compared_with(place), evidence, is_empty) {
            tracing::info!(%was, is = %place, "the folder lies elsewhere than before; it is taken as it is");
            return Ok(taking);
        }
        let missing = evidence.missing.max(evidence.unsent);
        let (was, is) = (was.to_string(), place.to_string());
        Err(Offline::Other(Box::new(OtherFolder { was, is, missing, rule: rule.name.clone() })))
    }

    /// The folder is the rule's own from now on; returns what has to be stored, if that is news.
    pub(super) fn note(
        &mut self,
        rule: &Rule,
        mark: FolderMark,
        place: FolderPlace,
        taking: Taking,
    ) -> Option<WatchedFolder> {
        (self.mark, self.accepts) = (Some(mark), false);
        let mut noted = WatchedFolder::new(&rule.watch, place);
        noted.since = match &self.noted {
            _ if taking.keeps => Some(Timestamp::now()),
            Some(before) if before.place.compared_with(&noted.place) == Sameness::Same => before.since,
            _ => None,
        };
        let is_news = self.noted.as_ref() != Some(&noted);
        is_news.then(|| self.noted.insert(noted).clone())
    }
}

/// Where the folder that was scanned lies. Blocks.
pub(super) fn place_of(watch: &PathBeneath, mark: FolderMark) -> Result<FolderPlace, Offline> {
    let folder = open_root(watch)?;
    match FolderMark::of(&folder)? == mark {
        true => Ok(FolderPlace::of(&folder)?),
        false => Err(Offline::Failing("the folder was replaced while it was scanned".to_owned())),
    }
}

/// Whether a folder that is missing may be made where it lay before: not if the disk under it is another one now. Blocks.
pub(super) fn may_be_made(watch: &Path, before: &FolderPlace) -> bool {
    let above = watch.ancestors().skip(1).find_map(|above| Folder::open(above).ok());
    above.and_then(|above| FolderPlace::of(&above).ok()).is_none_or(|above| before.may_lie_beneath(&above))
}
