//! The wire protocol of MASV and of the self-hosted hub, as types: identifiers, times, paths, every request and response, and the
//! form of errors.
//!
//! **In**: JSON. **Out**: the same as types, and back. A message is one type for both sides: a server writes it, a client
//! reads it.
//!
//! **Guarantees.**
//! - Serialized messages have exactly the field names of the protocol, and every field that the hub sends is present.
//! - A client can read the responses of other implementations of the protocol: unknown fields are ignored, and a field
//!   that is missing, `null` or of an unexpected type counts as absent, unless a caller could not continue without it (an
//!   identifier, a token, an address, the size of a file).
//! - A server reads requests in every plausible variant of other clients: numbers as strings, flags as numbers, lists with
//!   commas. Every field of a request may be left out, and unknown fields are ignored in here: which of them are refused is the server's
//!   decision. A value that has no meaning, such as a mail address that is not valid, is an error.
//! - No secret is printed: [`Secret`] and [`SecretUrl`] redact themselves.
//!
//! **On a crash** nothing is lost, because nothing is stored.
//!
//! Must never know: HTTP libraries, databases, files on disk, or which of the two sides it serves.
//!
//! For an API document, generate the schema of a request with `schemars::generate::SchemaSettings::for_deserialize`, and that of a
//! response with `for_serialize`: fields that a server always writes are required there.
//!
//! ```
//! use masv_protocol::{EmailAddress, NewPackage, PackageState, PackageWithToken};
//!
//! let to: EmailAddress = "client@example.com".parse()?;
//! let request = NewPackage { name: Some("Dailies".into()), recipients: vec![to], ..NewPackage::default() };
//! assert_eq!(serde_json::to_string(&request)?, r#"{"name":"Dailies","recipients":["client@example.com"]}"#);
//!
//! let answer = r#"{"id":"01M85VJ3Y0Q8ZK2T4W6X7B9CDE","access_token":"t0ken","state":"new"}"#;
//! let created: PackageWithToken = serde_json::from_str(answer)?;
//! assert!(created.package.is_in(PackageState::New));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activity;
mod audit;
mod auth;
mod batches;
mod blueprint;
mod downloads;
mod email;
mod errors;
mod files;
mod ids;
mod keys;
mod lenient;
mod links;
mod members;
mod metadata_fields;
mod package_path;
mod packages;
mod pages;
mod portals;
mod query;
mod restrictions;
mod secret;
mod spec;
mod tags;
mod teams;
mod time;
mod webhooks;
mod words;

pub use activity::{Activity, ActivityEvent, ActivityState, ActivityStep, ActivityType};
pub use audit::AuditEntry;
pub use auth::{
    API_KEY_HEADER, ChangePassword, Credentials, IDEMPOTENCY_HEADER, LINK_PASSWORD_HEADER, PACKAGE_TOKEN_HEADER,
    SignedIn, USER_TOKEN_HEADER, User, WhoIsSignedIn,
};
pub use batches::{
    BadContents, BatchLimits, BegunFile, FinalizeFiles, FinalizeOneFile, FinalizedFile, NewFiles, Outcome, Outcomes,
    SmallFile, SmallFiles,
};
pub use blueprint::Blueprint;
pub use downloads::{ConfirmDownload, ConfirmedDownload, Download};
pub use email::{EmailAddress, InvalidEmailAddress};
pub use errors::{ErrorBody, ErrorCode, ErrorDetail, ErrorKind};
pub use files::{
    AnnouncedFile, CreatedFile, File, FileAddress, FileExtras, FileKind, FileState, FinalizeFile, ListedPart, NewFile,
    PartAddresses, PartWindow,
};
pub use ids::{
    ActivityEventId, ActivityId, AuditEntryId, FileId, KeyId, LinkId, MultipartId, PackageId, PortalId, TagId, TeamId,
    TeamspaceId, UserId, WebhookId,
};
pub use keys::{ChangeKey, CreatedKey, Key, KeyState, NewKey};
pub use links::{Link, LinkQuery, LinkSettings, OpenedLink};
pub use members::{AcceptInvitation, ChangeMember, Invitation, Member, NewMember};
pub use metadata_fields::{FieldKind, Form, MetadataField, Visibility};
pub use package_path::{PackagePath, trouble_on_windows};
pub use packages::{
    ChangePackage, FilledIn, NewPackage, NewPortalPackage, Package, PackageExpiry, PackageMetadata, PackageState,
    PackageWithToken, PortalSummary, SetMetadata,
};
pub use pages::{Page, PageMetadata};
pub use portals::{AttachedWebhook, Portal, PortalSettings, PublicPortal};
pub use query::{AllPackagesQuery, AuditQuery, PackageQuery, PageQuery, PortalQuery};
pub use restrictions::{RestrictionSettings, Restrictions};
pub use secret::{Secret, SecretUrl};
pub use spec::{Empty, Health, Limits};
pub use tags::{NewTag, Tag, TagChoice};
pub use teams::{KeyRole, MemberRole, NewTeam, Quota, Role, SetBrand, SetQuota, Team, TeamBrand, TeamUsage};
pub use time::{InvalidTime, Time};
pub use webhooks::{OpenedBy, Webhook, WebhookCall, WebhookEvent, WebhookMethod, WebhookSettings};
pub use words::{Open, UnknownWord};

#[cfg(test)]
mod wire_tests;
