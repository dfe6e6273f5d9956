//! The session with the cloud: a person signs in, and stays so over restarts.

use axum::Json;
use axum::extract::State as Extract;
use serde_json::json;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::Done;
use super::super::types::{Login, SignedIn, Teams};
use super::Body;

/// Where the session is kept; see `agent`, which takes it up again at the next start.
const SETTING: &str = "session";

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
    let answer = SignedIn { user: session.user.clone(), teams: session.teams.clone() };
    state.queue.set_session(Some(session));
    Ok(Json(answer))
}

pub(super) async fn show(Extract(state): Extract<ApiState>) -> Result<Json<SignedIn>, ApiError> {
    let session = state.queue.cloud().session().ok_or_else(ApiError::no_session)?;
    Ok(Json(SignedIn { user: session.user, teams: session.teams }))
}

pub(super) async fn teams(Extract(state): Extract<ApiState>) -> Result<Json<Teams>, ApiError> {
    let session = state.queue.cloud().session().ok_or_else(ApiError::no_session)?;
    Ok(Json(Teams { teams: session.teams }))
}

pub(super) async fn sign_out(Extract(state): Extract<ApiState>) -> Result<Done, ApiError> {
    state.queue.store().set_setting(SETTING, None).await?;
    state.queue.set_session(None);
    Ok(Done)
}
