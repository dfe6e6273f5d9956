//! Blueprints: requests prepared by a server, with which content goes directly to its storage.
//!
//! Documented by the service. The storage's own responses are those of S3: the response to the blueprint that starts a file is an
//! `InitiateMultipartUploadResult` in XML, the one to a part has its `ETag`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{SecretUrl, lenient};

/// A request to the storage. Its URL contains its authorisation, and expires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blueprint {
    /// `POST` to start a file, `PUT` for a part.
    pub method: String,
    /// The presigned URL.
    pub url: SecretUrl,
    /// Headers to send with it; a value that is not a string is sent as its JSON.
    #[serde(default, deserialize_with = "lenient::field")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, Value>,
    /// The body to send; if there is none, a part sends its bytes, and any other request an empty body.
    #[serde(default)]
    pub body: Option<String>,
}

impl Blueprint {
    /// A request that needs no headers and no body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: SecretUrl::new(url), headers: BTreeMap::new(), body: None }
    }

    /// The headers to send, as strings.
    pub fn header_texts(&self) -> impl Iterator<Item = (&str, String)> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.headers.iter().map(move |(name, value)| (name.as_str(), text(value)))
    }
}
