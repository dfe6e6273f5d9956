//! The program that starts services: which one this system has, and telling it how it goes (systemd's notify protocol). Where
//! there is none that listens, nothing is told.

use std::time::Duration;

use crate::system;

/// The kinds of service managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceManager {
    /// That of Linux.
    Systemd,
    /// That of macOS.
    Launchd,
}

impl ServiceManager {
    /// The one that this system comes with, whether or not it runs.
    pub const OF_THIS_SYSTEM: Self = system::SERVICE_MANAGER;
}

/// What the service manager is told.
#[derive(Debug, Clone, Copy)]
pub enum ServiceNews<'a> {
    /// The service works, with a line about how it stands.
    Ready(&'a str),
    /// A line about how it stands.
    Status(&'a str),
    /// What it runs with is being read again; [`ServiceNews::Ready`] ends it.
    Reloading,
    /// It was told to end, and does.
    Stopping,
    /// It still turns.
    Alive,
}

/// Tells the service manager.
pub fn tell_service_manager(news: ServiceNews<'_>) {
    system::tell_service_manager(news);
}

/// How long [`ServiceNews::Alive`] may be missing before the service manager takes the service for dead, where it looks.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    system::watchdog()
}

/// Whether standard error goes to the journal, which keeps the time of each line and reads its priority.
#[must_use]
pub fn stderr_is_journal() -> bool {
    system::stderr_is_journal()
}
