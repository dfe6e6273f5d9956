//! After-actions: which files are due, one errand at a time, and the outcome.
//!
//! **In**: files that were sent, or whose upload has failed, as the planner and the store know them. **Out**: errands that are carried
//! out on a thread of their own; files that turn out to be something else, to be judged anew.
//!
//! **Owns** the errand under way, what is tried again and when, what is left alone, and the real paths of the rule's folders.
//!
//! **Guarantees.** Files are moved by the paths that were real when the rule started. What could not be done is tried again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinHandle};

use super::aftercare::Care;
use super::anchors::Anchors;
use super::context::Context;
use super::{RETRY, describe};
use crate::model::TakenAway;
use crate::model::UploadId;
use crate::model::{File, FileState, Outcome, State, Upload, UploadFilter};
use crate::store::StoreError;
use crate::watch::dispatch;
use crate::watch::post_actions::{Action, Errand, Fate, Handled, Progress, carry_out};
use crate::watch::relocate::Sent;
use crate::watch::status::Copying;
use masv_platform::{FileIdentity, unless_hurried};
use masv_rules::{AfterComplete, AfterError, MoveTarget, OnChange, Ready, TemplateContext};

/// What could not be done is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// Files that are named after one errand; one more line stands for the others.
const MOST_TOLD: usize = 3;
/// Files of an upload read at once.
const PAGE: u32 = 10_000;
/// Files that are acted on before the rule hears of it; of an upload with more all are moved together, for its folder may be named by
/// the time.
const MOST_FILES: usize = 256;

type Fates = Vec<(Arc<Path>, Fate)>;
type Results = Result<Fates, JoinError>;

/// What after-actions remember.
#[derive(Debug, Default)]
pub(super) struct PostActions {
    anchors: Anchors,
    /// Something may be due.
    look: bool,
    /// Not before then: the store has failed.
    not_before: Option<Duration>,
    /// The errand under way.
    running: Option<JoinHandle<Fates>>,
    /// Files that are tried again then.
    later: BTreeMap<Arc<Path>, Duration>,
    /// Why they could not be acted on, as it was told: that lasts, and is told once.
    told: BTreeMap<Arc<Path>, String>,
    /// Files that are not what was sent, and are to stay.
    left_alone: BTreeMap<Arc<Path>, FileIdentity>,
}

impl PostActions {
    /// Resolves the folders that the rule names.
    pub(super) async fn begin(&mut self, context: &Context) {
        let rule = Arc::clone(&context.rule);
        if let Ok(anchors) = tokio::task::spawn_blocking(move || Anchors::of(&rule)).await {
            self.anchors = anchors;
        }
    }

    /// Something may have become due.
    pub(super) fn look_again(&mut self) {
        self.look = true;
    }

    /// Waits for the end of the errand under way.
    pub(super) async fn ended(&mut self) -> Results {
        match &mut self.running {
            Some(running) => {
                let results = running.await;
                self.running = None;
                results
            }
            None => std::future::pending().await,
        }
    }

