//! Packaging: when the schedule allows it, what is ready goes to the queue.
//!
//! **In**: the planner's plan, the schedule, what the rule was asked for. **Out**: uploads ([`handover`]), files in open packages
//! ([`open_packages`], [`appending`]), and when to ask again.
//!
//! **Owns** how far the schedule has been followed, and the open packages.
//!
//! **Guarantees.** A file goes into a package only if it is, at that very moment, still what it was when it had settled. So does a
//! folder that goes as a whole: the caller looks at it between [`Packaging::plan`] and [`Packaging::make`].

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

use self::appending::append_changed;
use self::handover::{Refusal, Submission, order, submit, submit_all};
use self::open_packages::OpenPackages;
use super::context::Context;
use super::describe;
use crate::model::UploadId;
use crate::store::{RuleRecord, StoreError};
use crate::watch::dispatch::Chosen;
use crate::watch::package::{Gate, Package};
use crate::watch::settle::Stage;
use crate::watch::trigger::{Keeper, Orders};
use masv_rules::Finalize;

mod appending;
mod growing;
mod handover;
mod open_packages;

/// Packages made in one pass; more are made in the next, so that orders are heard in between.
const MOST_IN_A_PASS: usize = 512;
/// Files of them looked at once more together.
const AT_ONCE: usize = 1_000;

/// What packaging remembers.
#[derive(Debug)]
pub(super) struct Packaging {
    keeper: Keeper,
    open: OpenPackages,
}

/// What is to be packaged in this pass.
pub(super) struct Round {
    /// The packages; the caller may take some out.
    pub(super) packages: Vec<Package>,
    now: Duration,
    clock: Zoned,
    gate: Gate,
    planned: usize,
    more: bool,
    next: Option<Duration>,
    ask_gate: Option<Duration>,
}

/// What came of it.
pub(super) struct Made {
    /// When to ask again.
    pub(super) next: Option<Duration>,
    /// The ledger has claims that the planner does not know of: it has to be read again.
    pub(super) ledger_differs: bool,
}

impl Round {
    /// Whether a package may be begun whose files are not complete.
    pub(super) fn may_begin(&self) -> bool {
        self.gate == Gate::Open
    }
}

/// Begins an upload with a file that is being written.
pub(super) async fn begin_upload(context: &Context, group: &Arc<str>, file: Chosen) -> Result<UploadId, String> {
    let shipment = Submission { group: Arc::clone(group), files: Arc::new(vec![file]) };
    let spec = order(context, &shipment, &context.clock()).await?;
    match submit(context, spec).await {
        Ok(id) => {
            context.shared.status().made += 1;
            Ok(id)
        }
        Err(Refusal::Template(reason) | Refusal::Failed(reason)) => Err(reason),
        Err(Refusal::Claimed) => Err("the ledger already has it".to_owned()),
    }
}

impl Packaging {
    pub(super) fn new() -> Self {
        Self { keeper: Keeper::new(Timestamp::now()), open: OpenPackages::default() }
    }

    /// The uploads that take files.
    pub(super) fn open_uploads(&self) -> Vec<UploadId> {
        self.open.uploads()
    }

    /// Finds again what was begun before a restart: packages that are still open, moments that were missed.
    pub(super) async fn begin(&mut self, context: &Context, record: Option<&RuleRecord>) -> Result<(), StoreError> {
        if let Some(record) = record {
            self.keeper = Keeper::new(record.last_run_at.unwrap_or(record.first_seen_at));
        }
        self.open.recover(context).await
    }

    /// What is ready, and allowed to go.
    pub(super) fn plan(&mut self, context: &Context, orders: Orders) -> Round {
        let (now, clock) = (context.now(), context.clock());
        let shared = &context.shared;
        let (gate, ask_gate) =
            self.keeper.gate(now, &clock, &context.rule, orders, &|run| shared.desk().awaits(run.started));
        let mut plan = shared.desk().plan(now, gate, takes_files(context));
        shared.status().next_package = plan.next.map(|at| shared.at(at));
        let more = plan.packages.len() > MOST_IN_A_PASS;
        plan.packages.truncate(MOST_IN_A_PASS);
        let planned = plan.packages.len();
        Round { packages: plan.packages, now, clock, gate, planned, more, next: plan.next, ask_gate }
    }

