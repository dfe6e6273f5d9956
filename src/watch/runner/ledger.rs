//! The rule's task and the ledger: what is fresh is judged by it, what happens to uploads is followed in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::{RETRY, Runner, describe};
use crate::model::{LedgerEntry, Outcome};
use crate::store::StoreError;
use crate::watch::classifier::Kind;
use crate::watch::dedup::{DedupDecision, forgets_when_gone};
use crate::watch::snapshot::Known;
use masv_platform::FileIdentity;
use masv_rules::Existing;

/// More fresh files than this, and reading the whole ledger is cheaper than asking for each.
const MOST_SINGLE: usize = 64;
/// Changes of the ledger at the same time: they share a flush of the disk.
const AT_ONCE: usize = 64;

impl Runner {
    /// Judges fresh files. What can not be judged now is judged when the ledger can be read again.
    pub(super) async fn judge(&mut self, fresh: &[Arc<Path>]) {
        if fresh.is_empty() || self.books.read_at.is_some() {
            return; // The whole ledger is about to be read, and everything judged by it.
        }
        if fresh.len() > MOST_SINGLE {
            self.books.read_at = Some(Duration::ZERO);
            return;
        }
        // A file that was sent and is dropped again is due for its after-action again.
        self.aftermath.look_again();
        for path in fresh {
            match self.entry_of(path).await {
                Ok(entry) => {
                    let (now, clock) = (self.shared.now(), self.clock());
                    if entry.as_ref().is_some_and(|entry| entry.outcome == Outcome::Claimed) {
                        self.reviving.look_again();
                    }
                    self.shared.desk().judge(now, &clock, path, entry.as_ref());
                }
                Err(error) => return self.ledger_fails(&error).await,
            }
        }
    }

    /// What the ledger says of a path. Of a file that was sent from another path and renamed since it says from now on
    /// that it counts as sent.
    async fn entry_of(&self, path: &Arc<Path>) -> Result<Option<LedgerEntry>, StoreError> {
        let entry = self.store.ledger_entry(&self.rule.name, path).await?;
        let renamed = self.shared.desk().renamed_from(path);
        match (entry, renamed) {
            (None, Some((before, identity))) => {
                self.follow(vec![(path.to_path_buf(), before, identity)]).await?;
                self.store.ledger_entry(&self.rule.name, path).await
            }
            (entry, _) => Ok(entry),
        }
    }

    /// Lets the ledger follow files that were renamed: path now, path before, state.
    async fn follow(&self, renamed: Vec<(PathBuf, PathBuf, FileIdentity)>) -> Result<(), StoreError> {
        let before: Vec<PathBuf> = renamed.iter().map(|(_, before, _)| before.clone()).collect();
        let files = renamed.into_iter().map(|(path, _, identity)| (path, identity)).collect();
        self.store.ledger_mark(&self.rule.name, files, Outcome::Skipped).await?;
        self.forget(&before).await
    }

    /// Has the whole ledger read in the next pass.
    pub(super) fn read_ledger_soon(&mut self) {
        self.books.read_at = Some(self.shared.now() + RETRY);
    }

    async fn ledger_fails(&mut self, error: &StoreError) {
        self.books.read_at = Some(self.shared.now() + RETRY);
        self.problem("store", describe(error)).await;
    }

    /// Reads the whole ledger and judges everything by it, if that is due.
    pub(super) async fn read_ledger_when_due(&mut self) {
        let due = self.books.read_at.is_some_and(|at| at <= self.shared.now());
        if !due || !self.looks.complete {
            return;
        }
        if let Err(error) = self.read_ledger().await {
            self.ledger_fails(&error).await;
        }
    }

    async fn read_ledger(&mut self) -> Result<(), StoreError> {
        self.note_first_start().await?;
        let mut entries = self.store.ledger(&self.rule.name).await?;
        let renamed = self.shared.desk().renamed_since(&entries);
        if !renamed.is_empty() {
            let renamed = renamed.into_iter().map(|(path, before, identity)| (path.to_path_buf(), before, identity));
            self.follow(renamed.collect()).await?;
            entries = self.store.ledger(&self.rule.name).await?;
        }
        let mut gone: Vec<PathBuf> = Vec::new();
        {
            let (now, clock) = (self.shared.now(), self.clock());
            let mut desk = self.shared.desk();
            let whole = self.offline.is_none() && desk.inventory().unread().is_empty();
            let by_path: HashMap<&Path, &LedgerEntry> = entries.iter().map(|entry| (&*entry.path, entry)).collect();
            for path in desk.candidates() {
                desk.judge(now, &clock, &path, by_path.get(&*path).copied());
            }
            if whole {
                let absent = entries.iter().filter(|entry| {
                    forgets_when_gone(&self.rule, entry.outcome) && !desk.inventory().contains(&entry.path)
                });
                gone.extend(absent.map(|entry| entry.path.clone()));
            }
        }
        self.books.read_at = None;
        self.aftermath.look_again();
        self.reviving.look_again();
        self.forget(&gone).await
    }

    /// Notes the rule's very first start; what is there already counts as sent if the rule says so.
    async fn note_first_start(&mut self) -> Result<(), StoreError> {
        if self.books.seen {
            return Ok(());
        }
        let skipped: Vec<(PathBuf, FileIdentity)> = match self.rule.existing {
            Existing::Send => Vec::new(),
            Existing::Skip => {
                let desk = self.shared.desk();
                let items = desk.inventory().files().filter(|(_, known)| known.kind == Kind::Item);
                items.map(|(path, known)| (path.to_path_buf(), known.identity)).collect()
            }
        };
        self.store.rule_seen(&self.rule.name, skipped).await?;
        self.books.seen = true;
        Ok(())
    }

    /// Forgets what was cancelled, or may be sent again, once its file is gone.
    pub(super) async fn forget_gone(&mut self, gone: &[(Arc<Path>, Known)]) {
        let forgets = |known: &Known| match known.verdict {
            Some(DedupDecision::Cancelled) => true,
            Some(DedupDecision::Sent(_) | DedupDecision::Skipped | DedupDecision::ChangeIgnored) => self.rule.resend,
            _ => false,
        };
        let paths: Vec<PathBuf> =
            gone.iter().filter(|(_, known)| forgets(known)).map(|(path, _)| path.to_path_buf()).collect();
        if let Err(error) = self.forget(&paths).await {
            self.ledger_fails(&error).await;
        }
    }

    async fn forget(&self, paths: &[PathBuf]) -> Result<(), StoreError> {
        let forgets = paths.iter().cloned().map(|path| {
            let (store, rule) = (self.store.clone(), Arc::clone(&self.rule));
            async move { store.ledger_forget(&rule.name, Some(&path)).await }
        });
        let mut forgets = futures_util::stream::iter(forgets).buffer_unordered(AT_ONCE);
        while let Some(forgotten) = forgets.next().await {
            forgotten?;
        }
        Ok(())
    }

    /// Looks up what became of the uploads that there is news of.
    pub(super) async fn read_news(&mut self) {
        let news = self.inbox.take();
        if news.is_empty() {
            return;
        }
        if news.removed {
            self.books.read_at = Some(Duration::ZERO);
        }
        if !news.failed.is_empty() {
            self.reviving.look_again();
        }
        let files = self.shared.desk().files_in(|id| news.completed.contains(&id));
        self.judge(&files).await;
        self.aftermath.look_again();
    }
}
