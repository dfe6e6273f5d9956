//! In-memory state with the lifetime of the server: its connections, its certificate, the counters of limited
//! resources.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum_server::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::archive::Archives;
use super::arriving::Arriving;
use super::bodies::Bodies;
use super::certificate::Certificate;
use super::metrics::Traffic;
use super::rates::Rates;
use super::requests::Requests;
use crate::keys::attempt_limiter::AttemptLimiter;

/// See [`super::archive`]: requests for the ends of many archives must not keep the bucket busy.
const READING_CRCS: usize = 2;

/// See [`super::checksums`]: lists must not keep the disk busy either, nor wait for archives.
const READING_SUMS: usize = 2;

/// Pages of packages with many files: each takes some 30 MB while it is made.
const LARGE_PAGES: usize = 1;

/// The state of a server.
pub(crate) struct Server {
    pub limiter: AttemptLimiter,
    /// The bodies in memory.
    pub bodies: Bodies,
    /// The parts in flight to the disk.
    pub arriving: Arriving,
    /// The requests of each address that are being answered.
    pub requests: Requests,
    /// Recent actions of strangers that cost others something.
    pub rates: Rates,
    /// How many files are read at once only for their CRC.
    pub reading_crcs: Semaphore,
    /// How many files are read at once only for their MD5.
    pub reading_sums: Semaphore,
    /// How many pages of packages with many files are rendered at a time.
    pub large_pages: Semaphore,
    /// The archives that are being downloaded.
    pub archives: Archives,
    /// When it was last looked whether the hub can work, and what was seen.
    pub readiness: Mutex<Option<(Instant, Result<(), String>)>>,
    /// What has passed, for the metrics.
    pub traffic: Arc<Traffic>,
    /// What was delivered of downloads, on its way into the database.
    pub delivery_notes: TaskTracker,
    /// The current certificate, if the hub does TLS itself.
    certificate: OnceLock<Arc<Certificate>>,
    /// Is cancelled once it listens.
    serving: CancellationToken,
    /// Knows the connections, once it listens.
    connections: OnceLock<Handle<SocketAddr>>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            limiter: AttemptLimiter::default(),
            bodies: Bodies::default(),
            arriving: Arriving::default(),
            requests: Requests::default(),
            rates: Rates::default(),
            reading_crcs: Semaphore::new(READING_CRCS),
            reading_sums: Semaphore::new(READING_SUMS),
            large_pages: Semaphore::new(LARGE_PAGES),
            archives: Archives::default(),
            readiness: Mutex::default(),
            traffic: Arc::default(),
            delivery_notes: TaskTracker::new(),
            certificate: OnceLock::new(),
            serving: CancellationToken::new(),
            connections: OnceLock::new(),
        }
    }
}

impl Server {
    /// Signals that it accepts connections.
    pub(super) fn started(&self, connections: Handle<SocketAddr>) {
        let _ = self.connections.set(connections);
        self.serving.cancel();
    }

    /// Says which certificate it uses.
    pub(super) fn uses(&self, certificate: Arc<Certificate>) {
        let _ = self.certificate.set(certificate);
    }

    /// Reads the certificate again.
    pub(crate) async fn reload_certificate(&self) {
        if let Some(certificate) = self.certificate.get() {
            certificate.look(true).await;
        }
    }

    /// Resolves once it accepts connections.
    pub(crate) async fn serving(&self) {
        self.serving.cancelled().await;
    }

    /// How many connections there are.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections.get().map_or(0, Handle::connection_count)
    }
}
