//! Settings that are changed at run time and kept.

use axum::Json;
use axum::extract::State as Extract;
use serde::Serialize;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::{DiskReaders, FifoMode, OpenFiles, Workers};
use super::Body;
use crate::transfer::{RateLimit, Throttle};

/// More workers, and open files or readers for them, than this help nobody.
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

fn within(name: &str, number: usize, most: usize) -> Result<(), ApiError> {
    if (1..=most).contains(&number) {
        return Ok(());
    }
    Err(ApiError::fields([(name.to_owned(), format!("must be from 1 to {most}"))].into()))
}

pub(super) async fn workers(Extract(state): Extract<ApiState>) -> Json<Workers> {
    Json(Workers { workers: state.queue.settings().workers })
}

pub(super) async fn set_workers(
    Extract(state): Extract<ApiState>,
    Body(new): Body<Workers>,
) -> Result<Json<Workers>, ApiError> {
    within("workers", new.workers, MOST_WORKERS)?;
    keep(&state, "workers", &new).await?;
    state.queue.change_settings(|settings| settings.workers = new.workers);
    Ok(Json(new))
}

pub(super) async fn fifo_mode(Extract(state): Extract<ApiState>) -> Json<FifoMode> {
    Json(FifoMode { active_upload_count: state.queue.settings().active_uploads })
}

pub(super) async fn set_fifo_mode(
    Extract(state): Extract<ApiState>,
    Body(new): Body<FifoMode>,
) -> Result<Json<FifoMode>, ApiError> {
    within("active_upload_count", new.active_upload_count, MOST_UPLOADS)?;
    keep(&state, "fifo_mode", &new).await?;
    state.queue.change_settings(|settings| settings.active_uploads = new.active_upload_count);
    Ok(Json(new))
}

pub(super) async fn open_files(Extract(state): Extract<ApiState>) -> Json<OpenFiles> {
    Json(OpenFiles { open_files: state.queue.settings().open_files })
}

pub(super) async fn set_open_files(
    Extract(state): Extract<ApiState>,
    Body(new): Body<OpenFiles>,
) -> Result<Json<OpenFiles>, ApiError> {
    within("open_files", new.open_files, MOST_WORKERS)?;
    keep(&state, "open_files", &new).await?;
    state.queue.change_settings(|settings| settings.open_files = new.open_files);
    Ok(Json(new))
}

pub(super) async fn disk_readers(Extract(state): Extract<ApiState>) -> Json<DiskReaders> {
    Json(DiskReaders { disk_readers: state.queue.settings().disk_readers })
}

pub(super) async fn set_disk_readers(
    Extract(state): Extract<ApiState>,
    Body(new): Body<DiskReaders>,
) -> Result<Json<DiskReaders>, ApiError> {
    within("disk_readers", new.disk_readers, MOST_WORKERS)?;
    keep(&state, "disk_readers", &new).await?;
    state.queue.change_settings(|settings| settings.disk_readers = new.disk_readers);
    Ok(Json(new))
}
