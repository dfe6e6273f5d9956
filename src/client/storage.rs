//! The storage behind the cloud: presigned URLs, parts, ETags.

use bytes::Bytes;
use futures_util::Stream;
use masv_protocol::{Blueprint, MultipartId, SecretUrl};
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Body, Method, RequestBuilder};
use serde::Deserialize;
use url::Url;

use super::{Call, Cloud, CloudError, LARGEST_ERROR, read_answer};

/// Host and port of a presigned URL: failures are tracked per host.
#[must_use]
pub fn storage_host(address: &SecretUrl) -> String {
    Url::parse(address.expose()).map_or_else(|_| String::new(), |url| url.authority().to_owned())
}

/// The URL that a cloud presigned, if it can be called.
pub(super) fn presigned(call: Call, address: &SecretUrl) -> Result<Url, CloudError> {
    let garbled = |reason: &str| CloudError::Garbled { call, reason: reason.to_owned() };
    let url = Url::parse(address.expose()).map_err(|_| garbled("an address that is not valid"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(garbled("an address that is not HTTP")) }
}

/// The bytes of a part, as they are read from disk.
pub struct PartBody {
    /// The total number of bytes.
    pub length: u64,
    body: Body,
}

impl PartBody {
    /// A part of `length` bytes from `stream`.
    pub fn streaming<S, E>(length: u64, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        Self { length, body: Body::wrap_stream(stream) }
    }

    /// A part that is already in memory.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, body: bytes.into() }
    }
}

/// The storage's receipt for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its ETag, verbatim.
    pub tag: String,
    /// It stores the part encrypted with its own key (SSE-KMS) or the sender's (SSE-C): the ETag is not a digest of what was sent,
    /// although it looks like one.
    pub sealed: bool,
}

impl Receipt {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let sealed = text("x-amz-server-side-encryption").is_some_and(|how| how.starts_with("aws:kms"))
            || headers.contains_key("x-amz-server-side-encryption-customer-algorithm");
        Some(Self { tag: text("etag")?.to_owned(), sealed })
    }
}

#[derive(Deserialize)]
struct InitiateMultipartUploadResult {
    #[serde(rename = "UploadId")]
    upload_id: String,
}

impl Cloud {
    /// Starts a file in the storage; returns the storage's id of the multipart upload.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn begin_file(&self, blueprint: &Blueprint) -> Result<MultipartId, CloudError> {
        let call = Call::BeginFile;
        let request = self.storage_request(call, blueprint)?.timeout(self.shared.patience.call);
        let request = match &blueprint.body {
            Some(body) => request.body(body.clone()),
            None => request.header(CONTENT_LENGTH, 0),
        };
        let response = request.send().await.map_err(|error| CloudError::transport(call, &error))?;
        let answer = read_answer(call, response, LARGEST_ERROR).await?;
        multipart_id(&answer).map_err(|reason| CloudError::Garbled { call, reason })
    }

    /// Sends a part; returns the storage's receipt. The caller decides how long it may take.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn send_part(&self, blueprint: &Blueprint, part: PartBody) -> Result<Receipt, CloudError> {
        let call = Call::SendPart;
        let request = self.storage_request(call, blueprint)?.header(CONTENT_LENGTH, part.length).body(part.body);
        let response = request.send().await.map_err(|error| CloudError::transport(call, &error))?;
        let receipt = Receipt::read(response.headers());
        read_answer(call, response, LARGEST_ERROR).await?;
        receipt.ok_or_else(|| CloudError::Garbled { call, reason: "it has no ETag".to_owned() })
    }

    fn storage_request(&self, call: Call, blueprint: &Blueprint) -> Result<RequestBuilder, CloudError> {
        let method = Method::from_bytes(blueprint.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| CloudError::Garbled { call, reason: "a method that does not exist".to_owned() })?;
        let request = self.shared.storage.request(method, presigned(call, &blueprint.url)?);
        Ok(blueprint.header_texts().fold(request, |request, (name, value)| request.header(name, value)))
    }
}

/// Reads the id from S3's `InitiateMultipartUploadResult`.
pub(super) fn multipart_id(xml: &[u8]) -> Result<MultipartId, String> {
    let text = std::str::from_utf8(xml).map_err(|error| error.to_string())?;
    let answer: InitiateMultipartUploadResult = quick_xml::de::from_str(text).map_err(|error| error.to_string())?;
    if answer.upload_id.is_empty() { Err("the UploadId is empty".to_owned()) } else { Ok(answer.upload_id.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_what_is_kept_encrypted_proves_nothing() {
        let read = |headers: &[(&'static str, &'static str)]| {
            Receipt::read(
                &headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            )
        };
        let tag = ("etag", "\"d41d8cd98f00b204e9800998ecf8427e\"");
        assert!(!read(&[tag]).unwrap().sealed);
        // SSE-S3 does not change the ETag.
        assert!(!read(&[tag, ("x-amz-server-side-encryption", "AES256")]).unwrap().sealed);
        assert!(read(&[tag, ("x-amz-server-side-encryption", "aws:kms")]).unwrap().sealed);
        assert!(read(&[tag, ("x-amz-server-side-encryption", "aws:kms:dsse")]).unwrap().sealed);
        assert!(read(&[tag, ("x-amz-server-side-encryption-customer-algorithm", "AES256")]).unwrap().sealed);
        assert_eq!(read(&[]), None);
    }
}
