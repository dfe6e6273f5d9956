//! The rule's task and open packages: files are added to them, conditions close them, a restart finds them again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use super::auto_resume::can_pass;
use super::submit::{Refusal, State, Submission};
use super::{Runner, describe};
use crate::model::UploadId;
use crate::model::{State as UploadState, Upload, UploadFilter};
use crate::store::{RuleRecord, Store, StoreError};
use crate::watch::dispatch::{self, Chosen, Surroundings};
use crate::watch::open::{OpenPackage, Situation, closes};
use crate::watch::package::top_level;
use crate::watch::trigger::{ASK_SCHEDULE, Keeper};
use crate::watch::upload_sink::SinkError;
use masv_platform::{Folder, FolderError, PathBeneath, crash_point};
use masv_rules::{Finalize, OWN_PREFIX, OnChange, Per, Rule};

impl State {
    /// The uploads that take files.
    pub(super) fn open_uploads(&self) -> Vec<UploadId> {
        self.open.values().map(|package| package.id).collect()
    }

    /// Finds again what was begun before a restart: packages that are still open, moments that were missed.
    pub(super) async fn recover(
        &mut self,
        rule: &Rule,
        store: &Store,
        surroundings: &Surroundings,
        record: Option<&RuleRecord>,
    ) -> Result<(), StoreError> {
        if let Some(record) = record {
            self.keeper = Keeper::new(record.last_run_at.unwrap_or(record.first_seen_at));
        }
        if !matches!(rule.finalize, Finalize::Open(_)) {
            return Ok(());
        }
        let claimed = PathBeneath::new(&*rule.watch, claimed_marker(rule));
        self.ordered = tokio::task::spawn_blocking(move || claimed.look().is_ok()).await.unwrap_or(false);
        for (upload, relative) in taking_files(store, rule).await? {
            let created = upload.created_at.to_zoned(rule.time_zone.clone());
            let group = dispatch::group_of(rule, surroundings, &created, &relative, 1);
            let package = OpenPackage {
                id: upload.id,
                files: upload.totals.files,
                bytes: upload.totals.bytes,
                last_added: Duration::ZERO,
                opened_at: OpenPackage::opened(upload.created_at),
                retry_at: None,
            };
            // Newest first: of two that were open for one group the newer one stays.
            self.open.entry(Arc::from(group.unwrap_or_default())).or_insert(package);
        }
        Ok(())
    }
}

/// The rule's uploads that still take files, newest first, each with a path of it below the watched folder as the ledger
/// knows it: the folder itself may have been another one when the upload was made.
async fn taking_files(store: &Store, rule: &Rule) -> Result<Vec<(Upload, PathBuf)>, StoreError> {
    let states = vec![UploadState::Transferring, UploadState::Paused, UploadState::Idle, UploadState::Error];
    let filter = UploadFilter { states, rule: Some(rule.name.clone()), ..UploadFilter::default() };
    let mut uploads = store.uploads(filter).await?;
    uploads.retain(|upload| !upload.auto_finalize && !upload.closing);
    let mut with_path = Vec::with_capacity(uploads.len());
    for upload in uploads {
        if let Some(path) = store.ledger_path_in(&rule.name, upload.id).await? {
            with_path.push((upload, path));
        }
    }
    Ok(with_path)
}