    /// These files are gone: nothing is remembered of them.
    pub(super) fn forget<'a>(&mut self, gone: impl IntoIterator<Item = &'a Arc<Path>>) {
        for path in gone {
            self.later.remove(path);
            self.told.remove(path);
            self.left_alone.remove(path);
        }
    }

    /// When something is tried again.
    pub(super) fn next(&self) -> Option<Duration> {
        let stalled = self.not_before.filter(|_| self.look);
        if self.running.is_some() { None } else { self.later.values().copied().chain(stalled).min() }
    }

    /// Begins the next errand, if one is due and none is under way. What it takes away is looked after for `care`.
    pub(super) async fn act(&mut self, context: &Context, care: Care) {
        let now = context.now();
        let due_again = self.later.values().any(|at| *at <= now);
        let acts = !matches!(context.rule.after.complete, AfterComplete::Keep)
            || !matches!(context.rule.after.error, AfterError::Keep);
        if !acts || self.running.is_some() || !(self.look || due_again) {
            return;
        }
        if self.not_before.is_some_and(|at| now < at) {
            return;
        }
        self.not_before = None;
        match self.next_errand(context).await {
            Ok(Some(errand)) => self.begin_errand(context, errand, care),
            Ok(None) => self.look = false,
            Err(error) => {
                (self.look, self.not_before) = (true, Some(now + RETRY));
                context.problem("store", describe(&error)).await;
            }
        }
    }

    async fn next_errand(&mut self, context: &Context) -> Result<Option<Errand>, StoreError> {
        let now = context.now();
        self.later.retain(|_, at| *at > now);
        if let Some(errand) = self.errand_for_sent(context).await? {
            return Ok(Some(errand));
        }
        self.errand_for_failed(context).await
    }

    /// The errand for some uploads of which sent files are still here.
    async fn errand_for_sent(&mut self, context: &Context) -> Result<Option<Errand>, StoreError> {
        let rule = Arc::clone(&context.rule);
        if matches!(rule.after.complete, AfterComplete::Keep) {
            return Ok(None);
        }
        let mut errand = errand_of(context);
        for (id, paths) in self.sent_uploads(context) {
            let (action, files) = match &rule.after.complete {
                AfterComplete::Move(target) => {
                    let files = files_of(context, id).await?;
                    match self.folder_for(context, target, &files, &paths) {
                        Ok(folder) => (Action::Move(folder), files),
                        Err(reason) => {
                            self.try_later(context.now(), paths.iter());
                            context.problem("after", reason).await;
                            continue;
                        }
                    }
                }
                // What was sent of the few of this errand is asked of the ledger: the upload may have hundreds of thousands.
                _ => (Action::Delete, HashMap::new()),
            };
            let mut handled = Vec::with_capacity(paths.len());
            for path in &paths {
                match sent_as(context, id, path, &files).await? {
                    Some(sent) => handled.push(handled_as(context, path, sent, &paths)),
                    None => self.try_later(context.now(), [path]),
                }
            }
            errand.works.push((action, handled));
        }
        Ok(Some(errand).filter(|errand| !errand.works.is_empty()))
    }

    /// The next uploads of which sent files are here, with those.
    fn sent_uploads(&self, context: &Context) -> Vec<(UploadId, BTreeSet<Arc<Path>>)> {
        let desk = context.shared.desk();
        let is_due = |path: &Arc<Path>| {
            let identity = desk.inventory().get(path).map(|known| known.identity);
            let left_alone = identity.is_some() && self.left_alone.get(path).copied() == identity;
            !left_alone && !self.later.contains_key(path)
        };
        let takes_parts = matches!(context.rule.after.complete, AfterComplete::Delete);
        let (mut uploads, mut count) = (Vec::new(), 0);
        for (id, files) in desk.sent_files() {
            let most = if takes_parts { MOST_FILES - count } else { usize::MAX };
            let paths: BTreeSet<Arc<Path>> = files.filter(|path| is_due(path)).take(most).cloned().collect();
            if paths.is_empty() {
                continue;
            }
            count += paths.len();
            uploads.push((id, paths));
            if count >= MOST_FILES {
                break;
            }
        }
        uploads
    }

    /// The errand for one failed upload of which files are still here.
    async fn errand_for_failed(&mut self, context: &Context) -> Result<Option<Errand>, StoreError> {
        let AfterError::Move(target) = &context.rule.after.error else { return Ok(None) };
        let rule = Some(context.rule.name.clone());
        let filter = UploadFilter { states: vec![State::Error], rule, ..UploadFilter::default() };
        for upload in context.store.uploads(filter).await? {
            let paths = context.shared.desk().files_in(upload.id);
            let paths: BTreeSet<Arc<Path>> = paths.into_iter().filter(|path| !self.later.contains_key(path)).collect();
            let Upload { problem: Some(problem), id, .. } = upload else { continue };
            if paths.is_empty() {
                continue;
            }
            let files = files_of(context, id).await?;
            let folder = match self.folder_for(context, target, &files, &paths) {
                Ok(folder) => folder,
                Err(reason) => {
                    self.try_later(context.now(), paths.iter());
                    context.problem("after", reason).await;
                    return Ok(None);
                }
            };
            let known = |path: &Arc<Path>| files.get(&context.rule.watch.join(path)).map(|file| file.identity);
            let handled = paths.iter().filter_map(|path| {
                let sent = Sent { identity: known(path)?, checksum: None };
                Some(handled_as(context, path, sent, &paths))
            });
            let handled = handled.collect();
            let works = vec![(Action::Quarantine(folder, problem), handled)];
            return Ok(Some(Errand { works, ..errand_of(context) }));
        }
        Ok(None)
    }

    /// The folder to move the files of a package into.
    fn folder_for(
        &self,
        context: &Context,
        target: &MoveTarget,
        files: &HashMap<PathBuf, File>,
        here: &BTreeSet<Arc<Path>>,
    ) -> Result<PathBuf, String> {
        let clock = context.clock();
        let mut listed: BTreeMap<&Path, u64> = here.iter().map(|path| (&**path, 0)).collect();
        for (source, file) in files {
            if let Ok(relative) = source.strip_prefix(&context.rule.watch) {
                listed.insert(relative, file.identity.size);
            }
        }
        let mut values = TemplateContext::for_files(&context.rule, clock.clone(), listed.iter().map(|(p, s)| (*p, *s)));
        values.host.clone_from(&context.surroundings.host);
        if let Some((path, size)) = listed.first_key_value() {
            let group = dispatch::group_of(&context.rule, &context.surroundings, &clock, path, *size);
            values.group = group.unwrap_or_default();
        }
        let written = target.render(&values).map_err(|error| format!("after: {error}"))?;
        let real = self.anchors.real(target, &written);
        real.ok_or_else(|| format!("after: {} is not in the rule's target folder", written.display()))
    }

    fn begin_errand(&mut self, context: &Context, errand: Errand, care: Care) {
        let (store, rule, shared) = (context.store.clone(), Arc::clone(&context.rule), Arc::clone(&context.shared));
        let events = Arc::clone(&context.hints);
        let watch = self.anchors.watch.clone();
        let runtime = tokio::runtime::Handle::current();
        let span = tracing::Span::current();
        self.running = Some(tokio::task::spawn_blocking(move || {
            let _within = span.entered();
            let name = |target: &Path, identity: &FileIdentity| {
                // Moved to elsewhere in the watched folder it must not count as a new file.
                let Ok(relative) = target.strip_prefix(&watch) else { return };
                let files = vec![(relative.to_owned(), *identity)];
                if let Err(error) = runtime.block_on(store.ledger_mark(&rule.name, files, Outcome::Skipped)) {
                    tracing::warn!(error = describe(&error), "cannot mark a moved file as sent");
                }
            };
            let copied = |path: &Path, copied, size| {
                shared.status().copying = Some(Copying { path: path.to_owned(), copied, size });
            };
            let hold = |path: &Path, identity: &FileIdentity, held, sight| {
                let due_at = Timestamp::now() + care.of(sight);
                let (root, path, identity) = (rule.place(), path.to_owned(), *identity);
                let taken = TakenAway { root, path, held, identity, due_at };
                runtime.block_on(store.take_away(&rule.name, taken)).map_err(|error| describe(&error))
            };
            let progress = Progress { name: &name, copied: &copied, hold: &hold };
            let fates = carry_out(&errand, &events, &progress);
            shared.status().copying = None;
            fates
        }));
    }

    /// Records the outcome of the files of an errand; returns those that are to be judged anew, or nothing if it did not end.
    pub(super) async fn take(&mut self, context: &Context, results: Results) -> Option<Vec<Arc<Path>>> {
        let results = match results {
            Ok(results) => results,
            Err(error) => {
                context.problem("after", describe(&error)).await;
                return None;
            }
        };
        self.look = true;
        let had_trouble = !self.told.is_empty();
        let (mut changed, mut reasons) = (Vec::new(), Vec::new());
        for (path, fate) in results {
            match fate {
                Fate::Done => self.went_away(context, &path).await,
                Fate::Changed => {
                    self.told.remove(&path);
                    if self.came_out_changed(context, &path).await {
                        changed.push(path);
                    }
                }
                Fate::Later(reason) => {
                    self.try_later(context.now(), [&path]);
                    let known = self.told.insert(Arc::clone(&path), reason.clone());
                    if known.is_none_or(|known| known != reason) {
                        reasons.push(format!("{}: {reason}", path.display()));
                    }
                }
            }
        }
        let more = reasons.len().saturating_sub(MOST_TOLD);
        for (at, reason) in reasons.into_iter().take(MOST_TOLD).enumerate() {
            let others = if more > 0 && at == 0 {
                format!(" ({more} more files are left where they are)")
            } else {
                String::new()
            };
            context.problem("after", format!("{reason}{others}")).await;
        }
        if had_trouble && self.told.is_empty() {
            context.recovered(&["after"]);
        }
        Some(changed)
    }

    async fn went_away(&mut self, context: &Context, path: &Arc<Path>) {
        context.shared.desk().taken_away(path);
        self.forget([path]);
        if context.rule.resend
            && let Err(error) = context.store.ledger_forget_files(&context.rule.name, vec![path.to_path_buf()]).await
        {
            context.problem("store", describe(&error)).await;
        }
    }

    /// The file is not what was sent, though nothing but its content shows it: it is new, unless changes are ignored.
    async fn came_out_changed(&mut self, context: &Context, path: &Arc<Path>) -> bool {
        if context.rule.on_change == OnChange::Ignore {
            let identity = context.shared.desk().inventory().get(path).map(|known| known.identity);
            self.left_alone.extend(identity.map(|identity| (Arc::clone(path), identity)));
            return false;
        }
        if let Err(error) = context.store.ledger_forget(&context.rule.name, Some(path)).await {
            context.problem("store", describe(&error)).await;
            return false;
        }
        true
    }

    fn try_later<'a>(&mut self, now: Duration, paths: impl IntoIterator<Item = &'a Arc<Path>>) {
        let at = now + unless_hurried(AGAIN);
        self.later.extend(paths.into_iter().map(|path| (Arc::clone(path), at)));
    }
}

