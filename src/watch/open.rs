//! Open packages: uploads that accept files until a condition closes them.
//!
//! **In**: the condition, the content of the package, the time. **Out**: whether it is closed now and when to check again. Pure.

use std::time::Duration;

use jiff::{Timestamp, Zoned};

use crate::model::{KeptMoment, UploadId};
use masv_rules::FinalizeWhen;

/// An upload that takes files.
#[derive(Debug, Clone)]
pub struct OpenPackage {
    /// The upload.
    pub id: UploadId,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// When a file was last added, since the start.
    pub last_added: Duration,
    /// When it was opened: moments since then close it.
    pub opened_at: KeptMoment,
    /// When closing it is tried again after a failure.
    pub retry_at: Option<Duration>,
}

impl OpenPackage {
    /// When it was opened, for [`Self::opened_at`].
    #[must_use]
    pub const fn opened(at: Timestamp) -> KeptMoment {
        KeptMoment::new("when an open package was begun", at)
    }
}

/// What else the condition depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Time since the start.
    pub now: Duration,
    /// Wall clock.
    pub clock: &'a Zoned,
    /// Whether the closing marker is there.
    pub marker: bool,
    /// Whether files of its group are still settling: more are still arriving.
    pub settling: bool,
}

/// Whether to close the package now.
///
/// # Errors
/// When it is not: when to ask again if nothing happens before.
pub fn closes(
    when: &FinalizeWhen,
    package: &mut OpenPackage,
    situation: Situation<'_>,
) -> Result<(), Option<Duration>> {
    if let Some(at) = package.retry_at.filter(|at| situation.now < *at) {
        return Err(Some(at));
    }
    let full =
        when.files.is_some_and(|most| package.files >= most) || when.bytes.is_some_and(|most| package.bytes >= most);
    let opened_at = package.opened_at.at(situation.clock.timestamp()).to_zoned(situation.clock.time_zone().clone());
    let moment = when.at.as_ref().is_some_and(|moments| moments.due(&opened_at, situation.clock));
    let marked = when.marker.is_some() && situation.marker && !situation.settling;
    let quiet_at = when.quiet.map(|quiet| package.last_added + quiet);
    let quiet = quiet_at.is_some_and(|at| situation.now >= at) && !situation.settling;
    if full || moment || marked || quiet {
        return Ok(());
    }
    let until_moment = when.at.as_ref().and_then(|moments| moments.next_after(situation.clock)).and_then(|next| {
        let wait = Duration::try_from(situation.clock.duration_until(&next)).ok()?;
        Some(situation.now + wait)
    });
    let quiet_at = quiet_at.filter(|at| *at > situation.now);
    Err(until_moment.into_iter().chain(quiet_at).min())
}
