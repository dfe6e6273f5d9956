//! The agent itself.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;

use super::super::about::{Backup, Copied, SettingsInForce};
use super::super::error::ApiError;
use super::super::openapi::{Begun, Created};
use super::super::types::{Check, Examination, Server, TransferLink};
use super::super::{ApiState, doctor as doctor_of};
use super::{Body, NoFields};
use crate::store::{DbError, StoreError};
use masv_platform::PathBeneath;

pub(super) async fn status(Extract(state): Extract<ApiState>) -> Result<Json<Server>, ApiError> {
    let counts = state.queue.store().upload_counts().await?;
    let about = &state.about;
    let links =
        vec![TransferLink::of("upload", state.queue.link()), TransferLink::of("download", state.downloads.link())];
    Ok(Json(Server {
        links,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: masv_platform::host_name(),
        pid: std::process::id(),
        started_at: about.started_at,
        data_dir: about.data_dir.display().to_string(),
        cloud: about.cloud.clone(),
        embedded_hub: about.embedded_hub,
        limitations: about.limitations.clone(),
        signed_in: state.queue.cloud().is_authorised(),
        rules_file: about.rules.there().map(|path| path.display().to_string()),
        rules_problem: state.rules_problem.borrow().clone(),
        rules: state.watcher.rules().rules.len() + state.watcher.rules().downloads.len(),
        uploads: counts.into_iter().map(|(state, count)| (state.as_str().to_owned(), count)).collect(),
    }))
}

/// Copies the state to a file that must not exist, written by the agent as its user.
pub(super) async fn backup(
    Extract(state): Extract<ApiState>,
    Body(wanted): Body<Backup>,
) -> Result<Created<Copied>, ApiError> {
    let path = PathBuf::from(&wanted.path);
    let bad = |problem: String| ApiError::fields([("path".to_owned(), problem)].into());
    if !path.is_absolute() {
        return Err(bad(format!("{} is not absolute", wanted.path)));
    }
    if path.exists() {
        return Err(ApiError::new(StatusCode::CONFLICT, format!("{} already exists", wanted.path))
            .hint("give a file that does not exist: nothing is overwritten"));
    }
    let name = path.file_name().ok_or_else(|| bad(format!("{} is not the name of a file", wanted.path)))?;
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let real = folder.ok_or_else(|| bad(format!("the folder of {} cannot be opened", wanted.path)))?.join(name);
    let place = match state.allowed_roots.iter().find_map(|root| PathBeneath::within(root, &real)) {
        Some(place) => place,
        None if state.allowed_roots.is_empty() => PathBeneath::without_links(&real),
        None => {
            return Err(bad(format!(
                "{} is outside the folders that this agent may write to (--allow-root)",
                wanted.path
            )));
        }
    };
    state.queue.store().backup(place).await.map_err(|error| match error {
        StoreError::Database(error @ DbError::Backup { .. }) => bad(error.to_string())
            .hint("the agent writes the file as its own user, where its service may write; see backup.md in the documentation"),
        other => other.into(),
    })?;
    let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    tracing::info!(path = %path.display(), bytes, "state copied");
    Ok(Created(Copied { path: wanted.path, bytes }))
}

/// The settings in force, each with its source.
pub(super) async fn settings(Extract(state): Extract<ApiState>) -> Json<SettingsInForce> {
    let mut settings = state.about.settings.clone();
    let workers = state.queue.settings().workers.to_string();
    if let Some(setting) = settings.iter_mut().find(|setting| setting.name == "upload-workers")
        && setting.value != workers
    {
        setting.value = workers;
        setting.source = "masv settings workers update".to_owned();
    }
    Json(SettingsInForce { settings })
}

/// The response is sent first, so that the caller may wait for the end of the process.
const ANSWER_TIME: Duration = Duration::from_millis(100);

pub(super) async fn stop(Extract(state): Extract<ApiState>, _: NoFields) -> Begun {
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER_TIME).await;
        state.shutdown.cancel();
    });
    Begun
}

pub(super) async fn doctor(Extract(state): Extract<ApiState>) -> Json<Examination> {
    Json(Examination { checks: examine(&state).await })
}

/// Every check of the doctor, now.
pub async fn examine(state: &ApiState) -> Vec<Check> {
    let mut checks = doctor_of::cloud(state.queue.cloud()).await;
    let (watcher, about) = (state.watcher.clone(), state.about.clone());
    let machine = tokio::task::spawn_blocking(move || {
        let folders = |rule: &str| Some(watcher.rule_status(rule).ok()?.last_scan?.folders);
        let mut checks = doctor_of::machine(&about.data_dir, &watcher.rules(), &folders);
        checks.extend(doctor_of::at_work(&watcher.status()));
        checks.extend(doctor_of::deliveries(&about.limitations));
        checks.extend(about.missing_events.map(doctor_of::older));
        checks
    });
    checks.extend(machine.await.unwrap_or_default());
    checks.extend(doctor_of::rules_file(state.rules_problem.borrow().as_deref()));
    checks
}

/// Whether a request could be accepted and stored. Without the token nothing else is revealed.
pub(super) async fn ready(Extract(state): Extract<ApiState>) -> Result<&'static str, ApiError> {
    let unable = |why: &str| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if state.shutdown.is_cancelled() {
        return Err(unable("the agent is stopping"));
    }
    state.queue.store().last_event().await?;
    match state.probe.can_write(&state.about.data_dir).await {
        true => Ok("ready\n"),
        false => Err(unable("the data directory cannot be written").hint("`masv doctor` says why")),
    }
}
