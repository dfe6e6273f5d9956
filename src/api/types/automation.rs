//! Rules at work, and what comes of orders to them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::watch::{DryRun, RuleStatus};

/// A rule at work: how it stands, and what it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Automation {
    /// How it stands.
    #[serde(flatten)]
    pub status: RuleStatus,
    /// What it is; absent while a rule that was taken out of the file still ends.
    #[serde(flatten)]
    pub rule: Option<AutomationRule>,
    /// What is wrong with the rules file that is there now; the rules before go on.
    pub rules_problem: Option<String>,
}

/// What a rule is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AutomationRule {
    /// When it makes packages, for people.
    pub schedule: String,
    /// The next of these times, with the rule's zone.
    pub next_schedules: Vec<String>,
    /// When the window of its schedule that is open now closes.
    pub open_until: Option<String>,
    /// `link`, `email` or `portal`.
    pub kind: &'static str,
    /// Whether the rules file lets it work.
    pub enabled: bool,
    /// Of the uploads it makes.
    pub priority: i32,
    /// What becomes one package: `file`, `folder` or `batch`.
    pub package: &'static str,
    /// Where it begins in the rules file.
    pub line: u32,
}

/// All rules at work.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Automations {
    /// In file order.
    pub automations: Vec<Automation>,
    /// What is wrong with the rules file that is there now; the rules before go on.
    pub rules_problem: Option<String>,
}

/// Rules were loaded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Loaded {
    /// How many.
    pub rules: usize,
}

/// Rules that make no packages until they are resumed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PausedRules {
    /// Their names.
    pub paused: Vec<String>,
}

/// Rules that go on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResumedRules {
    /// Their names.
    pub resumed: Vec<String>,
}

/// What rules would do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryRuns {
    /// In file order.
    pub rules: Vec<DryRun>,
}

/// Entries of a rule's memory that were forgotten.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Forgotten {
    /// How many.
    pub forgotten: u64,
}

/// Files that count as sent from now on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Marked {
    /// How many.
    pub marked: u64,
}
