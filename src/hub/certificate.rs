//! The TLS certificate, read again when its files change or somebody says so; running connections keep theirs.
//!
//! A certificate that can not be used (its key comes a moment later, or is another's) changes nothing: the log says why, and it is
//! tried again.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::config::TlsConfig;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What tells that a file is another one than before: links are followed, as certificates are often renewed by changing where one points.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

/// Reads certificate and key.
pub(super) async fn read(files: &TlsConfig) -> io::Result<RustlsConfig> {
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

/// Keeps `current` as the files are, until `ended`.
pub(super) async fn keep(hub: Hub, current: RustlsConfig, files: TlsConfig, ended: CancellationToken) {
    let mut known = stamps(&files).await;
    let mut failed = None;
    loop {
        let told = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = hub.shared.reload.notified() => true,
            () = ended.cancelled() => return,
        };
        let found = stamps(&files).await;
        if !told && found == known {
            continue;
        }
        match read(&files).await {
            Ok(new) => {
                current.reload_from_config(new.get_inner());
                (known, failed) = (found, None);
                tracing::info!(certificate = %files.certificate.display(), "TLS certificate read again");
            }
            // Once for each state of the files.
            Err(_) if !told && failed.as_ref() == Some(&found) => {}
            Err(error) => {
                let certificate = files.certificate.display();
                tracing::error!(%certificate, %error, "cannot use the TLS certificate, going on with the one before");
                failed = Some(found);
            }
        }
    }
}

async fn stamps(files: &TlsConfig) -> (Stamp, Stamp) {
    (stamp(&files.certificate).await, stamp(&files.key).await)
}

async fn stamp(path: &Path) -> Stamp {
    let found = tokio::fs::metadata(path).await.ok()?;
    Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}
