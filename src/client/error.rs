//! What can go wrong between us and a cloud, grouped by what the caller can do about it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use masv_protocol::{ErrorBody, ErrorCode};
use serde::Deserialize;

/// Maximum length of a cloud's message that is passed on, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The call; the meaning of a failure depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Signing in.
    SignIn,
    /// Ending a session.
    SignOut,
    /// Creating a package for a team.
    CreatePackage,
    /// Creating a package for a portal.
    CreatePortalPackage,
    /// Listing the teams that a key or a session acts for.
    ListTeams,
    /// Looking up a portal.
    FindPortal,
    /// Announcing a file.
    CreateFile,
    /// Announcing a batch of files.
    CreateFiles,
    /// Starting a file in the storage.
    BeginFile,
    /// Requesting the URLs of parts.
    PartAddresses,
    /// Sending a part to the storage.
    SendPart,
    /// Finalizing a file.
    FinalizeFile,
    /// Closing a batch of files.
    FinalizeFiles,
    /// Sending a batch of small files.
    SendSmallFiles,
    /// Finalizing a package.
    FinalizePackage,
    /// `PUT /v1/packages/{package}`
    ChangePackage,
    /// Removing a file from a package.
    RemoveFile,
    /// Removing a package.
    RemovePackage,
    /// Creating a link.
    CreateLink,
    /// Requesting the cloud's limits.
    Limits,
    /// Opening a link.
    OpenLink,
    /// Listing the files of a package.
    ListFiles,
    /// Requesting the URL of a file.
    FileAddress,
    /// Confirming that files have arrived.
    ConfirmDownload,
    /// Receiving a part from the storage.
    ReceivePart,
    /// Listing what was received through the team's portals.
    ListInbox,
    /// Listing the team's portals.
    ListPortals,
    /// Requesting a token for a package of the team.
    OpenPackage,
    /// Administering a hub; the text completes "the cloud refused to …".
    Administer(&'static str),
}

/// What authorises a call: a refusal concerns that, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// Nothing: the call is public.
    Nothing,
    /// A person's e-mail address and password.
    Credentials,
    /// The API key, or the session.
    Account,
    /// The access code of a portal.
    PortalCode,
    /// The secret of a link, and its password if it has one.
    Link,
    /// The token that came with the package.
    Package,
    /// The signature in a URL of the storage.
    Signature,
}

impl Call {
    /// What authorises it.
    #[must_use]
    pub const fn authority(self) -> Authority {
        match self {
            Self::FindPortal | Self::Limits => Authority::Nothing,
            Self::SignIn => Authority::Credentials,
            Self::CreatePackage
            | Self::SignOut
            | Self::ListTeams
            | Self::ListInbox
            | Self::ListPortals
            | Self::OpenPackage
            | Self::Administer(_) => Authority::Account,
            Self::CreatePortalPackage => Authority::PortalCode,
            Self::OpenLink => Authority::Link,
            Self::CreateFile
            | Self::CreateFiles
            | Self::PartAddresses
            | Self::FinalizeFile
            | Self::FinalizeFiles
            | Self::SendSmallFiles
            | Self::FinalizePackage
            | Self::ChangePackage
            | Self::RemoveFile
            | Self::RemovePackage
            | Self::CreateLink
            | Self::ListFiles
            | Self::FileAddress
            | Self::ConfirmDownload => Authority::Package,
            Self::BeginFile | Self::SendPart | Self::ReceivePart => Authority::Signature,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SignIn => "sign in",
            Self::SignOut => "end the session",
            Self::CreatePackage | Self::CreatePortalPackage => "create the package",
            Self::ListTeams => "list the teams",
            Self::FindPortal => "find the portal",
            Self::CreateFile => "announce a file",
            Self::CreateFiles => "announce files",
            Self::BeginFile => "start a file in the storage",
            Self::PartAddresses => "get URLs for parts",
            Self::SendPart => "send a part",
            Self::FinalizeFile => "finalize a file",
            Self::FinalizeFiles => "finalize files",
            Self::SendSmallFiles => "send small files",
            Self::FinalizePackage => "finalize the package",
            Self::ChangePackage => "change the package",
            Self::RemoveFile => "remove a file",
            Self::RemovePackage => "remove the package",
            Self::CreateLink => "create a link",
            Self::Limits => "read the cloud's limits",
            Self::OpenLink => "open the link",
            Self::ListFiles => "list the files",
            Self::FileAddress => "get the URL of a file",
            Self::ConfirmDownload => "note that files have arrived",
            Self::ReceivePart => "read a part of a file",
            Self::ListInbox => "list the inbox",
            Self::ListPortals => "list the portals",
            Self::OpenPackage => "open a package of the team",
            Self::Administer(what) => what,
        })
    }
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// No key and no session.
    #[error("not signed in to the cloud")]
    NotSignedIn,
    /// Several teams, none chosen.
    #[error("{}", which_team(choice))]
    NoTeam {
        /// Names of the available teams.
        choice: Vec<String>,
    },
    /// The cloud responded, and refused.
    #[error("the cloud refused to {call}: {message} ({status})")]
    Refused {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// The cloud's own error code: a number or, from a storage, a word.
        code: Option<String>,
        /// The cloud's message.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// No response: not connected, cut off, too slow.
    #[error("could not {call}: {reason}")]
    Unreachable {
        /// Which call.
        call: Call,
        /// The network error.
        reason: String,
    },
    /// A response that violates the protocol.
    #[error("could not {call}: the response is not valid ({reason})")]
    Garbled {
        /// Which call.
        call: Call,
        /// What is wrong with it.
        reason: String,
    },
    /// A package is in a cloud that only another agent, or this one with other settings, can reach.
    #[error("the package is in the {name} hub, which is not running here")]
    Elsewhere {
        /// The recorded name of the cloud.
        name: String,
    },
    /// The client could not be set up.
    #[error("cannot set up the connection to the cloud: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
}

