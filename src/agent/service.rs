//! Tells the service manager how it goes (systemd's notify protocol); does nothing where there is none.

#[cfg(target_os = "linux")]
mod systemd {
    use std::time::Duration;

    use sd_notify::NotifyState;
    use tokio_util::sync::CancellationToken;

    fn tell(state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state) {
            tracing::debug!(%error, "the service manager cannot be told");
        }
    }

    pub(in super::super) fn ready(status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// One line for `systemctl status`.
    pub(in super::super) fn status(line: &str) {
        tell(&[NotifyState::Status(line)]);
    }

    /// The rules are being loaded again; [`ready`] ends it.
    pub(in super::super) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            // Without the time the service manager would take it for a failed reload.
            Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
        }
    }

    pub(in super::super) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// Shows, as often as the service manager asks for, that the runtime still turns.
    pub(in super::super) async fn watchdog(stop: CancellationToken) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let every = (limit / 2).max(Duration::from_millis(100));
        while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use systemd::{ready, reloading, status, stopping, watchdog};

#[cfg(not(target_os = "linux"))]
pub(super) fn ready(_status: &str) {}
#[cfg(not(target_os = "linux"))]
pub(super) fn status(_line: &str) {}
#[cfg(not(target_os = "linux"))]
pub(super) fn reloading() {}
#[cfg(not(target_os = "linux"))]
pub(super) fn stopping() {}
#[cfg(not(target_os = "linux"))]
pub(super) async fn watchdog(_stop: tokio_util::sync::CancellationToken) {}
