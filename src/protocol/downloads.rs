//! Who downloaded what. The hub's own; the service tells the same as an [`Activity`](crate::Activity).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ActivityId, ActivityState, FileId, LinkId, Open, PackageId, Time, lenient};

/// A download of a package: in the list of `GET /v1/packages/{package}/downloads`, newest first, and in calls of webhooks. A visit of a
/// link is one download, however many requests it takes; one that is interrupted and goes on later is one, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Download {
    /// The activity that it is.
    pub id: ActivityId,
    /// The package.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
    /// The link that it was downloaded through; absent: by the team itself.
    #[serde(default, deserialize_with = "lenient::id")]
    pub link_id: Option<LinkId>,
    /// Whom the link was sent to, or who of the team it was: an e-mail address, or the name of a key. Empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub actor: String,
    /// The address that it was begun from; empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub address: String,
    /// The program, as it calls itself.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub user_agent: String,
    /// `started` until all files were delivered to the last byte, then `complete`.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<ActivityState>>,
    /// When it began.
    #[serde(default, deserialize_with = "lenient::time")]
    pub started_at: Time,
    /// When all files were delivered.
    #[serde(default, deserialize_with = "lenient::time")]
    pub finished_at: Time,
    /// How many files with content the package had.
    #[serde(default, deserialize_with = "lenient::field")]
    pub total_files: u64,
    /// How many of them were delivered to the last byte.
    #[serde(default, deserialize_with = "lenient::field")]
    pub files: u64,
    /// The bytes of these.
    #[serde(default, deserialize_with = "lenient::field")]
    pub bytes: u64,
    /// Where not all files were delivered: the first hundred of those that were, with their folders.
    #[serde(default, deserialize_with = "lenient::field")]
    pub file_names: Vec<String>,
}

/// `POST /v1/packages/{package}/downloads`: whoever downloads confirms that these files have arrived as they should. The hub
/// believes it of files that it cannot observe, because they are read from a bucket, and that an address was given out for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfirmDownload {
    /// The files; none means all.
    pub files: Vec<FileId>,
}

/// What a server knows of the caller's download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmedDownload {
    /// `pending` if no file was asked for, `started` until all were delivered, then `complete`.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<ActivityState>>,
}
