//! Uploads, and requests for them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::standing::Times;
use super::{Size, Standing, exposed};
use crate::engine::Live;
use crate::model;
use crate::model::UploadId;
use crate::model::{Destination, FileState, Link, Problem, SentList, UploadKind};
use crate::store::Order;
use masv_protocol::TeamId;

/// An upload as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Its kind.
    pub kind: UploadKind,
    /// For e-mail: the recipients' addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// For a portal: its name and the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<PortalTarget>,
    /// The fields in common with downloads.
    #[serde(flatten)]
    pub standing: Standing,
    /// Name of the package.
    pub name: String,
    /// Message to the recipients.
    pub description: Option<String>,
    /// The package's id in the cloud.
    pub package_id: Option<String>,
    /// The sending team.
    pub team_id: Option<String>,
    /// The requested part size in bytes; absent for the agent's setting. The actual size is given with each file.
    pub chunk_size: Option<u64>,
    /// Finalized automatically once everything is uploaded.
    pub auto_finalize: bool,
    /// Links created so far.
    pub links: Vec<Link>,
    /// When everything was uploaded.
    pub idle_at: Option<Timestamp>,
    /// Its files, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<File>>,
}

/// The portal that an upload is delivered to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortalTarget {
    /// Its name in the cloud.
    pub subdomain: String,
    /// The sender's e-mail address.
    pub sender: String,
}

impl Upload {
    /// Who gets it, in a few words.
    #[must_use]
    pub fn to(&self) -> String {
        match (&self.portal, self.kind) {
            (Some(portal), _) => format!("portal {}", portal.subdomain),
            (None, UploadKind::Link) => "link".to_owned(),
            (None, _) => self.recipients.join(", "),
        }
    }

    /// The upload as the store and the engine know it.
    #[must_use]
    pub fn new(upload: model::Upload, live: Option<Live>) -> Self {
        let kind = upload.kind();
        let (recipients, portal) = match upload.destination {
            Destination::Email { recipients } => (recipients, None),
            Destination::Link => (Vec::new(), None),
            Destination::Portal { subdomain, sender, .. } => (Vec::new(), Some(PortalTarget { subdomain, sender })),
        };
        let times = Times { created: upload.created_at, started: upload.started_at, completed: upload.completed_at };
        Self {
            id: upload.id,
            kind,
            recipients,
            portal,
            standing: Standing::new(
                upload.state,
                upload.problem,
                upload.priority,
                upload.rule,
                upload.totals,
                times,
                live,
            ),
            name: upload.name,
            description: upload.description,
            package_id: upload.package.map(|package| package.id.into_string()),
            team_id: upload.team_id.map(TeamId::into_string),
            chunk_size: upload.chunk_size,
            auto_finalize: upload.auto_finalize,
            links: upload.links,
            idle_at: upload.idle_at,
            files: None,
        }
    }
}

impl Deref for Upload {
    type Target = Standing;

    fn deref(&self) -> &Standing {
        &self.standing
    }
}

/// A file of an upload as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// Its number in the upload.
    pub id: u32,
    /// Its path in the package.
    pub path: String,
    /// Its path on this machine; bytes that are not valid UTF-8 are shown as `�`.
    pub source: String,
    /// Bytes.
    pub size: u64,
    /// Bytes confirmed by the storage.
    pub progress: u64,
    /// Size of each of its parts except the last, in bytes, once it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u64>,
    /// Its state.
    pub state: FileState,
    /// Whether it is still being written, and sent meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub growing: bool,
    /// BLAKE3 hash in hexadecimal, once it was sent.
    pub checksum: Option<String>,
    /// Why it cannot be sent.
    pub error: Option<Problem>,
}

impl From<model::File> for File {
    fn from(file: model::File) -> Self {
        Self {
            id: file.number,
            path: file.path.to_string(),
            source: file.source.whole().to_string_lossy().into_owned(),
            size: file.identity.size,
            progress: file.bytes_done,
            chunk_size: file.remote.map(|remote| remote.chunk_size),
            state: file.state,
            growing: matches!(file.growth, model::Growth::Growing { .. }),
            checksum: file.checksum,
            error: file.problem,
        }
    }
}

/// What all requests for an upload have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// Absolute paths of files and folders, or patterns for them: `*`, `?`, `[a-z]`, and `**` for any number of folders.
    /// An existing path is not treated as a pattern; a pattern without matches is refused.
    #[schemars(inner(regex(pattern = "^/")))]
    pub paths: Vec<PathBuf>,
    /// Files that were received from a browser: the id of their spool. `paths` may be empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<UploadId>,
    /// Name of the package; by default, the name of the first path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// Message to the recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_description: Option<String>,
    /// Password for the recipients, or the portal's access code.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// Part size: a number of bytes, or `64MB`, `64MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<Size>,
    /// Higher priorities go first.
    #[serde(default)]
    pub priority: i32,
    /// Whether it is finalized automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_finalize: Option<bool>,
    /// Globs of files to exclude.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Adds a checksum list of what was sent to the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<SentList>,
}

/// A request for an upload by link or e-mail.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct NewUpload {
    /// The common fields.
    #[serde(flatten)]
    pub common: Common,
    /// The sending team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// E-mail addresses of the recipients; without any, the package gets a link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Days until the package is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<u32>,
    /// How many times it may be downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<u64>,
    /// Tag by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_name: Option<String>,
    /// Tag by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_id: Option<String>,
    /// Teamspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teamspace_id: Option<String>,
    /// Kept until it is deleted by hand.
    #[serde(default)]
    pub unlimited_storage: bool,
}

/// A request for an upload to a portal.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct NewPortalUpload {
    /// The common fields.
    #[serde(flatten)]
    pub common: Common,
    /// The portal's name.
    pub subdomain: String,
    /// The sender's e-mail address.
    pub sender: String,
    /// Values for the portal's form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The response to a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// Its id.
    pub upload_id: UploadId,
    /// The link, for a link upload, if the cloud could be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Why there is no link: the package could not be created, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// The limitation of its delivery, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What may cause recipients trouble, such as names that Windows cannot save.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Files to add.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct MoreFiles {
    /// Absolute paths of files and folders, or patterns for them: `*`, `?`, `[a-z]`, and `**` for any number of folders.
    /// An existing path is not treated as a pattern; a pattern without matches is refused.
    #[schemars(inner(regex(pattern = "^/")))]
    pub paths: Vec<PathBuf>,
    /// Globs of files to exclude.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// Changes to an upload.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Higher priorities go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Its position among uploads of equal priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whether it is finalized automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_finalize: Option<bool>,
    /// Password for the recipients, or the portal's access code. Only until the package is created; a failed upload resumes with it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
}

/// A link to create.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct NewLink {
    /// Password for the recipients.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// E-mail it to this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}
