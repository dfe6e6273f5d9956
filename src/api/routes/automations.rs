//! Rules at work: listed, explained, steered.

use std::path::PathBuf;

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::Upload;
use super::Body;
use crate::rules::Rule;
use crate::store::UploadFilter;

type Answer = Result<Json<Value>, ApiError>;

/// What a rule is, in words that do not change.
fn describe(rule: &Rule) -> Value {
    json!({
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
pub(super) struct Past {
    limit: Option<u32>,
}

pub(super) async fn history(
    Extract(state): Extract<ApiState>,
    Path(name): Path<String>,
    Query(past): Query<Past>,
) -> Answer {
    state.watcher.rule_status(&name)?;
    let limit = past.limit.unwrap_or(100).clamp(1, 10_000);
    let filter = UploadFilter { rule: Some(name), limit, ..UploadFilter::default() };
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
