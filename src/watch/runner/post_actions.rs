//! The rule's task and after-actions: which files are due, one errand at a time, and the outcome.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinHandle};

use super::{RETRY, Runner, describe};
use crate::model::TakenAway;
use crate::model::UploadId;
use crate::model::{File, FileState, Outcome, State, Upload, UploadFilter};
use crate::store::StoreError;
use crate::watch::dispatch;
use crate::watch::post_actions::{Action, Errand, Fate, Handled, Progress, carry_out};
use crate::watch::relocate::Sent;
use crate::watch::status::Copying;
use masv_platform::FileIdentity;
use masv_rules::{AfterComplete, AfterError, MoveTarget, OnChange, Ready, TemplateContext};

/// What could not be done is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// Files of an upload read at once.
const PAGE: u32 = 10_000;
/// Files that are acted on before the rule hears of it; an upload with more is acted on as a whole.
const MOST_FILES: usize = 256;

type Fates = Vec<(Arc<Path>, Fate)>;
type Results = Result<Fates, JoinError>;

/// What after-actions remember.
#[derive(Debug, Default)]
pub(super) struct PostActions {
    /// Something may be due.
    look: bool,
    /// Not before then: the store has failed.
    not_before: Option<Duration>,
    /// The errand under way.
    running: Option<JoinHandle<Fates>>,
    /// Files that are tried again then.
    later: BTreeMap<Arc<Path>, Duration>,
    /// Files that are not what was sent, and are to stay.
    left_alone: BTreeMap<Arc<Path>, FileIdentity>,
}

impl PostActions {
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
            self.left_alone.remove(path);
        }
    }

    /// When something is tried again.
    pub(super) fn next(&self) -> Option<Duration> {
        let stalled = self.not_before.filter(|_| self.look);
        if self.running.is_some() { None } else { self.later.values().copied().chain(stalled).min() }
    }
}

impl Runner {
    /// Begins the next errand, if one is due and none is under way.
    pub(super) async fn act_after(&mut self) {
        let now = self.shared.now();
        let due_again = self.aftermath.later.values().any(|at| *at <= now);
        let acts = !matches!(self.rule.after.complete, AfterComplete::Keep)
            || !matches!(self.rule.after.error, AfterError::Keep);
        if !acts || self.paused || self.aftermath.running.is_some() || !(self.aftermath.look || due_again) {
            return;
        }
        if self.aftermath.not_before.is_some_and(|at| now < at) {
            return;
        }
        self.aftermath.not_before = None;
        match self.next_errand(now).await {
            Ok(Some(errand)) => self.begin_errand(errand),
            Ok(None) => self.aftermath.look = false,
            Err(error) => {
                (self.aftermath.look, self.aftermath.not_before) = (true, Some(now + RETRY));
                self.problem("store", describe(&error)).await;
            }
        }
    }

    async fn next_errand(&mut self, now: Duration) -> Result<Option<Errand>, StoreError> {
        self.aftermath.later.retain(|_, at| *at > now);
        if let Some(errand) = self.errand_for_sent().await? {
            return Ok(Some(errand));
        }
        self.errand_for_failed().await
    }

    /// The errand for some uploads of which sent files are still here.
    async fn errand_for_sent(&mut self) -> Result<Option<Errand>, StoreError> {
        let rule = Arc::clone(&self.rule);
        if matches!(rule.after.complete, AfterComplete::Keep) {
            return Ok(None);
        }
        let mut errand = self.errand();
        for (id, paths) in self.sent_uploads() {
            let files = self.files_of(id).await?;
            let action = match &rule.after.complete {
                AfterComplete::Move(target) => match self.folder_for(target, &files, &paths) {
                    Ok(folder) => Action::Move(folder),
                    Err(reason) => {
                        self.try_later(paths.iter());
                        self.problem("after", reason).await;
                        continue;
                    }
                },
                _ => Action::Delete,
            };
            let mut handled = Vec::with_capacity(paths.len());
            for path in &paths {
                match self.sent_as(id, path, &files).await? {
                    Some(sent) => handled.push(self.handled(path, sent, &paths)),
                    None => self.try_later([path]),
                }
            }
            errand.works.push((action, handled));
        }
        Ok(Some(errand).filter(|errand| !errand.works.is_empty()))
    }

