//! Packaging by the rule's task: when the schedule allows it, what is ready goes to the queue.
//!
//! **In**: the planner's plan, the schedule, open packages. **Out**: uploads. The queue makes the ledger's claims in
//! the transaction that creates the upload, so that no file is sent twice or forgotten because of a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::{Timestamp, Zoned};

use super::{RETRY, Runner, describe};
use crate::model::UploadId;
use crate::model::UploadSpec;
use crate::watch::dispatch::{self, Chosen};
use crate::watch::open::OpenPackage;
use crate::watch::package::{Gate, Package, top_level};
use crate::watch::settle::Stage;
use crate::watch::trigger::{Keeper, Orders};
use crate::watch::upload_sink::SinkError;
use masv_platform::crash_point;
use masv_rules::{Finalize, Per};

/// Packages made in one pass; more are made in the next, so that orders are heard in between.
const MOST_IN_A_PASS: usize = 512;
/// Packages handed to the queue at the same time: their transactions share a flush of the disk.
const AT_ONCE: usize = 64;
/// What packaging remembers.
#[derive(Debug)]
pub(super) struct State {
    pub(super) open: BTreeMap<Arc<str>, OpenPackage>,
    /// The closing marker was there: what is open is to be closed.
    pub(super) ordered: bool,
    pub(super) keeper: Keeper,
}

impl State {
    pub(super) fn new() -> Self {
        Self { open: BTreeMap::new(), ordered: false, keeper: Keeper::new(Timestamp::now()) }
    }
}

/// A package for the queue.
pub(super) struct Submission {
    pub(super) group: Arc<str>,
    pub(super) files: Vec<Chosen>,
}

impl Runner {
    /// Packages what is ready, closes open packages; returns when to ask again.
    pub(super) async fn ship(&mut self) -> Option<Duration> {
        let (now, clock) = (self.shared.now(), self.clock());
        let orders = Orders { flush: self.flush, paused: self.paused };
        let shared = Arc::clone(&self.shared);
        let (gate, ask_gate) =
            self.ship.keeper.gate(now, &clock, &self.rule, orders, &|run| shared.desk().awaits(run.started));
        let takes_files = matches!(self.rule.finalize, Finalize::Open(_));
        let mut plan = self.shared.desk().plan(now, gate, takes_files);
        self.shared.status().next_package = plan.next.map(|at| self.shared.at(at));
        let more = plan.packages.len() > MOST_IN_A_PASS;
        plan.packages.truncate(MOST_IN_A_PASS);
        let planned = plan.packages.len();
        let shipments = self.checked(now, plan.packages).await;
        // What is left of a package of which something changed at the last moment is planned again.
        let more = more || shipments.len() < planned;
        if takes_files {
            for shipment in shipments {
                self.add_to_open(shipment, &clock).await;
            }
        } else {
            let shipments = self.append_changed(shipments, &clock).await;
            self.submit_all(shipments, &clock).await;
        }
        self.end_run(gate, more, plan.next).await;
        let ask_open = self.close_open(&clock).await;
        let again = more.then_some(now);
        [plan.next, ask_gate, ask_open, again].into_iter().flatten().min()
    }

    /// Ends the run of a moment once everything that belongs to it is packaged.
    async fn end_run(&mut self, gate: Gate, more: bool, next: Option<Duration>) {
        let now = self.shared.now();
        let shared = Arc::clone(&self.shared);
        let ended = self.ship.keeper.ended(now, gate, more, next, &|run| shared.desk().awaits(run.started));
        let Some(at) = ended else { return };
        if let Err(error) = self.store.set_rule_run(&self.rule.name, at).await {
            self.problem("store", describe(&error)).await;
        }
    }

    /// Looks once more at what is to be packaged: only packages of which everything is still as it was are returned.
    async fn checked(&mut self, now: Duration, packages: Vec<Package>) -> Vec<Submission> {
        let mut shipments = Vec::new();
        if packages.is_empty() {
            return shipments;
        }
        let packages = if self.rule.package.per == Per::Folder { self.unchanged(packages).await } else { packages };
        let seen_now = |path: &Arc<Path>| {
            self.shared.desk().settling().get(path).is_some_and(|file| file.stage == Stage::Whole(now))
        };
        let old: Vec<Arc<Path>> =
            packages.iter().flat_map(|package| &package.files).filter(|path| !seen_now(path)).cloned().collect();
        let mut changed = std::collections::HashSet::new();
        if !old.is_empty() {
            let places: Vec<Arc<Path>> = {
                let desk = self.shared.desk();
                let place = |path: &Arc<Path>| desk.inventory().get(path).and_then(|known| known.target.clone());
                old.iter().map(|path| place(path).unwrap_or_else(|| Arc::clone(path))).collect()
            };
            let Ok(probes) = self.probe(places).await else {
                return shipments; // The next look finds out why.
            };
            let now = self.shared.now();
            let mut desk = self.shared.desk();
            for (path, (probe, writing)) in old.iter().zip(&probes) {
                if !desk.recheck(now, path, probe, writing) {
                    changed.insert(Arc::clone(path));
                }
            }
        }
        for package in packages {
            if !package.files.iter().any(|path| changed.contains(path)) {
                shipments.extend(self.shipment(&package));
            }
        }
        shipments
    }