/// What was sent of a file; `None` while that is not known.
async fn sent_as(
    context: &Context,
    id: UploadId,
    path: &Arc<Path>,
    files: &HashMap<PathBuf, File>,
) -> Result<Option<Sent>, StoreError> {
    match files.get(&context.rule.watch.join(path)) {
        Some(file) if file.state == FileState::Done => {
            Ok(Some(Sent { identity: file.identity, checksum: file.checksum.clone() }))
        }
        Some(_) => Ok(None),
        // It was not looked up, or the upload was removed from the list since: the ledger knows what was sent.
        None => Ok(context.store.ledger_entry(&context.rule.name, path).await?.and_then(|entry| {
            let sent = entry.outcome == Outcome::Sent && entry.upload == Some(id);
            sent.then_some(Sent { identity: entry.identity, checksum: entry.checksum })
        })),
    }
}

async fn files_of(context: &Context, id: UploadId) -> Result<HashMap<PathBuf, File>, StoreError> {
    let mut files = HashMap::new();
    let mut after = None;
    loop {
        let page = context.store.files(id, after, PAGE).await?;
        let full = page.len() == PAGE as usize;
        after = page.last().map(|file| file.number);
        files.extend(page.into_iter().map(|file| (file.source.whole(), file)));
        if !full {
            return Ok(files);
        }
    }
}

fn handled_as(context: &Context, path: &Arc<Path>, sent: Sent, leaving: &BTreeSet<Arc<Path>>) -> Handled {
    let markers = match context.rule.ready {
        Ready::Marker { .. } => context.shared.desk().markers_with(path, &|other| leaving.contains(other)),
        _ => Vec::new(),
    };
    Handled { relative: Arc::clone(path), sent, markers }
}

fn errand_of(context: &Context) -> Errand {
    Errand { root: context.rule.place(), works: Vec::new(), keeps_levels: context.keeps_levels() }
}
