//! Uploads: ordered, listed, steered.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::super::error::ApiError;
use super::super::openapi::{Created, Done};
use super::super::types::{
    Change, Common, File, MoreFiles, NewLink, NewPortalUpload, NewUpload, Paused, Removed, Resumed, Started, Transfers,
    Upload,
};
use super::super::{ApiState, intake};
use super::Body;
use crate::base::UploadId;
use crate::store::{Destination, Link, PackageOptions, State, UploadFilter, UploadKind, UploadSpec};

/// How long the answer to a link order waits for the link.
const LINK_WAIT: Duration = Duration::from_secs(10);
/// The most entries of a page.
pub(super) const LARGEST_PAGE: u32 = 1_000;

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

fn parse_id(text: &str) -> Result<UploadId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(StatusCode::NOT_FOUND, format!("no upload {text}")).hint("`masv upload ls` lists the uploads")
    })
}

/// Comma-separated states; `all` and nothing mean all.
pub(super) fn parse_states(text: &str) -> Result<Vec<State>, ApiError> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "all");
    words
        .map(|word| {
            serde_json::from_value(Value::String(word.to_owned())).map_err(|_| {
                ApiError::bad(format!("{word:?} is no state"))
                    .hint("the states are transferring, paused, idle, complete, error")
            })
        })
        .collect()
}

