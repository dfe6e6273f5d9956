//! Compares a file with the ledger's entry for its path: is it new, already sent, or changed?
//!
//! **In**: the ledger's entry, the file's identity, the hash of its content if known, the rule's policies.
//! **Out**: a [`DedupDecision`]. Pure.

use crate::model::UploadId;
use crate::model::{LedgerEntry, Outcome};
use masv_platform::FileIdentity;
use masv_rules::{OnChange, Rule};

/// What to do with a file.
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
    /// It was sent and touched since, or another file is in its place: the content, which is being read, decides.
    Comparing,
}

impl DedupDecision {
    /// Whether the file is to be sent.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::Send | Self::SendChanged)
    }
}

/// What to do with a file with this `identity`. `content` is the BLAKE3 hash of its content, if known.
///
/// Another size or modification time is another content. Where these are equal and the change time or the inode is not, it may
/// be a change of owner or mode or a file that was copied back, or a rewrite with the date put back, or another file under
/// the same name: then the content is compared with what was sent. What was never sent has none to compare with.
#[must_use]
pub fn judge(
    rule: &Rule,
    entry: Option<&LedgerEntry>,
    identity: &FileIdentity,
    content: Option<&str>,
) -> DedupDecision {
    let Some(entry) = entry else { return DedupDecision::Send };
    if entry.outcome == Outcome::Claimed {
        // The upload itself notices a change and sends the file again, unless it has failed.
        let replaces = entry.failed && !entry.identity.same_content(identity);
        return if replaces { DedupDecision::SendChanged } else { DedupDecision::InUpload(entry.upload) };
    }
    let unchanged = entry.identity.same_size_and_date(identity)
        && match (&entry.checksum, content) {
            _ if entry.identity.untouched(identity) => true,
            (None, _) => true,
            (Some(sent), Some(content)) => sent == content,
            (Some(_), None) => return DedupDecision::Comparing,
        };
    match entry.outcome {
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
