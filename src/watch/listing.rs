//! What the manifests of a watched folder ask for: a file is ready when a manifest lists it, everything listed there is
//! whole, and all of it is what the manifest says. Listed paths are known here in their composed form (NFC).
//!
//! **In**: manifests as they were read, what was verified. **Out**: which manifests are complete, what each file waits
//! for, what is to be verified. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::Listed;
use masv_platform::FileIdentity;
use masv_rules::composed;

/// How a listed file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is not there, or not whole yet.
    Missing,
    /// It is whole and to be sent.
    Whole(FileIdentity),
    /// It was sent already, or the rule does not send such files.
    Settled,
}

#[derive(Debug)]
struct Manifest {
    identity: FileIdentity,
    listed: Result<Vec<Listed>, String>,
    /// What it waits for; `None` when all is there and right.
    waits: Option<String>,
}

/// The manifests of a folder.
#[derive(Debug, Default)]
pub struct Listing {
    manifests: BTreeMap<Arc<Path>, Manifest>,
    listed_in: BTreeMap<PathBuf, Vec<Arc<Path>>>,
    /// What was found out of files by reading them: nothing wrong, or what.
    verified: BTreeMap<PathBuf, (FileIdentity, Option<String>)>,
}

impl Listing {
    /// Whether the manifest has to be read: it is new, or another than the one that was read.
    #[must_use]
    pub fn needs_reading(&self, path: &Path, identity: &FileIdentity) -> bool {
        self.manifests.get(path).is_none_or(|manifest| manifest.identity != *identity)
    }

    /// A manifest was read.
    pub fn take(&mut self, path: &Arc<Path>, identity: FileIdentity, listed: Result<Vec<Listed>, String>) {
        self.remove(path);
        let compose = |file: Listed| Listed { path: composed(&file.path).into_owned(), ..file };
        let listed = listed.map(|files| files.into_iter().map(compose).collect::<Vec<_>>());
        for file in listed.iter().flatten() {
            self.listed_in.entry(file.path.clone()).or_default().push(Arc::clone(path));
        }
        let waits = Some("is about to be compared with what is there".to_owned());
        self.manifests.insert(Arc::clone(path), Manifest { identity, listed, waits });
    }

    /// A file, possibly a manifest, is gone or was taken.
    pub fn remove(&mut self, path: &Path) {
        self.verified.remove(&*composed(path));
        let Some(manifest) = self.manifests.remove(path) else { return };
        for file in manifest.listed.iter().flatten() {
            if let Some(lists) = self.listed_in.get_mut(&file.path) {
                lists.retain(|one| **one != *path);
            }
        }
        self.listed_in.retain(|_, lists| !lists.is_empty());
    }

    /// A listed file was compared with its manifest.
    pub fn verified(&mut self, path: PathBuf, identity: FileIdentity, wrong: Option<String>) {
        self.verified.insert(composed(&path).into_owned(), (identity, wrong));
    }

    /// Looks which manifests are complete.
    pub fn refresh(&mut self, presence: &dyn Fn(&Path) -> Presence) {
        for manifest in self.manifests.values_mut() {
            manifest.waits = match &manifest.listed {
                Err(reason) => Some(format!("the manifest {reason}")),
                Ok(listed) => listed.iter().find_map(|file| waits_for(&self.verified, file, presence)),
            };
        }
    }

    /// What a file waits for that is whole: `None` when nothing.
    #[must_use]
    pub fn waits(&self, path: &Path) -> Option<String> {
        if let Some(manifest) = self.manifests.get(path) {
            return manifest.waits.clone();
        }
        let Some(lists) = self.listed_in.get(&*composed(path)) else {
            return Some("waits for a manifest that lists it".to_owned());
        };
        let mut waits = None;
        for list in lists {
            let reason = self.manifests.get(list)?.waits.as_ref()?;
            waits = Some(format!("waits for its manifest `{}`: {reason}", list.display()));
        }
        waits
    }

    /// Listed files that are whole and were not compared with their manifest yet.
    #[must_use]
    pub fn to_verify(&self, presence: &dyn Fn(&Path) -> Presence) -> Vec<(Listed, FileIdentity)> {
        let listed = self.manifests.values().filter_map(|manifest| manifest.listed.as_ref().ok()).flatten();
        let unverified = listed.filter_map(|file| match presence(&file.path) {
            Presence::Whole(identity) if !is_verified(&self.verified, &file.path, &identity) => {
                Some((file.clone(), identity))
            }
            _ => None,
        });
        unverified.collect()
    }
}

fn is_verified(
    verified: &BTreeMap<PathBuf, (FileIdentity, Option<String>)>,
    path: &Path,
    identity: &FileIdentity,
) -> bool {
    verified.get(path).is_some_and(|(seen, _)| seen == identity)
}

fn waits_for(
    verified: &BTreeMap<PathBuf, (FileIdentity, Option<String>)>,
    file: &Listed,
    presence: &dyn Fn(&Path) -> Presence,
) -> Option<String> {
    let name = file.path.display();
    match presence(&file.path) {
        Presence::Settled => None,
        Presence::Missing => Some(format!("`{name}` is listed and not there, or not whole yet")),
        Presence::Whole(identity) => match verified.get(&file.path) {
            Some((seen, None)) if *seen == identity => None,
            Some((seen, Some(wrong))) if *seen == identity => Some(format!("`{name}` {wrong}")),
            _ => Some(format!("`{name}` is being compared")),
        },
    }
}
