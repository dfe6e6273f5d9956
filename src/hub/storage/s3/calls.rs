//! The hub's own calls of its bucket. Each may be repeated without harm and is, a few times, when the bucket has no time
//! or the network fails.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use masv_protocol::{FileId, MultipartId, PackageId};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rusty_s3::S3Action;
use rusty_s3::actions::{
    CompleteMultipartUploadResponse, DeleteObjectsResponse, ListObjectsV2, ListParts, ObjectIdentifier,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use url::Url;

use super::{Bucket, OWN_CALL, S3Error};
use crate::stored::StoredPart;

/// Connecting that takes longer than this has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A response without any data for this long has failed. Joining the parts of a large file may take minutes.
const STALL_LIMIT: Duration = Duration::from_secs(5 * 60);
/// How often a call is made before it has failed.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The largest answer that is read into memory, bytes: a thousand keys of the longest.
const LARGEST_ANSWER: usize = 8 << 20;
/// How many objects one call lists.
const LISTED_AT_ONCE: usize = 1000;
/// How many objects one call removes.
const REMOVED_AT_ONCE: usize = 1000;
/// Blocks that are read ahead of a reader.
const AHEAD: usize = 2;

/// An object of the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub size: u64,
    /// Without quotes.
    pub etag: String,
}

/// An entry of ours in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub package: PackageId,
    pub file: FileId,
    /// For an incomplete multipart upload; absent for an object.
    pub upload: Option<MultipartId>,
    /// Since when it is there.
    pub since: Option<Timestamp>,
    /// Bytes of an object, where the bucket says.
    pub size: Option<u64>,
    /// The tag of an object, without quotes; empty where the bucket does not say.
    pub etag: String,
}

/// The entries of a listing, and where it continues.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub found: Vec<Found>,
    pub next: Option<Next>,
}

/// Where a listing continues.
#[derive(Debug, Clone)]
pub(crate) struct Next(String, String);

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

#[derive(Deserialize)]
struct Uploads {
    #[serde(rename = "IsTruncated", default)]
    truncated: bool,
    #[serde(rename = "NextKeyMarker", default)]
    next_key: String,
    #[serde(rename = "NextUploadIdMarker", default)]
    next_upload: String,
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
struct Upload {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "UploadId")]
    id: String,
    #[serde(rename = "Initiated", default)]
    initiated: String,
}

pub(super) fn client(endpoint: &Url) -> reqwest::Result<reqwest::Client> {
    let local = match endpoint.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("masv-hub/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(STALL_LIMIT)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none());
    // A proxy from the environment cannot reach our loopback.
    if local { builder.no_proxy() } else { builder }.build()
}

fn unreachable(error: &reqwest::Error) -> S3Error {
    // The innermost cause: the outer ones show the address, and in it the signature.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    S3Error::Unreachable(if error.is_timeout() { "no response in time".to_owned() } else { cause.to_string() })
}

pub(super) fn garbled(error: &dyn std::fmt::Display) -> S3Error {
    S3Error::Garbled(error.to_string())
}

/// The error in a response; S3 may find one only after it has started to respond with 200.
fn refusal(status: StatusCode, body: &str) -> S3Error {
    let status = status.as_u16();
    match quick_xml::de::from_str::<Refused>(body) {
        Ok(Refused { code, message }) => S3Error::Refused { status, code, message },
        Err(_) => S3Error::Refused { status, code: format!("Http{status}"), message: String::new() },
    }
}

pub(super) async fn text(mut response: Response) -> Result<String, S3Error> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + bytes.len() > LARGEST_ANSWER {
            return Err(S3Error::Garbled("it is too long".to_owned()));
        }
        body.extend_from_slice(&bytes);
    }
    String::from_utf8(body).map_err(|error| garbled(&error))
}

