//! The storage: presigned addresses answer as an S3 storage would, errors in XML.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::Hub;
use crate::error::Refusal;
use crate::http::ranges;
use crate::http::wire::{now, number};
use crate::keys::tokens::Action;
use crate::records::{files, quotas};
use crate::storage::{Expected, Kept, Leftovers, PartName, ReceiveError, drain, receive};

/// What an address says.
#[derive(Deserialize)]
pub(super) struct Address {
    #[serde(default)]
    uploads: Option<String>,
    #[serde(rename = "partNumber", default, deserialize_with = "number")]
    part_number: Option<u64>,
    #[serde(rename = "uploadId", default)]
    upload_id: String,
    #[serde(default)]
    expires: i64,
    #[serde(default)]
    signature: String,
}

/// A refusal as a storage words it.
pub(super) struct StorageRefusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl StorageRefusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl From<Refusal> for StorageRefusal {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.status {
            StatusCode::NOT_FOUND => "NoSuchUpload",
            StatusCode::CONFLICT => "OperationAborted",
            StatusCode::SERVICE_UNAVAILABLE => "SlowDown",
            StatusCode::INSUFFICIENT_STORAGE => "InsufficientStorage",
            _ => "InvalidRequest",
        };
        Self { status: refusal.status, code, message: refusal.message }
    }
}

impl From<ReceiveError> for StorageRefusal {
    fn from(error: ReceiveError) -> Self {
        let (status, code) = match &error {
            ReceiveError::Cut | ReceiveError::WrongLength { .. } => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            ReceiveError::Stalled => (StatusCode::BAD_REQUEST, "RequestTimeout"),
            ReceiveError::TooLarge(_) => (StatusCode::BAD_REQUEST, "EntityTooLarge"),
            ReceiveError::WrongDigest => (StatusCode::BAD_REQUEST, "BadDigest"),
            ReceiveError::Full => (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage"),
            ReceiveError::Disk(_) => (StatusCode::SERVICE_UNAVAILABLE, "InternalError"),
        };
        if let ReceiveError::Disk(cause) = &error {
            tracing::error!(%cause, "cannot store a part");
        }
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for StorageRefusal {
    fn into_response(self) -> Response {
        let message = quick_xml::escape::escape(self.message.as_str());
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{message}</Message></Error>",
            self.code
        );
        (self.status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
    }
}

fn check(hub: &Hub, package: &str, file: &str, action: Action<'_>, address: &Address) -> Result<(), StorageRefusal> {
    if !hub.keys().is_address(package, file, action, address.expires, &address.signature) {
        let message = "The request signature we calculated does not match the signature you provided.";
        return Err(StorageRefusal::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message));
    }
    if address.expires <= now() / 1000 {
        return Err(StorageRefusal::new(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"));
    }
    Ok(())
}

pub(super) async fn begin(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    Query(address): Query<Address>,
) -> Result<Response, StorageRefusal> {
    if address.uploads.is_none() {
        return Err(StorageRefusal::new(StatusCode::BAD_REQUEST, "InvalidRequest", "only uploads can be posted"));
    }
    check(&hub, &package, &file, Action::Begin, &address)?;
    let upload = hub.keys().upload_id(&file);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>hub</Bucket>\
         <Key>{package}/{file}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
    );
    Ok(([(header::CONTENT_TYPE, "application/xml")], body).into_response())
}

pub(super) async fn store_part(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    Query(address): Query<Address>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // A sender that waits for a 100 has sent nothing yet: there is nothing to be read away.
    let waits = headers.contains_key(header::EXPECT);
    let refuse = |refusal: StorageRefusal, body: Body| {
        if !waits {
            drain(body);
        }
        refusal.into_response()
    };
    let number = address.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    if let Err(refusal) = check(&hub, &package, &file, Action::Part(number, &address.upload_id), &address) {
        return refuse(refusal, body);
    }
    let part = PartName { package, file, number };
    match expected(&hub, &part, &headers).await {
        Err(refusal) => refuse(refusal, body),
        Ok(expected) => match receive_part(&hub, &part, &expected, body).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::warn!(
                    package = part.package,
                    file = part.file,
                    part = part.number,
                    code = refusal.code,
                    "part not stored: {}",
                    refusal.message
                );
                refusal.into_response()
            }
        },
    }
}

/// What is known of a part before it arrives; refuses what could not be kept, before it is sent.
async fn expected(hub: &Hub, part: &PartName, headers: &HeaderMap) -> Result<Expected, StorageRefusal> {
    let length = auth_length(headers);
    let md5 = match headers.get("content-md5") {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(files::content_md5).ok_or_else(|| {
            StorageRefusal::new(StatusCode::BAD_REQUEST, "InvalidDigest", "Content-MD5 is not the MD5 of anything")
        })?),
    };
    if length.is_none_or(|length| length > crate::storage::SMALL_PART) {
        let PartName { package, file, number } = part.clone();
        hub.database()
            .read(move |connection| {
                let row = files::get(connection, &package, &file)?;
                let others = || files::stored_bytes(connection, &row, number);
                quotas::check_excess(connection, &package, &row, || {
                    Ok(others()?.saturating_add(length.unwrap_or_default()))
                })
            })
            .await?;
        crate::free_space::check(hub, length.unwrap_or_default()).await?;
    }
    Ok(Expected { largest: hub.config().limits.max_chunk_size, length, md5 })
}

fn auth_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok())
}

async fn receive_part(hub: &Hub, part: &PartName, expected: &Expected, body: Body) -> Result<Response, StorageRefusal> {
    let arrived = receive(&hub.storage().disk, part, expected, body).await?;
    let (size, etag) = (arrived.size, format!("\"{}\"", hex::encode(arrived.md5)));
    let place = match &arrived.kept {
        Kept::OnDisk(place) => Some(place.clone()),
        Kept::Here(_) => None,
    };
    let stored = {
        let part = part.clone();
        hub.database().write(move |connection| files::store_part(connection, &part, &arrived)).await
    };
    match stored {
        Ok(replaced) => hub.remove(left(part, replaced)),
        Err(refusal) => {
            hub.remove(left(part, place));
            return Err(refusal.into());
        }
    }
    tracing::info!(package = part.package, file = part.file, part = part.number, bytes = size, "part stored");
    let etag = HeaderValue::from_str(&etag)
        .map_err(|_| StorageRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "InternalError", "no tag"))?;
    // JSON, as every good answer but 204 has: a foreign client may read it.
    Ok((StatusCode::OK, [(header::ETAG, etag)], axum::Json(serde_json::json!({}))).into_response())
}

fn left(part: &PartName, place: Option<String>) -> Leftovers {
    Leftovers { parts: place.map(|place| (part.clone(), place)).into_iter().collect(), files: Vec::new() }
}

pub(super) async fn read(
    State(hub): State<Hub>,
    Path((package, file)): Path<(String, String)>,
    Query(address): Query<Address>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageRefusal> {
    check(&hub, &package, &file, Action::Read, &address)?;
    ranges::answer(&hub, &package, &file, &method, &headers).await.map_err(|refusal| match refusal.status {
        StatusCode::NOT_FOUND => StorageRefusal::new(StatusCode::NOT_FOUND, "NoSuchKey", refusal.message),
        _ => refusal.into(),
    })
}
