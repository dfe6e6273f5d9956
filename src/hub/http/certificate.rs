//! The TLS certificate, reloaded when its files change or on request; running connections keep theirs.
//!
//! A certificate that cannot be used (its key is written a moment later, or does not match) changes nothing: the reason is logged, and it is
//! tried again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use masv_platform::FileIdentity;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::TlsConfig;

/// How often the files are checked.
const LOOK: Duration = Duration::from_secs(2);

/// What identifies a changed file: links are followed, because certificates are often renewed by changing a link.
type Stamp = Option<FileIdentity>;

/// Reads certificate and key.
async fn read(files: &TlsConfig) -> io::Result<RustlsConfig> {
    let config = RustlsConfig::from_pem_file(&files.certificate, &files.key).await?;
    config.reload_from_config(http1_only(&config));
    Ok(config)
}

/// The hub speaks HTTP/1.1 alone: large bodies gain nothing from sharing one connection.
fn http1_only(config: &RustlsConfig) -> Arc<rustls::ServerConfig> {
    let mut inner = config.get_inner().as_ref().clone();
    inner.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(inner)
}

/// A certificate in use, and the files that it is read from.
pub(crate) struct Certificate {
    current: RustlsConfig,
    files: TlsConfig,
    seen: Mutex<Seen>,
}

/// The files as they were when they were read last, and when they could not be used last.
#[derive(Default)]
struct Seen {
    known: (Stamp, Stamp),
    failed: Option<(Stamp, Stamp)>,
}

impl Certificate {
    /// The certificate in these files.
    pub(crate) async fn open(files: TlsConfig) -> io::Result<Self> {
        let known = stamps(&files).await;
        let current = read(&files).await?;
        Ok(Self { current, files, seen: Mutex::new(Seen { known, failed: None }) })
    }

    /// The certificate for new connections.
    pub(crate) fn current(&self) -> RustlsConfig {
        self.current.clone()
    }

    /// Reloads the files if they have changed, or on request.
    pub(crate) async fn look(&self, told: bool) {
        let mut seen = self.seen.lock().await;
        let found = stamps(&self.files).await;
        if !told && found == seen.known {
            return;
        }
        let certificate = self.files.certificate.display();
        match read(&self.files).await {
            Ok(new) => {
                self.current.reload_from_config(new.get_inner());
                *seen = Seen { known: found, failed: None };
                tracing::info!(%certificate, "TLS certificate reloaded");
            }
            // Once for each state of the files.
            Err(_) if !told && seen.failed.as_ref() == Some(&found) => {}
            Err(error) => {
                tracing::error!(%certificate, %error, "cannot use the TLS certificate, keeping the previous one");
                seen.failed = Some(found);
            }
        }
    }

    /// Keeps it as the files are, until `ended`.
    pub(crate) async fn keep(&self, ended: CancellationToken) {
        while tokio::time::timeout(LOOK, ended.cancelled()).await.is_err() {
            self.look(false).await;
        }
    }
}

async fn stamps(files: &TlsConfig) -> (Stamp, Stamp) {
    (stamp(&files.certificate).await, stamp(&files.key).await)
}

async fn stamp(path: &Path) -> Stamp {
    tokio::fs::metadata(path).await.ok().map(|found| FileIdentity::of(&found))
}