/// The message if no team is chosen. A key does not list the available teams.
fn which_team(choice: &[String]) -> String {
    match choice {
        [] => "no team to send as is set".to_owned(),
        several => format!("there are several teams to send as: {}", several.join(", ")),
    }
}

#[derive(Deserialize)]
struct StorageRefusal {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

impl CloudError {
    /// A response that cannot be parsed as what was requested.
    pub(super) fn unreadable(call: Call, error: &serde_json::Error) -> Self {
        Self::Garbled { call, reason: printable(&error.to_string()) }
    }

    pub(super) fn transport(call: Call, error: &reqwest::Error) -> Self {
        if error.is_decode() {
            return Self::Garbled { call, reason: reason(error) };
        }
        Self::Unreachable { call, reason: reason(error) }
    }

    pub(super) fn refusal(call: Call, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let (code, message) = if let Ok(refusal) = serde_json::from_slice::<ErrorBody>(body) {
            return Self::refused(call, status, retry_after, None, &refusal);
        } else if let Ok(refusal) = quick_xml::de::from_str::<StorageRefusal>(&text) {
            (Some(refusal.code), refusal.message)
        } else {
            (None, String::new())
        };
        Self::Refused { call, status, code, message: said(&message), retry_after }
    }

    /// A refusal that was read already; `code` in place of its own.
    pub(super) fn refused(
        call: Call,
        status: u16,
        retry_after: Option<Duration>,
        code: Option<String>,
        refusal: &ErrorBody,
    ) -> Self {
        let code = code.or_else(|| refusal.code.as_ref().map(ErrorCode::to_string));
        Self::Refused { call, status, code, message: said(&refusal.reason()), retry_after }
    }

    /// What was refused, if it was a call's authorisation (401).
    #[must_use]
    pub fn refused_authority(&self) -> Option<Authority> {
        match self {
            Self::NotSignedIn => Some(Authority::Account),
            Self::Refused { call, status: 401, .. } => Some(call.authority()),
            _ => None,
        }
    }

    /// The HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The words of a refusal.
fn said(message: &str) -> String {
    if message.trim().is_empty() { "no reason given".to_owned() } else { printable(message) }
}

/// Messages of other servers go to logs and terminals: without control characters, and of limited length.
fn printable(message: &str) -> String {
    message.chars().filter(|character| !character.is_control()).take(LONGEST_MESSAGE).collect()
}

/// The innermost cause of a transport error, without the URL (it may contain a signature).
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no response in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let reason = cause.to_string();
    if error.is_connect() { format!("cannot connect: {reason}") } else { printable(&reason) }
}

/// Parses `Retry-After`: seconds, or an HTTP date.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Duration::try_from(then.duration_since(now)).ok()
}
