//! Uploads: creating, listing, controlling.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;

use super::super::ApiState;
use super::super::about::Delivery;
use super::super::error::ApiError;
use super::super::expand::{self, Expanded};
use super::super::openapi::Created;
use super::super::portal_name::portal_name;
use super::super::types::{Change, Common, File, MoreFiles, NewLink, NewPortalUpload, NewUpload, Started, Upload};
use super::once::Once;
use super::spools;
use super::transfers::{Answer, Listed, Side, parse_id};
use super::{Body, NoFields};
use crate::model;
use crate::model::UploadId;
use crate::model::{
    Destination, Link, OrderKey, PackageOptions, Problem, SourceFile, State, UploadFilter, UploadKind, UploadSpec,
};
use crate::store::StoreError;
use crate::upload::CHUNK_SIZES;
use masv_protocol::{EmailAddress, InvalidEmailAddress, TeamId, trouble_on_windows};

/// How long the response to a link upload waits for the link.
const LINK_WAIT: Duration = Duration::from_secs(10);
/// Uploads, for the routes shared by both directions.
pub(super) struct Uploads;

impl Side for Uploads {
    type Id = UploadId;
    type View = Upload;
    const NAME: &'static str = "upload";

    async fn view(state: &ApiState, id: UploadId) -> Result<Upload, ApiError> {
        let upload = state.queue.store().upload(id).await?;
        Ok(Upload::new(upload, state.queue.live(id)))
    }

    async fn with_files(state: &ApiState, id: UploadId, after: Option<u32>, limit: u32) -> Result<Upload, ApiError> {
        let mut view = Self::view(state, id).await?;
        let files = state.queue.store().files(id, after, limit).await?;
        view.files = Some(files.into_iter().map(File::from).collect());
        Ok(view)
    }

    async fn list(state: &ApiState, filter: UploadFilter) -> Result<Listed<Self>, ApiError> {
        let found = state.queue.store().uploads(filter).await?;
        let view = |upload: model::Upload| {
            let (id, live) = (upload.id, state.queue.live(upload.id));
            (id, Upload::new(upload, live))
        };
        Ok(found.into_iter().map(view).collect())
    }

    async fn pause(state: &ApiState, id: UploadId) -> Result<(), ApiError> {
        Ok(state.queue.pause(id).await?)
    }

    async fn resume(state: &ApiState, id: UploadId) -> Result<(), ApiError> {
        Ok(state.queue.resume(id).await?)
    }

    async fn remove(state: &ApiState, id: UploadId) -> Result<(), ApiError> {
        Ok(state.queue.remove(id).await?)
    }
}

/// Parses e-mail addresses; errors are reported under the name of the field.
fn addresses(field: &str, given: &[String], bad: &mut BTreeMap<String, String>) -> Vec<EmailAddress> {
    let mut read = |text: &String| {
        let problem = |error: InvalidEmailAddress| bad.insert(field.to_owned(), error.to_string());
        text.parse().map_err(problem).ok()
    };
    given.iter().filter_map(&mut read).collect()
}

/// What is not valid in a request, by field.
fn nonsense(order: &NewUpload) -> BTreeMap<String, String> {
    let mut bad = BTreeMap::new();
    let mut need = |right: bool, field: &str, problem: &str| {
        if !right {
            bad.insert(field.to_owned(), problem.to_owned());
        }
    };
    need(
        order.delete_after != Some(0),
        "delete_after",
        "a package is kept for at least 1 day; omit it to use the team's default",
    );
    need(
        order.download_limit != Some(0),
        "download_limit",
        "a package can be downloaded at least once; omit it for no limit",
    );
    need(order.team_id.as_ref().is_none_or(|team| !team.trim().is_empty()), "team_id", "give a team, or omit it");
    bad.extend(bad_chunk_size(&order.common));
    bad
}

/// Why a part size is not valid; 0 means the agent's setting.
fn bad_chunk_size(common: &Common) -> Option<(String, String)> {
    let size = common.chunk_size.map(|size| size.0).filter(|size| *size > 0)?;
    let problem = CHUNK_SIZES.check(size).err()?;
    Some(("chunk_size".to_owned(), problem))
}

