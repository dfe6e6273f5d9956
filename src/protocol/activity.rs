//! What becomes of a team's packages. Documented by the service: `GET /v1.1/teams/{team}/activities` and the events of one; the
//! words of `event_type` are the hub's own.
//!
//! An activity is an object with a state that moves: an upload, a link, a download. Each step is an event of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{ActivityEventId, ActivityId, LinkId, Open, PackageId, PortalId, Time, lenient};

words! {
    /// What happened.
    pub enum ActivityEvent ["event"] {
        /// A package was created.
        PackageCreated = "package.created",
        /// The first file was added to a package.
        PackageStarted = "package.started",
        /// A package was finalized.
        PackageFinalized = "package.finalized",
        /// A package was removed.
        PackageDeleted = "package.deleted",
        /// A package expired.
        PackageExpired = "package.expired",
        /// A link was created.
        LinkCreated = "link.created",
        /// A link was opened.
        PackageOpened = "package.opened",
        /// A download began, or goes on in another visit of the link.
        DownloadStarted = "package.download_started",
        /// All files of a package were delivered, to the last byte.
        PackageDownloaded = "package.downloaded",
    }
}

words! {
    /// The kind of activity it belongs to.
    pub enum ActivityType ["type of an activity"] {
        /// A package was received by the server.
        Upload = "package_upload_to_masv",
        /// A link was created.
        LinkGeneration = "link_generation",
        /// A package was downloaded.
        Download = "package_download_from_masv",
    }
}

words! {
    /// The state of the activity.
    pub enum ActivityState ["state of an activity"] {
        /// It has been announced: a package without files, or a link that nobody has opened.
        Pending = "pending",
        /// It has started: a file was added, the link was opened, something is being downloaded.
        Started = "started",
        /// It is done: the package is finalized, all files were downloaded.
        Complete = "complete",
        /// It was abandoned: the package was removed before it was finalized.
        Cancelled = "cancelled",
    }
}

/// An activity, in the pages of `GET /v1.1/teams/{team}/activities`: one for each upload, each link and each download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// The server's id.
    pub id: ActivityId,
    /// When it began.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// When its last event happened.
    #[serde(default, deserialize_with = "lenient::time")]
    pub updated_at: Time,
    /// Its last event.
    #[serde(default, deserialize_with = "lenient::field")]
    pub event_type: Option<Open<ActivityEvent>>,
    /// Its kind.
    #[serde(default, deserialize_with = "lenient::field")]
    pub activity_type: Option<Open<ActivityType>>,
    /// Its current state.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<ActivityState>>,
    /// The package that it is about, which may no longer exist.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
    /// The name of that package.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub package_name: String,
    /// The portal that the package was received through.
    #[serde(default, deserialize_with = "lenient::id")]
    pub portal_id: Option<PortalId>,
    /// The link that it is about, which may no longer exist.
    #[serde(default, deserialize_with = "lenient::id")]
    pub link_id: Option<LinkId>,
    /// Who does it: the sender's e-mail address, the recipient's, or the name of a key; empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub actor: String,
}

/// A step of an activity, in the list of `GET /v1/teams/{team}/activities/{activity}/events`, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityStep {
    /// The server's id.
    pub id: ActivityEventId,
    /// The activity that it belongs to.
    #[serde(default, deserialize_with = "lenient::id")]
    pub activity_id: Option<ActivityId>,
    /// When it happened.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// What happened.
    #[serde(default, deserialize_with = "lenient::field")]
    pub event_type: Option<Open<ActivityEvent>>,
    /// The state that the activity has had since.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<ActivityState>>,
    /// Who did it; empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub actor: String,
    /// The address that the request came from; empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub address: String,
}
