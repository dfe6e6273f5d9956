//! Why a file is sent or not: every test it goes through, in order, up to the one it waits at.
//!
//! **In**: a path, the rules, what they know. **Out**: an [`Explanation`]. Read-only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::classifier::Classifier;
use super::describe;
use super::dispatch::{self, Surroundings};
use super::package::top_level;
use super::runner::Shared;
use super::settle::Stage;
use super::status::{RuleState, RuleStatus};
use crate::model::{LedgerEntry, Outcome, State, Upload};
use crate::store::{Store, StoreError};
use crate::watch::lossy_path;
use masv_platform::EntryKind;
use masv_rules::{Per, Rule, Symlinks};

/// One test and how the file fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Test {
    /// Which test; stable words.
    pub test: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// Why, for a person.
    pub detail: String,
    /// Until when it waits, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What one rule makes of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: String,
    /// The path relative to its folder.
    #[serde(serialize_with = "lossy_path::path")]
    #[schemars(with = "String")]
    pub relative: PathBuf,
    /// Whether the file is this rule's: it passed all tests that are about its name, place and size.
    pub owned: bool,
    /// The tests, in order; those after the first that failed are left out.
    pub tests: Vec<Test>,
}

/// What the rules make of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The path that was asked about.
    #[serde(serialize_with = "lossy_path::path")]
    #[schemars(with = "String")]
    pub path: PathBuf,
    /// The rule it belongs to.
    pub rule: Option<String>,
    /// Every rule whose folder contains it, in file order.
    pub rules: Vec<RuleExplanation>,
}

/// Tests one after the other, until one fails.
struct Tests(Vec<Test>);

impl Tests {
    /// Adds a test; returns whether to continue.
    fn add(&mut self, test: &'static str, result: Result<String, String>) -> bool {
        self.add_until(test, result.map_err(|detail| (detail, None)))
    }

    fn add_until(&mut self, test: &'static str, result: Result<String, (String, Option<Timestamp>)>) -> bool {
        let passed = result.is_ok();
        let (detail, until) = result.map_or_else(|waits| waits, |detail| (detail, None));
        // While the rule's task is held up, moments pass.
        let until = until.filter(|until| *until > Timestamp::now());
        self.0.push(Test { test, passed, detail, until });
        passed
    }
}

/// A rule as the explanation needs it.
pub(super) struct Asked {
    pub(super) sieve: Classifier,
    pub(super) surroundings: Surroundings,
    /// Absent for a rule that is not active.
    pub(super) shared: Option<Arc<Shared>>,
}

/// Explains what one rule makes of the file at `relative`. Blocks on the disk only for one `stat`.
pub(super) async fn explain(asked: Asked, relative: PathBuf, store: &Store) -> Result<RuleExplanation, StoreError> {
    let rule = Arc::clone(asked.sieve.rule());
    let mut tests = Tests(Vec::new());
    let path = rule.place().join(&relative);
    let found = tokio::task::spawn_blocking(move || path.look()).await;
    let size = match found {
        Ok(Ok(found)) => {
            tests.add("exists", Ok("found on disk".to_owned()));
            if let Some(reason) = not_sent_for_its_kind(found.kind, rule.symlinks) {
                tests.add("kind", Err(reason.to_owned()));
                return Ok(RuleExplanation { rule: rule.name.clone(), relative, owned: false, tests: tests.0 });
            }
            Some(found.identity.size).filter(|_| found.is_file())
        }
        Ok(Err(error)) => {
            tests.add("exists", Err(describe(&error)));
            None
        }
        Err(error) => {
            tests.add("exists", Err(describe(&error)));
            None
        }
    };
    let owned = own(&asked.sieve, &relative, size.unwrap_or(0), &mut tests);
    let reaches = !owned || reaches_somebody(&asked, &relative, size.unwrap_or(0), &mut tests);
    if owned && reaches {
        let entry = store.ledger_entry(&rule.name, &relative).await?;
        let upload = match entry.as_ref().and_then(|entry| entry.upload) {
            Some(id) => store.upload(id).await.ok(),
            None => None,
        };
        match (&entry, size) {
            (_, Some(_)) => wait(&asked, &rule, &relative, (entry.as_ref(), upload.as_ref()), &mut tests),
            // It was sent and moved away, or removed since: its outcome is still known.
            (Some(entry), None) => drop(tests.add("ledger", Err(outcome(entry, upload.as_ref())))),
            (None, None) => {}
        }
    }
    Ok(RuleExplanation { rule: rule.name.clone(), relative, owned, tests: tests.0 })
}