    /// The folders in which nothing is new, changed or gone.
    async fn unchanged(&mut self, packages: Vec<Package>) -> Vec<Package> {
        let mut unchanged = Vec::with_capacity(packages.len());
        for package in packages {
            let top = package.files.first().map(|file| top_level(file).to_owned());
            if !self.look_at_paths(top.into_iter().collect()).await {
                unchanged.push(package);
            }
        }
        unchanged
    }

    /// The package for the queue; `None` if one of its files is no longer pending.
    fn shipment(&self, package: &Package) -> Option<Submission> {
        let files = self.shared.desk().chosen(package);
        (files.len() == package.files.len()).then(|| Submission { group: Arc::clone(&package.group), files })
    }

    pub(super) async fn order(&self, shipment: &Submission, clock: &Zoned) -> Result<UploadSpec, String> {
        let sequence = if dispatch::uses_sequence(&self.rule) {
            let day = clock.date().to_string();
            self.store.next_sequence(&self.rule.name, &day).await.map_err(|error| describe(&error))?
        } else {
            1
        };
        dispatch::order(&self.rule, &self.surroundings, clock, &shipment.group, sequence, &shipment.files)
            .map_err(|error| describe(&error))
    }

    pub(super) async fn submit(&self, spec: UploadSpec) -> Result<UploadId, Refusal> {
        crash_point("submit.before");
        let result = self.outlet.submit(spec).await.map_err(Refusal::from);
        crash_point("submit.after");
        result
    }

    async fn submit_all(&mut self, shipments: Vec<Submission>, clock: &Zoned) {
        let results: Vec<(Submission, Result<UploadId, Refusal>)> = {
            let this = &*self;
            let submits = shipments.into_iter().map(|shipment| async move {
                let result = match this.order(&shipment, clock).await {
                    Ok(spec) => this.submit(spec).await,
                    Err(reason) => Err(Refusal::Template(reason)),
                };
                (shipment, result)
            });
            futures_util::stream::iter(submits).buffered(AT_ONCE).collect().await
        };
        for (shipment, result) in results {
            self.shipped(&shipment, result).await;
        }
    }

    /// Records the outcome of a package.
    pub(super) async fn shipped(&mut self, shipment: &Submission, result: Result<UploadId, Refusal>) {
        let now = self.shared.now();
        match result {
            Ok(id) => {
                let mut desk = self.shared.desk();
                shipment.files.iter().for_each(|file| desk.sent_with(&file.relative, id));
                drop(desk);
                self.shared.status().made += 1;
                self.recovered(&["queue", "store"]);
            }
            Err(Refusal::Template(reason)) => {
                {
                    let mut desk = self.shared.desk();
                    let until = Some(now + self.rule.rescan);
                    shipment.files.iter().for_each(|file| desk.block(&file.relative, reason.clone(), until));
                }
                self.problem("template", reason).await;
            }
            Err(Refusal::Claimed) => {
                let mut desk = self.shared.desk();
                let reason = "the ledger already has it; looking it up again".to_owned();
                shipment.files.iter().for_each(|file| desk.block(&file.relative, reason.clone(), Some(now + RETRY)));
                drop(desk);
                self.read_ledger_soon();
            }
            Err(Refusal::Failed(reason)) => {
                {
                    let mut desk = self.shared.desk();
                    let until = Some(now + RETRY);
                    shipment.files.iter().for_each(|file| desk.block(&file.relative, reason.clone(), until));
                }
                self.problem("queue", reason).await;
            }
        }
    }
}

/// Why a package was not made.
pub(super) enum Refusal {
    Template(String),
    Claimed,
    Failed(String),
}

impl From<SinkError> for Refusal {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::AlreadyClaimed(_) => Self::Claimed,
            other => Self::Failed(describe(&other)),
        }
    }
}
