//! Files that are sent while they are written: which ones are begun, and which have to be given up.
//!
//! A file that was begun goes on settling like any other, and is packaged like any other: what was begun with it becomes the package. If it
//! gets smaller, is replaced, or is no longer there, that is given up, and the file is an ordinary one. Whatever escapes notice here is found
//! when its content is compared with what was sent.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Planner;
use crate::model::{GrowingFile, UploadId};
use crate::watch::classifier::Kind;
use crate::watch::dedup::DedupDecision;
use crate::watch::dispatch::{Chosen, More};
use crate::watch::package::{Package, top_level};
use crate::watch::settle::{Pending, Stage};
use masv_rules::{Growing as Setting, OnChange, Per};

/// A file that is being written and sent.
#[derive(Debug, Clone, Copy)]
struct Begun {
    upload: UploadId,
    inode: u64,
    /// The largest size that it had.
    largest: u64,
}

/// A file that cannot be sent on while it is written, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Relative to the watched folder.
    pub path: Arc<Path>,
    /// The upload that was begun with it.
    pub upload: UploadId,
    /// Why, for a person.
    pub reason: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Growing {
    files: BTreeMap<Arc<Path>, Begun>,
    /// Uploads that have a file which is no longer theirs.
    forsaken: Vec<Lost>,
    /// Files, by inode, that are sent once they are complete, after all.
    ordinary: HashMap<PathBuf, u64>,
}

impl Growing {
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// A file was judged by the ledger. Returns whether it goes on being sent while it is written.
    pub(super) fn judged(&mut self, path: &Arc<Path>, verdict: DedupDecision) -> bool {
        let Some(begun) = self.files.get(path).copied() else { return false };
        if verdict == DedupDecision::InUpload(Some(begun.upload)) {
            return true;
        }
        let reason = "its upload failed, or the ledger says something else of it now".to_owned();
        self.forsaken.push(Lost { path: Arc::clone(path), upload: begun.upload, reason });
        false
    }

    pub(super) fn finished(&mut self, path: &Path) {
        self.files.remove(path);
        self.ordinary.remove(path);
    }
}

impl Planner {
    /// Takes up what was begun before a restart.
    pub fn take_growing(&mut self, files: Vec<GrowingFile>) {
        for file in files {
            let begun = Begun { upload: file.upload, inode: file.identity.inode, largest: file.identity.size };
            self.growing.files.insert(Arc::from(file.claim), begun);
        }
    }

    /// The upload that was begun with this file, which is being written.
    #[must_use]
    pub fn growing_in(&self, path: &Path) -> Option<UploadId> {
        self.growing.files.get(path).map(|begun| begun.upload)
    }

    /// The upload that another file which goes into the same package was begun with.
    #[must_use]
    pub fn growing_upload_for(&self, path: &Path) -> Option<UploadId> {
        let group = self.groups.get(path).unwrap_or(&self.no_group);
        let belongs = |other: &Path| match self.rule().package.per {
            Per::File => false,
            Per::Folder => top_level(other) == top_level(path),
            Per::Batch => self.groups.get(other).unwrap_or(&self.no_group) == group,
        };
        self.growing.files.iter().find(|(other, _)| belongs(other)).map(|(_, begun)| begun.upload)
    }

    /// A file that was begun together with this one and is still being written.
    pub(super) fn growing_beside(&self, path: &Path) -> Option<&Arc<Path>> {
        let upload = self.growing_in(path)?;
        let others = self.growing.files.iter().filter(|(other, begun)| begun.upload == upload && ***other != *path);
        others.map(|(other, _)| other).find(|other| !self.settling.get(other).is_some_and(Pending::is_whole))
    }

    /// Until when a complete file waits for others that it was begun with and that are still being written; a batch waits no longer than
    /// for any other file.
    pub(super) fn waits_for_growing(&self, path: &Path, whole_at: Duration) -> Option<Duration> {
        self.growing_beside(path)?;
        let packaging = &self.rule().package;
        Some(if packaging.per == Per::Batch { whole_at + packaging.max_wait } else { Duration::MAX })
    }

    /// When the next file stops waiting for others that it was begun with.
    pub(super) fn next_growing(&self, now: Duration) -> Option<Duration> {
        let until = |path: &Arc<Path>| match self.settling.get(path)?.stage {
            Stage::Whole(at) => self.waits_for_growing(path, at).filter(|until| *until > now && *until < Duration::MAX),
            _ => None,
        };
        self.growing.files.keys().filter_map(until).min()
    }

