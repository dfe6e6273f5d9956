//! The task of one rule and its downloads that have failed or wait: what can pass is tried again, and all of it is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::runner::{LookError, Runner};
use crate::model::{Download, DownloadFilter, DownloadId, State};

/// The code of what goes wrong with a rule's downloads.
pub(super) const DOWNLOAD: &str = "download";
/// A download that fails again and again is tried after this, then after twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Longest time between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// What is remembered of downloads that were tried again: not before then, and the wait after that.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    tried: HashMap<DownloadId, (Instant, Duration)>,
}

impl Trouble {
    /// Whether a download may be tried now; it is noted that it is.
    fn may_try(&mut self, id: DownloadId, now: Instant) -> bool {
        let (allowed, wait) = self.tried.get(&id).copied().unwrap_or((now, FIRST_WAIT));
        if now < allowed {
            return false;
        }
        self.tried.insert(id, (now + wait, (wait * 2).min(LONGEST_WAIT)));
        true
    }
}

/// Whether what a download failed of can pass without anybody doing anything to it.
fn can_pass(download: &Download) -> bool {
    let code = download.problem.as_ref().map_or("", |problem| problem.code.as_str());
    matches!(code, "no_space" | "not_writable")
}

impl Runner {
    /// Looks after the rule's downloads: those that failed for a reason that can pass are tried again, and what is wrong is told.
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
                tracing::info!(download = %download.id, "what it failed of may be over; it is tried again");
                resumed += 1;
            }
        }
        let open = self.store.downloads(filter(State::Transferring)).await?;
        let waiting = open.iter().find_map(|download| self.downloads.live(download.id)?.reason);
        self.shared.status().failed_downloads = failed.len() as u64 - resumed;
        let failing = failed.iter().find_map(|download| download.problem.as_ref());
        match (failing, waiting) {
            (Some(problem), _) => self.tell(DOWNLOAD, format!("downloads of it fail: {}", problem.message)).await,
            (None, Some(reason)) => self.tell(DOWNLOAD, format!("downloads of it wait: {reason}")).await,
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
