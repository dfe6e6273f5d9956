//! The rule's task and the ledger: new files are judged by it, and it follows what happens to uploads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{RETRY, Runner, describe};
use crate::model::Outcome;
use crate::store::{LedgerAnswer, LedgerQuestion, StoreError};
use crate::watch::classifier::Kind;
use crate::watch::dedup::{DedupDecision, forgets_when_gone};
use crate::watch::planner::Said;
use crate::watch::snapshot::Known;
use masv_platform::FileIdentity;
use masv_rules::Existing;

/// Paths that the ledger is asked about at once.
const AT_ONCE: usize = 500;
/// The same for reading it page by page.
const PAGE: u32 = 500;

impl Runner {
    /// Judges fresh files. What cannot be judged now is judged when the ledger can be read again.
    pub(super) async fn judge(&mut self, fresh: &[Arc<Path>]) {
        if fresh.is_empty() || self.books.read_at.is_some() {
            return; // Everything is about to be judged.
        }
        // A file that was sent and is dropped again is due for its after-action again.
        self.aftermath.look_again();
        if let Err(error) = self.judge_by_ledger(fresh).await {
            self.ledger_fails(&error).await;
        }
    }

    /// Judges files by what the ledger says of them. Of one that was sent from another path and renamed since it says from
    /// now on that it counts as sent.
    async fn judge_by_ledger(&mut self, paths: &[Arc<Path>]) -> Result<(), StoreError> {
        for paths in paths.chunks(AT_ONCE) {
            let questions = self.shared.desk().questions(paths);
            let answers = self.store.ledger_answers(&self.rule.name, questions).await?;
            let renamed = self.take_answers(&answers);
            if renamed.is_empty() {
                continue;
            }
            let known = |(path, ..): &(PathBuf, PathBuf, FileIdentity)| LedgerQuestion {
                path: Arc::from(path.as_path()),
                renamed: None,
            };
            let questions = renamed.iter().map(known).collect();
            self.store.ledger_renamed(&self.rule.name, renamed).await?;
            let answers = self.store.ledger_answers(&self.rule.name, questions).await?;
            self.take_answers(&answers);
        }
        Ok(())
    }

    /// Judges files by the ledger's answers, but for those that were renamed: they are returned.
    fn take_answers(&mut self, answers: &[LedgerAnswer]) -> Vec<(PathBuf, PathBuf, FileIdentity)> {
        let (now, clock) = (self.shared.now(), self.clock());
        let mut desk = self.shared.desk();
        let mut renamed = Vec::new();
        for answer in answers {
            let entry = match desk.said(answer) {
                Said::Entry(entry) => Some(entry),
                Said::Nothing => None,
                Said::RenamedFrom(before) => {
                    renamed.extend(desk.renamed_to(&answer.path, before));
                    continue;
                }
            };
            if entry.is_some_and(|entry| entry.outcome == Outcome::Claimed) {
                self.reviving.look_again();
            }
            desk.judge(now, &clock, &answer.path, entry);
        }
        renamed
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
        let candidates = self.shared.desk().candidates();
        self.judge_by_ledger(&candidates).await?;
        self.books.read_at = None;
        self.aftermath.look_again();
        self.reviving.look_again();
        self.forget_absent().await
    }

    /// Forgets what was cancelled, or may be sent again, and of which the file is gone.
    async fn forget_absent(&mut self) -> Result<(), StoreError> {
        if self.offline.is_some() || !self.shared.desk().inventory().unread().is_empty() {
            return Ok(());
        }
        let mut after: Option<PathBuf> = None;
        loop {
            let page = if self.rule.resend {
                self.store.ledger_page(&self.rule.name, after.as_deref(), PAGE).await?
            } else {
                self.store.ledger_page_cancelled(&self.rule.name, after.as_deref(), PAGE).await?
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.path.clone());
            let absent: Vec<PathBuf> = {
                let desk = self.shared.desk();
                let absent = page.into_iter().filter(|entry| {
                    forgets_when_gone(&self.rule, entry.outcome) && !desk.inventory().contains(&entry.path)
                });
                absent.map(|entry| entry.path).collect()
            };
            self.forget(absent).await?;
        }
    }

    /// Records the rule's very first start; what is there already counts as sent if the rule says so.
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
        if let Err(error) = self.forget(paths).await {
            self.ledger_fails(&error).await;
        }
    }

    async fn forget(&self, paths: Vec<PathBuf>) -> Result<(), StoreError> {
        if paths.is_empty() {
            return Ok(());
        }
        self.store.ledger_forget_files(&self.rule.name, paths).await
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
        let files: Vec<Arc<Path>> = {
            let desk = self.shared.desk();
            news.completed.iter().flat_map(|id| desk.files_in(*id)).collect()
        };
        self.judge(&files).await;
        self.aftermath.look_again();
    }
}
