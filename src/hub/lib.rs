//! The self-hosted server of the protocol that the agent speaks: packages arrive in parts, their recipients get
//! links, anybody may send to a portal.
//!
//! **In**: HTTP. **Out**: HTTP, mail, webhooks; everything kept is in one data directory: `hub.db`, `secret.key`,
//! `storage/` and, where no mail server is set, `outbox/`. Where a bucket is set, it takes the files.
//!
//! **Guarantees.** What was answered with success is on disk. A part is stored whole and with the MD5 it was answered
//! with, or not at all. Finalizing twice is the same as once. Mails and webhook calls that finalizing causes are
//! written down with it and tried until they succeed or are given up with a reason.
//!
//! **On a crash** the database is what its last commit left; parts that no row knows are swept up later; senders go on
//! where they were answered last.
//!
//! **Layers**, from the bottom: `storage` keeps bytes and knows nobody; `keys` makes and checks secrets and knows the
//! database alone; `records` are the typed rows and all SQL, and know neither HTTP, storage nor jobs; `jobs` do what is due
//! (mail, webhook calls, removal) and know records and storage; `http` speaks the protocol, `operator` is for whoever runs
//! the hub, and these two know all the others.
//!
//! Must never know: the agent, its rules, its store. The two meet on the wire only.

mod config;
mod error;
mod format;
mod free_space;
mod http;
mod jobs;
mod keys;
mod operator;
mod records;
mod storage;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, header};
use axum_server::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

pub use crate::config::{HubConfig, Limits, Network, Provision, ProvisionPortal, Provisioned, SmtpConfig, TlsConfig};
pub use crate::error::HubError;
pub use crate::operator::backup::{back_up, restore};
pub use crate::records::accounts::Role;
pub use crate::storage::{S3Config, S3ConfigError, S3Credentials};

use crate::http::certificate::Certificate;
use crate::keys::attempt_limiter::Guesses;
use crate::keys::tokens::Keys;
use crate::storage::{Bucket, Disk, Leftovers, Storage};
use masv_db::Database;

/// See [`http::archive`]: somebody who asks for the ends of many archives must not keep the bucket busy.
const READING_CRCS: usize = 2;

/// The file that says where the hub was reached when it was served last.
const BASE_FILE: &str = "address";

/// A hub; clones share it.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    config: HubConfig,
    database: Database,
    keys: Keys,
    storage: Storage,
    /// Where it is reached when no public address is set: known once it listens.
    listens_on: OnceLock<String>,
    /// Where it was reached when it was served last, for who administers it without serving it.
    last_base: Option<String>,
    /// The certificate that is in use, where the hub does TLS itself.
    certificate: OnceLock<Arc<Certificate>>,
    /// Is cancelled once it listens.
    serving: CancellationToken,
    /// Knows the connections, once it listens.
    connections: OnceLock<Handle<SocketAddr>>,
    /// A mail is waiting to be sent.
    outbox: Notify,
    /// A webhook is waiting to be called.
    calls: Notify,
    guesses: Guesses,
    /// How many files are read at a time for nothing but their CRC.
    reading_crcs: Semaphore,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hub").field("data_dir", &self.shared.config.data_dir).finish()
    }
}

