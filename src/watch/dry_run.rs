//! What rules would send if all files were complete now: nothing is sent, nothing is recorded.
//!
//! **In**: rules, the current folders, the ledger if there is one. **Out**: packages with rendered templates.
//!
//! It runs the same code as watching, with the time advanced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::beneath::{self, Probe};
use super::classifier::Classifier;
use super::dispatch::{self, Surroundings};
use super::open_handles::Writing;
use super::package::Gate;
use super::planner::Planner;
use super::scan;
use super::{WatchSettings, describe};
use crate::manifest::{parse, reader};
use crate::model::{Destination, UploadKind};
use crate::store::{Store, StoreError};
use crate::watch::lossy_path;
use masv_rules::{Existing, Finalize, Rule, RuleSet};

/// Paths that the ledger is asked about at once.
const AT_ONCE: usize = 500;
/// Far enough ahead that everything has settled and every gathering is over.
const LATER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What one rule would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DryRun {
    /// The rule.
    pub rule: String,
    /// Its folder.
    #[serde(serialize_with = "lossy_path::path")]
    #[schemars(with = "String")]
    pub watch: PathBuf,
    /// Why it cannot run.
    pub offline: Option<String>,
    /// What it would make.
    pub packages: Vec<DryPackage>,
    /// Files that would wait, and for what.
    #[serde(serialize_with = "lossy_path::remarks")]
    #[schemars(with = "Vec<(String, String)>")]
    pub waiting: Vec<(PathBuf, String)>,
    /// Files that were sent, are being sent, or are marked as sent.
    pub done: u64,
    /// Listed files whose checksums were not compared, for that means reading them: they are taken to be right.
    pub uncompared: u64,
    /// What could not be read, and why.
    #[serde(serialize_with = "lossy_path::remarks")]
    #[schemars(with = "Vec<(String, String)>")]
    pub unread: Vec<(PathBuf, String)>,
}

/// A package that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DryPackage {
    /// Rendered name; absent when the template fails, see `error`.
    pub name: Option<String>,
    /// Rendered description.
    pub description: Option<String>,
    /// What kind of upload.
    pub kind: Option<UploadKind>,
    /// Who gets it: e-mail addresses, or the portal's subdomain.
    pub recipients: Vec<String>,
    /// Values of the portal's form, rendered.
    pub metadata: BTreeMap<String, String>,
    /// Why it could not be made.
    pub error: Option<String>,
    /// Sum of the files' sizes, bytes.
    pub bytes: u64,
    /// Paths in the package, with bytes.
    pub files: Vec<(String, u64)>,
}

/// What these rules would send now. Without a store everything counts as new.
///
/// # Errors
/// Those of the store.
pub async fn dry_run(
    rules: &RuleSet,
    store: Option<&Store>,
    settings: &WatchSettings,
) -> Result<Vec<DryRun>, StoreError> {
    let mut runs = Vec::new();
    for (place, rule) in rules.rules.iter().enumerate().filter(|(_, rule)| rule.enabled) {
        let seen = match store {
            Some(store) => store.rule_record(&rule.name).await?.is_some(),
            None => false,
        };
        let skips = !seen && rule.existing == Existing::Skip;
        let sieve = Classifier::new(Arc::clone(rule), &rules.rules[..place], &settings.own);
        let surroundings = Surroundings { host: settings.host.clone(), team_id: settings.team_id.clone() };
        let desk = Planner::new(sieve.clone(), surroundings.clone());
        let looked = tokio::task::spawn_blocking(move || look(&sieve, desk)).await;
        let mut desk = match looked.map_err(|error| describe(&error)).flatten() {
            Ok(desk) => desk,
            Err(offline) => {
                runs.push(empty(rule, Some(offline)));
                continue;
            }
        };
        judge_all(&mut desk, store, skips).await?;
        let run = tokio::task::spawn_blocking(move || one(desk, &surroundings)).await;
        runs.push(run.unwrap_or_else(|error| empty(rule, Some(describe(&error)))));
    }
    Ok(runs)
}

/// Looks at the watched folder.
fn look(sieve: &Classifier, mut desk: Planner) -> Result<Planner, String> {
    let look = scan::look_at_all(sieve, &mut |_, _| {}).map_err(|offline| offline.to_string())?;
    desk.take(Duration::ZERO, look).map_err(|offline| offline.to_string())?;
    Ok(desk)
}