impl Runner {
    /// With `on_change: append`, adds files that came back changed to a package that waits for somebody to finalize it,
    /// where there is one of their group or folder; what is left of the shipments is returned.
    pub(super) async fn append_changed(&mut self, shipments: Vec<Submission>, clock: &Zoned) -> Vec<Submission> {
        if self.rule.on_change != OnChange::Append || !matches!(self.rule.finalize, Finalize::Manual) {
            return shipments;
        }
        let mut left = Vec::new();
        for shipment in shipments {
            let (changed, fresh): (Vec<Chosen>, Vec<Chosen>) =
                shipment.files.into_iter().partition(|file| self.shared.desk().came_back_changed(&file.relative));
            let changed = Submission { group: Arc::clone(&shipment.group), files: changed };
            let fresh = Submission { group: shipment.group, files: fresh };
            let id = if changed.files.is_empty() { None } else { self.package_for(&changed, clock).await };
            let appended = match id {
                Some(id) => {
                    let sources = dispatch::source_files(&self.rule, &changed.files);
                    self.outlet.append(id, sources).await.is_ok().then_some(id)
                }
                None => None,
            };
            match appended {
                Some(id) => {
                    self.shipped(&changed, Ok(id)).await;
                    left.extend(Some(fresh).filter(|fresh| !fresh.files.is_empty()));
                }
                // There is none, or it was finalized at this very moment.
                None => {
                    let mut files = fresh.files;
                    files.extend(changed.files);
                    files.sort_by(|one, other| one.relative.cmp(&other.relative));
                    left.push(Submission { group: changed.group, files });
                }
            }
        }
        left
    }

    /// The newest package that takes these files.
    async fn package_for(&self, shipment: &Submission, clock: &Zoned) -> Option<UploadId> {
        let first = shipment.files.first()?;
        let belongs = |path: &Path| match self.rule.package.per {
            Per::Folder => top_level(path) == top_level(&first.relative),
            Per::File => path == &*first.relative,
            Per::Batch => {
                let group = dispatch::group_of(&self.rule, &self.surroundings, clock, path, 1);
                group.is_ok_and(|group| *group == *shipment.group)
            }
        };
        let taking = taking_files(&self.store, &self.rule).await.unwrap_or_default();
        taking.into_iter().find(|(_, path)| belongs(path)).map(|(upload, _)| upload.id)
    }

    /// Adds files to the open package of their group, or opens one with them.
    pub(super) async fn add_to_open(&mut self, shipment: Submission, clock: &Zoned) {
        let now = self.shared.now();
        let (files, bytes) = (shipment.files.len() as u64, shipment.files.iter().map(|f| f.identity.size).sum::<u64>());
        self.leave_failed(&shipment.group).await;
        if let Some(open) = self.ship.open.get(&shipment.group) {
            let id = open.id;
            let sources = dispatch::source_files(&self.rule, &shipment.files);
            crash_point("append.before");
            match self.outlet.append(id, sources).await {
                Ok(()) => {
                    crash_point("append.after");
                    if let Some(open) = self.ship.open.get_mut(&shipment.group) {
                        open.files += files;
                        open.bytes += bytes;
                        open.last_added = now;
                    }
                    return self.shipped(&shipment, Ok(id)).await;
                }
                // It was closed at this very moment: what comes now goes into the next one.
                Err(SinkError::NotOpen) => drop(self.ship.open.remove(&shipment.group)),
                Err(error) => return self.shipped(&shipment, Err(Refusal::from(error))).await,
            }
        }
        let result = match self.order(&shipment, clock).await {
            Ok(spec) => self.submit(spec).await,
            Err(reason) => Err(Refusal::Template(reason)),
        };
        if let Ok(id) = &result {
            let opened_at = OpenPackage::opened(clock.timestamp());
            let open = OpenPackage { id: *id, files, bytes, last_added: now, opened_at, retry_at: None };
            self.ship.open.insert(Arc::clone(&shipment.group), open);
        }
        self.shipped(&shipment, result).await;
    }

    /// An open package that has failed for good accepts nothing any more: new files go into another. It is closed automatically
    /// if it is resumed.
    async fn leave_failed(&mut self, group: &Arc<str>) {
        let Some(id) = self.ship.open.get(group).map(|open| open.id) else { return };
        let Ok(upload) = self.store.upload(id).await else { return };
        if upload.state != UploadState::Error || can_pass(&upload) {
            return;
        }
        match self.store.set_auto_finalize(id, true).await {
            Ok(()) => drop(self.ship.open.remove(group)),
            Err(error) => tracing::debug!(upload = %id, %error, "a failed package stays open"),
        }
    }

