//! The storage: what signed addresses lead to. Speaks as S3 does, since that is what clients of the protocol expect.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::files::{self, File};
use super::text_header;
use crate::hub::disk::{self, Written};
use crate::hub::error::Refusal;
use crate::hub::serve::App;
use crate::hub::{Hub, now};

/// Parts up to this many bytes live in the database: a thousand small files a second then cost a few dozen flushes.
const SMALL: u64 = 64 << 10;
/// The largest part, bytes.
const LARGEST_PART: u64 = 5 << 30;
/// Blocks that may wait between network and disk.
const WINDOW: usize = 16;
/// Bytes read from disk at once.
const BLOCK: u64 = 256 << 10;

#[derive(Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    expires: i64,
    #[serde(default)]
    signature: String,
}

/// Checks a signed address.
fn authorise(hub: &Hub, method: &str, path: &str, signed: &Signed) -> Result<(), Refusal> {
    let denied = |message: &str| Refusal::storage(StatusCode::FORBIDDEN, "AccessDenied", message);
    if !hub.inner.signer.allows(&format!("{method} {path}"), signed.expires, &signed.signature) {
        return Err(denied("Access Denied"));
    }
    if signed.expires < now() { Err(denied("Request has expired")) } else { Ok(()) }
}

pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Path((package, file)): Path<(String, String)>,
    Query(signed): Query<Signed>,
) -> Result<Response, Refusal> {
    authorise(&app.hub, "POST", &format!("/storage/{package}/{file}/begin"), &signed)?;
    let key = format!("{package}/{file}");
    let read = move |connection: &Connection| {
        connection
            .prepare_cached("SELECT upload_id FROM file WHERE id = ?1 AND package_id = ?2")?
            .query_row([&file, &package], |row| row.get::<_, String>(0))
            .optional()?
            .ok_or_else(no_such_upload)
    };
    let upload = app.hub.inner.database.read(read).await?;
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Bucket>hub</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
    );
    Ok(([(header::CONTENT_TYPE, "application/xml")], body).into_response())
}

fn no_such_upload() -> Refusal {
    Refusal::storage(StatusCode::NOT_FOUND, "NoSuchUpload", "the file was removed or is closed")
}

pub(super) async fn put_part(
    State(app): State<Arc<App>>,
    Path((package, file, number)): Path<(String, String, u32)>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    authorise(&app.hub, "PUT", &format!("/storage/{package}/{file}/parts/{number}"), &signed)?;
    let length = text_header(&headers, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    let length = length.ok_or_else(|| {
        Refusal::storage(StatusCode::LENGTH_REQUIRED, "MissingContentLength", "a part needs a Content-Length")
    })?;
    if length > LARGEST_PART {
        return Err(Refusal::storage(StatusCode::BAD_REQUEST, "EntityTooLarge", "a part has at most 5 GiB"));
    }
    let (written, content) = if length <= SMALL {
        let bytes = read_small(body, length).await?;
        (Written { size: length, md5: hex::encode(Md5::digest(&bytes)) }, Some(bytes))
    } else {
        require_open(&app.hub, &package, &file).await?;
        (store_large(&app.hub, &package, &file, number, length, body).await?, None)
    };
    check_digest(&headers, &written)?;
    let etag = format!("\"{}\"", written.md5);
    tracing::info!(package, file, part = number, bytes = length, "part stored");
    let write =
        move |connection: &Connection| record(connection, &package, &file, number, &written, content.as_deref());
    app.hub.inner.database.write(write).await?;
    Ok((StatusCode::OK, [(header::ETAG, etag)]).into_response())
}

async fn require_open(hub: &Hub, package: &str, file: &str) -> Result<(), Refusal> {
    let (package, file) = (package.to_owned(), file.to_owned());
    hub.inner.database.read(move |connection| is_open(connection, &package, &file)).await
}

fn is_open(connection: &Connection, package: &str, file: &str) -> Result<(), Refusal> {
    match files::find(connection, package, file) {
        Ok(known) if !known.finalized => Ok(()),
        _ => Err(no_such_upload()),
    }
}

fn record(
    connection: &Connection,
    package: &str,
    file: &str,
    number: u32,
    written: &Written,
    content: Option<&[u8]>,
) -> Result<(), Refusal> {
    is_open(connection, package, file)?;
    connection
        .prepare_cached(
            "INSERT INTO part (file_id, number, size, md5, content) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (file_id, number) DO UPDATE SET \
             size = excluded.size, md5 = excluded.md5, content = excluded.content",
        )?
        .execute(params![file, number, written.size.cast_signed(), written.md5, content])?;
    Ok(())
}

fn incomplete() -> Refusal {
    Refusal::storage(StatusCode::BAD_REQUEST, "IncompleteBody", "the body is not as long as its Content-Length")
}

async fn read_small(body: Body, length: u64) -> Result<Bytes, Refusal> {
    let mut blocks = body.into_data_stream();
    let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    while let Some(block) = blocks.next().await {
        bytes.extend_from_slice(&block.map_err(|_| incomplete())?);
    }
    if bytes.len() as u64 == length { Ok(bytes.freeze()) } else { Err(incomplete()) }
}

async fn store_large(
    hub: &Hub,
    package: &str,
    file: &str,
    number: u32,
    length: u64,
    body: Body,
) -> Result<Written, Refusal> {
    let path = hub.inner.disk.part(package, file, number);
    let (sender, receiver) = mpsc::channel(WINDOW);
    let writing = tokio::task::spawn_blocking(move || disk::write_part(&path, length, receiver));
    let mut blocks = body.into_data_stream();
    while let Some(block) = blocks.next().await {
        // A writer that gave up says why below.
        if sender.send(block.map_err(io::Error::other)).await.is_err() {
            break;
        }
    }
    drop(sender);
    let written = writing.await.map_err(|error| Refusal::internal(&error))?;
    written.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            tracing::error!("the storage is full");
            Refusal::storage(StatusCode::INSUFFICIENT_STORAGE, "InternalError", "the storage is full")
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::Other => incomplete(),
        _ => Refusal::internal(&error),
    })
}

