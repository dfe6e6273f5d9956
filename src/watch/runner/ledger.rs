//! The ledger as a rule's task uses it: files are judged by it, and it forgets what may be sent anew once its file is gone.
//!
//! **In**: fresh files, files that are gone, the rule's record in the store, where its folder lies. **Out**: verdicts, in the planner; what other parts
//! have to look at because of them ([`Judged`]).
//!
//! **Owns** whether the rule's first start was noted, where its folder lies, and when the ledger has to be read as a whole.
//!
//! **Guarantees.** While the ledger cannot be read nothing is judged, and the whole is read as soon as it can be. What is gone is
//! forgotten only while the folder is there, and only if it was known since the folder lies where it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::{RETRY, describe};
use crate::model::Outcome;
use crate::store::{FilesHere, FolderEvidence, LedgerAnswer, LedgerQuestion, RuleRecord, StoreError, WatchedFolder};
use crate::watch::classifier::Kind;
use crate::watch::dedup::{DedupDecision, forgets_when_gone};
use crate::watch::folder_place::Taking;
use crate::watch::planner::Said;
use crate::watch::snapshot::Known;
use masv_platform::FileIdentity;
use masv_rules::Existing;

/// Paths that the ledger is asked about at once.
const AT_ONCE: usize = 500;
/// The same for reading it page by page.
const PAGE: u32 = 500;
/// Files of a folder that count as sent from its first start on, written at once.
const SKIPPED_AT_ONCE: usize = 5_000;

/// What is known of the ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The rule's first start has been noted.
    seen: bool,
    /// The ledger must be read as a whole, and everything judged by it, not before then.
    read_at: Option<Duration>,
    /// The folder, where that has to be noted.
    folder: Option<WatchedFolder>,
    /// What the ledger knows since before then may be in another folder that was at this path: it is not forgotten.
    kept_until: Option<Timestamp>,
}

/// What other parts have to look at because files were judged.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub(super) struct Judged {
    /// A file that was sent and is dropped again is due for its after-action again.
    pub(super) acts: bool,
    /// Files belong to uploads that are not complete: failed ones of these may go on.
    pub(super) resumes: bool,
}

impl Ledger {
    /// Nothing of it has been read.
    pub(super) fn new() -> Self {
        Self { seen: false, read_at: Some(Duration::ZERO), folder: None, kept_until: None }
    }

    /// Takes what the store says about the rule itself.
    pub(super) fn begin(&mut self, record: Option<&RuleRecord>) {
        self.seen = record.is_some();
        self.kept_until = record.and_then(|record| record.folder.as_ref()?.since);
    }

    /// The rule's folder lies there now: that is noted before anything is judged by it.
    pub(super) fn take_folder(&mut self, folder: WatchedFolder, taking: Taking) {
        self.kept_until = folder.since;
        self.folder = Some(folder);
        self.seen &= !taking.anew;
        self.read_now();
    }

    /// What the ledger says of what is in a folder that is not known.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn evidence(&self, context: &Context, here: FilesHere) -> Result<FolderEvidence, StoreError> {
        context.store.folder_evidence(&context.rule.name, context.rule.resend, here).await
    }

    /// It was read, and everything judged by it.
    pub(super) fn is_read(&self) -> bool {
        self.seen && self.read_at.is_none()
    }

    /// When the whole of it is to be read.
    pub(super) fn next(&self) -> Option<Duration> {
        self.read_at
    }

    /// Has all of it read in the next pass.
    pub(super) fn read_now(&mut self) {
        self.read_at = Some(Duration::ZERO);
    }

    /// Has all of it read after a while.
    pub(super) fn read_soon(&mut self, now: Duration) {
        self.read_at = Some(now + RETRY);
    }

    /// Judges fresh files. What cannot be judged now is judged when the ledger can be read again.
    pub(super) async fn judge(&mut self, context: &Context, fresh: &[Arc<Path>]) -> Judged {
        if fresh.is_empty() || self.read_at.is_some() {
            return Judged::default(); // Everything is about to be judged.
        }
        let mut judged = Judged { acts: true, resumes: false };
        if let Err(error) = judge_by_ledger(context, fresh, &mut judged).await {
            self.fails(context, &error).await;
        }
        judged
    }

    async fn fails(&mut self, context: &Context, error: &StoreError) {
        self.read_soon(context.now());
        context.problem("store", describe(error)).await;
    }

    /// Reads the whole ledger and judges everything by it, if that is due.
    pub(super) async fn read_when_due(&mut self, context: &Context, is_here: bool) -> Judged {
        let mut judged = Judged::default();
        if self.read_at.is_some_and(|at| at <= context.now())
            && let Err(error) = self.read(context, is_here, &mut judged).await
        {
            self.fails(context, &error).await;
        }
        judged
    }

    async fn read(&mut self, context: &Context, is_here: bool, judged: &mut Judged) -> Result<(), StoreError> {
        self.note_first_start(context).await?;
        if let Some(folder) = self.folder.clone() {
            context.store.set_watched_folder(&context.rule.name, folder).await?;
            self.folder = None;
        }
        let mut after: Option<Arc<Path>> = None;
        while let Some(paths) = next_files(context, &mut after, AT_ONCE) {
            judge_by_ledger(context, &paths, judged).await?;
        }
        self.read_at = None;
        *judged = Judged { acts: true, resumes: true };
        if is_here { forget_absent(context, self.kept_until).await } else { Ok(()) }
    }

    /// Records the rule's very first start; what is there already counts as sent if the rule says so.
    async fn note_first_start(&mut self, context: &Context) -> Result<(), StoreError> {
        if self.seen {
            return Ok(());
        }
        if context.rule.existing == Existing::Skip {
            skip_all(context).await?;
        }
        // Last: if not all are written down, this is not the last first start.
        context.store.rule_seen(&context.rule.name, self.folder.clone()).await?;
        self.seen = true;
        Ok(())
    }

    /// Forgets what was cancelled, or may be sent again, once its file is gone.
    pub(super) async fn forget_gone(&mut self, context: &Context, gone: &[(Arc<Path>, Known)]) {
        let forgets = |known: &Known| match known.verdict {
            Some(DedupDecision::Cancelled) => true,
            Some(
                DedupDecision::Sent(_)
                | DedupDecision::Skipped
                | DedupDecision::ChangeIgnored
                | DedupDecision::Comparing,
            ) => context.rule.resend,
            _ => false,
        };
        let paths: Vec<PathBuf> =
            gone.iter().filter(|(_, known)| forgets(known)).map(|(path, _)| path.to_path_buf()).collect();
        if let Err(error) = forget(context, paths).await {
            self.fails(context, &error).await;
        }
    }
}

