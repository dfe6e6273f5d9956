//! Downloads of a package: who has it, and that somebody confirms to have it.

use axum::Json;
use masv_protocol::{ConfirmDownload, ConfirmedDownload, Download};

use crate::http::access::{PackageOwner, PackageReader};
use crate::http::json_body::{JsonBody, PARTS_BODY};
use crate::http::refusal::Refusal;
use crate::records::downloads;

/// Who downloaded a package, when, what of it and from where.
pub(super) async fn list(PackageOwner { hub, package, .. }: PackageOwner) -> Result<Json<Vec<Download>>, Refusal> {
    Ok(Json(downloads::list(hub.database(), package.id).await?))
}

/// The caller has downloaded files.
pub(super) async fn confirm(
    PackageReader { hub, package, reader }: PackageReader,
    JsonBody(given, ..): JsonBody<ConfirmDownload, PARTS_BODY>,
) -> Result<Json<ConfirmedDownload>, Refusal> {
    let reader = reader.ok_or_else(|| Refusal::forbidden("the sender of a package does not download it"))?;
    // Where everything passes through the hub, it knows better.
    let is_believed = hub.context.is_read_from_bucket(true);
    let state = downloads::confirmed(hub.database(), package, reader, given.files, is_believed).await?;
    hub.context.call_due.notify_one();
    Ok(Json(ConfirmedDownload { state: Some(state.into()) }))
}
