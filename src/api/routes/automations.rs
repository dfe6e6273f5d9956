//! Rules at work: listed, explained, steered.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use jiff::{Timestamp, Zoned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::Upload;
use super::Body;
use crate::rules::{self, Rule, SystemEnvironment};
use crate::store::UploadFilter;

type Answer = Result<Json<Value>, ApiError>;

/// How many of the coming times of a schedule are told.
const COMING: usize = 3;

/// What a rule is, in words that do not change.
fn describe(rule: &Rule) -> Value {
    let now = Timestamp::now().to_zoned(rule.time_zone.clone());
    let coming = std::iter::successors(rule.schedule.next_after(&now), |last| rule.schedule.next_after(last));
    let coming: Vec<String> = coming.take(COMING).map(|time: Zoned| time.to_string()).collect();
    json!({
        "schedule": rule.schedule.describe(), "next_schedules": coming,
        "kind": rule.upload.kind.name(), "enabled": rule.enabled, "priority": rule.priority,
        "package": rule.package.per.name(), "line": rule.line,
    })
}

impl ApiState {
    fn automation(&self, name: &str) -> Answer {
        let status = self.watcher.rule_status(name)?;
        let mut value = serde_json::to_value(status).unwrap_or_default();
        let rules = self.watcher.rules();
        if let (Some(value), Some(Value::Object(more))) =
            (value.as_object_mut(), rules.rule(name).map(|rule| describe(rule)))
        {
            value.extend(more);
        }
        Ok(Json(value))
    }
}

pub(super) async fn list(Extract(state): Extract<ApiState>) -> Answer {
    let names: Vec<String> = state.watcher.rules().rules.iter().map(|rule| rule.name.clone()).collect();
    let automations: Result<Vec<Value>, ApiError> =
        names.iter().map(|name| state.automation(name).map(|Json(value)| value)).collect();
    Ok(Json(json!({ "automations": automations? })))
}

pub(super) async fn show(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer {
    state.automation(&name)
}

pub(super) async fn run(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer {
    state.watcher.run_now(&name).await?;
    state.automation(&name)
}

/// The names that `name` stands for: itself, or all enabled rules.
fn named(state: &ApiState, name: &str) -> Vec<String> {
    if name != "all" {
        return vec![name.to_owned()];
    }
    let rules = state.watcher.rules();
    rules.rules.iter().filter(|rule| rule.enabled).map(|rule| rule.name.clone()).collect()
}

pub(super) async fn pause(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer {
    let names = named(&state, &name);
    for name in &names {
        state.watcher.pause(name).await?;
    }
    Ok(Json(json!({ "paused": names })))
}

pub(super) async fn resume(Extract(state): Extract<ApiState>, Path(name): Path<String>) -> Answer {
    let names = named(&state, &name);
    for name in &names {
        state.watcher.resume(name).await?;
    }
    Ok(Json(json!({ "resumed": names })))
}

pub(super) async fn reload(Extract(state): Extract<ApiState>) -> Answer {
    match (state.reload)().await {
        Ok(()) => Ok(Json(json!({ "rules": state.watcher.rules().rules.len() }))),
        Err(diagnostics) => Err(ApiError::new(StatusCode::BAD_REQUEST, diagnostics.render(false))
            .hint("the rules that were loaded before go on; correct the file and save it")),
    }
}

#[derive(Deserialize)]
pub(super) struct Explaining {
    path: PathBuf,
}

pub(super) async fn explain(Extract(state): Extract<ApiState>, Query(explaining): Query<Explaining>) -> Answer {
    let explanation = state.watcher.explain(&explaining.path).await?;
    Ok(Json(serde_json::to_value(explanation).unwrap_or_default()))
}

#[derive(Deserialize)]
pub(super) struct Trying {
    /// Another rules file; without one, the rules at work.
    path: Option<PathBuf>,
}

pub(super) async fn dry_run(Extract(state): Extract<ApiState>, Body(trying): Body<Trying>) -> Answer {
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
    let runs = state.watcher.dry_run(&rules).await?;
    Ok(Json(json!({ "rules": runs })))
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

#[derive(Deserialize)]
pub(super) struct Past {
    limit: Option<u32>,
    since: Option<Timestamp>,
}

pub(super) async fn history(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Query(past): Query<Past>,
) -> Answer {
    state.watcher.rule_status(&name)?;
    let limit = past.limit.unwrap_or(100).clamp(1, 10_000);
    let filter = UploadFilter { rule: Some(name), limit, since: past.since, ..UploadFilter::default() };
    let uploads = state.queue.store().uploads(filter).await?;
    let transfers: Vec<Upload> = uploads.into_iter().map(|upload| Upload::new(upload, None)).collect();
    Ok(Json(json!({ "transfers": transfers })))
}

#[derive(Deserialize)]
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
) -> Answer {
    let path = below.relative(&state, &name)?;
    let count = state.watcher.forget(&name, path.as_deref()).await?;
    Ok(Json(json!({ "forgotten": count })))
}

pub(super) async fn mark_sent(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Body(below): Body<Below>,
) -> Answer {
    let path = below.relative(&state, &name)?;
    let count = state.watcher.mark_sent(&name, path.as_deref()).await?;
    Ok(Json(json!({ "marked": count })))
}