    /// How many files of an upload are being written.
    #[must_use]
    pub fn growing_files_of(&self, upload: UploadId) -> usize {
        self.growing.files.values().filter(|begun| begun.upload == upload).count()
    }

    /// The files that may be sent while they are written, each as it is now.
    #[must_use]
    pub fn growing_now(&self, now: Duration) -> Vec<(Package, Chosen)> {
        let Setting::Send { least, guard } = self.rule().growing else { return Vec::new() };
        let growing = self.settling.iter().filter(|(_, pending)| pending.is_growing(now, least));
        let begun = growing.filter_map(|(path, pending)| {
            let known = self.inventory.get(path)?;
            let is_new = match known.verdict? {
                DedupDecision::Send => true,
                DedupDecision::SendChanged => self.rule().on_change == OnChange::NewPackage,
                _ => false,
            };
            let is_ordinary = self.growing.ordinary.get(&**path) == Some(&pending.identity.inode);
            let is_blocked = self.blocks.contains_key(path) || self.is_planted(path) || self.companion(path).is_some();
            let is_item = known.kind == Kind::Item && known.target.is_none();
            // Of a smaller one nothing would be sent.
            let is_small = pending.identity.size <= guard;
            if is_small || !is_new || is_ordinary || is_blocked || !is_item || self.growing.has(path) {
                return None;
            }
            let group = Arc::clone(self.groups.get(path).unwrap_or(&self.no_group));
            let more = Some(Box::new(More { guard: Some(guard), ..More::default() }));
            let chosen = Chosen { relative: Arc::clone(path), identity: pending.identity, owner: known.owner, more };
            Some((Package { group, files: vec![Arc::clone(path)] }, chosen))
        });
        begun.collect()
    }

    /// An upload has begun to send the file while it is written.
    pub fn begun_with(&mut self, chosen: &Chosen, upload: UploadId) {
        let begun = Begun { upload, inode: chosen.identity.inode, largest: chosen.identity.size };
        self.growing.files.insert(Arc::clone(&chosen.relative), begun);
        self.set_verdict(&chosen.relative, DedupDecision::InUpload(Some(upload)));
    }

    /// The files that are no longer what was begun.
    #[must_use]
    pub fn lost_growing(&mut self) -> Vec<Lost> {
        let mut lost = std::mem::take(&mut self.growing.forsaken);
        for (path, begun) in &mut self.growing.files {
            let reason = match self.inventory.get(path).map(|known| known.identity) {
                None => "it is no longer there under this name",
                Some(found) if found.inode != begun.inode => "another file has taken its place",
                Some(found) if found.size < begun.largest => "it has become smaller",
                Some(found) => {
                    begun.largest = found.size;
                    continue;
                }
            };
            lost.push(Lost { path: Arc::clone(path), upload: begun.upload, reason: reason.to_owned() });
        }
        lost.dedup_by(|one, other| one.path == other.path);
        lost
    }

    /// What was begun with an upload is given up: its files are ordinary ones. They have to be judged again.
    pub fn gave_up_growing(&mut self, upload: UploadId) -> Vec<Arc<Path>> {
        let files = self.growing.files.iter().filter(|(_, begun)| begun.upload == upload);
        let files: Vec<(Arc<Path>, u64)> = files.map(|(path, begun)| (Arc::clone(path), begun.inode)).collect();
        for (path, inode) in &files {
            self.growing.files.remove(path);
            self.growing.ordinary.insert(path.to_path_buf(), *inode);
        }
        if self.growing.ordinary.len() > MOST_REMEMBERED {
            self.growing.ordinary.retain(|path, _| self.inventory.contains(path));
        }
        files.into_iter().map(|(path, _)| path).collect()
    }

    /// What there is to say of a file that is sent while it is written.
    #[must_use]
    pub fn growing_reason(&self, path: &Path) -> Option<String> {
        let upload = self.growing_in(path)?;
        Some(match self.growing_beside(path) {
            Some(other) if self.settling.get(path).is_some_and(Pending::is_whole) => {
                format!("is complete, and waits for `{}`, which goes with it in upload {upload}", other.display())
            }
            _ => format!("is being written, and sent meanwhile (upload {upload})"),
        })
    }
}

/// Files that were given up are forgotten once they are gone, when there are more.
const MOST_REMEMBERED: usize = 1_000;