impl Hub {
    /// Opens the hub's data, or makes it: the directory is closed to others.
    ///
    /// # Errors
    /// [`HubError::Data`] and [`HubError::Database`] with the file that can not be used.
    pub async fn open(config: HubConfig) -> Result<Self, HubError> {
        let folder = config.data_dir.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let at = |path: &Path| {
                let path = path.to_owned();
                move |source| HubError::Data { path, source }
            };
            private_folder(&folder).map_err(at(&folder))?;
            let (key, database) = (folder.join("secret.key"), folder.join("hub.db"));
            if database.exists() && !key.exists() {
                // A new key would silently end every link and token that was given out.
                let missing =
                    io::Error::new(io::ErrorKind::NotFound, "the key of this hub's data is missing: restore it");
                return Err(at(&key)(missing));
            }
            let keys = Keys::open(&key).map_err(at(&key))?;
            let storage = folder.join("storage");
            let disk = Disk::open(storage.clone()).map_err(at(&storage))?;
            // A hub that runs with the tables as they are must not find others.
            let _alone = match Database::is_current(&database, records::schema::MIGRATIONS)? {
                true => None,
                false => Some(
                    http::serve::lock(&folder)?.ok_or_else(|| HubError::OlderServes { data_dir: folder.clone() })?,
                ),
            };
            let database = Database::open(&database, records::schema::MIGRATIONS)?;
            let last_base = std::fs::read_to_string(folder.join(BASE_FILE)).ok();
            Ok::<_, HubError>((keys, disk, database, last_base))
        });
        let (keys, disk, database, last_base) =
            opening.await.map_err(|error| HubError::Serve(io::Error::other(error)))??;
        jobs::mail::check(&config)?;
        let bucket = config.bucket.as_ref().map(Bucket::new).transpose()?;
        let storage = Storage { disk, bucket };
        let shared = Shared {
            config,
            database,
            keys,
            storage,
            listens_on: OnceLock::new(),
            last_base,
            certificate: OnceLock::new(),
            serving: CancellationToken::new(),
            connections: OnceLock::new(),
            outbox: Notify::new(),
            calls: Notify::new(),
            guesses: Guesses::default(),
            reading_crcs: Semaphore::new(READING_CRCS),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn config(&self) -> &HubConfig {
        &self.shared.config
    }

    fn database(&self) -> &Database {
        &self.shared.database
    }

    fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    /// Where people reach the hub, without a slash at the end.
    fn public_base(&self) -> String {
        match &self.config().public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => self.shared.listens_on.get().or(self.shared.last_base.as_ref()).cloned().unwrap_or_default(),
        }
    }

    /// Whether people reach it by TLS, its own or a proxy's.
    fn is_https(&self) -> bool {
        match &self.config().public_url {
            Some(url) => url.scheme() == "https",
            None => self.config().tls.is_some(),
        }
    }

    /// Reads the certificate and its key again; a certificate that can not be used leaves the one there was, and is told of in
    /// the log.
    pub async fn reload_certificate(&self) {
        if let Some(certificate) = self.shared.certificate.get() {
            certificate.look(true).await;
        }
    }

    /// Resolves once [`Hub::serve`] takes connections.
    pub async fn serving(&self) {
        self.shared.serving.cancelled().await;
    }

    /// How it goes, in a line for whoever looks after the service.
    pub fn status(&self) -> String {
        let connections = self.shared.connections.get().map_or(0, Handle::connection_count);
        format!("{} connections, reached at {}", connections, self.public_base())
    }

    /// Where the client of this request reaches the hub: the public address, or else the one it asked at.
    fn base(&self, headers: &HeaderMap) -> String {
        if self.config().public_url.is_some() {
            return self.public_base();
        }
        let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let scheme = match http::auth::header(headers, http::forwarded::ASKED_BY) {
            Some(scheme) => scheme,
            None if self.config().tls.is_some() => "https",
            None => "http",
        };
        match asked.map(|host| format!("{scheme}://{host}")) {
            Some(base) if url::Url::parse(&base).is_ok_and(|url| url.path() == "/" && url.query().is_none()) => base,
            _ => self.public_base(),
        }
    }

    /// Mails and webhook calls may be due.
    fn wake_outbox(&self) {
        self.shared.outbox.notify_one();
        self.shared.calls.notify_one();
    }

    /// Removes from the storage what nothing points to any more, in the background.
    fn remove(&self, leftovers: Leftovers) {
        if !leftovers.parts.is_empty() || !leftovers.files.is_empty() {
            let storage = self.storage().clone();
            tokio::spawn(async move { storage.remove(leftovers).await });
        }
    }
}

/// Milliseconds until a delivery is tried again after so many attempts: doubling from 10 seconds to two hours.
fn retry_pause(attempts: u32) -> i64 {
    (10_000_i64 << attempts.saturating_sub(1).min(10)).min(2 * 60 * 60 * 1000)
}

/// How a file is opened for writing, and made, that nobody else may read.
fn private_file() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Makes a folder, if it is not there, and closes it to others.
fn private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_hours() {
        assert_eq!([1, 2, 3, 40].map(retry_pause), [10_000, 20_000, 40_000, 7_200_000]);
    }
}
