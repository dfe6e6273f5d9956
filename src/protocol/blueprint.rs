//! Blueprints: requests that a server prepared, by which bytes go straight to its storage.
//!
//! Documented by the service. What the storage itself says is S3's: the answer to the blueprint that begins a file is an
//! `InitiateMultipartUploadResult` in XML, that to a part has its `ETag`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{SecretUrl, lenient};

/// A request to the storage. It carries its own authorisation in its address, and expires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blueprint {
    /// `POST` to begin a file, `PUT` for a part.
    pub method: String,
    /// The presigned address.
    pub url: SecretUrl,
    /// Headers to send with it; a value that is not a text is sent as its JSON.
    #[serde(default, deserialize_with = "lenient::field")]
    pub headers: BTreeMap<String, Value>,
    /// The body to send; where there is none, that of a part is its bytes, and any other empty.
    #[serde(default)]
    pub body: Option<String>,
}

impl Blueprint {
    /// A request that needs no headers and no body of its own.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: SecretUrl::new(url), headers: BTreeMap::new(), body: None }
    }

    /// The headers to send, as texts.
    pub fn header_texts(&self) -> impl Iterator<Item = (&str, String)> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.headers.iter().map(move |(name, value)| (name.as_str(), text(value)))
    }
}
