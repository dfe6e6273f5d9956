//! The wire types of the local API, in both directions: the server writes what the command line reads.

mod agent;
mod automation;
mod download;
mod folders;
mod size;
mod spool;
mod standing;
mod upload;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

pub use agent::{
    Check, DiskReaders, Examination, FifoMode, Grade, Login, OpenFiles, Server, SignedIn, Teams, TransferLink, Workers,
};
pub(in crate::api) use agent::{MOST_TRANSFERS, MOST_WORKERS};
pub use automation::{
    Automation, AutomationAdded, AutomationChange, AutomationRule, Automations, DownloadAutomation, DryFetch, DryRuns,
    Explained, ExplainedPackage, Forgotten, History, Loaded, Marked, NewPortalDownload, NewRulesText,
    NewUploadAutomation, PausedRules, ResumedRules, RuleProblem, RulesChecked, RulesText, RulesToCheck, Transfer,
    UploadAutomation, WaitingPackage,
};
pub use download::{Download, DownloadChange, DownloadStarted, DownloadedFile, NewDownload};
pub use folders::{FolderEntry, FolderListing};
pub use size::Size;
pub use spool::{NewSpool, NewSpoolFile, Spooled, SpooledFile};
pub use standing::Standing;
pub use upload::{Change, Common, File, MoreFiles, NewLink, NewPortalUpload, NewUpload, PortalTarget, Started, Upload};

/// An error response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The HTTP status, or a code of the MASV Agent.
    pub code: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Bad fields by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// A list of uploads or of downloads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}s")]
pub struct Transfers<T> {
    /// Newest first.
    pub transfers: Vec<T>,
    /// Pass it as `cursor` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How many were removed by a request for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// How many.
    pub removed: u64,
}

/// How many were paused by a request for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paused {
    /// How many.
    pub paused: u64,
}

/// How many were resumed by a request for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// How many.
    pub resumed: u64,
}

fn exposed<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose_secret()),
        None => serializer.serialize_none(),
    }
}
