//! Rules at work: listed, explained, steered.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::{
    Automation, AutomationRule, Automations, DryRuns, Forgotten, Loaded, Marked, PausedRules, ResumedRules, Transfers,
    Upload,
};
use super::Body;
use super::uploads::Answer;
use crate::rules::{self, Rule, SystemEnvironment};
use crate::store::UploadFilter;
use crate::watch::Explanation;

/// How many of the coming times of a schedule are told.
const COMING: usize = 3;

/// What a rule is, in words that do not change.
fn describe(rule: &Rule) -> AutomationRule {
    let now = Timestamp::now().to_zoned(rule.time_zone.clone());
    AutomationRule {
        schedule: rule.schedule.describe(),
        next_schedules: rule.schedule.coming(&now).take(COMING).map(|time| time.to_string()).collect(),
        open_until: rule.schedule.closes_after(&now).map(|time| time.to_string()),
        kind: rule.upload.kind.name(),
        enabled: rule.enabled,
        priority: rule.priority,
        package: rule.package.per.name(),
        line: rule.line,
    }
}

impl ApiState {
    fn automation(&self, name: &str) -> Result<Automation, ApiError> {
        let status = self.watcher.rule_status(name)?;
        let rules_problem = self.rules_problem.borrow().clone();
        Ok(Automation { status, rule: self.watcher.rules().rule(name).map(|rule| describe(rule)), rules_problem })
    }
}

pub(super) async fn list(Extract(state): Extract<ApiState>) -> Answer<Automations> {
    let rules = state.watcher.rules();
    let automations = rules.rules.iter().map(|rule| state.automation(&rule.name));
    let rules_problem = state.rules_problem.borrow().clone();
    Ok(Json(Automations { automations: automations.collect::<Result<_, _>>()?, rules_problem }))
}

pub(super) async fn show(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer<Automation> {
    state.automation(&name).map(Json)
}

pub(super) async fn run(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer<Automation> {
    state.watcher.run_now(&name).await?;
    state.automation(&name).map(Json)
}

/// The names that `name` stands for: itself, or all enabled rules.
fn named(state: &ApiState, name: &str) -> Vec<String> {
    if name != "all" {
        return vec![name.to_owned()];
    }
    let rules = state.watcher.rules();
    rules.rules.iter().filter(|rule| rule.enabled).map(|rule| rule.name.clone()).collect()
}

pub(super) async fn pause(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer<PausedRules> {
    let paused = named(&state, &name);
    for name in &paused {
        state.watcher.pause(name).await?;
    }
    Ok(Json(PausedRules { paused }))
}

pub(super) async fn resume(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer<ResumedRules> {
    let resumed = named(&state, &name);
    for name in &resumed {
        state.watcher.resume(name).await?;
    }
    Ok(Json(ResumedRules { resumed }))
}

pub(super) async fn reload(Extract(state): Extract<ApiState>) -> Answer<Loaded> {
    match (state.reload)().await {
        Ok(()) => Ok(Json(Loaded { rules: state.watcher.rules().rules.len() })),
        Err(diagnostics) => Err(ApiError::new(StatusCode::BAD_REQUEST, diagnostics.render(false))
            .hint("the rules that were loaded before go on; correct the file and save it")),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Explaining {
    path: PathBuf,
}

pub(super) async fn explain(
    Extract(state): Extract<ApiState>,
    Query(explaining): Query<Explaining>,
) -> Answer<Explanation> {
    Ok(Json(state.watcher.explain(&explaining.path).await?))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Trying {
    /// Another rules file; without one, the rules at work.
    path: Option<PathBuf>,
}

pub(super) async fn dry_run(Extract(state): Extract<ApiState>, Body(trying): Body<Trying>) -> Answer<DryRuns> {
    let rules = match trying.path {
        None => state.watcher.rules(),
        Some(path) => {
            if !path.is_absolute() {
                return Err(ApiError::bad("the path is not absolute"));
            }
            // What is wrong with a file is shown with its lines.
            let own = state.about.rules.as_deref() == Some(&*path);
            let allowed = own || state.allowed_roots.is_empty() || below_root(&path, &state.allowed_roots).await;
            if !allowed {
                return Err(ApiError::new(StatusCode::FORBIDDEN, "the file is in no folder that the agent may read"));
            }
            let loading = tokio::task::spawn_blocking(move || rules::load(&path, &SystemEnvironment)).await;
            let loaded = loading
                .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
                .map_err(|diagnostics| ApiError::new(StatusCode::BAD_REQUEST, diagnostics.render(false)))?;
            Arc::new(loaded)
        }
    };
    Ok(Json(DryRuns { rules: state.watcher.dry_run(&rules).await? }))
}

/// Whether a file, links followed, is below one of these folders.
async fn below_root(path: &std::path::Path, roots: &[PathBuf]) -> bool {
    let Ok(real) = tokio::fs::canonicalize(path).await else { return false };
    for root in roots {
        if tokio::fs::canonicalize(root).await.is_ok_and(|root| real.starts_with(root)) {
            return true;
        }
    }
    false
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Past {
    limit: Option<u32>,
    since: Option<Timestamp>,
}

pub(super) async fn history(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Query(past): Query<Past>,
) -> Answer<Transfers<Upload>> {
    state.watcher.rule_status(&name)?;
    let limit = past.limit.unwrap_or(100).clamp(1, 10_000);
    let filter = UploadFilter { rule: Some(name), limit, since: past.since, ..UploadFilter::default() };
    let uploads = state.queue.store().uploads(filter).await?;
    let transfers = uploads.into_iter().map(|upload| Upload::new(upload, None)).collect();
    Ok(Json(Transfers { transfers, cursor: None }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Below {
    path: Option<PathBuf>,
    #[serde(default)]
    all: bool,
}

impl Below {
    /// The path relative to the rule's folder; `None` for everything.
    fn relative(&self, state: &ApiState, name: &str) -> Result<Option<PathBuf>, ApiError> {
        match (&self.path, self.all) {
            (None, true) => Ok(None),
            (Some(path), false) => {
                let watch = state.watcher.rule_status(name)?.watch;
                let relative = path.strip_prefix(&watch).unwrap_or(path);
                Ok(Some(relative.to_owned()))
            }
            _ => Err(ApiError::bad("name either a path or all")),
        }
    }
}

pub(super) async fn forget(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Body(below): Body<Below>,
) -> Answer<Forgotten> {
    let path = below.relative(&state, &name)?;
    let count = state.watcher.forget(&name, path.as_deref()).await?;
    Ok(Json(Forgotten { forgotten: count }))
}

pub(super) async fn mark_sent(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Body(below): Body<Below>,
) -> Answer<Marked> {
    let path = below.relative(&state, &name)?;
    let count = state.watcher.mark_sent(&name, path.as_deref()).await?;
    Ok(Json(Marked { marked: count }))
}
