//! Tells the service manager how it goes (systemd's notify protocol), for the agent and for `masv hub start`; does nothing where there
//! is none.

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

    pub(crate) fn ready(status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// One line for `systemctl status`.
    pub(crate) fn status(line: &str) {
        tell(&[NotifyState::Status(line)]);
    }

    /// What it runs with is being read again; [`ready`] ends it.
    pub(crate) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            // Without the time the service manager would take it for a failed reload.
            Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
        }
    }

    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// Shows, as often as the service manager asks for, that the runtime still turns.
    pub(crate) async fn watchdog(stop: CancellationToken) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let every = (limit / 2).max(Duration::from_millis(100));
        while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use systemd::{ready, reloading, status, stopping, watchdog};

#[cfg(not(target_os = "linux"))]
pub(crate) fn ready(_status: &str) {}
#[cfg(not(target_os = "linux"))]
pub(crate) fn status(_line: &str) {}
#[cfg(not(target_os = "linux"))]
pub(crate) fn reloading() {}
#[cfg(not(target_os = "linux"))]
pub(crate) fn stopping() {}
#[cfg(not(target_os = "linux"))]
pub(crate) async fn watchdog(_stop: tokio_util::sync::CancellationToken) {}
