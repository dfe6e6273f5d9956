//! Open packages: files are added to them, conditions close them, a restart finds them again.
//!
//! **In**: packages that take files, the closing marker, the clock. **Out**: files appended to uploads, uploads that are closed.
//!
//! **Owns** which packages are open, and that the closing marker has ordered them to be closed.
//!
//! **Guarantees.** A file goes into an open package or into the next one, never into neither. An order by marker stands until it is
//! carried out, across crashes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use super::handover::{Refusal, Submission, book, goes_to_others, order, submit};
use crate::model::UploadId;
use crate::model::{State as UploadState, Upload, UploadFilter};
use crate::store::{Store, StoreError};
use crate::watch::dispatch;
use crate::watch::open::{OpenPackage, Situation, closes};
use crate::watch::runner::auto_resume::can_pass;
use crate::watch::runner::context::Context;
use crate::watch::runner::describe;
use crate::watch::trigger::ASK_SCHEDULE;
use crate::watch::upload_sink::SinkError;
use masv_platform::{FolderError, crash_point};
use masv_rules::{Finalize, OWN_PREFIX, Rule};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OpenPackages {
    open: BTreeMap<Arc<str>, OpenPackage>,
    /// The closing marker was there: what is open is to be closed.
    ordered: bool,
}

impl OpenPackages {
    /// The uploads that take files.
    pub(super) fn uploads(&self) -> Vec<UploadId> {
        self.open.values().map(|package| package.id).collect()
    }