    /// The next uploads of which sent files are here, with those.
    fn sent_uploads(&self) -> Vec<(UploadId, BTreeSet<Arc<Path>>)> {
        let desk = self.shared.desk();
        let is_due = |path: &Arc<Path>| {
            let identity = desk.inventory().get(path).map(|known| known.identity);
            let left_alone = identity.is_some() && self.aftermath.left_alone.get(path).copied() == identity;
            !left_alone && !self.aftermath.later.contains_key(path)
        };
        let (mut uploads, mut count) = (Vec::new(), 0);
        for (id, mut paths) in desk.sent_files() {
            paths.retain(is_due);
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

    /// What was sent of a file; `None` while that is not known.
    async fn sent_as(
        &self,
        id: UploadId,
        path: &Arc<Path>,
        files: &HashMap<PathBuf, File>,
    ) -> Result<Option<Sent>, StoreError> {
        match files.get(&self.rule.watch.join(path)) {
            Some(file) if file.state == FileState::Done => {
                Ok(Some(Sent { identity: file.identity, checksum: file.checksum.clone() }))
            }
            Some(_) => Ok(None),
            // The upload was removed from the list since: the ledger still knows what was sent.
            None => Ok(self.store.ledger_entry(&self.rule.name, path).await?.and_then(|entry| {
                let sent = entry.outcome == Outcome::Sent && entry.upload == Some(id);
                sent.then_some(Sent { identity: entry.identity, checksum: entry.checksum })
            })),
        }
    }

    /// The errand for one failed upload of which files are still here.
    async fn errand_for_failed(&mut self) -> Result<Option<Errand>, StoreError> {
        let AfterError::Move(target) = &self.rule.after.error else { return Ok(None) };
        let rule = Some(self.rule.name.clone());
        let filter = UploadFilter { states: vec![State::Error], rule, ..UploadFilter::default() };
        for upload in self.store.uploads(filter).await? {
            let paths = self.shared.desk().files_in(upload.id);
            let paths: BTreeSet<Arc<Path>> =
                paths.into_iter().filter(|path| !self.aftermath.later.contains_key(path)).collect();
            let Upload { problem: Some(problem), id, .. } = upload else { continue };
            if paths.is_empty() {
                continue;
            }
            let files = self.files_of(id).await?;
            let folder = match self.folder_for(target, &files, &paths) {
                Ok(folder) => folder,
                Err(reason) => {
                    self.try_later(paths.iter());
                    self.problem("after", reason).await;
                    return Ok(None);
                }
            };
            let known = |path: &Arc<Path>| files.get(&self.rule.watch.join(path)).map(|file| file.identity);
            let handled = paths.iter().filter_map(|path| {
                let sent = Sent { identity: known(path)?, checksum: None };
                Some(self.handled(path, sent, &paths))
            });
            let handled = handled.collect();
            let works = vec![(Action::Quarantine(folder, problem), handled)];
            return Ok(Some(Errand { works, ..self.errand() }));
        }
        Ok(None)
    }

    async fn files_of(&self, id: UploadId) -> Result<HashMap<PathBuf, File>, StoreError> {
        let mut files = HashMap::new();
        let mut after = None;
        loop {
            let page = self.store.files(id, after, PAGE).await?;
            let full = page.len() == PAGE as usize;
            after = page.last().map(|file| file.number);
            files.extend(page.into_iter().map(|file| (file.source.whole(), file)));
            if !full {
                return Ok(files);
            }
        }
    }

    /// The folder to move the files of a package into.
    fn folder_for(
        &self,
        target: &MoveTarget,
        files: &HashMap<PathBuf, File>,
        here: &BTreeSet<Arc<Path>>,
    ) -> Result<PathBuf, String> {
        let clock = self.clock();
        let mut listed: BTreeMap<&Path, u64> = here.iter().map(|path| (&**path, 0)).collect();
        for (source, file) in files {
            if let Ok(relative) = source.strip_prefix(&self.rule.watch) {
                listed.insert(relative, file.identity.size);
            }
        }
        let mut context = TemplateContext::for_files(&self.rule, clock.clone(), listed.iter().map(|(p, s)| (*p, *s)));
        context.host.clone_from(&self.surroundings.host);
        if let Some((path, size)) = listed.first_key_value() {
            let group = dispatch::group_of(&self.rule, &self.surroundings, &clock, path, *size);
            context.group = group.unwrap_or_default();
        }
        let written = target.render(&context).map_err(|error| format!("after: {error}"))?;
        let real = self.anchors.real(target, &written);
        real.ok_or_else(|| format!("after: {} is not in the rule's target folder", written.display()))
    }

    fn handled(&self, path: &Arc<Path>, sent: Sent, leaving: &BTreeSet<Arc<Path>>) -> Handled {
        let markers = match self.rule.ready {
            Ready::Marker { .. } => self.shared.desk().markers_with(path, &|other| leaving.contains(other)),
            _ => Vec::new(),
        };
        Handled { relative: Arc::clone(path), sent, markers }
    }

    fn errand(&self) -> Errand {
        Errand { root: self.rule.watch.clone(), works: Vec::new(), keeps_levels: self.keeps_levels() }
    }

    fn begin_errand(&mut self, errand: Errand) {
        let (store, rule, shared) = (self.store.clone(), Arc::clone(&self.rule), Arc::clone(&self.shared));
        let events = Arc::clone(&self.hints);
        let (watch, care) = (self.anchors.watch.clone(), self.care());
        let runtime = tokio::runtime::Handle::current();
        let span = tracing::Span::current();
        self.aftermath.running = Some(tokio::task::spawn_blocking(move || {
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
            let hold = |path: &Path, identity: &FileIdentity, held| {
                let due_at = Timestamp::now() + care;
                let (root, path, identity) = (rule.watch.clone(), path.to_owned(), *identity);
                let taken = TakenAway { root, path, held, identity, due_at };
                runtime.block_on(store.take_away(&rule.name, taken)).map_err(|error| describe(&error))
            };
            let progress = Progress { name: &name, copied: &copied, hold: &hold };
            let fates = carry_out(&errand, &events, &progress);
            shared.status().copying = None;
            fates
        }));
    }

    /// Records the outcome of the files of an errand.
    pub(super) async fn acted(&mut self, results: Results) {
        let results = match results {
            Ok(results) => results,
            Err(error) => return self.problem("after", describe(&error)).await,
        };
        self.aftermath.look = true;
        self.plan_care().await;
        for (path, fate) in results {
            match fate {
                Fate::Done => self.went_away(&path).await,
                Fate::Changed => self.came_out_changed(&path).await,
                Fate::Later(reason) => {
                    self.try_later([&path]);
                    self.problem("after", format!("{}: {reason}", path.display())).await;
                }
            }
        }
    }

    async fn went_away(&mut self, path: &Arc<Path>) {
        self.shared.desk().taken_away(path);
        self.aftermath.forget([path]);
        if self.rule.resend
            && let Err(error) = self.store.ledger_forget_files(&self.rule.name, vec![path.to_path_buf()]).await
        {
            self.problem("store", describe(&error)).await;
        }
    }

    /// The file is not what was sent, though nothing but its content shows it: it is new.
    async fn came_out_changed(&mut self, path: &Arc<Path>) {
        if self.rule.on_change == OnChange::Ignore {
            let identity = self.shared.desk().inventory().get(path).map(|known| known.identity);
            self.aftermath.left_alone.extend(identity.map(|identity| (Arc::clone(path), identity)));
            return;
        }
        if let Err(error) = self.store.ledger_forget(&self.rule.name, Some(path)).await {
            return self.problem("store", describe(&error)).await;
        }
        self.judge(std::slice::from_ref(path)).await;
    }

    fn try_later<'a>(&mut self, paths: impl IntoIterator<Item = &'a Arc<Path>>) {
        let at = self.shared.now() + AGAIN;
        self.aftermath.later.extend(paths.into_iter().map(|path| (Arc::clone(path), at)));
    }
}
