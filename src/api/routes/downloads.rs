//! Downloads: creating, listing, controlling. No session is needed: the link grants access.

use std::collections::BTreeMap;
use std::path::{Component, Path as FilePath, PathBuf};

use axum::Json;
use axum::extract::{Path, State as Extract};

use super::super::ApiState;
use super::super::error::ApiError;
use super::super::openapi::Created;
use super::super::types::{Download, DownloadChange, DownloadStarted, DownloadedFile, NewDownload};
use super::Body;
use super::transfers::{Answer, Listed, Side, parse_id};
use crate::download::LinkAddress;
use crate::model;
use crate::model::DownloadId;
use crate::model::{DownloadFilter, DownloadSource, DownloadSpec, Owner};
use masv_platform::{OwnPlaces, real_path};
use masv_protocol::FileId;

/// Downloads, for the routes shared by both directions.
pub(super) struct Downloads;

impl Side for Downloads {
    type Id = DownloadId;
    type View = Download;
    const NAME: &'static str = "download";

    async fn view(state: &ApiState, id: DownloadId) -> Result<Download, ApiError> {
        let download = state.downloads.store().download(id).await?;
        Ok(Download::new(download, state.downloads.live(id)))
    }

    async fn with_files(
        state: &ApiState,
        id: DownloadId,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Download, ApiError> {
        let mut view = Self::view(state, id).await?;
        let files = state.downloads.store().download_files(id, after, limit).await?;
        view.files = Some(files.into_iter().map(DownloadedFile::from).collect());
        Ok(view)
    }

    async fn list(state: &ApiState, filter: DownloadFilter) -> Result<Listed<Self>, ApiError> {
        let found = state.downloads.store().downloads(filter).await?;
        let view = |download: model::Download| {
            let (id, live) = (download.id, state.downloads.live(download.id));
            (id, Download::new(download, live))
        };
        Ok(found.into_iter().map(view).collect())
    }

    async fn pause(state: &ApiState, id: DownloadId) -> Result<(), ApiError> {
        Ok(state.downloads.pause(id).await?)
    }

    async fn resume(state: &ApiState, id: DownloadId) -> Result<(), ApiError> {
        Ok(state.downloads.resume(id).await?)
    }

    async fn remove(state: &ApiState, id: DownloadId) -> Result<(), ApiError> {
        Ok(state.downloads.remove(id).await?)
    }
}

/// A folder that may be written to.
#[derive(Debug)]
pub(super) struct Checked {
    /// Its path; below an allowed root its real path.
    pub(super) folder: PathBuf,
    /// The allowed root that contains it, if there are any.
    pub(super) root: Option<PathBuf>,
}

/// The folder to write to, if that is allowed: its real path must be below an allowed root.
pub(super) fn check_folder(folder: &FilePath, roots: &[PathBuf], own: &OwnPlaces) -> Result<Checked, String> {
    if !folder.is_absolute() || folder.components().any(|part| part == Component::ParentDir) {
        return Err("the folder must be absolute, without `..`".to_owned());
    }
    let real = real_path(folder).map_err(|error| error.to_string())?;
    if let Some(file) = real.ancestors().find(|above| above.is_file()) {
        return Err(format!("{} is a file", file.display()));
    }
    if own.ask().hold(&real) {
        return Err("it belongs to the agent itself".to_owned());
    }
    if roots.is_empty() {
        return Ok(Checked { folder: folder.to_owned(), root: None });
    }
    if let Some(root) = roots.iter().find(|root| real.starts_with(root)) {
        return Ok(Checked { root: Some(root.clone()), folder: real });
    }
    Err("it is outside the folders that this agent may write to (--allow-root)".to_owned())
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
    let (folder, roots, own) = (new.dst_folder.clone(), state.allowed_roots.clone(), state.own.clone());
    let checked = tokio::task::spawn_blocking(move || check_folder(&folder, &roots, &own)).await;
    let checked = checked.unwrap_or_else(|error| Err(error.to_string()));
    if let Err(problem) = &checked {
        bad.insert("dst_folder".to_owned(), problem.clone());
    }
    let (Ok(LinkAddress { api, id, secret }), Ok(checked)) = (link, checked) else {
        return Err(ApiError::fields(bad));
    };
    let source = DownloadSource::Link { id, secret, password: new.password };
    let spec = DownloadSpec {
        package_folder: new.create_package_folder,
        chosen: new.file_ids.into_iter().map(FileId::from).collect(),
        overwrite: new.overwrite,
        owner: Owner { uid: new.uid, gid: new.gid },
        priority: new.priority,
        root: checked.root,
        ..DownloadSpec::new(api, source, checked.folder)
    };
    let download_id = state.downloads.submit(spec).await?;
    Ok(Created(DownloadStarted { download_id }))
}

pub(super) async fn change(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(change): Body<DownloadChange>,
) -> Answer<Download> {
    let id = parse_id::<Downloads>(&id)?;
    state.downloads.set_priority(id, change.priority).await?;
    Downloads::view(&state, id).await.map(Json)
}