async fn submit(
    state: &ApiState,
    common: Common,
    destination: Destination,
    options: PackageOptions,
    team_id: Option<TeamId>,
    key: Option<OrderKey>,
) -> Result<Created<Started>, ApiError> {
    let spool = common.spool;
    if let Some(id) = spool
        && let Ok(upload) = state.queue.store().upload(id).await
    {
        // A repetition of an order whose answer was lost.
        return Ok(Created(started(state, id, upload.kind()).await));
    }
    let Expanded { mut files, mut first } = match spool {
        Some(_) if common.paths.is_empty() => Expanded { files: Vec::new(), first: None },
        _ => expand::expand(common.paths, common.exclude, state.allowed_roots.clone(), state.own.clone()).await?,
    };
    if let Some(id) = spool {
        let received = spools::blocking(state, move |spool| spool.order(id)).await?;
        let top = received.first().and_then(|file| file.path.as_str().split('/').next().map(str::to_owned));
        first = first.or(top);
        files.extend(received);
    }
    let (kind, warnings) = (destination.kind(), awkward_names(&files));
    let spec = UploadSpec {
        destination,
        name: common
            .package_name
            .filter(|name| !name.trim().is_empty())
            .or(first)
            .unwrap_or_else(|| "Files".to_owned()),
        description: common.package_description.filter(|text| !text.is_empty()),
        password: common.password,
        options: PackageOptions { manifest: common.manifest, ..options },
        team_id,
        chunk_size: common.chunk_size.map(|size| size.0).filter(|size| *size > 0),
        priority: common.priority,
        auto_finalize: common.auto_finalize.unwrap_or(state.auto_finalize),
        rule: None,
        files: files.into(),
    };
    let upload_id = state.queue.submit_as(spool.unwrap_or_default(), spec, key).await?;
    Ok(Created(Started { warnings, ..started(state, upload_id, kind).await }))
}

/// Notes about names that recipients on Windows cannot save.
fn awkward_names(files: &[SourceFile]) -> Vec<String> {
    let mut awkward = files.iter().filter_map(|file| {
        let why = file.path.as_str().split('/').find_map(trouble_on_windows)?;
        Some((file.path.as_str(), why))
    });
    let Some((first, why)) = awkward.next() else { return Vec::new() };
    let more = match awkward.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    vec![format!("{first}{more} cannot be saved on Windows: it {why}")]
}