impl Bucket {
    /// Makes a call until it succeeds, is refused for good, or has failed often enough.
    pub(super) async fn call(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, S3Error> {
        let mut attempt = 1;
        loop {
            let outcome = match request().send().await {
                Ok(response) if response.status().is_success() => Ok(response),
                Ok(response) => {
                    let status = response.status();
                    Err(refusal(status, &text(response).await.unwrap_or_default()))
                }
                Err(error) => Err(unreachable(&error)),
            };
            match outcome {
                Err(error) if error.is_retryable() && attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "the bucket failed, trying again");
                    tokio::time::sleep(FIRST_WAIT * 2_u32.pow(attempt - 1)).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn get(&self, address: impl Fn() -> Url) -> Result<String, S3Error> {
        text(self.call(|| self.shared.http.get(address())).await?).await
    }

    /// Whether the bucket is there and lets us in.
    pub(crate) async fn check(&self) -> Result<(), S3Error> {
        self.objects("", None, 1).await.map(drop)
    }

    /// The id of the hub that our part of the bucket belongs to: this one, if it belonged to none.
    pub(crate) async fn owner(&self, hub: &str) -> Result<String, S3Error> {
        let key = format!("{}.hub", self.shared.prefix);
        let known = || self.shared.own.get_object(Some(&self.shared.credentials), &key).sign(OWN_CALL);
        match self.get(known).await {
            Err(error) if error.status() == Some(404) => {}
            known => return known.map(|id| id.trim().to_owned()),
        }
        let own = || self.shared.own.put_object(Some(&self.shared.credentials), &key).sign(OWN_CALL);
        self.call(|| self.shared.http.put(own()).body(hub.to_owned())).await?;
        // Of two that take it at the same time, the one that is there now has it.
        self.get(known).await.map(|id| id.trim().to_owned())
    }

    /// The parts that a multipart upload has so far, by number.
    pub(crate) async fn parts(
        &self,
        package: &PackageId,
        file: &FileId,
        upload: &MultipartId,
    ) -> Result<Vec<StoredPart>, S3Error> {
        let key = self.key(package, file);
        let (mut parts, mut marker) = (Vec::new(), None);
        loop {
            let address = || {
                let mut action =
                    ListParts::new(&self.shared.own, Some(&self.shared.credentials), &key, upload.as_str());
                if let Some(marker) = marker {
                    action.set_part_number_marker(marker);
                }
                action.sign(OWN_CALL)
            };
            let listed = ListParts::parse_response(&self.get(address).await?).map_err(|error| garbled(&error))?;
            parts.extend(listed.parts.into_iter().map(|part| StoredPart {
                number: part.number.into(),
                size: part.size,
                etag: part.etag,
            }));
            match listed.next_part_number_marker {
                Some(next) if Some(next) > marker => marker = Some(next),
                _ => return Ok(parts),
            }
        }
    }

    /// Makes one object of the parts with these tags, from part 1 on.
    pub(crate) async fn complete(
        &self,
        package: &PackageId,
        file: &FileId,
        upload: &MultipartId,
        etags: &[String],
    ) -> Result<(), S3Error> {
        let key = self.key(package, file);
        let action = || {
            let etags = etags.iter().map(String::as_str);
            self.shared.own.complete_multipart_upload(Some(&self.shared.credentials), &key, upload.as_str(), etags)
        };
        let body = action().body();
        let response = self.call(|| self.shared.http.post(action().sign(OWN_CALL)).body(body.clone())).await?;
        let (status, answer) = (response.status(), text(response).await?);
        match CompleteMultipartUploadResponse::parse(&answer) {
            Ok(_) => Ok(()),
            Err(error) => match refusal(status, &answer) {
                S3Error::Refused { code, message, .. } if !code.starts_with("Http") => {
                    // It came with a 200, but reports an internal failure.
                    let status = if code == "InternalError" || code == "SlowDown" { 503 } else { 400 };
                    Err(S3Error::Refused { status, code, message })
                }
                _ => Err(garbled(&error)),
            },
        }
    }

    /// Aborts a multipart upload; a missing one is not an error.
    pub(crate) async fn abort(&self, package: &PackageId, file: &FileId, upload: &MultipartId) -> Result<(), S3Error> {
        let key = self.key(package, file);
        let address = || {
            self.shared.own.abort_multipart_upload(Some(&self.shared.credentials), &key, upload.as_str()).sign(OWN_CALL)
        };
        match self.call(|| self.shared.http.delete(address())).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// The object of a file, if it is there.
    pub(crate) async fn stored(&self, package: &PackageId, file: &FileId) -> Result<Option<Stored>, S3Error> {
        let key = self.key(package, file);
        let address = || self.shared.own.head_object(Some(&self.shared.credentials), &key).sign(OWN_CALL);
        let response = match self.call(|| self.shared.http.request(Method::HEAD, address())).await {
            Err(error) if error.status() == Some(404) => return Ok(None),
            outcome => outcome?,
        };
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        // `content_length` speaks of the body, and there is none.
        let size = header(reqwest::header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| S3Error::Garbled("an object without a length".to_owned()))?;
        let etag = header(reqwest::header::ETAG).unwrap_or_default().trim_matches('"').to_owned();
        Ok(Some(Stored { size, etag }))
    }

    /// Removes the objects of these files; missing ones are not an error.
    pub(crate) async fn remove(&self, files: &[(PackageId, FileId)]) -> Result<(), S3Error> {
        for files in files.chunks(REMOVED_AT_ONCE) {
            let objects: Vec<ObjectIdentifier> =
                files.iter().map(|(package, file)| ObjectIdentifier::new(self.key(package, file))).collect();
            let action = || {
                let mut action = self.shared.own.delete_objects(Some(&self.shared.credentials), objects.iter());
                action.set_quiet(true);
                action
            };
            let (body, md5) = action().body_with_md5();
            let request = || {
                let request = self.shared.http.post(action().sign(OWN_CALL)).header("content-md5", &md5);
                request.body(body.clone())
            };
            let answer = text(self.call(request).await?).await?;
            let removed = DeleteObjectsResponse::parse(&answer).map_err(|error| garbled(&error))?;
            if let Some(failed) = removed.errors.into_iter().find(|error| error.code != "NoSuchKey") {
                return Err(S3Error::Refused { status: 400, code: failed.code, message: failed.message });
            }
        }
        Ok(())
    }

    /// A page of the objects whose keys begin with `start` after our prefix.
    pub(crate) async fn objects(&self, start: &str, next: Option<Next>, most: usize) -> Result<Page, S3Error> {
        let address = || {
            let mut action = ListObjectsV2::new(&self.shared.own, Some(&self.shared.credentials));
            action.with_prefix(format!("{}{start}", self.shared.prefix));
            action.with_max_keys(most);
            if let Some(Next(token, _)) = &next {
                action.with_continuation_token(token.clone());
            }
            action.sign(OWN_CALL)
        };
        let listed = ListObjectsV2::parse_response(&self.get(address).await?).map_err(|error| garbled(&error))?;
        let found = listed.contents.into_iter().filter_map(|object| {
            let found = self.ours(&object.key, None, object.last_modified.as_deref().unwrap_or_default())?;
            let etag = object.etag.unwrap_or_default().trim_matches('"').to_owned();
            Some(Found { size: object.size, etag, ..found })
        });
        Ok(Page {
            found: found.collect(),
            next: listed.next_continuation_token.map(|token| Next(token, String::new())),
        })
    }

    /// The objects of a package's files, by file.
    pub(crate) async fn of_package(&self, package: &PackageId) -> Result<HashMap<FileId, Found>, S3Error> {
        let (mut all, mut next) = (HashMap::new(), None);
        loop {
            let page = self.objects(&format!("{package}/"), next, LISTED_AT_ONCE).await?;
            all.extend(page.found.into_iter().map(|found| (found.file.clone(), found)));
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// A page of the multipart uploads that are not complete, of keys that begin with `start` after our prefix.
    pub(crate) async fn uploads(&self, start: &str, next: Option<Next>) -> Result<Page, S3Error> {
        let prefix = format!("{}{start}", self.shared.prefix);
        let address = || {
            // Sorted by name, as the signature requires.
            let mut query = Vec::new();
            if let Some(Next(key, upload)) = &next {
                query.push(("key-marker", key.as_str()));
                query.extend([("prefix", prefix.as_str()), ("upload-id-marker", upload.as_str()), ("uploads", "")]);
            } else {
                query.extend([("prefix", prefix.as_str()), ("uploads", "")]);
            }
            let (own, credentials) = (&self.shared.own, &self.shared.credentials);
            rusty_s3::signing::sign(
                &Timestamp::now(),
                rusty_s3::Method::Get,
                own.base_url().clone(),
                credentials.key(),
                credentials.secret(),
                credentials.token(),
                own.region(),
                OWN_CALL.as_secs(),
                query.into_iter(),
                std::iter::empty(),
            )
        };
        let listed: Uploads = quick_xml::de::from_str(&self.get(address).await?).map_err(|error| garbled(&error))?;
        let found =
            listed.uploads.into_iter().filter_map(|upload| self.ours(&upload.key, Some(upload.id), &upload.initiated));
        let found: Vec<Found> = found.collect();
        let next =
            (listed.truncated && !listed.next_key.is_empty()).then_some(Next(listed.next_key, listed.next_upload));
        Ok(Page { found, next })
    }

    /// What a key of the bucket is to us; nothing when it is none of ours.
    fn ours(&self, key: &str, upload: Option<String>, since: &str) -> Option<Found> {
        let (package, file) = key.strip_prefix(self.shared.prefix.as_str())?.split_once('/')?;
        Some(Found {
            package: package.into(),
            file: file.into(),
            upload: upload.map(MultipartId::from),
            since: since.parse().ok(),
            size: None,
            etag: String::new(),
        })
    }

    /// `length` bytes from `start` of a file. A broken connection is resumed where it broke.
    pub(crate) fn read(
        &self,
        package: &PackageId,
        file: &FileId,
        start: u64,
        length: u64,
    ) -> impl Stream<Item = Result<Bytes, S3Error>> + Send + Unpin + 'static {
        let (blocks, mut receiver) = mpsc::channel(AHEAD);
        let (bucket, key) = (self.clone(), self.key(package, file));
        tokio::spawn(async move {
            if let Err(error) = bucket.read_into(&key, start, length, &blocks).await {
                let _ = blocks.send(Err(error)).await;
            }
        });
        futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
    }

    async fn read_into(
        &self,
        key: &str,
        mut at: u64,
        length: u64,
        blocks: &mpsc::Sender<Result<Bytes, S3Error>>,
    ) -> Result<(), S3Error> {
        let end = at.saturating_add(length);
        let mut attempt = 1;
        while at < end {
            let before = at;
            let range = format!("bytes={at}-{}", end - 1);
            let address = || self.shared.own.get_object(Some(&self.shared.credentials), key).sign(OWN_CALL);
            let response = self.call(|| self.shared.http.get(address()).header("range", &range)).await?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(S3Error::Garbled("a whole object instead of the requested range".to_owned()));
            }
            let mut body = response.bytes_stream();
            let broken = loop {
                match body.next().await {
                    Some(Ok(bytes)) => {
                        at += bytes.len() as u64;
                        if at > end {
                            return Err(S3Error::Garbled("more than was requested".to_owned()));
                        }
                        if blocks.send(Ok(bytes)).await.is_err() {
                            return Ok(());
                        }
                    }
                    Some(Err(error)) => break unreachable(&error),
                    None => break S3Error::Unreachable("the response is truncated".to_owned()),
                }
            };
            if at < end {
                attempt = if at > before { 1 } else { attempt + 1 };
                if attempt > ATTEMPTS {
                    return Err(broken);
                }
                tokio::time::sleep(FIRST_WAIT * attempt).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_of_uploads_are_read_with_and_without_any() {
        let text = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <Bucket>b</Bucket><KeyMarker/><UploadIdMarker/><NextKeyMarker>p/P/F</NextKeyMarker>\
                    <NextUploadIdMarker>U</NextUploadIdMarker><MaxUploads>1</MaxUploads><IsTruncated>true</IsTruncated>\
                    <Upload><Key>p/P/F</Key><UploadId>U</UploadId><Initiator><ID>x</ID></Initiator>\
                    <Initiated>2026-11-24T09:22:44.000Z</Initiated></Upload></ListMultipartUploadsResult>";
        let listed: Uploads = quick_xml::de::from_str(text).unwrap();
        assert_eq!((listed.truncated, listed.next_key.as_str(), listed.next_upload.as_str()), (true, "p/P/F", "U"));
        assert_eq!((listed.uploads[0].key.as_str(), listed.uploads[0].id.as_str()), ("p/P/F", "U"));
        assert!(listed.uploads[0].initiated.parse::<Timestamp>().is_ok());
        let none: Uploads = quick_xml::de::from_str("<ListMultipartUploadsResult/>").unwrap();
        assert!(!none.truncated && none.uploads.is_empty());
    }

    #[test]
    fn refusals_say_what_the_bucket_said() {
        let error = refusal(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
        assert!(error.is("AccessDenied") && !error.is_retryable());
        let error = refusal(StatusCode::SERVICE_UNAVAILABLE, "");
        assert!(error.is("Http503") && error.is_retryable());
    }
}
