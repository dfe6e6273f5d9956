//! Settings that are changed at run time and persist.

use axum::Json;
use axum::extract::State as Extract;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::types::{DiskReaders, FifoMode, MOST_TRANSFERS, MOST_WORKERS, OpenFiles, Workers};
use super::Body;
use crate::download::DownloadSettings;
use crate::engine::{DownloadRateLimit, RateLimit, Throttle, UploadRateLimit, Workers as Search};
use crate::model::{KeptDiskReaders, KeptFifo, KeptOpenFiles, KeptWorkers, Setting};
use crate::upload::UploadSettings;

async fn keep(state: &ApiState, setting: &impl Setting) -> Result<(), ApiError> {
    Ok(state.queue.store().keep(setting).await?)
}

pub(super) async fn rate_limit(Extract(state): Extract<ApiState>) -> Json<RateLimit> {
    Json(state.queue.throttle().limit())
}

pub(super) async fn set_rate_limit(
    Extract(state): Extract<ApiState>,
    Body(limit): Body<RateLimit>,
) -> Result<Json<RateLimit>, ApiError> {
    limit_to(&state, state.queue.throttle(), limit, UploadRateLimit).await
}

pub(super) async fn download_rate_limit(Extract(state): Extract<ApiState>) -> Json<RateLimit> {
    Json(state.downloads.throttle().limit())
}

pub(super) async fn set_download_rate_limit(
    Extract(state): Extract<ApiState>,
    Body(limit): Body<RateLimit>,
) -> Result<Json<RateLimit>, ApiError> {
    limit_to(&state, state.downloads.throttle(), limit, DownloadRateLimit).await
}

async fn limit_to<S: Setting>(
    state: &ApiState,
    throttle: &Throttle,
    limit: RateLimit,
    as_kept: fn(RateLimit) -> S,
) -> Result<Json<RateLimit>, ApiError> {
    if limit.enabled && limit.rate_limit_bps == 0 {
        return Err(ApiError::bad("rate_limit_bps: a limit needs bytes per second above 0")
            .hint("to stop all transfers, pause them"));
    }
    keep(state, &as_kept(limit.clone())).await?;
    throttle.set(limit.clone());
    Ok(Json(limit))
}

fn within(name: &str, number: usize, most: usize) -> Result<(), ApiError> {
    if (1..=most).contains(&number) {
        return Ok(());
    }
    Err(ApiError::fields([(name.to_owned(), format!("must be from 1 to {most}"))].into()))
}

/// Checks that at least one count is given, and that all are within their bounds.
fn check_counts(counts: [(&str, Option<usize>); 2], most: usize) -> Result<(), ApiError> {
    if counts.iter().all(|(_, count)| count.is_none()) {
        return Err(ApiError::bad(format!("give {} or {}", counts[0].0, counts[1].0)));
    }
    let given = counts.into_iter().filter_map(|(name, count)| Some((name, count?)));
    given.into_iter().try_for_each(|(name, count)| within(name, count, most))
}

pub(super) async fn workers(Extract(state): Extract<ApiState>) -> Json<Workers> {
    Json(Workers {
        workers: Some(state.queue.link().workers),
        download_workers: Some(state.downloads.link().workers),
        auto: Some(state.queue.settings().workers == Search::Auto),
        download_auto: Some(state.downloads.settings().workers == Search::Auto),
    })
}

/// What an order says of one direction.
fn ordered(auto: Option<bool>, workers: Option<usize>) -> Option<Search> {
    if auto == Some(true) { Some(Search::Auto) } else { workers.map(Search::Fixed) }
}

pub(super) async fn set_workers(
    Extract(state): Extract<ApiState>,
    Body(new): Body<Workers>,
) -> Result<Json<Workers>, ApiError> {
    let (uploads, downloads) = (ordered(new.auto, new.workers), ordered(new.download_auto, new.download_workers));
    if uploads.is_none() && downloads.is_none() {
        return Err(ApiError::bad("name what to change: workers, download_workers, auto or download_auto"));
    }
    for (name, count) in [("workers", new.workers), ("download_workers", new.download_workers)] {
        count.map_or(Ok(()), |count| within(name, count, MOST_WORKERS))?;
    }
    let kept = state.queue.store().kept::<KeptWorkers>().await?.unwrap_or_default();
    let kept = KeptWorkers {
        uploads: uploads.map(Search::kept).or(kept.uploads),
        downloads: downloads.map(Search::kept).or(kept.downloads),
    };
    keep(&state, &kept).await?;
    if let Some(workers) = uploads {
        state.queue.change_settings(|settings| settings.workers = workers);
    }
    if let Some(workers) = downloads {
        state.downloads.change_settings(|settings| settings.workers = workers);
    }
    Ok(workers(Extract(state)).await)
}

pub(super) async fn fifo_mode(Extract(state): Extract<ApiState>) -> Json<FifoMode> {
    fifo_of(state.queue.settings().active_uploads, state.downloads.settings().active_downloads)
}

fn fifo_of(uploads: usize, downloads: usize) -> Json<FifoMode> {
    Json(FifoMode {
        enabled: Some((uploads, downloads) != usual_counts()),
        active_upload_count: Some(uploads),
        active_download_count: Some(downloads),
    })
}

/// The default number of uploads and downloads that run at once.
fn usual_counts() -> (usize, usize) {
    (UploadSettings::default().active_uploads, DownloadSettings::default().active_downloads)
}

pub(super) async fn set_fifo_mode(
    Extract(state): Extract<ApiState>,
    Body(new): Body<FifoMode>,
) -> Result<Json<FifoMode>, ApiError> {
    let (uploads, downloads) = match new.enabled {
        Some(false) if new.active_upload_count.is_some() || new.active_download_count.is_some() => {
            return Err(ApiError::bad("enabled: without FIFO mode there is nothing to count"));
        }
        Some(false) => {
            let (uploads, downloads) = usual_counts();
            (Some(uploads), Some(downloads))
        }
        Some(true) if new.active_upload_count.is_none() && new.active_download_count.is_none() => (Some(1), Some(1)),
        _ => (new.active_upload_count, new.active_download_count),
    };
    check_counts([("active_upload_count", uploads), ("active_download_count", downloads)], MOST_TRANSFERS)?;
    let Json(now) = fifo_mode(Extract(state.clone())).await;
    let wanted = FifoMode {
        enabled: None,
        active_upload_count: uploads.or(now.active_upload_count),
        active_download_count: downloads.or(now.active_download_count),
    };
    let kept = KeptFifo { uploads: wanted.active_upload_count, downloads: wanted.active_download_count };
    keep(&state, &kept).await?;
    if let Some(count) = uploads {
        state.queue.change_settings(|settings| settings.active_uploads = count);
    }
    if let Some(count) = downloads {
        state.downloads.change_settings(|settings| settings.active_downloads = count);
    }
    Ok(fifo_mode(Extract(state)).await)
}

pub(super) async fn open_files(Extract(state): Extract<ApiState>) -> Json<OpenFiles> {
    Json(OpenFiles { open_files: state.queue.settings().open_files })
}

pub(super) async fn set_open_files(
    Extract(state): Extract<ApiState>,
    Body(new): Body<OpenFiles>,
) -> Result<Json<OpenFiles>, ApiError> {
    within("open_files", new.open_files, MOST_WORKERS)?;
    keep(&state, &KeptOpenFiles { open_files: new.open_files }).await?;
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
    keep(&state, &KeptDiskReaders { disk_readers: new.disk_readers }).await?;
    state.queue.change_settings(|settings| settings.disk_readers = new.disk_readers);
    Ok(Json(new))
}
