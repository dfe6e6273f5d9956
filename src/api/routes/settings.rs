//! Settings that are changed at run time and kept.

use axum::Json;
use axum::extract::State as Extract;
use serde::Serialize;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::{FifoMode, Workers};
use super::Body;
use crate::transfer::{RateLimit, Throttle, TransferSettings};

/// More workers than this help nobody.
const MOST_WORKERS: usize = 256;
/// More uploads at once than this only take memory.
const MOST_UPLOADS: usize = 1_000;

async fn keep<T: Serialize>(state: &ApiState, key: &'static str, value: &T) -> Result<(), ApiError> {
    let value = serde_json::to_value(value).map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(state.queue.store().set_setting(key, Some(value)).await?)
}

pub(super) async fn rate_limit(Extract(state): Extract<ApiState>) -> Json<RateLimit> {
    Json(state.queue.throttle().limit())
}

pub(super) async fn set_rate_limit(
    Extract(state): Extract<ApiState>,
    Body(limit): Body<RateLimit>,
) -> Result<Json<RateLimit>, ApiError> {
    limit_to(&state, "upload_rate_limit", state.queue.throttle(), limit).await
}

pub(super) async fn download_rate_limit(Extract(state): Extract<ApiState>) -> Json<RateLimit> {
    Json(state.downloads.throttle().limit())
}

pub(super) async fn set_download_rate_limit(
    Extract(state): Extract<ApiState>,
    Body(limit): Body<RateLimit>,
) -> Result<Json<RateLimit>, ApiError> {
    limit_to(&state, "download_rate_limit", state.downloads.throttle(), limit).await
}

async fn limit_to(
    state: &ApiState,
    key: &'static str,
    throttle: &Throttle,
    limit: RateLimit,
) -> Result<Json<RateLimit>, ApiError> {
    if limit.enabled && limit.rate_limit_bps == 0 {
        return Err(ApiError::bad("rate_limit_bps: a limit needs bytes per second above 0")
            .hint("to stop all transfers, pause them"));
    }
    keep(state, key, &limit).await?;
    throttle.set(limit.clone());
    Ok(Json(limit))
}

pub(super) async fn workers(Extract(state): Extract<ApiState>) -> Json<Workers> {
    Json(Workers { workers: state.queue.settings().workers })
}

pub(super) async fn set_workers(
    Extract(state): Extract<ApiState>,
    Body(workers): Body<Workers>,
) -> Result<Json<Workers>, ApiError> {
    if !(1..=MOST_WORKERS).contains(&workers.workers) {
        return Err(ApiError::bad(format!("workers: must be from 1 to {MOST_WORKERS}")));
    }
    keep(&state, "workers", &workers).await?;
    state.queue.set_settings(TransferSettings { workers: workers.workers, ..state.queue.settings() });
    Ok(Json(workers))
}

pub(super) async fn fifo_mode(Extract(state): Extract<ApiState>) -> Json<FifoMode> {
    Json(FifoMode { active_upload_count: state.queue.settings().active_uploads })
}

pub(super) async fn set_fifo_mode(
    Extract(state): Extract<ApiState>,
    Body(mode): Body<FifoMode>,
) -> Result<Json<FifoMode>, ApiError> {
    if !(1..=MOST_UPLOADS).contains(&mode.active_upload_count) {
        return Err(ApiError::bad(format!("active_upload_count: must be from 1 to {MOST_UPLOADS}")));
    }
    keep(&state, "fifo_mode", &mode).await?;
    state.queue.set_settings(TransferSettings { active_uploads: mode.active_upload_count, ..state.queue.settings() });
    Ok(Json(mode))
}
