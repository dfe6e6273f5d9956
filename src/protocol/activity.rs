//! What happened to a team's packages. Documented by the service: `GET /v1.1/teams/{team}/activities` and the events of one; the
//! words of `event_type` are the hub's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{ActivityId, Open, PackageId, PortalId, Time, lenient};

words! {
    /// What happened.
    pub enum ActivityEvent ["event"] {
        /// A package was created.
        PackageCreated = "package.created",
        /// A package was finalized.
        PackageFinalized = "package.finalized",
        /// A package was removed.
        PackageDeleted = "package.deleted",
        /// A package expired.
        PackageExpired = "package.expired",
        /// A link was created.
        LinkCreated = "link.created",
        /// A package was downloaded through a link.
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
        /// It has been announced.
        Pending = "pending",
        /// It has started.
        Started = "started",
        /// It is done.
        Complete = "complete",
        /// It was abandoned.
        Cancelled = "cancelled",
    }
}

/// Something that happened: in the pages of `GET /v1.1/teams/{team}/activities`, and in the list of
/// `GET /v1/teams/{team}/activities/{activity}/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// The server's id.
    pub id: ActivityId,
    /// When it happened.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Time,
    /// What happened.
    #[serde(default, deserialize_with = "lenient::field")]
    pub event_type: Option<Open<ActivityEvent>>,
    /// The kind of activity it belongs to.
    #[serde(default, deserialize_with = "lenient::field")]
    pub activity_type: Option<Open<ActivityType>>,
    /// Its state.
    #[serde(default, deserialize_with = "lenient::field")]
    pub state: Option<Open<ActivityState>>,
    /// The package that it happened to, which may no longer exist.
    #[serde(default, deserialize_with = "lenient::id")]
    pub package_id: Option<PackageId>,
    /// The name of that package.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub package_name: String,
    /// The portal that the package was received through.
    #[serde(default, deserialize_with = "lenient::id")]
    pub portal_id: Option<PortalId>,
    /// The e-mail address of whoever did it; empty if unknown.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub actor: String,
}