    /// Finds the packages again that were open before a restart.
    pub(super) async fn recover(&mut self, context: &Context) -> Result<(), StoreError> {
        let rule = &context.rule;
        if !matches!(rule.finalize, Finalize::Open(_)) {
            return Ok(());
        }
        let claimed = rule.place().join(claimed_marker(rule));
        self.ordered = tokio::task::spawn_blocking(move || claimed.look().is_ok()).await.unwrap_or(false);
        for (upload, relative) in taking_files(&context.store, rule).await? {
            let created = upload.created_at.to_zoned(rule.time_zone.clone());
            let group = dispatch::group_of(rule, &context.surroundings, &created, &relative, 1);
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

    /// Adds files to the open package of their group, or opens one with them; returns whether the ledger has to be read again.
    pub(super) async fn add(&mut self, context: &Context, shipment: Submission, clock: &Zoned) -> bool {
        let now = context.now();
        let (files, bytes) = (shipment.files.len() as u64, shipment.files.iter().map(|f| f.identity.size).sum::<u64>());
        self.leave_failed(context, &shipment.group).await;
        if let Some(open) = self.open.get(&shipment.group) {
            let id = open.id;
            if let Some(reason) = goes_to_others(context, id, &shipment, clock).await {
                return book(context, &shipment, Err(Refusal::Template(reason))).await;
            }
            let sources = dispatch::source_files(&context.rule, &shipment.files);
            crash_point("append.before");
            match context.outlet.append(id, sources).await {
                Ok(()) => {
                    crash_point("append.after");
                    if let Some(open) = self.open.get_mut(&shipment.group) {
                        open.files += files;
                        open.bytes += bytes;
                        open.last_added = now;
                    }
                    return book(context, &shipment, Ok(id)).await;
                }
                // It was closed at this very moment: what comes now goes into the next one.
                Err(SinkError::NotOpen) => drop(self.open.remove(&shipment.group)),
                Err(error) => return book(context, &shipment, Err(Refusal::from(error))).await,
            }
        }
        let result = match order(context, &shipment, clock).await {
            Ok(spec) => submit(context, spec).await,
            Err(reason) => Err(Refusal::Template(reason)),
        };
        if let Ok(id) = &result {
            let opened_at = OpenPackage::opened(clock.timestamp());
            let open = OpenPackage { id: *id, files, bytes, last_added: now, opened_at, retry_at: None };
            self.open.insert(Arc::clone(&shipment.group), open);
        }
        book(context, &shipment, result).await
    }

    /// An open package that has failed for good accepts nothing any more: new files go into another. It is closed automatically
    /// if it is resumed.
    async fn leave_failed(&mut self, context: &Context, group: &Arc<str>) {
        let Some(id) = self.open.get(group).map(|open| open.id) else { return };
        let Ok(upload) = context.store.upload(id).await else { return };
        if upload.state != UploadState::Error || can_pass(&upload) {
            return;
        }
        match context.store.set_auto_finalize(id, true).await {
            Ok(()) => drop(self.open.remove(group)),
            Err(error) => tracing::debug!(upload = %id, %error, "a failed package stays open"),
        }
    }

    /// Closes the open packages whose condition holds; returns when to ask again.
    pub(super) async fn close_due(&mut self, context: &Context, clock: &Zoned) -> Option<Duration> {
        let rule = Arc::clone(&context.rule);
        let Finalize::Open(when) = &rule.finalize else { return None };
        let now = context.now();
        self.claim_marker(context).await;
        let mut next: Option<Duration> = None;
        let mut all_closed = true;
        let groups: Vec<Arc<str>> = self.open.keys().cloned().collect();
        for group in groups {
            let settling = context.shared.desk().is_settling(&group);
            let situation = Situation { now, clock, marker: self.ordered, settling };
            let Some(package) = self.open.get_mut(&group) else { continue };
            let id = package.id;
            match closes(when, package, situation) {
                Ok(()) => match close(context, id).await {
                    Ok(()) => drop(self.open.remove(&group)),
                    // Removed, already complete, or paused: checked again as long as it exists.
                    Err(error) => {
                        all_closed = false;
                        next = next.into_iter().chain([now + ASK_SCHEDULE]).min();
                        if !is_there(context, id).await {
                            self.open.remove(&group);
                        } else if let Some(package) = self.open.get_mut(&group) {
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
        if self.ordered && all_closed {
            self.marker_done(context).await;
        }
        next
    }

    /// Takes the closing marker once a package is open that it may close: under its new name it is an order that stands
    /// until it is carried out, across crashes, and that no later package is closed by.
    async fn claim_marker(&mut self, context: &Context) {
        let Some(marker) = context.sieve.closing_marker() else { return };
        if self.ordered || self.open.is_empty() || !context.shared.desk().inventory().contains(marker) {
            return;
        }
        let marker = marker.to_owned();
        let (root, path, claimed) = (context.rule.place(), marker.clone(), claimed_marker(&context.rule));
        self.ordered = true;
        let claim = move || {
            let root = root.folder()?;
            let (folder, name) = root.parent_of(&path)?;
            folder.rename_new(&name, &root, claimed.as_ref())
        };
        match on_disk(claim).await {
            Ok(()) => context.shared.desk().taken_away(&marker),
            Err(reason) => context.problem("marker", format!("cannot take the marker: {reason}")).await,
        }
        crash_point("marker.claimed");
    }

    async fn marker_done(&mut self, context: &Context) {
        self.ordered = false;
        let (root, claimed) = (context.rule.place(), claimed_marker(&context.rule));
        let remove = move || match root.folder()?.remove_file(claimed.as_ref()) {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(()),
        };
        match on_disk(remove).await {
            Ok(()) => context.recovered(&["marker"]),
            Err(reason) => context.problem("marker", format!("cannot remove the marker: {reason}")).await,
        }
    }
}

async fn close(context: &Context, id: UploadId) -> Result<(), SinkError> {
    crash_point("close.before");
    let closed = context.outlet.finalize(id).await;
    crash_point("close.after");
    closed
}

async fn is_there(context: &Context, id: UploadId) -> bool {
    match context.store.upload(id).await {
        Ok(upload) => upload.state != UploadState::Complete,
        Err(StoreError::NotFound(_)) => false,
        Err(_) => true,
    }
}

/// The rule's uploads that still take files, newest first, each with a path of it below the watched folder as the ledger
/// knows it: the folder itself may have been another one when the upload was made.
pub(super) async fn taking_files(store: &Store, rule: &Rule) -> Result<Vec<(Upload, PathBuf)>, StoreError> {
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

/// The closing marker's name in the watched folder once it is taken.
fn claimed_marker(rule: &Rule) -> String {
    format!("{OWN_PREFIX}-closing-{}", rule.name)
}

async fn on_disk(work: impl FnOnce() -> Result<(), FolderError> + Send + 'static) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| describe(&error))?.map_err(|error| describe(&error))
}
