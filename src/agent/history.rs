//! Removes what is over: transfers that were completed long ago from the history, at the start and then every hour; and what browsers
//! sent for uploads that have ended, every minute.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::api::Spool;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(3600);
/// The pause between two transactions, to let other writers in.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps `days` of history, until `stop`; 0 keeps everything.
pub(super) async fn keep_short(store: Store, days: u16, stop: CancellationToken) {
    if days == 0 {
        return;
    }
    let kept = SignedDuration::from_hours(24 * i64::from(days));
    loop {
        let before = Timestamp::now().checked_sub(kept).unwrap_or(Timestamp::MIN);
        let wait = match store.forget_completed(before).await {
            Ok(0) => EVERY,
            Ok(forgotten) => {
                tracing::info!(forgotten, days, "old complete transfers removed");
                PAUSE
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "old transfers cannot be removed now");
                EVERY
            }
        };
        if tokio::time::timeout(wait, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Removes what browsers sent once its upload has ended, until `stop`.
pub(super) async fn keep_spool_clean(spool: Arc<Spool>, store: Store, stop: CancellationToken) {
    loop {
        spool.clean(&store).await;
        let wait = masv_platform::unless_hurried(Duration::from_secs(60));
        if tokio::time::timeout(wait, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
