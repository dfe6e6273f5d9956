//! Keeps the machine awake while uploads or downloads are under way, where somebody wants that (`--stay-awake`).
//!
//! **In**: the store. **Out**: a program of the system that is started when there is something to transfer and ended when there is not.

use std::time::Duration;

use masv_platform::Awake;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often it is looked at: well within the time after which machines fall asleep.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the machine awake while it is needed, until `stop`.
pub(super) async fn stay_awake(store: Store, stop: CancellationToken) {
    let mut keeper = Keeper { kept: None, told: false };
    while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
        // What cannot be read now is read the next time.
        if let Ok(gauges) = store.gauges().await {
            let works = gauges.oldest_upload.is_some() || gauges.oldest_download.is_some();
            keeper.look(works, || Awake::keep("files are transferred"));
        }
    }
}

/// What has been done so far.
struct Keeper {
    kept: Option<Awake>,
    /// Whether the log says that it does not work: once is enough.
    told: bool,
}

impl Keeper {
    /// Starts or ends the program as it is needed now. One that has ended is started again.
    fn look(&mut self, works: bool, keep: impl FnOnce() -> std::io::Result<Awake>) {
        if !works {
            self.kept = None;
            return;
        }
        match self.kept.as_mut().map(Awake::lasts) {
            Some(true) => return,
            Some(false) => self.tell("the program that does it has ended, as it does where it is not allowed to"),
            None => {}
        }
        match keep() {
            Ok(kept) => self.kept = Some(kept),
            Err(error) => self.tell(&error.to_string()),
        }
    }

    fn tell(&mut self, error: &str) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(error, "the machine cannot be kept awake");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_kept_awake_only_while_there_is_work() {
        let mut keeper = Keeper { kept: None, told: false };
        let started = std::cell::Cell::new(0);
        let keep = || {
            started.set(started.get() + 1);
            Err(std::io::ErrorKind::NotFound.into())
        };
        keeper.look(false, keep);
        assert_eq!((started.get(), keeper.told), (0, false));
        keeper.look(true, keep);
        keeper.look(true, keep);
        assert_eq!((started.get(), keeper.told), (2, true), "tried again, told once");
    }
}
