//! Compares a file with what the ledger says of its path: is it new, sent already, or come back changed?
//!
//! **In**: the ledger's entry, the file's identity, the rule's policies. **Out**: a [`DedupDecision`]. Pure.

use crate::model::UploadId;
use crate::model::{LedgerEntry, Outcome};
use masv_platform::FileIdentity;
use masv_rules::{OnChange, Rule};

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupDecision {
    /// Send it.
    Send,
    /// It came back with other content: send it, into the open package where there is one if the rule says so.
    SendChanged,
    /// An upload that is not complete has it.
    InUpload(Option<UploadId>),
    /// It was sent, in this upload if that is known.
    Sent(Option<UploadId>),
    /// It counts as sent.
    Skipped,
    /// Its upload was removed before it was complete.
    Cancelled,
    /// It changed after it was sent, and the rule ignores that.
    ChangeIgnored,
}

impl DedupDecision {
    /// Whether the file is to be sent.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::Send | Self::SendChanged)
    }
}

/// What is to be done with a file that looks like `identity`.
///
/// "Unchanged" means the same size and modification time: a file copied back has another inode, and a change of
/// owner or mode moves the change time without touching a byte.
#[must_use]
pub fn judge(rule: &Rule, entry: Option<&LedgerEntry>, identity: &FileIdentity) -> DedupDecision {
    let Some(entry) = entry else { return DedupDecision::Send };
    let unchanged = entry.identity.size == identity.size && entry.identity.mtime_ns == identity.mtime_ns;
    match entry.outcome {
        // The upload itself notices a change and sends the file anew.
        Outcome::Claimed => DedupDecision::InUpload(entry.upload),
        Outcome::Sent if unchanged => DedupDecision::Sent(entry.upload),
        Outcome::Skipped if unchanged => DedupDecision::Skipped,
        Outcome::Cancelled if unchanged => DedupDecision::Cancelled,
        Outcome::Sent if rule.on_change == OnChange::Ignore => DedupDecision::ChangeIgnored,
        _ => DedupDecision::SendChanged,
    }
}

/// Whether the entry of a path at which there is no file any more is to be forgotten, so that a file that appears
/// there again counts as new: what was cancelled, and what was sent by a rule that sends such files again.
#[must_use]
pub fn forgets_when_gone(rule: &Rule, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Cancelled => true,
        Outcome::Sent | Outcome::Skipped => rule.resend,
        Outcome::Claimed => false,
    }
}
