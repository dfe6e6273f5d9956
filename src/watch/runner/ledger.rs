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
        let (None, Some((before, identity))) = (&entry, renamed) else { return Ok(entry) };
        let Some(sent) = self.store.ledger_entry(&self.rule.name, &before).await? else { return Ok(None) };
        match self.is_renamed(path, &sent) {
            Some(true) => {
                self.store.ledger_renamed(&self.rule.name, vec![(path.to_path_buf(), before, identity)]).await?;
                self.store.ledger_entry(&self.rule.name, path).await
            }
            Some(false) => Ok(None),
            // By what was sent under the other name it is judged whether this is it.
            None => Ok(Some(sent)),
        }
    }

    /// Whether the file at `path`, which looks as if it was renamed, holds what was sent under its name before; `None` while
    /// that is not found out.
    fn is_renamed(&self, path: &Path, sent: &LedgerEntry) -> Option<bool> {
        let Some(checksum) = &sent.checksum else { return Some(true) };
        self.shared.desk().content_of(path).map(|content| content == checksum)
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
        let suggested = self.shared.desk().renamed_since(&entries);
        let (mut renamed, mut unclear) = (Vec::new(), Vec::new());
        for (path, before, identity) in suggested {
            let Ok(at) = entries.binary_search_by(|entry| entry.path.as_os_str().cmp(before.as_os_str())) else {
                continue;
            };
            match self.is_renamed(&path, &entries[at]) {
                Some(true) => renamed.push((path.to_path_buf(), before, identity)),
                Some(false) => {}
                None => {
                    self.shared.desk().suspect_renaming(&identity, before);
                    unclear.push((path, at));
                }
            }
        }
        let unclear: Vec<(Arc<Path>, LedgerEntry)> =
            unclear.into_iter().map(|(path, at)| (path, entries[at].clone())).collect();
        if !renamed.is_empty() {
            self.store.ledger_renamed(&self.rule.name, renamed).await?;
            entries = self.store.ledger(&self.rule.name).await?;
        }
        let mut gone: Vec<PathBuf> = Vec::new();
        {
            let (now, clock) = (self.shared.now(), self.clock());
            let mut desk = self.shared.desk();
            let whole = self.offline.is_none() && desk.inventory().unread().is_empty();
            let mut by_path: HashMap<&Path, &LedgerEntry> = entries.iter().map(|entry| (&*entry.path, entry)).collect();
            by_path.extend(unclear.iter().map(|(path, entry)| (&**path, entry)));
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
            Some(
                DedupDecision::Sent(_)
                | DedupDecision::Skipped
                | DedupDecision::ChangeIgnored
                | DedupDecision::Comparing,
            ) => self.rule.resend,
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
        self.note_failures(!news.failed.is_empty()).await;
        let files = self.shared.desk().files_in(|id| news.completed.contains(&id));
        self.judge(&files).await;
        self.aftermath.look_again();
    }
}