    /// Makes the packages of a round, closes open packages.
    pub(super) async fn make(&mut self, context: &Context, round: Round) -> Made {
        let Round { packages, now, clock, gate, planned, more, next, ask_gate } = round;
        let mut shipments = checked(context, now, packages).await;
        // What is left of a package of which something changed at the last moment is planned again.
        let more = more || shipments.len() < planned;
        let mut ledger_differs = false;
        shipments = growing::finish_grown(context, shipments, &mut ledger_differs).await;
        if takes_files(context) {
            for shipment in shipments {
                ledger_differs |= self.open.add(context, shipment, &clock).await;
            }
        } else {
            (shipments, ledger_differs) = append_changed(context, shipments, &clock).await;
            ledger_differs |= submit_all(context, shipments, &clock).await;
        }
        self.end_run(context, gate, more, next).await;
        let ask_open = self.open.close_due(context, &clock).await;
        let again = more.then_some(now);
        Made { next: [next, ask_gate, ask_open, again].into_iter().flatten().min(), ledger_differs }
    }

    /// Ends the run of a moment once everything that belongs to it is packaged.
    async fn end_run(&mut self, context: &Context, gate: Gate, more: bool, next: Option<Duration>) {
        let now = context.now();
        let shared = &context.shared;
        let ended = self.keeper.ended(now, gate, more, next, &|run| shared.desk().awaits(run.started));
        let Some(at) = ended else { return };
        if let Err(error) = context.store.set_rule_run(&context.rule.name, at).await {
            context.problem("store", describe(&error)).await;
        }
    }
}

fn takes_files(context: &Context) -> bool {
    matches!(context.rule.finalize, Finalize::Open(_))
}

/// Looks once more at what is to be packaged: only packages of which everything is still as it was are returned.
async fn checked(context: &Context, now: Duration, packages: Vec<Package>) -> Vec<Submission> {
    let mut shipments = Vec::new();
    if packages.is_empty() {
        return shipments;
    }
    let seen_now = |path: &Arc<Path>| {
        context.shared.desk().settling().get(path).is_some_and(|file| file.stage == Stage::Whole(now))
    };
    let mut old = packages.iter().flat_map(|package| &package.files).filter(|path| !seen_now(path)).cloned();
    let mut changed = HashSet::new();
    loop {
        let paths: Vec<Arc<Path>> = old.by_ref().take(AT_ONCE).collect();
        if paths.is_empty() {
            break;
        }
        let places: Vec<Arc<Path>> = {
            let desk = context.shared.desk();
            let known = |path: &Arc<Path>| desk.inventory().get(path).map(|known| known.place(path));
            paths.iter().map(|path| known(path).unwrap_or_else(|| Arc::clone(path))).collect()
        };
        let Ok(probes) = context.probe(places).await else {
            return shipments; // The next look finds out why.
        };
        let now = context.now();
        let mut desk = context.shared.desk();
        for (path, (probe, writing)) in paths.iter().zip(&probes) {
            if !desk.recheck(now, path, probe, writing) {
                changed.insert(Arc::clone(path));
            }
        }
    }
    drop(old);
    for package in packages {
        if !package.files.iter().any(|path| changed.contains(path)) {
            shipments.extend(shipment(context, &package));
        }
    }
    shipments
}

/// The package for the queue; `None` if one of its files is no longer pending.
fn shipment(context: &Context, package: &Package) -> Option<Submission> {
    let files = context.shared.desk().chosen(package);
    (files.len() == package.files.len())
        .then(|| Submission { group: Arc::clone(&package.group), files: Arc::new(files) })
}
