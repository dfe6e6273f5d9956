//! Uploads that failed for a transient reason. Files could not be read: a share was briefly unavailable, a folder was moved out and
//! back; when all of them can be read again such an upload resumes automatically. Files have disappeared: after a while the others
//! are sent without them, unless the rule says otherwise. The package no longer exists in the cloud: it gets another.
//!
//! **In**: that something may have come back, the store's failed uploads. **Out**: uploads that are resumed.
//!
//! **Owns** when each failed upload was tried, and until when it waits for what is gone.
//!
//! **Guarantees.** What fails again and again is tried ever less often.

use std::collections::HashMap;
use std::time::Duration;

use super::context::Context;
use super::{RETRY, describe};
use crate::model::UploadId;
use crate::model::{FileState, State, Upload, UploadFilter};
use crate::store::StoreError;
use masv_platform::PathBeneath;
use masv_rules::OnGone;

/// An upload that fails repeatedly resumes after this, then after twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Longest time between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// Failed files looked at of an upload; of more, these stand for all.
const MOST_FILES: u32 = 1_000;

/// What is remembered of failed uploads.
#[derive(Debug)]
pub(super) struct AutoResume {
    /// How long a package waits for missing files before the others are sent without them.
    gone_wait: Duration,
    /// Something may have come back.
    look: bool,
    /// Uploads that resumed automatically: not again before then, and the wait after that.
    tried: HashMap<UploadId, (Duration, Duration)>,
    /// Until when uploads wait for files that no longer exist.
    gone: HashMap<UploadId, Duration>,
    /// When one that can continue may.
    next: Option<Duration>,
}

impl AutoResume {
    pub(super) fn new(gone_wait: Duration) -> Self {
        Self { gone_wait, look: false, tried: HashMap::new(), gone: HashMap::new(), next: None }
    }

    /// Something may have come back.
    pub(super) fn look_again(&mut self) {
        self.look = true;
    }

    /// Looks then, if not before.
    fn wake_at(&mut self, at: Duration) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Whether there is something to look at.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.look || self.next.is_some_and(|at| at <= now)
    }

    /// When to look without anything having happened.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Resumes failed uploads whose files are all back.
    pub(super) async fn resume(&mut self, context: &Context) {
        if !self.is_due(context.now()) {
            return;
        }
        (self.look, self.next) = (false, None);
        if let Err(error) = self.resume_all(context).await {
            self.wake_at(context.now() + RETRY);
            context.problem("store", describe(&error)).await;
        }
    }

    async fn resume_all(&mut self, context: &Context) -> Result<(), StoreError> {
        let rule = Some(context.rule.name.clone());
        let filter = UploadFilter { states: vec![State::Error], rule, ..UploadFilter::default() };
        let failed = context.store.uploads(filter).await?;
        let now = context.now();
        self.gone.retain(|id, _| failed.iter().any(|upload| upload.id == *id));
        // What went well for as long as it would be waited for begins with short waits again.
        self.tried.retain(|_, (allowed, wait)| now < *allowed + *wait);
        for upload in failed {
            match self.remedy(context, &upload).await? {
                Remedy::None => {}
                Remedy::Later(at) => self.wake_at(at),
                Remedy::Resume => {
                    let Some(goes) = self.try_once(context.now(), upload.id) else { continue };
                    match context.outlet.resume(goes).await {
                        Ok(()) => {
                            tracing::info!(rule = context.rule.name, upload = %goes, "the cause of the failure is gone; resuming")
                        }
                        Err(error) => {
                            tracing::debug!(rule = context.rule.name, upload = %goes, %error, "it cannot resume")
                        }
                    }
                }
                Remedy::WithoutGone => {
                    let Some(goes) = self.try_once(context.now(), upload.id) else { continue };
                    match context.outlet.resume_without_gone(goes).await {
                        Ok(()) => {
                            tracing::warn!(rule = context.rule.name, upload = %goes, "resuming without the files that no longer exist")
                        }
                        Err(error) => {
                            tracing::debug!(rule = context.rule.name, upload = %goes, %error, "it cannot resume")
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What helps a failed upload.
    async fn remedy(&mut self, context: &Context, upload: &Upload) -> Result<Remedy, StoreError> {
        let code = upload.problem.as_ref().map_or("", |problem| problem.code.as_str());
        if code == "not_found" && upload.package.is_some() {
            return Ok(Remedy::Resume); // Its package has vanished: it gets another.
        }
        let failed = context.store.files_failed(upload.id, MOST_FILES).await?;
        let unread = |code: &str| matches!(code, "source_gone" | "source_unreadable");
        let only_unread = failed.iter().all(|file| file.problem.as_ref().is_some_and(|p| unread(&p.code)));
        if failed.is_empty() || !only_unread {
            return Ok(Remedy::None);
        }
        let sources: Vec<PathBeneath> = failed.iter().map(|file| file.source.clone()).collect();
        let back = context.blocking(move || Ok(sources.iter().all(|source| source.open().is_ok()))).await;
        if back.unwrap_or(false) {
            return Ok(Remedy::Resume);
        }
        let all_gone = failed.iter().all(|file| file.state == FileState::Gone);
        let rest = upload.totals.files > failed.len() as u64;
        if context.rule.on_gone == OnGone::Wait || !all_gone || !rest {
            return Ok(Remedy::None);
        }
        let now = context.now();
        let until = *self.gone.entry(upload.id).or_insert(now + self.gone_wait);
        Ok(if until <= now { Remedy::WithoutGone } else { Remedy::Later(until) })
    }

    /// Whether an upload may resume automatically now, or not yet.
    fn try_once(&mut self, now: Duration, id: UploadId) -> Option<UploadId> {
        let (allowed, wait) = self.tried.get(&id).copied().unwrap_or((now, FIRST_WAIT));
        if now < allowed {
            self.wake_at(allowed);
            return None;
        }
        self.tried.insert(id, (now + wait, (wait * 2).min(LONGEST_WAIT)));
        Some(id)
    }
}

/// Whether what an upload failed of can pass without anybody doing anything to it.
pub(super) fn can_pass(upload: &Upload) -> bool {
    match upload.problem.as_ref().map_or("", |problem| problem.code.as_str()) {
        "source_gone" | "source_unreadable" => true,
        "not_found" => upload.package.is_some(),
        _ => false,
    }
}

/// What helps a failed upload.
enum Remedy {
    /// Nothing that the rule can do.
    None,
    /// Something may by then.
    Later(Duration),
    /// It can resume.
    Resume,
    /// It can resume without the files that no longer exist.
    WithoutGone,
}