impl ApiState {
    async fn view(&self, id: UploadId) -> Answer<Upload> {
        let upload = self.queue.store().upload(id).await?;
        Ok(Json(Upload::new(upload, self.queue.live(id))))
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
) -> Answer<Transfers<Upload>> {
    let before = listing.cursor.as_deref().map(UploadId::from_str).transpose();
    let limit = listing.limit.map_or(0, |limit| limit.clamp(1, LARGEST_PAGE));
    let filter = UploadFilter {
        states: parse_states(&listing.states)?,
        rule: listing.rule,
        before: before.map_err(|_| ApiError::bad("the cursor is not one that a list gave"))?,
        search: listing.search,
        limit,
        ..UploadFilter::default()
    };
    let uploads = state.queue.store().uploads(filter).await?;
    let full = limit > 0 && uploads.len() == limit as usize;
    let cursor = uploads.last().filter(|_| full).map(|upload| upload.id.to_string());
    let transfers = uploads.into_iter().map(|upload| {
        let live = state.queue.live(upload.id);
        Upload::new(upload, live)
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
) -> Answer<Upload> {
    let id = parse_id(&id)?;
    let mut view = state.view(id).await?;
    if looking.files {
        let limit = looking.limit.unwrap_or(LARGEST_PAGE).clamp(1, LARGEST_PAGE);
        let files = state.queue.store().files(id, looking.cursor, limit).await?;
        view.files = Some(files.into_iter().map(File::from).collect());
    }
    Ok(view)
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && !text.chars().any(|character| character.is_whitespace() || character.is_control())
}

async fn submit(
    state: &ApiState,
    common: Common,
    destination: Destination,
    options: PackageOptions,
    team_id: Option<String>,
) -> Result<Created<Started>, ApiError> {
    let first = common.paths.first().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let files = intake::expand(common.paths, common.exclude, state.allowed_roots.clone()).await?;
    let kind = destination.kind();
    let spec = UploadSpec {
        destination,
        name: common
            .package_name
            .filter(|name| !name.trim().is_empty())
            .or(first)
            .unwrap_or_else(|| "Files".to_owned()),
        description: common.package_description.filter(|text| !text.is_empty()),
        password: common.password,
        options,
        team_id,
        chunk_size: common.chunk_size.map(|size| size.0).filter(|size| *size > 0),
        priority: common.priority,
        auto_finalize: common.auto_finalize.unwrap_or(state.auto_finalize),
        rule: None,
        files,
    };
    let upload_id = state.queue.submit(spec).await?;
    let link = if kind == UploadKind::Link { wait_for_link(state, upload_id).await } else { None };
    Ok(Created(Started { upload_id, link }))
}

/// The link, if the cloud gives one soon.
async fn wait_for_link(state: &ApiState, id: UploadId) -> Option<String> {
    let mut changes = state.queue.store().changes();
    let link = async {
        loop {
            let upload = state.queue.store().upload(id).await.ok()?;
            if let Some(link) = upload.links.into_iter().next() {
                return Some(link.url);
            }
            if upload.state != State::Transferring {
                return None;
            }
            changes.changed().await.ok()?;
        }
    };
    tokio::time::timeout(LINK_WAIT, link).await.ok().flatten()
}

pub(super) async fn create(
    Extract(state): Extract<ApiState>,
    Body(new): Body<NewUpload>,
) -> Result<Created<Started>, ApiError> {
    if !state.queue.cloud().is_authorised() {
        return Err(ApiError::no_session());
    }
    let team_id = Some(state.queue.cloud().team(new.team_id.as_deref())?);
    let bad: BTreeMap<String, String> = new
        .recipients
        .iter()
        .filter(|address| !is_address(address))
        .map(|address| ("recipients".to_owned(), format!("{address:?} is no mail address")))
        .collect();
    if !bad.is_empty() {
        return Err(ApiError::fields(bad));
    }
    let destination =
        if new.recipients.is_empty() { Destination::Link } else { Destination::Email { recipients: new.recipients } };
    let options = PackageOptions {
        delete_after: new.delete_after,
        download_limit: new.download_limit,
        tag_name: new.tag_name,
        tag_id: new.tag_id,
        teamspace_id: new.teamspace_id,
        unlimited_storage: new.unlimited_storage,
    };
    submit(&state, new.common, destination, options, team_id).await
}

pub(super) async fn create_portal(
    Extract(state): Extract<ApiState>,
    Body(mut new): Body<NewPortalUpload>,
) -> Result<Created<Started>, ApiError> {
    let mut bad = BTreeMap::new();
    if new.subdomain.trim().is_empty() {
        bad.insert("subdomain".to_owned(), "name the portal".to_owned());
    }
    if !is_address(&new.sender) {
        bad.insert("sender".to_owned(), format!("{:?} is no mail address", new.sender));
    }
    if !bad.is_empty() {
        return Err(ApiError::fields(bad));
    }
    let destination = Destination::Portal {
        subdomain: new.subdomain,
        sender: new.sender,
        access_code: new.common.password.take(),
        metadata: new.metadata,
    };
    submit(&state, new.common, destination, PackageOptions::default(), None).await
}

pub(super) async fn change(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Upload> {
    let id = parse_id(&id)?;
    state.queue.store().upload(id).await?;
    if let Some(priority) = change.priority {
        state.queue.set_priority(id, priority).await?;
    }
    if let Some(order) = change.order {
        state.queue.set_order(id, order).await?;
    }
    if let Some(auto_finalize) = change.auto_finalize {
        state.queue.set_auto_finalize(id, auto_finalize).await?;
    }
    state.view(id).await
}

pub(super) async fn add_files(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(more): Body<MoreFiles>,
) -> Answer<Upload> {
    let id = parse_id(&id)?;
    state.queue.store().upload(id).await?;
    let files = intake::expand(more.paths, more.exclude, state.allowed_roots.clone()).await?;
    state.queue.append(id, files).await?;
    state.view(id).await
}

pub(super) async fn finalize(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Answer<Upload> {
    let id = parse_id(&id)?;
    state.queue.finalize(id).await?;
    state.view(id).await
}

pub(super) async fn pause(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Answer<Upload> {
    let id = parse_id(&id)?;
    state.queue.pause(id).await?;
    state.view(id).await
}

pub(super) async fn resume(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Answer<Upload> {
    let id = parse_id(&id)?;
    state.queue.resume(id).await?;
    state.view(id).await
}

pub(super) async fn remove(Extract(state): Extract<ApiState>, Path(id): Path<String>) -> Result<Done, ApiError> {
    state.queue.remove(parse_id(&id)?).await?;
    Ok(Done)
}

pub(super) async fn create_link(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(new): Body<NewLink>,
) -> Result<Created<Link>, ApiError> {
    let link = state.queue.create_link(parse_id(&id)?, new.password, new.email).await?;
    Ok(Created(link))
}

async fn ids(state: &ApiState, states: Vec<State>) -> Result<Vec<UploadId>, ApiError> {
    let filter = UploadFilter { states, ..UploadFilter::default() };
    Ok(state.queue.store().uploads(filter).await?.into_iter().map(|upload| upload.id).collect())
}

pub(super) async fn pause_all(Extract(state): Extract<ApiState>) -> Answer<Paused> {
    let all = ids(&state, vec![State::Transferring]).await?;
    let mut count = 0;
    for id in all {
        // One that has just ended needs no pause.
        count += u64::from(state.queue.pause(id).await.is_ok());
    }
    Ok(Json(Paused { paused: count }))
}

pub(super) async fn resume_all(Extract(state): Extract<ApiState>) -> Answer<Resumed> {
    let all = ids(&state, vec![State::Paused, State::Error]).await?;
    let mut count = 0;
    for id in all {
        count += u64::from(state.queue.resume(id).await.is_ok());
    }
    Ok(Json(Resumed { resumed: count }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Removing {
    states: Option<String>,
}

impl Removing {
    /// The states that were named; empty means all, and only the word `all` says so: a stray comma does not.
    pub(super) fn states(self) -> Result<Vec<State>, ApiError> {
        let text = self.states.unwrap_or_default();
        let named = parse_states(&text)?;
        if named.is_empty() && !text.split(',').any(|word| word.trim() == "all") {
            return Err(ApiError::bad("states: name the states to remove")
                .hint("for instance ?states=complete,error, or ?states=all"));
        }
        Ok(named)
    }
}

pub(super) async fn remove_many(
    Extract(state): Extract<ApiState>,
    Query(removing): Query<Removing>,
) -> Answer<Removed> {
    let all = ids(&state, removing.states()?).await?;
    let mut count = 0;
    for id in all {
        count += u64::from(state.queue.remove(id).await.is_ok());
    }
    Ok(Json(Removed { removed: count }))
}
