//! The task of one rule and its failed or waiting downloads: transient failures are retried, and everything is reported.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::runner::{LookError, Runner};
use crate::model::{Download, DownloadFilter, DownloadId, State};

/// The error code for a rule's downloads.
pub(super) const DOWNLOAD: &str = "download";
/// A download that fails repeatedly is retried after this, then after twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Longest time between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Retried downloads: not before then, and the wait after that.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    tried: HashMap<DownloadId, (Instant, Duration)>,
}

impl Trouble {
    /// Whether a download may be retried now; if so, that is recorded.
    fn may_try(&mut self, id: DownloadId, now: Instant) -> bool {
        let (allowed, wait) = self.tried.get(&id).copied().unwrap_or((now, masv_platform::unless_hurried(FIRST_WAIT)));
        if now < allowed {
            return false;
        }
        self.tried.insert(id, (now + wait, (wait * 2).min(LONGEST_WAIT)));
        true
    }
}

/// Whether a download failed for a transient reason.
fn can_pass(download: &Download) -> bool {
    let code = download.problem.as_ref().map_or("", |problem| problem.code.as_str());
    matches!(code, "no_space" | "not_writable")
}

impl Runner {
    /// Looks after the rule's downloads: those that failed for a transient reason are retried, and problems are reported.
    pub(super) async fn look_after(&self, trouble: &mut Trouble) -> Result<(), LookError> {
        let filter = |state| DownloadFilter {
            states: vec![state],
            rule: Some(self.rule.name.clone()),
            ..DownloadFilter::default()
        };
        let failed = self.store.downloads(filter(State::Error)).await?;
        trouble.tried.retain(|_, (allowed, wait)| allowed.elapsed() < *wait);
        let mut resumed = 0;
        for download in failed.iter().filter(|download| can_pass(download)) {
            if trouble.may_try(download.id, Instant::now()) {
                self.downloads.resume(download.id).await?;
                tracing::info!(download = %download.id, "the cause of the failure may be gone; trying again");
                resumed += 1;
            }
        }
        let open = self.store.downloads(filter(State::Transferring)).await?;
        let waiting = open.iter().find_map(|download| self.downloads.live(download.id)?.reason);
        self.shared.status().failed_downloads = failed.len() as u64 - resumed;
        let failing = failed.iter().find_map(|download| download.problem.as_ref());
        match (failing, waiting) {
            (Some(problem), _) => self.tell(DOWNLOAD, format!("its downloads fail: {}", problem.message)).await,
            (None, Some(reason)) => self.tell(DOWNLOAD, format!("its downloads wait: {reason}")).await,
            (None, None) => {
                if let Some(error) = &mut self.shared.status().last_error {
                    error.over |= error.code == DOWNLOAD;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: what failed for a reason that can pass, as a full disk, stayed in error after there was room.
    #[test]
    fn a_download_that_fails_again_is_tried_ever_more_rarely() {
        let (mut trouble, id, begun) = (Trouble::default(), DownloadId::new(), Instant::now());
        let tried =
            (0..24 * 60).filter(|minute| trouble.may_try(id, begun + FIRST_WAIT * *minute)).collect::<Vec<u32>>();
        assert_eq!(tried[..5], [0, 1, 3, 7, 15]);
        assert!((24..35).contains(&tried.len()), "{tried:?}");
        assert!(trouble.may_try(DownloadId::new(), begun), "each by itself");
    }
}