/// The next files after the last ones that may have to be sent, of so many that are there; `None` after the last.
fn next_files(context: &Context, after: &mut Option<Arc<Path>>, most: usize) -> Option<Vec<Arc<Path>>> {
    let desk = context.shared.desk();
    let from = after.as_deref().unwrap_or(Path::new(""));
    let mut next: Vec<Arc<Path>> = desk.inventory().after(from).take(most).cloned().collect();
    *after = Some(Arc::clone(next.last()?));
    next.retain(|path| desk.inventory().get(path).is_some_and(|known| known.kind == Kind::Item));
    Some(next)
}

/// Notes that what is there counts as sent.
async fn skip_all(context: &Context) -> Result<(), StoreError> {
    let mut after: Option<Arc<Path>> = None;
    while let Some(paths) = next_files(context, &mut after, SKIPPED_AT_ONCE) {
        let page: Vec<(PathBuf, FileIdentity)> = {
            let desk = context.shared.desk();
            let known = |path: &Arc<Path>| Some((path.to_path_buf(), desk.inventory().get(path)?.identity));
            paths.iter().filter_map(known).collect()
        };
        context.store.ledger_mark(&context.rule.name, page, Outcome::Skipped).await?;
    }
    Ok(())
}

/// Judges files by what the ledger says of them. Of one that was sent from another path and renamed since it says from
/// now on that it counts as sent.
async fn judge_by_ledger(context: &Context, paths: &[Arc<Path>], judged: &mut Judged) -> Result<(), StoreError> {
    for paths in paths.chunks(AT_ONCE) {
        let questions = context.shared.desk().questions(paths);
        let answers = context.store.ledger_answers(&context.rule.name, questions).await?;
        let renamed = take_answers(context, &answers, judged);
        if renamed.is_empty() {
            continue;
        }
        let known = |(path, ..): &(PathBuf, PathBuf, FileIdentity)| LedgerQuestion {
            path: Arc::from(path.as_path()),
            renamed: None,
        };
        let questions = renamed.iter().map(known).collect();
        context.store.ledger_renamed(&context.rule.name, renamed).await?;
        let answers = context.store.ledger_answers(&context.rule.name, questions).await?;
        take_answers(context, &answers, judged);
    }
    Ok(())
}

/// Judges files by the ledger's answers, but for those that were renamed: they are returned.
fn take_answers(
    context: &Context,
    answers: &[LedgerAnswer],
    judged: &mut Judged,
) -> Vec<(PathBuf, PathBuf, FileIdentity)> {
    let (now, clock) = (context.now(), context.clock());
    let mut desk = context.shared.desk();
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
            judged.resumes = true;
        }
        desk.judge(now, &clock, &answer.path, entry);
    }
    renamed
}

/// Forgets what was cancelled, or may be sent again, and of which the file is gone.
async fn forget_absent(context: &Context, kept_until: Option<Timestamp>) -> Result<(), StoreError> {
    if !context.shared.desk().inventory().unread().is_empty() {
        return Ok(());
    }
    let mut after: Option<PathBuf> = None;
    loop {
        let page = if context.rule.resend {
            context.store.ledger_page(&context.rule.name, after.as_deref(), PAGE).await?
        } else {
            context.store.ledger_page_cancelled(&context.rule.name, after.as_deref(), PAGE).await?
        };
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.path.clone());
        let absent: Vec<PathBuf> = {
            let desk = context.shared.desk();
            let absent = page.into_iter().filter(|entry| {
                forgets_when_gone(&context.rule, entry.outcome)
                    && kept_until.is_none_or(|until| entry.at >= until)
                    && !desk.inventory().contains(&entry.path)
            });
            absent.map(|entry| entry.path).collect()
        };
        forget(context, absent).await?;
    }
}

async fn forget(context: &Context, paths: Vec<PathBuf>) -> Result<(), StoreError> {
    if paths.is_empty() {
        return Ok(());
    }
    context.store.ledger_forget_files(&context.rule.name, paths).await
}
