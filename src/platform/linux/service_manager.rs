//! systemd: its notify protocol (sd_notify(3)) and its journal (systemd.exec(5)).

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::{ServiceManager, ServiceNews};

pub(crate) const SERVICE_MANAGER: ServiceManager = ServiceManager::Systemd;

pub(crate) fn tell_service_manager(news: ServiceNews<'_>) {
    match news {
        ServiceNews::Ready(status) => tell(&[NotifyState::Ready, NotifyState::Status(status)]),
        ServiceNews::Status(line) => tell(&[NotifyState::Status(line)]),
        ServiceNews::Stopping => tell(&[NotifyState::Stopping]),
        ServiceNews::Alive => tell(&[NotifyState::Watchdog]),
        ServiceNews::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            // Without the time the service manager would consider the reload failed.
            Err(error) => tracing::debug!(%error, "the service manager cannot be notified of the reload"),
        },
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be notified");
    }
}

pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// It says so in `JOURNAL_STREAM`.
pub(crate) fn stderr_is_journal() -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else { return false };
    let here = std::fs::metadata("/dev/stderr").map(|metadata| format!("{}:{}", metadata.dev(), metadata.ino()));
    here.is_ok_and(|here| here == told)
}
