//! The session with the cloud: a user signs in, and stays signed in across restarts.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use serde_json::json;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::Done;
use super::super::types::{Login, SignedIn, Teams};
use super::Body;
use masv_client::CloudError;
use masv_protocol::{SignedIn as Session, Team};

/// Where the session is stored; `agent` restores it at the next start.
const SETTING: &str = "session";
/// How long the cloud may take to end a session.
const SIGN_OUT_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn sign_in(
    Extract(state): Extract<ApiState>,
    Body(login): Body<Login>,
) -> Result<Json<SignedIn>, ApiError> {
    let session = state.queue.cloud().sign_in(&login.email, &login.password).await?;
    let cloud = state.queue.cloud().base().as_str();
    let kept = json!({
        "cloud": cloud, "token": session.token.expose(), "user": session.user, "teams": session.teams,
    });
    state.queue.store().set_setting(SETTING, Some(kept)).await?;
    let answer = SignedIn { user: Some(session.user.clone()), teams: session.teams.clone() };
    state.queue.set_session(Some(session));
    Ok(Json(answer))
}

pub(super) async fn show(Extract(state): Extract<ApiState>) -> Result<Json<SignedIn>, ApiError> {
    match state.queue.cloud().session() {
        Some(session) => Ok(Json(SignedIn { user: Some(session.user), teams: session.teams })),
        None => Ok(Json(SignedIn { user: None, teams: teams_of_key(&state).await? })),
    }
}

/// An agent started with a key is signed in as the key's team.
async fn teams_of_key(state: &ApiState) -> Result<Vec<Team>, ApiError> {
    if !state.queue.cloud().has_key() {
        return Err(ApiError::no_session());
    }
    let cloud = state.queue.cloud();
    match cloud.teams().await {
        // If the cloud does not list teams for keys, the known one is returned.
        Err(CloudError::Refused { status: 403..=405, .. } | CloudError::Garbled { .. }) => {
            Ok(vec![Team::new(cloud.team(None)?, String::new())])
        }
        answer => Ok(answer?),
    }
}

pub(super) async fn teams(Extract(state): Extract<ApiState>) -> Result<Json<Teams>, ApiError> {
    match state.queue.cloud().session() {
        Some(session) => Ok(Json(Teams { teams: session.teams })),
        None => Ok(Json(Teams { teams: teams_of_key(&state).await? })),
    }
}

/// Ends a session in the cloud, too. The agent has forgotten it, whether or not that works: a cloud need not be able to.
async fn end_in_cloud(state: &ApiState, session: &Session) {
    let ending = state.queue.cloud().end_session(session);
    match tokio::time::timeout(SIGN_OUT_LIMIT, ending).await {
        // It has ended already, or the cloud has no such call.
        Ok(Ok(()) | Err(CloudError::Refused { status: 401 | 404 | 405, .. })) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the cloud did not end the session: it ends there by itself"),
        Err(_) => tracing::warn!("the cloud did not answer that it ended the session: it ends there by itself"),
    }
}

pub(super) async fn sign_out(Extract(state): Extract<ApiState>) -> Result<Done, ApiError> {
    let session = state.queue.cloud().session();
    state.queue.store().set_setting(SETTING, None).await?;
    state.queue.set_session(None);
    if let Some(session) = session {
        end_in_cloud(&state, &session).await;
    }
    Ok(Done)
}