/// Why something that is not a regular file is never sent.
fn not_sent_for_its_kind(kind: EntryKind, symlinks: Symlinks) -> Option<&'static str> {
    match kind {
        EntryKind::Symlink => (symlinks == Symlinks::Skip).then_some("is a symbolic link, and `symlinks` is skip"),
        EntryKind::Pipe => Some("is a named pipe, which is never sent"),
        EntryKind::Socket => Some("is a socket, which is never sent"),
        EntryKind::Device => Some("is a device, which is never sent"),
        EntryKind::File | EntryKind::Folder | EntryKind::Unknown => None,
    }
}

/// The tests of the file's name, place and size. A missing file is tested, too.
fn own(sieve: &Classifier, relative: &Path, size: u64, tests: &mut Tests) -> bool {
    let rule = sieve.rule();
    let enabled =
        if rule.enabled { Ok("the rule is enabled".to_owned()) } else { Err("the rule is disabled".to_owned()) };
    if !tests.add("enabled", enabled) {
        return false;
    }
    for outcome in rule.explain(relative, size) {
        let result = if outcome.passed { Ok(outcome.detail) } else { Err(outcome.detail) };
        if !tests.add(outcome.test, result) {
            return false;
        }
    }
    if sieve.is_excluded(relative) {
        return tests.add("own", Err("belongs to the agent itself".to_owned()));
    }
    match sieve.owner(relative, size) {
        Some(other) => tests.add("owner", Err(format!("belongs to the rule `{}`, which comes first", other.name))),
        None => tests.add("owner", Ok("no earlier rule matches it".to_owned())),
    }
}

/// To whom the file is mailed, where that is worked out; `false` if there is nobody.
fn reaches_somebody(asked: &Asked, relative: &Path, size: u64, tests: &mut Tests) -> bool {
    let rule = asked.sieve.rule();
    if !dispatch::works_out_recipients(rule) {
        return true;
    }
    let now = Timestamp::now().to_zoned(rule.time_zone.clone());
    let group = dispatch::group_of(rule, &asked.surroundings, &now, relative, size);
    let given =
        group.and_then(|group| dispatch::recipients(rule, &asked.surroundings, &now, (&group, 1), [(relative, size)]));
    let told = given.map(|given| {
        let given: Vec<&str> = given.iter().map(AsRef::as_ref).collect();
        format!("will be mailed to {}", given.join(", "))
    });
    tests.add("recipients", told.map_err(|error| describe(&error)))
}

/// The tests that are about time and history.
fn wait(
    asked: &Asked,
    rule: &Rule,
    relative: &Path,
    history: (Option<&LedgerEntry>, Option<&Upload>),
    tests: &mut Tests,
) {
    let Some(shared) = &asked.shared else {
        tests.add("watched", Err("the rule is not active".to_owned()));
        return;
    };
    let status = shared.status().clone();
    let _ = tests.add("watched", watched(&status))
        && tests.add("ledger", ledger(shared, relative, history))
        && tests.add_until("settled", settled(shared, relative))
        && tests.add_until("ready", ready(shared, relative))
        && tests.add_until("schedule", schedule(rule, &status))
        && tests.add_until("package", packaged(shared, rule, relative));
}

fn watched(status: &RuleStatus) -> Result<String, String> {
    let reason = status.reason.clone().unwrap_or_default();
    let blind = status.writers_unseen.as_ref().map_or_else(String::new, |why| format!("; {why}"));
    match status.state {
        RuleState::Starting => Err("the rule has not scanned its folder yet".to_owned()),
        RuleState::Offline => Err(format!("the folder is offline: {reason}")),
        RuleState::Polling => Ok(format!("the folder is polled: {reason}{blind}")),
        _ => Ok(format!("the folder is watched{blind}")),
    }
}

fn ledger(
    shared: &Shared,
    relative: &Path,
    (entry, upload): (Option<&LedgerEntry>, Option<&Upload>),
) -> Result<String, String> {
    let copying = shared.status().copying.clone().filter(|copying| copying.path == relative);
    let desk = shared.desk();
    let Some(known) = desk.inventory().get(relative) else {
        return Err("has not been seen yet; the next scan will find it".to_owned());
    };
    let Some(entry) = entry else { return Ok("was never sent".to_owned()) };
    if desk.growing_in(relative).is_some() {
        let (sent, size) = (upload.map_or(0, |upload| upload.totals.bytes_done), known.identity.size);
        let id = entry.upload.map_or_else(String::new, |id| format!(" (upload {id})"));
        return Ok(format!("is being written, and sent meanwhile{id}: {sent} of {size} bytes so far are sent"));
    }
    if known.verdict.is_some_and(super::dedup::DedupDecision::sends) {
        return Ok(format!("changed since it was {}", word(entry.outcome)));
    }
    if known.verdict == Some(super::dedup::DedupDecision::ChangeIgnored) {
        return Err(format!("changed after it {}, and `on_change: ignore` skips it", outcome(entry, upload)));
    }
    if known.verdict == Some(super::dedup::DedupDecision::Comparing) {
        return Err(format!("{}, and was touched since; its content is being compared", outcome(entry, upload)));
    }
    let moving = copying.map_or_else(String::new, |copying| {
        format!(", and is being moved: {} of {} bytes copied", copying.copied, copying.size)
    });
    Err(format!("{}{moving}", outcome(entry, upload)))
}

