//! The storage: presigned URLs behave like an S3 storage, with errors in XML.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use jiff::Timestamp;
use masv_protocol::{Empty, ErrorKind, FileId, MultipartId, PackageId};
use serde::Deserialize;

use crate::Hub;
use crate::clock::now;
use crate::http::access::{Id, Public};
use crate::http::arriving::OnItsWay;
use crate::http::deliveries::Delivery;
use crate::http::free_space;
use crate::http::query::Asked;
use crate::http::ranges;
use crate::http::refusal::Refusal;
use crate::jobs::removal;
use crate::keys::tokens::Action;
use crate::records::downloads::DownloadNumber;
use crate::records::{self, files};
use crate::storage::{Expected, ReceiveError, SMALL_PART, drain, receive};
use crate::stored::{Kept, Leftovers, PartName};

/// The code for an address that this hub did not make.
const FORGED: &str = "SignatureDoesNotMatch";

/// The content of a presigned URL.
#[derive(Deserialize)]
pub(super) struct Address {
    #[serde(default)]
    uploads: Option<String>,
    #[serde(rename = "partNumber", default)]
    part_number: Option<String>,
    #[serde(rename = "uploadId", default)]
    upload_id: String,
    /// The download that reading belongs to.
    #[serde(default)]
    download: Option<i64>,
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
    /// The word of the refusal that it was, for the metrics.
    kind: Option<ErrorKind>,
}

impl StorageRefusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), kind: None }
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
        Self { status: refusal.status, code, message: refusal.message, kind: Some(refusal.kind) }
    }
}

impl From<records::Error> for StorageRefusal {
    fn from(error: records::Error) -> Self {
        if matches!(error, records::Error::BeyondAnnounced { .. }) {
            return Self::new(StatusCode::BAD_REQUEST, "EntityTooLarge", error.to_string());
        }
        Refusal::from(error).into()
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
        let kind = matches!(error, ReceiveError::Full).then_some(ErrorKind::StorageFull);
        Self { kind, ..Self::new(status, code, error.to_string()) }
    }
}

impl IntoResponse for StorageRefusal {
    fn into_response(self) -> Response {
        let message = quick_xml::escape::escape(self.message.as_str());
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{message}</Message></Error>",
            self.code
        );
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/xml")], body).into_response();
        if let Some(kind) = self.kind {
            response.extensions_mut().insert(kind);
        }
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = StorageRefusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StorageRefusal> {
        let Asked(address) = Asked::from_request_parts(parts, state).await?;
        Ok(address)
    }
}

impl Address {
    /// Which part it is of, if it is of one.
    fn part(&self) -> u32 {
        self.part_number.as_deref().and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }
}