    /// Closes the open packages whose condition holds; returns when to ask again.
    pub(super) async fn close_open(&mut self, clock: &Zoned) -> Option<Duration> {
        let rule = Arc::clone(&self.rule);
        let Finalize::Open(when) = &rule.finalize else { return None };
        let now = self.shared.now();
        self.claim_marker().await;
        let mut next: Option<Duration> = None;
        let mut all_closed = true;
        let groups: Vec<Arc<str>> = self.ship.open.keys().cloned().collect();
        for group in groups {
            let settling = self.shared.desk().is_settling(&group);
            let situation = Situation { now, clock, marker: self.ship.ordered, settling };
            let Some(package) = self.ship.open.get_mut(&group) else { continue };
            let id = package.id;
            match closes(when, package, situation) {
                Ok(()) => match self.close(id).await {
                    Ok(()) => drop(self.ship.open.remove(&group)),
                    // Removed, already complete, or paused: checked again as long as it exists.
                    Err(error) => {
                        all_closed = false;
                        next = next.into_iter().chain([now + ASK_SCHEDULE]).min();
                        if !self.is_there(id).await {
                            self.ship.open.remove(&group);
                        } else if let Some(package) = self.ship.open.get_mut(&group) {
                            package.retry_at = Some(now + ASK_SCHEDULE);
                        }
                        tracing::debug!(upload = %id, %error, "an open package cannot be closed yet");
                    }
                },
                Err(ask) => {
                    all_closed = false;
                    next = next.into_iter().chain(ask.map(|at| at.min(now + ASK_SCHEDULE))).min();
                }
            }
        }
        if self.ship.ordered && all_closed {
            self.marker_done().await;
        }
        next
    }

    async fn close(&self, id: UploadId) -> Result<(), SinkError> {
        crash_point("close.before");
        let closed = self.outlet.finalize(id).await;
        crash_point("close.after");
        closed
    }

    async fn is_there(&self, id: UploadId) -> bool {
        match self.store.upload(id).await {
            Ok(upload) => upload.state != UploadState::Complete,
            Err(StoreError::NotFound(_)) => false,
            Err(_) => true,
        }
    }

    /// Takes the closing marker once a package is open that it may close: under its new name it is an order that stands
    /// until it is carried out, across crashes, and that no later package is closed by.
    async fn claim_marker(&mut self) {
        let Some(marker) = self.sieve.closing_marker() else { return };
        if self.ship.ordered || self.ship.open.is_empty() || !self.shared.desk().inventory().contains(marker) {
            return;
        }
        let marker = marker.to_owned();
        let (root, path, claimed) = (self.rule.watch.clone(), marker.clone(), claimed_marker(&self.rule));
        self.ship.ordered = true;
        let claim = move || {
            let root = Folder::open(&root)?;
            let (folder, name) = root.parent_of(&path)?;
            folder.rename_new(&name, &root, claimed.as_ref())
        };
        match on_disk(claim).await {
            Ok(()) => self.shared.desk().taken_away(&marker),
            Err(reason) => self.problem("marker", format!("cannot take the marker: {reason}")).await,
        }
        crash_point("marker.claimed");
    }

    async fn marker_done(&mut self) {
        self.ship.ordered = false;
        let (root, claimed) = (self.rule.watch.clone(), claimed_marker(&self.rule));
        let remove = move || match Folder::open(&root)?.remove_file(claimed.as_ref()) {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(()),
        };
        match on_disk(remove).await {
            Ok(()) => self.recovered(&["marker"]),
            Err(reason) => self.problem("marker", format!("cannot remove the marker: {reason}")).await,
        }
    }
}

/// The closing marker's name in the watched folder once it is taken.
fn claimed_marker(rule: &Rule) -> String {
    format!("{OWN_PREFIX}-closing-{}", rule.name)
}

async fn on_disk(work: impl FnOnce() -> Result<(), FolderError> + Send + 'static) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| describe(&error))?.map_err(|error| describe(&error))
}