/// Where the client says what it sent, it must be what arrived.
fn check_digest(headers: &HeaderMap, written: &Written) -> Result<(), Refusal> {
    let Some(claimed) = headers.get("content-md5").and_then(|value| value.to_str().ok()) else { return Ok(()) };
    let claimed = STANDARD.decode(claimed).map(hex::encode).unwrap_or_default();
    if claimed == written.md5 {
        Ok(())
    } else {
        Err(Refusal::storage(StatusCode::BAD_REQUEST, "BadDigest", "the body is not what its Content-MD5 says"))
    }
}

pub(super) async fn content(
    State(app): State<Arc<App>>,
    Path((package, id)): Path<(String, String)>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    authorise(&app.hub, "GET", &format!("/storage/{package}/{id}/content"), &signed)?;
    let read = move |connection: &Connection| {
        let file = files::find(connection, &package, &id)?;
        let mut statement =
            connection.prepare_cached("SELECT number, size, md5 FROM part WHERE file_id = ?1 ORDER BY number")?;
        let parts: Vec<StoredPart> = statement
            .query_map([&id], |row| {
                Ok(StoredPart { number: row.get(0)?, size: row.get::<_, i64>(1)?.unsigned_abs(), md5: row.get(2)? })
            })?
            .collect::<Result<_, _>>()?;
        Ok::<_, Refusal>((file, parts))
    };
    let (file, parts) = app.hub.inner.database.read(read).await?;
    serve_file(&app.hub, &file, parts, &headers)
}

/// A part of a file that is served.
struct StoredPart {
    number: u32,
    size: u64,
    md5: String,
}

fn serve_file(hub: &Hub, file: &File, parts: Vec<StoredPart>, headers: &HeaderMap) -> Result<Response, Refusal> {
    let tags: Vec<&str> = parts.iter().map(|part| part.md5.as_str()).collect();
    let etag = format!("\"{}-{}\"", hex::encode(Md5::digest(tags.concat())), parts.len());
    let asked = text_header(headers, &header::RANGE);
    // A range is of the file that the client knows; if that is another one, it gets this one whole.
    let current = text_header(headers, &header::IF_RANGE).is_none_or(|tag| tag == etag);
    let range = match asked.filter(|_| current).map(|text| parse_range(text, file.size)) {
        None | Some(Asked::Everything) => None,
        Some(Asked::Range(start, end)) => Some((start, end)),
        Some(Asked::Nothing) => {
            let unsatisfied = format!("bytes */{}", file.size);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, unsatisfied)]).into_response());
        }
    };
    let (start, end) = range.unwrap_or((0, file.size));
    let mut response = Response::builder()
        .status(if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK })
        .header(header::CONTENT_LENGTH, end - start)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_DISPOSITION, disposition(&file.name))
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, etag);
    if range.is_some() {
        response =
            response.header(header::CONTENT_RANGE, format!("bytes {start}-{}/{}", end.saturating_sub(1), file.size));
    }
    if let Some(time) = file.last_modified.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
        let text = time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response = response.header(header::LAST_MODIFIED, text);
    }
    let body = Body::from_stream(read_file(hub.clone(), file, parts, start, end));
    response.body(body).map_err(|error| Refusal::internal(&error))
}

