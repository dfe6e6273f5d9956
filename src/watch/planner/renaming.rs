//! Sent files that may have been renamed: they are not drops.
//!
//! Suggested by what a renaming leaves as it is: inode, size, modification time. But a new file may have got the inode of a
//! removed one: where it is known what was sent, the content decides.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Planner;
use crate::model::{LedgerEntry, Outcome};
use crate::watch::classifier::Kind;
use crate::watch::dedup::DedupDecision;
use crate::watch::snapshot::Known;
use masv_platform::FileIdentity;
use masv_rules::{AfterComplete, Rule};

/// What a renaming leaves as it is: inode, size, modification time.
pub(super) type Content = (u64, u64, i64);

/// Most departed files that are remembered; the ledger knows the others.
const MOST_DEPARTED: usize = 10_000;

fn content(identity: &FileIdentity) -> Content {
    (identity.inode, identity.size, identity.mtime_ns)
}

/// Whether a file that was sent and then renamed counts as sent. Where the agent itself takes sent files away, nobody
/// renames them, and the inode of a removed file soon belongs to another; with `resend` it is wanted again.
fn follows_renaming(rule: &Rule) -> bool {
    matches!(rule.after.complete, AfterComplete::Keep) && !rule.resend
}

impl Planner {
    /// Notes that a file is no longer at its path. After-actions are the agent's own doing and not noted here.
    pub(super) fn note_departed(&mut self, path: &Path, known: &Known) {
        if !matches!(known.verdict, Some(DedupDecision::Sent(_) | DedupDecision::Skipped | DedupDecision::Comparing))
            || !follows_renaming(self.rule())
        {
            return;
        }
        if self.departed.len() >= MOST_DEPARTED {
            self.departed.clear();
        }
        self.departed.insert(content(&known.identity), path.to_owned());
    }

    /// Notes that what looks like `identity` may have lain at `before` when it was sent.
    pub fn suspect_renaming(&mut self, identity: &FileIdentity, before: PathBuf) {
        self.departed.insert(content(identity), before);
    }

    /// Where the content of the file at `path` may have lain when it was sent, if it was merely renamed since.
    #[must_use]
    pub fn renamed_from(&self, path: &Path) -> Option<(PathBuf, FileIdentity)> {
        let identity = self.inventory.get(path)?.identity;
        let before = self.departed.get(&content(&identity)).filter(|before| !self.inventory.contains(before))?;
        Some((before.clone(), identity))
    }

    /// The same for many, by the ledger: files that it does not know, with the paths at which it knows their content
    /// and nothing is any more, as far as inode, size and date tell.
    #[must_use]
    pub fn renamed_since(&self, entries: &[LedgerEntry]) -> Vec<(Arc<Path>, PathBuf, FileIdentity)> {
        if !follows_renaming(self.rule()) {
            return Vec::new();
        }
        let sent = |entry: &&LedgerEntry| matches!(entry.outcome, Outcome::Sent | Outcome::Skipped);
        let absent = entries.iter().filter(sent).filter(|entry| !self.inventory.contains(&entry.path));
        let absent: HashMap<Content, &Path> = absent.map(|entry| (content(&entry.identity), &*entry.path)).collect();
        if absent.is_empty() {
            return Vec::new();
        }
        let known: HashSet<&Path> = entries.iter().map(|entry| &*entry.path).collect();
        let unknown =
            self.inventory.files().filter(|(path, file)| file.kind == Kind::Item && !known.contains(&***path));
        let renamed = unknown.filter_map(|(path, file)| {
            let before = absent.get(&content(&file.identity))?;
            Some((Arc::clone(path), before.to_path_buf(), file.identity))
        });
        renamed.collect()
    }
}
