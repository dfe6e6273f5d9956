//! What a rule's task tells: failures as they happen, the status after each pass.
//!
//! **In**: failures, what is over again, how the parts stand ([`Standing`]). **Out**: the rule's status, the log, events.
//!
//! **Owns** nothing: what was told last is in the status itself.
//!
//! **Guarantees.** A failure that lasts is told once. The last one that could not be recorded is recorded as soon as that goes, unless the
//! rule ends before.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::context::Context;
use super::describe;
use crate::model::UploadId;
use crate::store::StoreError;
use crate::watch::beneath::Offline;
use crate::watch::classifier::Kind;
use crate::watch::fs_events::Silence;
use crate::watch::status::{LISTED, LastError, RuleState, WaitingFile};

/// How the parts stand after a pass, for the status.
pub(super) struct Standing<'a> {
    pub(super) paused: bool,
    pub(super) offline: Option<&'a Offline>,
    /// The uploads that take files.
    pub(super) open: Vec<UploadId>,
}

impl Context {
    /// Tells of a failure: in the status, in the log, and as an event when it is not the same as before.
    pub(super) async fn problem(&self, code: &'static str, message: String) {
        {
            let mut status = self.shared.status();
            let known = status.last_error.as_ref().is_some_and(|error| error.message == message && !error.over);
            status.last_error = Some(LastError { at: Timestamp::now(), code, message: message.clone(), over: false });
            if known {
                return;
            }
        }
        tracing::warn!(code, error = message, "the rule has a problem");
        let body = json!({ "error": { "code": code, "message": message, "retryable": true } });
        if let Err(error) = self.record(body.clone()).await {
            tracing::warn!(error = describe(&error), "cannot record the failure yet");
            *self.shared.unrecorded() = Some(body);
        }
    }

    async fn record(&self, failure: Value) -> Result<(), StoreError> {
        self.store.record_event("rule.error", Some(self.rule.name.clone()), failure).await
    }

    /// Records the last failure that could not be recorded when it happened, as on a disk that was full.
    pub(super) async fn record_late(&self) {
        let unrecorded = self.shared.unrecorded().take();
        if let Some(failure) = unrecorded
            && self.record(failure.clone()).await.is_err()
        {
            // What hinders that was told with the failure itself. Another may have come since.
            self.shared.unrecorded().get_or_insert(failure);
        }
    }

    /// Looks how many uploads of the rule have failed. `news` says that one just has: that is told.
    pub(super) async fn note_failures(&self, news: bool) {
        let (failed, newest) = match self.store.uploads_failed(&self.rule.name).await {
            Ok(found) => found,
            Err(error) => return self.problem("store", describe(&error)).await,
        };
        self.shared.status().failed_uploads = failed;
        let Some(reason) = newest.and_then(|upload| upload.problem).map(|problem| problem.message) else {
            return self.recovered(&["upload"]);
        };
        let message = format!("uploads of it fail: {reason}");
        if news {
            self.problem("upload", message).await;
        } else if self.shared.status().last_error.is_none() {
            // After a restart it is the same failure as before: shown, but not told again.
            let error = LastError { at: Timestamp::now(), code: "upload", message, over: false };
            self.shared.status().last_error = Some(error);
        }
    }

    /// What went wrong in one of these ways is over: the same failure again would be another one.
    pub(super) fn recovered(&self, codes: &[&str]) {
        if let Some(error) = &mut self.shared.status().last_error {
            error.over |= codes.contains(&error.code);
        }
    }

    /// Writes down how things stand.
    pub(super) fn publish(&self, standing: Standing<'_>) {
        let silence = self.hints.silence();
        let desk = self.shared.desk();
        let waiting: Vec<WaitingFile> = desk
            .settling()
            .iter()
            .filter(|(path, _)| desk.inventory().get(path).is_some_and(|known| known.kind == Kind::Item))
            .take(LISTED)
            .map(|(path, pending)| {
                let (reason, until) = desk.waits_for(path, pending);
                WaitingFile {
                    path: path.to_path_buf(),
                    size: pending.identity.size,
                    reason,
                    since: self.shared.at(if pending.changes() > 0 { pending.first_seen() } else { pending.since() }),
                    until: until.map(|until| self.shared.at(until)),
                }
            })
            .collect();
        let listed = desk.settling().iter().take(LISTED);
        let unseen = listed.filter_map(|(_, pending)| pending.unseen.clone()).next();
        let waiting_count = desk.waiting_count();
        let (_, folders) = desk.inventory().counts();
        let unread = desk.inventory().unread().iter().take(LISTED);
        let unread = unread.map(|unread| (unread.relative.clone(), unread.reason.clone())).collect();
        drop(desk);
        let mut status = self.shared.status();
        (status.state, status.reason) = match (standing.offline, &silence) {
            _ if standing.paused => (RuleState::Paused, None),
            (Some(offline), _) => (RuleState::Offline, Some(offline.to_string())),
            (None, Some(silence @ Silence::Limit(_))) => {
                (RuleState::Polling, Some(format!("{silence} (this rule has {folders} folders)")))
            }
            (None, Some(silence)) => (RuleState::Polling, Some(silence.to_string())),
            (None, None) => (RuleState::Watching, None),
        };
        let blind = match &silence {
            Some(Silence::FileSystem(name)) => Some(format!("{name} does not show who is writing")),
            _ => unseen.map(|why| format!("not all writers are seen ({why})")),
        };
        status.writers_unseen = blind.map(|blind| {
            let settle = SignedDuration::try_from(self.rule.settle_unseen).unwrap_or_default();
            format!("{blind}: a file counts as complete once it has not changed for {settle:#}")
        });
        status.limited = matches!(silence, Some(Silence::Limit(_)));
        status.waiting = waiting;
        status.waiting_count = waiting_count;
        status.unread = unread;
        status.overflows = self.hints.overflows();
        status.next_schedule = self.rule.schedule.next_after(&self.clock()).map(|next| next.timestamp());
        status.open = standing.open;
    }
}
