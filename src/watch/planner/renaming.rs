//! Sent files that may have been renamed: they are not drops.
//!
//! Suggested by what a rename does not change: inode, size, modification time. But a new file may have the inode of a
//! removed one: where it is known what was sent, the content decides. Which files looked alike is asked of the ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Planner;
use crate::model::LedgerEntry;
use crate::store::{LedgerAnswer, LedgerQuestion};
use crate::watch::classifier::Kind;
use masv_rules::{AfterComplete, Rule};

/// What the ledger says of the file at a path, all told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// This, of its path. Or of the path that it may have been renamed from: then what was sent there is to be compared with
    /// what it holds.
    Entry(&'a LedgerEntry),
    /// That it was sent from this path and renamed since.
    RenamedFrom(&'a Path),
    /// Nothing.
    Nothing,
}

/// Whether a file that was sent and then renamed counts as sent. If the agent itself moves sent files away, nobody
/// renames them, and the inode of a removed file soon belongs to another; with `resend` it is wanted again.
fn follows_renaming(rule: &Rule) -> bool {
    matches!(rule.after.complete, AfterComplete::Keep) && !rule.resend
}

impl Planner {
    /// What to ask the ledger about these files.
    #[must_use]
    pub fn questions(&self, paths: &[Arc<Path>]) -> Vec<LedgerQuestion> {
        let follows = follows_renaming(self.rule());
        let question = |path: &Arc<Path>| {
            let known = self.inventory.get(path).filter(|known| follows && known.kind == Kind::Item);
            LedgerQuestion { path: Arc::clone(path), renamed: known.map(|known| known.identity) }
        };
        paths.iter().map(question).collect()
    }

    /// What an answer of the ledger means for its file.
    #[must_use]
    pub fn said<'a>(&self, answer: &'a LedgerAnswer) -> Said<'a> {
        if let Some(entry) = &answer.entry {
            return Said::Entry(entry);
        }
        // Where something is, nothing was renamed from.
        let mut before = answer.alike.iter().filter(|entry| !self.inventory.contains(&entry.path)).peekable();
        if before.peek().is_none() {
            return Said::Nothing;
        }
        let before: Vec<&LedgerEntry> = before.collect();
        let with_content = || before.iter().find(|entry| entry.checksum.is_some());
        let renamed = match (self.content_of(&answer.path), with_content()) {
            (None, Some(sent)) => return Said::Entry(sent),
            (Some(content), Some(_)) => {
                let same = before.iter().find(|entry| entry.checksum.as_deref() == Some(content));
                same.or_else(|| before.iter().find(|entry| entry.checksum.is_none()))
            }
            (_, None) => before.first(),
        };
        renamed.map_or(Said::Nothing, |entry| Said::RenamedFrom(&entry.path))
    }

    /// A file's identity, to be kept with its new path.
    #[must_use]
    pub fn renamed_to(&self, path: &Path, before: &Path) -> Option<(PathBuf, PathBuf, masv_platform::FileIdentity)> {
        let identity = self.inventory.get(path)?.identity;
        Some((path.to_owned(), before.to_owned(), identity))
    }
}
