//! What lives as long as the server does, in memory only: its connections, its certificate, the counters of wrong guesses.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum_server::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use crate::keys::attempt_limiter::AttemptLimiter;

/// See [`super::archive`]: somebody who asks for the ends of many archives must not keep the bucket busy.
const READING_CRCS: usize = 2;

/// The state of a server.
pub(crate) struct Server {
    pub limiter: AttemptLimiter,
    /// How many files are read at a time for nothing but their CRC.
    pub reading_crcs: Semaphore,
    /// The certificate that is in use, where the hub does TLS itself.
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
            reading_crcs: Semaphore::new(READING_CRCS),
            certificate: OnceLock::new(),
            serving: CancellationToken::new(),
            connections: OnceLock::new(),
        }
    }
}

impl Server {
    /// Says that it takes connections.
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

    /// Resolves once it takes connections.
    pub(crate) async fn serving(&self) {
        self.serving.cancelled().await;
    }

    /// How many connections there are.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections.get().map_or(0, Handle::connection_count)
    }
}
