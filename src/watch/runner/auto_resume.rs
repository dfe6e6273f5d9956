//! The rule's task and uploads that failed because files of them could not be read: a share was away for a moment, a
//! folder was moved out and back. When all of these files can be read again such an upload goes on by itself.

use std::collections::HashMap;
use std::time::Duration;

use super::{RETRY, Runner, describe};
use crate::model::UploadId;
use crate::model::{State, UploadFilter};
use crate::store::StoreError;

/// An upload that fails again and again goes on after this, then after twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Longest time between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// Failed files looked at of an upload; of more, these stand for all.
const MOST_FILES: u32 = 1_000;

/// What is remembered of failed uploads.
#[derive(Debug, Default)]
pub(super) struct AutoResume {
    /// Something may have come back.
    look: bool,
    /// Uploads that went on by themselves: not again before then, and the wait after that.
    tried: HashMap<UploadId, (Duration, Duration)>,
    /// When one that can go on may.
    next: Option<Duration>,
}

impl AutoResume {
    /// Something may have come back.
    pub(super) fn look_again(&mut self) {
        self.look = true;
    }

    /// When to look without anything having happened.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }
}

impl Runner {
    /// Lets failed uploads go on of which every file is back.
    pub(super) async fn revive(&mut self) {
        let due = self.reviving.next.is_some_and(|at| at <= self.shared.now());
        if self.paused || !(self.reviving.look || due) {
            return;
        }
        (self.reviving.look, self.reviving.next) = (false, None);
        if let Err(error) = self.revive_all().await {
            self.reviving.next = Some(self.shared.now() + RETRY);
            self.problem("store", describe(&error)).await;
        }
    }

    async fn revive_all(&mut self) -> Result<(), StoreError> {
        let rule = Some(self.rule.name.clone());
        let filter = UploadFilter { states: vec![State::Error], rule, ..UploadFilter::default() };
        for upload in self.store.uploads(filter).await? {
            let failed = self.store.files_failed(upload.id, MOST_FILES).await?;
            let unread = |code: &str| matches!(code, "source_gone" | "source_unreadable");
            let only_unread = failed.iter().all(|file| file.problem.as_ref().is_some_and(|p| unread(&p.code)));
            if failed.is_empty() || !only_unread {
                continue;
            }
            let back = self.blocking(move || Ok(failed.iter().all(|file| file.source.open().is_ok()))).await;
            if !back.unwrap_or(false) {
                continue;
            }
            let now = self.shared.now();
            let (allowed, wait) = self.reviving.tried.get(&upload.id).copied().unwrap_or((now, FIRST_WAIT));
            if now < allowed {
                self.reviving.next = Some(self.reviving.next.map_or(allowed, |next| next.min(allowed)));
                continue;
            }
            self.reviving.tried.insert(upload.id, (now + wait, (wait * 2).min(LONGEST_WAIT)));
            match self.outlet.resume(upload.id).await {
                Ok(()) => tracing::info!(rule = self.rule.name, upload = %upload.id, "its files are back; it goes on"),
                Err(error) => tracing::debug!(rule = self.rule.name, upload = %upload.id, %error, "it can not go on"),
            }
        }
        Ok(())
    }
}