/// Judges all that is there. `skips` says that the rule starts for the first time and lets what is there already count as
/// sent.
async fn judge_all(desk: &mut Planner, store: Option<&Store>, skips: bool) -> Result<(), StoreError> {
    let rule = Arc::clone(desk.rule());
    let clock = Timestamp::now().to_zoned(rule.time_zone.clone());
    for paths in desk.candidates().chunks(AT_ONCE) {
        let answers = match store {
            Some(store) => store.ledger_answers(&rule.name, desk.questions(paths)).await?,
            None => Vec::new(),
        };
        let entries = answers.iter().map(|answer| answer.entry.as_ref()).chain(std::iter::repeat(None));
        for (path, entry) in paths.iter().zip(entries) {
            desk.judge(Duration::ZERO, &clock, path, entry);
            if skips {
                desk.skip(path);
            }
        }
    }
    Ok(())
}

fn empty(rule: &Rule, offline: Option<String>) -> DryRun {
    DryRun {
        rule: rule.name.clone(),
        watch: rule.watch.clone(),
        offline,
        packages: Vec::new(),
        waiting: Vec::new(),
        done: 0,
        uncompared: 0,
        unread: Vec::new(),
    }
}

/// What would be made of all that was judged.
fn one(mut desk: Planner, surroundings: &Surroundings) -> DryRun {
    let rule = Arc::clone(desk.rule());
    let clock = Timestamp::now().to_zoned(rule.time_zone.clone());
    let root = rule.place();
    let due = desk.due(LATER);
    let probes = beneath::probe(&root, due.iter().map(|(_, place)| &**place)).unwrap_or_default();
    for ((path, _), probe) in due.iter().zip(probes) {
        // Writers are not checked: the file would be complete at some point.
        if let Probe::Readable(_) | Probe::Unreadable(_) = probe {
            desk.confirm(LATER, path, probe, Writing::No);
        }
    }
    for (path, identity) in desk.unread_lists() {
        let source = root.join(&path);
        let listed = reader::read(&source).and_then(|read| {
            let (_, bytes) = read.ok_or_else(|| reader::CHANGED.to_owned())?;
            parse(&path, &bytes)
        });
        desk.take_list(&path, identity, listed);
    }
    // Comparing would take as long as reading everything: listed files that exist are assumed to match.
    let uncompared = desk.unmeasured().len() as u64;
    desk.trust_lists();
    let is_open = matches!(rule.finalize, Finalize::Open(_));
    // Markers and manifests count from when they are first seen to be there; what is quiet must be quiet since then.
    let _seen = desk.plan(LATER * 2, Gate::Flush, is_open);
    let plan = desk.plan(LATER * 3, Gate::Flush, is_open);
    let mut run = DryRun { uncompared, ..empty(&rule, None) };
    for package in &plan.packages {
        let chosen = Arc::new(desk.chosen(package));
        let sources = dispatch::source_files(&rule, &chosen);
        let files: Vec<(String, u64)> =
            sources.iter().map(|file| (file.path.to_string(), file.identity.size)).collect();
        let sequence = run.packages.len() as u64 + 1;
        let order = dispatch::order(&rule, surroundings, &clock, &package.group, sequence, &chosen);
        let bytes = files.iter().map(|(_, size)| size).sum();
        run.packages.push(match order {
            Ok(order) => DryPackage {
                recipients: recipients(&order.destination),
                metadata: metadata(&order.destination),
                kind: Some(order.destination.kind()),
                name: Some(order.name),
                description: order.description,
                error: None,
                bytes,
                files,
            },
            Err(error) => DryPackage {
                name: None,
                description: None,
                kind: None,
                recipients: Vec::new(),
                metadata: BTreeMap::new(),
                error: Some(describe(&error)),
                bytes,
                files,
            },
        });
        chosen.iter().for_each(|file| desk.skip(&file.relative));
    }
    let waiting = desk.settling().iter().map(|(path, file)| (path.to_path_buf(), desk.waits_for(path, file).0));
    run.waiting = waiting.collect();
    let sent = run.packages.iter().map(|package| package.files.len() as u64).sum::<u64>();
    run.done = (desk.candidates().len() as u64).saturating_sub(sent + run.waiting.len() as u64);
    run.unread =
        desk.inventory().unread().iter().map(|unread| (unread.relative.clone(), unread.reason.clone())).collect();
    run
}

fn metadata(destination: &Destination) -> BTreeMap<String, String> {
    match destination {
        Destination::Portal { metadata, .. } => metadata.clone(),
        Destination::Email { .. } | Destination::Link => BTreeMap::new(),
    }
}

fn recipients(destination: &Destination) -> Vec<String> {
    match destination {
        Destination::Email { recipients } => recipients.clone(),
        Destination::Link => Vec::new(),
        Destination::Portal { subdomain, .. } => vec![subdomain.clone()],
    }
}
