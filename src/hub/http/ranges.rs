//! Responses with content: complete, one range of it, or not at all because the client has it; or, for a file in the bucket, with
//! where it can be read.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use jiff::Timestamp;
use masv_protocol::{FileId, PackageId};

use super::deliveries::{Delivery, watched};
use super::presence;
use super::refusal::Refusal;
use crate::Hub;
use crate::context::Context;
use crate::records::downloads::Content;
use crate::records::files::{self, FileRow, PieceSource};
use crate::storage::{self, Piece, Source};
use crate::stored::{BucketFile, PartName};

/// What a client requests of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// First byte and how many.
    Range(u64, u64),
    /// No byte of it is there.
    Beyond,
}

/// What to respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The client already has it.
    Unchanged,
    /// The requested range does not exist.
    Beyond,
    /// These bytes.
    Content { status: StatusCode, start: u64, length: u64 },
}

/// The response, without its content.
pub(crate) struct Head {
    pub name: String,
    pub kind: &'static str,
    pub size: u64,
    /// With its quotes.
    pub etag: String,
    pub modified: Timestamp,
}

/// Answers with a finalized file of a package that is.
pub(crate) async fn answer(
    hub: &Hub,
    package: PackageId,
    file: FileId,
    (method, headers): (&Method, &HeaderMap),
    delivery: Option<Delivery>,
) -> Result<Response, Refusal> {
    let row = files::get_readable(hub.database(), package.clone(), file).await?;
    presence::check_not_lost(&row)?;
    if hub.context.is_read_from_bucket(row.in_bucket) && *method == Method::GET {
        let disposition = attachment(&row.name);
        let life = hub.context.config.address_life;
        if let Some(delivery) = &delivery {
            delivery.hand_out(&row.id).await?;
        }
        let address = hub.context.bucket()?.read_address(&package, &row.id, &disposition, life);
        let head = [(header::LOCATION, address.as_str()), (header::CACHE_CONTROL, "no-store")];
        return Ok((StatusCode::FOUND, head).into_response());
    }
    content(hub, package, row, (method, headers), (delivery, "application/octet-stream")).await
}

/// The content of a file, through the hub wherever it is, as that kind of content.
pub(crate) async fn content(
    hub: &Hub,
    package: PackageId,
    row: FileRow,
    (method, headers): (&Method, &HeaderMap),
    (delivery, kind): (Option<Delivery>, &'static str),
) -> Result<Response, Refusal> {
    let pieces = pieces(&hub.context, &package, &row).await?;
    let head = Head {
        etag: format!("\"{}\"", row.etag.as_deref().unwrap_or(row.id.as_str())),
        name: row.name,
        kind,
        size: row.size,
        modified: row.last_modified,
    };
    let asked = head.asked(headers);
    if let Asked::Content { start, length, .. } = asked {
        let found = storage::check(&pieces, start, length).await;
        presence::told(&package, &row.id, &head.name, found)?;
    }
    let small = small_parts(&hub.context);
    let what = Content::File(row.id);
    head.respond(asked, method, |start, length| {
        Body::from_stream(watched(delivery, what, start, storage::stream(pieces, start, length, small)))
    })
}

/// Refuses a file with a missing or changed part.
pub(crate) async fn check_whole(hub: &Hub, package: &PackageId, row: &FileRow) -> Result<(), Refusal> {
    let pieces = pieces(&hub.context, package, row).await?;
    presence::told(package, &row.id, &row.name, storage::check(&pieces, 0, row.size).await)
}

/// The parts of a file, for reading.
pub(crate) async fn pieces(context: &Context, package: &PackageId, row: &FileRow) -> Result<Vec<Piece>, Refusal> {
    if row.in_bucket {
        let file = BucketFile { package: package.clone(), file: row.id.clone(), upload: None };
        let source = Source::Bucket(context.bucket()?.clone(), file);
        return Ok(vec![Piece { size: row.size, source }]);
    }
    let pieces = files::pieces(&context.database, row).await?.into_iter().map(|piece| {
        let source = match piece.source {
            PieceSource::Database(key) => Source::Database(key),
            PieceSource::Disk(number, place) => {
                let part = PartName { package: package.clone(), file: row.id.clone(), number };
                Source::Disk(context.storage.disk.path(&part, &place))
            }
        };
        Piece { size: piece.size, source }
    });
    Ok(pieces.collect())
}

/// Reads small parts out of the database.
pub(crate) fn small_parts(
    context: &Context,
) -> impl Fn(i64) -> BoxFuture<'static, io::Result<Bytes>> + Send + Sync + 'static {
    let database = context.database.clone();
    move |key| {
        let database = database.clone();
        async move { files::small_part(&database, key).await.map(Bytes::from).map_err(io::Error::other) }.boxed()
    }
}

impl Head {
    /// The response to a request with these headers.
    pub(crate) fn asked(&self, headers: &HeaderMap) -> Asked {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let known = |given: &str| given == "*" || given.split(',').any(|one| one.trim() == self.etag);
        if text(header::IF_NONE_MATCH).is_some_and(known) {
            return Asked::Unchanged;
        }
        let modified = http_date(self.modified);
        let unchanged = text(header::IF_RANGE).is_none_or(|given| given == self.etag || given == modified);
        let wanted = match text(header::RANGE) {
            Some(range) if unchanged => wanted(range, self.size),
            _ => Wanted::Whole,
        };
        match wanted {
            Wanted::Whole => Asked::Content { status: StatusCode::OK, start: 0, length: self.size },
            Wanted::Range(start, length) => Asked::Content { status: StatusCode::PARTIAL_CONTENT, start, length },
            Wanted::Beyond => Asked::Beyond,
        }
    }

    /// The answer; `body` gives the bytes of a range.
    pub(crate) fn respond(
        &self,
        asked: Asked,
        method: &Method,
        body: impl FnOnce(u64, u64) -> Body,
    ) -> Result<Response, Refusal> {
        let (status, start, length) = match asked {
            Asked::Content { status, start, length } => (status, start, length),
            Asked::Unchanged => {
                return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, &self.etag)]).into_response());
            }
            Asked::Beyond => {
                let range = format!("bytes */{}", self.size);
                return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response());
            }
        };
        let head = [
            (header::CONTENT_TYPE, self.kind.to_owned()),
            (header::CONTENT_LENGTH, length.to_string()),
            (header::CONTENT_DISPOSITION, attachment(&self.name)),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::ETAG, self.etag.clone()),
            (header::LAST_MODIFIED, http_date(self.modified)),
            (header::CACHE_CONTROL, "private, no-transform".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
        ];
        // A HEAD request does not read anything.
        let body = if *method == Method::HEAD { Body::empty() } else { body(start, length) };
        let mut response = (status, head, body).into_response();
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {start}-{}/{}", start + length - 1, self.size);
            let range = HeaderValue::from_str(&range).map_err(|error| Refusal::internal(&error))?;
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        Ok(response)
    }
}