/// The response to a request that was received before, if it was.
async fn started_before(state: &ApiState, key: Option<&OrderKey>) -> Result<Option<Created<Started>>, ApiError> {
    let Some(key) = key else { return Ok(None) };
    let Some(id) = state.queue.store().made_before(key.clone()).await? else { return Ok(None) };
    match state.queue.store().upload(id).await {
        Ok(upload) => Ok(Some(Created(started(state, id, upload.kind()).await))),
        Err(StoreError::NotFound(_)) => {
            let message = format!("this request was carried out before, and its upload {id} was removed");
            Err(ApiError::new(StatusCode::CONFLICT, message).hint("to send the files again, use a new Idempotency-Key"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The response for an upload that was requested.
async fn started(state: &ApiState, upload_id: UploadId, kind: UploadKind) -> Started {
    let link = if kind == UploadKind::Link { wait_for_link(state, upload_id).await } else { None };
    let error = match (&link, kind) {
        (None, UploadKind::Link) => why_there_is_none(state, upload_id).await,
        _ => None,
    };
    let way = if kind == UploadKind::Link { Delivery::Links } else { Delivery::Mails };
    let note = state.about.limitation(way).map(|known| known.message.clone());
    Started { upload_id, link, error, note, warnings: Vec::new() }
}

/// Why a link upload has no link.
async fn why_there_is_none(state: &ApiState, id: UploadId) -> Option<Problem> {
    let failed = state.queue.store().upload(id).await.ok()?.problem;
    failed.or_else(|| state.queue.live(id).and_then(|live| live.reason).map(Problem::retrying))
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
    once: Once,
    Body(new): Body<NewUpload>,
) -> Result<Created<Started>, ApiError> {
    let key = once.of("uploads", &new)?;
    if let Some(before) = started_before(&state, key.as_ref()).await? {
        return Ok(before);
    }
    if !state.queue.cloud().is_authorised() {
        return Err(ApiError::no_session());
    }
    let mut bad = nonsense(&new);
    let recipients = addresses("recipients", &new.recipients, &mut bad);
    if !bad.is_empty() {
        return Err(ApiError::fields(bad));
    }
    let team_id = Some(state.queue.cloud().find_team(new.team_id.map(TeamId::from).as_ref()).await?);
    let recipients: Vec<String> = recipients.into_iter().map(EmailAddress::into_string).collect();
    let destination = if recipients.is_empty() { Destination::Link } else { Destination::Email { recipients } };
    let options = PackageOptions {
        delete_after: new.delete_after,
        download_limit: new.download_limit,
        tag_name: new.tag_name,
        tag_id: new.tag_id,
        teamspace_id: new.teamspace_id,
        unlimited_storage: new.unlimited_storage,
        manifest: None,
    };
    submit(&state, new.common, destination, options, team_id, key).await
}

pub(super) async fn create_portal(
    Extract(state): Extract<ApiState>,
    once: Once,
    Body(mut new): Body<NewPortalUpload>,
) -> Result<Created<Started>, ApiError> {
    let key = once.of("uploads/portal", &new)?;
    if let Some(before) = started_before(&state, key.as_ref()).await? {
        return Ok(before);
    }
    let mut bad = BTreeMap::new();
    bad.extend(bad_chunk_size(&new.common));
    new.subdomain = portal_name(&new.subdomain);
    if new.subdomain.is_empty() {
        bad.insert("subdomain".to_owned(), "give the portal".to_owned());
    }
    let sender = addresses("sender", &[new.sender], &mut bad).pop();
    let Some(sender) = sender.filter(|_| bad.is_empty()) else { return Err(ApiError::fields(bad)) };
    let destination = Destination::Portal {
        subdomain: new.subdomain,
        sender: sender.into_string(),
        access_code: new.common.password.take(),
        metadata: new.metadata,
    };
    submit(&state, new.common, destination, PackageOptions::default(), None, key).await
}

pub(super) async fn change(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Upload> {
    let id = parse_id::<Uploads>(&id)?;
    state.queue.store().upload(id).await?;
    if let Some(password) = change.password {
        state.queue.set_password(id, password).await?;
    }
    if let Some(priority) = change.priority {
        state.queue.set_priority(id, priority).await?;
    }
    if let Some(order) = change.order {
        state.queue.set_order(id, order).await?;
    }
    if let Some(auto_finalize) = change.auto_finalize {
        state.queue.set_auto_finalize(id, auto_finalize).await?;
    }
    Uploads::view(&state, id).await.map(Json)
}

pub(super) async fn add_files(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(more): Body<MoreFiles>,
) -> Answer<Upload> {
    let id = parse_id::<Uploads>(&id)?;
    state.queue.store().upload(id).await?;
    let Expanded { files, .. } =
        expand::expand(more.paths, more.exclude, state.allowed_roots.clone(), state.own.clone()).await?;
    state.queue.append(id, files).await?;
    Uploads::view(&state, id).await.map(Json)
}

pub(super) async fn finalize(Extract(state): Extract<ApiState>, Path(id): Path<String>, _: NoFields) -> Answer<Upload> {
    let id = parse_id::<Uploads>(&id)?;
    state.queue.finalize(id).await?;
    Uploads::view(&state, id).await.map(Json)
}

pub(super) async fn resume_without_gone(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    _: NoFields,
) -> Answer<Upload> {
    let id = parse_id::<Uploads>(&id)?;
    state.queue.resume_without_gone(id).await?;
    Uploads::view(&state, id).await.map(Json)
}

pub(super) async fn create_link(
    Extract(state): Extract<ApiState>,
    Path(id): Path<String>,
    Body(new): Body<NewLink>,
) -> Result<Created<Link>, ApiError> {
    let id = parse_id::<Uploads>(&id)?;
    let mut bad = BTreeMap::new();
    let email = addresses("email", new.email.as_slice(), &mut bad).pop();
    if !bad.is_empty() {
        return Err(ApiError::fields(bad));
    }
    let link = state.queue.create_link(id, new.password, email).await?;
    Ok(Created(link))
}
