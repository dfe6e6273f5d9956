//! What can go wrong between us and a cloud, sorted by what the caller can do about it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use masv_protocol::{ErrorBody, ErrorCode};
use serde::Deserialize;

/// The longest message of a cloud that is passed on, characters.
const LONGEST_MESSAGE: usize = 300;

/// Which call it was; what a failure means depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Signing in.
    SignIn,
    /// Making a package for a team.
    CreatePackage,
    /// Making a package for a portal.
    CreatePortalPackage,
    /// Listing the teams that a key or a session acts for.
    ListTeams,
    /// Looking up a portal.
    FindPortal,
    /// Announcing a file.
    CreateFile,
    /// Announcing a batch of files.
    CreateFiles,
    /// Beginning a file in the storage.
    BeginFile,
    /// Asking for the addresses of parts.
    PartAddresses,
    /// Sending a part to the storage.
    SendPart,
    /// Closing a file.
    FinalizeFile,
    /// Closing a batch of files.
    FinalizeFiles,
    /// Sending a batch of small files.
    SendSmallFiles,
    /// Closing a package.
    FinalizePackage,
    /// Removing a file from a package.
    RemoveFile,
    /// Removing a package.
    RemovePackage,
    /// Making a link.
    CreateLink,
    /// Asking for the cloud's limits.
    Limits,
    /// Opening a link.
    OpenLink,
    /// Listing the files of a package.
    ListFiles,
    /// Asking where a file can be read.
    FileAddress,
    /// Receiving a part from the storage.
    ReceivePart,
    /// Listing what came through the team's portals.
    ListInbox,
    /// Listing the team's portals.
    ListPortals,
    /// Asking for the right to read a package of the team.
    OpenPackage,
    /// Looking after a hub; what completes "the cloud refused to …".
    Administer(&'static str),
}

/// What a call is authorised by: a refusal of it concerns that, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// Nothing: everybody may.
    Nothing,
    /// A person's mail address and password.
    Credentials,
    /// The API key, or the session of who is signed in.
    Account,
    /// The access code of a portal.
    PortalCode,
    /// The secret of a link, and its password where it has one.
    Link,
    /// The token that came with the package.
    Package,
    /// The signature in an address of the storage.
    Signature,
}

impl Call {
    /// What it is authorised by.
    #[must_use]
    pub const fn authority(self) -> Authority {
        match self {
            Self::FindPortal | Self::Limits => Authority::Nothing,
            Self::SignIn => Authority::Credentials,
            Self::CreatePackage
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
            | Self::RemoveFile
            | Self::RemovePackage
            | Self::CreateLink
            | Self::ListFiles
            | Self::FileAddress => Authority::Package,
            Self::BeginFile | Self::SendPart | Self::ReceivePart => Authority::Signature,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SignIn => "sign in",
            Self::CreatePackage | Self::CreatePortalPackage => "create the package",
            Self::ListTeams => "list the teams",
            Self::FindPortal => "find the portal",
            Self::CreateFile => "announce a file",
            Self::CreateFiles => "announce files",
            Self::BeginFile => "begin a file in the storage",
            Self::PartAddresses => "get addresses for parts",
            Self::SendPart => "send a part",
            Self::FinalizeFile => "finalize a file",
            Self::FinalizeFiles => "finalize files",
            Self::SendSmallFiles => "send small files",
            Self::FinalizePackage => "finalize the package",
            Self::RemoveFile => "remove a file",
            Self::RemovePackage => "remove the package",
            Self::CreateLink => "create a link",
            Self::Limits => "read the cloud's limits",
            Self::OpenLink => "open the link",
            Self::ListFiles => "list the files",
            Self::FileAddress => "say where a file can be read",
            Self::ReceivePart => "give a part of a file",
            Self::ListInbox => "list the inbox",
            Self::ListPortals => "list the portals",
            Self::OpenPackage => "open a package of the team",
            Self::Administer(what) => what,
        })
    }
}

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// No key and no session.
    #[error("not signed in to the cloud")]
    NotSignedIn,
    /// Several teams, none chosen.
    #[error("{}", which_team(choice))]
    NoTeam {
        /// Names of the teams there are.
        choice: Vec<String>,
    },
    /// The cloud answered, and refused.
    #[error("the cloud refused to {call}: {message} ({status})")]
    Refused {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// The cloud's own error code: a number or, from a storage, a word.
        code: Option<String>,
        /// The cloud's words.
        message: String,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// No answer: not connected, cut off, too slow.
    #[error("could not {call}: {reason}")]
    Unreachable {
        /// Which call.
        call: Call,
        /// What the network said.
        reason: String,
    },
    /// An answer that is not what the protocol says.
    #[error("could not {call}: the answer makes no sense ({reason})")]
    Garbled {
        /// Which call.
        call: Call,
        /// What is wrong with it.
        reason: String,
    },
    /// A package is in a cloud that only another agent, or this one set up in another way, can reach.
    #[error("the package is in the {name} hub, which does not run here now")]
    Elsewhere {
        /// What the cloud is remembered by.
        name: String,
    },
    /// No client could be set up.
    #[error("cannot set up the connection to the cloud: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
}

/// What to say where no team is named. A key does not tell which teams there are.
fn which_team(choice: &[String]) -> String {
    match choice {
        [] => "no team is named that sends".to_owned(),
        several => format!("it is not clear which team sends: {}", several.join(", ")),
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
    /// An answer that cannot be read as what was asked for.
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

    /// What was refused, where it was the authority of a call that was: it counts for nothing (401).
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

/// What a foreign server says goes into logs and terminals: without control characters, and not endlessly.
fn printable(message: &str) -> String {
    message.chars().filter(|character| !character.is_control()).take(LONGEST_MESSAGE).collect()
}

/// The innermost cause of a transport error, without the address (it can hold a signature).
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let reason = cause.to_string();
    if error.is_connect() { format!("cannot connect: {reason}") } else { printable(&reason) }
}

/// Reads `Retry-After`: seconds, or an HTTP date.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Duration::try_from(then.duration_since(now)).ok()
}