/// Parses a `Range` header. Anything but one plain byte range means the whole file, as HTTP allows.
fn wanted(header: &str, size: u64) -> Wanted {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            None => Wanted::Whole,
            Some(0) => Wanted::Beyond,
            Some(_) if size == 0 => Wanted::Beyond,
            Some(suffix) => Wanted::Range(size - suffix.min(size), suffix.min(size)),
        },
        (first, last) => match (number(first), number(last), last.is_empty()) {
            (Some(first), _, true) if first < size => Wanted::Range(first, size - first),
            (Some(first), Some(last), _) if first <= last && first < size => {
                Wanted::Range(first, last.min(size - 1) - first + 1)
            }
            (Some(first), None, true) if first >= size => Wanted::Beyond,
            (Some(first), Some(last), _) if first <= last => Wanted::Beyond,
            _ => Wanted::Whole,
        },
    }
}

/// A file name for the download: in full as in RFC 5987, and for old clients in plain ASCII.
pub(crate) fn attachment(name: &str) -> String {
    disposition("attachment", name)
}

/// What a browser is to do with a file (`attachment` or `inline`), and its name.
pub(crate) fn disposition(what: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|character| match character {
            '"' | '\\' | '/' | '%' => '_',
            ' '..='~' => character,
            _ => '_',
        })
        .collect();
    let mut full = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'!'
            | b'#'
            | b'$'
            | b'&'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~' => full.push(char::from(byte)),
            _ => {
                full.push('%');
                full.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    format!("{what}; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

/// A time as HTTP headers have it.
fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_http_has_them() {
        let cases = [
            ("bytes=0-0", 10, Wanted::Range(0, 1)),
            ("bytes=2-5", 10, Wanted::Range(2, 4)),
            ("bytes=2-", 10, Wanted::Range(2, 8)),
            ("bytes=-3", 10, Wanted::Range(7, 3)),
            ("bytes=-30", 10, Wanted::Range(0, 10)),
            ("bytes=9-99", 10, Wanted::Range(9, 1)),
            ("bytes=10-", 10, Wanted::Beyond),
            ("bytes=10-12", 10, Wanted::Beyond),
            ("bytes=-0", 10, Wanted::Beyond),
            ("bytes=0-", 0, Wanted::Beyond),
            ("bytes=-1", 0, Wanted::Beyond),
            ("bytes=5-2", 10, Wanted::Whole),
            ("bytes=0-1,3-4", 10, Wanted::Whole),
            ("bytes=a-b", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("lines=0-1", 10, Wanted::Whole),
            ("bytes=18446744073709551615-", 10, Wanted::Beyond),
            ("bytes=0-18446744073709551615", 10, Wanted::Range(0, 10)),
            ("bytes=0-18446744073709551616", 10, Wanted::Whole),
        ];
        for (header, size, expected) in cases {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn names_survive_the_header() {
        assert_eq!(
            attachment("naïve \"1\" 50%.mov"),
            "attachment; filename=\"na_ve _1_ 50_.mov\"; filename*=UTF-8''na%C3%AFve%20%221%22%2050%25.mov"
        );
    }

    #[test]
    fn dates_as_http_has_them() {
        assert_eq!(http_date(Timestamp::from_second(784_111_777).unwrap()), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
