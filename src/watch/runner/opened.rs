//! The rule's task and open packages: files are added to them, conditions close them, a restart finds them again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use super::Runner;
use super::ship::{ASK_SCHEDULE, Refusal, Shipment, State};
use crate::base::UploadId;
use crate::rules::{Finalize, Rule};
use crate::store::{RuleRecord, State as UploadState, Store, StoreError, UploadFilter};
use crate::watch::dispatch::{self, Surroundings};
use crate::watch::open::{OpenPackage, Situation, closes};
use crate::watch::outlet::OutletError;

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
            let last = record.last_run_at.unwrap_or(record.first_seen_at);
            self.looked_until = last.to_zoned(rule.time_zone.clone());
        }
        if !matches!(rule.finalize, Finalize::Open(_)) {
            return Ok(());
        }
        let states = vec![UploadState::Transferring, UploadState::Paused, UploadState::Idle, UploadState::Error];
        let filter = UploadFilter { states, rule: Some(rule.name.clone()), ..UploadFilter::default() };
        for upload in store.uploads(filter).await? {
            if upload.auto_finalize || upload.closing {
                continue;
            }
            let Some(first) = store.files(upload.id, None, 1).await?.into_iter().next() else { continue };
            let Ok(relative) = first.source.strip_prefix(&rule.watch) else { continue };
            let created = upload.created_at.to_zoned(rule.time_zone.clone());
            let group = dispatch::group_of(rule, surroundings, &created, relative, first.identity.size);
            let package = OpenPackage {
                id: upload.id,
                files: upload.totals.files,
                bytes: upload.totals.bytes,
                last_added: Duration::ZERO,
                looked_until: created,
                retry_at: None,
            };
            // Newest first: of two that were open for one group the newer one stays.
            self.open.entry(Arc::from(group.unwrap_or_default())).or_insert(package);
        }
        Ok(())
    }
}

impl Runner {
    /// Adds files to the open package of their group, or opens one with them.
    pub(super) async fn add_to_open(&mut self, shipment: Shipment, clock: &Zoned) {
        let now = self.shared.now();
        let (files, bytes) = (shipment.files.len() as u64, shipment.files.iter().map(|f| f.identity.size).sum::<u64>());
        if let Some(open) = self.ship.open.get(&shipment.group) {
            let id = open.id;
            let sources = dispatch::source_files(&self.rule, &shipment.files);
            match self.outlet.append(id, sources).await {
                Ok(()) => {
                    if let Some(open) = self.ship.open.get_mut(&shipment.group) {
                        open.files += files;
                        open.bytes += bytes;
                        open.last_added = now;
                    }
                    return self.shipped(&shipment, Ok(id)).await;
                }
                // It was closed at this very moment: what comes now goes into the next one.
                Err(OutletError::NotOpen) => drop(self.ship.open.remove(&shipment.group)),
                Err(error) => return self.shipped(&shipment, Err(Refusal::from(error))).await,
            }
        }
        let result = match self.order(&shipment, clock).await {
            Ok(spec) => self.outlet.submit(spec).await.map_err(Refusal::from),
            Err(reason) => Err(Refusal::Template(reason)),
        };
        if let Ok(id) = &result {
            let looked_until = clock.clone();
            let open = OpenPackage { id: *id, files, bytes, last_added: now, looked_until, retry_at: None };
            self.ship.open.insert(Arc::clone(&shipment.group), open);
        }
        self.shipped(&shipment, result).await;
    }

    /// Closes the open packages whose condition holds; returns when to ask again.
    pub(super) async fn close_open(&mut self, clock: &Zoned) -> Option<Duration> {
        let rule = Arc::clone(&self.rule);
        let Finalize::Open(when) = &rule.finalize else { return None };
        let now = self.shared.now();
        let marker = self.sieve.closing_marker().filter(|marker| self.shared.desk().inventory().contains(marker));
        let marker = marker.map(Path::to_owned);
        let mut next: Option<Duration> = None;
        let (mut closed, mut all_closed) = (false, true);
        let groups: Vec<Arc<str>> = self.ship.open.keys().cloned().collect();
        for group in groups {
            let settling = self.shared.desk().is_settling(&group);
            let Some(package) = self.ship.open.get_mut(&group) else { continue };
            let situation = Situation { now, clock, marker: marker.is_some(), settling };
            match closes(when, package, situation) {
                Ok(()) => match self.outlet.finalize(package.id).await {
                    Ok(()) => {
                        closed = true;
                        self.ship.open.remove(&group);
                    }
                    // Removed, complete already, or paused by somebody: asked again as long as it is there.
                    Err(error) => {
                        all_closed = false;
                        package.retry_at = Some(now + ASK_SCHEDULE);
                        next = next.into_iter().chain([now + ASK_SCHEDULE]).min();
                        let id = package.id;
                        if !self.is_there(id).await {
                            self.ship.open.remove(&group);
                        }
                        tracing::debug!(rule = rule.name, upload = %id, %error, "an open package can not be closed yet");
                    }
                },
                Err(ask) => {
                    all_closed = false;
                    next = next.into_iter().chain(ask.map(|at| at.min(now + ASK_SCHEDULE))).min();
                }
            }
        }
        if let Some(marker) = marker.filter(|_| closed && all_closed) {
            self.consume_marker(&marker).await;
        }
        next
    }

    async fn is_there(&self, id: UploadId) -> bool {
        match self.store.upload(id).await {
            Ok(upload) => upload.state != UploadState::Complete,
            Err(StoreError::NotFound(_)) => false,
            Err(_) => true,
        }
    }

    /// The marker was an order, and it is carried out: left where it is, it would close the next package at once.
    async fn consume_marker(&mut self, marker: &Path) {
        let path = self.rule.watch.join(marker);
        let removed = tokio::fs::remove_file(&path).await;
        match removed {
            Ok(()) => self.shared.desk().taken_away(marker),
            Err(error) => self.problem("marker", format!("can not remove {}: {error}", path.display())).await,
        }
    }
}