/// What became of a file, by the ledger: in which package it is, since when.
fn outcome(entry: &LedgerEntry, upload: Option<&Upload>) -> String {
    let name = upload.map_or_else(String::new, |upload| format!(" in package \"{}\"", upload.name));
    let id = entry.upload.map_or_else(String::new, |id| format!(" (upload {id})"));
    match entry.outcome {
        Outcome::Claimed => {
            let state = upload.map_or_else(String::new, |upload| format!(", {}", stage(upload)));
            format!("is being sent{name}{id}{state}")
        }
        Outcome::Sent => format!("was sent{name}{id} on {:.0}", entry.at),
        Outcome::Skipped => "is marked as sent; `masv rule forget` sends it".to_owned(),
        Outcome::Cancelled => format!("was cancelled{name}{id}; `masv rule forget` sends it"),
    }
}

/// How far the package is that a file is in.
fn stage(upload: &Upload) -> String {
    match (&upload.problem, upload.state) {
        (Some(problem), State::Error) => format!("which has failed: {}", problem.message),
        _ if upload.closing => "which is being finalized".to_owned(),
        _ if !upload.auto_finalize => "which is open".to_owned(),
        (_, state) => format!("which is {}", state.as_str()),
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Claimed => "claimed for an upload",
        Outcome::Sent => "sent",
        Outcome::Skipped => "skipped",
        Outcome::Cancelled => "cancelled",
    }
}

type Waiting = Result<String, (String, Option<Timestamp>)>;

fn settled(shared: &Shared, relative: &Path) -> Waiting {
    let desk = shared.desk();
    let Some(pending) = desk.settling().get(relative) else {
        return Err(("is about to be scanned".to_owned(), None));
    };
    match pending.stage {
        Stage::Whole(_) => {
            let blind = pending
                .unseen
                .as_ref()
                .map_or_else(String::new, |why| format!("; whether a program still has it open cannot be seen: {why}"));
            Ok(format!("has not changed since {:.0}{blind}", shared.at(pending.since())))
        }
        _ => {
            let (reason, until) = desk.waits_for(relative, pending);
            let growing = if pending.changes() > 0 {
                format!(", changing since {:.0}", shared.at(pending.first_seen()))
            } else {
                String::new()
            };
            Err((format!("{reason}{growing}"), until.map(|until| shared.at(until))))
        }
    }
}

fn ready(shared: &Shared, relative: &Path) -> Waiting {
    match shared.desk().unready(relative) {
        Some((reason, until)) => Err((reason, until.map(|until| shared.at(until)))),
        None => Ok("there are no further conditions".to_owned()),
    }
}

fn schedule(rule: &Rule, status: &RuleStatus) -> Waiting {
    if status.state == RuleState::Paused {
        return Err(("the rule is paused; `masv rule resume` resumes it".to_owned(), None));
    }
    let now = Timestamp::now().to_zoned(rule.time_zone.clone());
    if rule.schedule.open_at(&now) {
        return Ok(format!("packages may be created {}", rule.schedule.describe()));
    }
    let next = rule.schedule.next_after(&now).map(|next| next.timestamp());
    Err((format!("packages are created {}", rule.schedule.describe()), next))
}

fn packaged(shared: &Shared, rule: &Rule, relative: &Path) -> Waiting {
    let gathers = match rule.package.per {
        Per::File => return Ok("is being packaged".to_owned()),
        Per::Folder => {
            let desk = shared.desk();
            if let Some((other, why)) = desk.neighbour_in_the_way(relative) {
                let reason = format!("waits for `{}` in the same folder: {why}", other.display());
                let until = desk.settling().get(other).and_then(|file| file.next_look()).map(|at| shared.at(at));
                return Err((reason, until));
            }
            format!("waits until nothing new has arrived in `{}` for a while", top_level(relative).display())
        }
        Per::Batch => "is collected with others until nothing new has arrived for a while".to_owned(),
    };
    Err((gathers, shared.status().next_package))
}
