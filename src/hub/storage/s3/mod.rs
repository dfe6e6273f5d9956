//! An S3-compatible bucket behind the hub: senders and recipients speak to it themselves, by addresses that the hub
//! signs.
//!
//! **In**: which file, which part, how long a URL should be valid. **Out**: URLs; for the hub's own calls, what the
//! bucket answered.
//!
//! **Guarantees.** A file is the object `{prefix}{package}/{file}`, both of them ids that are never used twice: nothing is
//! overwritten. An address allows one call on one object until it expires. Neither the secret key nor a signature is
//! in any error or log line.
//!
//! **On a crash** there may be multipart uploads and objects that no row knows; the garbage collection removes them.
//!
//! Must never know: packages' states, who may read, the database.

mod calls;
mod credentials;
mod put;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use masv_protocol::{FileId, MultipartId, PackageId};
use rusty_s3::S3Action;
use url::Url;

pub(crate) use calls::Found;
pub use credentials::S3Credentials;
pub use settings::{S3Config, S3ConfigError};

use crate::stored::PartName;

/// How long an address holds that the hub makes for itself.
const OWN_CALL: Duration = Duration::from_secs(15 * 60);
/// The longest that S3 lets an address hold.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A bucket; clones share it.
#[derive(Clone)]
pub(crate) struct Bucket {
    shared: Arc<Shared>,
}

struct Shared {
    /// As the hub reaches it.
    own: rusty_s3::Bucket,
    /// As senders and recipients reach it.
    public: rusty_s3::Bucket,
    credentials: rusty_s3::Credentials,
    prefix: String,
    http: reqwest::Client,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "s3://{}/{}", self.shared.own.name(), self.shared.prefix)
    }
}

/// A call of the bucket that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum S3Error {
    /// The bucket answered, and refused.
    #[error("the bucket refused: {code} ({status}) {message}")]
    Refused { status: u16, code: String, message: String },
    /// No response, or a truncated one.
    #[error("the bucket cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that is none of S3's.
    #[error("the bucket's response is not valid: {0}")]
    Garbled(String),
}

impl S3Error {
    /// Whether it is S3's error of that code.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }

    /// The status it was refused with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::Unreachable(_) => true,
            Self::Garbled(_) => false,
        }
    }
}

impl Bucket {
    /// The bucket of that configuration. Makes no call.
    ///
    /// # Errors
    /// [`S3ConfigError`] when its addresses make no sense or no HTTP client can be set up.
    pub(crate) fn new(config: &S3Config) -> Result<Self, S3ConfigError> {
        let http = calls::client(&config.endpoint).map_err(|error| S3ConfigError::Client(error.to_string()))?;
        let shared = Shared {
            own: config.bucket_at(&config.endpoint)?,
            public: config.bucket_at(config.public_endpoint.as_ref().unwrap_or(&config.endpoint))?,
            credentials: config.credentials.for_signing(),
            prefix: config.prefix.clone(),
            http,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn key(&self, package: &PackageId, file: &FileId) -> String {
        format!("{}{package}/{file}", self.shared.prefix)
    }

    /// Where browsers meet the bucket: scheme, host and port.
    pub(crate) fn public_origin(&self) -> String {
        self.shared.public.base_url().origin().ascii_serialization()
    }

    /// The address that begins the file's multipart upload.
    pub(crate) fn begin_address(&self, package: &PackageId, file: &FileId, life: Duration) -> Url {
        let key = self.key(package, file);
        self.shared.public.create_multipart_upload(Some(&self.shared.credentials), &key).sign(life.min(LONGEST))
    }

    /// The address that takes one part of it, of exactly `length` bytes if that is known: another length is refused before it is stored.
    pub(crate) fn part_address(
        &self,
        part: &PartName,
        upload: &MultipartId,
        length: Option<u64>,
        life: Duration,
    ) -> Url {
        let key = self.key(&part.package, &part.file);
        let number = u16::try_from(part.number).unwrap_or(u16::MAX);
        let credentials = Some(&self.shared.credentials);
        let mut action = self.shared.public.upload_part(credentials, &key, number, upload.as_str());
        if let Some(length) = length {
            // Every client sends this header, and it is part of the signature.
            action.headers_mut().insert("content-length", length.to_string());
        }
        action.sign(life.min(LONGEST))
    }

    /// The address that gives the file, with ranges. Browsers save it under the name that `disposition` says.
    pub(crate) fn read_address(&self, package: &PackageId, file: &FileId, disposition: &str, life: Duration) -> Url {
        let key = self.key(package, file);
        let mut action = self.shared.public.get_object(Some(&self.shared.credentials), &key);
        action.query_mut().insert("response-cache-control", "private, no-transform");
        action.query_mut().insert("response-content-disposition", disposition.to_owned());
        action.query_mut().insert("response-content-type", "application/octet-stream");
        action.sign(life.min(LONGEST))
    }
}
