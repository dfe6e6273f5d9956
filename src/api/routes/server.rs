//! The agent itself.

use axum::Json;
use axum::extract::State as Extract;

use super::super::error::ApiError;
use super::super::openapi::Begun;
use super::super::types::{Examination, Server};
use super::super::{ApiState, doctor as doctor_of};

pub(super) async fn status(Extract(state): Extract<ApiState>) -> Result<Json<Server>, ApiError> {
    let counts = state.queue.store().upload_counts().await?;
    let about = &state.about;
    Ok(Json(Server {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: about.started_at,
        data_dir: about.data_dir.display().to_string(),
        cloud: about.cloud.clone(),
        embedded_hub: about.embedded_hub,
        signed_in: state.queue.cloud().is_authorised(),
        rules_file: about.rules.as_ref().map(|path| path.display().to_string()),
        rules_problem: state.rules_problem.borrow().clone(),
        rules: state.watcher.rules().rules.len(),
        uploads: counts.into_iter().map(|(state, count)| (state.as_str().to_owned(), count)).collect(),
    }))
}

pub(super) async fn stop(Extract(state): Extract<ApiState>) -> Begun {
    state.shutdown.cancel();
    Begun
}

pub(super) async fn doctor(Extract(state): Extract<ApiState>) -> Json<Examination> {
    let mut checks = doctor_of::cloud(state.queue.cloud()).await;
    let (watcher, about) = (state.watcher.clone(), state.about.clone());
    let machine = tokio::task::spawn_blocking(move || {
        let folders = |rule: &str| Some(watcher.rule_status(rule).ok()?.last_scan?.folders);
        let mut checks = doctor_of::machine(&about.data_dir, &watcher.rules(), &folders);
        checks.extend(doctor_of::at_work(&watcher.status()));
        checks
    });
    checks.extend(machine.await.unwrap_or_default());
    checks.extend(doctor_of::rules_file(state.rules_problem.borrow().as_deref()));
    Json(Examination { checks })
}

pub(super) async fn ready(Extract(state): Extract<ApiState>) -> Result<&'static str, ApiError> {
    state.queue.store().last_event().await?;
    Ok("ready\n")
}