/// Refuses an address that this hub did not make, or that has expired.
fn check(hub: &Hub, of: (&PackageId, &FileId), action: Action<'_>, address: &Address) -> Result<(), StorageRefusal> {
    let expires = Timestamp::from_second(address.expires).unwrap_or(Timestamp::MIN);
    if !hub.context.keys.is_address(of, action, expires, &address.signature) {
        let message = "The request signature we calculated does not match the signature you provided.";
        return Err(StorageRefusal::new(StatusCode::FORBIDDEN, FORGED, message));
    }
    if expires <= now() {
        return Err(StorageRefusal::new(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"));
    }
    Ok(())
}

pub(super) async fn begin(
    Public(hub): Public,
    Id(package): Id<PackageId>,
    Id(file): Id<FileId>,
    address: Address,
) -> Result<Response, StorageRefusal> {
    if address.uploads.is_none() {
        return Err(StorageRefusal::new(StatusCode::BAD_REQUEST, "InvalidRequest", "only uploads can be posted"));
    }
    check(&hub, (&package, &file), Action::Begin, &address)?;
    let upload = hub.context.keys.upload_id(&file);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>hub</Bucket>\
         <Key>{package}/{file}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
    );
    Ok(([(header::CONTENT_TYPE, "application/xml")], body).into_response())
}

pub(super) async fn store_part(
    Public(hub): Public,
    Id(package): Id<PackageId>,
    Id(file): Id<FileId>,
    address: Address,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // A sender that waits for a 100 has sent nothing yet: there is nothing to be read away.
    let waits = headers.contains_key(header::EXPECT);
    let refuse = |refusal: StorageRefusal, body: Body| {
        if !waits {
            drain(body.into_data_stream());
        }
        refusal.into_response()
    };
    let (number, upload) = (address.part(), MultipartId::new(address.upload_id.as_str()));
    if let Err(refusal) = check(&hub, (&package, &file), Action::Part(number, &upload), &address) {
        // Of whoever has no address of ours, nothing is read.
        return if refusal.code == FORGED { refusal.into_response() } else { refuse(refusal, body) };
    }
    let part = PartName { package, file, number };
    match expected(&hub, &part, &headers).await {
        Err(refusal) => refuse(refusal, body),
        Ok((expected, _on_its_way)) => match receive_part(&hub, &part, &expected, body).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::warn!(
                    package = %part.package,
                    file = %part.file,
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

/// What is known about a part before it arrives; refuses what could not be stored, before it is sent.
async fn expected(
    hub: &Hub,
    part: &PartName,
    headers: &HeaderMap,
) -> Result<(Expected, Option<OnItsWay>), StorageRefusal> {
    let length = auth_length(headers);
    let md5 = match headers.get("content-md5") {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(content_md5).ok_or_else(|| {
            StorageRefusal::new(StatusCode::BAD_REQUEST, "InvalidDigest", "Content-MD5 is not the MD5 of anything")
        })?),
    };
    let mut largest = hub.context.config.limits.max_chunk_size;
    // A small one is in memory until it is stored, and refused then.
    if length.is_some_and(|length| length <= SMALL_PART) {
        return Ok((Expected { largest, length, md5 }, None));
    }
    let bytes = length.unwrap_or_default();
    let begun = hub.server.arriving.begin(&part.file, part.number, bytes);
    let (on_its_way, others) = begun.ok_or(records::Error::InFlight)?;
    largest = largest.min(files::room(hub.database(), part.clone(), length, others).await?);
    free_space::check(&hub.context, bytes).await?;
    Ok((Expected { largest, length, md5 }, Some(on_its_way)))
}

fn auth_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok())
}

async fn receive_part(hub: &Hub, part: &PartName, expected: &Expected, body: Body) -> Result<Response, StorageRefusal> {
    let arrived = receive(&hub.context.storage.disk, part, expected, body.into_data_stream()).await?;
    let (size, etag) = (arrived.size, format!("\"{}\"", hex::encode(arrived.md5)));
    let place = match &arrived.kept {
        Kept::OnDisk(place) => Some(place.clone()),
        Kept::Here(_) => None,
    };
    match files::store_part(hub.database(), part.clone(), arrived).await {
        Ok(replaced) => removal::remove(&hub.context, Leftovers::part(part, replaced)),
        Err(error) => {
            // What may be written down all the same stays; the sweep decides later.
            if !error.is_unknown() {
                removal::remove(&hub.context, Leftovers::part(part, place));
            }
            return Err(error.into());
        }
    }
    tracing::debug!(package = %part.package, file = %part.file, part = part.number, bytes = size, "part stored");
    let etag = HeaderValue::from_str(&etag)
        .map_err(|_| StorageRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "InternalError", "no tag"))?;
    // JSON, like every successful response except 204: another client may parse it.
    Ok((StatusCode::OK, [(header::ETAG, etag)], axum::Json(Empty {})).into_response())
}

/// The MD5 out of a `Content-MD5` header.
fn content_md5(header: &str) -> Option<[u8; 16]> {
    base64::engine::general_purpose::STANDARD.decode(header.trim()).ok()?.try_into().ok()
}

pub(super) async fn read(
    Public(hub): Public,
    Id(package): Id<PackageId>,
    Id(file): Id<FileId>,
    address: Address,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, StorageRefusal> {
    check(&hub, (&package, &file), Action::Read(address.download), &address)?;
    let delivery = address.download.map(|number| Delivery::of(&hub, DownloadNumber(number)));
    ranges::answer(&hub, package, file, (&method, &headers), delivery).await.map_err(|refusal| match refusal.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            StorageRefusal::new(StatusCode::NOT_FOUND, "NoSuchKey", refusal.message)
        }
        _ => refusal.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_header_is_read() {
        let md5 = [0xab; 16];
        assert_eq!(content_md5("q6urq6urq6urq6urq6urqw=="), Some(md5));
        assert_eq!(content_md5("abc"), None);
    }
}
