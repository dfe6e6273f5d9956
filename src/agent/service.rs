//! Tells the service manager how it goes, for the agent and for `masv hub start`; does nothing where there is none that listens.

use std::time::Duration;

use masv_platform::{ServiceNews, tell_service_manager};
use tokio_util::sync::CancellationToken;

/// It works, with one line about how it stands.
pub(crate) fn ready(status: &str) {
    tell_service_manager(ServiceNews::Ready(status));
}

/// One line for whoever asks the service manager.
pub(crate) fn status(line: &str) {
    tell_service_manager(ServiceNews::Status(line));
}

/// What it runs with is being read again; [`ready`] ends it.
pub(crate) fn reloading() {
    tell_service_manager(ServiceNews::Reloading);
}

pub(crate) fn stopping() {
    tell_service_manager(ServiceNews::Stopping);
}

/// Shows, as often as the service manager asks for, that the runtime still turns.
pub(crate) async fn watchdog(stop: CancellationToken) {
    let Some(limit) = masv_platform::watchdog() else { return };
    let every = (limit / 2).max(Duration::from_millis(100));
    while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
        tell_service_manager(ServiceNews::Alive);
    }
}
