//! Downloads: ordered, listed, steered. Nobody needs to be signed in: the link is what allows.

use std::collections::BTreeMap;
use std::path::{Component, Path as FilePath, PathBuf};
use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::{Created, Done};
use super::super::types::{
    Download, DownloadChange, DownloadStarted, DownloadedFile, NewDownload, Paused, Removed, Resumed, Transfers,
};
use super::Body;
use super::uploads::{Answer, LARGEST_PAGE, Removing, parse_states};
use crate::base::DownloadId;
use crate::download::LinkAddress;
use crate::store::{DownloadFilter, DownloadSource, DownloadSpec, Owner, State};

fn parse_id(text: &str) -> Result<DownloadId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(StatusCode::NOT_FOUND, format!("no download {text}"))
            .hint("`masv download ls` lists the downloads")
    })
}

impl ApiState {
    async fn download_view(&self, id: DownloadId) -> Answer<Download> {
        let download = self.downloads.store().download(id).await?;
        Ok(Json(Download::new(download, self.downloads.live(id))))
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Listing {
    #[serde(default)]
    states: String,
    rule: Option<String>,
    /// Only those with this in their name or their rule's.
    #[serde(default)]
    search: String,
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list(
    Extract(state): Extract<ApiState>,
    Query(listing): Query<Listing>,
) -> Answer<Transfers<Download>> {
    let before = listing.cursor.as_deref().map(DownloadId::from_str).transpose();
    let limit = listing.limit.map_or(0, |limit| limit.clamp(1, LARGEST_PAGE));
    let filter = DownloadFilter {
        states: parse_states(&listing.states)?,
        before: before.map_err(|_| ApiError::bad("the cursor is not one that a list gave"))?,
        rule: listing.rule,
        search: listing.search,
        limit,
        ..DownloadFilter::default()
    };
    let downloads = state.downloads.store().downloads(filter).await?;
    let full = limit > 0 && downloads.len() == limit as usize;
    let cursor = downloads.last().filter(|_| full).map(|download| download.id.to_string());
    let transfers = downloads.into_iter().map(|download| {
        let live = state.downloads.live(download.id);
        Download::new(download, live)
    });
    Ok(Json(Transfers { transfers: transfers.collect(), cursor }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Looking {
    #[serde(default)]
    files: bool,
    limit: Option<u32>,
    cursor: Option<u32>,
}

pub(super) async fn show(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Query(looking): Query<Looking>,
) -> Answer<Download> {
    let id = parse_id(&id)?;
    let mut view = state.download_view(id).await?;
    if looking.files {
        let limit = looking.limit.unwrap_or(LARGEST_PAGE).clamp(1, LARGEST_PAGE);
        let files = state.downloads.store().download_files(id, looking.cursor, limit).await?;
        view.files = Some(files.into_iter().map(DownloadedFile::from).collect());
    }
    Ok(view)
}

/// The folder to write to, if it may be written to: what exists of it, links resolved, must be below an allowed root.
pub(super) fn check_folder(folder: &FilePath, roots: &[PathBuf]) -> Result<(), String> {
    if !folder.is_absolute() || folder.components().any(|part| part == Component::ParentDir) {
        return Err("the folder must be absolute, without `..`".to_owned());
    }
    let existing = folder.ancestors().find_map(|ancestor| ancestor.canonicalize().ok()).unwrap_or_default();
    if existing.is_file() {
        return Err(format!("{} is a file", existing.display()));
    }
    if roots.is_empty() || roots.iter().any(|root| existing.starts_with(root)) {
        return Ok(());
    }
    Err("it is outside of the folders that this agent may write to (--allow-root)".to_owned())
}

pub(super) async fn create(
    Extract(state): Extract<ApiState>,
    Body(new): Body<NewDownload>,
) -> Result<Created<DownloadStarted>, ApiError> {
    let mut bad = BTreeMap::new();
    let link = LinkAddress::parse(&new.url);
    if let Err(error) = &link {
        bad.insert("url".to_owned(), error.to_string());
    }
    let (folder, roots) = (new.dst_folder.clone(), state.allowed_roots.clone());
    let checked = tokio::task::spawn_blocking(move || check_folder(&folder, &roots)).await;
    if let Err(problem) = checked.unwrap_or_else(|error| Err(error.to_string())) {
        bad.insert("dst_folder".to_owned(), problem);
    }
    if !bad.is_empty() {
        return Err(ApiError::fields(bad));
    }
    let LinkAddress { api, id, secret } = link.map_err(crate::download::DownloadError::from)?;
    let source = DownloadSource::Link { id, secret, password: new.password };
    let spec = DownloadSpec {
        package_folder: new.create_package_folder,
        chosen: new.file_ids,
        overwrite: new.overwrite,
        owner: Owner { uid: new.uid, gid: new.gid },
        priority: new.priority,
        ..DownloadSpec::new(api, source, new.dst_folder)
    };
    let download_id = state.downloads.submit(spec).await?;
    Ok(Created(DownloadStarted { download_id }))
}

pub(super) async fn change(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(change): Body<DownloadChange>,
) -> Answer<Download> {
    let id = parse_id(&id)?;
    state.downloads.set_priority(id, change.priority).await?;
    state.download_view(id).await
}

pub(super) async fn pause(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Answer<Download> {
    let id = parse_id(&id)?;
    state.downloads.pause(id).await?;
    state.download_view(id).await
}

pub(super) async fn resume(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Answer<Download> {
    let id = parse_id(&id)?;
    state.downloads.resume(id).await?;
    state.download_view(id).await
}

pub(super) async fn remove(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Result<Done, ApiError> {
    state.downloads.remove(parse_id(&id)?).await?;
    Ok(Done)
}

async fn ids(state: &ApiState, states: Vec<State>) -> Result<Vec<DownloadId>, ApiError> {
    let filter = DownloadFilter { states, ..DownloadFilter::default() };
    Ok(state.downloads.store().downloads(filter).await?.into_iter().map(|download| download.id).collect())
}

pub(super) async fn pause_all(Extract(state): Extract<ApiState>) -> Answer<Paused> {
    let mut count = 0;
    for id in ids(&state, vec![State::Transferring]).await? {
        // One that has just ended needs no pause.
        count += u64::from(state.downloads.pause(id).await.is_ok());
    }
    Ok(Json(Paused { paused: count }))
}

pub(super) async fn resume_all(Extract(state): Extract<ApiState>) -> Answer<Resumed> {
    let mut count = 0;
    for id in ids(&state, vec![State::Paused, State::Error]).await? {
        count += u64::from(state.downloads.resume(id).await.is_ok());
    }
    Ok(Json(Resumed { resumed: count }))
}

pub(super) async fn remove_many(
    Extract(state): Extract<ApiState>,
    Query(removing): Query<Removing>,
) -> Answer<Removed> {
    let mut count = 0;
    for id in ids(&state, removing.states()?).await? {
        count += u64::from(state.downloads.remove(id).await.is_ok());
    }
    Ok(Json(Removed { removed: count }))
}