/// The bytes from `start` to `end` of a file, block by block.
fn read_file(
    hub: Hub,
    file: &File,
    parts: Vec<StoredPart>,
    start: u64,
    end: u64,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + use<> {
    let mut slices = Vec::new();
    let mut offset = 0;
    for part in parts {
        let (from, until) = (start.max(offset), end.min(offset + part.size));
        if from < until {
            slices.push((part.number, from - offset, until - offset));
        }
        offset += part.size;
    }
    let (package, id) = (file.package.clone(), file.id.clone());
    stream::iter(slices)
        .then(move |(number, from, until)| {
            let (hub, package, id) = (hub.clone(), package.clone(), id.clone());
            async move { read_slice(hub, package, id, number, from, until).await }
        })
        .flatten()
}

type Blocks = stream::BoxStream<'static, io::Result<Bytes>>;

async fn read_slice(hub: Hub, package: String, id: String, number: u32, from: u64, until: u64) -> Blocks {
    let path = hub.inner.disk.part(&package, &id, number);
    let stored = hub
        .inner
        .database
        .read(move |connection| {
            let content: Option<Vec<u8>> = connection
                .prepare_cached("SELECT content FROM part WHERE file_id = ?1 AND number = ?2")?
                .query_row(params![id, number], |row| row.get(0))?;
            Ok::<_, Refusal>(content)
        })
        .await;
    let opened = match stored {
        Ok(Some(content)) => {
            let length = content.len();
            let index = |at: u64| usize::try_from(at).unwrap_or(length).min(length);
            let bytes = Bytes::from(content).slice(index(from)..index(until));
            return stream::iter([Ok(bytes)]).boxed();
        }
        Ok(None) => tokio::task::spawn_blocking(move || std::fs::File::open(path)).await,
        Err(refusal) => Ok(Err(io::Error::other(refusal.message().to_owned()))),
    };
    match opened {
        Ok(Ok(file)) => blocks_of(Arc::new(file), from, until).boxed(),
        Ok(Err(error)) => stream::iter([Err(error)]).boxed(),
        Err(error) => stream::iter([Err(io::Error::other(error))]).boxed(),
    }
}

fn blocks_of(file: Arc<std::fs::File>, from: u64, until: u64) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(from, move |offset| {
        let file = Arc::clone(&file);
        async move {
            if offset >= until {
                return Ok(None);
            }
            let length = (until - offset).min(BLOCK);
            let length = usize::try_from(length).unwrap_or_default();
            let read = tokio::task::spawn_blocking(move || disk::read_part(&file, offset, length));
            let block = read.await.map_err(io::Error::other)??;
            Ok(Some((block, offset + length as u64)))
        }
    })
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// From the first up to, without, the second byte.
    Range(u64, u64),
    /// Not understood, or several ranges: the whole file is a right answer.
    Everything,
    /// Nothing that exists.
    Nothing,
}

/// Reads a `Range` header for a file of `size` bytes (RFC 9110, section 14).
fn parse_range(text: &str, size: u64) -> Asked {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Everything;
    };
    let (first, last) = (first.trim(), last.trim());
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.is_empty() => (start, size),
        (Err(_), Ok(length)) if first.is_empty() => (size.saturating_sub(length), size),
        _ => return Asked::Everything,
    };
    if start < end { Asked::Range(start, end) } else { Asked::Nothing }
}

/// Names the file for saving, in ASCII for old clients and in full for the others (RFC 6266, RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|character| {
            if character.is_ascii_graphic() && !matches!(character, '"' | '\\' | '%') || character == ' ' {
                character
            } else {
                '_'
            }
        })
        .collect();
    let mut full = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            full.push(char::from(byte));
        } else {
            full.push('%');
            full.push_str(&hex::encode_upper([byte]));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            ("bytes=0-9", Asked::Range(0, 10)),
            ("bytes=90-", Asked::Range(90, 100)),
            ("bytes=-10", Asked::Range(90, 100)),
            ("bytes=-1000", Asked::Range(0, 100)),
            ("bytes=50-5000", Asked::Range(50, 100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=9-5", Asked::Everything),
            ("bytes=0-1,5-6", Asked::Everything),
            ("items=0-1", Asked::Everything),
        ];
        for (text, asked) in cases {
            assert_eq!(parse_range(text, 100), asked, "{text}");
        }
    }

    #[test]
    fn no_name_breaks_out_of_the_header() {
        assert_eq!(
            disposition("naïve \"x\".mov"),
            "attachment; filename=\"na_ve _x_.mov\"; filename*=UTF-8''na%C3%AFve%20%22x%22.mov"
        );
        assert!(!disposition("a\r\nSet-Cookie: x").contains('\n'));
    }
}
